//! The states by number and label, and the table of moves between them.

use serde::{Deserialize, Serialize};

/// State of a machine; numbers and labels are MAAS's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the names are the documentation; labels are in `label`
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
}

/// A move that MAAS does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Invalid transition: {} -> {}.", from.label(), to.label())]
pub struct IllegalMove {
    /// Present state.
    pub from: Status,
    /// Wanted state.
    pub to: Status,
}

use Status::{
    Allocated, Broken, Commissioning, Deployed, Deploying, DiskErasing, EnteringRescueMode,
    ExitingRescueMode, FailedCommissioning, FailedDeployment, FailedDiskErasing, FailedEnteringRescueMode,
    FailedExitingRescueMode, FailedReleasing, FailedTesting, Missing, New, Ready, Releasing, RescueMode,
    Reserved, Retired, Testing,
};

impl Status {
    /// Every state, in the order of MAAS's numbers.
    pub const ALL: [Self; 23] = [
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
    ];

    /// MAAS's number.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// MAAS's `status_name`.
    pub const fn label(self) -> &'static str {
        match self {
            New => "New",
            Commissioning => "Commissioning",
            FailedCommissioning => "Failed commissioning",
            Missing => "Missing",
            Ready => "Ready",
            Reserved => "Reserved",
            Deployed => "Deployed",
            Retired => "Retired",
            Broken => "Broken",
            Deploying => "Deploying",
            Allocated => "Allocated",
            FailedDeployment => "Failed deployment",
            Releasing => "Releasing",
            FailedReleasing => "Releasing failed",
            DiskErasing => "Disk erasing",
            FailedDiskErasing => "Failed disk erasing",
            RescueMode => "Rescue mode",
            EnteringRescueMode => "Entering rescue mode",
            FailedEnteringRescueMode => "Failed to enter rescue mode",
            ExitingRescueMode => "Exiting rescue mode",
            FailedExitingRescueMode => "Failed to exit rescue mode",
            Testing => "Testing",
            FailedTesting => "Failed testing",
        }
    }

    /// The one-word form of list filters, such as `failed_testing`.
    pub const fn word(self) -> &'static str {
        match self {
            New => "new",
            Commissioning => "commissioning",
            FailedCommissioning => "failed_commissioning",
            Missing => "missing",
            Ready => "ready",
            Reserved => "reserved",
            Deployed => "deployed",
            Retired => "retired",
            Broken => "broken",
            Deploying => "deploying",
            Allocated => "allocated",
            FailedDeployment => "failed_deployment",
            Releasing => "releasing",
            FailedReleasing => "failed_releasing",
            DiskErasing => "disk_erasing",
            FailedDiskErasing => "failed_disk_erasing",
            RescueMode => "rescue_mode",
            EnteringRescueMode => "entering_rescue_mode",
            FailedEnteringRescueMode => "failed_entering_rescue_mode",
            ExitingRescueMode => "exiting_rescue_mode",
            FailedExitingRescueMode => "failed_exiting_rescue_mode",
            Testing => "testing",
            FailedTesting => "failed_testing",
        }
    }

    /// Whether MAAS knows the move.
    pub fn may_become(self, to: Self) -> bool {
        self.successors().contains(&to)
    }

    /// Checks a move.
    ///
    /// # Errors
    /// [`IllegalMove`] with MAAS's words; the API answers it as 409.
    pub fn check(self, to: Self) -> Result<(), IllegalMove> {
        if self.may_become(to) { Ok(()) } else { Err(IllegalMove { from: self, to }) }
    }

    /// Where a failure leads from here.
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

    fn successors(self) -> &'static [Self] {
        match self {
            New => &[Commissioning, Testing, Missing, Ready, Retired, Broken, EnteringRescueMode],
            Commissioning => &[FailedCommissioning, Ready, Retired, Missing, New, Broken, Testing],
            FailedCommissioning => &[Commissioning, Missing, Retired, Broken, EnteringRescueMode, Testing],
            Ready => {
                &[EnteringRescueMode, Commissioning, Allocated, Reserved, Retired, Missing, Broken, Testing]
            }
            Reserved => &[
                Ready,
                Allocated,
                Retired,
                Missing,
                Broken,
                DiskErasing,
                Releasing,
                EnteringRescueMode,
                Testing,
            ],
            Allocated => &[
                Ready,
                Retired,
                Missing,
                Broken,
                Deploying,
                DiskErasing,
                Releasing,
                EnteringRescueMode,
                Testing,
            ],
            Deploying => {
                &[Allocated, Missing, Broken, FailedDeployment, Deployed, Ready, DiskErasing, Releasing]
            }
            FailedDeployment | Deployed => {
                &[Allocated, Missing, Broken, Ready, DiskErasing, Releasing, EnteringRescueMode, Testing]
            }
            Releasing => &[
                New,
                Allocated,
                Reserved,
                Deployed,
                Ready,
                Broken,
                Missing,
                FailedDeployment,
                FailedDiskErasing,
                FailedReleasing,
            ],
            FailedReleasing => &[Releasing, DiskErasing, Ready, Broken, Testing],
            DiskErasing => &[Broken, DiskErasing, FailedDiskErasing, Ready, Releasing],
            FailedDiskErasing => {
                &[DiskErasing, Releasing, Broken, Allocated, Ready, EnteringRescueMode, Testing]
            }
            Missing => &[New, Ready, Allocated, Commissioning, Broken, EnteringRescueMode, Testing],
            Retired => &[New, Ready, Missing, Broken, EnteringRescueMode, Testing],
            Broken => &[Commissioning, Ready, DiskErasing, Releasing, EnteringRescueMode, Testing, Deployed],
            EnteringRescueMode => {
                &[Ready, Broken, Deployed, RescueMode, FailedEnteringRescueMode, ExitingRescueMode]
            }
            FailedEnteringRescueMode => &[Broken, EnteringRescueMode, ExitingRescueMode, Testing],
            RescueMode | FailedExitingRescueMode => &[Broken, ExitingRescueMode, Testing],
            ExitingRescueMode => &[
                New,
                Broken,
                FailedCommissioning,
                Ready,
                Reserved,
                Allocated,
                FailedDeployment,
                Deployed,
                Missing,
                Retired,
                FailedReleasing,
                FailedDiskErasing,
                RescueMode,
                FailedEnteringRescueMode,
                FailedExitingRescueMode,
                FailedTesting,
            ],
            Testing => &[Broken, New, Ready, Reserved, Allocated, Deployed, FailedTesting],
            FailedTesting => &[Commissioning, Broken, Missing, EnteringRescueMode, Testing, Ready, Deployed],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_maas_numbers() {
        for (n, status) in Status::ALL.iter().enumerate() {
            assert_eq!(usize::from(status.number()), n);
        }
    }

    #[test]
    fn an_illegal_move_is_refused_in_maas_words() {
        assert_eq!(
            Broken.check(Deploying).unwrap_err().to_string(),
            "Invalid transition: Broken -> Deploying."
        );
    }

    /// Deploying again always leads through a release.
    #[test]
    fn nothing_but_allocated_becomes_deploying() {
        for from in Status::ALL {
            assert_eq!(from.may_become(Deploying), from == Allocated, "{from:?}");
        }
    }

    #[test]
    fn every_failure_is_a_legal_move() {
        for from in Status::ALL {
            if let Some(to) = from.failed() {
                assert!(from.may_become(to), "{from:?} -> {to:?}");
            }
        }
    }
}
