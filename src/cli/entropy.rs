//! The random numbers of a run: who it is, and its secret.

use std::hash::Hasher;

use crosswire::frame::Key;
use crosswire::frame::session::Entropy;
use siphasher::sip::SipHasher24;

use crate::clock;
use crate::operator::restraint;

/// A box without entropy starts all the same: only `keygen` may wait. Such a kernel may give the same bytes
/// after each boot, so whatever else tells one run from another is mixed in.
pub(super) fn draw_entropy(keys: &[Key]) -> Result<Entropy, getrandom::Error> {
    let boot = restraint::boot_id();
    let now = [clock::now().as_us(), std::time::UNIX_EPOCH.elapsed().map_or(0, |now| now.as_secs())];
    Ok(mix(draw()?, keys, &boot, now, std::process::id()))
}

/// Each of `boot`, `now` and `pid` changes all bytes, under a key that nobody else knows; good entropy stays
/// as good.
fn mix(drawn: Entropy, keys: &[Key], boot: &str, now: [u64; 2], pid: u32) -> Entropy {
    let secret = keys.first().map_or(&[][..], |key| &key.bytes);
    let word = |label: u8| {
        let mut hasher = SipHasher24::new_with_key(&drawn.secret);
        for part in [&[label][..], secret, &drawn.incarnation, &pid.to_le_bytes(), boot.as_bytes()] {
            hasher.write(part);
        }
        now.iter().for_each(|word| hasher.write(&word.to_le_bytes()));
        hasher.finish()
    };
    let [incarnation, low, high] = [0, 1, 2].map(word);
    let fold = |drawn: u64, mixed: u64| (drawn ^ mixed).to_le_bytes();
    let secret = u128::from_le_bytes(drawn.secret) ^ (u128::from(high) << 64 | u128::from(low));
    Entropy {
        incarnation: fold(u64::from_le_bytes(drawn.incarnation), incarnation),
        secret: secret.to_le_bytes(),
    }
}

/// From the kernel, as it is.
pub(super) fn draw() -> Result<Entropy, getrandom::Error> {
    let mut entropy = Entropy { incarnation: [0; 8], secret: [0; 16] };
    match std::fs::File::open("/dev/urandom").and_then(|mut urandom| {
        std::io::Read::read_exact(&mut urandom, &mut entropy.incarnation)?;
        std::io::Read::read_exact(&mut urandom, &mut entropy.secret)
    }) {
        Ok(()) => {}
        Err(_) => {
            getrandom::fill(&mut entropy.incarnation)?;
            getrandom::fill(&mut entropy.secret)?;
        }
    }
    Ok(entropy)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kernel that has no entropy yet, and gives the same after each boot.
    const POOR: Entropy = Entropy { incarnation: [0; 8], secret: [0; 16] };

    #[test]
    fn two_runs_on_a_box_without_entropy_have_nothing_in_common() {
        let key = |byte| [Key { id: 0, bytes: [byte; 16].into_iter().collect() }];
        let runs = [
            (key(1), "boot-a", [5, 6], 7),
            (key(2), "boot-a", [5, 6], 7),
            (key(1), "boot-b", [5, 6], 7),
            (key(1), "boot-a", [8, 6], 7),
            (key(1), "boot-a", [5, 8], 7),
            (key(1), "boot-a", [5, 6], 8),
        ];
        let mut seen = std::collections::HashSet::new();
        for (keys, boot, now, pid) in &runs {
            let Entropy { incarnation, secret } = mix(POOR, keys, boot, *now, *pid);
            let [low, high] = [0, 8].map(|at| <[u8; 8]>::try_from(&secret[at..at + 8]).expect("eight bytes"));
            assert!(
                [incarnation, low, high].into_iter().all(|word| seen.insert(word)),
                "{boot} {now:?} {pid}"
            );
        }
    }
}
