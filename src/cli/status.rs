//! `crosswire status`: both nodes as the running daemon sees them, for people and as JSON.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use super::option::{flag, option, options};
use super::status_watch;
#[cfg(feature = "moments")]
use crate::guard::run_dir::sign::has_given_sign;
use crate::operator::assessment::assess;
use crate::operator::control::{DEFAULT_RUN_DIR, Question, Report, ask_within, members_path};
use crate::operator::exit::{Exit, complain};
#[cfg(feature = "metrics")]
use crate::operator::metrics;
use crate::operator::status_json;
use crate::operator::status_text::text;
use crate::plain;

options! {
    /// Show both nodes as the running daemon sees them
    pub struct StatusOptions("status") {
        /// Where the daemon's control socket is
        run_dir: PathBuf = option("--run-dir", "DIR").or(DEFAULT_RUN_DIR),
        /// As JSON
        json: bool = flag("--json"),
        /// One line for Nagios, with the exit codes of its plugins: 0, 1, 2, 3
        nagios: bool = flag("--nagios"),
        /// One line, and none if all is well
        quiet: bool = flag("-q"),
        /// The screen kept up to date in place; on a pipe, a line for each change
        watch: bool = flag("--watch"),
        /// As metrics for Prometheus (its textfile collector)
        prometheus: bool = flag("--prometheus"),
        /// As a page for a browser, which greys itself when it is three minutes old
        html: Option<PathBuf> = option("--html", "FILE"),
        /// The figures of every path too: beats, gaps, jitter, the line, the UART
        verbose: bool = flag("-v"),
    }
}

/// A daemon that works answers at once, whatever else the box does.
const PATIENCE: Duration = Duration::from_millis(450);

/// Asks, and shows the answer. The exit code tells whether every group is served, and whether the second node
/// could take over.
pub fn run(options: &StatusOptions, out: &mut impl Write) -> ExitCode {
    if options.watch {
        if options.json || options.nagios || options.prometheus || options.html.is_some() {
            let what = "crosswire: status: --watch shows a screen and no other form";
            return complain(Exit::Usage, options.json, &what).into();
        }
        status_watch::run(|| shown(options), out);
        return Exit::Done.into();
    }
    let report = report(&options.run_dir);
    if let Some(file) = &options.html {
        return write_page(file, &report).into();
    }
    let report = match report {
        Ok(report) => report,
        Err((exit, text)) if options.nagios => return tell_nagios(exit, &text, out),
        Err((exit, text)) => {
            #[cfg(feature = "metrics")]
            if options.prometheus {
                let _ = out.write_all(metrics::unanswered(exit).as_bytes());
            }
            return complain(exit, options.json, &text).into();
        }
    };
    let reason = assess(&report);
    if options.nagios {
        return tell_nagios(reason.exit, &reason.sentence(&report), out);
    }
    let shown = match options {
        StatusOptions { json: true, .. } => status_json::text(&report, reason),
        StatusOptions { prometheus: true, .. } => {
            #[cfg(feature = "metrics")]
            {
                metrics::text(&report)
            }
            #[cfg(not(feature = "metrics"))]
            return not_here("--prometheus").into();
        }
        StatusOptions { quiet: true, .. } if reason.exit == Exit::Done => String::new(),
        StatusOptions { quiet: true, .. } => format!("{}\n", reason.sentence(&report)),
        _ => text(&report, options.verbose, false),
    };
    // A reader that closed the pipe has seen enough.
    let _ = out.write_all(shown.as_bytes());
    reason.exit.into()
}

/// Writes the page, also if the daemon does not answer: the old page would still look well.
#[cfg(feature = "picture")]
fn write_page(file: &Path, report: &Result<Box<Report>, (Exit, String)>) -> Exit {
    use crate::operator::page;

    let (text, exit) = match report {
        Ok(report) => (page::of(report, page::now()), assess(report).exit),
        Err((exit, why)) => (page::of_none((*exit, why), page::now()), complain(*exit, false, why)),
    };
    match crate::private::replace(file, text.as_bytes(), 0o644) {
        Ok(()) => exit,
        Err(error) => complain(Exit::Refused, false, &format_args!("{}: {error}", file.display())),
    }
}

