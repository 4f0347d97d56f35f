//! Tenants and their projects, and the plane's own keys.

use secrets::Secret;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use store::Document;

use crate::Meta;

/// An organisation. Its id is the scope of all that it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// Its name.
    pub meta: Meta,
}

impl Document for Tenant {
    const KIND: &'static str = "tenant";
}

/// A part of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// Name and labels.
    pub meta: Meta,
    /// Kept as it was sent.
    #[serde(default)]
    pub spec: Map<String, Value>,
}

impl Document for Project {
    const KIND: &'static str = "project";
}

/// What makes a plane this plane; one document, [`Identity::ID`], in the plane's own scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its authority's certificate, PEM.
    pub authority: String,
    /// Its authority's key, PEM.
    pub authority_key: Secret,
    /// What signs grants, PEM.
    pub grants_key: Secret,
    /// What signs sessions: hex.
    pub session_key: Secret,
    /// Counts up whenever the plane was restored from a backup.
    pub incarnation: u64,
}

impl Identity {
    /// The document's id.
    pub const ID: &'static str = "identity";
}

impl Document for Identity {
    const KIND: &'static str = "identity";
}
