//! What `status` shows to people: the assessment, who serves what, what one more fault would do, the
//! witnesses, then the paths.

use std::fmt::{self, Write as _};

use crosswire::frame::BUILD;
use crosswire::pair::{Role, Trouble};
use crosswire::reasons::Verdict;
use crosswire::resource::Condition;
use crosswire::time::Span;

use super::assessment::assess;
use super::control::{LostKind, Report};
use super::forecast;
use super::inability::{blocked, fault_words};
use super::status_paths::write_paths;
use super::status_witnesses::{write_neighbours, write_witnesses};
use super::words;
use crate::plain;

/// The whole text, for a screen of 80 columns; with the figures of every path if `is_verbose`. An agent sees
/// less of its box's interfaces than a command does there: it has no `/proc`.
pub fn text(report: &Report, is_verbose: bool, is_agent: bool) -> String {
    let mut text = format!("{}\n", assess(report).sentence(report));
    // Writing into memory cannot fail.
    let _ = write(report, is_verbose, is_agent, &mut text);
    plain::wrapped(&plain::lines(&text))
}

fn write(report: &Report, is_verbose: bool, is_agent: bool, out: &mut String) -> fmt::Result {
    write_nodes(report, is_agent, out)?;
    writeln!(out, "\ngroups{}", if report.is_shadow { ", as they would be" } else { "" })?;
    for index in 0..report.groups.len() {
        write_group(report, index, out)?;
    }
    forecast::write(report, out)?;
    write_witnesses(report, out)?;
    write_neighbours(report, out)?;
    write_paths(report, is_verbose, out)?;
    if is_verbose { write_drops(report, out) } else { Ok(()) }
}

/// Writes what was dropped or cut short, if anything was.
fn write_drops(report: &Report, out: &mut String) -> fmt::Result {
    let drops = LostKind::ALL.iter().zip(&report.drops).filter(|(_, (count, _))| *count > 0);
    for (index, (what, (count, age))) in drops.enumerate() {
        if index == 0 {
            writeln!(out, "\ndropped or cut short since this agent began")?;
        }
        let [_, what] = what.names();
        writeln!(out, "  {what:<19} {count}, the last {age} ago")?;
    }
    Ok(())
}

/// Writes both nodes, and whatever is wrong with this one.
fn write_nodes(report: &Report, is_agent: bool, out: &mut String) -> fmt::Result {
    let node = &report.node;
    let [me, peer] = report.names();
    writeln!(out, "pair {}: this is {me}, up {}", report.pair, node.up)?;
    if cfg!(feature = "shadow") && report.is_shadow {
        writeln!(
            out,
            "  SHADOW: nothing of what follows is done; only the LAN is used, on a port of its own"
        )?;
    }
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
    for place in &report.misplaced {
        let what = "is a service address where it does not belong: after a handover both nodes answer for it";
        writeln!(out, "  {place} {what}; it is not removed")?;
    }
    if !is_agent {
        words::answering_beside(&report.interfaces).try_for_each(|double| writeln!(out, "  {double}"))?;
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
    if node.is_lifetime_ignored {
        writeln!(
            out,
            "  this kernel KEEPS ADDRESSES FOR EVER: only a watchdog ends them should both processes be \
            killed"
        )?;
    }
    let journal = report.journal.as_ref().filter(|(_, trouble)| *trouble != 0);
    if let Some((file, trouble)) = journal {
        writeln!(out, "  the JOURNAL {file} is NOT WRITTEN: {}", words::journal_trouble(*trouble))?;
    }
    if report.is_replaced {
        writeln!(
            out,
            "  the agent of this node died or hung {} ago, and another one went on in its place",
            node.up
        )?;
    }
    if node.worst_stall > Span::ZERO {
        writeln!(out, "  paused {}, {} ago (load, or stopped)", node.worst_stall, node.stalled)?;
    }
    if node.is_digest_different {
        writeln!(out, "  the CONFIGURATIONS DIFFER: compare {} on both nodes", report.file)?;
    }
    Ok(())
}

fn write_peer(report: &Report, peer: &str, out: &mut String) -> fmt::Result {
    write!(out, "peer {peer}: {}", words::verdict(report.node.verdict))?;
    let Some(heard) = &report.node.peer else { return writeln!(out, ", not heard yet") };
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
    writeln!(out)?;
    let (version, build) = match (heard.build.as_str(), heard.protocol) {
        // The build is also empty while the peer has not said it yet.
        (BUILD, _) | ("", 0 | 2..) => return Ok(()),
        ("", _) => ("an older version (protocol 1)", ""),
        (build, _) => ("version ", build),
    };
    writeln!(out, "  {peer} runs {version}{build}, this node {BUILD}")
}

fn write_group(report: &Report, index: usize, out: &mut String) -> fmt::Result {
    let (Some((name, contents)), Some(ours)) = (report.groups.get(index), report.node.groups.get(index))
    else {
        return Ok(());
    };
    let [me, peer] = report.names();
    let theirs = match report.theirs(index) {
        Some(said) => {
            let was = if report.node.verdict == Verdict::Present { "" } else { "was " };
            let could_not = if said.word.is_inability() { ", could NOT serve it" } else { "" };
            format!("{peer} {was}{} (term {}){could_not}", words::role(said.role), said.term)
        }
        None => format!("{peer} unknown"),
    };
    writeln!(out, "  {name:<9} {me} {} (term {}), {theirs}", words::role(ours.role), ours.term)?;
    writeln!(out, "            {}", contents.join(", "))?;
    if let Some(lasts) = report.failing(index) {
        writeln!(out, "            {me} has NOT been able to serve it for {lasts}")?;
    }
    if !ours.has_carrier {
        writeln!(out, "            an interface of it has NO CARRIER here")?;
    }
    if ours.condition != Condition::Well {
        let condition = words::condition(ours.condition, peer, report.scripts(index), report.end(index));
        writeln!(out, "            {condition}")?;
    }
    if let Some(lasts) = ours.both_serve {
        writeln!(out, "            BOTH NODES SERVE IT, for {lasts}: stop {peer} if it does not let go")?;
    }
    if let Some(mac) = ours.foreign_mac {
        writeln!(out, "            {} CLAIMS an address of it", words::mac(mac))?;
    }
    if let Some(fault) = ours.fault {
        writeln!(out, "            {}", fault_words(report, index, fault))?;
    }
    write_block(report, index, out)
}

/// Writes why this node does not take the group, and for how much longer. It writes nothing while the peer
/// serves it.
fn write_block(report: &Report, index: usize, out: &mut String) -> fmt::Result {
    let Some(ours) = report.node.groups.get(index) else { return Ok(()) };
    let Some(block) = ours.block.filter(|_| matches!(ours.role, Role::Backup | Role::Faulty)) else {
        return Ok(());
    };
    if report.server(index) == Some(report.node.me.peer()) && ours.role == Role::Backup {
        return Ok(());
    }
    writeln!(out, "            not taking it: {}", words::waiting(blocked(report, block), ours.wait))
}
