//! `crosswire status`: both nodes as the running daemon sees them, for people and as JSON.

use std::fmt;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use crosswire::frame::Refusal;
use crosswire::frame::message::{Role, Trouble};
use crosswire::health::PathState;
use crosswire::quorum::Verdict;
use crosswire::resource::{Condition, Fault};
use crosswire::status::PathStatus;
use crosswire::time::Span;
use nix::errno::Errno;

use super::assessment::{assess, is_heard, is_seen};
use super::exit::{Exit, complain};
use super::lans;
use super::option::{flag, option, options};
use super::status_json;
use crate::control::{Answer, Away, DEFAULT_RUN_DIR, PortReport, Question, Report, ask_within};
use crate::tty::lines;
use crate::words::{self, Names};

options! {
    /// Show both nodes as the running daemon sees them
    pub struct StatusOptions("status") {
        /// Where the daemon's control socket is
        run_dir: PathBuf = option("--run-dir", "DIR").or(DEFAULT_RUN_DIR),
        /// As JSON
        json: bool = flag("--json"),
        /// One line for Nagios, with the exit codes of its plugins: 0, 1, 2, 3
        nagios: bool = flag("--nagios"),
        /// One line, and none if all is well
        quiet: bool = flag("-q"),
    }
}

/// A daemon that works answers at once, whatever else the box does.
const PATIENCE: Duration = Duration::from_millis(450);

/// Asks, and shows the answer. The exit code tells whether every group is served, and whether the second node
/// could take over.
pub fn run(options: &StatusOptions, out: &mut impl Write) -> ExitCode {
    let report = match ask_within(&options.run_dir, &Question::Status, PATIENCE) {
        Ok(Answer::Status(report)) => report,
        Ok(Answer::History(_) | Answer::Accepted | Answer::Denied(_) | Answer::PeerSays(_)) => {
            return Exit::Refused.into();
        }
        Err(error) if options.nagios => {
            let (exit, text) = unanswered(&options.run_dir, &error);
            return tell_nagios(exit, &text, out);
        }
        Err(error) => return not_answered(&options.run_dir, &error, options.json).into(),
    };
    let reason = assess(&report);
    if options.nagios {
        return tell_nagios(reason.exit, &reason.sentence(&report), out);
    }
    let shown = match (options.json, options.quiet) {
        (true, _) => status_json::text(&report, reason),
        (false, true) if reason.exit == Exit::Done => String::new(),
        (false, true) => format!("{}\n", reason.sentence(&report)),
        (false, false) => text(&report),
    };
    // A reader that closed the pipe has seen enough.
    let _ = out.write_all(shown.as_bytes());
    reason.exit.into()
}

/// A line for Nagios, and the exit code by which it knows how grave it is (Monitoring Plugins Development
/// Guidelines).
pub fn tell_nagios(exit: Exit, text: &str, out: &mut impl Write) -> ExitCode {
    let (code, word) = match exit {
        Exit::Done => (0, "OK"),
        Exit::Alone => (1, "WARNING"),
        Exit::NotRunning | Exit::Unserved | Exit::Hangs => (2, "CRITICAL"),
        Exit::Refused | Exit::Usage | Exit::NotAllowed | Exit::Configuration => (3, "UNKNOWN"),
    };
    let _ = writeln!(out, "CROSSWIRE {word}: {text}");
    ExitCode::from(code)
}

/// Says that no daemon answers, and what to do.
pub fn not_answered(run_dir: &Path, error: &io::Error, is_json: bool) -> Exit {
    let (exit, text) = unanswered(run_dir, error);
    complain(exit, is_json, &text)
}

/// Why no daemon answers, and what to do.
fn unanswered(run_dir: &Path, error: &io::Error) -> (Exit, String) {
    let dir = run_dir.display();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            let what = format!("no daemon runs in {dir}: start it with its init script or `crosswire run`");
            (Exit::NotRunning, what)
        }
        io::ErrorKind::PermissionDenied => {
            (Exit::NotAllowed, format!("not allowed to ask the daemon in {dir}: run this as root"))
        }
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            let what = format!(
                "the daemon in {dir} does not answer: it hangs. Its init script ends it: force-stop, then \
                    start"
            );
            (Exit::Hangs, what)
        }
        _ => (Exit::Refused, format!("the daemon in {dir}: {error}")),
    }
}

