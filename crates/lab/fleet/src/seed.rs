//! Everything that is drawn by lot, from one number: the same seed gives the same fleet.

use std::time::Duration;

/// A number that lots are drawn from. What is drawn depends on the seed and on what it is for, not on what was drawn
/// before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed(u64);

impl Seed {
    /// The seed of a fleet.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The seed of one of many things of a kind.
    #[must_use]
    pub fn of(self, kind: &str, number: u64) -> Self {
        Self(mix(self.draw(kind) ^ mix(number)))
    }

    /// Any number.
    pub fn draw(self, what: &str) -> u64 {
        let name = what.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        mix(self.0 ^ name)
    }

    /// A number below `end`; 0 where that is 0.
    pub fn below(self, what: &str, end: u64) -> u64 {
        self.draw(what).checked_rem(end).unwrap_or(0)
    }

    /// Whether a lot of `percent` in a hundred falls; more than a hundred always does.
    pub fn falls(self, what: &str, percent: f64) -> bool {
        let lot = u32::try_from(self.below(what, 1_000_000)).unwrap_or(0);
        f64::from(lot) < percent * 10_000.0
    }

    /// A time between two, by milliseconds.
    pub fn between(self, what: &str, shortest: Duration, longest: Duration) -> Duration {
        let span = longest.saturating_sub(shortest).as_millis();
        let more = self.below(what, u64::try_from(span).unwrap_or(u64::MAX).saturating_add(1));
        shortest.saturating_add(Duration::from_millis(more))
    }

    /// One of several; `None` where there are none.
    pub fn one<'a, T>(self, what: &str, of: &'a [T]) -> Option<&'a T> {
        let at = self.below(what, u64::try_from(of.len()).unwrap_or(0));
        of.get(usize::try_from(at).unwrap_or(0))
    }
}

/// The finaliser of `SplitMix64`.
const fn mix(number: u64) -> u64 {
    let z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lots_fall_as_often_as_they_should() {
        let fallen = (0..10_000).filter(|n| Seed::new(7).of("m", *n).falls("x", 20.0)).count();
        assert!((1_800..2_200).contains(&fallen), "{fallen}");
        assert!(Seed::new(1).falls("x", 100.0) && !Seed::new(1).falls("x", 0.0));
    }

    proptest! {
        #[test]
        fn what_is_drawn_lies_within(seed: u64, end in 0u64..1000, a in 0u64..9000, b in 0u64..9000) {
            let (low, high) = (Duration::from_millis(a.min(b)), Duration::from_millis(a.max(b)));
            prop_assert!((low..=high).contains(&Seed::new(seed).between("t", low, high)));
            prop_assert!(Seed::new(seed).below("n", end) < end.max(1));
            prop_assert_eq!(Seed::new(seed).draw("a"), Seed::new(seed).draw("a"));
        }
    }
}
