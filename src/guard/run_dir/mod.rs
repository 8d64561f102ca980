//! What is in the run directory: the lock and the pid file of the daemon (`lock.rs`), and what its next run
//! has to know of this one if both processes are killed (`marker.rs`). A guard without an agent gives a sign
//! of life there (`sign.rs`).

pub mod lock;
pub mod marker;
#[cfg(feature = "moments")]
pub mod sign;
