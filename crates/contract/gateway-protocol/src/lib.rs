//! What the plane asks of a gateway, through the tunnel.
//!
//! JSON bodies; the tunnel has checked who asks and for which tenant.
//!
//! | request | body | answer |
//! |---|---|---|
//! | `GET /v1/about` | – | 200 [`About`] |
//! | `POST /v1/maas/validate` | [`Account`] | 200 [`Validated`] |
//! | `POST /v1/maas/look-up` | [`LookUp`] | 200 [`Found`] |
//!
//! 422 with a [`Problem`]: the gateway took the request, and what it asks for cannot be done.

use maas_client::{Domain, Named, Subnet, Tag};
use sealing::{Sealed, SealingPublic};
use serde::{Deserialize, Serialize};

/// Paths of requests.
pub mod path {
    /// What the gateway is.
    pub const ABOUT: &str = "/v1/about";
    /// Tries an account.
    pub const VALIDATE: &str = "/v1/maas/validate";
    /// Looks something up in a MAAS.
    pub const LOOK_UP: &str = "/v1/maas/look-up";
}

/// What a MAAS API key is sealed for: it opens as nothing else.
pub const MAAS_KEY: &str = "bessemer maas api key";

/// What a gateway is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Its program.
    pub software: String,
    /// What secrets for the site are sealed to.
    pub sealing_key: SealingPublic,
}

/// A MAAS and how to sign in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Such as `http://10.20.0.1:5240/MAAS`.
    pub endpoint: String,
    /// The API key, sealed to the gateway for [`MAAS_KEY`].
    pub key: Sealed,
}

/// An account that works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validated {
    /// MAAS's version.
    pub version: String,
    /// The user whose key it is.
    pub user: String,
}

/// Something to be looked up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookUp {
    /// Where.
    pub account: Account,
    /// What.
    pub what: What,
}

/// What can be looked up in a MAAS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Availability zones.
    Zones,
    /// Resource pools.
    Pools,
    /// DNS domains.
    Domains,
    /// Subnets.
    Subnets,
    /// Tags.
    Tags,
    /// Images that are complete, as deployments name them.
    Images,
    /// Machines.
    Machines,
}

/// What was found, as MAAS tells it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "what", content = "found", rename_all = "snake_case")]
pub enum Found {
    /// Availability zones.
    Zones(Vec<Named>),
    /// Resource pools.
    Pools(Vec<Named>),
    /// DNS domains.
    Domains(Vec<Domain>),
    /// Subnets.
    Subnets(Vec<Subnet>),
    /// Tags.
    Tags(Vec<Tag>),
    /// Names of images.
    Images(Vec<String>),
    /// Machines.
    Machines(Vec<Machine>),
}

/// As much of a machine as a plane needs to choose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// MAAS's id.
    pub system_id: String,
    /// Its name.
    pub hostname: String,
    /// MAAS's name of its state, such as `Ready`.
    pub status: String,
    /// Nobody has it, and it can be had.
    pub free: bool,
    /// `on`, `off`, `unknown` or `error`.
    pub power: String,
    /// Availability zone.
    pub zone: String,
    /// Resource pool.
    pub pool: String,
    /// Tags.
    pub tags: Vec<String>,
    /// Processors.
    pub cpus: u64,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// Disks, GB.
    pub storage_gb: f64,
}

/// Why something cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Of which kind.
    pub code: ProblemCode,
    /// What happened and what to do.
    pub message: String,
}

/// Kinds of problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemCode {
    /// What was asked is wrong in itself.
    Invalid,
    /// It was sealed to another gateway, or to an earlier life of this one.
    Sealed,
    /// No MAAS answers there.
    Unreachable,
    /// MAAS does not take the key.
    Unauthorized,
    /// MAAS takes the key, and the user may not do this.
    Forbidden,
    /// MAAS said something else.
    Maas,
}
