//! What all objects have.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Extra;

/// Name, id, labels and annotations of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Meta {
    /// Unique among its kind in its scope.
    #[serde(default)]
    pub name: String,
    /// 24 hex digits; the plane's to give.
    #[serde(default)]
    pub uid: String,
    /// Labels; a tag without a value has the value `spectro__tag`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// Annotations, the plane's own among them: `scope`, `overlordUid`, `projectUid`, `tenantUid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<Timestamp>,
    /// When it was changed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_modified_timestamp: Option<Timestamp>,
    /// Keys that this build does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// What a creation answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Uid {
    /// Id of the new object.
    pub uid: String,
}

/// What a few actions answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Message {
    /// For people.
    pub msg: String,
}

/// What a refusal answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorBody {
    /// Stable, such as `ResourceNotFound`.
    pub code: String,
    /// What happened, to what, and what to do.
    pub message: String,
    /// More of it, where there is.
    #[serde(default)]
    pub details: Value,
    /// Id of the request, as the plane's log has it.
    #[serde(default, rename = "ref")]
    pub reference: String,
}

/// A part of all objects of a kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ListOf{T}")]
pub struct List<T> {
    /// The part.
    pub items: Vec<T>,
    /// Which part.
    #[serde(default)]
    pub listmeta: ListMeta,
}

/// Which part of a list an answer is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListMeta {
    /// Ask with this for the next part; empty at the end.
    #[serde(default, rename = "continue")]
    pub next: String,
    /// How many there are in all.
    #[serde(default)]
    pub count: usize,
    /// At most so many in an answer; 0: all.
    #[serde(default)]
    pub limit: usize,
    /// So many were left out before.
    #[serde(default)]
    pub offset: usize,
}

/// Of lists that only name things.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ScopedNames {
    /// The things.
    pub items: Vec<ScopedName>,
}

/// Names one thing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ScopedName {
    /// Name and id.
    pub metadata: Meta,
}

/// Name and description of something, where that is all that is changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Description {
    /// Name, labels and annotations.
    pub metadata: Meta,
}