/// All of it, for people.
pub fn text(report: &Report) -> String {
    let mut text = format!("{}\n", assess(report).sentence(report));
    // Writing into memory cannot fail.
    let _ = write(report, &mut text);
    text
}

fn write(report: &Report, out: &mut String) -> fmt::Result {
    let node = &report.node;
    let [me, peer] = report.names();
    writeln!(out, "pair {}: this is {me}, up {}", report.pair, node.up)?;
    write_peer(report, peer, out)?;
    if node.trouble != Trouble::None {
        writeln!(out, "  {me} CANNOT SERVE: {}", words::trouble(node.trouble))?;
    }
    if let Some(watchdog) = report.watchdog {
        let cause = words::reset_cause(watchdog.boot_status);
        writeln!(out, "watchdog: armed, {} s; last reset: {cause}", watchdog.timeout_s)?;
    }
    for interface in &report.deaf {
        writeln!(
            out,
            "  PROBE IMPOSSIBLE on {interface}: {peer} is heard but answers no ARP or neighbour discovery"
        )?;
    }
    for double in lans::doubled(&report.interfaces) {
        writeln!(out, "  {double}")?;
    }
    if node.is_standby {
        writeln!(out, "  {me} is in STANDBY: it holds nothing")?;
    }
    if let Some(left) = node.maintenance {
        writeln!(out, "  {me} is in MAINTENANCE for {left} more: nothing is moved")?;
    }
    if let Some(reason) = report.reason() {
        writeln!(out, "            {reason}")?;
    }
    if node.jeopardy.is_some() {
        writeln!(out, "  JEOPARDY: a path does not testify; one more fault and silence will prove nothing")?;
    }
    if node.is_lifetime_ignored {
        writeln!(
            out,
            "  this kernel KEEPS ADDRESSES FOR EVER: only a watchdog ends them should both processes be \
                killed"
        )?;
    }
    if node.worst_stall > Span::ZERO {
        writeln!(
            out,
            "  the loop was late by up to {}: a busy box, see [system] in {}",
            node.worst_stall, report.file
        )?;
    }
    if node.is_digest_different {
        writeln!(out, "  the CONFIGURATIONS DIFFER: compare {} on both nodes", report.file)?;
    }
    writeln!(out, "\npaths")?;
    let names = names(report);
    let mut ports = report.ports.iter();
    for (((name, path), skipped), away) in
        report.paths.iter().zip(&node.paths).zip(&report.skipped).zip(&report.away)
    {
        write_path((name, path), is_heard(report), peer, &names, out)?;
        if let Some(Away { errno, wait_s }) = *away {
            let why = Errno::from_raw(errno).desc();
            writeln!(out, "            {why}: tried again in {wait_s} s")?;
        }
        if let Some(Some(port)) = ports.next() {
            write_port(port, path, peer, out)?;
        }
        if *skipped > 0 {
            writeln!(out, "            {skipped} frames could not leave at once and were skipped")?;
        }
    }
    write_witnesses(report, peer, out)?;
    writeln!(out, "\ngroups")?;
    for index in 0..report.groups.len() {
        write_group(report, index, me, peer, out)?;
    }
    Ok(())
}

fn write_peer(report: &Report, peer: &str, out: &mut String) -> fmt::Result {
    write!(out, "peer {peer}: {}", words::verdict(report.node.verdict))?;
    match &report.node.peer {
        None => writeln!(out, ", never heard in this run"),
        Some(heard) => {
            write!(out, ", last beat {} ago", heard.age)?;
            let remarks = [
                (heard.has_left, "it said goodbye"),
                (heard.is_standby, "in standby"),
                (heard.is_maintenance, "in maintenance"),
                (heard.is_cold_start, "in cold start"),
                (heard.has_no_carrier, "an interface of it has no carrier"),
                (heard.trouble != Trouble::None, words::trouble(heard.trouble)),
            ];
            for (_, remark) in remarks.iter().filter(|(applies, _)| *applies) {
                write!(out, ", {remark}")?;
            }
            writeln!(out)
        }
    }
}

