//! Values that TOML has no type for: spans, names, interfaces, addresses; and the nearest known word.

use std::net::IpAddr;

use crc::{CRC_32_ISO_HDLC, Crc, NoTable};
use crosswire::time::Span;

use crate::gather::Gather;

/// Longest pair, node or group name.
pub const MAX_NAME_BYTES: usize = 64;
/// Longest interface name (IFNAMSIZ - 1, linux/if.h).
const MAX_INTERFACE_BYTES: usize = 15;
/// Longest word for which a nearest one is looked up.
const MAX_WORD_BYTES: usize = 32;

/// Most digits of a span before the point.
const MAX_DIGITS: usize = 9;

/// Computed once a run: not worth a table.
pub(super) static CRC: Crc<u32, NoTable> = Crc::<u32, NoTable>::new(&CRC_32_ISO_HDLC);

/// The checksum of a text.
pub(super) fn checksum(text: &str) -> u32 {
    CRC.checksum(text.as_bytes())
}

/// A hardware address as it is usually written.
pub(super) fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let octet = |text: &str| u8::from_str_radix(text, 16).ok().filter(|_| !text.starts_with('+'));
    text.split(':').map(octet).gather_all()?.try_into().ok()
}

/// Parses `100ms`, `1.5s`, `10m` or `2h` exactly; at most nine digits before the point and six after it.
pub fn parse_span(text: &str) -> Option<Span> {
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic() || c == ' ')?;
    let (number, unit) = text.split_at(unit_at);
    let unit_us: u64 = match unit.strip_prefix(' ').unwrap_or(unit) {
        "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let whole = parse_digits(whole, MAX_DIGITS)?;
    let scale = 10u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let fraction_us = parse_digits(fraction, 6)? * unit_us;
    (fraction_us.is_multiple_of(scale)).then(|| Span::from_us(whole * unit_us + fraction_us / scale))
}

/// The longest span in the unit of one that only has too many digits.
pub fn longest_instead_of(text: &str) -> Option<String> {
    let (digits, rest) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let is_span = digits.len() > MAX_DIGITS && parse_span(&format!("1{rest}")).is_some();
    let unit = rest.trim_start_matches(|c: char| !c.is_ascii_alphabetic());
    is_span.then(|| format!("{}{unit}", "9".repeat(MAX_DIGITS)))
}

/// A number of at most `max` digits, and nothing else.
pub(super) fn parse_digits(text: &str, max: usize) -> Option<u64> {
    let is_plain = (1..=max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if is_plain { text.parse().ok() } else { None }
}

/// A span as one would write it in the file: exact, in the largest unit that has no fraction.
pub fn exact(span: Span) -> String {
    match span.as_us() {
        0 => "0 s".to_string(),
        us if us % 1_000_000 == 0 => format!("{} s", us / 1_000_000),
        us if us % 1_000 == 0 => format!("{} ms", us / 1_000),
        us => {
            let fraction = format!("{:03}", us % 1_000);
            format!("{}.{} ms", us / 1_000, fraction.trim_end_matches('0'))
        }
    }
}

/// Whether it is a full path that fits on one line.
pub fn is_full_path(text: &str) -> bool {
    text.starts_with('/') && !text.contains(char::is_control)
}

/// Letters, digits, dot, dash and underscore: what a host name may be, and what is safe in a file name.
pub fn is_name(text: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    (1..=MAX_NAME_BYTES).contains(&text.len())
        && text.bytes().all(is_plain)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
}

/// Whether the kernel takes it for the name of an interface (dev_valid_name in net/core/dev.c).
pub fn is_interface(text: &str) -> bool {
    (1..=MAX_INTERFACE_BYTES).contains(&text.len())
        && !matches!(text, "." | "..")
        && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'/' | b':' | b'@'))
}

/// Whether one box can own the address: it is not unspecified, multicast or broadcast.
pub fn is_unicast(ip: IpAddr) -> bool {
    let is_broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    !ip.is_unspecified() && !ip.is_multicast() && !is_broadcast
}

/// Whether `ip` can be a host's within its network: not the network's own address, and not its broadcast
/// address.
pub(super) fn is_host_in(ip: IpAddr, prefix: u8) -> bool {
    let IpAddr::V4(v4) = ip else { return true };
    let host_bits = 32u32.saturating_sub(u32::from(prefix));
    if host_bits < 2 {
        return true;
    }
    let host_mask = u32::MAX.checked_shr(32 - host_bits).unwrap_or(u32::MAX);
    let host = v4.to_bits() & host_mask;
    host != 0 && host != host_mask
}

/// The candidate that `word` is a typing error of, if any.
pub fn nearest<'c>(word: &str, candidates: &[&'c str]) -> Option<&'c str> {
    let limit = if word.len() <= 4 { 1 } else { 2 };
    candidates
        .iter()
        .map(|candidate| (edit_distance(word, candidate), *candidate))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= limit)
        .map(|(_, candidate)| candidate)
}

