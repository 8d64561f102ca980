//! What the guard keeps of one group beside custody: the script that runs, and when to announce.

use crosswire::custody::{Action, Readiness, Reason};
use crosswire::time::Instant;
use nix::errno::Errno;

use crate::clock::now;
use crate::gather::Gather;
use crate::guard::kernel::announcements::{Schedule, announce};
use crate::guard::kernel::ethernet::Sender;
use crate::guard::scripts::run::Run;
use crate::guard::scripts::spawn::{NODE_VARIABLE, environment};
use crate::settings::{GroupSettings, Route, Script, Settings, VirtualAddress};

/// The number of a check that is none any more.
const NO_CHECK: u8 = u8::MAX;

/// One group in the guard's hands.
#[derive(Default)]
pub struct GroupResources {
    /// The script that is running.
    pub run: Option<Run>,
    /// Whether this node is ready for it, while it is not held.
    pub readiness: Readiness,
    /// The check of that which is running.
    pub check: Option<(u8, Run)>,
    /// Which of its scripts that is.
    pub script: u8,
    /// Its scripts, as they were started.
    pub scripts: Vec<Script>,
    /// Its scripts as a reload wants them, while some of the others have still to be stopped.
    next_scripts: Option<Vec<Script>>,
    /// Addresses that a reload has added while it was held, until nobody answers for them.
    pub newcomers: Vec<VirtualAddress>,
    /// Its addresses without those.
    pub known: Vec<VirtualAddress>,
    /// Something was added, and is announced as soon as it is there.
    pub has_news: bool,
    /// Its routes among that.
    pub new_routes: Vec<Route>,
    /// The routes that it has while it is not held were added.
    pub has_backup_routes: bool,
    /// The first of its addresses that the kernel would refuse, as the agent was told.
    pub refused: Option<u8>,
    /// By index in the group's list, as bits: addresses that may stand where they should not, and that were
    /// not looked for since.
    pub unlooked: u64,
    schedule: Option<Schedule>,
}

impl GroupResources {
    /// A group that is not held.
    pub fn new(settings: &GroupSettings) -> Self {
        Self { readiness: settings.readiness(), scripts: settings.scripts.clone(), ..Self::default() }
    }

    /// Ends the check that runs. What comes of it counts for none.
    pub fn drop_check(&mut self) {
        if let Some((check, run)) = &mut self.check {
            *check = NO_CHECK;
            run.interrupt(now());
        }
    }

    /// All that runs for it.
    pub fn runs(&self) -> impl Iterator<Item = &Run> {
        self.run.iter().chain(self.check.iter().map(|(_, run)| run))
    }

    /// See [`GroupResources::runs`].
    pub fn runs_mut(&mut self) -> impl Iterator<Item = &mut Run> {
        self.run.iter_mut().chain(self.check.iter_mut().map(|(_, run)| run))
    }

    /// Notes the scripts that a reload wants. Returns how many from the left are the same.
    pub fn want_scripts(&mut self, scripts: &[Script]) -> u8 {
        let kept = self.scripts.iter().zip(scripts).take_while(|(old, new)| old.is_same(new)).count();
        self.next_scripts = Some(scripts.to_vec());
        u8::try_from(kept).unwrap_or(u8::MAX)
    }

    /// The addresses that are renewed.
    pub fn renewed<'a>(&'a self, group: &'a GroupSettings) -> &'a [VirtualAddress] {
        if self.newcomers.is_empty() { &group.addresses } else { &self.known }
    }

