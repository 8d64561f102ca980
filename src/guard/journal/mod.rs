//! The journal on disk, written by a process of its own: no disk holds up a renewal or a beat, however slow
//! it is. The agent sends what is to be written; the writer looks into none of it.
//!
//! * [`files`]: the two files, and where the next line goes;
//! * [`writer`]: the life of the process that writes them;
//! * [`process`]: that process as the guard has it.

pub mod files;
pub mod process;
pub mod writer;
