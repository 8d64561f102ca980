//! Fences of every kind, and what confirms them.

use super::*;
use crate::guard::testing::script_file;

/// The standard error is no place for these: what is said is kept.
fn carry(fence: Fence, task: Task) -> (bool, String) {
    let mut said = String::new();
    let done = carry_out(&[fence], "gw2", task, |line| said.push_str(line));
    (done, said)
}

fn program(dir: &tempfile::TempDir, body: &str, convention: Convention, action: FenceAction) -> Fence {
    let program = script_file(dir, "fence", &format!("cd {}\n{body}", dir.path().display()));
    let options = vec!["ip=10.0.0.9".to_owned(), "passwd=a b'c".to_owned(), "plug=2".to_owned()];
    let method = FenceMethod::Program { program, convention, action, options };
    Fence { method, timeout: Span::from_s(20) }
}

fn file(dir: &tempfile::TempDir, name: &str) -> String {
    std::fs::read_to_string(dir.path().join(name)).unwrap_or_default()
}

#[test]
fn a_fence_agent_reads_its_options_line_by_line() {
    for (task, action, word) in [
        (Task::Fence, FenceAction::Reboot, "reboot"),
        (Task::Fence, FenceAction::Off, "off"),
        (Task::Test, FenceAction::Off, "status"),
    ] {
        let dir = tempfile::tempdir().expect("a directory");
        let fence = program(&dir, "cat > input; echo $# > count", Convention::FenceAgent, action);
        assert!(carry(fence, task).0);
        let expected = format!("action={word}\nnodename=gw2\nip=10.0.0.9\npasswd=a b'c\nplug=2\n");
        assert_eq!((file(&dir, "input"), file(&dir, "count")), (expected, "0\n".to_owned()));
    }
}

#[test]
fn a_cluster_glue_plugin_gets_arguments_and_variables() {
    for (task, action, words) in [
        (Task::Fence, FenceAction::Reboot, "reset gw2\n"),
        (Task::Fence, FenceAction::Off, "off gw2\n"),
        (Task::Test, FenceAction::Off, "status\n"),
    ] {
        let dir = tempfile::tempdir().expect("a directory");
        let body = "echo $* > words; echo \"$ip|$passwd|$plug\" > options; cat > input";
        assert!(carry(program(&dir, body, Convention::ClusterGlue, action), task).0);
        assert_eq!(file(&dir, "words"), words);
        assert_eq!(
            (file(&dir, "options"), file(&dir, "input")),
            ("10.0.0.9|a b'c|2\n".to_owned(), String::new())
        );
    }
}

#[test]
fn only_success_confirms_and_a_peer_that_is_off_passes_the_test() {
    let cases = [
        ("exit 1", Task::Fence, false),
        ("exit 2", Task::Fence, false),
        ("exit 2", Task::Test, true),
        ("exit 1", Task::Test, false),
        ("kill -9 $$", Task::Fence, false),
    ];
    for (body, task, is_done) in cases {
        let dir = tempfile::tempdir().expect("a directory");
        let fence = program(&dir, body, Convention::FenceAgent, FenceAction::Off);
        let (done, said) = carry(fence, task);
        assert_eq!((done, said.contains("NOT confirmed")), (is_done, !is_done), "{body} {task:?}: {said}");
    }
    let dir = tempfile::tempdir().expect("a directory");
    let glue = program(&dir, "exit 2", Convention::ClusterGlue, FenceAction::Off);
    assert!(!carry(glue, Task::Test).0);
    assert!(!carry_out(&[], "gw2", Task::Fence, |_| ()) && !carry_out(&[], "gw2", Task::Test, |_| ()));
}

#[test]
fn a_program_that_hangs_or_is_not_there_confirms_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut fence = program(&dir, "trap '' TERM; sleep 60", Convention::FenceAgent, FenceAction::Off);
    fence.timeout = Span::from_ms(300);
    let started = now();
    assert!(!carry(fence.clone(), Task::Fence).0);
    assert!(now().since(started) < Span::from_s(20));
    if let FenceMethod::Program { program, .. } = &mut fence.method {
        *program = "/no/such/fence".into();
    }
    fence.timeout = Span::from_s(20);
    let (done, said) = carry(fence, Task::Fence);
    assert!(!done && said.ends_with("exit code 126"), "{said}");
}

