//! What `check` says of the groups: what is in them, when they are taken, and the last resorts.

use std::fmt::{self, Write as _};

use crosswire::config::{GroupPolicy, SafetyRule};
use crosswire::quorum::timing::Proof;

use super::proof::line;
use crate::plain;
use crate::settings::{GroupSettings, Script, Settings, StopFailure, exact};

pub(super) fn write_groups(settings: &Settings, proof: &Proof, out: &mut String) -> fmt::Result {
    writeln!(out, "\nGroups")?;
    let all = settings.groups.iter().zip(&settings.policy.groups).zip(&proof.groups);
    for ((group, policy), figures) in all {
        writeln!(out, "  {}: {}", group.name, contents(group, policy, settings))?;
        let takeover = exact(figures.takeover);
        match policy.safety {
            SafetyRule::Probe => writeln!(
                out,
                "    taken from a silent peer {takeover} after its last beat, if the probe is clear"
            )?,
            SafetyRule::Fence => writeln!(
                out,
                "    taken from a silent peer when the fence is confirmed, which is tried {takeover} after \
                    its last beat"
            )?,
            SafetyRule::Lease => {
                let released = exact(figures.released);
                writeln!(
                    out,
                    "    taken from a silent peer {takeover} after its last beat: the slowest release takes \
                        {released}"
                )?;
            }
        }
        if figures.listens > settings.policy.cold_start {
            let (listens, cold_start) = (exact(figures.listens), exact(settings.policy.cold_start));
            writeln!(
                out,
                "    a box that hears nobody serves it after {listens}, not {cold_start}: as long as that \
                    release takes"
            )?;
        }
        write_exclusive(settings, group, policy, out)?;
    }
    writeln!(out, "  Slowest release of all: {}.", exact(proof.slowest_release()))
}

/// Scripts that mount or attach something that two boxes must not have at once.
const MOUNTING: [&str; 7] = ["filesystem", "mount", "drbd", "lvm", "raid", "scsi", "zfs"];

/// Whether a script of that name mounts something, whatever its parameters are.
pub fn is_mounting(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    MOUNTING.iter().any(|word| plain::cut(&name, word).is_some())
}

fn mounts(script: &Script) -> bool {
    script.service().is_some_and(is_mounting)
}

fn write_exclusive(
    settings: &Settings,
    group: &GroupSettings,
    policy: &GroupPolicy,
    out: &mut String,
) -> fmt::Result {
    let peer = settings.peer_name();
    let is_fenced = policy.safety == SafetyRule::Fence;
    match (policy.is_exclusive, is_fenced, &settings.watchdog) {
        (true, true, _) => Ok(()),
        (true, false, None) => writeln!(
            out,
            "    WARNING [exclusive]: exclusive, without fence or watchdog: never taken from a silent \
                {peer}, only when it hands over or an operator says that it is off"
        ),
        (true, false, Some(_)) => writeln!(
            out,
            "    WARNING [exclusive]: exclusive, and only the watchdog ends a hung {peer}: if both paths are \
                cut while both nodes live, both serve; safety = \"fence\" prevents that"
        ),
        (false, _, _) => match group.scripts.iter().find(|script| mounts(script)) {
            Some(script) => writeln!(
                out,
                "    WARNING [disk]: {} looks like a disk that only one box may have: set exclusive = true, \
                    and safety = \"fence\"",
                script.text
            ),
            None => Ok(()),
        },
    }
}

fn contents(group: &GroupSettings, policy: &GroupPolicy, settings: &Settings) -> String {
    let prefer = match policy.prefer {
        Some(side) => format!("prefers {}", settings.names[side.index()]),
        None => "prefers neither node".to_string(),
    };
    let mut all = Vec::new();
    for a in &group.addresses {
        let vmac = a.vmac.as_ref().map(|vmac| format!(" with {vmac} (vmac)")).unwrap_or_default();
        all.push(format!("{}/{} on {}{vmac}", a.ip, a.prefix, a.interface));
    }
    for route in &group.routes {
        all.push(route.to_string());
    }
    for script in &group.scripts {
        all.push(script.label().to_owned());
    }
    format!("{prefer}; {}", all.join(", "))
}

pub(super) fn write_last_resorts(settings: &Settings, out: &mut String) -> fmt::Result {
    if settings.groups.iter().any(|group| group.on_stop_failure == StopFailure::SelfFence) {
        let by = if settings.reset.is_some() { "at once" } else { "by its watchdog" };
        writeln!(
            out,
            "\nSelf-fence\n  a box on which a script does not stop is reset {by}, after its addresses are \
                gone"
        )?;
    }
    if let Some(watchdog) = &settings.watchdog {
        let timeout = exact(watchdog.timeout);
        writeln!(
            out,
            "\nWatchdog\n  {}, {timeout}: armed before anything is held",
            watchdog.device.display()
        )?;
        line(
            out,
            settings.watchdog_bound(),
            "a box whose agent, guard or kernel hangs has been reset, from its last beat",
        )?;
    }
    let is_used = settings.policy.groups.iter().any(|group| group.safety == SafetyRule::Fence);
    if !settings.fences.is_empty() {
        writeln!(out, "\nFences: {}; try them with `crosswire fence --test`", settings.fences.len())?;
        if !is_used {
            writeln!(
                out,
                "  WARNING [fence]: no group uses them: set safety = \"fence\" where one is needed"
            )?;
        }
    }
    Ok(())
}
