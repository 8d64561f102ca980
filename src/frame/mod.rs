//! Bytes to messages: delimiting, CRC, authentication, freshness, message types.
//!
//! ```text
//! on serial   00 COBS(body) 00            on UDP   body
//! body        header 20 | payload | authenticator 8 | CRC-32 4
//! header      version:4 kind:4 | pair 2 | sender:1 path:3 key:4 | incarnation 8 | echo 4 | number 4
//! ```
//!
//! Numbers are little-endian and of fixed width, except in the payloads of protocol 1, which are postcard.
//! The CRC covers everything before it, the authenticator everything before itself, so the path and the
//! direction are under it too. A frame is refused as cheaply as possible, in this order: length, CRC,
//! version, pair, sender, path, session value, authenticator, number, ration, decoding. Each refusal has a
//! counter of its own ([`Refusal`]).
//!
//! * [`delimit`] finds bodies in a stream of any bytes
//! * [`seal`] wraps a message into a body and unwraps one
//! * [`session`] decides whether an unwrapped body is fresh, and drives the handshake
//! * [`receiver`] does these three things with whatever bytes a path brings, and counts what it refuses
//! * [`message`] is what is said, [`aside`] what operators ask of the other node
//! * [`version`] lists the versions of the protocol; `beat1`, `beat2` and `payload` lay messages out

mod adopted;
pub mod aside;
mod beat1;
mod beat2;
mod candidate;
pub mod delimit;
pub mod keys;
pub mod message;
mod payload;
mod ration;
pub mod receiver;
pub mod refusal;
pub mod seal;
pub mod session;
pub mod version;

pub use keys::{Key, Keyring};
pub use message::{Beat, Message};
pub use receiver::Receiver;
pub use refusal::Refusal;
pub use version::Version;

/// What this build is called, for its peer.
pub const BUILD: &str = env!("CARGO_PKG_VERSION");
/// The three numbers of that.
pub const VERSION: [u8; 3] = [
    version_part(env!("CARGO_PKG_VERSION_MAJOR")),
    version_part(env!("CARGO_PKG_VERSION_MINOR")),
    version_part(env!("CARGO_PKG_VERSION_PATCH")),
];

/// A number of a version; the highest for one that is no number below 256.
const fn version_part(text: &str) -> u8 {
    match u8::from_str_radix(text, 10) {
        Ok(number) => number,
        Err(_) => u8::MAX,
    }
}
/// Bytes of the header.
pub const HEADER_BYTES: usize = 20;
/// Bytes of the authenticator.
pub const AUTHENTICATOR_BYTES: usize = 8;
/// Bytes of the CRC.
pub const CRC_BYTES: usize = 4;
/// Shortest body: a hello.
pub const MIN_BODY_BYTES: usize = HEADER_BYTES + AUTHENTICATOR_BYTES + CRC_BYTES;
/// Most bytes of a body. The longest message is a full [`aside::Tell`].
pub const MAX_BODY_BYTES: usize = 160;
/// What the serial line adds to a body: two delimiters, and the one byte that COBS adds below 254.
const LINE_BYTES: usize = 3;
/// Longest body on the serial line.
pub const MAX_LINE_BYTES: usize = MAX_BODY_BYTES + LINE_BYTES;

/// A body, ready for a datagram.
pub type Body = heapless::Vec<u8, MAX_BODY_BYTES>;

/// Bytes that one heartbeat of a pair with this many paths, groups and interfaces takes on the serial line,
/// delimiters included, whatever it says: line load is computed from this. A heartbeat for a peer that speaks
/// protocol 1 is no longer, while terms stay below 65,536.
pub fn heartbeat_bytes(paths: usize, groups: usize, interfaces: usize) -> u64 {
    u64::try_from(MIN_BODY_BYTES + beat2::bytes(paths, groups, interfaces) + LINE_BYTES).unwrap_or(u64::MAX)
}

fn push(body: &mut Body, bytes: &[u8]) {
    let fits = body.extend_from_slice(bytes);
    debug_assert!(fits.is_ok(), "a body has room for every message");
}
