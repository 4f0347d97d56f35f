//! Clusters.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Condition, Extra, Meta, PackInput, PackRef};

/// Body of `POST /v1/spectroclusters/maas`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClusterEntity {
    /// Name, labels, `annotations.description`.
    pub metadata: Meta,
    /// What it should be.
    pub spec: ClusterEntitySpec,
}

/// What a cluster should be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ClusterEntitySpec {
    /// Where its machines come from.
    pub cloud_account_uid: String,
    /// `domain`, `sshKeys`, `ntpServers`, `overrideClusterApiConfig`.
    pub cloud_config: Extra,
    /// Its machines, in pools: each `poolConfig` and `cloudConfig`.
    #[serde(rename = "machinepoolconfig")]
    pub machine_pool_config: Vec<Value>,
    /// What it is made of.
    pub profiles: Vec<ClusterProfileRef>,
    /// The rest, kept as it was sent.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A profile of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ClusterProfileRef {
    /// The profile.
    pub uid: String,
    /// Packs of it that this cluster has with other values or manifests.
    pub pack_values: Vec<PackInput>,
    /// Values of its variables.
    pub variables: Vec<VariableValue>,
}

/// The value of a variable.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct VariableValue {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cluster {
    /// Name and id.
    pub metadata: Meta,
    /// What it should be.
    pub spec: ClusterSpec,
    /// How it is.
    pub status: ClusterStatus,
}

/// What a cluster should be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterSpec {
    /// Always `maas`.
    pub cloud_type: String,
    /// Its [`CloudConfig`].
    pub cloud_config_ref: ClusterRef,
    /// `PureManage`.
    pub cluster_type: String,
    /// What it is made of.
    pub cluster_profile_templates: Vec<ClusterProfileTemplate>,
    /// As it was sent.
    pub cluster_config: Value,
}

/// Names something.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClusterRef {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its id.
    pub uid: String,
}

/// A profile as a cluster has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterProfileTemplate {
    /// The profile.
    pub uid: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub profile_version: String,
    /// `cluster`, `infra` or `add-on`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Always `maas`.
    pub cloud_type: String,
    /// Its packs, with the values that the cluster got.
    pub packs: Vec<PackRef>,
}

/// How a cluster is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterStatus {
    /// `Pending`, `Provisioning`, `Running`, `Deleting`, `Deleted`.
    pub state: String,
    /// Sentences; all are true at the end.
    pub conditions: Vec<ClusterCondition>,
    /// Whether a change can be made.
    pub spc_apply: SpcApply,
    /// What is installed in it, the lowest first.
    #[serde(default)]
    pub packs: Vec<PackStatus>,
    /// Its phases, oldest first.
    pub timeline: Vec<Phase>,
    /// Where its API is reached from within the site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

/// How a pack of a cluster stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PackStatus {
    /// Its name in the profile.
    pub name: String,
    /// `spectro`, `manifest`, `helm` or `oci`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its version.
    pub version: String,
    /// Of which profile.
    pub profile_uid: String,
    /// Type `Ready`; the reason is `Waiting`, `Installing`, `Ready` or `Failed`.
    pub condition: ClusterCondition,
}

/// A phase of a cluster's life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Phase {
    /// Its name.
    pub phase: String,
    /// When it began.
    pub started: Timestamp,
    /// When it ended; none while it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// The latest sentence about it.
    #[serde(default)]
    pub detail: String,
}

/// A condition of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClusterCondition {
    /// What it is about.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True` or `False`.
    pub status: String,
    /// A word.
    pub reason: String,
    /// A sentence.
    pub message: String,
}

/// Whether a change can be made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SpcApply {
    /// It can.
    pub can_be_applied: bool,
}

/// How a cluster is, in short.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClusterOverview {
    /// Name and id.
    pub metadata: Meta,
    /// How it is.
    pub status: ClusterOverviewStatus,
}

/// How a cluster is, in short.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClusterOverviewStatus {
    /// As in [`ClusterStatus`].
    pub state: String,
    /// More.
    pub health: ClusterHealth,
}

/// A cluster's health.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClusterHealth {
    /// `Healthy`, `UnHealthy` or `Unknown`.
    pub state: String,
    /// Sentences.
    pub conditions: Vec<Condition>,
}

/// Body of `POST /v1/dashboard/spectroclusters/search`: filters of Palette's form; a `clusterName` is looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ClusterSearch {
    /// Which clusters.
    pub filter: Value,
}

/// A cluster, in lists.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClusterSummary {
    /// Name and id.
    pub metadata: Meta,
    /// How it is.
    pub status: ClusterOverviewStatus,
}

/// A cluster's machines, as they should be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CloudConfig {
    /// Always `maas`.
    pub kind: String,
    /// Name and id.
    pub metadata: Meta,
    /// What they should be.
    pub spec: CloudConfigSpec,
}

/// A cluster's machines, as they should be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CloudConfigSpec {
    /// Where they come from.
    pub cloud_account_ref: ClusterRef,
    /// `domain`, `sshKeys` and so on, as they were sent.
    pub cluster_config: Extra,
    /// The pools, `poolConfig` and `cloudConfig` as one.
    pub machine_pool_config: Vec<Extra>,
}

/// A machine of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Machine {
    /// Name and id.
    pub metadata: Meta,
    /// How it is.
    pub status: MachineStatus,
}

/// How a machine of a cluster is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MachineStatus {
    /// Cluster API's phase.
    pub instance_state: String,
    /// Its node is Ready.
    pub ready: bool,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// Its node's name.
    pub node: String,
    /// Which machine of the MAAS it is.
    pub provider_id: String,
    /// What it waits for, or what is wrong.
    pub message: String,
    /// Cordons.
    pub maintenance_status: Value,
}

/// How many machines a pool should have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PoolStatus {
    /// So many.
    pub size: u32,
}

/// A list of nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Empty {
    /// Nothing.
    pub items: Vec<Value>,
}
