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
pub mod addresses;
mod boot;
mod device;
mod event;
mod hardware;
mod image;
mod inventory;
mod kept;
mod machine;
mod machines;
mod network;
mod nic;
pub mod ops;
pub mod results;
pub mod setup;
mod storage;

pub use access::{ApiToken, Setting, SshKey, User, UserPassword};
pub use boot::{BootAttempt, Purpose};
pub use device::Device;
pub use event::{Event, Level};
pub use hardware::{Bus, BusDevice, Hardware, Serves};
pub use image::{BootResource, ImageFile, ImageSet};
pub use inventory::absorb;
pub use kept::{
    BootSource, BootSourceSelection, DhcpSnippet, Notification, PackageRepository, SnippetValue, SslKey,
    StoredFile,
};
pub use machine::{Credentials, HardwareInfo, Machine, Power, Waiting};
pub use machines::{ChangeError, Machines, next_id, pick_id};
pub use network::{
    ClearedDiscovery, DnsRecord, DnsResource, Domain, Fabric, IpRange, Lease, Pool, RangeKind,
    ReservedAddress, ReservedIp, Space, StaticRoute, Subnet, Tag, Vlan, Zone,
};
pub use nic::{
    Bond, BondMode, Bridge, BridgeKind, Gateway, HashPolicy, LacpRate, Lasts, Link, LinkMode, Nic, NicKind,
    children,
};
pub use results::{ScriptOutput, ScriptResult, ScriptSet, Stage};
pub use storage::{Fresh, default_layout, lay_out};

/// The scope of a region's documents.
pub const SCOPE: &str = "region";
