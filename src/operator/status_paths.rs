//! The paths in `status`: a line for each, and all its figures on request.

use std::fmt::{self, Write as _};

use crosswire::frame::Refusal;
use crosswire::health::{LineReading, PathState};
use crosswire::status::PathStatus;
use crosswire::time::Span;
use nix::errno::Errno;

use super::control::{Away, PortReport, Report};
use super::testimony::is_heard;
use super::words::{self, Names};
use crate::gather::Gather;
use crate::tty::lines;

/// Writes every path, with its figures if `is_verbose`.
pub fn write_paths(report: &Report, is_verbose: bool, out: &mut String) -> fmt::Result {
    let [_, peer] = report.names();
    writeln!(out, "\npaths")?;
    let names = names(report);
    let mut ports = report.ports.iter();
    let details = report.skipped.iter().zip(&report.away);
    for ((name, path), (skipped, away)) in report.paths.iter().zip(&report.node.paths).zip(details) {
        write_state((name, path), is_verbose, peer, out)?;
        write_advice((name, path), is_heard(report), peer, &names, out)?;
        if let Some(Away { errno, wait_s }) = *away {
            let why = Errno::from_raw(errno).desc();
            let when = if wait_s == 0 { "now".to_owned() } else { format!("in {wait_s} s") };
            writeln!(out, "            {why}: tried again {when}")?;
        }
        let port = ports.next().and_then(Option::as_ref);
        if is_verbose {
            write_figures(path, port, *skipped, peer, out)?;
        } else if path.lines == LineReading::Dropped {
            writeln!(out, "            {}", words::line_reading(path.lines, peer))?;
        }
    }
    Ok(())
}

fn write_figures(
    path: &PathStatus,
    port: Option<&PortReport>,
    skipped: u32,
    peer: &str,
    out: &mut String,
) -> fmt::Result {
    writeln!(out, "            beats {} in, {} out", path.beats_heard, path.beats_sent)?;
    write_quality(path, out)?;
    if let Some(port) = port {
        write_port(port, path, peer, out)?;
    }
    if skipped > 0 {
        writeln!(out, "            {} could not leave at once, skipped", words::counted(skipped, "frame"))?;
    }
    for (refusal, count) in Refusal::ALL.iter().zip(path.refusals).filter(|(_, count)| *count > 0) {
        writeln!(out, "            {count} dropped: {}", words::refusal(*refusal))?;
    }
    Ok(())
}

/// Writes what the path says, and whether both directions are good.
fn write_state(
    (name, path): (&str, &PathStatus),
    is_verbose: bool,
    peer: &str,
    out: &mut String,
) -> fmt::Result {
    let ago = |span: Option<Span>| span.map_or("never".to_owned(), |span| format!("{span} ago"));
    write!(out, "  {name:<9} {:<9}", words::path_state(path.state))?;
    let is_unheard_there = path.heard_by_peer.is_none_or(|age| age >= path.dead_after);
    if is_verbose || !path.state.is_heard() || is_unheard_there {
        return writeln!(out, " heard {}; {peer} heard us {}", ago(path.heard), ago(path.heard_by_peer));
    }
    let Some(tenths) = path.quality.margin_tenths(path.dead_after) else { return writeln!(out) };
    let quality = match tenths {
        0..20 => "poor",
        20..30 => "fair",
        _ => "good",
    };
    writeln!(out, " quality {quality}: longest gap {} of {}", path.quality.worst_gap, path.dead_after)
}

/// Writes what is wrong on the path, and what to do.
fn write_advice(
    (name, path): (&str, &PathStatus),
    is_heard_elsewhere: bool,
    peer: &str,
    names: &Names,
    out: &mut String,
) -> fmt::Result {
    write_lag(path, out)?;
    if path.state == PathState::Noisy {
        writeln!(out, "            -> {}", words::refusal_advice(Refusal::Length, name, names))?;
    }
    if path.is_looped {
        writeln!(out, "            {}", words::refusal_advice(Refusal::Looped, name, names))?;
    }
    if path.state.is_heard() || path.state == PathState::Blind {
        return Ok(());
    }
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
    Ok(())
}

/// A reason for which frames of another pair are refused.
fn is_of_others(refusal: Refusal) -> bool {
    matches!(refusal, Refusal::Pair | Refusal::UnknownKey | Refusal::Authenticator)
}

/// Writes a remark if beats come so much later than on another path that the path counts as silent.
fn write_lag(path: &PathStatus, out: &mut String) -> fmt::Result {
    let lag = path.quality.lag;
    if path.state == PathState::OnTime || lag < path.dead_after.fraction(1, 2) {
        return Ok(());
    }
    writeln!(out, "            its beats come {lag} later than on another path, which counts as silence")?;
    writeln!(out, "            -> this path is overloaded, or somebody on it holds them back")
}

/// Writes how well a path works: how much of dead_after its longest gap needs, and how evenly beats come.
fn write_quality(path: &PathStatus, out: &mut String) -> fmt::Result {
    let quality = &path.quality;
    let Some(tenths) = quality.margin_tenths(path.dead_after) else { return Ok(()) };
    let answer = quality.best_answer.map_or("never".to_string(), |after| format!("{after} at best"));
    let (worst, jitter) = (quality.worst_gap, quality.jitter);
    writeln!(
        out,
        "            longest gap {worst} of {} ({}.{} times); jitter {jitter}, answered after {answer}",
        path.dead_after,
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

/// Writes what a serial port says of itself: its lines, its UART, what the driver has counted.
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

/// A refusal that an operator can do something about.
fn is_worth(refusal: Refusal) -> bool {
    use crosswire::frame::refusal::Reading;
    refusal.reading() == Reading::Stranger
}

/// The names that records are told with.
fn names(report: &Report) -> Names {
    Names {
        peer: report.nodes[report.node.me.peer().index()].clone(),
        paths: report.paths.clone(),
        groups: report.groups.iter().map(|(name, _)| name.clone()).gather(),
        interfaces: report.interfaces.clone(),
        scripts: report.scripts.clone(),
        key_file: report.key_file.clone(),
        is_shadow: report.is_shadow,
    }
}
