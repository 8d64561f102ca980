//! What a script writes, on its way to the log: line by line, cut, and bounded.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use log::{info, warn};
use nix::errno::Errno;
use nix::unistd::read;

use crate::gather::Gather;
use crate::logger;
use crate::plain;
use crate::sys::process::take_over;

/// A longer line is cut, between two words if it has some.
const MAX_LINE_BYTES: usize = 200;
/// The same of a line that is shown to whoever has asked.
const MAX_TOLD_BYTES: usize = 1_000;
/// Stands for what was cut.
const MORE: &str = " ...";
/// Further lines of one run are counted and dropped.
const MAX_LINES: usize = 50;
/// Pipes of ended scripts that daemons keep open; beyond these the oldest is closed.
const MAX_LINGERING: usize = 32;
/// How much is read in one turn of the loop, so that a script that floods cannot hold it up.
const MAX_READS: usize = 4;

/// The reading end of a script's output. A daemon that the script started may keep the other end for ever.
pub struct Output {
    pipe: OwnedFd,
    /// What stands before every line in the log; none if it is not logged.
    label: Option<String>,
    lines: BoundedLines,
    said: Said,
}

/// What is kept of an output that is not logged.
#[derive(Default)]
pub struct Said {
    /// The last line.
    pub last: String,
    /// What a status says of a service that Heartbeat runs (`we_own_resource` of its ResourceManager): the
    /// words count there, and not the exit code.
    pub is_running: bool,
    is_denied: bool,
}

/// The outputs of scripts that have ended, for as long as somebody keeps their pipes open.
#[derive(Default)]
pub struct Lingering(Vec<Output>);

impl Lingering {
    /// One more, if there is one.
    pub fn keep(&mut self, output: Option<Output>) {
        self.0.extend(output);
        if self.0.len() > MAX_LINGERING {
            self.0.remove(0);
        }
    }

    /// All of them.
    pub fn each(&self) -> impl Iterator<Item = &Output> {
        self.0.iter()
    }

    /// Their descriptors.
    pub fn descriptors(&self) -> Vec<RawFd> {
        self.0.iter().map(|output| output.pipe.as_raw_fd()).gather()
    }

    /// Goes on with what another run of the guard has read.
    pub fn take_over(&mut self, descriptors: &[RawFd]) {
        for descriptor in descriptors {
            let pipe = take_over(*descriptor).ok();
            self.keep(pipe.map(|pipe| Output::new(pipe, "a script's daemon".to_owned())));
        }
    }

    /// Reads what has come; those that are closed are forgotten.
    pub fn read(&mut self) {
        self.0.retain_mut(Output::read);
    }
}

impl Output {
    /// Reads a non-blocking pipe; `label` stands before every line in the log.
    pub fn new(pipe: OwnedFd, label: String) -> Self {
        Self { label: Some(label), ..Self::unlogged(pipe) }
    }

    /// The same without logging, for what is asked often.
    pub fn unlogged(pipe: OwnedFd) -> Self {
        Self { pipe, label: None, lines: BoundedLines::default(), said: Said::default() }
    }

    /// The same, with longer lines.
    pub fn told(pipe: OwnedFd) -> Self {
        let lines = BoundedLines { longest: MAX_TOLD_BYTES, ..BoundedLines::default() };
        Self { lines, ..Self::unlogged(pipe) }
    }

    /// What was said, once the run is over.
    pub fn into_said(mut self) -> Said {
        self.read();
        self.finish_run();
        self.said
    }

    fn note(&mut self, length: usize, bytes: &[u8]) {
        let Self { label, lines, said, .. } = self;
        lines.feed(bytes.get(..length).unwrap_or_default(), |line| note(label.as_deref(), line, said));
    }

    /// Logs what has come; false once the other end is closed by everybody.
    pub fn read(&mut self) -> bool {
        let mut bytes = [0; 1_024];
        for _ in 0..MAX_READS {
            match read(&self.pipe, &mut bytes) {
                Ok(0) => return false,
                Ok(length) => self.note(length, &bytes),
                Err(Errno::EAGAIN | Errno::EINTR) => return true,
                Err(_) => return false,
            }
        }
        true
    }

    /// The run is over: logs a last line without an end, and how many lines were too many.
    pub fn finish_run(&mut self) {
        let Self { label, lines, said, .. } = self;
        lines.flush(|line| note(label.as_deref(), line, said));
        if let (Some(label), dropped @ 1..) = (label, std::mem::take(&mut lines.dropped)) {
            warn!("{label}: {dropped} more lines dropped");
        }
    }
}

