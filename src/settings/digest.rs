//! A checksum over what both nodes must agree on, so that each can tell in every beat whether they do.

use std::fmt::{self, Write};

use crc::{Digest, NoTable};
use crosswire::config::{CARRIER_DELAY, Failback, InJeopardy, PathTiming, SafetyRule};
use crosswire::pair::Side;
use crosswire::time::Span;

use super::values::{CRC, checksum};
use super::{GroupSettings, Monitor, PathDevice, Script, Settings, StopFailure};

/// Names the canonical form below, and changes with that form, so that no two forms are ever compared.
const FORM: &str = "crosswire 2";

/// The checksum: pair, nodes with their LAN addresses, speeds and ports, times, quorum and groups. Files,
/// devices and interfaces belong to one box and are left out.
pub(super) fn of(settings: &Settings) -> [u8; 4] {
    let mut sum = Sum(CRC.digest());
    // writing into a checksum cannot fail
    let _ = write_canonical(settings, write_whole, &mut sum);
    sum.0.finalize().to_be_bytes()
}

/// The checksum as a line of its own, then what it is over, but of a script only what may be shown.
pub(super) fn told(settings: &Settings) -> String {
    let mut text = format!("digest {:08x}\n", u32::from_be_bytes(settings.policy.digest));
    // writing into a string cannot fail
    let _ = write_canonical(settings, write_shown, &mut text);
    text
}

struct Sum(Digest<'static, u32, NoTable>);

impl Write for Sum {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}

/// Writes one fact a line, with spaces between words. Names hold neither, and a script, which may hold
/// spaces, ends its line; so no two configurations give the same text.
fn write_canonical(settings: &Settings, write_text: WriteText, out: &mut dyn Write) -> fmt::Result {
    let policy = &settings.policy;
    writeln!(out, "{FORM}")?;
    writeln!(out, "pair {}", settings.pair)?;
    writeln!(out, "nodes {} {}", settings.names[0], settings.names[1])?;
    for (path, policy) in settings.paths.iter().zip(&policy.paths) {
        write_path(&path.device, settings.me, policy.timing, out)?;
    }
    let jeopardy = match policy.in_jeopardy {
        InJeopardy::Hold => "hold",
        InJeopardy::Witness => "witness",
        InJeopardy::Neighbours => "neighbours",
        InJeopardy::Takeover => "takeover",
    };
    writeln!(out, "lease {} cold_start {} in_jeopardy {jeopardy}", us(policy.lease), us(policy.cold_start))?;
    if policy.carrier_delay != CARRIER_DELAY {
        writeln!(out, "carrier_delay {}", us(policy.carrier_delay))?;
    }
    if !settings.has_neighbours {
        writeln!(out, "neighbours off")?;
    }
    if let Some(watchdog) = &settings.watchdog {
        writeln!(out, "watchdog {}", us(watchdog.timeout))?;
    }
    for witness in &settings.witnesses {
        writeln!(out, "witness {witness}")?;
    }
    if let Some(to) = settings.vote {
        writeln!(out, "vote {to}")?;
    }
    for (group, policy) in settings.groups.iter().zip(&policy.groups) {
        let prefer = policy.prefer.map_or("none", |side| &settings.names[side.index()]);
        let safety = match policy.safety {
            SafetyRule::Probe => "probe",
            SafetyRule::Lease => "lease",
            SafetyRule::Fence => "fence",
        };
        let failback_us = match policy.failback {
            Failback::Manual => "manual".to_string(),
            Failback::After(wait) => us(wait).to_string(),
        };
        if policy.is_exclusive {
            writeln!(out, "exclusive")?;
        }
        writeln!(out, "group {} prefer {prefer} failback {failback_us} safety {safety}", group.name)?;
        write_group(group, write_text, out)?;
    }
    Ok(())
}

fn write_path(device: &PathDevice, me: Side, timing: PathTiming, out: &mut dyn Write) -> fmt::Result {
    match device {
        PathDevice::Serial { baud, .. } => write!(out, "serial {baud}")?,
        PathDevice::Lan { local, peer, port, is_crossover, .. } => {
            let (a, b) = match me {
                Side::A => (local, peer),
                Side::B => (peer, local),
            };
            write!(out, "lan {a} {b} {port}{}", if *is_crossover { " crossover" } else { "" })?;
        }
    }
    writeln!(out, " {} {} {}", us(timing.interval), us(timing.late_after), us(timing.dead_after))
}

fn write_group(group: &GroupSettings, write_text: WriteText, out: &mut dyn Write) -> fmt::Result {
    if group.on_stop_failure == StopFailure::SelfFence {
        writeln!(out, "self-fence")?;
    }
    for address in &group.addresses {
        write!(out, "address {}/{}", address.ip, address.prefix)?;
        if let Some(peer) = address.peer {
            write!(out, " peer {peer}")?;
        }
        if let Some(vmac) = &address.vmac {
            write!(out, " vmac {vmac}")?;
        }
        writeln!(out, "{}", if address.needs_carrier { "" } else { " carrier ignore" })?;
    }
    if !group.tracked.is_empty() {
        writeln!(out, "track {}", group.tracked.len())?;
    }
    for route in &group.routes {
        writeln!(out, "{route}")?;
    }
    if group.before > 0 {
        writeln!(out, "before {}", group.before)?;
    }
    for script in &group.scripts {
        if let Some(Monitor { every, timeout, failures, restarts }) = script.monitor {
            writeln!(out, "monitor {} {} {failures} {restarts}", us(every), us(timeout))?;
        }
        write!(out, "script {} {} ", us(script.start_timeout), us(script.stop_timeout))?;
        write_text(script, out)?;
    }
    for check in &group.ready {
        let Some(Monitor { every, timeout, failures, .. }) = check.monitor else { continue };
        write!(out, "ready {} {} {failures} ", us(every), us(timeout))?;
        write_text(check, out)?;
    }
    Ok(())
}

/// Ends a line with what a script is.
type WriteText = fn(&Script, &mut dyn Write) -> fmt::Result;

/// As it is written in the file.
fn write_whole(script: &Script, out: &mut dyn Write) -> fmt::Result {
    writeln!(out, "{}", script.text)
}

/// Its name, and a checksum of its parameters, which may hold a password. Its sixteen bits tell two values
/// apart; whoever guesses one learns less from them than from the checksum in each beat.
fn write_shown(script: &Script, out: &mut dyn Write) -> fmt::Result {
    out.write_str(script.label())?;
    if script.label() != script.text {
        let sum = checksum(&script.text) & 0xffff;
        write!(out, " {sum:04x}")?;
    }
    out.write_str("\n")
}

fn us(span: Span) -> u64 {
    span.as_us()
}
