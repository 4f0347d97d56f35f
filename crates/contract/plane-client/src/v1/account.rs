//! Cloud accounts: a MAAS, by whom it is reached, and what is in it.

use schemars::JsonSchema;
use secrets::Secret;
use serde::{Deserialize, Serialize};

use super::{Extra, Meta};

/// A MAAS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MaasAccount {
    /// Name; `annotations.overlordUid` names the gateway.
    pub metadata: Meta,
    /// Where it is.
    pub spec: MaasAccountSpec,
}

/// Where a MAAS is, and how to sign in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MaasAccountSpec {
    /// Such as `http://10.20.0.1:5240/MAAS`, as its gateway reaches it.
    pub api_endpoint: String,
    /// `consumer:token:secret`; empty in answers.
    #[serde(default)]
    #[schemars(with = "String")]
    pub api_key: Secret,
    /// Names of subnets that are taken first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred_subnets: Option<Vec<String>>,
    /// Keys that this build does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Body of `POST /v1/overlords/maas/{uid}/account/validate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MaasAccountToValidate {
    /// What is to be tried.
    pub account: MaasAccountSpec,
}

/// Availability zones.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Zones {
    /// By name.
    pub zones: Vec<Zone>,
}

/// An availability zone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Zone {
    /// Name.
    pub name: String,
    /// For people.
    pub description: String,
}

/// Resource pools.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pools {
    /// By name.
    pub pools: Vec<Pool>,
}

/// A resource pool.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pool {
    /// Name.
    pub name: String,
    /// For people.
    pub description: String,
}

/// DNS domains.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Domains {
    /// By name.
    pub domains: Vec<Domain>,
}

/// A DNS domain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Domain {
    /// Name.
    pub name: String,
}

/// Subnets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Subnets {
    /// As MAAS orders them.
    pub subnets: Vec<Subnet>,
}

/// A subnet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Subnet {
    /// MAAS's number.
    pub id: i64,
    /// Name.
    pub name: String,
    /// MAAS's space.
    pub space: String,
    /// Its VLAN.
    pub vlans: SubnetVlan,
}

/// A subnet's VLAN.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubnetVlan {
    /// MAAS's number.
    pub id: i64,
    /// Name.
    pub name: String,
    /// Its fabric.
    pub fabric: String,
}

/// Tags.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tags {
    /// By name.
    pub tags: Vec<Tag>,
}

/// A tag.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tag {
    /// Name.
    pub name: String,
    /// For people.
    pub comment: String,
    /// An XPath expression, where machines get it by themselves.
    pub definition: String,
    /// What it adds to the kernel's command line.
    pub kernel_opts: String,
    /// Where MAAS has it.
    pub resource_uri: String,
}

/// Images that machines can be deployed with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Images {
    /// As deployments name them, such as `custom/debian-12-kubernetes-1.36.3`.
    pub images: Vec<String>,
}

/// Machines of an account's MAAS.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SiteMachines {
    /// By name.
    pub machines: Vec<SiteMachine>,
}

/// A machine of an account's MAAS.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SiteMachine {
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
    /// Zone.
    pub zone: String,
    /// Resource pool.
    pub pool: String,
    /// Tags.
    pub tags: Vec<String>,
    /// Processors.
    pub cpus: u64,
    /// Memory, MiB.
    #[serde(rename = "memoryMiB")]
    pub memory_mib: u64,
    /// Disks, GB.
    #[serde(rename = "storageGB")]
    pub storage_gb: f64,
}
