//! What a group starts: one string such as `ocf:heartbeat:Filesystem device=/dev/sdc1`, or a table that says
//! more.

use std::path::{Path, PathBuf};

use crosswire::time::Span;

use super::error::{Report, quote};
use super::table::{At, Element, Table};
use super::values::{exact, is_name};
use super::{INTERRUPT_GRACE, Monitor, Script, Standard};
use crate::gather::Gather;
use crate::plain;

const MIN_TIMEOUT: Span = Span::from_ms(100);
const MAX_TIMEOUT: Span = Span::from_s(3_600);
const DEFAULT_TIMEOUT: Span = Span::from_s(60);
/// Longest script with all its parameters.
const MAX_TEXT_BYTES: usize = 512;
/// Where LSB keeps its init scripts (LSB core 5.0, chapter 22).
const LSB_DIRECTORY: &str = "/etc/init.d";
/// Where OCF keeps its agents, below a directory for each provider (OCF resource agent API 1.1, section 3.1).
const OCF_DIRECTORY: &str = "/usr/lib/ocf/resource.d";
/// Where Heartbeat looks first.
const HA_DIRECTORY: &str = "/etc/ha.d/resource.d";
/// Where systemctl is, on a merged /usr and elsewhere.
const SYSTEMCTL: [&str; 2] = ["/usr/bin/systemctl", "/bin/systemctl"];
const FORMS: &str = "write \"lsb:NAME\", \"systemd:UNIT\", \"ocf:PROVIDER:NAME key=value\", \
     \"ha:NAME::ARGUMENT\" or \"exec:/PATH\"";
const KEYS: [&str; 8] =
    ["run", "shared", "start_timeout", "stop_timeout", "monitor", "monitor_timeout", "failures", "restarts"];
const READY_KEYS: [&str; 4] = ["run", "monitor", "monitor_timeout", "failures"];
/// How often a node that does not hold a group looks whether it is ready for it.
const READY_EVERY: Span = Span::from_s(30);
/// Shortest interval of a monitor.
const MIN_MONITOR: Span = Span::from_s(1);
const DEFAULT_MONITOR_TIMEOUT: Span = Span::from_s(20);
const DEFAULT_FAILURES: u8 = 2;
const DEFAULT_RESTARTS: u8 = 3;
/// Highest count of failures or restarts.
const MAX_COUNT: u32 = 100;
/// Switches the monitor of one script off, while the others of its group have one.
pub(super) const NEVER: &str = "never";

/// How long each action may take, and how the script is monitored.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    start: Span,
    stop: Span,
    every: Option<Span>,
    monitor: Monitor,
}

/// One script as both nodes see it.
#[derive(Clone)]
pub(super) struct Draft<'t> {
    /// The text in the file.
    pub(super) text: At<&'t str>,
    /// Whether it keeps nothing running, so that two groups may have it.
    pub(super) is_shared: bool,
    parsed: Parsed,
    patience: Patience,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Parsed {
    standard: Standard,
    programs: Vec<PathBuf>,
    arguments: Vec<String>,
    parameters: Vec<(String, String)>,
}

impl Patience {
    /// The timeouts of a table; `usual` holds the defaults.
    pub(super) fn read(table: &Table<'_>, usual: Self, report: &mut Report<'_>) -> Self {
        let Self { every, monitor, .. } = Self::of_check(table, usual, report);
        let restarts = read_count(table, "restarts", 0, report).unwrap_or(usual.monitor.restarts);
        Self {
            start: read_timeout(table, "start_timeout", report).unwrap_or(usual.start),
            stop: read_timeout(table, "stop_timeout", report).unwrap_or(usual.stop),
            every,
            monitor: Monitor { restarts, ..monitor },
        }
    }

    /// The times of what is only looked at.
    fn of_check(table: &Table<'_>, usual: Self, report: &mut Report<'_>) -> Self {
        let monitor = Monitor {
            timeout: read_timeout(table, "monitor_timeout", report).unwrap_or(usual.monitor.timeout),
            failures: read_count(table, "failures", 1, report).unwrap_or(usual.monitor.failures),
            ..usual.monitor
        };
        Self { every: read_monitor(table, usual.every, report), monitor, ..usual }
    }
}

