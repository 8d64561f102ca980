//! What people and programs are told, and what they may ask: the one place in which a node's state and its
//! records become text, JSON, metrics and exit codes.
//!
//! * [`control`]: what a command and the agent say to each other, a packet in the run directory; [`history`]:
//!   what it says of what happened.
//! * [`restraint`]: standby and maintenance, which outlive the daemon and the box.
//! * [`words`]: records, states, reasons and denials in words; [`codes`]: the same for programs.
//! * [`assessment`]: what a status comes to, one reason and one [`exit`] code;
//!   [`inability`]: why a node cannot serve; [`testimony`]: who is heard and seen.
//! * [`status_text`], [`status_json`], `metrics`, `page`: the status for people, programs, Prometheus and
//!   browsers; [`forecast`]: what one more fault would do.
//! * [`why_text`], [`why_json`], `picture`: what happened and why; [`cause`] finds its first line,
//!   [`recall`] what is older than the agent.

pub mod assessment;
pub mod cause;
mod codes;
pub mod control;
pub mod exit;
mod forecast;
mod history;
mod inability;
pub mod json;
#[cfg(feature = "metrics")]
pub mod metrics;
#[cfg(feature = "picture")]
pub mod page;
#[cfg(feature = "picture")]
pub mod picture;
pub mod recall;
pub mod recording;
pub mod restraint;
pub mod status_json;
mod status_paths;
pub mod status_text;
mod status_witnesses;
pub mod testimony;
pub mod why_json;
pub mod why_text;
pub mod words;
