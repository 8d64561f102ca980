//! The half that touches the box.
#![expect(
    unreachable_pub,
    reason = "the modules of a binary are private to it; `pub` marks what other folders may use"
)]

mod agent {
    pub mod answers;
}
mod clock;
mod guard;
mod settings;

fn main() {}
