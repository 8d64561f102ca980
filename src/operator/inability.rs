//! Why a node could not serve, in the words of the first line of a status.

use crosswire::frame::Refusal;
use crosswire::frame::message::GroupReport;
use crosswire::health::{LineReading, PathState};
use crosswire::pair::{Interface, Role, Trouble, Word};
use crosswire::reasons::Block;
use crosswire::resource::Condition;
use crosswire::status::{GroupStatus, NeighbourStatus};

use super::control::Report;
use super::words;

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
        PathState::Unproven => "silent since the start",
        PathState::OnTime | PathState::Late | PathState::Silent | PathState::Broken => "down",
    }
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
        if group.condition != Condition::Well {
            return words::condition(group.condition, report.names()[1], scripts, end);
        }
        if let Some(fault) = group.fault.filter(|_| group.unable.is_some()) {
            return words::fault(fault, scripts, end);
        }
        if group.role == Role::Faulty && report.is_replaced {
            return "its agent died or hung again and again".to_owned();
        }
    }
    cut_off(report, |neighbours| Some(neighbours.state)).unwrap_or_default()
}

/// Why the peer cannot serve, by what it says; empty if nothing is known.
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
        (is_any(|said| said.word == Word::Unready), "a check of a group fails there"),
    ];
    let said = causes.iter().find(|(applies, _)| *applies).map(|(_, cause)| (*cause).to_owned());
    said.or_else(|| cut_off(report, |neighbours| neighbours.peer)).unwrap_or_default()
}

/// On which interface no neighbour answers a node; `state` says what it knows of one.
fn cut_off(report: &Report, state: impl Fn(&NeighbourStatus) -> Option<Interface>) -> Option<String> {
    let mut all = report.node.neighbours.iter();
    let cut = all.find(|neighbours| state(neighbours) == Some(Interface::CutOff))?;
    let name = report.interfaces.get(usize::from(cut.interface)).map_or("?", String::as_str);
    Some(format!("no neighbour answers it on {name}"))
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
