//! What had to happen, what happened, and whether that is as required: plain values, no kernel.

use crosswire::pair::Side;
use crosswire::time::Span;

use crate::workbench::lab::setup::{NODE_NAMES, Setup};

/// What is done to the pair, in this order, after both nodes were started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Act {
    /// No frame passes any more between the backup and the switch; its carrier stays.
    CutLan,
    /// The link is whole again.
    HealLan,
    /// Not one byte passes over the cable.
    CutCable,
    /// The cable is whole again.
    HealCable,
    /// `crosswire handover` on the active node.
    Handover,
    /// The active node's link and the cable go dead, then its processes.
    PowerCut,
}

impl Act {
    /// All acts, in their order.
    pub(super) const ALL: [Self; 6] =
        [Self::CutLan, Self::HealLan, Self::CutCable, Self::HealCable, Self::Handover, Self::PowerCut];

    /// The name of its row.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::CutLan => "LAN cut",
            Self::HealLan => "LAN healed",
            Self::CutCable => "cable cut",
            Self::HealCable => "cable healed",
            Self::Handover => "handover",
            Self::PowerCut => "power cut",
        }
    }

    /// The name of its row in a table that puts a repair below its fault.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::HealLan | Self::HealCable => "- healed",
            Self::CutLan | Self::CutCable | Self::Handover | Self::PowerCut => self.name(),
        }
    }

    /// What is done, for the list of steps.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::CutLan => "cut the backup's LAN link",
            Self::HealLan => "heal the LAN link",
            Self::CutCable => "cut the null-modem cable",
            Self::HealCable => "heal the cable",
            Self::Handover => "crosswire handover, on the active",
            Self::PowerCut => "cut the power of the active node",
        }
    }

    /// What exactly was done; `before` is the node that served until then.
    pub(super) fn done(self, before: Side) -> String {
        let [active, backup] = names(before);
        match self {
            Self::CutLan => format!("{backup}'s link (backup) went dead at the switch, its carrier stayed"),
            Self::HealLan => format!("frames passed between {backup} and the switch again"),
            Self::CutCable => "not one byte passed over the cable any more, either way".to_string(),
            Self::HealCable => "the cable carried bytes again".to_string(),
            Self::Handover => format!("`crosswire handover` on {active} (active)"),
            Self::PowerCut => format!("{active}'s link and cable went dead, then its processes were killed"),
        }
    }

    /// Whether the other node has to serve afterwards.
    pub(super) const fn moves(self) -> bool {
        match self {
            Self::CutLan | Self::HealLan | Self::CutCable | Self::HealCable => false,
            Self::Handover | Self::PowerCut => true,
        }
    }

    /// What both nodes have to report after it, if anything.
    pub(super) const fn reaction(self) -> Option<Reaction> {
        match self {
            Self::CutLan | Self::CutCable => Some(Reaction::Jeopardy),
            Self::HealLan | Self::HealCable => Some(Reaction::Clear),
            Self::Handover | Self::PowerCut => None,
        }
    }
}

/// What both nodes have to report after a fault or its repair.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reaction {
    /// One more fault and silence will prove nothing.
    Jeopardy,
    /// Every path testifies again.
    Clear,
}

impl Reaction {
    const fn word(self) -> &'static str {
        match self {
            Self::Jeopardy => "jeopardy",
            Self::Clear => "clear",
        }
    }
}

/// What was measured of one act.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Measured {
    /// Who served when it began.
    pub(super) before: Side,
    /// Who holds the VIP when it is over, by the kernels, by side.
    pub(super) holders: [bool; 2],
    /// How often a kernel was given the VIP during the act; a renewal does not count.
    pub(super) times_taken: usize,
    /// Time until both nodes reported the reaction; `None` if they did not in time, or none is due.
    pub(super) reaction_after: Option<Span>,
    /// Whether `crosswire handover` said that it is done; true if it was not called.
    pub(super) has_obeyed: bool,
    /// The longest time without an answer to the client, less the step at which it asks.
    pub(super) outage: Span,
    /// How long both kernels held the VIP at once.
    pub(super) overlap: Span,
}

/// The bounds that the design sets for one act, at the laboratory's timing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Limits {
    /// Longest outage.
    pub(super) outage: Span,
    /// Longest time until the reaction.
    pub(super) reaction: Span,
}

