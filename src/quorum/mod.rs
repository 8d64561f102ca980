//! Evidence to decision.
//!
//! [`node::Node::step`] is the only way in. It takes an instant and an event and hands out effects; it is
//! total and deterministic. What it decides with stands in tables of its own, each readable without the rest:
//!
//! * [`verdict`]: what the paths together say of the peer
//! * [`facts`]: everything that bears on one group, and what can be decided
//! * [`takeover`]: when a backup takes a group; if it does not, why not, and until when
//! * [`holding`]: when a holder lets go at once, and when it renews
//! * [`moves`]: what goes over in good order
//! * [`decide`]: which of the three a role asks
//! * [`roles`]: what becomes of a role
//! * [`timers`]: what a group waits for, and until when
//! * [`timing`]: the arithmetic that keeps one node from taking what the other still holds
//! * [`probe`]: what the wire says of the group's addresses
//! * [`succession`]: what outlives an agent that died, and how its successor goes on
//! * [`forecast`]: what one more fault would come to
//! * [`record`]: every decision, and every decision not to act, with the rule that fired or blocked

pub mod decide;
pub mod event;
mod example;
pub mod expiry;
pub mod facts;
pub mod forecast;
pub mod group;
pub mod holding;
pub mod moves;
pub mod node;
pub mod probe;
pub mod record;
pub mod roles;
pub mod succession;
pub mod takeover;
pub mod timers;
pub mod timing;
pub mod verdict;

pub use event::{Effect, Effects, Event, Voice};
pub use node::Node;
