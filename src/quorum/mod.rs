//! Evidence in, decision out.

pub mod timing;
