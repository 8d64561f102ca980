//! What is in the run directory: the lock and the pid file of the daemon (`lock.rs`), and what its next run
//! has to know of this one if both processes are killed (`marker.rs`).

pub mod lock;
pub mod marker;
