//! The play itself: the pair is built, broken and healed in the order of [`Act::ALL`], and every act is
//! measured.

use std::env;
use std::io;
use std::path::{Path, PathBuf, absolute};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crosswire::pair::Side;
use crosswire::time::{Instant, Span};
use nix::unistd::{AccessFlags, access};

use super::judge::{Act, Grade, Limits, Measured, Reaction, Row, pass_limit};
use super::picture::picture;
use super::screen::Screen;
use super::steps::Steps;
use super::tidy;
use super::view::{Faults, View};
use crate::workbench::lab::Lab;
use crate::workbench::lab::clock::{now, span};
use crate::workbench::lab::setup::{GROUP, NODE_NAMES, Setup, VIP};
use crate::workbench::lab::switch::PortRules;

/// Time between two looks at everything; reactions are measured with this resolution.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Longest until a fresh pair serves and every path is on time.
const START_LIMIT: Span = Span::from_s(10);
/// How long the fresh pair is left alone.
const START_REST: Span = Span::from_ms(1_500);
/// Longest until the other node serves, however late that is.
const MOVE_LIMIT: Span = Span::from_s(5);
/// Longest until `crosswire handover` has ended.
const COMMAND_LIMIT: Span = Span::from_s(5);

/// Why the demo could not be played to its end.
#[derive(Debug)]
pub(super) enum Stop {
    /// Ctrl-C, SIGTERM or SIGHUP.
    Interrupted,
    /// This machine does not let us.
    Machine(io::Error),
    /// The pair never began to serve.
    NoStart,
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Machine(error)
    }
}

/// The laboratory and what is shown of it. Dropping it ends everything.
pub(super) struct Stage<'s, 'out> {
    lab: Lab,
    screen: &'s mut Screen<'out>,
    steps: Steps,
    view: View,
    faults: Faults,
    begun: Instant,
}

/// The state when an act began.
struct Mark {
    at: Instant,
    holder: Side,
    overlap: Span,
    holds: usize,
}

impl<'s, 'out> Stage<'s, 'out> {
    /// Builds the laboratory; no daemon runs yet.
    pub(super) fn new(screen: &'s mut Screen<'out>) -> io::Result<Self> {
        let begun = now();
        let lab = Lab::new(&this_program()?, Setup::default())?;
        Ok(Self { lab, screen, steps: Steps::new(), view: View::new(), faults: Faults::default(), begun })
    }

    /// Plays everything; `rows` gets what was measured until an error.
    pub(super) fn play(&mut self, rows: &mut Vec<Row>) -> Result<(), Stop> {
        self.start()?;
        for (index, act) in Act::ALL.into_iter().enumerate() {
            self.steps.begin(index + 1);
            let row = self.perform(act)?;
            self.steps.end(index + 1, row.grade, row.summary());
            self.say(index + 1)?;
            let is_lost = row.grade == Grade::Failed && self.view.holder().is_none();
            rows.push(row);
            if is_lost {
                // Nobody or everybody serves: there is no active node to go on with.
                break;
            }
        }
        Ok(())
    }

    /// The last picture, without its title, so that the table fits below it.
    pub(super) fn last_picture(&self) -> Vec<String> {
        let mut lines = picture(&self.view).split_off(2);
        lines.push(String::new());
        lines
    }

    /// What both daemons have written.
    pub(super) fn story(&self) -> String {
        self.lab.story()
    }

    /// Has the node that serves draw what it knows.
    pub(super) fn draw(&self, file: &Path) -> io::Result<()> {
        let mut command = self.lab.command(self.view.holder().unwrap_or(Side::A), &["why"])?;
        command.arg("--svg").arg(absolute(file)?).stdin(Stdio::null());
        let has_drawn = self.lab.spawn(command)?.wait()?.success();
        if has_drawn { Ok(()) } else { Err(io::Error::other(format!("{}: not drawn", file.display()))) }
    }

    /// How long both kernels held the VIP at once, in all.
    pub(super) fn overlap(&self) -> io::Result<Span> {
        self.lab.overlap()
    }

    /// Time since the demo began.
    pub(super) fn elapsed(&self) -> Span {
        now().since(self.begun)
    }

    fn start(&mut self) -> Result<(), Stop> {
        self.screen.line(&introduction(self.lab.setup()))?;
        self.steps.begin(0);
        let at = now();
        self.lab.start(Side::A)?;
        self.lab.start(Side::B)?;
        let is_ready =
            |view: &View| view.holder().is_some() && view.is_answering && view.both(|told| told.is_clear());
        if self.watch_until(START_LIMIT, is_ready)?.is_none() {
            return Err(Stop::NoStart);
        }
        let since = self.lab.log().holds(VIP)?.first().map_or(at, |hold| hold.from);
        let name = self.view.holder().map_or("nobody", |side| NODE_NAMES[side.index()]);
        self.steps.end(0, Grade::Ok, format!("{name} serves after {} ms", since.since(at).as_ms()));
        self.say(0)?;
        self.watch_for(START_REST)
    }

    /// One act: does it, watches for as long as it needs, and measures.
    fn perform(&mut self, act: Act) -> Result<Row, Stop> {
        let limits = Limits::new(act, self.lab.setup());
        let mark = self.mark()?;
        let has_obeyed = self.act(act, mark.holder)?;
        let reaction_after = match act.reaction() {
            Some(reaction) => self.watch_for_reaction(reaction, mark.at, pass_limit(limits.reaction))?,
            None => {
                self.watch_until(MOVE_LIMIT, |view| {
                    view.holder() == Some(mark.holder.peer()) && view.is_answering
                })?;
                None
            }
        };
        let watched = now().since(mark.at);
        self.watch_for(least(act).saturating_sub(watched))?;
        let measured = self.measure(&mark, reaction_after, has_obeyed)?;
        Ok(Row::new(act, limits, measured))
    }

