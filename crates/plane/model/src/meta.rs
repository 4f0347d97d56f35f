//! What every object of the plane has.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Hex digits of an id.
const UID_BYTES: usize = 12;

/// A new object id: 24 hex digits, as Palette's clients expect.
pub fn new_uid() -> String {
    secrets::random_token(UID_BYTES)
}

/// Name, labels and annotations, as Palette's objects carry them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Unique among the kind in its scope.
    pub name: String,
    /// Labels; a plain tag has the value `spectro__tag`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What the user annotated; the plane's own annotations are added when it is shown.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was changed last.
    pub modified: Timestamp,
    /// Keys that this build does not know, kept and shown again.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Meta {
    /// Of something made now.
    pub fn new(name: impl Into<String>, now: Timestamp) -> Self {
        Self { name: name.into(), created: now, modified: now, ..Self::default() }
    }
}

/// Whose an object is: the scope of its document is the tenant, this says which part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// The tenant: seen, not changed, in all its projects.
    Tenant,
    /// One project, by uid.
    Project(String),
}

impl Owner {
    /// Whether a request in `project` (none: the tenant itself) sees it.
    pub fn seen_in(&self, project: Option<&str>) -> bool {
        match (self, project) {
            (Self::Tenant, _) | (Self::Project(_), None) => true,
            (Self::Project(of), Some(project)) => of == project,
        }
    }

    /// Whether a request in `project` may change it.
    pub fn changed_in(&self, project: Option<&str>) -> bool {
        match self {
            Self::Tenant => project.is_none(),
            Self::Project(of) => project == Some(of),
        }
    }

    /// Of what is made by a request in `project`.
    pub fn of(project: Option<&str>) -> Self {
        project.map_or(Self::Tenant, |project| Self::Project(project.to_owned()))
    }

    /// The project whose it is; none: the tenant's own.
    pub fn project(&self) -> Option<&str> {
        match self {
            Self::Tenant => None,
            Self::Project(uid) => Some(uid),
        }
    }

    /// The owner as a word: what names are unique in.
    pub fn word(&self) -> &str {
        match self {
            Self::Tenant => "tenant",
            Self::Project(uid) => uid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_project_may_change_it_sees_and_no_other_project_does() {
        let (tenant, a) = (Owner::Tenant, Owner::of(Some("a")));
        assert!(tenant.seen_in(Some("a")) && !tenant.changed_in(Some("a")) && tenant.changed_in(None));
        assert!(a.seen_in(Some("a")) && a.changed_in(Some("a")));
        assert!(!a.seen_in(Some("b")) && !a.changed_in(Some("b")));
        assert!(a.seen_in(None) && !a.changed_in(None));
    }

    #[test]
    fn ids_are_24_hex_digits() {
        let uid = new_uid();
        assert!(uid.len() == 24 && uid.bytes().all(|byte| byte.is_ascii_hexdigit()), "{uid}");
    }
}
