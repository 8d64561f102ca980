//! The heartbeat of protocol 2: fields of fixed width, so that its length follows from three counts.
//!
//! A later build may give a meaning to flags and numbers that are free today, and add fields at the end. So a
//! reader refuses nothing because it is new: it ignores unknown flags and what follows the last known field,
//! and takes an unknown trouble for [`Trouble::Other`] and an unknown role for a backup that cannot serve.

use heapless::Vec;

use super::message::{
    Ack, Beat, NO_END, PathReport, pack_flags, pack_group, pack_more_flags, pack_trouble, unpack_flags,
    unpack_group, unpack_more_flags, unpack_trouble,
};
use super::{Body, push};
use crate::config::{MAX_GROUPS, MAX_INTERFACES, MAX_PATHS};
use crate::pair::{Interface, Mechanisms, Trouble};
use crate::time::Span;

/// Everything up to the lists.
const FIXED_BYTES: usize = 17;
const PATH_BYTES: usize = 3;
const GROUP_BYTES: usize = 5;
/// Interfaces to a byte: two bits each in bits 0 to 5, the first one lowest.
const INTERFACES_PER_BYTE: usize = 3;
/// Bit 7: another byte of interfaces follows.
const MORE_INTERFACES: u8 = 0x80;

/// What is left of a maintenance that lasts longer than a byte can say, or for ever.
const ENDLESS: u8 = u8::MAX;

/// Bytes of the payload of a beat with this many paths, groups and interfaces, whatever it says.
pub(super) const fn bytes(paths: usize, groups: usize, interfaces: usize) -> usize {
    let interfaces = if interfaces == 0 { 1 } else { interfaces.div_ceil(INTERFACES_PER_BYTE) };
    FIXED_BYTES + PATH_BYTES * paths + GROUP_BYTES * groups + interfaces
}

/// Writes the payload behind the header.
pub(super) fn write(beat: &Beat, body: &mut Body) {
    let [ack_0, ack_1] = beat.ack.low().to_le_bytes();
    let [interval_0, interval_1] = beat.interval.as_ms_u16().to_le_bytes();
    let [stop_0, stop_1] = beat.release.stop_s.to_le_bytes();
    let [digest_0, digest_1, digest_2, digest_3] = beat.digest;
    let standing = &beat.standing;
    push(
        body,
        &[
            ack_0,
            ack_1,
            interval_0,
            interval_1,
            pack_flags(standing),
            pack_more_flags(standing),
            pack_trouble(standing.trouble, standing.witnesses),
            pack_left(standing.maintenance),
            beat.release.lease_s,
            beat.release.watchdog_s,
            stop_0,
            stop_1,
            digest_0,
            digest_1,
            digest_2,
            digest_3,
            pack_counts(beat),
        ],
    );
    for path in &beat.paths {
        let [low, high] = path.dead_after.as_ms_u16().to_le_bytes();
        push(body, &[low, high, path.age_sixteenths]);
    }
    for group in &beat.groups {
        let (tag, packed) = pack_group(group);
        let [p0, p1, p2, p3] = packed.to_le_bytes();
        push(body, &[tag, p0, p1, p2, p3]);
    }
    write_interfaces(&beat.interfaces, body);
}

/// Reads the payload: all of it that this build knows.
pub(super) fn read(payload: &[u8]) -> Option<Beat> {
    let mut rest = payload;
    let [a0, a1, i0, i1, flags, more, trouble, left, lease_s, watchdog_s, s0, s1, d0, d1, d2, d3, counts] =
        take::<FIXED_BYTES>(&mut rest)?;
    let mut standing = unpack_flags(flags);
    unpack_more_flags(more, &mut standing);
    let (trouble, witnesses) = unpack_trouble(trouble);
    (standing.trouble, standing.witnesses) = (trouble.unwrap_or(Trouble::Other), witnesses);
    standing.maintenance = unpack_left(left).or(standing.maintenance);
    Some(Beat {
        ack: Ack::Low(u16::from_le_bytes([a0, a1])),
        interval: ms(i0, i1),
        paths: read_list(counts & 0x0f, &mut rest, |[low, high, age]: [u8; PATH_BYTES]| PathReport {
            dead_after: ms(low, high),
            age_sixteenths: age,
        })?,
        groups: read_list(counts >> 4, &mut rest, |[tag, p0, p1, p2, p3]: [u8; GROUP_BYTES]| {
            unpack_group(tag, u32::from_le_bytes([p0, p1, p2, p3])).0
        })?,
        interfaces: read_interfaces(&mut rest)?,
        standing,
        release: Mechanisms { lease_s, watchdog_s, stop_s: u16::from_le_bytes([s0, s1]) },
        digest: [d0, d1, d2, d3],
    })
}

