//! What can be seen of the pair at one instant: both daemons by their own word, both kernels, the client, and
//! what is broken.

use std::io;

use crosswire::health::PathState;
use crosswire::pair::{Role, Side};
use crosswire::reasons::Verdict;
use crosswire::time::Span;

use crate::operator::control::{Answer, Question, Report, ask};
use crate::workbench::lab::Lab;
use crate::workbench::lab::setup::VIP;

/// The names that a daemon gives to its cable and its LAN if it has one of each.
const PATH_NAMES: [&str; 2] = ["serial", "lan"];

/// Everything that the picture shows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct View {
    /// Since the demo began.
    pub(super) elapsed: Span,
    /// By side.
    pub(super) nodes: [NodeView; 2],
    /// Which kernels hold the VIP, by side.
    pub(super) holders: [bool; 2],
    /// The VIP answers the client.
    pub(super) is_answering: bool,
    /// What is broken on purpose.
    pub(super) faults: Faults,
}

/// What is broken on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Faults {
    /// The node whose LAN link is dead.
    pub(super) lan: Option<Side>,
    /// The cable is cut.
    pub(super) cable: bool,
    /// The node that has no power.
    pub(super) power: Option<Side>,
}

/// One node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NodeView {
    /// It has no power.
    NoPower,
    /// Its daemon does not answer (yet).
    Silent,
    /// What its daemon says.
    Up(Told),
}

/// What a daemon says of itself, its paths and its peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Told {
    pub(super) role: Role,
    pub(super) term: u32,
    pub(super) verdict: Verdict,
    pub(super) is_jeopardy: bool,
    /// Cable, then LAN.
    pub(super) paths: [PathState; 2],
}

impl View {
    /// Before anything has happened.
    pub(super) const fn new() -> Self {
        Self {
            elapsed: Span::ZERO,
            nodes: [NodeView::Silent; 2],
            holders: [false; 2],
            is_answering: false,
            faults: Faults { lan: None, cable: false, power: None },
        }
    }

    /// Asks everybody.
    ///
    /// # Errors
    /// If the observer lost track of the kernels.
    pub(super) fn look(lab: &Lab, faults: Faults, elapsed: Span) -> io::Result<Self> {
        Ok(Self {
            elapsed,
            nodes: [Side::A, Side::B].map(|side| look_at(lab, faults, side)),
            holders: lab.log().holders(VIP)?,
            is_answering: lab.ping().answering(),
            faults,
        })
    }

    /// The one node that serves; `None` if nobody or both do.
    pub(super) const fn holder(&self) -> Option<Side> {
        match self.holders {
            [true, false] => Some(Side::A),
            [false, true] => Some(Side::B),
            [true, true] | [false, false] => None,
        }
    }

    /// Whether both daemons answer, and `holds` is true of both.
    pub(super) fn both(&self, holds: impl Fn(&Told) -> bool) -> bool {
        self.nodes.iter().all(|node| matches!(node, NodeView::Up(told) if holds(told)))
    }
}

impl Told {
    /// Nothing is wrong with any path.
    pub(super) fn is_clear(&self) -> bool {
        !self.is_jeopardy && self.paths.iter().all(|path| *path == PathState::OnTime)
    }
}

fn look_at(lab: &Lab, faults: Faults, side: Side) -> NodeView {
    if faults.power == Some(side) {
        return NodeView::NoPower;
    }
    let answer = ask(&lab.directory(side).join("run"), &Question::Status).ok();
    let told = answer.and_then(Answer::status).and_then(|report| told(&report));
    told.map_or(NodeView::Silent, NodeView::Up)
}

/// The demo's pair has one group, one cable and one LAN; anything else is not its daemon.
fn told(report: &Report) -> Option<Told> {
    let group = report.node.groups.first()?;
    let path = |name: &str| {
        let index = report.paths.iter().position(|path| path == name)?;
        report.node.paths.get(index).map(|path| path.state)
    };
    let [serial, lan] = PATH_NAMES;
    Some(Told {
        role: group.role,
        term: group.term,
        verdict: report.node.verdict,
        is_jeopardy: report.node.jeopardy.is_some(),
        paths: [path(serial)?, path(lan)?],
    })
}
