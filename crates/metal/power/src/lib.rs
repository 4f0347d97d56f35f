//! Power: the [`Bmc`] trait and its drivers.
//!
//! A driver makes one attempt and tells how it went; repeating, deadlines and what an attempt is for are the
//! region's business.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

mod redfish;

pub use lifecycle::Power;
pub use redfish::{Redfish, Service, System};

/// A board management controller, as far as one machine is concerned.
#[async_trait::async_trait]
pub trait Bmc: Send + Sync {
    /// Whether the machine is on.
    async fn state(&self) -> Result<Power, PowerError>;
    /// Restarts (or starts) the machine, booting over the network this once.
    async fn boot_network(&self) -> Result<(), PowerError>;
    /// Switches on, as the boot order says.
    async fn on(&self) -> Result<(), PowerError>;
    /// Switches off at once.
    async fn off(&self) -> Result<(), PowerError>;
}

/// Why a BMC did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum PowerError {
    /// No answer, or no trust in who answers.
    #[error("BMC {address} does not answer: {why}; check its address, its network and its certificate")]
    Unreachable {
        /// Which BMC.
        address: String,
        /// What went wrong.
        why: String,
    },
    /// It does not know the user or the password.
    #[error("BMC {address} refused the user name or password; set power_user and power_pass anew")]
    Credentials {
        /// Which BMC.
        address: String,
    },
    /// It answered, but not as it should.
    #[error("BMC {address} refused {what}: {why}")]
    Refused {
        /// Which BMC.
        address: String,
        /// The request.
        what: String,
        /// Its answer, shortened.
        why: String,
    },
}
