//! A rack without hardware: machines, power, consoles, networks.
//!
//! [`run`] holds a site in a network namespace: a bridge, machines of several kinds attached to it, a virtual BMC
//! for each ([`bmc`]), TCP forwards from loopback, and programs such as the region. A lab may have a cloud beside the
//! site, joined to it by one link with its own rules. People and tests press its
//! buttons through [`LabClient`]. [`clean`] removes what a killed lab left behind.
//!
//! The lab knows the product by its wire protocols alone: machines do DHCP, fetch an iPXE script over HTTP and
//! start what it names; nothing above can tell a `namespace` machine from a `qemu` one.
//!
//! Every process of the lab is held by a keeper, this same program started anew ([`init_if_asked`]): it dies with
//! the lab, and with it dies what it keeps. So a program that calls [`run`] calls [`init_if_asked`] first.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

mod clean;
mod client;
mod control;
mod disk;
mod error;
mod firmware;
mod forward;
mod init;
mod lab;
mod machine;
mod netns;
mod options;
mod program;
mod status;
mod sys;
mod tool;
mod uplink;

pub use bmc::{Fault, PowerState};
pub use clean::clean;
pub use client::{ClientError, LabClient};
pub use error::RackError;
pub use init::init_if_asked;
pub use lab::run;
pub use machine::{NoKvm, probe_kvm};
pub use options::{Account, Cloud, Kind, MachineOptions, Options, Place, PortForward, Program, Rules};
pub use status::{Cable, Forward, MachineStatus, PowerAction, ProgramStatus, Status};
