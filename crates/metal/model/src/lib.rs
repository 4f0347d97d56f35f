//! The region's documents, and the operations that record intent in them.
//!
//! Everything durable that a region knows is a document of [`store`] in the scope [`SCOPE`]: [`Machine`]s, the
//! networks they are on, images, users. [`Machines`] is the one way to change a machine: an API call records
//! what is wanted ([`ops`]), boot services record what they saw ([`Machines::signal`]), and the region's
//! reconciler moves the state. Shapes that clients see are made of these documents by the API, not stored.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

mod access;
mod boot;
mod event;
mod image;
mod inventory;
mod machine;
mod machines;
mod network;
pub mod ops;
pub mod setup;
mod storage;

pub use access::{ApiToken, Setting, SshKey, User};
pub use boot::{BootAttempt, Purpose};
pub use event::{Event, Level};
pub use image::{BootResource, ImageFile, ImageSet};
pub use inventory::absorb;
pub use machine::{Credentials, HardwareInfo, Link, Machine, Nic, Power, ScriptResult, ScriptSet, Waiting};
pub use machines::{ChangeError, Machines, next_id, pick_id};
pub use network::{
    DnsRecord, DnsResource, Domain, Fabric, IpRange, Lease, Pool, RangeKind, ReservedAddress, Space, Subnet,
    Tag, Vlan, Zone,
};
pub use storage::{Fresh, default_layout, lay_out};

/// The scope of a region's documents.
pub const SCOPE: &str = "region";
