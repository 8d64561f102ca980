//! `crosswire peer`: what the other node says of itself, asked over the pair's own paths: for when the LAN is
//! dead.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crosswire::frame::aside::Subject;

use super::option::{flag, operand, option, options};
use super::status::not_answered;
use crate::agent::lifeline::PATIENCE;
use crate::operator::control::{Answer, DEFAULT_RUN_DIR, Question, Unheard, ask_within};
use crate::operator::exit::{Exit, complain};

options! {
    /// Show what the other node says of itself, over the cable if the LAN is dead
    pub struct PeerOptions("peer") {
        /// Where the daemon's control socket is
        run_dir: PathBuf = option("--run-dir", "DIR").or(DEFAULT_RUN_DIR),
        /// Ask over the cable alone, where nobody else can read along
        cable: bool = flag("--cable"),
        /// status, why or log
        what: String = operand("status|why|log"),
    }
}

fn subject(word: &str) -> Option<Subject> {
    match word {
        "status" => Some(Subject::Status),
        "why" => Some(Subject::Why),
        "log" => Some(Subject::Log),
        _ => None,
    }
}

/// Has the daemon ask the peer.
///
/// # Errors
/// As [`ask_within`].
pub(super) fn ask_peer(run_dir: &Path, subject: Subject, is_by_cable: bool) -> io::Result<Answer> {
    // The agent gives up first, and reports that.
    let patience = Duration::from_micros(PATIENCE.as_us()) + Duration::from_secs(5);
    ask_within(run_dir, &Question::Peer(subject, is_by_cable), patience)
}

/// Why the peer says nothing, and what to do.
pub(super) const fn unheard(why: Unheard) -> &'static str {
    match why {
        Unheard::Nowhere => {
            "the peer is not heard there: nothing can be asked (`crosswire status` says more)"
        }
        Unheard::Busy => "another operator is asking the peer: try again in a moment",
        Unheard::TooSlow => {
            "the peer's answer did not come in time: the line has no time beside the beats (see \
                `crosswire check`), or the peer is of another version"
        }
    }
}

/// Asks, and shows the answer as it came.
pub fn run(options: &PeerOptions, out: &mut impl Write) -> Exit {
    let Some(subject) = subject(&options.what) else {
        let what = format_args!("crosswire: peer {}: say `status`, `why` or `log`", options.what);
        return complain(Exit::Usage, false, &what);
    };
    let refused = match ask_peer(&options.run_dir, subject, options.cable) {
        Ok(Answer::PeerSays(Ok(text))) => {
            // A reader that closed the pipe has seen enough.
            let _ = out.write_all(text.as_bytes());
            return Exit::Done;
        }
        Ok(Answer::PeerSays(Err(why))) => unheard(why),
        Ok(
            Answer::Status(_)
            | Answer::History(_)
            | Answer::Accepted
            | Answer::Denied(_)
            | Answer::Recording { .. },
        ) => {
            return Exit::Refused;
        }
        Err(error) => return not_answered(&options.run_dir, &error, false),
    };
    complain(Exit::Refused, false, &refused)
}
