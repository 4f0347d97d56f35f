//! Gateways, which Palette calls overlords.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Meta;

/// A gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Overlord {
    /// Always `maas`.
    #[serde(default)]
    pub kind: String,
    /// Name and id.
    pub metadata: Meta,
    /// What it is.
    pub spec: OverlordSpec,
    /// How it is.
    pub status: OverlordStatus,
}

/// What a gateway is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OverlordSpec {
    /// Its tenant.
    pub tenant_uid: String,
    /// It runs beside the plane: the system private gateway.
    pub is_system: bool,
    /// It installed itself; true for all but the system's.
    pub is_self_hosted: bool,
    /// From where it is connected, for people.
    #[serde(default)]
    pub ip_address: String,
}

/// How a gateway is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OverlordStatus {
    /// `Pending` until it is paired, then `Running` while it is connected, else `Down`.
    pub state: String,
    /// It is paired.
    pub is_active: bool,
    /// It is connected.
    pub is_ready: bool,
    /// More about it.
    pub health: Health,
}

/// More about how a gateway is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// Its program.
    #[serde(default)]
    pub agent_version: String,
    /// When it was last known to be connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_heart_beat_timestamp: Option<Timestamp>,
    /// `Healthy` or `UnHealthy`.
    #[serde(default)]
    pub state: String,
    /// Sentences.
    #[serde(default)]
    pub conditions: Vec<Condition>,
}

/// A sentence about something.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Condition {
    /// What it is about.
    #[serde(rename = "type")]
    pub kind: String,
    /// The sentence.
    pub message: String,
}

/// What a new gateway is paired with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PairingCode {
    /// For `bessemer gateway pair`: good once, within an hour.
    pub pairing_code: String,
}

/// Body of changes of name, labels and annotations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MetaUpdate {
    /// The new ones.
    pub metadata: Meta,
}
