//! Cloud accounts.

use sealing::Sealed;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use store::Document;

use crate::{Meta, Owner};

/// A MAAS, reached through a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloudAccount {
    /// Name and labels.
    pub meta: Meta,
    /// Whose.
    pub owner: Owner,
    /// The gateway.
    pub overlord: String,
    /// URL, as the gateway reaches it.
    pub endpoint: String,
    /// The API key, which only the gateway can read.
    pub key: Sealed,
    /// As it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred_subnets: Option<Vec<String>>,
    /// What else was sent.
    #[serde(default)]
    pub extra: Map<String, Value>,
}

impl Document for CloudAccount {
    const KIND: &'static str = "cloud-account";
}
