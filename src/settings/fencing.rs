//! The last resorts: the watchdog of this box, and the fences for the other one.

use std::path::{Path, PathBuf};

use crosswire::config::{Policy, SafetyRule};
use crosswire::pair::Side;
use crosswire::quorum::timing;
use crosswire::time::Span;

use super::error::{Report, quote};
use super::groups::Plan;
use super::line::BAUDS;
use super::nodes::{Node, check_options};
use super::table::{At, Table};
use super::values::{exact, is_full_path};
use super::{Convention, Fence, FenceAction, FenceMethod, ModemLine, Watchdog};
use crate::gather::Gather;

/// Most fences that are tried one after the other.
const MAX_FENCES: usize = 4;
const DEFAULT_WATCHDOG: &str = "/dev/watchdog";
const DEFAULT_WATCHDOG_TIMEOUT: Span = Span::from_s(10);
/// Shortest timeout: the kernel counts in seconds, which is too coarse for less.
const MIN_WATCHDOG_TIMEOUT: Span = Span::from_s(2);
/// What a beat can announce, with room for a driver that rounds up.
const MAX_WATCHDOG_TIMEOUT: Span = Span::from_s(120);
const DEFAULT_FENCE_TIMEOUT: Span = Span::from_s(30);
const MIN_FENCE_TIMEOUT: Span = Span::from_s(1);
const MAX_FENCE_TIMEOUT: Span = Span::from_s(300);
const DEFAULT_BAUD: u32 = 9_600;

const WATCHDOG_KEYS: [&str; 2] = ["device", "timeout"];
const FENCE_KEYS: [&str; 9] =
    ["method", "program", "options", "action", "port", "baud", "pulse", "sense", "timeout"];
const ACTIONS: [(&str, FenceAction); 2] = [("reboot", FenceAction::Reboot), ("off", FenceAction::Off)];
const PULSES: [(&str, ModemLine); 2] = [("rts", ModemLine::Rts), ("dtr", ModemLine::Dtr)];
const SENSES: [(&str, ModemLine); 3] =
    [("dsr", ModemLine::Dsr), ("dcd", ModemLine::Dcd), ("cts", ModemLine::Cts)];

/// The methods of a fence, as the file names them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Program(Convention),
    SysRq,
    ResetCable,
}

const KINDS: [(&str, Kind); 4] = [
    ("exec", Kind::Program(Convention::FenceAgent)),
    ("stonith", Kind::Program(Convention::ClusterGlue)),
    ("sysrq", Kind::SysRq),
    ("reset-cable", Kind::ResetCable),
];

/// Reads the watchdog, and where it stands.
pub(super) fn read_watchdog(root: &Table<'_>, report: &mut Report<'_>) -> Option<At<Watchdog>> {
    let table = root.table("watchdog", report)?;
    table.refuse_unknown(&WATCHDOG_KEYS, report);
    let device = read_device(&table, "device", report).map_or(DEFAULT_WATCHDOG.into(), |device| device.value);
    let usual = At { at: table.at, value: DEFAULT_WATCHDOG_TIMEOUT };
    let At { at, value: timeout } = table.span("timeout", report).unwrap_or(usual);
    let is_whole = timeout.as_us().is_multiple_of(1_000_000);
    if !is_whole || !(MIN_WATCHDOG_TIMEOUT..=MAX_WATCHDOG_TIMEOUT).contains(&timeout) {
        let range = (exact(MIN_WATCHDOG_TIMEOUT), exact(MAX_WATCHDOG_TIMEOUT));
        let what = format!("a watchdog timeout of {} cannot be had", exact(timeout));
        report.add(at, what, format_args!("use whole seconds from {} to {}", range.0, range.1));
    }
    Some(At { at, value: Watchdog { device, timeout } })
}

/// A group with scripts is taken over when they must have stopped; the watchdog must not fire later than
/// that.
pub(super) fn check_watchdog(
    watchdog: &At<Watchdog>,
    plans: &[Plan<'_>],
    policy: &Policy,
    report: &mut Report<'_>,
) {
    let slowest = policy.longest_dead_after();
    let fires = timing::watchdog_bound(watchdog.value.timeout, policy.interval());
    for (plan, group) in plans.iter().zip(&policy.groups) {
        let relied_on = timing::scripts_bound(slowest, group.stop_timeout);
        if !timing::is_watchdog_in_time(watchdog.value.timeout, policy, group) {
            let what = format!(
                "a watchdog that resets a hung box within {} is slower than the takeover of group {}, which \
                    relies on it after {}",
                exact(fires),
                quote(plan.name.value),
                exact(relied_on)
            );
            let most = relied_on.saturating_sub(fires.saturating_sub(watchdog.value.timeout)).as_ms() / 1_000;
            report.add(
                watchdog.at,
                what,
                format_args!("set timeout to \"{most}s\" or less, or the group's stop_timeout higher"),
            );
        }
    }
}

/// A fence as it is written; what differs for the box to be fenced is added later.
pub(super) struct Draft<'t> {
    method: FenceMethod,
    timeout: Span,
    options: Vec<At<&'t str>>,
    /// The program or the port, and where it stands.
    pub(super) needs: At<PathBuf>,
}