/// Paths in the low half, groups in the high one.
fn pack_counts(beat: &Beat) -> u8 {
    let count = |items: usize| u8::try_from(items).unwrap_or(0);
    const { assert!(MAX_PATHS < 16 && MAX_GROUPS < 16) };
    (count(beat.groups.len()) << 4) | count(beat.paths.len())
}

/// `None` if there are fewer bytes than the list needs, or more items than a pair may have.
fn read_list<const N: usize, T, const MAX: usize>(
    count: u8,
    rest: &mut &[u8],
    item: impl Fn([u8; N]) -> T,
) -> Option<Vec<T, MAX>> {
    let mut list = Vec::new();
    for _ in 0..count {
        list.push(item(take(rest)?)).ok()?;
    }
    Some(list)
}

/// Writes at least one byte, so that a reader finds the end without a count.
fn write_interfaces(interfaces: &[Interface], body: &mut Body) {
    let mut rest = interfaces;
    loop {
        let (now, later) = rest.split_at(rest.len().min(INTERFACES_PER_BYTE));
        let packed = now.iter().rev().fold(0, |packed, interface| (packed << 2) | interface.number());
        rest = later;
        if rest.is_empty() {
            return push(body, &[packed]);
        }
        push(body, &[packed | MORE_INTERFACES]);
    }
}

/// The padding of the last byte reads as 'nothing known', like an interface that was left out.
fn read_interfaces(rest: &mut &[u8]) -> Option<Vec<Interface, MAX_INTERFACES>> {
    let mut interfaces = Vec::new();
    loop {
        let [packed] = take(rest)?;
        for shift in [0, 2, 4] {
            // A peer of a later build may name more interfaces than this build knows: they are dropped.
            let _ = interfaces.push(Interface::from_bits(packed >> shift));
        }
        if packed & MORE_INTERFACES == 0 {
            return Some(interfaces);
        }
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

fn ms(low: u8, high: u8) -> Span {
    Span::from_ms(u64::from(u16::from_le_bytes([low, high])))
}

/// Seconds in one byte, like a floating point number: exact up to 31, then rounded up by a sixteenth at most.
/// Zero is none.
fn pack_left(left: Option<Span>) -> u8 {
    let Some(left) = left else { return 0 };
    let seconds = left.as_s_ceil().max(1);
    (1..ENDLESS).find(|byte| seconds_of(*byte) >= seconds).unwrap_or(ENDLESS)
}

fn unpack_left(byte: u8) -> Option<Span> {
    match byte {
        0 => None,
        ENDLESS => Some(NO_END),
        _ => Some(Span::from_s(seconds_of(byte))),
    }
}

/// The low half alone if the high half is zero, else (16 + low half), doubled (high half - 1) times.
fn seconds_of(byte: u8) -> u64 {
    let (exponent, mantissa) = (byte >> 4, u64::from(byte & 0x0f));
    match exponent.checked_sub(1) {
        None => mantissa,
        Some(doublings) => (16 + mantissa) << doublings,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_maintenance_is_never_said_too_short() {
        for seconds in (1..1_000).chain((1_000..700_000).step_by(97)) {
            let said = unpack_left(pack_left(Some(Span::from_s(seconds)))).expect("some");
            let most = Span::from_s(seconds + seconds / 16);
            let has_no_end = seconds > 491_520;
            assert!(said >= Span::from_s(seconds) && (said <= most || has_no_end), "{seconds} s as {said}");
        }
        assert_eq!(unpack_left(pack_left(Some(Span::from_ms(1)))), Some(Span::from_s(1)));
        assert_eq!(unpack_left(pack_left(None)), None);
    }

    #[test]
    fn interfaces_end_where_they_say() {
        for count in 0..=MAX_INTERFACES {
            let all = [Interface::Proven, Interface::CutOff, Interface::Dark, Interface::Unknown];
            let said: Vec<Interface, MAX_INTERFACES> = all.into_iter().cycle().take(count).collect();
            let mut body = Body::new();
            write_interfaces(&said, &mut body);
            assert_eq!(FIXED_BYTES + body.len(), bytes(0, 0, count));
            push(&mut body, &[0xff]);
            let mut rest = &body[..];
            let heard = read_interfaces(&mut rest).expect("an end");
            assert_eq!(rest, [0xff], "{count}");
            assert_eq!(&heard[..count], &said[..]);
            assert!(heard[count..].iter().all(|interface| *interface == Interface::Unknown));
        }
        assert_eq!(read_interfaces(&mut &[0x80][..]), None, "no end");
    }
}