fn write_path(
    (name, path): (&str, &PathStatus),
    is_heard_elsewhere: bool,
    peer: &str,
    names: &Names,
    out: &mut String,
) -> fmt::Result {
    let ago = |span: Option<Span>| span.map_or("never".to_string(), |span| format!("{span} ago"));
    write!(out, "  {name:<9} {:<9}", words::path_state(path.state))?;
    write!(out, " heard {:<11} {peer} heard us {:<11}", ago(path.heard), ago(path.heard_by_peer))?;
    writeln!(out, " beats {} in, {} out", path.beats_heard, path.beats_sent)?;
    write_quality(path, out)?;
    write_lag(path, out)?;
    if path.state == PathState::Noisy {
        writeln!(out, "            -> {}", words::refusal_advice(Refusal::Length, name, names))?;
    }
    if path.is_looped {
        writeln!(out, "            {}", words::refusal_advice(Refusal::Looped, name, names))?;
    }
    for (refusal, count) in Refusal::ALL.iter().zip(path.refusals).filter(|(_, count)| *count > 0) {
        writeln!(out, "            refused {count}: {}", words::refusal(*refusal))?;
    }
    if !path.state.is_heard() && path.state != PathState::Blind {
        for (refusal, _) in
            Refusal::ALL.iter().zip(path.refusals).filter(|(refusal, n)| *n > 0 && is_worth(**refusal))
        {
            let is_foreign = is_heard_elsewhere && is_of_others(*refusal) && !name.starts_with("lan");
            let advice = if is_foreign {
                format!("{peer} is heard elsewhere, so this is somebody else: check where the cable goes")
            } else {
                words::refusal_advice(*refusal, name, names)
            };
            writeln!(out, "            -> {advice}")?;
        }
    }
    Ok(())
}

/// What another pair's frames are refused for.
fn is_of_others(refusal: Refusal) -> bool {
    matches!(refusal, Refusal::Pair | Refusal::UnknownKey | Refusal::Authenticator)
}

/// A path on which beats come so much later than on another one that it is no path.
fn write_lag(path: &PathStatus, out: &mut String) -> fmt::Result {
    let lag = path.quality.lag;
    if path.state == PathState::OnTime || lag < path.dead_after.fraction(1, 2) {
        return Ok(());
    }
    writeln!(out, "            its beats come {lag} later than on another path, which counts as silence")?;
    writeln!(out, "            -> this path is overloaded, or somebody on it holds them back")
}

/// How well a path works: how much of its patience it needs, and how evenly beats come.
fn write_quality(path: &PathStatus, out: &mut String) -> fmt::Result {
    let quality = &path.quality;
    let Some(tenths) = quality.margin_tenths(path.dead_after) else { return Ok(()) };
    let answer = quality.best_answer.map_or("never".to_string(), |after| format!("{after} at best"));
    let (worst, jitter) = (quality.worst_gap, quality.jitter);
    writeln!(
        out,
        "            dead_after is {}.{} times the longest gap ({worst}); jitter {jitter}, answered after \
            {answer}",
        tenths / 10,
        tenths % 10
    )?;
    let [even, fair, late, very, outages] = quality.gaps;
    writeln!(
        out,
        "            gaps: {even} even, {fair} over 1.5 intervals, {late} over 2, {very} late, {outages} \
            outages; {} resyncs",
        quality.resyncs
    )
}

