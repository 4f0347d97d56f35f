//! Networks in the MAAS API: fabrics, VLANs, spaces, subnets, address ranges, reserved addresses, names.
//!
//! [`resources`] are rows of the API's table of routes, one module each; what is used and free in a subnet is
//! arithmetic without documents (`usage`).

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

mod addresses;
mod fabrics;
mod names;
mod subnets;
mod usage;

use api_call::route::Resource;

/// Every resource of networks.
pub fn resources() -> Vec<Resource> {
    [addresses::resources(), fabrics::resources(), names::resources(), subnets::resources()].concat()
}
