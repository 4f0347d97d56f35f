//! What came of a script.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How a run stands; MAAS's script status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Not begun.
    Pending,
    /// Under way.
    Running,
    /// It went well.
    Passed,
    /// It did not.
    Failed,
    /// It took longer than it may.
    TimedOut,
    /// It was given up, or never begun because another failed.
    Aborted,
    /// It went well enough.
    Degraded,
    /// There was nothing for it to do.
    Skipped,
}

impl Outcome {
    /// MAAS's number.
    pub const fn number(self) -> u8 {
        match self {
            Self::Pending => 0,
            Self::Running => 1,
            Self::Passed => 2,
            Self::Failed => 3,
            Self::TimedOut => 4,
            Self::Aborted => 5,
            Self::Degraded => 6,
            Self::Skipped => 9,
        }
    }

    /// MAAS's name.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Passed => "Passed",
            Self::Failed => "Failed",
            Self::TimedOut => "Timed out",
            Self::Aborted => "Aborted",
            Self::Degraded => "Degraded",
            Self::Skipped => "Skipped",
        }
    }

    /// Whether nothing more is to come.
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::Running)
    }

    /// Whether the machine must not go on as if all were well.
    pub const fn is_bad(self) -> bool {
        matches!(self, Self::Failed | Self::TimedOut | Self::Aborted)
    }

    /// How several stand together (MAAS): what is to do, else the worst, else passed; nothing: `None`.
    pub fn together(all: impl Iterator<Item = Self>) -> Option<Self> {
        const ORDER: [Outcome; 8] = [
            Outcome::Running,
            Outcome::Pending,
            Outcome::Failed,
            Outcome::TimedOut,
            Outcome::Aborted,
            Outcome::Degraded,
            Outcome::Passed,
            Outcome::Skipped,
        ];
        all.min_by_key(|one| ORDER.iter().position(|other| other == one))
    }
}

/// What a script's exit status and the YAML that it left in `$RESULT_PATH` come to. What the YAML says counts where
/// it says something that MAAS knows; a script that exits badly has failed whatever it says, unless it says worse.
pub fn judge(exit_status: i32, result: &str) -> Outcome {
    let said: Value = serde_yaml_ng::from_str(result).unwrap_or_default();
    let said = match said.get("status").and_then(Value::as_str) {
        Some("passed") => Some(Outcome::Passed),
        Some("failed") => Some(Outcome::Failed),
        Some("degraded") => Some(Outcome::Degraded),
        Some("timedout") => Some(Outcome::TimedOut),
        Some("skipped") => Some(Outcome::Skipped),
        _ => None,
    };
    match (exit_status, said) {
        (0, None) => Outcome::Passed,
        (0, Some(said)) => said,
        (_, Some(said)) if said.is_bad() => said,
        _ => Outcome::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_left_to_do_comes_first_and_then_the_worst() {
        use Outcome::{Degraded, Failed, Passed, Pending, Running, Skipped};
        let together = |all: &[Outcome]| Outcome::together(all.iter().copied());
        assert_eq!(together(&[Passed, Pending, Failed]), Some(Pending));
        assert_eq!(together(&[Passed, Running, Pending]), Some(Running));
        assert_eq!(together(&[Passed, Degraded, Failed]), Some(Failed));
        assert_eq!(together(&[Skipped, Passed]), Some(Passed));
        assert_eq!(together(&[]), None);
    }

    proptest! {
        /// Whatever a script leaves behind: who exits badly has not passed.
        #[test]
        fn a_bad_exit_is_never_a_pass(exit in 1..255i32, text in "\\PC{0,60}", said in "passed|skipped|degraded|failed") {
            prop_assert!(judge(exit, &text).is_bad());
            let result = format!("status: {said}\n");
            prop_assert!(judge(exit, &result).is_bad());
        }
    }
}
