//! Machine states by MAAS's numbers.

use serde::{Deserialize, Serialize};

/// State of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "i64", into = "i64")]
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
    FailedExitingRescueMode, FailedReleasing, FailedTesting, Missing, New, Ready, Releasing, RescueMode,
    Reserved, Retired, Testing,
};

/// In the order of MAAS's numbers, with `status_name`.
const ALL: [(Status, &str); 23] = [
    (New, "New"),
    (Commissioning, "Commissioning"),
    (FailedCommissioning, "Failed commissioning"),
    (Missing, "Missing"),
    (Ready, "Ready"),
    (Reserved, "Reserved"),
    (Deployed, "Deployed"),
    (Retired, "Retired"),
    (Broken, "Broken"),
    (Deploying, "Deploying"),
    (Allocated, "Allocated"),
    (FailedDeployment, "Failed deployment"),
    (Releasing, "Releasing"),
    (FailedReleasing, "Releasing failed"),
    (DiskErasing, "Disk erasing"),
    (FailedDiskErasing, "Failed disk erasing"),
    (RescueMode, "Rescue mode"),
    (EnteringRescueMode, "Entering rescue mode"),
    (FailedEnteringRescueMode, "Failed to enter rescue mode"),
    (ExitingRescueMode, "Exiting rescue mode"),
    (FailedExitingRescueMode, "Failed to exit rescue mode"),
    (Testing, "Testing"),
    (FailedTesting, "Failed testing"),
];

impl Status {
    /// The state of a `status_name`.
    pub fn from_label(label: &str) -> Option<Self> {
        ALL.iter().find(|(_, name)| name.eq_ignore_ascii_case(label)).map(|(status, _)| *status)
    }

    /// Whether MAAS is at work on the machine.
    pub fn is_under_way(self) -> bool {
        matches!(
            self,
            Commissioning
                | Deploying
                | Releasing
                | DiskErasing
                | Testing
                | EnteringRescueMode
                | ExitingRescueMode
        )
    }

    /// Whether the last thing MAAS tried with it failed, or somebody marked it as broken.
    pub fn is_failed(self) -> bool {
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
        Self::Other(-1)
    }
}

impl From<i64> for Status {
    fn from(number: i64) -> Self {
        usize::try_from(number)
            .ok()
            .and_then(|number| ALL.get(number))
            .map_or(Self::Other(number), |(status, _)| *status)
    }
}

impl From<Status> for i64 {
    fn from(status: Status) -> Self {
        match status {
            Status::Other(number) => number,
            known => {
                (0..).zip(ALL).find(|(_, (status, _))| *status == known).map_or(-1, |(number, _)| number)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_labels_lead_back() {
        for number in -2..40 {
            assert_eq!(i64::from(Status::from(number)), number);
        }
        for (status, label) in ALL {
            assert_eq!(Status::from_label(label), Some(status));
        }
        assert_eq!((i64::from(Deployed), i64::from(FailedTesting)), (6, 22));
    }
}
