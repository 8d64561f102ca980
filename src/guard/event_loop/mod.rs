//! The guard's event loop: what woke it, in which order that is handed in to
//! [`Custody`](crosswire::custody::Custody), and what follows from it.
//!
//! `state.rs` is what the guard has, and how it begins; `turn.rs` is the loop. `children.rs` sees who has
//! ended, `hear.rs` what the agent says, `interfaces.rs` what the kernel says. `effects.rs` carries out what
//! custody asks for, `notes.rs` puts it into words. `group_resources.rs` is what the guard has of one group
//! beside custody, `strays.rs` removes addresses of ours that somebody else has put there. `agent.rs` starts
//! and ends agents, `last_resorts.rs` fences, `reload.rs` reads the configuration anew, `upgrade.rs` executes
//! a program in the place of this one, `journal.rs` has the journal written; `shadow.rs` is all of it where
//! nothing may be touched.

mod agent;
mod children;
mod effects;
mod group_resources;
mod hear;
mod interfaces;
mod journal;
mod last_resorts;
mod notes;
mod readiness;
pub mod reload;
mod shadow;
pub mod state;
mod strays;
pub mod turn;
mod upgrade;
