//! Thousands of machines in one process, which speak the wire protocols with a region and nothing else.
//!
//! [`run`] makes a network of the machines' own with one cable to where it was started, and in it one DHCP relay
//! agent, one HTTPS server for every machine's Redfish BMC, and the machines: each boots by DHCP and HTTP from its own
//! leased address, says hello as the agent does, does its tasks, and once installed asks for its metadata as
//! cloud-init does. What a machine is made of and how long it takes is drawn from one seed; what goes wrong is said by
//! [`Rule`]s through the admin API ([`FleetClient`]).
//!
//! A machine is a pure state machine ([`life`]); the shell has one timer queue, one packet socket, and a task for each
//! HTTP request that is under way. A machine at rest is some hundred bytes.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

mod admin;
mod bmcs;
mod board;
mod client;
mod durations;
mod error;
mod fleet;
mod http;
pub mod life;
mod options;
mod rules;
mod run;
mod seed;
mod status;
mod sys;
mod timers;
mod vendor;
mod wire;

pub use admin::{PowerAction, Press};
pub use bmc::PowerState;
pub use board::Board;
pub use client::{ClientError, FleetClient};
pub use error::FleetError;
pub use life::Phase;
pub use options::{Account, Image, Network, Options};
pub use rules::{Fault, Rule, RuleStatus};
pub use run::run;
pub use seed::Seed;
pub use status::{Counts, MachineStatus, PhaseTimes, Ready};
pub use vendor::{Case, Dialect, Disk, DiskKind, Done, Kexec, Model, Port, Vendor};