/// Reads all fences in their order.
pub(super) fn read_fences<'t>(root: &Table<'t>, report: &mut Report<'_>) -> Vec<Draft<'t>> {
    let tables = root.tables("fence", report);
    if let Some(surplus) = tables.get(MAX_FENCES) {
        report.add(
            surplus.at,
            format!("there are {} fences", tables.len()),
            format_args!("keep at most {MAX_FENCES}"),
        );
    }
    tables.iter().filter_map(|table| read_fence(table, report)).gather()
}

fn read_fence<'t>(table: &Table<'t>, report: &mut Report<'_>) -> Option<Draft<'t>> {
    table.refuse_unknown(&FENCE_KEYS, report);
    if !table.has("method") {
        report.add(
            table.at,
            "a fence without a method",
            "add method = \"exec\", \"stonith\", \"sysrq\" or \"reset-cable\"",
        );
    }
    let kind = table.choice("method", &KINDS, report)?.value;
    let timeout = table.span("timeout", report).unwrap_or(At { at: table.at, value: DEFAULT_FENCE_TIMEOUT });
    if !(MIN_FENCE_TIMEOUT..=MAX_FENCE_TIMEOUT).contains(&timeout.value) {
        let what = format!("a fence timeout of {} is out of bounds", exact(timeout.value));
        let remedy = format!("use {} to {}", exact(MIN_FENCE_TIMEOUT), exact(MAX_FENCE_TIMEOUT));
        report.add(timeout.at, what, remedy);
    }
    let key = if matches!(kind, Kind::Program(_)) { "program" } else { "port" };
    if !table.has(key) {
        report.add(table.at, format!("a fence without a {key}"), format_args!("add {key} = \"/FULL/PATH\""));
    }
    let needs = read_device(table, key, report)?;
    let options = table.texts("options", report);
    check_options(&options, report);
    let action = table.choice("action", &ACTIONS, report).map_or(FenceAction::Reboot, |action| action.value);
    let method = match kind {
        Kind::Program(convention) => {
            FenceMethod::Program { program: needs.value.clone(), convention, action, options: Vec::new() }
        }
        Kind::SysRq => FenceMethod::SysRq { port: needs.value.clone(), baud: read_baud(table, report) },
        Kind::ResetCable => FenceMethod::ResetCable {
            port: needs.value.clone(),
            pulse: table.choice("pulse", &PULSES, report).map_or(ModemLine::Rts, |line| line.value),
            sense: table.choice("sense", &SENSES, report).map_or(ModemLine::Dsr, |line| line.value),
        },
    };
    Some(Draft { method, timeout: timeout.value, options, needs })
}

pub(super) fn read_device(table: &Table<'_>, key: &str, report: &mut Report<'_>) -> Option<At<PathBuf>> {
    let path = table.text(key, report)?;
    if !is_full_path(path.value) {
        report.add(
            path.at,
            format!("{} is not a full path", quote(path.value)),
            "write it from the root, with /",
        );
    }
    Some(path.map(PathBuf::from))
}

fn read_baud(table: &Table<'_>, report: &mut Report<'_>) -> u32 {
    let baud = table.number("baud", 1..=u32::MAX, report);
    if let Some(baud) = baud.filter(|baud| !BAUDS.contains(&baud.value)) {
        report.add(
            baud.at,
            format!("{} baud is not a usual speed", baud.value),
            "use that of the peer's console",
        );
    }
    baud.map_or(DEFAULT_BAUD, |baud| baud.value)
}

/// A group that asks for a fence needs one, and a fence must not use the port of a path.
pub(super) fn check_fences(
    fences: &[Draft<'_>],
    plans: &[Plan<'_>],
    paths: &[&str],
    report: &mut Report<'_>,
) {
    for plan in plans.iter().filter(|plan| plan.safety == SafetyRule::Fence && fences.is_empty()) {
        let what = format!("group {} waits for a fence, and there is none", quote(plan.name.value));
        report.add(plan.safety_at, what, "add [fence] with its method, or use safety = \"lease\"");
    }
    for fence in fences.iter().filter(|fence| paths.iter().any(|path| Path::new(path) == fence.needs.value)) {
        let what =
            format!("{} is a path of the pair: a fence needs a port of its own", fence.needs.value.display());
        report.add(fence.needs.at, what, "name another serial port");
    }
}

impl Draft<'_> {
    /// The fence as it is used against the node on that side.
    pub(super) fn against(&self, target: Side, nodes: &[Node<'_>; 2]) -> Fence {
        let [a, b] = nodes;
        let own = match target {
            Side::A => &a.fence,
            Side::B => &b.fence,
        };
        let mut method = self.method.clone();
        if let FenceMethod::Program { options, .. } = &mut method {
            options.extend(self.options.iter().chain(own).map(|option| option.value.to_string()));
        }
        Fence { method, timeout: self.timeout }
    }
}