impl Default for Patience {
    fn default() -> Self {
        let (timeout, failures, restarts) = (DEFAULT_MONITOR_TIMEOUT, DEFAULT_FAILURES, DEFAULT_RESTARTS);
        let monitor = Monitor { every: Span::ZERO, timeout, failures, restarts };
        Self { start: DEFAULT_TIMEOUT, stop: DEFAULT_TIMEOUT, every: None, monitor }
    }
}

fn read_timeout(table: &Table<'_>, key: &str, report: &mut Report<'_>) -> Option<Span> {
    let At { at, value } = table.span(key, report)?;
    if !(MIN_TIMEOUT..=MAX_TIMEOUT).contains(&value) {
        let remedy = format!("use {} to {}", exact(MIN_TIMEOUT), exact(MAX_TIMEOUT));
        report.add(at, format!("a {key} of {} is out of bounds", exact(value)), remedy);
    }
    Some(value)
}

/// Reads how often the monitor runs; `None`: never.
fn read_monitor(table: &Table<'_>, usual: Option<Span>, report: &mut Report<'_>) -> Option<Span> {
    if !table.has("monitor") {
        return usual;
    }
    if table.is_text("monitor", NEVER) {
        return None;
    }
    let At { at, value } = table.span("monitor", report)?;
    if !(MIN_MONITOR..=MAX_TIMEOUT).contains(&value) {
        let remedy = format!("use {} to {}, or \"{NEVER}\"", exact(MIN_MONITOR), exact(MAX_TIMEOUT));
        report.add(at, format!("a monitor every {} is out of bounds", exact(value)), remedy);
    }
    Some(value)
}

fn read_count(table: &Table<'_>, key: &str, least: u32, report: &mut Report<'_>) -> Option<u8> {
    let At { value, .. } = table.number(key, least..=MAX_COUNT, report)?;
    u8::try_from(value).ok()
}

impl<'t> Draft<'t> {
    /// Reads one element of the list of scripts; `usual` holds the group's defaults.
    pub(super) fn read(element: Element<'t>, usual: Patience, report: &mut Report<'_>) -> Option<Self> {
        Self::read_with(element, false, usual, report)
    }

    /// Reads one element of the list of checks. The first failure counts: that a node is not ready costs
    /// nothing but a message.
    pub(super) fn read_ready(element: Element<'t>, report: &mut Report<'_>) -> Option<Self> {
        let mut usual = Patience { every: Some(READY_EVERY), ..Patience::default() };
        usual.monitor.failures = 1;
        let check = Self::read_with(element, true, usual, report)?;
        if check.patience.every.is_none() {
            let remedy = "say how often, as in monitor = \"30s\", or remove it";
            report.add(check.text.at, format!("{} would never run", quote(check.text.value)), remedy);
        }
        Some(check)
    }

    fn read_with(
        element: Element<'t>,
        is_check: bool,
        usual: Patience,
        report: &mut Report<'_>,
    ) -> Option<Self> {
        let (text, patience, is_shared) = match element {
            Element::Text(text) => (text, usual, false),
            Element::Table(table) => {
                table.refuse_unknown(if is_check { &READY_KEYS[..] } else { &KEYS }, report);
                if !table.has("run") {
                    report.add(table.at, "a script does not say what to run", "add run = \"lsb:NAME\"");
                }
                let read = if is_check { Patience::of_check } else { Patience::read };
                let patience = read(&table, usual, report);
                let is_shared = !is_check && table.flag("shared", false, report);
                (table.text("run", report)?, patience, is_shared)
            }
        };
        match parse(text.value) {
            Ok(parsed) => Some(Self { text, is_shared, parsed, patience }),
            Err((what, remedy)) => {
                report.add(text.at, format!("{} {what}", quote(text.value)), remedy);
                None
            }
        }
    }

    /// Longest a stop may take.
    pub(super) fn stop_timeout(&self) -> Span {
        self.patience.stop
    }

    /// Longest a start may take, including the time to end a script that is cut short.
    pub(super) fn start_timeout(&self) -> Span {
        self.patience.start + INTERRUPT_GRACE
    }

    /// The paths at which the program is looked for, in this order.
    pub(super) fn programs(&self) -> At<Vec<PathBuf>> {
        self.text.map(|_| self.parsed.programs.clone())
    }

