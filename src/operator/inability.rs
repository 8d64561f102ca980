//! Why a node could not serve, in the words of the first line of a status.

use crosswire::frame::Refusal;
use crosswire::frame::message::GroupReport;
use crosswire::health::{LineReading, PathState};
use crosswire::pair::{Interface, Role, Trouble, Word};
use crosswire::reasons::Block;
use crosswire::resource::{Condition, Fault};
use crosswire::status::{GroupStatus, NeighbourStatus};
use crosswire::time::Span;

use nix::errno::Errno;

use super::control::{LASTS, Report};
use super::forecast;
use super::testimony::{is_heard, is_witness_silent};
use super::words;
use crate::settings::VirtualAddress;

/// What has become of a silent peer, by its modem lines where they are believed.
pub fn dead_words(report: &Report) -> &'static str {
    let reads = |wanted: fn(LineReading) -> bool| report.node.paths.iter().any(|path| wanted(path.lines));
    let is_answering =
        |group: &GroupStatus| group.block == Some(Block::VipAnswers) && group.unserved.is_none();
    if report.node.groups.iter().any(is_answering) {
        "is heard on no path, and its box still answers for what it served"
    } else if report.node.peer.is_none() {
        "has not been heard since the start"
    } else if reads(|lines| lines == LineReading::Dropped) {
        "is off (its modem lines dropped)"
    } else if reads(|lines| matches!(lines, LineReading::Running { .. })) {
        "has power and hangs (its modem lines are on)"
    } else {
        "is off, hangs or is cut off"
    }
}

pub const fn down_words(state: PathState) -> &'static str {
    match state {
        PathState::Noisy => "noisy",
        PathState::Refused => "used by somebody else",
        PathState::Blind => "blind",
        PathState::Unproven => "not heard since it was opened",
        PathState::OnTime | PathState::Late | PathState::Silent | PathState::Broken => "down",
    }
}

/// A script of the group did not stop. It is told to again and again.
pub fn unstopped(group: &GroupStatus) -> Option<Fault> {
    group.fault.filter(|fault| group.role == Role::Releasing && matches!(fault, Fault::ScriptStop(_)))
}

/// The peer holds a group and says that it cannot serve it, for longer than a takeover may take if `is_long`.
pub fn is_failing_there(report: &Report, is_long: bool) -> bool {
    report
        .bounds
        .iter()
        .enumerate()
        .any(|(index, [_, bound])| is_failing_there_of(report, index, if is_long { *bound } else { LASTS }))
}

/// The peer holds this group, which this node does not, and has been unable to serve it for so long.
pub fn is_failing_there_of(report: &Report, index: usize, lasts: Span) -> bool {
    let is_unable =
        |group: &GroupStatus| !group.role.is_holding() && group.peer_unable.is_some_and(|span| span >= lasts);
    report.node.groups.get(index).is_some_and(is_unable)
        && report.theirs(index).is_some_and(|said| said.role == Role::Active)
        && is_heard(report)
}

/// Why this node cannot serve; empty if nothing is known.
pub fn own_inability(report: &Report) -> String {
    let node = &report.node;
    if node.trouble != Trouble::None {
        return words::trouble(node.trouble).to_owned();
    }
    if node.is_stopping {
        return "it is stopping".to_owned();
    }
    if let Some(interface) = report.deaf.first() {
        return format!("nobody answers its probes on {interface}");
    }
    for (index, ((name, _), group)) in report.groups.iter().zip(&node.groups).enumerate() {
        if !group.has_carrier && group.unable.is_some() {
            return format!("an interface of {name} has no carrier");
        }
        let (scripts, end) = (report.scripts(index), report.end(index));
        // A check that fails keeps it from less: it comes last, in words of its own.
        if !matches!(group.condition, Condition::Well | Condition::Unready(_)) {
            return words::condition(group.condition, report.names()[1], scripts, end);
        }
        if let Some(fault) = group.fault.filter(|_| group.unable.is_some()) {
            return fault_words(report, index, fault);
        }
        if group.role == Role::Faulty && report.is_replaced {
            return "its agent died or hung again and again".to_owned();
        }
    }
    cut_off(report, |neighbours| Some(neighbours.state)).unwrap_or_default()
}

