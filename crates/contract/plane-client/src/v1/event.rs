//! Events.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ClusterRef, Meta};

/// Something that happened to an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// When, as `creationTimestamp`.
    pub metadata: Meta,
    /// To what: `spectrocluster`, its name and id.
    pub involved_object: ClusterRef,
    /// A word, such as `MachineReady`.
    pub reason: String,
    /// A sentence.
    pub message: String,
    /// `Info` or `Warning`.
    pub severity: String,
    /// Whose doing it is.
    pub source: EventSource,
}

/// Whose doing something is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventSource {
    /// `user`, `gateway` or `plane`.
    pub component: String,
    /// The user's or gateway's id, or the part of the plane.
    pub host: String,
}

/// Says that something changed; what it is now is read as usual.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// `cluster`, `overlord`, `cloud-account`, `profile` or `project`.
    pub kind: String,
    /// Which one; empty: any of them.
    pub uid: String,
}
