//! Audits.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Meta;

/// Something that somebody changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Audit {
    /// Its id, which creations answer as `AuditUid`, and when, as `creationTimestamp`.
    pub metadata: Meta,
    /// Who did what to what.
    pub spec: AuditSpec,
}

/// Who did what to what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct AuditSpec {
    /// Such as `cluster.create`.
    pub action_msg: String,
    /// `create`, `update`, `delete`, `publish` or `action`.
    pub action_type: String,
    /// Who.
    pub actor: AuditActor,
    /// What was changed, the first of it.
    pub resource: AuditResource,
}

/// Who did something.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct AuditActor {
    /// `user`, `service` (a gateway) or `system` (the plane).
    pub actor_type: String,
    /// Of a service or of the system: which.
    pub service_name: String,
    /// Of a user.
    pub user: AuditUser,
}

/// A user who did something.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct AuditUser {
    /// Id.
    pub uid: String,
    /// E-mail address; empty where the user is gone.
    pub email_id: String,
}

/// What was changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AuditResource {
    /// Its kind, such as `cluster`.
    pub kind: String,
    /// Its id.
    pub uid: String,
}
