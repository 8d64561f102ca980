//! `crosswire maintenance`: nothing is moved for a while.

use std::io::Write;
use std::path::PathBuf;

use crosswire::quorum::event::Demand;
use crosswire::time::Span;

use super::option::{operand, option, options};
use super::request::{demand, insist, keep, unless_accepted};
use crate::clock;
use crate::operator::control::DEFAULT_RUN_DIR;
use crate::operator::exit::{Exit, complain};
use crate::operator::restraint::LONGEST_MAINTENANCE;
use crate::settings::parse_span;

options! {
    /// Have nothing moved for a while: `on` or `off`
    pub struct MaintenanceOptions("maintenance") {
        /// Where the daemon's control socket is
        run_dir: PathBuf = option("--run-dir", "DIR").or(DEFAULT_RUN_DIR),
        /// When it ends by itself, as in 90m
        lasts: String = option("--for", "TIME").or("1h"),
        /// Why, for the log
        reason: Option<String> = option("--reason", "TEXT"),
        /// on or off
        what: String = operand("on|off"),
    }
}

/// Begins or ends maintenance.
pub fn maintenance(options: &MaintenanceOptions, out: &mut impl Write) -> Exit {
    let lasts = match maintenance_span(options) {
        Ok(lasts) => lasts,
        Err(line) => {
            return complain(Exit::Usage, false, &format_args!("crosswire: {line}"));
        }
    };
    let question = demand(Demand::Maintenance(lasts), &options.reason);
    unless_accepted(&options.run_dir, &question, "").unwrap_or_else(|| {
        let _ = match lasts {
            Span::ZERO => writeln!(out, "done: maintenance is over"),
            _ => writeln!(out, "done: nothing is moved for {lasts}"),
        };
        keep(&options.run_dir, |saved| {
            saved.restraint.maintenance_until = (lasts > Span::ZERO).then(|| clock::now() + lasts);
            if lasts > Span::ZERO {
                (saved.lasts, saved.reason) = (lasts, options.reason.clone());
            }
        });
        insist(&options.run_dir, &question, |report| {
            lasts == Span::ZERO || report.node.maintenance.is_some()
        });
        Exit::Done
    })
}

/// How long it shall last; zero ends it.
fn maintenance_span(options: &MaintenanceOptions) -> Result<Span, String> {
    let is_fit = |span: &Span| *span > Span::ZERO && *span <= LONGEST_MAINTENANCE;
    match options.what.as_str() {
        "on" => parse_span(&options.lasts)
            .filter(is_fit)
            .ok_or_else(|| format!("--for {}: say a time such as 90m or 2h, 168h at most", options.lasts)),
        "off" => Ok(Span::ZERO),
        other => Err(format!("maintenance {other}: say `on` or `off`")),
    }
}
