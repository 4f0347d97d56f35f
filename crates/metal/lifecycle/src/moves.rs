//! The table of moves between states.

use machine_status::Status::{
    self, Allocated, Broken, Commissioning, Deployed, Deploying, DiskErasing, EnteringRescueMode,
    ExitingRescueMode, FailedCommissioning, FailedDeployment, FailedDiskErasing, FailedEnteringRescueMode,
    FailedExitingRescueMode, FailedReleasing, FailedTesting, Missing, New, Other, Ready, Releasing,
    RescueMode, Reserved, Retired, Testing,
};

/// A move that MAAS does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Invalid transition: {} -> {}.", from.label(), to.label())]
pub struct IllegalMove {
    /// Present state.
    pub from: Status,
    /// Wanted state.
    pub to: Status,
}

/// Which states may follow a state.
pub trait Moves: Sized {
    /// Whether MAAS knows the move.
    fn may_become(self, to: Self) -> bool;

    /// Checks a move.
    ///
    /// # Errors
    /// [`IllegalMove`] with MAAS's words; the API answers it as 409.
    fn check(self, to: Self) -> Result<(), IllegalMove>;
}

impl Moves for Status {
    fn may_become(self, to: Self) -> bool {
        successors(self).contains(&to)
    }

    fn check(self, to: Self) -> Result<(), IllegalMove> {
        if self.may_become(to) { Ok(()) } else { Err(IllegalMove { from: self, to }) }
    }
}

/// The state after passed tests: what it was before, or Ready where it was not good for anything (MAAS).
pub fn after_test(before: Option<Status>) -> Status {
    match before {
        Some(before @ (Reserved | Allocated | Deployed | Ready)) => before,
        _ => Ready,
    }
}

fn successors(from: Status) -> &'static [Status] {
    match from {
        New => &[Commissioning, Testing, Missing, Ready, Retired, Broken, EnteringRescueMode],
        Commissioning => &[FailedCommissioning, Ready, Retired, Missing, New, Broken, Testing],
        FailedCommissioning => &[Commissioning, Missing, Retired, Broken, EnteringRescueMode, Testing],
        Ready => &[EnteringRescueMode, Commissioning, Allocated, Reserved, Retired, Missing, Broken, Testing],
        Reserved => {
            &[Ready, Allocated, Retired, Missing, Broken, DiskErasing, Releasing, EnteringRescueMode, Testing]
        }
        Allocated => {
            &[Ready, Retired, Missing, Broken, Deploying, DiskErasing, Releasing, EnteringRescueMode, Testing]
        }
        Deploying => &[Allocated, Missing, Broken, FailedDeployment, Deployed, Ready, DiskErasing, Releasing],
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
        FailedDiskErasing => &[DiskErasing, Releasing, Broken, Allocated, Ready, EnteringRescueMode, Testing],
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
        Other(_) => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        for from in Status::all() {
            assert_eq!(from.may_become(Deploying), from == Allocated, "{from:?}");
        }
    }

    #[test]
    fn passed_tests_lead_somewhere_legal() {
        for before in Status::all() {
            assert!(Testing.may_become(after_test(Some(before))), "{before:?}");
        }
    }

    #[test]
    fn every_failure_is_a_legal_move() {
        for from in Status::all() {
            if let Some(to) = from.failed() {
                assert!(from.may_become(to), "{from:?} -> {to:?}");
            }
        }
    }
}
