//! Keys, and the authenticator made with them.
//!
//! SipHash-2-4 (Aumasson, Bernstein: "SipHash: a fast short-input PRF", 2012) was made to authenticate short
//! messages and costs about 1,000 instructions a frame on a Pentium. The key file's bytes are never used as
//! they are: each direction of each pair gets a key derived from them, so that a frame cannot be reflected to
//! its sender.

use core::fmt;

use constant_time_eq::constant_time_eq;
use heapless::Vec;
use siphasher::sip::SipHasher24;
use siphasher::sip128::{Hasher128, SipHasher24 as SipHasher24Wide};

use super::{AUTHENTICATOR_BYTES, Refusal};
use crate::pair::Side;

/// Most keys a key file may hold: four bits on the wire.
pub const MAX_KEYS: usize = 16;
/// Shortest key.
pub const MIN_KEY_BYTES: usize = 16;
/// Longest key.
pub const MAX_KEY_BYTES: usize = 64;

/// One secret of the key file.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// 0..=15; names the key on the wire, so that keys rotate without an outage.
    pub id: u8,
    /// [`MIN_KEY_BYTES`] to [`MAX_KEY_BYTES`] random bytes.
    pub bytes: Vec<u8, MAX_KEY_BYTES>,
}

/// Overwrites a secret that nobody needs any more. `black_box` hides from the compiler that nobody reads the
/// zeroes.
fn wipe(secret: &mut [u8]) {
    secret.fill(0);
    core::hint::black_box(secret);
}

impl Drop for Key {
    fn drop(&mut self) {
        wipe(&mut self.bytes);
    }
}

impl Drop for Derived {
    fn drop(&mut self) {
        self.by_sender.iter_mut().for_each(|key| wipe(key));
    }
}

impl fmt::Debug for Key {
    /// Names the key and hides the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key {} ({} bytes)", self.id, self.bytes.len())
    }
}

/// Both directions of one key.
#[derive(Clone)]
struct Derived {
    id: u8,
    /// By the [`Side`] of the sender.
    by_sender: [[u8; 16]; 2],
}

/// The keys of a pair, derived and ready. The first one seals, all of them open.
#[derive(Clone)]
pub struct Keyring {
    keys: Vec<Derived, MAX_KEYS>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|k| k.id)).finish()
    }
}

impl Keyring {
    /// Derives the keys of `pair`. It leaves out keys beyond [`MAX_KEYS`] and keys shorter than
    /// [`MIN_KEY_BYTES`]; the key file's reader refuses both first.
    pub fn new(pair: &str, keys: &[Key]) -> Self {
        let usable = keys.iter().filter(|key| key.bytes.len() >= MIN_KEY_BYTES);
        let derived = usable.map(|key| Derived {
            id: key.id & 0x0f,
            by_sender: [derive(pair, key, Side::A), derive(pair, key, Side::B)],
        });
        Self { keys: derived.take(MAX_KEYS).collect() }
    }

    /// The keys themselves, for a test that looks for them where they must not be.
    #[cfg(test)]
    pub fn derived(&self, sender: Side) -> Vec<[u8; 16], MAX_KEYS> {
        self.keys.iter().filter_map(|key| key.by_sender.get(sender.index()).copied()).collect()
    }

    /// The id of the key that seals; zero in an empty keyring.
    pub fn sealing_id(&self) -> u8 {
        self.keys.first().map_or(0, |key| key.id)
    }

    /// The authenticator of `bytes` under the sealing key; all zero in an empty keyring.
    pub fn seal(&self, sender: Side, bytes: &[u8]) -> [u8; AUTHENTICATOR_BYTES] {
        self.keys.first().map_or([0; AUTHENTICATOR_BYTES], |key| authenticator(key, sender, bytes))
    }

    /// Checks an authenticator in constant time.
    ///
    /// # Errors
    /// [`Refusal::UnknownKey`] or [`Refusal::Authenticator`].
    pub fn verify(&self, id: u8, sender: Side, bytes: &[u8], claimed: &[u8]) -> Result<(), Refusal> {
        let key = self.keys.iter().find(|key| key.id == id).ok_or(Refusal::UnknownKey)?;
        if constant_time_eq(&authenticator(key, sender, bytes), claimed) {
            Ok(())
        } else {
            Err(Refusal::Authenticator)
        }
    }
}

fn authenticator(key: &Derived, sender: Side, bytes: &[u8]) -> [u8; AUTHENTICATOR_BYTES] {
    let [a, b] = &key.by_sender;
    let key = match sender {
        Side::A => a,
        Side::B => b,
    };
    SipHasher24::new_with_key(key).hash(bytes).to_le_bytes()
}

/// SipHash-2-4-128 under the first 16 bytes of the key, over a label, the sender, the rest of the key and the
/// pair's name.
fn derive(pair: &str, key: &Key, sender: Side) -> [u8; 16] {
    let (head, rest) = key.bytes.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
    let mut hasher = SipHasher24Wide::new_with_key(head);
    core::hash::Hasher::write(&mut hasher, b"crosswire 1 direction");
    core::hash::Hasher::write(
        &mut hasher,
        &[u8::from(sender == Side::B), u8::try_from(rest.len()).unwrap_or(u8::MAX)],
    );
    core::hash::Hasher::write(&mut hasher, rest);
    core::hash::Hasher::write(&mut hasher, pair.as_bytes());
    hasher.finish128().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: u8, fill: u8, len: usize) -> Key {
        Key { id, bytes: core::iter::repeat_n(fill, len).collect() }
    }

    #[test]
    fn the_primitive_is_siphash_2_4() {
        // The reference vector of the paper's appendix: key 00..0f, message 00..0e.
        let key: [u8; 16] = core::array::from_fn(|i| u8::try_from(i).unwrap_or(0));
        let message: [u8; 15] = core::array::from_fn(|i| u8::try_from(i).unwrap_or(0));
        assert_eq!(SipHasher24::new_with_key(&key).hash(&message), 0xa129_ca61_49be_45e5);
    }

    #[test]
    fn every_part_of_a_key_counts() {
        let seal = |pair: &str, key: Key, side| Keyring::new(pair, &[key]).seal(side, b"frame");
        let base = seal("p", key(1, 7, 32), Side::A);
        assert_ne!(base, seal("p", key(1, 7, 32), Side::B), "direction");
        assert_ne!(base, seal("q", key(1, 7, 32), Side::A), "pair");
        assert_ne!(base, seal("p", key(1, 7, 31), Side::A), "length");
        let mut last = key(1, 7, 32);
        if let Some(byte) = last.bytes.last_mut() {
            *byte ^= 1;
        }
        assert_ne!(base, seal("p", last, Side::A), "last byte");
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let old = Keyring::new("p", &[key(1, 7, 16)]);
        let both = Keyring::new("p", &[key(2, 9, 16), key(1, 7, 16)]);
        assert_eq!(both.sealing_id(), 2);
        assert_eq!(both.verify(1, Side::A, b"x", &old.seal(Side::A, b"x")), Ok(()));
        assert_eq!(old.verify(2, Side::A, b"x", &both.seal(Side::A, b"x")), Err(Refusal::UnknownKey));
        assert_eq!(both.verify(2, Side::A, b"x", &old.seal(Side::A, b"x")), Err(Refusal::Authenticator));
        assert_eq!(both.verify(2, Side::A, b"x", &[]), Err(Refusal::Authenticator), "a truncated one");
    }
}
