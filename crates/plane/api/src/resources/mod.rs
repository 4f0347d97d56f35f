//! The resources, one module each.

mod accounts;
mod api_keys;
mod audits;
mod auth;
mod changes;
mod clusters;
mod events;
mod look_ups;
mod overlords;
mod packs;
mod pools;
mod profile_files;
mod profiles;
mod projects;
mod users;

use crate::route::Route;

/// Every route there is.
pub fn table() -> Vec<Route> {
    [
        auth::routes(),
        api_keys::routes(),
        users::routes(),
        audits::routes(),
        projects::routes(),
        overlords::routes(),
        accounts::routes(),
        look_ups::routes(),
        packs::routes(),
        profiles::routes(),
        profile_files::routes(),
        clusters::routes(),
        pools::routes(),
        events::routes(),
        changes::routes(),
    ]
    .concat()
}

/// What the resources show in the same way.
mod show {
    use std::collections::BTreeMap;

    use plane_client::v1;
    use plane_model::{Meta, Owner};

    use crate::call::Caller;

    /// Name, labels and annotations of an object; the plane's own annotations are added.
    pub fn meta(meta: &Meta, uid: &str, own: &[(&str, String)]) -> v1::Meta {
        let mut annotations = meta.annotations.clone();
        annotations.extend(own.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        v1::Meta {
            name: meta.name.clone(),
            uid: uid.to_owned(),
            labels: some(meta.labels.clone()),
            annotations: some(annotations),
            creation_timestamp: Some(meta.created),
            last_modified_timestamp: Some(meta.modified),
            extra: meta.extra.clone(),
        }
    }

    /// Empty maps are left out, as they came.
    fn some(map: BTreeMap<String, String>) -> Option<BTreeMap<String, String>> {
        (!map.is_empty()).then_some(map)
    }

    /// Annotations that say whose something is.
    pub fn whose(caller: &Caller, owner: &Owner) -> Vec<(&'static str, String)> {
        let tenant = ("tenantUid", caller.tenant.clone());
        match owner {
            Owner::Tenant => vec![("scope", "tenant".to_owned()), tenant],
            Owner::Project(uid) => {
                vec![("scope", "project".to_owned()), ("projectUid", uid.clone()), tenant]
            }
        }
    }
}

/// What the resources take in the same way.
mod take {
    use jiff::Timestamp;
    use plane_client::v1;
    use plane_model::Meta;

    use crate::reply::ApiError;

    /// Characters of a name at most, as Kubernetes' labels have it.
    const LONGEST: usize = 63;

    /// Annotations that are the plane's own: what a client sends back of them is not kept.
    const OWN: [&str; 4] = ["scope", "tenantUid", "projectUid", "overlordUid"];

    /// A name that may be used.
    pub fn name(name: &str) -> Result<&str, ApiError> {
        let fits = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.' | ' ');
        if name.is_empty() || name.chars().count() > LONGEST || !name.chars().all(fits) {
            return Err(ApiError::bad(format!(
                "metadata.name {name:?}: letters, digits, '-', '_', '.' and spaces, {LONGEST} at most"
            )));
        }
        Ok(name)
    }

    /// Name, labels and annotations of something; what it had before says when it was made.
    pub fn meta(sent: &v1::Meta, before: Option<&Meta>, now: Timestamp) -> Result<Meta, ApiError> {
        let mut annotations = sent.annotations.clone().unwrap_or_default();
        annotations.retain(|key, _| !OWN.contains(&key.as_str()));
        Ok(Meta {
            name: name(&sent.name)?.to_owned(),
            labels: sent.labels.clone().unwrap_or_default(),
            annotations,
            created: before.map_or(now, |before| before.created),
            modified: now,
            extra: sent.extra.clone(),
        })
    }
}
