//! Who else lives on a serial port: the kernel's console, or a login.
//!
//! Either would read our beats and answer them, and no lock keeps a root process out.

use std::fs;
use std::path::Path;

use nix::sys::stat::{major, minor};

use crate::sys::directory::names_in;

/// One line that says who uses the tty with device number `rdev` and how to free it; `None` if it is free. If
/// `/proc` or `/sys` is not mounted, the port is taken to be free.
pub fn conflict(rdev: u64, device: &str) -> Option<String> {
    let name = tty_name(rdev).unwrap_or_else(|| device.rsplit('/').next().unwrap_or(device).to_owned());
    if is_console(rdev, &name) {
        return Some(format!(
            "{device} is the kernel's console: remove console={name} from the kernel's command line and \
                reboot, or use \
             another port"
        ));
    }
    if let Some((pid, program)) = session_on(rdev) {
        return Some(format!(
            "{device} is the terminal of {program} (process {pid}): take {name} out of /etc/inittab or run \
             `systemctl disable --now serial-getty@{name}`, or use another port"
        ));
    }
    if let Some(pid) = lock_holder(&name) {
        return Some(format!(
            "{device} is locked by process {pid} (/var/lock/LCK..{name}): stop it, or use another port"
        ));
    }
    let line = inittab_line(&fs::read_to_string("/etc/inittab").ok()?, &name)?;
    Some(format!("/etc/inittab, line {line}, starts a login on {device}: comment it out and run `telinit q`"))
}

/// The kernel's name of a character device: `ttyS0`, `pts/3`.
fn tty_name(rdev: u64) -> Option<String> {
    let events = fs::read_to_string(format!("/sys/dev/char/{}:{}/uevent", major(rdev), minor(rdev))).ok()?;
    events.lines().find_map(|line| line.strip_prefix("DEVNAME=")).map(str::to_owned)
}

fn is_console(rdev: u64, name: &str) -> bool {
    let by_number =
        fs::read_to_string("/proc/consoles").is_ok_and(|list| has_console(&list, major(rdev), minor(rdev)));
    let active = fs::read_to_string("/sys/class/tty/console/active").unwrap_or_default();
    let command_line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    by_number || active.split_whitespace().any(|console| console == name) || is_kernel_s(&command_line, name)
}

/// Whether the kernel's command line claims a port for the console or the debugger: `console=ttyS0,115200`,
/// `kgdboc=ttyS0`. /proc/consoles shows a console only once its driver has found the port, and the debugger
/// never.
fn is_kernel_s(command_line: &str, name: &str) -> bool {
    let claims = |word: &str| {
        let (_, ports) = word.split_once('=').filter(|(key, _)| matches!(*key, "console" | "kgdboc"))?;
        ports.split(',').any(|port| port == name).then_some(())
    };
    command_line.split_whitespace().any(|word| claims(word).is_some())
}

/// A living process that has locked the port in the way of UUCP (Filesystem Hierarchy Standard, /var/lock).
fn lock_holder(name: &str) -> Option<u32> {
    let text = fs::read_to_string(format!("/var/lock/LCK..{}", name.replace('/', "."))).ok()?;
    let pid = parse_lock(&text)?;
    fs::exists(format!("/proc/{pid}")).unwrap_or(false).then_some(pid)
}

/// The process number in a lock file: ten columns of ASCII, and perhaps more words.
fn parse_lock(text: &str) -> Option<u32> {
    text.split_whitespace().next()?.parse().ok()
}

/// Looks for a device number at the end of a line of `/proc/consoles`: `ttyS0  -W- (EC  a)  4:64`.
fn has_console(list: &str, major: u64, minor: u64) -> bool {
    let number = format!("{major}:{minor}");
    list.lines().any(|line| line.split_whitespace().last() == Some(&number))
}

/// A process whose controlling terminal it is: a getty that waits, or whoever logged in there.
fn session_on(rdev: u64) -> Option<(u32, String)> {
    let wanted = stat_tty_number(major(rdev), minor(rdev));
    let names = names_in(Path::new("/proc"));
    names.iter().filter_map(|name| name.parse().ok()).find_map(|pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (program, tty) = parse_stat(&stat)?;
        (tty == wanted).then(|| (pid, program.to_owned()))
    })
}

