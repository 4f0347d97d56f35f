//! Power: the table of power types, the [`Bmc`] trait and its drivers, and turns at BMCs.
//!
//! A driver makes one attempt and tells how it went. [`Turns`] is around every driver: one operation at a time at
//! one BMC, with a deadline. Repeating, and what an attempt is for, are the region's business.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

pub mod answer;
mod drivers;
mod error;
pub mod pace;
mod program;
pub mod quirks;
mod turns;
pub mod types;

pub use drivers::{
    Firmware, Node, driver,
    redfish::{Redfish, Service, System},
};
pub use error::PowerError;
pub use lifecycle::Power;
pub use program::is_installed;
pub use turns::Turns;

/// A board management controller, as far as one machine is concerned.
#[async_trait::async_trait]
pub trait Bmc: Send + Sync {
    /// Where it is: what is at one address takes turns.
    fn address(&self) -> &str;
    /// Whether the machine is on.
    async fn state(&self) -> Result<Power, PowerError>;
    /// Restarts (or starts) the machine, booting over the network this once.
    async fn boot_network(&self) -> Result<(), PowerError>;
    /// Switches on, as the boot order says.
    async fn on(&self) -> Result<(), PowerError>;
    /// Switches off at once.
    async fn off(&self) -> Result<(), PowerError>;
    /// Lines of the serial console from number `skip` on, [`CONSOLE_LINES`] at most. `None`: it keeps none.
    async fn console(&self, _skip: usize) -> Result<Option<ConsoleLines>, PowerError> {
        Ok(None)
    }
}

/// Lines of a console that one call brings at most.
pub const CONSOLE_LINES: usize = 1000;

/// A stretch of what a machine wrote on its serial console.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConsoleLines {
    /// Number of the first of `lines`: where the BMC forgot lines, larger than what was asked for.
    pub first: usize,
    /// The lines, as the machine wrote them: not to be shown on a terminal unfiltered.
    pub lines: Vec<String>,
    /// How many there were until now; less than before where the BMC began anew.
    pub total: usize,
}
