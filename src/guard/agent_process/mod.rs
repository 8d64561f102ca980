//! The agent as a process: `link.rs` is the guard's end of the socket pair, `recipe.rs` what an agent is made
//! of, `process.rs` both of them with the child, `privileges.rs` what it gives up before anything else.

pub mod link;
pub mod privileges;
pub mod process;
pub mod recipe;
