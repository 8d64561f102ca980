//! Bytes to messages: delimiting, CRC, authentication, freshness, message types.
//!
//! ```text
//! on serial   00 COBS(body) 00            on UDP   body
//! body        header 20 | payload | authenticator 8 | CRC-32 4
//! header      version:4 kind:4 | pair 2 | sender:1 path:3 key:4 | incarnation 8 | echo 4 | number 4
//! ```
//!
//! Numbers in the header are little-endian and of fixed width; payloads are postcard. The CRC covers everything before
//! it, the authenticator everything before itself, so the path and the direction are under it too. A frame is refused as
//! cheaply as possible, in this order: length, CRC, version, pair, sender, path, session value, authenticator, number,
//! decoding. Each refusal has a counter of its own ([`Refusal`]).
//!
//! * [`delimit`] finds bodies in a stream of any bytes
//! * [`seal`] wraps a message into a body and unwraps one
//! * [`session`] decides whether an unwrapped body is fresh, and drives the handshake
//! * [`message`] is what is said, [`aside`] what operators ask of the other node

pub mod aside;
pub mod delimit;
pub mod keys;
pub mod message;
pub mod refusal;
pub mod seal;
pub mod session;

pub use keys::{Key, Keyring};
pub use message::{Beat, Message};
pub use refusal::Refusal;

/// Protocol version that this build speaks.
pub const VERSION: u8 = 1;
/// Bytes of the header.
pub const HEADER_BYTES: usize = 20;
/// Bytes of the authenticator.
pub const AUTHENTICATOR_BYTES: usize = 8;
/// Bytes of the CRC.
pub const CRC_BYTES: usize = 4;
/// Shortest body: a hello.
pub const MIN_BODY_BYTES: usize = HEADER_BYTES + AUTHENTICATOR_BYTES + CRC_BYTES;
/// Longest body: a beat of a pair with as many paths and groups as there may be.
pub const MAX_BODY_BYTES: usize = 160;
/// Longest body on the serial line: two delimiters and the one byte that COBS adds below 254.
pub const MAX_LINE_BYTES: usize = MAX_BODY_BYTES + 3;

/// A body, ready for a datagram.
pub type Body = heapless::Vec<u8, MAX_BODY_BYTES>;

/// Most bytes that one heartbeat of a pair with this many paths and groups takes on the serial line, delimiters included,
/// while terms stay below 65,536: the figure with which line load is reckoned.
pub fn heartbeat_bytes(paths: usize, groups: usize) -> u64 {
    let mut room = [0; MAX_BODY_BYTES];
    let payload = message::encode_beat(&Beat::largest(paths, groups), &mut room).map_or(MAX_BODY_BYTES, |p| p.len());
    u64::try_from(MIN_BODY_BYTES + payload + 3).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{MAX_GROUPS, MAX_PATHS};

    #[test]
    fn a_heartbeat_fits_its_budgets() {
        assert!(heartbeat_bytes(2, 1) <= 64, "one cable, one LAN, one group: {}", heartbeat_bytes(2, 1));
        let mut beat = Beat::largest(MAX_PATHS, MAX_GROUPS);
        for group in &mut beat.groups {
            group.term = message::MAX_TERM;
        }
        let mut room = [0; MAX_BODY_BYTES];
        let payload = message::encode_beat(&beat, &mut room).map(|payload| payload.len());
        assert!(payload.is_ok_and(|bytes| bytes + MIN_BODY_BYTES <= MAX_BODY_BYTES), "no beat outgrows a body");
    }
}
