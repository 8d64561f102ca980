//! The heartbeat of protocol 1, as postcard sees it. Frozen: boxes in the field speak it.

use crate::encode::to_slice;
use heapless::Vec;
use serde::{Deserialize, Serialize};

use super::message::{
    Ack, Beat, GroupReport, PathReport, decode_all, pack_flags, pack_group, pack_trouble, unpack_flags,
    unpack_group, unpack_trouble,
};
use crate::config::{MAX_GROUPS, MAX_PATHS};
use crate::pair::{Mechanisms, Trouble, Word};
use crate::time::Span;

#[derive(Serialize, Deserialize)]
struct Compact {
    ack: [u8; 4],
    interval_ms: u16,
    /// dead_after in milliseconds, age.
    paths: Vec<(u16, u8), MAX_PATHS>,
    /// Tag; role and word in bits 0-3, term above.
    groups: Vec<(u8, u32), MAX_GROUPS>,
    flags: u8,
    /// Trouble in bits 0-3, witnesses in bits 4-7.
    trouble: u8,
    digest: [u8; 4],
    release: Mechanisms,
}

/// All flags that this version has. A flag that it does not have could mean anything: such a beat is refused.
const FLAGS: u8 = 0b11_1111;

/// Writes the payload. What this version cannot say is left out, or becomes the nearest value that is as
/// careful.
///
/// `None` if `room` is too small, which it is not within the bounds of [`crate::config`].
pub(super) fn encode<'a>(beat: &Beat, room: &'a mut [u8]) -> Option<&'a mut [u8]> {
    let ack = match beat.ack {
        Ack::Whole(number) => number,
        Ack::Low(_) => 0,
    };
    let compact = Compact {
        ack: ack.to_le_bytes(),
        interval_ms: beat.interval.as_ms_u16(),
        paths: beat.paths.iter().map(|path| (path.dead_after.as_ms_u16(), path.age_sixteenths)).collect(),
        groups: beat.groups.iter().map(|group| pack_group(&plain(*group))).collect(),
        flags: pack_flags(&beat.standing),
        trouble: match beat.standing.trouble {
            Trouble::Other => pack_trouble(Trouble::GuardSilent, beat.standing.witnesses),
            known @ (Trouble::None | Trouble::GuardLost | Trouble::GuardSilent) => {
                pack_trouble(known, beat.standing.witnesses)
            }
        },
        digest: beat.digest,
        release: beat.release,
    };
    to_slice(&compact, room)
}

/// This version has no number for 'unready'; 'unable' is as careful.
fn plain(group: GroupReport) -> GroupReport {
    if group.word == Word::Unready { GroupReport { word: Word::Unable, ..group } } else { group }
}

/// Reads the payload: all of it, and nothing behind it.
pub(super) fn decode(payload: &[u8]) -> Option<Beat> {
    let compact: Compact = decode_all(payload)?;
    if compact.flags & !FLAGS != 0 {
        return None;
    }
    let (trouble, witnesses) = unpack_trouble(compact.trouble);
    let path = |(ms, age_sixteenths): &(u16, u8)| PathReport {
        dead_after: Span::from_ms(u64::from(*ms)),
        age_sixteenths: *age_sixteenths,
    };
    let mut standing = unpack_flags(compact.flags);
    (standing.trouble, standing.witnesses) = (trouble?, witnesses);
    Some(Beat {
        ack: Ack::Whole(u32::from_le_bytes(compact.ack)),
        interval: Span::from_ms(u64::from(compact.interval_ms)),
        paths: compact.paths.iter().map(path).collect(),
        groups: compact
            .groups
            .iter()
            .map(|(tag, packed)| known_group(*tag, *packed))
            .collect::<Option<_>>()?,
        interfaces: Vec::new(),
        standing,
        release: compact.release,
        digest: compact.digest,
    })
}

fn known_group(tag: u8, packed: u32) -> Option<GroupReport> {
    let (report, is_known) = unpack_group(tag, packed);
    is_known.then_some(report)
}
