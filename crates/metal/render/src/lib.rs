//! The region's documents as MAAS's clients see them: every key of MAAS 3.7, with its null and empty forms.
//!
//! Clients list machines more than anything else (some find one machine by listing all), and a machine's JSON is
//! large because it repeats zones, VLANs and subnets in full. So what machines embed is rendered once for a list
//! ([`Embedded`]), and machines are written around those texts without a tree of values in between, as the client
//! takes them ([`Machines`]): nothing is kept, and nothing has to be found out of date.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

mod device;
mod disk;
mod each;
mod embedded;
mod interface;
mod list;
mod lshw;
mod machine;
pub mod netplan;
pub mod network;
mod object;
pub mod script;

pub use device::device;
pub use disk::{cache_set, device as block_device, group, partition};
pub use embedded::Embedded;
pub use interface::interface;
pub use list::Machines;
pub use lshw::lshw;
pub use machine::{HARDWARE, announced, machine, why};
