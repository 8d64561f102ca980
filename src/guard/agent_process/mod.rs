//! The agent as a process: `link.rs` is the guard's end of the socket pair, `privileges.rs` what the agent
//! gives up before anything else.

pub mod link;
pub mod privileges;
