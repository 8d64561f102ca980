//! How a group's scripts are, and why an order failed.

use crosswire::pair::GroupId;
use crosswire::resource::{Condition, Fault};
use crosswire::time::Span;
use nix::errno::Errno;
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

/// How a script failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ScriptEnd {
    /// It ended by itself, with this exit code.
    Exited(i32),
    /// It was ended by this signal, which was not ours.
    Killed(i32),
    /// It was not done in this time.
    TimedOut(Span),
    /// There was no process for it: the kernel's word.
    NotRun(i32),
}

/// A script that failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ScriptFailure {
    /// How long ago.
    pub ago: Span,
    /// Of which group.
    pub group: GroupId,
    /// Which of its scripts.
    pub script: u8,
    /// It was stopped, else started or looked at.
    pub is_stop: bool,
    /// How.
    pub end: ScriptEnd,
}

/// The scripts of a group, to be told of.
#[derive(Clone, Copy)]
pub struct Scripts<'a> {
    /// Their names, one a line.
    pub names: &'a str,
    /// Which group's they are.
    pub group: GroupId,
    /// What has failed, of any group, the newest last.
    pub failures: &'a [ScriptFailure],
    /// What is told of happened so long ago.
    pub age: Span,
}

impl Scripts<'_> {
    /// Of a group that has none.
    pub const NONE: Self = Self { names: "", group: GroupId(0), failures: &[], age: Span::ZERO };

    /// What a script is called.
    pub fn name(&self, index: u8) -> String {
        let named = self.names.lines().nth(usize::from(index)).map(str::to_owned);
        named.unwrap_or_else(|| format!("script {}", u32::from(index) + 1))
    }

    /// How it failed, where that is known.
    pub fn end(&self, index: u8, is_stop: bool) -> Option<ScriptEnd> {
        let is_it = |failure: &&ScriptFailure| {
            (failure.group, failure.script, failure.is_stop) == (self.group, index, is_stop)
                && failure.ago >= self.age
        };
        self.failures.iter().rev().find(is_it).map(|failure| failure.end)
    }

    /// The same in words, with what comes before them.
    fn how(&self, before: &str, index: u8, is_stop: bool) -> String {
        let how = match self.end(index, is_stop) {
            None => return String::new(),
            Some(ScriptEnd::Exited(code)) => format!("exit code {code}"),
            Some(ScriptEnd::Killed(signal)) => match Signal::try_from(signal) {
                Ok(signal) => format!("ended by {signal}"),
                Err(_) => format!("ended by signal {signal}"),
            },
            Some(ScriptEnd::TimedOut(limit)) => format!("not done in {limit}"),
            Some(ScriptEnd::NotRun(errno)) => format!("cannot be run: {}", Errno::from_raw(errno).desc()),
        };
        format!("{before}{how}")
    }
}

/// How the scripts of a group are.
pub fn condition(condition: Condition, peer: &str, scripts: Scripts<'_>) -> String {
    let (index, is_stop, how) = match condition {
        Condition::Well => return "its scripts are well".to_string(),
        Condition::Restarting(index) => (index, false, "has failed: it is started again here"),
        Condition::Unfit(index) => {
            let how = scripts.how(", ", index, false);
            return format!(
                "{} fails again and again{how}: {peer} shall serve, if it can",
                scripts.name(index)
            );
        }
        Condition::Stuck(index) => (index, true, "has failed and does not stop"),
    };
    format!("{} {how}{}", scripts.name(index), scripts.how("; ", index, is_stop))
}

/// Why an order failed.
pub fn fault(fault: Fault, scripts: Scripts<'_>) -> String {
    match fault {
        Fault::TooLate => "an order reached the guard too late and was not carried out".to_string(),
        Fault::OutOfOrder => "the guard does not hold what it was asked to renew".to_string(),
        Fault::NoInterface => "an interface of it does not exist here".to_string(),
        Fault::Kernel(errno) => format!("the kernel refused: {}", Errno::from_raw(errno).desc()),
        Fault::StillThere => "an address is still there after its removal; trying again".to_string(),
        Fault::ProbeUnanswered => {
            "probe impossible: not even a peer that is heard on the LAN answers ARP or neighbour discovery"
                .to_string()
        }
        Fault::NoWatchdog => "the watchdog cannot be armed, and nothing is held without it".to_string(),
        Fault::NoFence => "no fence could be confirmed".to_string(),
        Fault::ScriptStart(index) => {
            format!("{} did not start{}", scripts.name(index), scripts.how(": ", index, false))
        }
        Fault::ScriptStop(index) => {
            let how = scripts.how(": ", index, true);
            format!("{} did not stop{how}; its addresses are gone", scripts.name(index))
        }
        Fault::Refused(index, errno) => {
            let word = Errno::from_raw(errno).desc();
            format!("the kernel refuses an address of it (number {}): {word}", u32::from(index) + 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_with_how_its_own_script_ended_and_with_no_other_one() {
        let s = Span::from_s;
        let failure = |ago, script, is_stop, end| ScriptFailure {
            ago: s(ago),
            group: GroupId(0),
            script,
            is_stop,
            end,
        };
        let failures = [
            failure(90, 1, false, ScriptEnd::Exited(3)),
            failure(60, 1, true, ScriptEnd::Killed(Signal::SIGSEGV as i32)),
            failure(30, 1, false, ScriptEnd::TimedOut(s(5))),
            failure(20, 0, false, ScriptEnd::NotRun(Errno::ENOENT as i32)),
        ];
        let of = |group, age| Scripts { names: "lsb:a\nexec:/b\n", group, failures: &failures, age: s(age) };
        let said = |what: Fault, age| fault(what, of(GroupId(0), age));
        assert_eq!(said(Fault::ScriptStart(1), 0), "exec:/b did not start: not done in 5 s");
        assert_eq!(said(Fault::ScriptStart(1), 60), "exec:/b did not start: exit code 3");
        assert_eq!(said(Fault::ScriptStart(1), 91), "exec:/b did not start");
        let stopped = "exec:/b did not stop: ended by SIGSEGV; its addresses are gone";
        assert_eq!(said(Fault::ScriptStop(1), 0), stopped);
        let gone = "lsb:a did not start: cannot be run: No such file or directory";
        assert_eq!(said(Fault::ScriptStart(0), 0), gone);
        assert_eq!(fault(Fault::ScriptStart(0), of(GroupId(1), 0)), "lsb:a did not start");
        let how = |how| condition(how, "gw2", of(GroupId(0), 0));
        assert_eq!(
            how(Condition::Restarting(1)),
            "exec:/b has failed: it is started again here; not done in 5 s"
        );
        let unfit = "exec:/b fails again and again, not done in 5 s: gw2 shall serve, if it can";
        assert_eq!(how(Condition::Unfit(1)), unfit);
        assert_eq!(how(Condition::Stuck(0)), "lsb:a has failed and does not stop");
    }
}
