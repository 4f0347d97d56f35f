//! The states of a machine by MAAS's numbers, labels and words: what region and clients agree on.
//!
//! Which moves are legal is the region's own affair (`lifecycle`).

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

use serde::{Deserialize, Serialize};

/// State of a machine. It is written as MAAS's number, and read from that or from its [word](Status::word).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "Written", into = "i64")]
#[allow(missing_docs)] // the names are MAAS's own
pub enum Status {
    New,
    Commissioning,
    FailedCommissioning,
    Missing,
    Ready,
    Reserved,
    Deployed,
    Retired,
    Broken,
    Deploying,
    Allocated,
    FailedDeployment,
    Releasing,
    FailedReleasing,
    DiskErasing,
    FailedDiskErasing,
    RescueMode,
    EnteringRescueMode,
    FailedEnteringRescueMode,
    ExitingRescueMode,
    FailedExitingRescueMode,
    Testing,
    FailedTesting,
    /// A state that this version does not know.
    Other(i64),
}

use Status::{
    Allocated, Broken, Commissioning, Deployed, Deploying, DiskErasing, EnteringRescueMode,
    ExitingRescueMode, FailedCommissioning, FailedDeployment, FailedDiskErasing, FailedEnteringRescueMode,
    FailedExitingRescueMode, FailedReleasing, FailedTesting, Missing, New, Other, Ready, Releasing,
    RescueMode, Reserved, Retired, Testing,
};

/// In the order of MAAS's numbers: `status_name`, and the word of list filters.
const TABLE: [(Status, &str, &str); 23] = [
    (New, "New", "new"),
    (Commissioning, "Commissioning", "commissioning"),
    (FailedCommissioning, "Failed commissioning", "failed_commissioning"),
    (Missing, "Missing", "missing"),
    (Ready, "Ready", "ready"),
    (Reserved, "Reserved", "reserved"),
    (Deployed, "Deployed", "deployed"),
    (Retired, "Retired", "retired"),
    (Broken, "Broken", "broken"),
    (Deploying, "Deploying", "deploying"),
    (Allocated, "Allocated", "allocated"),
    (FailedDeployment, "Failed deployment", "failed_deployment"),
    (Releasing, "Releasing", "releasing"),
    (FailedReleasing, "Releasing failed", "failed_releasing"),
    (DiskErasing, "Disk erasing", "disk_erasing"),
    (FailedDiskErasing, "Failed disk erasing", "failed_disk_erasing"),
    (RescueMode, "Rescue mode", "rescue_mode"),
    (EnteringRescueMode, "Entering rescue mode", "entering_rescue_mode"),
    (FailedEnteringRescueMode, "Failed to enter rescue mode", "failed_entering_rescue_mode"),
    (ExitingRescueMode, "Exiting rescue mode", "exiting_rescue_mode"),
    (FailedExitingRescueMode, "Failed to exit rescue mode", "failed_exiting_rescue_mode"),
    (Testing, "Testing", "testing"),
    (FailedTesting, "Failed testing", "failed_testing"),
];

impl Status {
    /// Every state that MAAS has, in the order of its numbers.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|(status, ..)| *status)
    }

    /// The state of a `status_name`.
    pub fn from_label(label: &str) -> Option<Self> {
        TABLE.iter().find(|(_, name, _)| name.eq_ignore_ascii_case(label)).map(|(status, ..)| *status)
    }

    /// The state of a word, such as `failed_testing`.
    pub fn from_word(word: &str) -> Option<Self> {
        TABLE.iter().find(|(.., known)| *known == word).map(|(status, ..)| *status)
    }

    /// MAAS's number.
    pub fn number(self) -> i64 {
        match self {
            Other(number) => number,
            known => (0..).zip(&TABLE).find(|(_, row)| row.0 == known).map_or(-1, |(number, _)| number),
        }
    }

    /// MAAS's `status_name`.
    pub fn label(self) -> &'static str {
        TABLE.iter().find(|row| row.0 == self).map_or("Unknown", |row| row.1)
    }

    /// The one-word form of list filters, such as `failed_testing`.
    pub fn word(self) -> &'static str {
        TABLE.iter().find(|row| row.0 == self).map_or("unknown", |row| row.2)
    }

    /// Where a failure leads from here; `None` where nothing is under way.
    pub const fn failed(self) -> Option<Self> {
        match self {
            Commissioning => Some(FailedCommissioning),
            Deploying => Some(FailedDeployment),
            Releasing => Some(FailedReleasing),
            DiskErasing => Some(FailedDiskErasing),
            EnteringRescueMode => Some(FailedEnteringRescueMode),
            ExitingRescueMode => Some(FailedExitingRescueMode),
            Testing => Some(FailedTesting),
            _ => None,
        }
    }

    /// Whether MAAS is at work on the machine.
    pub const fn is_under_way(self) -> bool {
        self.failed().is_some()
    }

    /// Whether the last thing MAAS tried with it failed, or somebody marked it as broken.
    pub const fn is_failed(self) -> bool {
        matches!(
            self,
            FailedCommissioning
                | FailedDeployment
                | FailedReleasing
                | FailedDiskErasing
                | FailedEnteringRescueMode
                | FailedExitingRescueMode
                | FailedTesting
                | Broken
                | Missing
        )
    }
}

impl Default for Status {
    fn default() -> Self {
        Other(-1)
    }
}

impl From<i64> for Status {
    fn from(number: i64) -> Self {
        let row = usize::try_from(number).ok().and_then(|number| TABLE.get(number));
        row.map_or(Other(number), |(status, ..)| *status)
    }
}

impl From<Status> for i64 {
    fn from(status: Status) -> Self {
        status.number()
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(i64),
    Word(String),
}

impl From<Written> for Status {
    fn from(written: Written) -> Self {
        match written {
            Written::Number(number) => number.into(),
            Written::Word(word) => Self::from_word(&word).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_labels_and_words_lead_back() {
        for number in -2..40 {
            assert_eq!(i64::from(Status::from(number)), number);
        }
        for status in Status::all() {
            assert_eq!(Status::from_label(status.label()), Some(status));
            assert_eq!(Status::from_word(status.word()), Some(status));
            assert_eq!(format!("{status:?}").to_lowercase(), status.word().replace('_', ""));
        }
        assert!(Status::all().zip(&TABLE).all(|(status, row)| status == row.0));
        assert_eq!((Deployed.number(), FailedTesting.number(), Other(77).label()), (6, 22, "Unknown"));
    }

    #[test]
    fn it_is_written_as_number_and_read_as_either() {
        assert_eq!(serde_json::to_string(&FailedReleasing).unwrap(), "13");
        for text in ["13", "\"failed_releasing\""] {
            assert_eq!(serde_json::from_str::<Status>(text).unwrap(), FailedReleasing);
        }
        assert_eq!(serde_json::from_str::<Status>("77").unwrap(), Other(77));
        assert_eq!(serde_json::from_str::<Status>("\"dancing\"").unwrap(), Status::default());
    }
}
