//! The guard's event loop: what woke it, in which order that is handed in to
//! [`Custody`](crosswire::custody::Custody), and what follows from it.
//!
//! `turn.rs` is the loop. `effects.rs` carries out what custody asks for, `notes.rs` puts it into words.
//! `group_resources.rs` is what the guard has of one group beside custody, `strays.rs` removes addresses of
//! ours that somebody else has put there. `agent.rs` starts and ends agents, `fence.rs` and `self_fence.rs`
//! start the last resorts, `notifier.rs` tells the operator's program what changes, `reload.rs` reads the
//! configuration anew.

pub mod agent;
pub mod effects;
pub mod fence;
pub mod group_resources;
pub mod notes;
pub mod notifier;
pub mod reload;
pub mod self_fence;
pub mod strays;
pub mod turn;
