//! Storage in the MAAS API: block devices, partitions, volume groups, arrays, caches, layouts.
//!
//! [`resources`] are rows of the API's table of routes, [`machine_ops`] operations of a machine. What may be done with
//! a storage is decided in [`disks`]; here is who may do it, when, and how parameters are read: changes are made while
//! a machine is Ready, by administrators, or Allocated, then by its owner too where MAAS lets owners.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

mod change;
mod devices;
mod groups;
mod layouts;
mod params;
mod partitions;

use api_call::route::Resource;

pub use layouts::{before_commissioning, machine_ops};

/// Every resource of storage.
pub fn resources() -> Vec<Resource> {
    [devices::resources(), partitions::resources(), groups::resources()].concat()
}