    /// The addresses that are looked for now: one of those that are held, since each costs many requests, and
    /// all that nobody holds.
    pub fn take_unlooked(
        &mut self,
        addresses: &[VirtualAddress],
        is_held: bool,
    ) -> (Vec<VirtualAddress>, Vec<VirtualAddress>) {
        let (mut held, mut loose) = (Vec::new(), Vec::new());
        for (bit, address) in (0..u64::BITS).zip(addresses).filter(|(bit, _)| self.unlooked >> bit & 1 == 1) {
            let list = if is_held && !self.newcomers.contains(address) { &mut held } else { &mut loose };
            list.push((bit, address.clone()));
        }
        held.truncate(1);
        held.iter().chain(&loose).for_each(|(bit, _)| self.unlooked &= !(1 << bit));
        let addresses =
            |list: Vec<(u32, VirtualAddress)>| list.into_iter().map(|(_, address)| address).gather();
        (addresses(held), addresses(loose))
    }

    /// Takes the new scripts, once what had to be stopped has stopped.
    pub fn use_new_scripts(&mut self) {
        if let Some(scripts) = self.next_scripts.take() {
            self.scripts = scripts;
        }
    }

    /// Begins to announce the addresses, again if need be: they have just come, or the link has come up.
    pub fn announce_from(&mut self, now: Instant) {
        self.schedule = Some(Schedule::starting(now));
    }

    /// They are not ours to announce any more.
    pub fn announce_no_more(&mut self) {
        self.schedule = None;
    }

    /// Announces what is due. It leaves out addresses whose lease ran out unrenewed, since they are not ours
    /// any more, and addresses that somebody else may have.
    pub fn announce_if_due(
        &mut self,
        sender: &Sender,
        addresses: &GroupSettings,
        held_until: Instant,
        now: Instant,
    ) {
        let is_due = self.schedule.as_mut().is_some_and(|schedule| schedule.take_due(now));
        if is_due && now < held_until {
            announce(sender, self.renewed(addresses));
        }
    }

    /// When there is something to do for this group.
    pub fn deadline(&self) -> Instant {
        let announcement = self.schedule.map_or(Instant::NEVER, |schedule| schedule.next());
        let look = if self.check.is_none() { self.readiness.due() } else { Instant::NEVER };
        self.runs().map(Run::deadline).min().unwrap_or(Instant::NEVER).min(announcement).min(look)
    }

    /// Runs one of the group's scripts.
    ///
    /// # Errors
    /// What the kernel says, if there is no process for it.
    pub fn start_script(
        &mut self,
        settings: &Settings,
        group: &GroupSettings,
        index: u8,
        (action, reason): (Action, Reason),
        term: u32,
        now: Instant,
    ) -> Result<(), Errno> {
        self.script = index;
        let Some(script) = self.scripts.get(usize::from(index)) else { return Err(Errno::ENOENT) };
        self.run = Some(self.run(settings, group, (index, script), (action, reason), term, now)?);
        Ok(())
    }

    /// Starts a script, which stands at `index` in the group's list.
    ///
    /// # Errors
    /// What the kernel says, if there is no process for it.
    pub fn run(
        &self,
        settings: &Settings,
        group: &GroupSettings,
        (index, script): (u8, &Script),
        (action, reason): (Action, Reason),
        term: u32,
        now: Instant,
    ) -> Result<Run, Errno> {
        let term = term.to_string();
        let variables = [
            ("CROSSWIRE_GROUP", group.name.as_str()),
            ("CROSSWIRE_TERM", term.as_str()),
            (NODE_VARIABLE, settings.my_name()),
            ("CROSSWIRE_PEER", settings.peer_name()),
            ("CROSSWIRE_REASON", word(reason)),
        ];
        let environment = environment(script, action, &group.name, usize::from(index) + 1, &variables);
        Run::start(script, action, &environment, now).inspect_err(|errno| {
            log::error!("group {}: {} cannot be run: {}", group.name, script.label(), errno.desc());
        })
    }
}

/// The value of `CROSSWIRE_REASON`.
fn word(reason: Reason) -> &'static str {
    match reason {
        Reason::Acquire => "acquire",
        Reason::Release => "release",
        Reason::ForcedRelease => "forced-release",
        Reason::FailedStart => "failed-start",
        Reason::Monitor => "monitor",
        Reason::Reload => "reload",
        Reason::Restart => "restart",
    }
}
