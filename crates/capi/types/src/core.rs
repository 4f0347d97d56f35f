//! Cluster API's own objects (`cluster.x-k8s.io/v1beta2`), as far as an infrastructure provider reads them.
//!
//! Everything is optional, so that no object of a later release is refused.

use kube::CustomResource;
use serde::{Deserialize, Serialize};

use crate::Endpoint;

/// Name of the cluster that an object belongs to.
pub const CLUSTER_NAME_LABEL: &str = "cluster.x-k8s.io/cluster-name";

/// On machines of a control plane.
pub const CONTROL_PLANE_LABEL: &str = "cluster.x-k8s.io/control-plane";

/// On an object that is to be left alone.
pub const PAUSED_ANNOTATION: &str = "cluster.x-k8s.io/paused";

/// On an infrastructure cluster that somebody else looks after.
pub const MANAGED_BY_ANNOTATION: &str = "cluster.x-k8s.io/managed-by";

/// What is wanted of a cluster.
#[derive(Debug, Clone, Default, PartialEq, CustomResource, Serialize, Deserialize)]
#[kube(
    group = "cluster.x-k8s.io",
    version = "v1beta2",
    kind = "Cluster",
    plural = "clusters",
    namespaced,
    schema = "disabled",
    status = "ClusterStatus",
    derive = "Default",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterSpec {
    /// Nothing is to be reconciled.
    pub paused: Option<bool>,
    /// Where the API server answers.
    pub control_plane_endpoint: Option<Endpoint>,
    /// Its network.
    pub cluster_network: Option<ClusterNetwork>,
    /// The infrastructure's object.
    pub infrastructure_ref: Option<Reference>,
}

/// Network of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterNetwork {
    /// Port of the API server.
    pub api_server_port: Option<i32>,
}

/// An object of the same namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Reference {
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
}

/// What has come of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterStatus {
    /// How far its first creation is.
    pub initialization: Option<ClusterInitialization>,
}

/// How far the first creation of a cluster is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterInitialization {
    /// Machines may be made.
    pub infrastructure_provisioned: Option<bool>,
    /// The API server has answered once.
    pub control_plane_initialized: Option<bool>,
}

/// What is wanted of a machine.
#[derive(Debug, Clone, Default, PartialEq, CustomResource, Serialize, Deserialize)]
#[kube(
    group = "cluster.x-k8s.io",
    version = "v1beta2",
    kind = "Machine",
    plural = "machines",
    namespaced,
    schema = "disabled",
    status = "MachineStatus",
    derive = "Default",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase", default)]
pub struct MachineSpec {
    /// Its cluster.
    pub cluster_name: String,
    /// What it is started with.
    pub bootstrap: Option<Bootstrap>,
    /// Where it is to stand.
    pub failure_domain: Option<String>,
    /// The infrastructure's object.
    pub infrastructure_ref: Option<Reference>,
}

/// What a machine is started with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Bootstrap {
    /// Secret whose key `value` has the user-data; absent until it is made.
    pub data_secret_name: Option<String>,
}

/// What has come of a machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MachineStatus {
    /// Its node, once there is one with the machine's provider id.
    pub node_ref: Option<NodeRef>,
}

/// A node of the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeRef {
    /// Its name.
    pub name: String,
}
