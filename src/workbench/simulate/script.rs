//! A script of timed faults, for an operator's own configuration.
//!
//! ```text
//! # what happens when the switch dies while the cable is unplugged?
//! at 10s cut serial
//! at 60s switch-off lan
//! at 90s switch-on lan
//! until 3m
//! ```

use crosswire::config::Side;
use crosswire::quorum::record::Record;
use crosswire::time::{Instant, Span};

use super::fault::{Fault, Names, parse_time};
use super::setup::Setup;
use super::world::{BEGINNING, SIDES, World};

/// What an operator wants to see.
#[derive(Clone, PartialEq, Debug)]
pub struct Script {
    /// When, from the moment at which both boxes were switched on, and what.
    pub events: Vec<(Span, Fault)>,
    /// How long to look.
    pub until: Span,
}

/// One line of the timeline.
#[derive(Clone, PartialEq, Debug)]
pub enum Line {
    /// The script did something.
    Happened(Fault),
    /// A node recorded something.
    Recorded(Side, Record),
    /// Who holds the addresses of a group changed: by group, then by side.
    Holders(Vec<[bool; 2]>),
}

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    /// What is wrong, with the number of the line.
    pub fn parse(text: &str, names: &Names) -> Result<Self, String> {
        let mut script = Self { events: Vec::new(), until: Span::ZERO };
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or_default().trim();
            if !line.is_empty() {
                script.read(line, names).map_err(|error| format!("line {number}: {error}"))?;
            }
        }
        if script.until == Span::ZERO {
            let last = script.events.last().map_or(Span::ZERO, |(at, _)| *at);
            script.until = last + Span::from_s(30);
        }
        Ok(script)
    }

    fn read(&mut self, line: &str, names: &Names) -> Result<(), String> {
        let (word, rest) = line.split_once(' ').ok_or("say `at TIME FAULT` or `until TIME`")?;
        match word {
            "until" => self.until = parse_time(rest.trim())?,
            "at" => {
                let (time, fault) = rest.trim().split_once(' ').ok_or("a fault is missing")?;
                let at = parse_time(time)?;
                if self.events.last().is_some_and(|(before, _)| *before > at) {
                    return Err("the times must not go back".to_string());
                }
                self.events.push((at, Fault::parse(fault, names)?));
            }
            _ => return Err(format!("`{word}` is not understood: say `at TIME FAULT` or `until TIME`")),
        }
        Ok(())
    }

    /// Plays it; the timeline, and what the checkers found.
    pub fn play(&self, setup: Setup) -> (Vec<(Span, Line)>, World) {
        let mut world = World::new(setup, 1);
        world.records = Some(Vec::new());
        let mut timeline = Vec::new();
        let mut holders = Vec::new();
        for side in SIDES {
            world.befall(Fault::PowerOn(side));
        }
        let events = self.events.iter().copied().map(|(at, fault)| (at, Some(fault)));
        for (at, fault) in events.chain([(self.until, None)]) {
            play_to(&mut world, BEGINNING + at, &mut holders, &mut timeline);
            if let Some(fault) = fault {
                timeline.push((at, Line::Happened(fault)));
                world.befall(fault);
            }
        }
        (timeline, world)
    }
}

/// Goes on in small steps, so that who holds what is seen when it changes.
fn play_to(world: &mut World, until: Instant, holders: &mut Vec<[bool; 2]>, timeline: &mut Vec<(Span, Line)>) {
    const STEP: Span = Span::from_ms(1);
    loop {
        let records = world.records.as_mut().map(std::mem::take).unwrap_or_default();
        timeline
            .extend(records.into_iter().map(|(at, side, record)| (at.since(BEGINNING), Line::Recorded(side, record))));
        let now = world.setup.policy.group_ids().map(|group| SIDES.map(|side| world.holds(side, group))).collect();
        if *holders != now {
            *holders = now;
            timeline.push((world.now().since(BEGINNING), Line::Holders(holders.clone())));
        }
        if world.now() >= until {
            return;
        }
        world.run_to((world.now() + STEP).min(until));
    }
}
