//! Cluster profiles.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Extra, Meta};

/// Body of `POST /v1/clusterprofiles` and `PUT /v1/clusterprofiles/{uid}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProfileEntity {
    /// Name, labels, annotations.
    pub metadata: Meta,
    /// What it is made of.
    #[serde(default)]
    pub spec: ProfileEntitySpec,
}

/// What a profile is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ProfileEntitySpec {
    /// Packs.
    pub template: ProfileTemplateInput,
    /// Variables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variables: Option<Vec<Extra>>,
    /// Such as `1.0.0`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// The packs of a profile.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ProfileTemplateInput {
    /// `maas` or `all`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cloud_type: Option<String>,
    /// `cluster`, `infra` or `add-on`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// In the order of their installation.
    pub packs: Vec<PackInput>,
}

/// A pack of a profile.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct PackInput {
    /// Name in the profile; `a--b` is another `b`.
    pub name: String,
    /// Version.
    pub tag: String,
    /// The pack, by id.
    pub uid: String,
    /// Its registry.
    pub registry_uid: String,
    /// `spectro`, `manifest`, `helm` or `oci`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `os`, `k8s`, `cni`, `csi`, `addon`; the pack's own, where absent.
    pub layer: String,
    /// Values, kept byte for byte.
    pub values: String,
    /// Manifests.
    pub manifests: Vec<ManifestInput>,
}

/// A manifest of a pack.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ManifestInput {
    /// Its id, where it is there already.
    pub uid: String,
    /// Name.
    pub name: String,
    /// YAML, kept byte for byte.
    pub content: String,
}

/// A profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Profile {
    /// Name and id.
    pub metadata: Meta,
    /// What it is made of.
    pub spec: ProfileSpec,
    /// How it is used.
    pub status: ProfileStatus,
}

/// What a profile is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProfileSpec {
    /// What clusters get; the draft, before it was published.
    pub published: ProfileTemplate,
    /// What was written last, where that is not published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draft: Option<ProfileTemplate>,
    /// Its version.
    pub version: String,
    /// All versions of its name.
    pub versions: Vec<ProfileVersion>,
}

/// The packs of a profile.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProfileTemplate {
    /// `maas` or `all`.
    pub cloud_type: String,
    /// `cluster`, `infra` or `add-on`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The profile's version.
    pub profile_version: String,
    /// In the order of their installation.
    pub packs: Vec<PackRef>,
}

/// A pack of a profile.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PackRef {
    /// Name in the profile.
    pub name: String,
    /// Version.
    pub tag: String,
    /// The pack, by id.
    pub pack_uid: String,
    /// Its registry.
    pub registry_uid: String,
    /// `spectro`, `manifest`, `helm` or `oci`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `os`, `k8s`, `cni`, `csi` or `addon`.
    pub layer: String,
    /// Values.
    pub values: String,
    /// Manifests, without their contents.
    pub manifests: Vec<ManifestRef>,
}

/// A manifest, without its content.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ManifestRef {
    /// Always `manifest`.
    pub kind: String,
    /// Its id.
    pub uid: String,
    /// Its name.
    pub name: String,
}

/// A version of a profile.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProfileVersion {
    /// The profile.
    pub uid: String,
    /// Its version.
    pub version: String,
}

/// How a profile is used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProfileStatus {
    /// It was published.
    pub is_published: bool,
    /// It refers to macros.
    pub has_user_macros: bool,
    /// Clusters that are made of it.
    pub in_use_clusters: Vec<Value>,
}

/// Manifests with their contents.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NamedManifests {
    /// Each.
    pub items: Vec<NamedManifest>,
}

/// A manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NamedManifest {
    /// Name and id.
    pub metadata: Meta,
    /// Content.
    pub spec: ManifestSpec,
}

/// Contents of a manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ManifestSpec {
    /// What clusters get.
    pub published: ManifestContent,
    /// What was written last.
    pub draft: ManifestContent,
}

/// Content of a manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ManifestContent {
    /// YAML.
    pub content: String,
}

/// Variables of a profile.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Variables {
    /// Each with `name`, and what else clients send.
    pub variables: Vec<Extra>,
}

/// Names of variables.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VariableNames {
    /// Each.
    pub variables: Vec<String>,
}

/// Names of profiles.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProfileNames {
    /// Each.
    pub items: Vec<ProfileMetadata>,
}

/// Name of a profile.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProfileMetadata {
    /// Name and id.
    pub metadata: Meta,
    /// Its version.
    pub spec: ProfileMetadataSpec,
}

/// Which version of a profile.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProfileMetadataSpec {
    /// `maas` or `all`.
    pub cloud_type: String,
    /// Version.
    pub version: String,
}

/// Body of `POST /v1/clusterprofiles/{uid}/clone`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProfileClone {
    /// The new profile.
    pub metadata: ProfileCloneMeta,
}

/// A profile's copy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProfileCloneMeta {
    /// Its name.
    pub name: String,
    /// Its version; that of the original, where absent.
    #[serde(default)]
    pub version: String,
    /// Where it is to be; where the request is, where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<CloneTarget>,
}

/// Where a copy is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct CloneTarget {
    /// `project` or `tenant`.
    pub scope: String,
    /// The project.
    pub project_uid: String,
}

/// A profile as a file: body of `POST /v1/clusterprofiles/import`, and what `GET …/{uid}/export` answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProfileImport {
    /// Name, description, labels.
    pub metadata: ProfileImportMeta,
    /// What it is made of.
    pub spec: ProfileImportSpec,
}

/// What a profile in a file is called.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProfileImportMeta {
    /// Its name.
    pub name: String,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// Labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// What a profile in a file is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ProfileImportSpec {
    /// Its version.
    pub version: String,
    /// Its packs.
    pub template: ProfileImportTemplate,
    /// Its variables.
    pub variables: Vec<Extra>,
}

/// The packs of a profile in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ProfileImportTemplate {
    /// `cluster`, `infra` or `add-on`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `maas` or `all`.
    pub cloud_type: String,
    /// In the order of their installation.
    pub packs: Vec<PackImport>,
}

/// A pack of a profile in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PackImport {
    /// Its name, by which it is found.
    pub name: String,
    /// `os`, `k8s`, `cni`, `csi` or `addon`.
    pub layer: String,
    /// `spectro` or `manifest`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its version.
    pub tag: String,
    /// The same.
    pub version: String,
    /// Values, byte for byte.
    pub values: String,
    /// Manifests.
    pub manifests: Vec<ManifestImport>,
}

/// A manifest in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ManifestImport {
    /// Its name.
    pub name: String,
    /// YAML, byte for byte.
    pub content: String,
}
