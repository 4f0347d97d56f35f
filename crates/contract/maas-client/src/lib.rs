//! A typed client of the MAAS API 2.0, for Canonical's MAAS and for ours.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use maas_client::{Client, MachineFilter, Options};
//!
//! let client = Client::new("http://10.20.0.1:5240/MAAS", "consumer:token:secret".parse()?, &Options::default())?;
//! for machine in client.machines(&MachineFilter::default()).await? {
//!     println!("{} is {}", machine.fqdn, machine.status_name);
//! }
//! # Ok(()) }
//! ```
//!
//! Every request is signed with OAuth 1.0 PLAINTEXT. GETs are repeated while the region cannot be reached or says
//! 503, up to [`Options::retry_for`]; what changes something is sent once. Objects keep the keys they do not know
//! in `extra`, and take missing and null keys as empty, because MAAS's releases differ in both.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

mod account;
mod client;
mod error;
mod images;
mod machine;
mod machines;
mod network;
mod tolerant;
mod watch;

pub use account::{SshKey, User, Version};
pub use client::{Client, Options, SetupError};
pub use error::Error;
pub use images::{BootFile, BootResource, BootSet, NewImage, UploadError, Uploaded, sha256_of};
pub use machine::{Disk, Interface, Link, Machine, Named};
pub use machine_status::Status;
pub use machines::{Allocation, Constraints, Deploy, Erase, FindError, MachineFilter, Release, Scripts};
pub use network::{DnsAddress, DnsResource, DnsResourceForm, Domain, Subnet, Tag, Vlan};
pub use watch::{Console, Event, Events, Outputs, Phase, Script, ScriptResult, ScriptSet, Waiting, Why};

/// Keys that this version has no field for.
pub type Extra = serde_json::Map<String, serde_json::Value>;
