//! `crosswire peer`: what the other node says of itself, asked over the pair's own paths: for when the LAN is dead.

use std::io::Write;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use bpaf::Bpaf;
use crosswire::frame::aside::Subject;

use super::exit::Exit;
use super::status::not_running;
use crate::agent::lifeline::PATIENCE;
use crate::control::{Answer, DEFAULT_RUN_DIR, Question, Unheard, ask_within};

/// Show what the other node says of itself, over the cable if the LAN is dead
#[derive(Clone, Debug, Bpaf)]
#[bpaf(command("peer"))]
pub struct PeerOptions {
    /// Where the daemon's control socket is
    #[bpaf(argument("DIR"), fallback(PathBuf::from(DEFAULT_RUN_DIR)), debug_fallback)]
    run_dir: PathBuf,
    /// status, why or log
    #[bpaf(positional("WHAT"))]
    what: What,
}

/// What to ask.
#[derive(Clone, Debug)]
struct What(Subject);

impl FromStr for What {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "status" => Ok(Self(Subject::Status)),
            "why" => Ok(Self(Subject::Why)),
            "log" => Ok(Self(Subject::Log)),
            _ => Err("say `status`, `why` or `log`"),
        }
    }
}

/// Asks, and shows the answer as it came.
pub fn run(options: &PeerOptions, out: &mut impl Write) -> Exit {
    // The agent gives up first, and says so.
    let patience = Duration::from_micros(PATIENCE.as_us()) + Duration::from_secs(5);
    let refused = match ask_within(&options.run_dir, &Question::Peer(options.what.0), patience) {
        Ok(Answer::PeerSays(Ok(text))) => {
            // A reader that closed the pipe has seen enough.
            let _ = out.write_all(text.as_bytes());
            return Exit::Done;
        }
        Ok(Answer::PeerSays(Err(why))) => match why {
            Unheard::Nowhere => "the peer is heard on no path: nothing can be asked (`crosswire status` says more)",
            Unheard::Busy => "another operator is asking the peer: try again in a moment",
            Unheard::TooSlow => {
                "the peer's answer did not come in time: the line has no time beside the beats (see `crosswire check`), \
                 or the peer is of another version"
            }
        },
        Ok(Answer::Status(_) | Answer::History(_) | Answer::Accepted | Answer::Denied(_)) => return Exit::Refused,
        Err(error) => return not_running(&options.run_dir, &error, out),
    };
    let _ = writeln!(out, "{refused}");
    Exit::Refused
}
