//! The last means where nothing can be let go: the fence that ends the peer (`fence.rs`, in a process of its
//! own, `fence_process.rs`), the watchdog that resets this box when it hangs (`watchdog.rs`), and the reset
//! of this box when a script does not stop (`self_fence.rs`).

pub mod fence;
pub mod fence_process;
pub mod self_fence;
pub mod watchdog;
