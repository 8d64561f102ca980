//! The keys of a witness.
//!
//! The witness has one secret for each key of the pair, derived one-way from it, so that a stolen witness can
//! answer questions and nothing else. From the secret come the pair's name on the wire, a key for each
//! direction, and the key of the seal under which a holder shows its grant to a witness that was restarted.

use core::hash::Hasher;

use constant_time_eq::constant_time_eq;
use siphasher::sip::SipHasher24;
use siphasher::sip128::{Hasher128, SipHasher24 as SipHasher24Wide};

use crate::frame::Key;
use crate::frame::keys::MIN_KEY_BYTES;
use crate::pair::Side;

/// Bytes of a secret: as many as the shortest key of a key file has, so that one reader reads both.
pub const SECRET_BYTES: usize = MIN_KEY_BYTES;
/// Bytes of an authenticator, and of a seal.
pub const MAC_BYTES: usize = 8;

/// What the witness is given of one key of a pair.
pub type WitnessSecret = [u8; SECRET_BYTES];

/// How a key of a pair is called on the wire.
pub type PairName = [u8; 8];

/// The secret for the witness, of one key of the pair of that name.
pub fn secret_of(pair: &str, key: &Key) -> WitnessSecret {
    let (head, rest) = key.bytes.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
    let length = [u8::try_from(rest.len()).unwrap_or(u8::MAX)];
    derive(head, &[b"crosswire 1 witness", &length, rest, pair.as_bytes()])
}

fn derive(key: &[u8; 16], parts: &[&[u8]]) -> [u8; 16] {
    let mut hasher = SipHasher24Wide::new_with_key(key);
    parts.iter().for_each(|part| hasher.write(part));
    hasher.finish128().as_bytes()
}

/// A secret, derived and ready.
#[derive(Clone)]
pub struct WitnessKey {
    name: PairName,
    of_nodes: [[u8; 16]; 2],
    of_witness: [u8; 16],
    of_seal: [u8; 16],
}

impl core::fmt::Debug for WitnessKey {
    /// Names the pair and hides the keys.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("WitnessKey").field(&self.name).finish()
    }
}

impl WitnessKey {
    /// Derives the keys of a secret.
    pub fn new(secret: &WitnessSecret) -> Self {
        let [n0, n1, n2, n3, n4, n5, n6, n7, ..] = derive(secret, &[b"name"]);
        Self {
            name: [n0, n1, n2, n3, n4, n5, n6, n7],
            of_nodes: [derive(secret, &[b"node a"]), derive(secret, &[b"node b"])],
            of_witness: derive(secret, &[b"witness"]),
            of_seal: derive(secret, &[b"seal"]),
        }
    }

    /// How this key and its pair are called on the wire.
    pub const fn name(&self) -> PairName {
        self.name
    }

    /// Authenticates what that node says.
    pub fn of_node(&self, side: Side, bytes: &[u8]) -> [u8; MAC_BYTES] {
        let [a, b] = &self.of_nodes;
        mac(if side == Side::A { a } else { b }, bytes)
    }

    /// Authenticates what the witness says.
    pub fn of_witness(&self, bytes: &[u8]) -> [u8; MAC_BYTES] {
        mac(&self.of_witness, bytes)
    }

    /// Seals a grant.
    pub fn of_seal(&self, bytes: &[u8]) -> [u8; MAC_BYTES] {
        mac(&self.of_seal, bytes)
    }
}

fn mac(key: &[u8; 16], bytes: &[u8]) -> [u8; MAC_BYTES] {
    SipHasher24::new_with_key(key).hash(bytes).to_le_bytes()
}

/// Compares in constant time.
pub fn is_same(claimed: &[u8; MAC_BYTES], expected: &[u8; MAC_BYTES]) -> bool {
    constant_time_eq(claimed, expected)
}
