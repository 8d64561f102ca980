//! Numbers of users and groups. The files are read as they are: a static binary knows no other source of
//! names, and the C library's way to it would be 6 KB.

use std::fs;

use nix::unistd::{Gid, Uid};

const USERS: &str = "/etc/passwd";
const GROUPS: &str = "/etc/group";

/// The user of that name, and its group.
pub fn user(name: &str) -> Option<(Uid, Gid)> {
    let (uid, gid) = numbers(USERS, name)?;
    Some((Uid::from_raw(uid), Gid::from_raw(gid?)))
}

/// The group of that name.
pub fn group(name: &str) -> Option<Gid> {
    numbers(GROUPS, name).map(|(gid, _)| Gid::from_raw(gid))
}

/// The number behind a name and its password, and the one behind that, where it is one. One copy for both
/// files: the router has little room.
#[inline(never)]
fn numbers(file: &str, name: &str) -> Option<(u32, Option<u32>)> {
    let text = text_of(file);
    let entry = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let mut fields = entry.split(':').skip(1);
    let mut number = || fields.next()?.parse().ok();
    Some((number()?, number()))
}

/// A user or a group has it.
pub fn is_known(id: u32) -> bool {
    let has = |line: &str| line.split(':').nth(2).and_then(|number| number.parse().ok()) == Some(id);
    [USERS, GROUPS].iter().any(|file| text_of(file).lines().any(has))
}

/// Empty where there is none. Whatever is no UTF-8 in it is in names of people.
#[inline(never)]
fn text_of(file: &str) -> String {
    String::from_utf8_lossy(&fs::read(file).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_whole_and_numbers_of_users_and_groups_are_known() {
        let root = (Uid::from_raw(0), Gid::from_raw(0));
        assert_eq!((user("root"), group("root")), (Some(root), Some(root.1)));
        assert_eq!(["roo", "root:x", ""].map(user), [None; 3]);
        assert_eq!(["roo", "root:x", ""].map(group), [None; 3]);
        assert!(is_known(0) && !is_known(u32::MAX - 7));
        let groups = text_of(GROUPS);
        let number = |line: &str| line.split(':').nth(2).and_then(|number| number.parse().ok());
        assert!(groups.lines().filter_map(number).all(is_known), "{groups}");
    }
}
