//! What a serial line carries.

use crosswire::quorum::timing::{MAX_LINE_LOAD_PERMILLE, line_load_permille, line_time};
use crosswire::time::Span;

/// Speeds that messages propose: the usual divisors of a 16550, and those that USB adapters add.
pub(super) const BAUDS: [u32; 14] = [
    1_200, 2_400, 4_800, 9_600, 19_200, 38_400, 57_600, 115_200, 230_400, 460_800, 500_000, 576_000, 921_600,
    1_000_000,
];
/// Speeds that are accepted too: further divisors of a 16550, and those of fast cards. Most have no constant
/// in termios.
pub(super) const RARE_BAUDS: [u32; 6] = [14_400, 28_800, 76_800, 250_000, 2_000_000, 3_000_000];
/// The slowest usual speed at which beats fill no more than their share, if there is one.
pub(super) fn least_baud(bytes: u64, interval: Span) -> Option<u32> {
    let is_enough =
        |baud: &u32| line_load_permille(line_time(bytes, *baud), interval) <= MAX_LINE_LOAD_PERMILLE;
    BAUDS.into_iter().find(is_enough)
}

/// The shortest interval, in steps of 10 ms, in which a beat fills no more than its share.
pub fn least_interval(beat: Span) -> Span {
    let least_us = beat.as_us().saturating_mul(1_000).div_ceil(MAX_LINE_LOAD_PERMILLE);
    Span::from_ms(least_us.div_ceil(10_000).saturating_mul(10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remedies_are_enough_and_no_more() {
        let interval = Span::from_ms(100);
        assert_eq!(least_baud(64, interval), Some(19_200));
        assert_eq!(least_baud(1_000_000, interval), None);
        let beat = line_time(64, 9_600);
        assert_eq!(least_interval(beat), Span::from_ms(140));
        assert!(line_load_permille(beat, Span::from_ms(140)) <= MAX_LINE_LOAD_PERMILLE);
        assert!(line_load_permille(beat, Span::from_ms(130)) > MAX_LINE_LOAD_PERMILLE);
    }
}
