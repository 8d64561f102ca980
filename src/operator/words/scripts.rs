//! How a group's scripts are, and why an order failed.

use crosswire::resource::{Condition, Fault};
use crosswire::time::Span;
use nix::errno::Errno;
use nix::sys::signal::Signal;

/// How a script failed: a number that guard, agent and command hand on. The high bits are the kind, the low
/// bits its value; zero means unknown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ScriptEnd(pub u32);

/// Bits of the value of a kind: an exit code, a signal, milliseconds, an errno.
const VALUE_BITS: u32 = 28;
const MAX_VALUE: u32 = (1 << VALUE_BITS) - 1;
const EXITED: u32 = 1;
const KILLED: u32 = 2;
const TIMED_OUT: u32 = 3;
const NOT_RUN: u32 = 4;

impl ScriptEnd {
    /// Nobody knows how, or it did not fail.
    pub const UNKNOWN: Self = Self(0);

    /// It ended by itself, with this exit code.
    pub fn exited(code: i32) -> Self {
        Self::new(EXITED, u32::try_from(code).unwrap_or(0))
    }

    /// It was ended by this signal, which was not ours.
    pub fn killed(signal: Signal) -> Self {
        Self::new(KILLED, signal as u32)
    }

    /// It was not done within this time.
    pub fn timed_out(limit: Span) -> Self {
        Self::new(TIMED_OUT, u32::try_from(limit.as_ms()).unwrap_or(MAX_VALUE))
    }

    /// There was no process for it.
    pub fn not_run(errno: Errno) -> Self {
        Self::new(NOT_RUN, errno as u32)
    }

    fn new(kind: u32, value: u32) -> Self {
        Self(kind << VALUE_BITS | value.min(MAX_VALUE))
    }

    /// A code for programs, and the value that belongs to it.
    pub fn code(self) -> Option<(&'static str, u32)> {
        let code = match self.0 >> VALUE_BITS {
            EXITED => "exit_code",
            KILLED => "signal",
            TIMED_OUT => "time_limit_ms",
            NOT_RUN => "errno",
            _ => return None,
        };
        Some((code, self.0 & MAX_VALUE))
    }

    /// In words, after `before`; empty if it is unknown.
    fn words(self, before: &str) -> String {
        let value = self.0 & MAX_VALUE;
        let number = i32::try_from(value).unwrap_or(0);
        match self.0 >> VALUE_BITS {
            EXITED => format!("{before}exit code {value}"),
            KILLED => {
                let name = Signal::try_from(number).map_or("a signal", Signal::as_str);
                format!("{before}ended by {name}")
            }
            TIMED_OUT => format!("{before}not done in {}", Span::from_ms(value.into())),
            NOT_RUN => format!("{before}cannot be run: {}", Errno::from_raw(number).desc()),
            _ => String::new(),
        }
    }
}

/// The index of the script that failed, and whether it failed to stop; otherwise it failed to start or a
/// check.
pub fn failed(fault: Option<Fault>, condition: Condition) -> Option<(u8, bool)> {
    match (fault, condition) {
        (Some(Fault::ScriptStop(script)), _) | (_, Condition::Stuck(script)) => Some((script, true)),
        (Some(Fault::ScriptStart(script)), _)
        | (_, Condition::Restarting(script) | Condition::Unfit(script) | Condition::Unready(script)) => {
            Some((script, false))
        }
        (_, Condition::Well) => None,
    }
}

/// How the scripts of a group are; `scripts` are their names, one a line, and `end` is how the one that is
/// meant failed.
pub fn condition(condition: Condition, peer: &str, scripts: &str, end: ScriptEnd) -> String {
    let (index, how) = match condition {
        Condition::Well => return "its scripts are well".to_string(),
        Condition::Restarting(index) => (index, "has failed: it is started again here"),
        Condition::Unfit(index) => {
            return format!(
                "{} fails again and again{}: {peer} shall serve, if it can",
                script(scripts, index),
                end.words(", ")
            );
        }
        Condition::Stuck(index) => (index, "has failed and does not stop"),
        Condition::Unready(index) => (index, "fails: this node is not ready to serve"),
    };
    format!("{} {how}{}", script(scripts, index), end.words("; "))
}