    /// Whether both would start and stop the same thing.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.parsed == other.parsed
    }

    /// The script as the guard needs it.
    pub(super) fn settings(&self) -> Script {
        let Parsed { standard, programs, arguments, parameters } = self.parsed.clone();
        let Patience { start: start_timeout, stop: stop_timeout, every, monitor } = self.patience;
        let monitor = every.map(|every| Monitor { every, ..monitor });
        let text = self.text.value.to_string();
        Script { text, standard, programs, arguments, parameters, start_timeout, stop_timeout, monitor }
    }
}

/// What is wrong, and what to do about it.
type Wrong = (&'static str, &'static str);

fn parse(text: &str) -> Result<Parsed, Wrong> {
    if text.len() > MAX_TEXT_BYTES || text.contains(char::is_control) {
        return Err((
            "is too long or holds what cannot be printed",
            "put it into a script of your own: \"exec:/PATH\"",
        ));
    }
    let mut words = split(text)?;
    if words.is_empty() {
        return Err(("names no script", FORMS));
    }
    let first = words.remove(0);
    match first.split_once(':') {
        Some(("lsb", name)) => parse_lsb(name, words),
        Some(("ocf", name)) => parse_ocf(name, words),
        Some(("ha", name)) => parse_ha(name, words),
        Some(("exec", path)) => parse_exec(path, words),
        Some(("systemd", unit)) => parse_systemd(unit, words),
        _ => Err(("is not a kind of script that this version runs", FORMS)),
    }
}

fn parse_lsb(name: &str, arguments: Vec<String>) -> Result<Parsed, Wrong> {
    if !is_name(name) {
        return Err(("does not name a script in /etc/init.d", FORMS));
    }
    if !arguments.is_empty() {
        return Err((
            "has arguments, which an init script does not take",
            "remove them, or use \"exec:/PATH ARGUMENTS\"",
        ));
    }
    Ok(Parsed::of(Standard::Lsb, vec![Path::new(LSB_DIRECTORY).join(name)], arguments))
}

fn parse_ocf(name: &str, words: Vec<String>) -> Result<Parsed, Wrong> {
    let (provider, name) = name.split_once(':').unwrap_or_default();
    if !is_name(provider) || !is_name(name) {
        return Err((
            "does not name an agent",
            "write \"ocf:PROVIDER:NAME\", as in \"ocf:heartbeat:IPaddr2\"",
        ));
    }
    let parameter = |word: &String| {
        let (key, value) = word.split_once('=')?;
        let is_good = key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && !key.is_empty();
        is_good.then(|| (key.to_string(), value.to_string()))
    };
    let parameters = words.iter().map(parameter).gather_all();
    let parameters =
        parameters.ok_or(("has a parameter that is not key=value", "as in \"device=/dev/sdc1\""))?;
    let program = Path::new(OCF_DIRECTORY).join(provider).join(name);
    Ok(Parsed { parameters, ..Parsed::of(Standard::Ocf, vec![program], Vec::new()) })
}

/// The text before the first `::`, and the text after it, if there is one.
fn first_part(text: &str) -> (&str, Option<&str>) {
    plain::cut(text, "::").map_or((text, None), |(first, rest)| (first, Some(rest)))
}

fn parse_ha(name: &str, more: Vec<String>) -> Result<Parsed, Wrong> {
    let (name, mut rest) = first_part(name);
    if !is_name(name) {
        return Err(("does not name a script in /etc/ha.d/resource.d or /etc/init.d", FORMS));
    }
    if !more.is_empty() {
        return Err(("has a blank in it", "separate arguments with \"::\", as haresources does"));
    }
    let mut arguments = Vec::new();
    while let Some(parts) = rest {
        let (argument, others) = first_part(parts);
        arguments.push(argument.to_string());
        rest = others;
    }
    let programs = [HA_DIRECTORY, LSB_DIRECTORY].map(|directory| Path::new(directory).join(name));
    Ok(Parsed::of(Standard::Ha, programs.into(), arguments))
}

fn parse_exec(path: &str, arguments: Vec<String>) -> Result<Parsed, Wrong> {
    if !path.starts_with('/') || path.ends_with('/') {
        return Err(("is not the full path of a program", "write \"exec:/PATH\""));
    }
    Ok(Parsed::of(Standard::Exec, vec![PathBuf::from(path)], arguments))
}

