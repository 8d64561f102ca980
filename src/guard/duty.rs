//! What the guard keeps for one group beside its state: the script that runs, and when to announce.

use crosswire::resource::{Fault, ReleaseOrder};
use crosswire::time::{Instant, Span};

use super::announce::{Schedule, announce};
use super::ethernet::Sender;
use super::group::{Action, Group};
use super::monitor::Watches;
use super::scripts::Run;
use super::spawn::{NODE_VARIABLE, environment};
use crate::clock::now;
use crate::settings::{GroupSettings, Route, Script, Settings};

/// Why a script is run: the value of `CROSSWIRE_REASON`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// The node takes the group.
    Acquire,
    /// It hands the group over in order.
    Release,
    /// It must let go at once.
    ForcedRelease,
    /// One of the group's scripts did not start: what was started is stopped.
    FailedStart,
    /// One of them is looked at.
    Monitor,
    /// The configuration was read anew.
    Reload,
    /// One of them has failed: it and those to its right are started again.
    Restart,
}

impl Reason {
    fn text(self) -> &'static str {
        match self {
            Self::Acquire => "acquire",
            Self::Release => "release",
            Self::ForcedRelease => "forced-release",
            Self::FailedStart => "failed-start",
            Self::Monitor => "monitor",
            Self::Reload => "reload",
            Self::Restart => "restart",
        }
    }
}

impl From<ReleaseOrder> for Reason {
    fn from(first: ReleaseOrder) -> Self {
        match first {
            ReleaseOrder::ScriptsFirst => Self::Release,
            ReleaseOrder::AddressesFirst => Self::ForcedRelease,
        }
    }
}

/// One group in the guard's hands.
pub struct Duty {
    /// Its state.
    pub group: Group,
    /// The script that is running.
    pub run: Option<Run>,
    /// Its scripts, as they were started.
    pub scripts: Vec<Script>,
    /// Its scripts as a reload wants them, as long as some of the others have still to be stopped.
    next_scripts: Option<Vec<Script>>,
    /// Something was added to it: announced as soon as it is there.
    pub has_news: bool,
    /// Its routes among that.
    pub new_routes: Vec<Route>,
    /// How its scripts are watched.
    pub watches: Watches,
    /// The reign for which it was acquired last.
    pub term: u32,
    /// Why its scripts run.
    pub reason: Reason,
    /// What went wrong with the last renewal, so that it is said once.
    pub renewal_fault: Option<Fault>,
    /// Its agent was lost, and the one in its place has not renewed it yet.
    pub is_on_trial: bool,
    schedule: Option<Schedule>,
    held_until: Instant,
}

impl Duty {
    /// A group that is not held.
    pub fn new(settings: &GroupSettings) -> Self {
        Self {
            group: Group::new(settings.scripts.len()),
            run: None,
            scripts: settings.scripts.clone(),
            next_scripts: None,
            has_news: false,
            new_routes: Vec::new(),
            watches: Watches::new(&settings.scripts),
            term: 0,
            reason: Reason::Acquire,
            renewal_fault: None,
            is_on_trial: false,
            schedule: None,
            held_until: Instant::ORIGIN,
        }
    }

    /// The kernel has given the addresses another lease, not before `asked_at`.
    pub fn extend(&mut self, asked_at: Instant, lease: Span) {
        self.held_until = asked_at + lease;
        self.is_on_trial = false;
    }

    /// Until when the kernel keeps the addresses at least.
    pub fn held_until(&self) -> Instant {
        self.held_until
    }

    /// It is held, and the agent that goes on with it has still to show that it does.
    pub fn is_tried(&self) -> bool {
        self.is_on_trial && self.group.is_held()
    }

    /// A reload wants these scripts. Those that are the same from the left go on; the others are stopped, and the new ones
    /// are started. Only at rest.
    pub fn change_scripts(&mut self, scripts: &[Script]) {
        if self.scripts == scripts {
            return;
        }
        let kept = self.scripts.iter().zip(scripts).take_while(|(old, new)| old.is_same(new)).count();
        self.reason = Reason::Reload;
        self.group.change_scripts(kept, scripts.len());
        self.next_scripts = Some(scripts.to_vec());
        self.take_next_scripts(now());
    }

    /// What had to be stopped has stopped.
    pub fn take_next_scripts(&mut self, now: Instant) {
        if let Some(scripts) = self.next_scripts.take_if(|_| self.group.is_on_new_list()) {
            self.watches.change(&scripts);
            self.scripts = scripts;
            if self.group.may_be_watched() {
                self.watches.begin(now);
            }
        }
    }

    /// Begins to announce the addresses, again if need be: they have just come, or the link has.
    pub fn announce_from(&mut self, now: Instant) {
        self.schedule = Some(Schedule::starting(now));
    }

    /// Announces what is due. Addresses whose lease ran out unrenewed are not ours to announce, nor are those that
    /// are about to go.
    pub fn announce_if_due(&mut self, sender: &Sender, addresses: &GroupSettings, now: Instant) {
        if !self.group.is_serving() {
            self.schedule = None;
        }
        let is_due = self.schedule.as_mut().is_some_and(|schedule| schedule.take_due(now));
        if is_due && now < self.held_until {
            announce(sender, &addresses.addresses);
        }
    }

    /// When this group wants to be looked at next.
    pub fn deadline(&self) -> Instant {
        let announcement = self.schedule.map_or(Instant::NEVER, |schedule| schedule.next());
        let look = if self.group.may_be_watched() { self.watches.due() } else { Instant::NEVER };
        self.run.as_ref().map_or(Instant::NEVER, Run::deadline).min(announcement).min(look)
    }

    /// Runs one of the group's scripts; false if there is no process for it.
    pub fn start_script(
        &mut self,
        settings: &Settings,
        group: &GroupSettings,
        what: (Action, usize),
        now: Instant,
    ) -> bool {
        let Some(script) = self.scripts.get(what.1) else { return false };
        if self.reason == Reason::Acquire && what.0 == Action::Stop {
            self.reason = Reason::FailedStart;
        }
        let reason = if what.0 == Action::Monitor { Reason::Monitor } else { self.reason };
        let term = self.term.to_string();
        let variables = [
            ("CROSSWIRE_GROUP", group.name.as_str()),
            ("CROSSWIRE_TERM", term.as_str()),
            (NODE_VARIABLE, settings.my_name()),
            ("CROSSWIRE_PEER", settings.peer_name()),
            ("CROSSWIRE_REASON", reason.text()),
        ];
        let environment = environment(script, what.0, &group.name, what.1 + 1, &variables);
        match Run::start(script, what.0, &environment, now) {
            Ok(run) => self.run = Some(run),
            Err(errno) => log::error!("group {}: {} cannot be run: {}", group.name, script.label(), errno.desc()),
        }
        self.run.is_some()
    }
}
