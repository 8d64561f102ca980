//! Numbers of users and groups, read straight from the files: a static binary has no other source of names,
//! and the C library's functions would take 6 KB.

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

/// The number in the third field of the entry of a name, and the one in the fourth if that is a number. Both
/// files share this function, since the router has little room.
#[inline(never)]
fn numbers(file: &str, name: &str) -> Option<(u32, Option<u32>)> {
    let text = text_of(file);
    let entry = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let mut fields = entry.split(':').skip(1);
    let mut number = || fields.next()?.parse().ok();
    Some((number()?, number()))
}

/// Whether a user or a group has this number.
pub fn is_known(id: u32) -> bool {
    let has = |line: &str| line.split(':').nth(2).and_then(|number| number.parse().ok()) == Some(id);
    [USERS, GROUPS].iter().any(|file| text_of(file).lines().any(has))
}

/// The text of a file; empty if there is none. Bytes that are no UTF-8 are in people's names, which nobody
/// reads here.
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
