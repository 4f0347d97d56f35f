//! Projects.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Extra, Meta};

/// A project.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Project {
    /// Name, labels, `annotations.description`.
    pub metadata: Meta,
    /// Kept as it was sent.
    #[serde(default)]
    pub spec: ProjectSpec,
}

/// Kept as it was sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProjectSpec {
    /// All of it.
    #[serde(flatten)]
    pub extra: Extra,
}
