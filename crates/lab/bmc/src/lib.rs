//! Virtual BMCs: Redfish.
//!
//! A [`Bmc`] puts a management controller in front of any [`Machine`]: one system, one chassis, one manager,
//! HTTPS with a certificate of a [`Ca`] of the lab's own, basic authentication. [`serve`] answers on a listener
//! the caller made, so that it may lie in any network namespace. [`Faults`] makes the controller misbehave the
//! way real ones do.
//!
//! Resources and properties follow DMTF DSP0266 (protocol) and `ComputerSystem` 1.x of DSP2046.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

mod ca;
mod faults;
mod host_logger;
mod machine;
mod redfish;
mod serve;

pub use ca::{Ca, CaError};
pub use faults::{Fault, Faults};
pub use machine::{
    BootOverride, BootTarget, ConsoleLines, Machine, MachineError, OverrideMode, PowerState, Reset,
};
pub use redfish::{Bmc, Credentials, Identity};
pub use serve::{serve, serve_router};