/// Why an order failed; `scripts` and `end` as for [`condition`].
pub fn fault(fault: Fault, scripts: &str, end: ScriptEnd) -> String {
    match fault {
        Fault::TooLate => "an order reached the guard too late and was not carried out".to_string(),
        Fault::OutOfOrder => "the guard does not hold what it was asked to renew".to_string(),
        Fault::NoInterface => "an interface of it does not exist here".to_string(),
        Fault::Kernel(errno) => format!("the kernel refused: {}", Errno::from_raw(errno).desc()),
        Fault::AddressGone => "an address has gone, and is not put back".to_string(),
        Fault::StillThere => "an address is still there after its removal; trying again".to_string(),
        Fault::ProbeUnanswered => {
            "probe impossible: not even a peer that is heard on the LAN answers ARP or neighbour discovery"
                .to_string()
        }
        Fault::NoWatchdog => "the watchdog cannot be armed, and nothing is held without it".to_string(),
        Fault::NoFence => "no fence could be confirmed".to_string(),
        Fault::ScriptStart(index) => {
            format!("{} did not start{}", script(scripts, index), end.words(": "))
        }
        Fault::ScriptStop(index) => {
            format!("{} did not stop{}; its addresses are gone", script(scripts, index), end.words(": "))
        }
        Fault::Refused(index, errno) => {
            let word = Errno::from_raw(errno).desc();
            format!("the kernel refuses an address of it (number {}): {word}", u32::from(index) + 1)
        }
    }
}

/// The name of a script; `scripts` are the names of its group's scripts, one a line.
pub fn script(scripts: &str, index: u8) -> String {
    let named = scripts.lines().nth(usize::from(index)).map(str::to_owned);
    named.unwrap_or_else(|| format!("script {}", u32::from(index) + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_with_how_its_script_ended() {
        let scripts = "lsb:a\nexec:/b\n";
        let start = |end| fault(Fault::ScriptStart(1), scripts, end);
        let limit = ScriptEnd::timed_out(Span::from_s(5));
        assert_eq!(start(limit), "exec:/b did not start: not done in 5 s");
        assert_eq!(start(ScriptEnd::exited(3)), "exec:/b did not start: exit code 3");
        assert_eq!(start(ScriptEnd::UNKNOWN), "exec:/b did not start");
        let gone = "exec:/b did not start: cannot be run: No such file or directory";
        assert_eq!(start(ScriptEnd::not_run(Errno::ENOENT)), gone);
        let killed = ScriptEnd::killed(Signal::SIGSEGV);
        let stopped = "lsb:a did not stop: ended by SIGSEGV; its addresses are gone";
        assert_eq!(fault(Fault::ScriptStop(0), scripts, killed), stopped);
        let how = |how, end| condition(how, "gw2", scripts, end);
        let again = "exec:/b has failed: it is started again here; not done in 5 s";
        assert_eq!(how(Condition::Restarting(1), limit), again);
        let unfit = "exec:/b fails again and again, exit code 7: gw2 shall serve, if it can";
        assert_eq!(how(Condition::Unfit(1), ScriptEnd::exited(7)), unfit);
        let stuck = "lsb:a has failed and does not stop";
        assert_eq!(how(Condition::Stuck(0), ScriptEnd::UNKNOWN), stuck);
    }

    #[test]
    fn what_a_program_is_told_of_a_failure_is_a_code_and_a_number() {
        let ends = [
            ScriptEnd::exited(255),
            ScriptEnd::killed(Signal::SIGKILL),
            ScriptEnd::timed_out(Span::from_s(600)),
            ScriptEnd::not_run(Errno::EACCES),
            ScriptEnd::UNKNOWN,
        ];
        let told = [
            Some(("exit_code", 255)),
            Some(("signal", 9)),
            Some(("time_limit_ms", 600_000)),
            Some(("errno", 13)),
            None,
        ];
        assert_eq!(ends.map(ScriptEnd::code), told);
        let days = ScriptEnd::timed_out(Span::from_s(400_000)).code();
        assert_eq!(days, Some(("time_limit_ms", MAX_VALUE)), "no kind but its own");
    }
}
