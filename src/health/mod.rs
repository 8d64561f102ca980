//! Messages and time to evidence: what is known of each path, and of the peer as all paths together show it.

pub mod ack;
pub mod path;
pub mod peer;

pub use path::{Detector, PathState};
pub use peer::Peer;