/// The form in which proc(5) shows a terminal: minor in bits 31-20 and 7-0, major in bits 15-8.
fn stat_tty_number(major: u64, minor: u64) -> u64 {
    (minor & 0xff) | (major & 0xfff) << 8 | (minor & 0xf_ff00) << 12
}

/// Program and controlling terminal from a line of `/proc/PID/stat`; the program may contain anything, even
/// `) `.
fn parse_stat(stat: &str) -> Option<(&str, u64)> {
    let (head, tail) = stat.rsplit_once(')')?;
    let (_, program) = head.split_once('(')?;
    // After a blank: state, parent, group, session, terminal.
    let tty: i32 = tail.split(' ').nth(5)?.parse().ok()?;
    Some((program, u64::from(tty.cast_unsigned())))
}

/// The first line of an inittab that keeps a program running on `tty`: `S0:23:respawn:/sbin/getty -L ttyS0
/// 9600 vt100`.
fn inittab_line(inittab: &str, tty: &str) -> Option<usize> {
    let keeps_running = |line: &str| {
        let mut fields = line.trim_start().splitn(4, ':');
        let (id, _, action, process) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        // BusyBox names the terminal in the first field.
        let mut words = process.split(|c: char| c.is_whitespace() || c == '/').chain([id]);
        let is_login = !id.starts_with('#') && matches!(action, "respawn" | "askfirst" | "ondemand");
        (is_login && words.any(|word| word == tty)).then_some(())
    };
    inittab.lines().position(|line| keeps_running(line).is_some()).map(|index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consoles_are_found_by_number() {
        let list = "ttyS0                -W- (EC  p a)    4:64\ntty0                 -WU (E     )    4:1\n";
        assert!(has_console(list, 4, 64));
        assert!(!has_console(list, 4, 65));
        assert!(!has_console("", 4, 64));
    }

    #[test]
    fn the_command_line_claims_consoles_and_the_debugger() {
        let line =
            "quiet console=tty0 console=ttyS0,115200n8 kgdboc=kbd,ttyS2 root=/dev/ttyS3 xconsole=ttyS4\n";
        let claimed =
            ["ttyS0", "ttyS1", "ttyS2", "ttyS3", "ttyS4", "tty0"].map(|name| is_kernel_s(line, name));
        assert_eq!(claimed, [true, false, true, false, false, true]);
    }

    #[test]
    fn a_lock_file_names_its_process() {
        assert_eq!(parse_lock("       412\n"), Some(412));
        assert_eq!(parse_lock("412 minicom root\n"), Some(412));
        assert_eq!(parse_lock("\u{1}\u{0}\u{0}\u{0}"), None);
        assert_eq!(parse_lock(""), None);
    }

    #[test]
    fn a_terminal_is_read_past_any_program_name() {
        let stat = "42 (a) S (b) S 1 42 42 1088 42 4194304 0";
        assert_eq!(parse_stat(stat), Some(("a) S (b", 1088)));
        assert_eq!(stat_tty_number(4, 64), 1088);
        assert_eq!(parse_stat("42 (sh) S 1 42 42 -1 0"), Some(("sh", u64::from(u32::MAX))));
        assert_eq!(parse_stat("42"), None);
        assert_eq!(stat_tty_number(136, 259), 136 << 8 | 1 << 20 | 3);
    }

    #[test]
    fn inittab_lines_of_both_kinds_are_found_and_comments_are_not() {
        let inittab = "# a comment\nid:2:initdefault:\nT0:23:respawn:/sbin/getty -L ttyS0 9600 vt100\n\
                       ttyS1::askfirst:/bin/sh\n#T2:23:respawn:/sbin/getty -L ttyS2 9600 vt100\n\
                       T3:23:off:/sbin/getty -L ttyS3 9600 vt100\nT10:23:respawn:/sbin/getty /dev/ttyS10 \
                       9600\n";
        let found =
            ["ttyS0", "ttyS1", "ttyS2", "ttyS3", "ttyS10", "tty"].map(|tty| inittab_line(inittab, tty));
        assert_eq!(found, [Some(3), Some(4), None, None, Some(7), None]);
    }

    #[test]
    fn the_box_s_own_files_are_understood() {
        let own = std::fs::read_to_string("/proc/self/stat").expect("proc is mounted");
        assert!(parse_stat(&own).is_some(), "{own}");
    }
}
