//! The pure half of crosswire. (map follows)
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod config;
pub mod quorum;
pub mod resource;
pub mod time;
