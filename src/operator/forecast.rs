//! What one more fault would do, in words.

use std::fmt::{self, Write as _};

use crosswire::pair::Side;
use crosswire::quorum::forecast::{Forecast, NextFault, Prospect};
use crosswire::reasons::Block;
use serde::Serialize;

use super::codes;
use super::control::Report;
use super::words;
use crate::gather::Gather;

/// Writes a line for each fault whose outcome is known, except for paths that are down already. It writes
/// nothing while this node holds a group that it cannot serve.
pub fn write(report: &Report, out: &mut String) -> fmt::Result {
    if (0..report.groups.len()).any(|index| report.failing(index).is_some()) {
        return Ok(());
    }
    let told = report.forecasts.iter().filter(|forecast| is_news(report, forecast));
    for (index, forecast) in told.enumerate() {
        if index == 0 {
            writeln!(out, "\nif this fails now")?;
        }
        let what = match forecast.loss {
            NextFault::Path(path) => report.paths.get(path.index()).map_or("?", String::as_str),
            NextFault::Power(side) => report.name(side),
            NextFault::Witness => "witness",
        };
        writeln!(out, "  {what:<9} {}", outcome(report, forecast))?;
    }
    Ok(())
}

fn is_news(report: &Report, forecast: &Forecast) -> bool {
    let is_up = match forecast.loss {
        NextFault::Path(path) => {
            report.node.paths.get(path.index()).is_some_and(|path| path.state.is_heard())
        }
        NextFault::Power(_) | NextFault::Witness => true,
    };
    is_up && forecast.groups.iter().any(|prospect| *prospect != Prospect::Unknown)
}

/// Whether the other box would take over everything if a box that serves lost its power now.
pub fn is_followed(report: &Report) -> bool {
    let is_power = |forecast: &&Forecast| matches!(forecast.loss, NextFault::Power(_));
    report
        .forecasts
        .iter()
        .filter(is_power)
        .flat_map(|forecast| &forecast.groups)
        .all(|prospect| prospect.is_good())
}

/// What becomes of the groups: one sentence if it is the same for all.
fn outcome(report: &Report, forecast: &Forecast) -> String {
    let of = |index: usize| {
        let server = report.server(index).unwrap_or(report.node.me);
        let prospect = forecast.groups.get(index).copied().unwrap_or(Prospect::Unknown);
        prospect_words(report, forecast.loss, prospect, forecast.then.get(index).copied(), server)
    };
    let all: Vec<String> = (0..report.groups.len()).map(of).gather();
    match all.split_first() {
        Some((first, rest)) if rest.iter().all(|other| other == first) => first.clone(),
        _ => {
            let named = report.groups.iter().zip(&all).map(|((name, _), words)| format!("{name}: {words}"));
            named.gather().join("; ")
        }
    }
}

fn prospect_words(
    report: &Report,
    loss: NextFault,
    now: Prospect,
    then: Option<Prospect>,
    server: Side,
) -> String {
    let (holder, other) = (report.name(server), report.name(server.peer()));
    match now {
        Prospect::ServedOn => match (loss, then) {
            (NextFault::Power(_), _) => format!("{holder} serves on"),
            (NextFault::Path(_) | NextFault::Witness, Some(then)) if !then.is_good() => {
                format!("{holder} serves on, but nobody takes over should it fail after that")
            }
            (NextFault::Path(_) | NextFault::Witness, _) => format!("nothing moves, {holder} serves on"),
        },
        Prospect::TakenOver(after) => format!("{other} serves within {after}"),
        Prospect::TakenOnceFenced => format!("{other} fences {holder}, then serves"),
        Prospect::NotTaken(block) => format!("NOBODY SERVES: {}", not_taken(block, holder, other)),
        Prospect::NotAble => format!("NOBODY SERVES: {other} could not take over"),
        Prospect::LetGo(reason) => {
            format!("NOBODY SERVES: {holder} lets go, {}", words::release_reason(reason, other))
        }
        Prospect::MayBeServedTwice => "BOTH MAY SERVE: only a witness or a fence could tell".to_owned(),
        Prospect::Unknown => "not known".to_owned(),
    }
}

/// A forecast for programs.
#[derive(Serialize)]
pub struct ForecastDocument<'a> {
    loss: &'static str,
    name: Option<&'a str>,
    groups: Vec<ProspectDocument>,
    then: Vec<ProspectDocument>,
}

#[derive(Serialize)]
struct ProspectDocument {
    outcome: &'static str,
    within_ms: Option<u64>,
    rule: Option<&'static str>,
}

/// A forecast for programs.
pub fn document<'a>(report: &'a Report, forecast: &Forecast) -> ForecastDocument<'a> {
    let (loss, called) = match forecast.loss {
        NextFault::Path(path) => ("path", report.paths.get(path.index()).map(String::as_str)),
        NextFault::Power(side) => ("power", Some(report.name(side))),
        NextFault::Witness => ("witness", None),
    };
    let each = |all: &[Prospect]| all.iter().copied().map(prospect_document).gather();
    ForecastDocument { loss, name: called, groups: each(&forecast.groups), then: each(&forecast.then) }
}

fn prospect_document(prospect: Prospect) -> ProspectDocument {
    let (outcome, within_ms, rule) = match prospect {
        Prospect::ServedOn => ("served_on", None, None),
        Prospect::TakenOver(after) => ("taken_over", Some(after.as_ms()), None),
        Prospect::TakenOnceFenced => ("taken_once_fenced", None, None),
        Prospect::NotTaken(block) => ("not_taken", None, Some(codes::block(block))),
        Prospect::NotAble => ("not_able", None, None),
        Prospect::LetGo(reason) => ("let_go", None, Some(codes::release(reason))),
        Prospect::MayBeServedTwice => ("may_be_served_twice", None, None),
        Prospect::Unknown => ("unknown", None, None),
    };
    ProspectDocument { outcome, within_ms, rule }
}

/// Why the node `other` does not take what `holder` served, in words that fit on either of them.
fn not_taken(block: Block, holder: &str, other: &str) -> String {
    let what = match block {
        Block::Jeopardy => return format!("{other} cannot be certain that {holder} is off"),
        Block::WitnessUnseen => "sees no witness",
        Block::CutOff => "is cut off from the LAN",
        Block::NotGranted => "is granted nothing by the voting witness",
        Block::Standby => "is in standby",
        Block::Maintenance => "is in maintenance",
        Block::GuardLost => "has no guard that acts",
        Block::NoCarrier => "has no carrier for it",
        Block::ProbeImpossible => "cannot ask the LAN who has the address",
        Block::Stopping => "is stopping",
        Block::PeerServes
        | Block::PeerReleases
        | Block::NoReport
        | Block::PeersTurn
        | Block::JustOffered
        | Block::Unsteady
        | Block::Unheard
        | Block::ColdStart
        | Block::Stalled
        | Block::Refused
        | Block::ProbePending
        | Block::VipAnswers
        | Block::PeerAnswers
        | Block::Lease
        | Block::Drift
        | Block::GrantedToPeer
        | Block::FencePending
        | Block::FenceFailed
        | Block::Exclusive
        | Block::Faulty
        | Block::PeerMaintenance => return words::block(block, holder),
    };
    format!("{other} {what}")
}