/// Letters to add, drop, change or swap with their neighbour to get from one word to the other; case does not
/// count.
fn edit_distance(from: &str, to: &str) -> usize {
    if from.len().max(to.len()) > MAX_WORD_BYTES {
        return usize::MAX;
    }
    let (from, to) = (from.as_bytes(), to.as_bytes());
    let same = |i: usize, j: usize| from[i].eq_ignore_ascii_case(&to[j]);
    let mut rows = [[0; MAX_WORD_BYTES + 1]; MAX_WORD_BYTES + 1];
    for i in 0..=from.len() {
        for j in 0..=to.len() {
            rows[i][j] = match (i, j) {
                (0, n) | (n, 0) => n,
                _ => {
                    let changed = rows[i - 1][j - 1] + usize::from(!same(i - 1, j - 1));
                    let is_swap = i > 1 && j > 1 && same(i - 1, j - 2) && same(i - 2, j - 1);
                    let swapped = if is_swap { rows[i - 2][j - 2] + 1 } else { usize::MAX };
                    changed.min(swapped).min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1)
                }
            };
        }
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_exactly() {
        let us = |text| parse_span(text).map(Span::as_us);
        assert_eq!(us("100ms"), Some(100_000));
        assert_eq!(us("1.5s"), Some(1_500_000));
        assert_eq!(us("1.5 s"), Some(1_500_000));
        assert_eq!(us("10m"), Some(600_000_000));
        assert_eq!(us("0.001ms"), Some(1));
        assert_eq!(us("999999999m"), Some(59_999_999_940_000_000));
        let bad = [
            "",
            "s",
            "5",
            "1.s",
            ".5s",
            "1..5s",
            "-1s",
            "+1s",
            "1e3s",
            "1  s",
            "0.0001ms",
            "1234567890s",
            "1s ",
            "1 000ms",
        ];
        for text in bad {
            assert_eq!(us(text), None, "{text}");
        }
    }

    #[test]
    fn a_span_with_too_many_digits_is_told_the_longest() {
        let longest = |text| longest_instead_of(text).unwrap_or_default();
        for (text, wanted) in [
            ("1000000000s", "999999999s"),
            ("18446744073709551615ms", "999999999ms"),
            ("12345678901.5 h", "999999999h"),
            ("999999999s", ""),
            ("1000000000", ""),
            ("1000000000 parsecs", ""),
            ("soon", ""),
        ] {
            assert_eq!(longest(text), wanted, "{text}");
        }
    }

    #[test]
    fn what_exact_prints_is_read_back() {
        for us in [0, 1_000, 250_000, 1_500_000, 2_000_000, 66_667, 4_393_500, 61_105_000] {
            let span = Span::from_us(us);
            assert_eq!(parse_span(&exact(span)), Some(span), "{}", exact(span));
        }
    }

    #[test]
    fn a_slip_finds_its_word_and_a_stranger_does_not() {
        let known = ["interval", "late_after", "dead_after", "lease", "lan", "baud"];
        assert_eq!(nearest("intervall", &known), Some("interval"));
        assert_eq!(nearest("laet_after", &known), Some("late_after"));
        assert_eq!(nearest("dead-after", &known), Some("dead_after"));
        assert_eq!(nearest("Lease", &known), Some("lease"));
        assert_eq!(nearest("baudrate", &known), None);
        assert_eq!(nearest("wan", &known), Some("lan"));
        assert_eq!(nearest("xyz", &known), None);
        assert_eq!(nearest(&"x".repeat(40), &known), None);
        assert_eq!(nearest("", &known), None);
    }

    #[test]
    fn names_and_interfaces() {
        for good in ["gw1", "gw1.example.org", "a_b-c"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "a b", "../x", "-x", "a/b", "ä", &"x".repeat(65)] {
            assert!(!is_name(bad), "{bad}");
        }
        for good in ["eth0", "eth0.100", "br-lan", "wan%d"] {
            assert!(is_interface(good), "{good}");
        }
        for bad in ["", ".", "..", "eth0:0", "a/b", "a b", "interface0123456"] {
            assert!(!is_interface(bad), "{bad}");
        }
    }

    #[test]
    fn network_and_broadcast_addresses_are_no_hosts() {
        let host = |text: &str, prefix| is_host_in(text.parse().unwrap(), prefix);
        assert!(host("10.0.0.1", 24) && host("10.0.0.0", 31) && host("10.0.0.0", 32) && host("10.0.1.0", 16));
        assert!(!host("10.0.0.0", 24) && !host("10.0.0.255", 24) && !host("10.255.255.255", 8));
        assert!(host("fd00::", 64));
    }
}