    fn mark(&mut self) -> Result<Mark, Stop> {
        self.look(false)?;
        let holder = self.view.holder().ok_or_else(|| io::Error::other("no single node serves"))?;
        let (overlap, holds) = (self.lab.overlap()?, self.lab.log().holds(VIP)?.len());
        Ok(Mark { at: now(), holder, overlap, holds })
    }

    fn measure(&self, mark: &Mark, reaction_after: Option<Span>, has_obeyed: bool) -> io::Result<Measured> {
        let gap = self.lab.ping().longest_gap_since(mark.at);
        Ok(Measured {
            before: mark.holder,
            holders: self.lab.log().holders(VIP)?,
            times_taken: self.lab.log().holds(VIP)?.len() - mark.holds,
            reaction_after,
            has_obeyed,
            outage: gap.worst().saturating_sub(span(self.lab.setup().ping_step)),
            overlap: self.lab.overlap()?.saturating_sub(mark.overlap),
        })
    }

    /// Breaks or heals; says whether a command that was called did what it was asked.
    fn act(&mut self, act: Act, active: Side) -> Result<bool, Stop> {
        let backup = active.peer();
        match act {
            Act::CutLan => {
                self.lab.set_lan(backup, PortRules::silent());
                self.faults.lan = Some(backup);
            }
            Act::CutCable => {
                self.lab.cable().cut();
                self.faults.cable = true;
            }
            Act::HealLan | Act::HealCable => {
                self.lab.heal()?;
                self.faults = Faults::default();
            }
            Act::Handover => return self.hand_over(active),
            Act::PowerCut => {
                self.faults.power = Some(active);
                self.lab.power_cut(active)?;
            }
        }
        Ok(true)
    }

    /// The real command, as an operator would call it on the active node.
    fn hand_over(&mut self, active: Side) -> Result<bool, Stop> {
        let mut command: Command = self.lab.command(active, &["handover", GROUP])?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = self.lab.spawn(command)?;
        let deadline = now() + COMMAND_LIMIT;
        let status = loop {
            match child.try_wait()? {
                None if now() < deadline => {
                    let _ = self.tick()?;
                }
                status => break status,
            }
        };
        if status.is_none() {
            // It may have ended this instant; wait() then says how.
            let _ = child.kill();
            child.wait()?;
        }
        Ok(status.is_some_and(|status| status.success()))
    }

    /// How long after `since` both nodes reported what they have to.
    fn watch_for_reaction(
        &mut self,
        reaction: Reaction,
        since: Instant,
        limit: Span,
    ) -> Result<Option<Span>, Stop> {
        let seen = self.watch_until(limit, |view| match reaction {
            Reaction::Jeopardy => view.both(|told| told.is_jeopardy),
            Reaction::Clear => view.both(|told| told.is_clear()),
        })?;
        Ok(seen.map(|at| at.since(since)))
    }

    fn watch_for(&mut self, time: Span) -> Result<(), Stop> {
        self.watch_until(time, |_| false).map(|_| ())
    }

    /// Watches until `is_so` holds, for `limit` at most; returns when it was seen.
    fn watch_until(&mut self, limit: Span, is_so: impl Fn(&View) -> bool) -> Result<Option<Instant>, Stop> {
        let deadline = now() + limit;
        while now() < deadline {
            let at = self.tick()?;
            if is_so(&self.view) {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// One look after a short sleep; returns when that was.
    fn tick(&mut self) -> Result<Instant, Stop> {
        thread::sleep(LOOK_EVERY);
        self.look(false)?;
        Ok(now())
    }

    fn look(&mut self, is_due: bool) -> Result<(), Stop> {
        if tidy::is_interrupted() {
            return Err(Stop::Interrupted);
        }
        self.view = View::look(&self.lab, self.faults, self.elapsed())?;
        let (view, steps) = (&self.view, &self.steps);
        self.screen.draw(is_due, || {
            let mut lines = picture(view);
            lines.push(String::new());
            lines.extend(steps.lines());
            lines
        })?;
        Ok(())
    }

    fn say(&mut self, step: usize) -> Result<(), Stop> {
        self.look(true)?;
        let line = self.steps.line(step);
        self.screen.line(&line)?;
        Ok(())
    }
}

/// The first line for those who see no picture.
fn introduction(setup: &Setup) -> String {
    let [a, b] = NODE_NAMES;
    let step_ms = setup.ping_step.as_millis();
    format!("two gateways on this machine, {a} and {b}; a client pings {VIP} every {step_ms} ms\n")
}

/// How long an act is watched at least: long enough to see what must not happen.
const fn least(act: Act) -> Span {
    match act {
        // Six times dead_after, three times the lease.
        Act::CutLan | Act::CutCable => Span::from_ms(3_000),
        Act::HealLan | Act::HealCable => Span::from_ms(1_500),
        Act::Handover | Act::PowerCut => Span::from_ms(2_000),
    }
}

/// The program that runs: by its path, so that it shows in a process list; by its descriptor if the path is
/// closed to this user, or leads elsewhere by now.
fn this_program() -> io::Result<PathBuf> {
    let path = env::current_exe()?;
    let is_open = access(&path, AccessFlags::X_OK).is_ok();
    Ok(if is_open { path } else { PathBuf::from("/proc/self/exe") })
}
