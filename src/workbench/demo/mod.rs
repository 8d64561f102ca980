//! `crosswire demo`: a whole pair on this machine, shown live while it is broken on purpose.
//!
//! The shipped binary runs twice as real daemons in the laboratory ([`crate::workbench::lab`]). [`stage`]
//! breaks and heals; [`view`] asks daemons, kernels and client what they see; [`judge`] says whether that is
//! as required; [`picture`], [`steps`], [`screen`] and [`terminal`] show it; [`report`] is the final table;
//! [`tidy`] makes sure that nothing is left.

mod judge;
mod picture;
mod report;
mod screen;
mod stage;
mod steps;
mod terminal;
mod tidy;
mod view;

use std::env;
use std::io::{self, Write};
use std::path::Path;

use crosswire::time::Span;

use crate::workbench::lab::entry::{Standing, become_root, standing};
use crate::workbench::lab::setup::Setup;
use judge::Grade;
use report::Report;
use screen::Screen;
use stage::{Stage, Stop};

/// Plays the demo; true if everything was as required. The calling process must have no other thread: without
/// root it starts itself again inside a user namespace.
pub fn run(is_json: bool, svg: Option<&Path>, out: &mut dyn Write) -> bool {
    let mut screen = Screen::new(is_json, out);
    let mut report = Report {
        rows: Vec::new(),
        overlap: Span::ZERO,
        took: Span::ZERO,
        setup: Setup::default(),
        error: None,
        log: None,
    };
    let ready = become_able().and_then(|()| tidy::prepare());
    let picture = match ready {
        Ok(()) => play(&mut screen, svg, &mut report),
        Err(error) => {
            report.error = Some(error.to_string());
            Vec::new()
        }
    };
    tell(&mut screen, &report, &picture, is_json);
    report.has_passed()
}

/// Returns once this process can make network namespaces.
fn become_able() -> io::Result<()> {
    match standing()? {
        Standing::Root => Ok(()),
        Standing::Outside => Err(become_root(env::args_os().skip(1))),
    }
}

/// Plays on a stage that is gone when this returns; returns the last picture.
fn play(screen: &mut Screen<'_>, svg: Option<&Path>, report: &mut Report) -> Vec<String> {
    let mut stage = match Stage::new(screen) {
        Ok(stage) => stage,
        Err(error) => {
            report.error = Some(error.to_string());
            return Vec::new();
        }
    };
    let played = stage.play(&mut report.rows);
    report.took = stage.elapsed();
    if let Some(Err(error)) = svg.map(|file| stage.draw(file)) {
        report.error = Some(error.to_string());
    }
    match stage.overlap() {
        Ok(overlap) => report.overlap = overlap,
        Err(error) => report.error = Some(error.to_string()),
    }
    match played {
        Ok(()) if report.rows.iter().all(|row| row.grade != Grade::Failed) => {}
        Ok(()) => report.log = Some(stage.story()),
        Err(Stop::Interrupted) => report.error = Some("interrupted; nothing is left behind".to_string()),
        Err(Stop::Machine(error)) => report.error = Some(error.to_string()),
        Err(Stop::NoStart) => {
            report.error =
                Some("the pair did not begin to serve; above is what its daemons wrote".to_string());
            report.log = Some(stage.story());
        }
    }
    stage.last_picture()
}

/// Shows the final table. The pair is gone by then.
fn tell(screen: &mut Screen<'_>, report: &Report, picture: &[String], is_json: bool) {
    let text = if is_json { format!("{}\n", report.json()) } else { report.text() };
    // A reader who has gone needs no more; the exit code still tells. Nothing can be done about a closed
    // stderr.
    let _ = screen.finish(picture, &text);
    let _ = io::stderr().write_all(report.aside().as_bytes());
}
