//! A script of timed faults, for an operator's own configuration.
//!
//! ```text
//! # what happens when the switch dies while the cable is unplugged?
//! at 10s cut serial
//! at 60s switch-off lan
//! at 90s switch-on lan
//! until 3m
//! ```

use crosswire::time::Span;

use super::clock::BEGINNING;
use super::fault::Fault;
use super::fault_text::{Names, parse_time};
use super::setup::Setup;
use super::story::Line;
use super::world::{SIDES, World};

/// What an operator wants to see.
#[derive(Clone, PartialEq, Debug)]
pub struct Script {
    /// When, from the moment at which both boxes were switched on, and what.
    pub events: Vec<(Span, Fault)>,
    /// How long to look.
    pub until: Span,
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
        for side in SIDES {
            world.befall(Fault::PowerOn(side));
        }
        world.begin_story();
        for (at, fault) in &self.events {
            world.run_to(BEGINNING + *at);
            world.befall_aloud(*fault);
        }
        world.run_to(BEGINNING + self.until);
        let lines = world.story.take().unwrap_or_default().lines;
        (lines, world)
    }
}
