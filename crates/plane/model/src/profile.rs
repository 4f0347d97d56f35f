//! Cluster profiles.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use store::Document;

use crate::{Meta, Owner};

/// One version of a cluster profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Name and labels.
    pub meta: Meta,
    /// Whose.
    pub owner: Owner,
    /// Such as `1.0.0`; (name, version, owner) are unique.
    pub version: String,
    /// Always `maas` or `all`.
    pub cloud_type: String,
    /// `cluster`, `infra` or `add-on`.
    pub kind: String,
    /// The packs as they were last written.
    pub draft: Vec<ProfilePack>,
    /// The packs that clusters get; none before the first publication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<Vec<ProfilePack>>,
    /// Variables, as they were sent.
    #[serde(default)]
    pub variables: Vec<Map<String, Value>>,
}

/// A pack in a profile.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfilePack {
    /// Name in the profile.
    pub name: String,
    /// `os`, `k8s`, `cni`, `csi`, `addon`.
    pub layer: String,
    /// `spectro`, `manifest`, `helm` or `oci`.
    pub kind: String,
    /// Version, as it was asked for.
    #[serde(default)]
    pub tag: String,
    /// The pack, by id; empty for manifests.
    #[serde(default)]
    pub uid: String,
    /// Its registry.
    #[serde(default)]
    pub registry: String,
    /// Values, as they were sent.
    #[serde(default)]
    pub values: String,
    /// Manifests.
    #[serde(default)]
    pub manifests: Vec<Manifest>,
}

/// A manifest of a pack in a profile.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Its id, which stays while its content changes.
    pub uid: String,
    /// Name.
    pub name: String,
    /// YAML, as it was sent.
    pub content: String,
}

impl Document for Profile {
    const KIND: &'static str = "profile";
}

impl Profile {
    /// The packs to be shown: the published ones, before that the draft.
    pub fn shown(&self) -> &[ProfilePack] {
        self.published.as_deref().unwrap_or(&self.draft)
    }

    /// What its name is claimed as.
    pub fn claim(&self) -> String {
        format!("{}/{}/{}", self.owner.word(), self.version, self.meta.name)
    }
}
