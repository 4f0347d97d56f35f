//! Networks in the MAAS API: fabrics, VLANs, spaces, subnets, address ranges, reserved addresses, routes, names, the
//! interfaces of machines, and what was discovered.
//!
//! [`resources`] are rows of the API's table of routes, one module each; what is used and free in a subnet is
//! arithmetic without documents (`usage`).

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

mod addresses;
mod discoveries;
mod fabrics;
mod interfaces;
mod names;
mod reserved;
mod routes;
mod subnets;
mod usage;

use api_call::route::Resource;

pub use interfaces::machine_ops;

/// Every resource of networks.
pub fn resources() -> Vec<Resource> {
    [
        addresses::resources(),
        discoveries::resources(),
        fabrics::resources(),
        interfaces::resources(),
        names::resources(),
        reserved::resources(),
        routes::resources(),
        subnets::resources(),
    ]
    .concat()
}
