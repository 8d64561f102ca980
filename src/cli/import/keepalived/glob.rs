//! Files by a pattern, as glob(7) finds them.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// Most names of a directory that are looked at.
const MAX_NAMES: usize = 4_096;

/// The files that `pattern` names, seen from `base`, in the order of their names; at most `max`. A directory
/// that has no wildcard and is not there is an error.
pub fn find(base: &Path, pattern: &str, max: usize) -> Result<Vec<PathBuf>, PathBuf> {
    let parts: Vec<Component<'_>> = Path::new(pattern).components().collect();
    let (last, directories) = parts.split_last().ok_or(base)?;
    let mut found = vec![base.to_path_buf()];
    for part in directories {
        found = step(&found, part, max);
        if found.is_empty() || found.iter().any(|directory| !directory.is_dir()) && !is_wild(part) {
            return Err(base.join(directories.iter().collect::<PathBuf>()));
        }
    }
    let mut all = step(&found, last, max);
    all.retain(|path| path.is_file());
    Ok(all)
}

fn is_wild(part: &Component<'_>) -> bool {
    part.as_os_str().to_string_lossy().contains(['*', '?', '['])
}

fn step(found: &[PathBuf], part: &Component<'_>, max: usize) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for directory in found {
        if !is_wild(part) {
            all.push(directory.join(part));
            continue;
        }
        let pattern: Vec<char> = part.as_os_str().to_string_lossy().chars().collect();
        let names = fs::read_dir(directory).into_iter().flatten().flatten().take(MAX_NAMES);
        let mut names: Vec<String> = names.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.retain(|name| name.starts_with('.') == (pattern.first() == Some(&'.')));
        names.retain(|name| matches(&pattern, &name.chars().collect::<Vec<_>>()));
        names.sort();
        all.extend(names.into_iter().map(|name| directory.join(name)));
    }
    all.truncate(max);
    all
}

/// `*`, `?` and `[a-z]`. The way back is always to the last star, so that no pattern takes long.
fn matches(pattern: &[char], name: &[char]) -> bool {
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match one(&pattern[p..], name[n]) {
            Some(length) => (p, n) = (p + length, n + 1),
            None if pattern.get(p) == Some(&'*') => {
                star = Some((p + 1, n));
                p += 1;
            }
            None => match star {
                Some((after, at)) => {
                    star = Some((after, at + 1));
                    (p, n) = (after, at + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// How much of the pattern stands for this letter, if it does.
fn one(pattern: &[char], letter: char) -> Option<usize> {
    match pattern.first()? {
        '*' => None,
        '?' => Some(1),
        '[' => {
            let end = pattern.iter().skip(2).position(|c| *c == ']')? + 2;
            let is_not = matches!(pattern.get(1), Some('!' | '^'));
            let inner = &pattern[1 + usize::from(is_not)..end];
            let is_in_range = |range: &[char]| range[1] == '-' && (range[0]..=range[2]).contains(&letter);
            let is_in = inner.contains(&letter) || inner.windows(3).any(is_in_range);
            (is_in != is_not).then_some(end + 1)
        }
        same => (*same == letter).then_some(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_as_a_shell_matches_them() {
        let is = |pattern: &str, name: &str| {
            matches(&pattern.chars().collect::<Vec<_>>(), &name.chars().collect::<Vec<_>>())
        };
        for (pattern, name, expected) in [
            ("*.conf", "a.conf", true),
            ("*.conf", "a.conf.old", false),
            ("vrrp-?.conf", "vrrp-1.conf", true),
            ("vrrp-?.conf", "vrrp-10.conf", false),
            ("[0-9]*", "10-a", true),
            ("[!0-9]*", "10-a", false),
            ("*a*b*c*", "xaybzc", true),
            ("*a*b*c*", "xaybz", false),
            ("[", "[", false),
            ("[]", "]", false),
            ("", "", true),
        ] {
            assert_eq!(is(pattern, name), expected, "{pattern} {name}");
        }
        assert!(!is(&"*a".repeat(40), &"a".repeat(39)), "and in no time");
    }
}