fn parse_systemd(unit: &str, more: Vec<String>) -> Result<Parsed, Wrong> {
    // What a name may hold (systemd.unit(5)); one that begins with a dash would be an option.
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
    if unit.is_empty() || unit.starts_with('-') || !unit.bytes().all(is_good) || !more.is_empty() {
        return Err(("does not name one unit", "write \"systemd:NAME\", as in \"systemd:wg-quick@wg0\""));
    }
    let programs = SYSTEMCTL.map(PathBuf::from);
    Ok(Parsed::of(Standard::Systemd, programs.into(), vec![unit.to_string()]))
}

impl Parsed {
    fn of(standard: Standard, programs: Vec<PathBuf>, arguments: Vec<String>) -> Self {
        Self { standard, programs, arguments, parameters: Vec::new() }
    }
}

/// Splits at blanks; text between `'` or between `"` stays together, and has no escapes.
fn split(text: &str) -> Result<Vec<String>, Wrong> {
    let (mut words, mut word, mut quoted) = (Vec::new(), None::<String>, None);
    for c in text.chars() {
        match quoted {
            Some(mark) if c == mark => quoted = None,
            None if c == '\'' || c == '"' => {
                quoted = Some(c);
                word.get_or_insert_default();
            }
            None if c == ' ' => words.extend(word.take()),
            Some(_) | None => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    if quoted.is_some() {
        Err(("has a quote that is not closed", "close it, or remove it"))
    } else {
        Ok(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Parsed {
        parse(text).unwrap_or_else(|(what, _)| panic!("{text} {what}"))
    }

    fn paths(parsed: &Parsed) -> Vec<&str> {
        parsed.programs.iter().filter_map(|path| path.to_str()).collect()
    }

    #[test]
    fn every_standard_has_its_place_and_its_arguments() {
        let lsb = parsed("lsb:dnsmasq");
        assert_eq!((lsb.standard, paths(&lsb)), (Standard::Lsb, vec!["/etc/init.d/dnsmasq"]));
        let ocf = parsed(
            "ocf:heartbeat:Filesystem device=/dev/sdc1 directory=/srv options='noatime, ro' run_fsck=",
        );
        assert_eq!(
            (ocf.standard, paths(&ocf)),
            (Standard::Ocf, vec!["/usr/lib/ocf/resource.d/heartbeat/Filesystem"])
        );
        let expected =
            [("device", "/dev/sdc1"), ("directory", "/srv"), ("options", "noatime, ro"), ("run_fsck", "")];
        assert_eq!(ocf.parameters, expected.map(|(key, value)| (key.to_string(), value.to_string())));
        let ha = parsed("ha:Filesystem::/dev/sdc1::/srv::ext3");
        assert_eq!(paths(&ha), ["/etc/ha.d/resource.d/Filesystem", "/etc/init.d/Filesystem"]);
        assert_eq!(
            (ha.standard, ha.arguments),
            (Standard::Ha, vec!["/dev/sdc1".into(), "/srv".into(), "ext3".into()])
        );
        let exec = parsed("exec:/usr/local/bin/route-up eth1 \"two words\"");
        assert_eq!((exec.standard, paths(&exec)), (Standard::Exec, vec!["/usr/local/bin/route-up"]));
        assert_eq!(exec.arguments, ["eth1", "two words"]);
        let unit = parsed("systemd:wg-quick@wg0.service");
        assert_eq!((unit.standard, paths(&unit)), (Standard::Systemd, SYSTEMCTL.to_vec()));
        assert_eq!(unit.arguments, ["wg-quick@wg0.service"]);
    }

    #[test]
    fn what_is_no_script_is_refused() {
        let long = format!("exec:/{}", "x".repeat(MAX_TEXT_BYTES));
        let bad = [
            "",
            " ",
            "dnsmasq",
            "lsb:",
            "lsb:../sh",
            "lsb:a b",
            "ocf:heartbeat",
            "ocf::IPaddr2",
            "ocf:heartbeat:../sh",
            "ocf:heartbeat:IPaddr2 10.0.0.1",
            "ocf:heartbeat:IPaddr2 =1",
            "ocf:heartbeat:IPaddr2 a-b=1",
            "ha:",
            "ha:../x::1",
            "ha:IPaddr::1 2",
            "exec:ls",
            "exec:/",
            "exec:/bin/",
            "exec:/bin/ls 'x",
            "exec:/bin/l\ns",
            "systemd:",
            "systemd:--now",
            "systemd:a b",
            "systemd:a/b",
            "upstart:x",
            &long,
        ];
        for text in bad {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
