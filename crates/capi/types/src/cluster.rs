//! `MaasCluster`: the API server's name in MAAS's DNS, and where control planes may stand.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

/// What a cluster wants of MAAS.
#[derive(Debug, Clone, Default, PartialEq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "infrastructure.cluster.x-k8s.io",
    version = "v1beta1",
    kind = "MaasCluster",
    plural = "maasclusters",
    namespaced,
    status = "MaasClusterStatus",
    derive = "Default",
    derive = "PartialEq",
    category = "cluster-api",
    shortname = "maascl",
    doc = "The infrastructure of a cluster on machines of a MAAS.",
    printcolumn = r#"{"name":"Cluster","type":"string","jsonPath":".metadata.labels['cluster\\.x-k8s\\.io/cluster-name']"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].status"}"#,
    printcolumn = r#"{"name":"Endpoint","type":"string","jsonPath":".spec.controlPlaneEndpoint.host"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct MaasClusterSpec {
    /// MAAS domain in which the API server's name is made; cannot be changed.
    #[schemars(length(min = 1))]
    pub dns_domain: String,
    /// Where the API server answers; set by the provider unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control_plane_endpoint: Option<Endpoint>,
    /// MAAS zones for control planes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_domains: Option<Vec<String>>,
    /// Machines as LXD hosts: accepted, and answered with a condition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lxd_config: Option<LxdConfig>,
}

/// Host and port of an API server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Endpoint {
    /// Name or address; empty while it is not known.
    pub host: String,
    /// Port; 0 while it is not known.
    pub port: i32,
}

impl Endpoint {
    /// Whether it names a host at all: an empty one is written by some controllers.
    pub fn is_set(&self) -> bool {
        !self.host.is_empty()
    }
}

/// LXD on the machines of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LxdConfig {
    /// The switch.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = false))]
    pub enabled: Option<bool>,
    /// Resource pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_pool: Option<String>,
    /// Zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Driver of the storage pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "zfs"))]
    pub storage_backend: Option<String>,
    /// GB.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "50"))]
    pub storage_size: Option<String>,
    /// How virtual machines reach the network: `bridge` or `macvlan`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["bridge", "macvlan"]))]
    pub nic_type: Option<String>,
    /// Interface they use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nic_parent: Option<String>,
    /// Bridge they use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_bridge: Option<String>,
    /// Whether an existing network stays as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = true))]
    pub skip_network_update: Option<bool>,
}

/// What has come of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MaasClusterStatus {
    /// As `initialization.provisioned`, for older readers.
    pub ready: bool,
    /// How far the first creation is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initialization: Option<Initialization>,
    /// The name in MAAS's DNS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// Zones for control planes. Before 0.9 this was a map; both are read.
    #[serde(deserialize_with = "list_or_map")]
    pub failure_domains: Vec<FailureDomain>,
    /// Conditions: `Ready`, `LoadBalancerReady`, `APIServerAvailable`, `Paused`.
    #[schemars(schema_with = "crate::crd::conditions")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// How far the first creation is; never goes back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Initialization {
    /// The infrastructure is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioned: Option<bool>,
}

/// The cluster's name in MAAS's DNS.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Network {
    /// Fully qualified, of the API server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns_name: Option<String>,
    /// Its addresses, as last written to MAAS.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
}

/// A zone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailureDomain {
    /// The zone's name.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// Whether control planes may stand there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_plane: Option<bool>,
    /// More about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<BTreeMap<String, String>>,
}

fn list_or_map<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<FailureDomain>, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    #[derive(Default)]
    struct Unnamed {
        control_plane: Option<bool>,
        attributes: Option<BTreeMap<String, String>>,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Shape {
        List(Vec<FailureDomain>),
        Map(BTreeMap<String, Unnamed>),
    }
    Ok(match Option::<Shape>::deserialize(from)? {
        None => Vec::new(),
        Some(Shape::List(list)) => list,
        Some(Shape::Map(map)) => map
            .into_iter()
            .map(|(name, Unnamed { control_plane, attributes })| FailureDomain {
                name,
                control_plane,
                attributes,
            })
            .collect(),
    })
}