#[test]
fn the_next_fence_is_tried_when_the_first_is_not_confirmed() {
    let dirs = [tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory")];
    let fences = [
        program(&dirs[0], "exit 1", Convention::FenceAgent, FenceAction::Off),
        program(&dirs[1], "exit 0", Convention::FenceAgent, FenceAction::Off),
    ];
    let mut said = Vec::new();
    assert!(carry_out(&fences, "gw2", Task::Fence, |line| said.push(line.to_owned())));
    assert_eq!(said.len(), 2);
    assert!(!carry_out(&fences, "gw2", Task::Test, |_| ()), "every way is tested");
}

/// A console at the other end of a pseudo-terminal, which answers a key with a text.
fn ask(answers_to: u8, text: &'static [u8], task: Task, timeout: Span) -> bool {
    use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
    let pty = nix::pty::openpty(None, None).expect("a pseudo-terminal");
    // As a line is: nothing is echoed.
    let mut mode = tcgetattr(&pty.slave).expect("a terminal");
    cfmakeraw(&mut mode);
    tcsetattr(&pty.slave, SetArg::TCSANOW, &mode).expect("set");
    let port = nix::unistd::ttyname(&pty.slave).expect("its name");
    let master = pty.master.try_clone().expect("a descriptor");
    let peer = std::thread::spawn(move || {
        let mut byte = [0];
        // Until every other end is closed.
        while read(&master, &mut byte) == Ok(1) {
            if byte[0] == answers_to {
                write(&master, b"login: ").expect("room");
                write(&master, text).expect("room");
            }
        }
    });
    let done = carry(Fence { method: FenceMethod::SysRq { port, baud: 9_600 }, timeout }, task).0;
    drop(pty.slave);
    peer.join().expect("it ends");
    done
}

#[test]
fn a_console_confirms_by_its_own_word_that_it_resets() {
    let (long, short) = (Span::from_s(20), Span::from_ms(400));
    assert!(ask(b'b', b"\r\n[  12.3] sysrq: Resetting\r\n", Task::Fence, long));
    assert!(ask(b'b', b"\r\nSysRq : Resetting\r\n", Task::Fence, long), "older kernels");
    assert!(!ask(b'b', b"\r\nsysrq: This sysrq operation is disabled.\r\n", Task::Fence, short));
    assert!(!ask(b'x', b"sysrq: Resetting", Task::Fence, short), "nobody listens");
    assert!(ask(b'h', b"\r\nsysrq: HELP : loglevel(0-9) reboot(b)\r\n", Task::Test, long));
    assert!(!ask(b'b', b"sysrq: HELP", Task::Test, short), "a test sends no b");
}

/// A cable whose peer drops its line `delay` looks after it was reset, if ever.
struct Wired {
    lines: c_int,
    falls_after: Option<u32>,
    looks: u32,
    pulses: u32,
}

impl Lines for Wired {
    fn get(&mut self) -> nix::Result<c_int> {
        if self.pulses > 0 {
            self.looks += 1;
        }
        let has_fallen = self.falls_after.is_some_and(|after| self.pulses > 0 && self.looks > after);
        Ok(if has_fallen { self.lines & !libc::TIOCM_DSR } else { self.lines })
    }

    fn set(&mut self, lines: c_int, is_up: bool) -> nix::Result<()> {
        self.pulses += u32::from(!is_up && self.lines & lines != 0);
        self.lines = if is_up { self.lines | lines } else { self.lines & !lines };
        Ok(())
    }
}

fn pull(lines: c_int, falls_after: Option<u32>, task: Task) -> (bool, u32, c_int) {
    let mut wired = Wired { lines, falls_after, looks: 0, pulses: 0 };
    let until = now() + Span::from_ms(900);
    let done = reset(&mut wired, libc::TIOCM_RTS, libc::TIOCM_DSR, task, until);
    (done.is_ok(), wired.pulses, wired.lines)
}

#[test]
fn a_reset_is_confirmed_by_the_line_that_falls_and_by_nothing_else() {
    let up = libc::TIOCM_RTS | libc::TIOCM_DTR | libc::TIOCM_DSR;
    assert_eq!(pull(up, Some(3), Task::Fence), (true, 1, up), "one pulse, and the line is up again");
    assert_eq!(pull(up, None, Task::Fence), (false, 1, up), "a peer that goes on");
    let down = libc::TIOCM_RTS | libc::TIOCM_DTR;
    assert_eq!(pull(down, Some(0), Task::Fence), (false, 0, down), "nothing to be seen: not even tried");
    assert_eq!(pull(up, None, Task::Test), (true, 0, up), "a test pulls nothing");
    assert_eq!(pull(down, None, Task::Test), (false, 0, down));
}

#[test]
fn a_port_without_lines_is_no_reset_cable() {
    let pty = nix::pty::openpty(None, None).expect("a pseudo-terminal");
    let port = nix::unistd::ttyname(&pty.slave).expect("its name");
    let method = FenceMethod::ResetCable { port, pulse: ModemLine::Rts, sense: ModemLine::Dsr };
    let (done, said) = carry(Fence { method, timeout: Span::from_s(5) }, Task::Fence);
    assert!(!done && said.contains("shows no lines"), "{said}");
}
