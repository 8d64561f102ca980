//! Messages and time to evidence: what is known of each path, and of the peer as all paths together show it.

pub mod ack;
mod arrivals;
pub mod lines;
pub mod neighbours;
pub mod path;
pub mod peer;
pub mod quality;
pub mod self_test;
mod slots;
pub mod witness;

pub use arrivals::Arrivals;
pub use lines::{LineReading, Lines, RAILS_APART, outlived_for};
pub use neighbours::{NeighbourView, Neighbours};
pub use path::{Detector, PathState};
pub use peer::{Before, Peer};
pub use quality::Quality;
pub use self_test::SelfTest;
pub use witness::{WitnessView, Witnesses};
