//! Network boot as firmware does it, without IO: what a PXE ROM with iPXE asks by DHCP ([`dhcp`]), and the part of
//! iPXE's script language that the product uses ([`script`]).
//!
//! The rack's machines and those of the fleet speak through this; neither knows how the region reads it.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

pub mod dhcp;
pub mod script;