impl Limits {
    pub(super) fn new(act: Act, setup: &Setup) -> Self {
        /// Requests of the client that may be late before the address counts as not answering.
        const FEW_STEPS: u32 = 4;
        let dead_after = Span::from_ms(u64::from(setup.dead_after_ms));
        let outage = match act {
            Act::CutLan | Act::HealLan | Act::CutCable | Act::HealCable => {
                crate::workbench::lab::clock::span(setup.ping_step * FEW_STEPS)
            }
            // A planned move.
            Act::Handover => Span::from_ms(15),
            // A takeover from a peer that lost its power.
            Act::PowerCut => dead_after + Span::from_ms(50),
        };
        // Both nodes report a path that is down within dead_after and an interval.
        Self { outage, reaction: dead_after + Span::from_ms(u64::from(setup.interval_ms)) }
    }
}

/// How long something with this limit may take and still pass: other programs on this machine delay the pair,
/// the switch and the client alike. Above `limit` it is called slow.
pub(super) fn pass_limit(limit: Span) -> Span {
    const TIMES: u64 = 3;
    const MIN_PASS: Span = Span::from_ms(100);
    limit.fraction(TIMES, 1).max(MIN_PASS)
}

/// Whether it was as required.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Grade {
    /// Within the bounds of the design.
    Ok,
    /// As required, but slower than the design says: within [`pass_limit`].
    Slow,
    /// Not as required.
    Failed,
}

impl Grade {
    /// The word in front of a row.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Slow => "slow",
            Self::Failed => "FAIL",
        }
    }

    fn of(took: Span, limit: Span) -> Self {
        if took <= limit {
            Self::Ok
        } else if took <= pass_limit(limit) {
            Self::Slow
        } else {
            Self::Failed
        }
    }
}

/// A row of the table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Row {
    pub(super) act: Act,
    pub(super) limits: Limits,
    pub(super) measured: Measured,
    pub(super) grade: Grade,
    pub(super) required: String,
    pub(super) happened: String,
}

impl Row {
    /// Compares what was measured with the limits.
    pub(super) fn new(act: Act, limits: Limits, measured: Measured) -> Self {
        Self {
            act,
            limits,
            measured,
            grade: grade(act, limits, &measured),
            required: required(act, limits, measured.before),
            happened: happened(act, &measured),
        }
    }

    /// What the list of steps says of it.
    pub(super) fn summary(&self) -> String {
        if self.act.moves() {
            format!("{}, outage {} ms", self.happened, tenths(self.measured.outage))
        } else {
            self.happened.clone()
        }
    }
}

/// Who serves at the end, if all goes well.
fn expected(act: Act, before: Side) -> Side {
    if act.moves() { before.peer() } else { before }
}

fn grade(act: Act, limits: Limits, measured: &Measured) -> Grade {
    let side = expected(act, measured.before);
    let is_held_right = measured.holders[side.index()] && !measured.holders[side.peer().index()];
    let is_taken_right = measured.times_taken == usize::from(act.moves());
    if !(is_held_right && is_taken_right && measured.has_obeyed && measured.overlap == Span::ZERO) {
        return Grade::Failed;
    }
    let reaction = match (act.reaction(), measured.reaction_after) {
        (None, _) => Grade::Ok,
        (Some(_), None) => Grade::Failed,
        (Some(_), Some(after)) => Grade::of(after, limits.reaction),
    };
    reaction.max(Grade::of(measured.outage, limits.outage))
}

fn required(act: Act, limits: Limits, before: Side) -> String {
    match act.reaction() {
        Some(reaction) => format!("no move, {} <{} s", reaction.word(), seconds(limits.reaction)),
        None => {
            format!(
                "{} serves within {} ms",
                NODE_NAMES[expected(act, before).index()],
                limits.outage.as_ms()
            )
        }
    }
}

fn happened(act: Act, measured: &Measured) -> String {
    let [before, other] = names(measured.before);
    let is_with_peer = measured.holders[measured.before.peer().index()];
    let is_with_before = measured.holders[measured.before.index()];
    let held = match (is_with_before, is_with_peer, measured.times_taken) {
        (true, true, _) => "BOTH HOLD THE VIP".to_string(),
        (false, false, _) => "nobody serves".to_string(),
        (true, false, 0) => "no move".to_string(),
        (true, false, times) => format!("VIP left {before} {times}x"),
        (false, true, 1) => format!("{other} serves"),
        (false, true, times) => format!("{other} serves, moved {times}x"),
    };
    let reaction = match (act.reaction(), measured.reaction_after) {
        (None, _) if measured.has_obeyed => String::new(),
        (None, _) => ", refused".to_string(),
        (Some(reaction), None) => format!(", not {}", reaction.word()),
        (Some(reaction), Some(after)) => format!(", {} {} ms", reaction.word(), after.as_ms()),
    };
    held + &reaction
}

