//! What words stand for, or what is wrong with them.

use std::net::IpAddr;

use crosswire::time::Span;

use crate::cli::import::report::Wrong;
use crate::settings::{is_interface, is_unicast, parse_span, shorten};

/// Says that a value cannot be.
pub fn wrong<T>(what: &str, value: &str, remedy: &'static str) -> Result<T, Wrong> {
    Err((format!("{what} \"{}\"", shorten(value)), remedy))
}

/// The name of an interface.
pub fn interface(word: &str) -> Result<String, Wrong> {
    if is_interface(word) {
        Ok(word.to_string())
    } else {
        wrong("not an interface:", word, "name an interface as `ip link` shows it")
    }
}

/// The address of one box.
pub fn address(word: &str) -> Result<IpAddr, Wrong> {
    let ip = word.parse().ok().filter(|ip: &IpAddr| is_unicast(*ip));
    ip.map_or_else(|| wrong("not the address of a box:", word, "write it in figures, as in 10.0.0.1"), Ok)
}

pub fn number(word: &str, least: u8, remedy: &'static str) -> Result<u8, Wrong> {
    match word.parse() {
        Ok(number) if number >= least => Ok(number),
        _ => wrong("not a number that can be:", word, remedy),
    }
}

/// Seconds with a fraction.
pub fn seconds(word: &str) -> Result<Span, Wrong> {
    match parse_span(&format!("{word}s")) {
        Some(span) => Ok(span),
        None => wrong("not a length of time:", word, "write seconds, as in 1 or 0.25"),
    }
}