#[cfg(not(feature = "picture"))]
fn write_page(_: &Path, _: &Result<Box<Report>, (Exit, String)>) -> Exit {
    not_here("--html")
}

/// Only a build with everything has that.
#[cfg(not(all(feature = "metrics", feature = "picture")))]
fn not_here(flag: &str) -> Exit {
    let what = format_args!("crosswire: {flag} is not in this build: that of `{}` has it", super::FULL_BUILD);
    complain(Exit::Usage, false, &what)
}

/// The daemon's status, or why there is none.
pub(super) fn report(run_dir: &Path) -> Result<Box<Report>, (Exit, String)> {
    let answer = ask_within(run_dir, &Question::Status, PATIENCE);
    let answer = answer.map_err(|error| unanswered(run_dir, &error))?;
    answer.status().ok_or_else(|| {
        (Exit::Refused, format!("the daemon in {} answers something else: restart it", run_dir.display()))
    })
}

/// The assessment in a line, and the whole screen; or why the daemon does not answer.
fn shown(options: &StatusOptions) -> (String, String) {
    match report(&options.run_dir) {
        Ok(report) => (assess(&report).sentence(&report), text(&report, options.verbose, false)),
        Err((_, why)) => (why.clone(), plain::wrapped(&why)),
    }
}

/// Writes a line for Nagios, and returns the exit code of its severity (Monitoring Plugins Development
/// Guidelines).
pub fn tell_nagios(exit: Exit, text: &str, out: &mut impl Write) -> ExitCode {
    let (code, word) = match exit {
        Exit::Done => (0, "OK"),
        Exit::Alone => (1, "WARNING"),
        Exit::NotRunning | Exit::Unserved | Exit::Hangs => (2, "CRITICAL"),
        Exit::Refused | Exit::Usage | Exit::NotAllowed | Exit::Configuration => (3, "UNKNOWN"),
    };
    let _ = writeln!(out, "CROSSWIRE {word}: {text}");
    ExitCode::from(code)
}

/// Says that no daemon answers, and what to do.
pub fn not_answered(run_dir: &Path, error: &io::Error, is_json: bool) -> Exit {
    let (exit, text) = unanswered(run_dir, error);
    complain(exit, is_json, &text)
}

/// A hint that members of the group may ask too, if there is one.
fn members(run_dir: &Path) -> &'static str {
    if members_path(run_dir).exists() {
        ", or ask for status, why or peer as a member of its group"
    } else {
        ""
    }
}

/// Why no daemon answers, and what to do.
pub(super) fn unanswered(run_dir: &Path, error: &io::Error) -> (Exit, String) {
    let dir = run_dir.display();
    #[cfg(feature = "witness")]
    if let Some(pid) = crate::witness::running_in(run_dir) {
        let what = format!(
            "a voting witness runs in {dir}, process {pid}: `kill -USR1 {pid}` has it log its counts"
        );
        return (Exit::NotRunning, what);
    }
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            let what = format!("no daemon runs in {dir}: start it with its init script or `crosswire run`");
            (Exit::NotRunning, what)
        }
        io::ErrorKind::PermissionDenied => {
            let what =
                format!("not allowed to ask the daemon in {dir}: run this as root{}", members(run_dir));
            (Exit::NotAllowed, what)
        }
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            let what = format!(
                "the daemon in {dir} ended the connection: ask again, or restart it, since it may be of \
                    another version"
            );
            (Exit::Refused, what)
        }
        #[cfg(feature = "moments")]
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut if has_given_sign(run_dir) => {
            let what = format!("the daemon in {dir} has no agent now: its guard starts another one, or ends");
            (Exit::Hangs, what)
        }
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            let what = format!(
                "the daemon in {dir} does not answer: it hangs. Its init script ends it: force-stop, then \
                    start"
            );
            (Exit::Hangs, what)
        }
        _ => (Exit::Refused, format!("the daemon in {dir}: {error}")),
    }
}
