//! Drivers against other people's BMCs: `ipmi_sim` of `OpenIPMI`, the fake BMC of pyghmi, sushy-tools' Redfish emulator,
//! libvirt's test driver. Left out where a program is missing; everything is on loopback.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod ipmi_sim;
mod libvirt;
mod pyghmi;
mod support;
mod sushy;
mod webhook;
