//! What one step of reconciling came to.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What one step came to; stored with the object and shown to people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The object is as intended; nothing to do before it changes.
    Done,
    /// It moved to another state; look again at once.
    Moved {
        /// State before.
        from: String,
        /// State after.
        to: String,
    },
    /// Something outside has to happen first.
    Wait {
        /// A sentence for people, such as `power is on, no DHCP request for 70 s`.
        reason: String,
        /// When to look again even if nothing happens; waiting longer is for the reconciler to judge then.
        until: Timestamp,
    },
    /// The step failed and is taken again.
    Failed {
        /// A sentence for people: what happened, to what, and what to do.
        reason: String,
        /// When it is taken again.
        retry_at: Timestamp,
    },
}

impl Outcome {
    /// Waiting for something, until a deadline.
    pub fn wait(reason: impl Into<String>, until: Timestamp) -> Self {
        Self::Wait { reason: reason.into(), until }
    }

    /// Failed, with the time of the next attempt.
    pub fn failed(reason: impl Into<String>, retry_at: Timestamp) -> Self {
        Self::Failed { reason: reason.into(), retry_at }
    }

    /// Moved from one state to another.
    pub fn moved(from: impl Into<String>, to: impl Into<String>) -> Self {
        Self::Moved { from: from.into(), to: to.into() }
    }

    /// When the object has to be looked at again without anything having changed; `None`: never.
    pub fn again_at(&self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Done => None,
            Self::Moved { .. } => Some(now),
            Self::Wait { until: at, .. } | Self::Failed { retry_at: at, .. } => Some(*at),
        }
    }

    /// The sentence for people, where there is one.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Wait { reason, .. } | Self::Failed { reason, .. } => Some(reason),
            Self::Done | Self::Moved { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_form_is_flat_and_stable() {
        let outcome = Outcome::wait("erasing disks", Timestamp::UNIX_EPOCH);
        let json = serde_json::to_value(&outcome).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"outcome": "wait", "reason": "erasing disks", "until": "1970-01-01T00:00:00Z"})
        );
        assert_eq!(serde_json::from_value::<Outcome>(json).unwrap(), outcome);
        assert_eq!(serde_json::to_value(Outcome::Done).unwrap(), serde_json::json!({"outcome": "done"}));
    }

    #[test]
    fn only_done_is_never_looked_at_again() {
        let (now, later) = (Timestamp::UNIX_EPOCH, Timestamp::MAX);
        assert_eq!(Outcome::Done.again_at(now), None);
        assert_eq!(Outcome::moved("a", "b").again_at(now), Some(now));
        assert_eq!(Outcome::wait("w", later).again_at(now), Some(later));
        assert_eq!(Outcome::failed("f", later).again_at(now), Some(later));
    }
}