/// What a serial port says of itself: its lines, its UART, what the driver has counted.
fn write_port(port: &PortReport, path: &PathStatus, peer: &str, out: &mut String) -> fmt::Result {
    match port.lines {
        None => writeln!(out, "            the port has no modem lines")?,
        Some((bits, bridged)) => {
            writeln!(
                out,
                "            {}; up: {}",
                words::line_reading(path.lines, peer),
                lines::names(bits)
            )?;
            if bridged != 0 {
                writeln!(
                    out,
                    "            {} follow our own lines: they are bridged in the plug",
                    lines::names(bridged)
                )?;
            }
        }
    }
    let percent = |permille: u32| format!("{}.{} %", permille / 10, permille % 10);
    let (load_in, load_out) = (percent(port.load_in_permille), percent(port.load_out_permille));
    writeln!(out, "            {} baud, the line is {load_in} full inwards, {load_out} outwards", port.baud)?;
    if let (Some(uart), Some(counts)) = (port.uart, port.counts) {
        write!(out, "            UART {}; errors: {} framing, ", uart.name(), counts.framing)?;
        writeln!(out, "{} overrun, {} BREAK", counts.overrun, counts.breaks)?;
    }
    Ok(())
}

/// The third parties, and who does not see them.
fn write_witnesses(report: &Report, peer: &str, out: &mut String) -> fmt::Result {
    if !report.witnesses.is_empty() {
        writeln!(out, "\nwitnesses")?;
    }
    for (name, witness) in report.witnesses.iter().zip(&report.node.witnesses) {
        write!(out, "  {name:<9} ")?;
        match witness.answered {
            Some(_) if is_seen(report, witness) => write!(out, "seen")?,
            Some(ago) => write!(out, "NOT SEEN for {ago}")?,
            None => write!(out, "NOT SEEN since the start")?,
        }
        match witness.peer_misses {
            Some(lasts) => writeln!(out, "; {peer} has NOT SEEN it for {lasts}")?,
            None => writeln!(out)?,
        }
    }
    Ok(())
}

/// A refusal that an operator can do something about.
fn is_worth(refusal: Refusal) -> bool {
    use crosswire::frame::refusal::Reading;
    refusal.reading() == Reading::Stranger
}

fn write_group(report: &Report, index: usize, me: &str, peer: &str, out: &mut String) -> fmt::Result {
    let (Some((name, contents)), Some(ours)) = (report.groups.get(index), report.node.groups.get(index))
    else {
        return Ok(());
    };
    let is_heard = report.node.verdict == Verdict::Present;
    let theirs = match report.theirs(index) {
        Some(said) => {
            let was = if is_heard { "" } else { "was " };
            let could_not = if said.word.is_inability() { ", could NOT serve it" } else { "" };
            format!("{peer} {was}{} (term {}){could_not}", words::role(said.role), said.term)
        }
        None => format!("{peer} unknown"),
    };
    writeln!(out, "  {name:<9} {me} {} (term {}), {theirs}", words::role(ours.role), ours.term)?;
    writeln!(out, "            {}", contents.join(", "))?;
    if !ours.has_carrier {
        writeln!(out, "            an interface of it has NO CARRIER here")?;
    }
    if ours.condition != Condition::Well {
        writeln!(out, "            {}", words::condition(ours.condition, peer))?;
    }
    if let Some(lasts) = ours.both_serve {
        writeln!(out, "            BOTH NODES SERVE IT, for {lasts}: stop {peer} if it does not let go")?;
    }
    if let Some(mac) = ours.foreign_mac {
        writeln!(out, "            {} CLAIMS an address of it", words::mac(mac))?;
    }
    if let Some(fault) = ours.fault {
        let refused =
            if let Fault::Refused(index, _) = fault { contents.get(usize::from(index)) } else { None };
        let which = refused.map(|address| format!("{address}: ")).unwrap_or_default();
        writeln!(out, "            {which}{}", words::fault(fault))?;
    }
    match (ours.role, ours.block) {
        (Role::Backup | Role::Faulty, Some(block)) => {
            writeln!(out, "            not taking it: {}", words::block(block, peer))
        }
        _ => Ok(()),
    }
}

/// The names that records are told with.
fn names(report: &Report) -> Names {
    Names {
        peer: report.nodes[report.node.me.peer().index()].clone(),
        paths: report.paths.clone(),
        groups: report.groups.iter().map(|(name, _)| name.clone()).collect(),
        scripts: Vec::new(),
        key_file: report.key_file.clone(),
    }
}
