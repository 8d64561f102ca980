//! The agent as a process: `link.rs` is the guard's end of the socket pair, `recipe.rs` is
//! what an agent is made of, `privileges.rs` what it gives up before anything else.

pub mod link;
pub mod privileges;
pub mod recipe;
