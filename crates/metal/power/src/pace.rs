//! How soon a BMC is asked again. Pure.

use std::time::Duration;

/// The first pause before a BMC is asked again whether the power is off.
const CONFIRM: Duration = Duration::from_millis(500);
/// The longest.
const CONFIRM_MOST: Duration = Duration::from_secs(8);
/// How long a BMC is left alone after its first failure.
const REST: Duration = Duration::from_millis(500);
/// The longest.
const REST_MOST: Duration = Duration::from_secs(15);

/// The pause before a BMC that was asked `asked` times is asked again whether the power is off: 0.5, 1, 2 s …,
/// 8 s at most.
pub fn confirm_again(asked: u32) -> Duration {
    doubled(CONFIRM, asked).min(CONFIRM_MOST)
}

/// How long a BMC that failed `failures` times in a row is left alone: 0.5, 1, 2 s …, 15 s at most.
pub fn back_off(failures: u32) -> Duration {
    match failures.checked_sub(1) {
        None => Duration::ZERO,
        Some(more) => doubled(REST, more).min(REST_MOST),
    }
}

fn doubled(first: Duration, times: u32) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(times))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn soon_and_then_less_often() {
        let pauses: Vec<u128> = (0..7).map(|asked| confirm_again(asked).as_millis()).collect();
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 8000, 8000]);
        let rests: Vec<u128> = (0..8).map(|failures| back_off(failures).as_millis()).collect();
        assert_eq!(rests, [0, 500, 1000, 2000, 4000, 8000, 15000, 15000]);
    }

    proptest! {
        #[test]
        fn pauses_grow_and_end(times: u32) {
            prop_assert!(confirm_again(times) <= confirm_again(times.saturating_add(1)));
            prop_assert!(back_off(times) <= back_off(times.saturating_add(1)));
            prop_assert!(confirm_again(times) <= CONFIRM_MOST && back_off(times) <= REST_MOST);
        }
    }
}
