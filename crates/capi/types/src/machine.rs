//! `MaasMachine`: one machine of a MAAS for one node of a cluster.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Initialization;

/// Which machine is wanted and what is deployed to it.
#[derive(Debug, Clone, Default, PartialEq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "infrastructure.cluster.x-k8s.io",
    version = "v1beta1",
    kind = "MaasMachine",
    plural = "maasmachines",
    namespaced,
    status = "MaasMachineStatus",
    derive = "Default",
    derive = "PartialEq",
    category = "cluster-api",
    shortname = "maasm",
    doc = "A machine of a MAAS as a node of a cluster.",
    printcolumn = r#"{"name":"Cluster","type":"string","jsonPath":".metadata.labels['cluster\\.x-k8s\\.io/cluster-name']"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].status"}"#,
    printcolumn = r#"{"name":"State","type":"string","jsonPath":".status.machineState"}"#,
    printcolumn = r#"{"name":"System ID","type":"string","jsonPath":".spec.systemID"}"#,
    printcolumn = r#"{"name":"Host","type":"string","jsonPath":".status.hostname"}"#,
    printcolumn = r#"{"name":"Zone","type":"string","jsonPath":".spec.failureDomain","priority":1}"#,
    printcolumn = r#"{"name":"IP","type":"string","jsonPath":".status.addresses[?(@.type=='InternalIP')].address","priority":1}"#,
    printcolumn = r#"{"name":"Provider ID","type":"string","jsonPath":".spec.providerID","priority":1}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct MaasMachineSpec {
    /// MAAS zone; goes before the one of the Machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_domain: Option<String>,
    /// MAAS's id of the machine; set by the provider.
    #[serde(rename = "systemID", skip_serializing_if = "Option::is_none")]
    pub system_id: Option<String>,
    /// System id of a virtual machine's host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// `maas:///ZONE/SYSTEM_ID`; set by the provider, once.
    #[serde(rename = "providerID", skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
    /// Resource pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_pool: Option<String>,
    /// At least so many CPU threads; cannot be changed.
    #[serde(rename = "minCPU")]
    #[schemars(range(min = 0))]
    pub min_cpu: i64,
    /// At least so many MiB; cannot be changed.
    #[schemars(range(min = 0))]
    pub min_memory: i64,
    /// At least so many GB on one disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub min_disk_size: Option<i64>,
    /// Tags, all of which the machine has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// `OS/SERIES`, or the name of a custom image; cannot be changed.
    #[schemars(length(min = 1))]
    pub image: String,
    /// The image runs from memory, the disks untouched: accepted, and answered with a condition.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = false))]
    pub deploy_in_memory: Option<bool>,
    /// A virtual machine instead: accepted, and answered with a condition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lxd: Option<Lxd>,
    /// A fixed address: accepted, and answered with a condition.
    #[serde(rename = "staticIP", skip_serializing_if = "Option::is_none")]
    pub static_ip: Option<StaticIp>,
}

/// A virtual machine on an LXD host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Lxd {
    /// The switch.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = false))]
    pub enabled: Option<bool>,
    /// How it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vm_config: Option<VmConfig>,
}

/// How a virtual machine is made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VmConfig {
    /// GB.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = 60))]
    pub disk_size: Option<i64>,
    /// Storage pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_pool: Option<String>,
    /// Subnets, with commas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// Mode by interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface_link_modes: Option<BTreeMap<String, String>>,
    /// Whether it starts with its host.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = true))]
    pub auto_start: Option<bool>,
}

/// A fixed address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct StaticIp {
    /// The address; empty until somebody fills it in.
    pub ip: String,
    /// Its network.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cidr: String,
    /// Router.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub gateway: String,
    /// Resolvers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<String>,
}

/// What has come of a machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MaasMachineStatus {
    /// Deployed and healthy, for older readers.
    pub ready: bool,
    /// How far the first creation is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initialization: Option<Initialization>,
    /// State in MAAS's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine_state: Option<String>,
    /// Whether its power is on.
    pub machine_powered: bool,
    /// Host name in MAAS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// A control plane's address is in the cluster's DNS record.
    #[serde(rename = "dnsAttached")]
    pub dns_attached: bool,
    /// Names and addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<Address>,
    /// Conditions: `Ready`, `MachineDeployed`, `DNSAttached`, `Paused`.
    #[schemars(schema_with = "crate::crd::conditions")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Kept for older readers; not written any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
    /// Kept for older readers; not written any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_message: Option<String>,
}

/// A name or an address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Address {
    /// `Hostname`, `ExternalIP`, `InternalIP`, `ExternalDNS` or `InternalDNS`.
    #[serde(rename = "type")]
    #[schemars(extend("enum" = ["Hostname", "ExternalIP", "InternalIP", "ExternalDNS", "InternalDNS"]))]
    pub kind: String,
    /// It.
    #[schemars(length(min = 1, max = 256))]
    pub address: String,
}