/// Why an order for a group failed. An address that the kernel refuses is named.
pub fn fault_words(report: &Report, index: usize, fault: Fault) -> String {
    let contents = report.groups.get(index).map_or(&[][..], |(_, contents)| contents);
    if let Fault::Refused(at, errno) = fault
        && let Some(address) = contents.get(usize::from(at))
    {
        let errno = Errno::from_raw(errno);
        let place = VirtualAddress::place(address).filter(|_| errno == Errno::ENODEV);
        let again = place.map(|(_, on)| format!("; it is tried again once {on} is there"));
        let (word, again) = (errno.desc(), again.unwrap_or_default());
        return format!("the kernel refuses an address of it ({address}): {word}{again}");
    }
    words::fault(fault, report.scripts(index), report.end(index))
}

/// Why this node does not take a group, and what people may do. Where a witness votes they decide only while
/// it is silent: one that answers may have granted the group to the peer.
pub fn blocked(report: &Report, block: Block) -> String {
    let [me, peer] = report.names();
    let what = words::block(block, peer);
    let is_by_vote = block == Block::NotGranted;
    let cut = cut_off(report, |neighbours| Some(neighbours.state)).filter(|_| is_by_vote);
    let cut = cut.map(|cut| format!("{me} is cut off: {cut}; ")).unwrap_or_default();
    let is_theirs = block == Block::Jeopardy || is_by_vote && is_witness_silent(report);
    let then = if is_theirs { words::by_force(peer) } else { String::new() };
    format!("{cut}{what}{then}")
}

/// What is so where a check fails, here or on the peer, and nothing else keeps that node from serving:
/// nothing is handed to it, and it takes over from a dead peer all the same, if the forecasts say so too.
pub fn unreadiness(report: &Report, is_here: bool) -> Option<String> {
    let [me, peer] = report.names();
    let what =
        report.groups.iter().zip(&report.node.groups).enumerate().find_map(|(index, (named, ours))| {
            let is_failing = match is_here {
                true => matches!(ours.condition, Condition::Unready(_)),
                false => report.theirs(index).is_some_and(|said| said.word == Word::Unready),
            };
            let words = || match is_here {
                true => {
                    let how =
                        words::condition(ours.condition, peer, report.scripts(index), report.end(index));
                    format!("{me}: {how}")
                }
                false => format!("{peer} is not ready: a check of {} fails there", named.0),
            };
            is_failing.then(words)
        })?;
    let then =
        if forecast::is_followed(report) { "; it takes over from a dead peer all the same" } else { "" };
    Some(format!("{what}{then}"))
}

/// Why the peer cannot serve, by what it says; empty if no more than a check fails there.
pub fn peers_inability(report: &Report) -> String {
    let Some(peer) = &report.node.peer else { return String::new() };
    let is_any = |is_meant: fn(&GroupReport) -> bool| {
        (0..report.groups.len()).filter_map(|index| report.theirs(index)).any(|said| is_meant(&said))
    };
    let causes = [
        (peer.trouble != Trouble::None, words::trouble(peer.trouble)),
        (peer.has_no_carrier, "an interface of it has no carrier"),
        (peer.is_cold_start, "it is in cold start"),
        (is_any(|said| said.role == Role::Faulty), "a group failed there"),
        (is_any(|said| said.role == Role::Releasing), "it has not let go of a group yet"),
    ];
    let said = causes.iter().find(|(applies, _)| *applies).map(|(_, cause)| (*cause).to_owned());
    let said = said.or_else(|| cut_off(report, |neighbours| neighbours.peer));
    let is_unready = is_any(|said| said.word == Word::Unready);
    let unsaid = if is_unready { "" } else { "for a reason that it tells in its own status" };
    said.unwrap_or_else(|| unsaid.to_owned())
}

/// On which interface no neighbour answers a node; `state` says what it knows of one.
fn cut_off(report: &Report, state: impl Fn(&NeighbourStatus) -> Option<Interface>) -> Option<String> {
    let mut all = report.node.neighbours.iter();
    let cut = all.find(|neighbours| state(neighbours) == Some(Interface::CutOff))?;
    Some(format!("no neighbour answers it on {}", report.interface(cut.interface)))
}

/// Why a peer that sends is not understood; empty if nothing is known.
pub fn refused_for(report: &Report) -> &'static str {
    let counted = |refusal: Refusal| {
        let at = Refusal::ALL.iter().position(|one| *one == refusal);
        report
            .node
            .paths
            .iter()
            .any(|path| at.and_then(|at| path.refusals.get(at)).is_some_and(|count| *count > 0))
    };
    let causes = [
        (Refusal::Authenticator, "not with our key"),
        (Refusal::UnknownKey, "with a key that we do not have"),
        (Refusal::Pair, "for another pair"),
        (Refusal::Version, "in another version"),
        (Refusal::SameNode, "under our own name"),
    ];
    causes.iter().find(|(refusal, _)| counted(*refusal)).map_or("", |(_, cause)| cause)
}
