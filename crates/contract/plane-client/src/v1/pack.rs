//! Packs and their registries.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Meta;

/// A pack, in lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PackSummary {
    /// Name and id.
    pub metadata: Meta,
    /// What it is.
    pub spec: PackSummarySpec,
}

/// What a pack is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PackSummarySpec {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Name for people.
    pub display_name: String,
    /// Clouds that it is for.
    pub cloud_types: Vec<String>,
    /// `os`, `k8s`, `cni`, `csi` or `addon`.
    pub layer: String,
    /// Of which kind an add-on is.
    pub addon_type: String,
    /// `spectro`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its registry.
    pub registry_uid: String,
    /// What profiles begin with.
    pub values: String,
}

/// Body of `POST /v1/packs/search`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PackSearch {
    /// Which packs.
    #[serde(default)]
    pub filter: PackFilter,
}

/// Which packs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct PackFilter {
    /// Of this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<NameFilter>,
    /// Of one of these layers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub layer: Vec<String>,
    /// For one of these clouds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<String>,
    /// Of one of these registries.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub registry_uid: Vec<String>,
}

/// A name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NameFilter {
    /// This one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eq: Option<String>,
    /// With this in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
}

/// A pack of whatever version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PackMetadata {
    /// Name and id.
    pub metadata: Meta,
    /// What it is.
    pub spec: PackMetadataSpec,
}

/// What a pack of whatever version is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PackMetadataSpec {
    /// Name.
    pub name: String,
    /// Name for people.
    pub display_name: String,
    /// Its layer.
    pub layer: String,
    /// Of which kind an add-on is.
    pub addon_type: String,
    /// Clouds that it is for.
    pub cloud_types: Vec<String>,
    /// Where it is.
    pub registries: Vec<PackInRegistry>,
}

/// A pack in a registry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PackInRegistry {
    /// The registry.
    pub uid: String,
    /// Its name.
    pub name: String,
    /// `system`.
    pub scope: String,
    /// Newest version.
    pub latest_version: String,
    /// The pack of that version.
    pub latest_pack_uid: String,
}

/// A pack with its versions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PackTag {
    /// Name.
    pub name: String,
    /// Name for people.
    pub display_name: String,
    /// Its layer.
    pub layer: String,
    /// Of which kind an add-on is.
    pub addon_type: String,
    /// Clouds that it is for.
    pub cloud_types: Vec<String>,
    /// Its registry.
    pub registry_uid: String,
    /// Versions.
    pub tags: Vec<PackTags>,
    /// Values of each version.
    pub pack_values: Vec<PackValues>,
}

/// A version of a pack.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PackTags {
    /// Version.
    pub version: String,
    /// The same, as profiles name it.
    pub tag: String,
    /// Names that follow newer versions.
    pub parent_tags: Vec<String>,
    /// The pack of this version.
    pub pack_uid: String,
    /// Unused.
    pub group: String,
}

/// Values of a version of a pack.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PackValues {
    /// The pack of this version.
    pub pack_uid: String,
    /// What profiles begin with.
    pub values: String,
}

/// Names of registries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Registries {
    /// Each.
    pub items: Vec<RegistryName>,
}

/// Name of a registry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegistryName {
    /// Its id.
    pub uid: String,
    /// Its name.
    pub name: String,
    /// `pack`, `helm` or `oci`.
    pub kind: String,
    /// `system`, `tenant` or `project`.
    pub scope: String,
    /// It is the one that is taken where none is named.
    pub is_default: bool,
    /// It wants credentials.
    pub is_private: bool,
}

/// A registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RegistrySummary {
    /// Name and id.
    pub metadata: Meta,
    /// Where it is.
    pub spec: RegistrySpec,
}

/// Where a registry is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegistrySpec {
    /// URL; empty for the one that every site has in its bundle.
    pub endpoint: String,
    /// `system`, `tenant` or `project`.
    pub scope: String,
    /// It wants credentials.
    #[serde(rename = "private")]
    pub is_private: bool,
}

/// How a registry's synchronisation stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SyncStatus {
    /// Whether there is any.
    pub is_sync_supported: bool,
    /// `Completed`.
    pub status: String,
    /// For people.
    pub message: String,
}
