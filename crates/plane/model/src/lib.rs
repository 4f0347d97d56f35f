//! What a plane keeps: tenants, projects, users, API keys, gateways, cloud accounts, cluster profiles, clusters.
//!
//! Documents of the store, and the rules that need nothing else: who may do what ([`Role`], [`Rights`]), what becomes of
//! a pairing attempt ([`Pairing::attempt`]), whether a password or key is the one ([`Password`], [`KeyText`]). A document's scope is
//! its tenant's id; what belongs to no tenant lies in [`PLANE`].

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

mod account;
mod cluster;
mod events;
mod key;
mod meta;
mod overlord;
mod profile;
mod rights;
pub mod setup;
mod tenant;
mod user;

pub use account::CloudAccount;
pub use cluster::{Cluster, ClusterProfile, State, is_control_plane};
pub use events::{Event, Events, Severity, record};
pub use key::{ApiKey, KeyText};
pub use meta::{Meta, Owner, new_uid};
pub use overlord::{Attempt, CODE_LIFE, Overlord, Pairing, Presence};
pub use profile::{Manifest, Profile, ProfilePack};
pub use rights::{Rights, Role};
pub use secrets::{Password, PasswordError};
pub use tenant::{Identity, Project, Tenant};
pub use user::User;

/// Passwords of fewer characters are refused.
pub const SHORTEST_PASSWORD: usize = 12;

/// Scope of what belongs to no tenant.
pub const PLANE: &str = "plane";

/// Claims: names that are unique, by namespace.
pub mod claim {
    /// An e-mail address, in lower case; the owner is `TENANT/USER`. In the plane's scope.
    pub const EMAIL: &str = "email";
    /// SHA-256 of an API key; the owner is `TENANT/KEY`. In the plane's scope.
    pub const API_KEY: &str = "api-key";
    /// SHA-256 of a pairing code's secret; the owner is `TENANT/OVERLORD`. In the plane's scope.
    pub const PAIRING_CODE: &str = "pairing-code";
    /// A project's name. In the tenant's scope.
    pub const PROJECT: &str = "project-name";
    /// A gateway's name. In the tenant's scope.
    pub const OVERLORD: &str = "overlord-name";
    /// A profile's name, after `OWNER/VERSION/`. In the tenant's scope.
    pub const PROFILE: &str = "profile-name";
    /// A cluster's name, after `OWNER/`. In the tenant's scope.
    pub const CLUSTER: &str = "cluster-name";
    /// A cloud account's name, after `OWNER/`. In the tenant's scope.
    pub const ACCOUNT: &str = "account-name";
}

/// The two halves of a claim's owner that names something of a tenant.
pub fn of_tenant(owner: &str) -> Option<(&str, &str)> {
    owner.split_once('/')
}