/// This node and the other.
fn names(side: Side) -> [&'static str; 2] {
    [NODE_NAMES[side.index()], NODE_NAMES[side.peer().index()]]
}

/// Milliseconds with one digit after the point.
pub(super) fn tenths(span: Span) -> String {
    let tenths = (span.as_us() + 50) / 100;
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// Seconds with one digit after the point.
pub(super) fn seconds(span: Span) -> String {
    let tenths = (span.as_ms() + 50) / 100;
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A_HOLDS: [bool; 2] = [true, false];
    const B_HOLDS: [bool; 2] = [false, true];

    fn calm(reaction_after_ms: u64) -> Measured {
        Measured {
            before: Side::A,
            holders: A_HOLDS,
            times_taken: 0,
            reaction_after: Some(Span::from_ms(reaction_after_ms)),
            has_obeyed: true,
            outage: Span::ZERO,
            overlap: Span::ZERO,
        }
    }

    fn moved(outage_ms: u64) -> Measured {
        let outage = Span::from_ms(outage_ms);
        Measured { holders: B_HOLDS, times_taken: 1, reaction_after: None, outage, ..calm(0) }
    }

    fn judged(act: Act, measured: Measured) -> (Grade, String) {
        let row = Row::new(act, Limits::new(act, &Setup::default()), measured);
        (row.grade, row.happened)
    }

    #[test]
    fn what_the_catalogue_asks_for_is_ok_three_times_it_is_slow_and_more_has_failed() {
        for (act, measured, grade) in [
            (Act::CutLan, calm(600), Grade::Ok),
            (Act::CutCable, calm(601), Grade::Slow),
            (Act::HealLan, calm(1_800), Grade::Slow),
            (Act::HealCable, calm(1_801), Grade::Failed),
            (Act::CutLan, Measured { outage: Span::from_ms(20), ..calm(500) }, Grade::Ok),
            (Act::CutLan, Measured { outage: Span::from_ms(21), ..calm(500) }, Grade::Slow),
            (Act::CutLan, Measured { outage: Span::from_ms(101), ..calm(500) }, Grade::Failed),
            (Act::Handover, moved(15), Grade::Ok),
            (Act::Handover, moved(100), Grade::Slow),
            (Act::Handover, moved(101), Grade::Failed),
            (Act::PowerCut, moved(550), Grade::Ok),
            (Act::PowerCut, moved(1_650), Grade::Slow),
            (Act::PowerCut, moved(1_651), Grade::Failed),
        ] {
            assert_eq!(judged(act, measured).0, grade, "{act:?} {measured:?}");
        }
    }

    #[test]
    fn whatever_is_wrong_fails_the_row_and_is_named() {
        let both = [true, true];
        for (act, measured, happened) in [
            (Act::CutLan, Measured { reaction_after: None, ..calm(0) }, "no move, not jeopardy"),
            (
                Act::CutCable,
                Measured { holders: B_HOLDS, times_taken: 1, ..calm(9) },
                "gw2 serves, jeopardy 9 ms",
            ),
            (Act::CutCable, Measured { times_taken: 1, ..calm(9) }, "VIP left gw1 1x, jeopardy 9 ms"),
            (
                Act::HealLan,
                Measured { holders: both, times_taken: 1, ..calm(9) },
                "BOTH HOLD THE VIP, clear 9 ms",
            ),
            (Act::HealLan, Measured { overlap: Span::from_us(1), ..calm(9) }, "no move, clear 9 ms"),
            (Act::Handover, Measured { has_obeyed: false, ..moved(3) }, "gw2 serves, refused"),
            (Act::Handover, Measured { holders: A_HOLDS, times_taken: 0, ..moved(0) }, "no move"),
            (Act::Handover, Measured { times_taken: 3, ..moved(9) }, "gw2 serves, moved 3x"),
            (Act::PowerCut, Measured { holders: [false; 2], times_taken: 0, ..moved(9) }, "nobody serves"),
            (Act::PowerCut, Measured { overlap: Span::from_us(1), ..moved(9) }, "gw2 serves"),
        ] {
            assert_eq!(judged(act, measured), (Grade::Failed, happened.to_string()), "{act:?}");
        }
    }

    #[test]
    fn tenths_are_rounded() {
        assert_eq!(
            [0, 49, 50, 1_949, 1_950].map(|us| tenths(Span::from_us(us))),
            ["0.0", "0.0", "0.1", "1.9", "2.0"]
        );
        assert_eq!([0, 600, 1_949, 1_950].map(|ms| seconds(Span::from_ms(ms))), ["0.0", "0.6", "1.9", "2.0"]);
    }
}
