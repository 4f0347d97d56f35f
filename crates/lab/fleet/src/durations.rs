//! Many durations in little room.

use std::time::Duration;

/// Steps to twice the time.
const FINENESS: i32 = 4;
/// Slots: the last one is for some four hours and more.
const SLOTS: usize = 96;

/// How long things took: counted in slots that are a fifth wider each than the one before.
#[derive(Debug, Clone)]
pub struct Durations {
    slots: [u64; SLOTS],
    count: u64,
    longest: Duration,
    sum: Duration,
}

impl Default for Durations {
    fn default() -> Self {
        Self { slots: [0; SLOTS], count: 0, longest: Duration::ZERO, sum: Duration::ZERO }
    }
}

impl Durations {
    /// Counts one.
    pub fn add(&mut self, took: Duration) {
        self.count += 1;
        self.longest = self.longest.max(took);
        self.sum = self.sum.saturating_add(took);
        if let Some(slot) = self.slots.get_mut(slot(took)) {
            *slot += 1;
        }
    }

    /// How many.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The longest.
    pub const fn longest(&self) -> Duration {
        self.longest
    }

    /// Their mean.
    pub fn mean(&self) -> Duration {
        u32::try_from(self.count).ok().and_then(|count| self.sum.checked_div(count)).unwrap_or_default()
    }

    /// What `percent` in a hundred did not exceed, up to the width of a slot.
    pub fn percentile(&self, percent: u64) -> Duration {
        let wanted = (self.count * percent).div_ceil(100);
        let mut seen = 0;
        for (upper, slot) in (1..).zip(&self.slots) {
            seen += slot;
            if seen >= wanted {
                let millis = 2f64.powf(f64::from(upper) / f64::from(FINENESS));
                return Duration::from_secs_f64(millis / 1000.0).min(self.longest);
            }
        }
        self.longest
    }
}

fn slot(took: Duration) -> usize {
    let steps = (took.as_secs_f64() * 1000.0).max(1.0).log2() * f64::from(FINENESS);
    (0..SLOTS)
        .find(|slot| f64::from(u8::try_from(*slot).unwrap_or(u8::MAX)) + 1.0 > steps)
        .unwrap_or(SLOTS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_a_slot() {
        let mut durations = Durations::default();
        (1..=1000).map(Duration::from_millis).for_each(|took| durations.add(took));
        let half = durations.percentile(50).as_secs_f64();
        assert!((0.5..0.6).contains(&half), "{half}");
        assert_eq!(durations.percentile(100), Duration::from_secs(1));
        assert_eq!((durations.count(), durations.mean()), (1000, Duration::from_micros(500_500)));
        assert_eq!(Durations::default().percentile(99), Duration::ZERO);
    }
}
