//! Lines as Heartbeat sees them: comments come off first, then lines that end in `\` are joined where the
//! file has such.

/// How a file is laid out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layout {
    /// ha.cf: a comment may stand behind a line.
    Plain,
    /// haresources: as ha.cf, and a line may go on in the next one.
    Joined,
    /// authkeys: only a whole line can be a comment, since a secret may hold any byte.
    Secret,
}

/// The lines with their numbers, counted from 1; those that are joined have the number of the first.
pub fn split(bytes: &[u8], layout: Layout) -> Vec<(usize, Vec<u8>)> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let mut all: Vec<(usize, Vec<u8>)> = Vec::new();
    let mut is_open = false;
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let line = without_comment(line.strip_suffix(b"\r").unwrap_or(line), layout);
        let (part, goes_on) = match line.strip_suffix(b"\\") {
            Some(part) if layout == Layout::Joined => (part, true),
            _ => (line, false),
        };
        match all.last_mut().filter(|_| is_open) {
            Some((_, begun)) => begun.extend_from_slice(part),
            None => all.push((number, part.to_vec())),
        }
        is_open = goes_on;
    }
    all
}

fn without_comment(line: &[u8], layout: Layout) -> &[u8] {
    let end = match layout {
        Layout::Plain | Layout::Joined => line.iter().position(|byte| *byte == b'#'),
        Layout::Secret => line.trim_ascii_start().starts_with(b"#").then_some(0),
    };
    &line[..end.unwrap_or(line.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_come_off_before_lines_are_joined() {
        let lines = |text: &str, layout| {
            let all = split(text.as_bytes(), layout).into_iter();
            all.map(|(number, line)| (number, String::from_utf8(line).unwrap())).collect::<Vec<_>>()
        };
        let line = |number, text: &str| (number, text.to_string());
        assert_eq!(lines("a \\\nb\nc", Layout::Joined), [line(1, "a b"), line(3, "c")]);
        assert_eq!(lines("# a \\\nb #\\\nc", Layout::Joined), [line(1, ""), line(2, "b "), line(3, "c")]);
        assert_eq!(lines("a\\\r\nb\r\n", Layout::Joined), [line(1, "ab"), line(3, "")]);
        assert_eq!(lines("a \\\nb", Layout::Plain), [line(1, "a \\"), line(2, "b")]);
        assert_eq!(lines("\u{feff}1 a#b\n #c", Layout::Secret), [line(1, "1 a#b"), line(2, "")]);
    }
}