/// One line has come.
fn note(label: Option<&str>, line: &str, said: &mut Said) {
    match label {
        Some(label) => info!(target: logger::SCRIPT, "{label}: {line}"),
        None => {
            let small = line.to_ascii_lowercase();
            let has = |word| plain::cut(&small, word).is_some();
            said.is_denied |= has("not running");
            said.is_running =
                !said.is_denied && (said.is_running || has("running") || plain::cut(line, "OK").is_some());
            said.last.clear();
            said.last.push_str(line);
        }
    }
}

impl AsFd for Output {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// Cuts a stream of bytes into at most [`MAX_LINES`] printable lines of so many bytes at most.
struct BoundedLines {
    longest: usize,
    line: Vec<u8>,
    emitted: usize,
    dropped: usize,
}

impl Default for BoundedLines {
    fn default() -> Self {
        Self { longest: MAX_LINE_BYTES, line: Vec::new(), emitted: 0, dropped: 0 }
    }
}

impl BoundedLines {
    fn feed(&mut self, bytes: &[u8], mut emit: impl FnMut(&str)) {
        for byte in bytes {
            if *byte == b'\n' {
                self.flush(&mut emit);
            } else if self.line.len() <= self.longest {
                self.line.push(*byte);
            }
        }
    }

    fn flush(&mut self, mut emit: impl FnMut(&str)) {
        let line = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&line);
        let (text, more) = self.cut(text.trim_end());
        if text.is_empty() {
            return;
        }
        if self.emitted == MAX_LINES {
            self.dropped += 1;
            return;
        }
        self.emitted += 1;
        // A script must not be able to forge a line of ours, or to colour the terminal.
        emit(&(plain::line(text, self.longest) + more));
    }

    /// As much of a line as there is room for, and what stands for the rest.
    fn cut<'a>(&self, line: &'a str) -> (&'a str, &'static str) {
        if line.len() <= self.longest {
            return (line, "");
        }
        let room = self.longest.saturating_sub(MORE.len());
        let whole = line.get(..line.floor_char_boundary(room)).unwrap_or_default();
        (whole.rsplit_once(' ').map_or(whole, |(words, _)| words).trim_end(), MORE)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(chunks: &[&[u8]]) -> (Vec<String>, usize) {
        let mut bounded = BoundedLines::default();
        let mut lines = Vec::new();
        for chunk in chunks {
            bounded.feed(chunk, |line| lines.push(line.to_owned()));
        }
        bounded.flush(|line| lines.push(line.to_owned()));
        (lines, bounded.dropped)
    }

    #[test]
    fn lines_are_put_together_across_reads_and_empty_ones_left_out() {
        let (lines, dropped) = lines(&[b"Starting dns", b"masq: \r\n\n", b"  done"]);
        assert_eq!((lines, dropped), (vec!["Starting dnsmasq:".to_owned(), "  done".to_owned()], 0));
    }

    #[test]
    fn a_long_line_is_cut_and_the_next_is_whole() {
        let all = "x".repeat(MAX_LINE_BYTES);
        let (whole, _) = lines(&[all.as_bytes(), b"\nnext\n"]);
        assert_eq!(whole, [all.clone(), "next".to_owned()]);
        let (cut, _) = lines(&[&[b'x'; 1_000], b"\nnext\n"]);
        assert_eq!(cut, [format!("{} ...", &all[4..]), "next".to_owned()]);
    }

    #[test]
    fn a_long_line_ends_with_a_word() {
        let (lines, _) = lines(&["unknown key ".repeat(20).as_bytes()]);
        assert_eq!(lines, [format!("{}...", "unknown key ".repeat(16))]);
    }

    #[test]
    fn too_many_lines_are_counted() {
        let (lines, dropped) = lines(&["line\n".repeat(MAX_LINES + 7).as_bytes()]);
        assert_eq!((lines.len(), dropped), (MAX_LINES, 7));
    }

    #[test]
    fn control_characters_cannot_forge_a_line() {
        let (lines, _) = lines(&[b"a\x1b[31mred\rb\xffc\n"]);
        assert_eq!(lines, ["a?[31mred?b\u{fffd}c"]);
    }

    proptest! {
        #[test]
        fn any_output_is_bounded(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..500), 0..40),
        ) {
            let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
            let (lines, _) = lines(&chunks);
            prop_assert!(lines.len() <= MAX_LINES);
            // A byte that is no UTF-8 becomes a replacement character of three.
            prop_assert!(lines.iter().all(|line| line.len() <= 3 * MAX_LINE_BYTES && !line.contains('\n')));
        }
    }
}
