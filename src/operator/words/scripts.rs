//! How a group's scripts are, and why an order failed.

use crosswire::resource::{Condition, Fault};

/// How the scripts of a group are.
pub fn condition(condition: Condition, peer: &str, scripts: &str) -> String {
    let (index, how) = match condition {
        Condition::Well => return "its scripts are well".to_string(),
        Condition::Restarting(index) => (index, "has failed: it is started again here"),
        Condition::Unfit(index) => {
            return format!(
                "{} fails again and again: {peer} shall serve, if it can",
                script(scripts, index)
            );
        }
        Condition::Stuck(index) => (index, "has failed and does not stop"),
    };
    format!("{} {how}", script(scripts, index))
}

/// Why an order failed.
pub fn fault(fault: Fault, scripts: &str) -> String {
    match fault {
        Fault::TooLate => "an order reached the guard too late and was not carried out".to_string(),
        Fault::OutOfOrder => "the guard does not hold what it was asked to renew".to_string(),
        Fault::NoInterface => "an interface of it does not exist here".to_string(),
        Fault::Kernel(errno) => format!("the kernel refused: {}", nix::errno::Errno::from_raw(errno).desc()),
        Fault::StillThere => "an address is still there after its removal; trying again".to_string(),
        Fault::ProbeUnanswered => {
            "probe impossible: not even a peer that is heard on the LAN answers ARP or neighbour discovery"
                .to_string()
        }
        Fault::NoWatchdog => "the watchdog cannot be armed, and nothing is held without it".to_string(),
        Fault::NoFence => "no fence could be confirmed".to_string(),
        Fault::ScriptStart(index) => {
            format!("{} did not start: it failed, or took too long", script(scripts, index))
        }
        Fault::ScriptStop(index) => {
            format!("{} did not stop; its addresses are gone", script(scripts, index))
        }
        Fault::Refused(index, errno) => {
            let word = nix::errno::Errno::from_raw(errno).desc();
            format!("the kernel refuses an address of it (number {}): {word}", u32::from(index) + 1)
        }
    }
}

/// What a script is called; `scripts` are the names of its group's, one a line.
pub fn script(scripts: &str, index: u8) -> String {
    let named = scripts.lines().nth(usize::from(index)).map(str::to_owned);
    named.unwrap_or_else(|| format!("script {}", u32::from(index) + 1))
}
