//! How long to wait before trying again.

use std::time::Duration;

/// Exponential back-off: doubles with each attempt from `first` up to `cap`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Delay after the first failure, before jitter.
    pub first: Duration,
    /// No delay is longer than this.
    pub cap: Duration,
}

impl Backoff {
    /// Doubles from `first` up to `cap`.
    pub const fn new(first: Duration, cap: Duration) -> Self {
        Self { first, cap }
    }

    /// The delay after `attempt` failures (the first is 1; 0 means none yet, and no delay).
    ///
    /// `jitter` in `0.0..=1.0`, drawn by the caller, spreads it evenly over the upper half: from half the delay (0)
    /// to all of it (1), so that many clients that failed together do not come back together.
    pub fn delay(&self, attempt: u32, jitter: f64) -> Duration {
        let Some(doublings) = attempt.checked_sub(1) else { return Duration::ZERO };
        let factor = 1u32.checked_shl(doublings).unwrap_or(u32::MAX);
        let whole = self.first.saturating_mul(factor).min(self.cap);
        let jitter = if jitter.is_finite() { jitter.clamp(0.0, 1.0) } else { 1.0 };
        (whole / 2 + (whole / 2).mul_f64(jitter)).min(self.cap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn never_above_the_cap_and_never_shorter_than_half(
            first in 1u64..10_000, cap in 1u64..1_000_000, attempt in 1u32..100, jitter in -1.0f64..2.0,
        ) {
            let backoff = Backoff::new(Duration::from_millis(first), Duration::from_millis(cap));
            let delay = backoff.delay(attempt, jitter);
            let least = backoff.first.min(backoff.cap) / 2;
            prop_assert!(delay <= backoff.cap, "{delay:?}");
            prop_assert!(delay >= least, "{delay:?}");
            prop_assert!(backoff.delay(attempt + 1, jitter) >= delay);
            prop_assert!(backoff.delay(attempt, 0.0) <= delay);
        }
    }

    #[test]
    fn doubles_and_survives_nonsense() {
        let backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(1));
        let whole: Vec<u64> = (0..9).map(|attempt| backoff.delay(attempt, 1.0).as_secs()).collect();
        assert_eq!(whole, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(backoff.delay(3, f64::NAN), Duration::from_secs(4));
        assert_eq!(
            Backoff::new(Duration::MAX, Duration::MAX).delay(u32::MAX, 1.0).as_secs() / 2,
            u64::MAX / 2
        );
    }
}
