//! Where images are published, and which of them are wanted. MAAS answers only administrators here, in words of its own.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use model::{BootSource, BootSourceSelection, SCOPE};
use serde_json::{Value, json};
use store::Stored;

use super::edited;
use api_call::{
    Answer, ApiError, Call, Faults, Reply,
    edit::edit,
    is_true,
    route::{Resource, restful},
};
use render::network::time;

/// Sources and selections.
pub fn resources() -> Vec<Resource> {
    vec![
        Resource {
            name: "BootSourcesHandler",
            path: "boot-sources/",
            params: &[],
            ops: vec![
                restful!(GET, Anonymous, "Lists the boot sources.", sources),
                restful!(
                    POST,
                    Anonymous,
                    "Makes a boot source: `url`, `keyring_filename` or `keyring_data`, `name`, `priority`, `enabled`, `skip_keyring_verification`.",
                    create_source
                ),
            ],
        },
        Resource {
            name: "BootSourceHandler",
            path: "boot-sources/{id}/",
            params: &["id"],
            ops: vec![
                restful!(GET, Anonymous, "Reads a boot source.", source),
                restful!(
                    PUT,
                    Anonymous,
                    "Changes a boot source: parameters as for a new one.",
                    update_source
                ),
                restful!(DELETE, Anonymous, "Deletes a boot source with its selections.", delete_source),
            ],
        },
        Resource {
            name: "BootSourceSelectionsHandler",
            path: "boot-sources/{boot_source_id}/selections/",
            params: &["boot_source_id"],
            ops: vec![
                restful!(GET, Anonymous, "Lists what is wanted of a boot source.", selections),
                restful!(
                    POST,
                    Anonymous,
                    "Wants images of a boot source: `os`, `release`, `arches`, `subarches`, `labels`.",
                    create_selection
                ),
            ],
        },
        Resource {
            name: "BootSourceSelectionHandler",
            path: "boot-sources/{boot_source_id}/selections/{id}/",
            params: &["boot_source_id", "id"],
            ops: vec![
                restful!(GET, Anonymous, "Reads a selection.", selection),
                restful!(
                    PUT,
                    Anonymous,
                    "Changes a selection: parameters as for a new one.",
                    update_selection
                ),
                restful!(DELETE, Anonymous, "Deletes a selection.", delete_selection),
            ],
        },
    ]
}

fn allowed(call: &Call) -> Result<(), ApiError> {
    if call.admin() {
        Ok(())
    } else {
        Err(ApiError::Forbidden("User is not allowed access to this API.".to_owned()))
    }
}

fn show_source(id: &str, source: &BootSource) -> Value {
    json!({
        "created": time(source.created),
        "enabled": source.enabled,
        "id": id.parse::<u64>().unwrap_or_default(),
        "keyring_data": source.keyring_data,
        "keyring_filename": source.keyring_filename,
        "name": source.name,
        "priority": source.priority,
        "resource_uri": format!("/MAAS/api/2.0/boot-sources/{id}/"),
        "skip_keyring_verification": source.skip_keyring_verification,
        "updated": time(source.updated),
        "url": source.url,
    })
}

fn show_selection(id: &str, selection: &BootSourceSelection) -> Value {
    let source = selection.source;
    json!({
        "arches": selection.arches,
        "boot_source_id": source,
        "id": id.parse::<u64>().unwrap_or_default(),
        "labels": selection.labels,
        "os": selection.os,
        "release": selection.release,
        "resource_uri": format!("/MAAS/api/2.0/boot-sources/{source}/selections/{id}/"),
        "subarches": selection.subarches,
    })
}

async fn sources(call: Call) -> Answer {
    allowed(&call)?;
    let mut list = call.store().list::<BootSource>(SCOPE);
    list.sort_by_key(|one| one.id.parse().unwrap_or(u64::MAX));
    Ok(Reply::Json(list.iter().map(|one| show_source(&one.id, &one.value)).collect()))
}

/// The source that the call is about, for administrators.
fn find_source(call: &Call) -> Result<Arc<Stored<BootSource>>, ApiError> {
    allowed(call)?;
    api_call::edit::numbered(call, 0, "BootSource")
}

async fn source(call: Call) -> Answer {
    let one = find_source(&call)?;
    Ok(Reply::Json(show_source(&one.id, &one.value)))
}

/// What was sent, on top of what is there.
fn apply(call: &Call, source: &mut BootSource, own: Option<&str>) -> Result<(), ApiError> {
    let mut faults = Faults::default();
    edited::text(call, "url", &mut source.url);
    source.url = source.url.trim_end_matches('/').to_owned();
    edited::needed(&mut faults, "url", &source.url);
    let reachable = |url: url::Url| ["http", "https"].contains(&url.scheme()) && url.has_host();
    if !source.url.is_empty() && !url::Url::parse(&source.url).is_ok_and(reachable) {
        faults.add("url", "Enter a valid URL.");
    }
    edited::text(call, "keyring_filename", &mut source.keyring_filename);
    if let Some(keyring) = call.form.bytes("keyring_data") {
        source.keyring_data = STANDARD.encode(keyring);
    }
    edited::text(call, "name", &mut source.name);
    if source.name.is_empty() {
        source.name.clone_from(&source.url);
    }
    edited::flag(call, "enabled", &mut source.enabled);
    let sources = call.store().list::<BootSource>(SCOPE);
    match call.param("priority").filter(|sent| !sent.is_empty()).map(str::parse::<u64>) {
        Some(Ok(priority)) => source.priority = priority,
        Some(Err(_)) => faults.add("priority", "Enter a whole number."),
        None if own.is_none() => {
            source.priority = sources.iter().map(|one| one.value.priority).max().unwrap_or(0) + 1;
        }
        None => {}
    }
    match call.param("skip_keyring_verification") {
        Some(sent) => source.skip_keyring_verification = is_true(sent),
        None if own.is_none() => {
            let json = std::path::Path::new(&source.url).extension();
            source.skip_keyring_verification = json.is_some_and(|end| end.eq_ignore_ascii_case("json"));
        }
        None => {}
    }
    if sources.iter().any(|one| own != Some(one.id.as_str()) && one.value.url == source.url) {
        faults.add("url", "Boot source with this Url already exists.");
    }
    match (source.keyring_filename.is_empty(), source.keyring_data.is_empty()) {
        (true, true) if !source.skip_keyring_verification => {
            faults.add("__all__", "One of keyring_data or keyring_filename must be specified.");
        }
        (false, false) => {
            faults.add("__all__", "Only one of keyring_filename or keyring_data can be specified.");
        }
        _ => {}
    }
    faults.check()
}

async fn create_source(call: Call) -> Answer {
    allowed(&call)?;
    edit(&call, "boot_source.create", |batch| {
        let now = Timestamp::now();
        let mut source = BootSource {
            name: String::new(),
            url: String::new(),
            priority: 0,
            enabled: true,
            keyring_filename: String::new(),
            keyring_data: String::new(),
            skip_keyring_verification: false,
            created: now,
            updated: now,
        };
        apply(&call, &mut source, None)?;
        let id = edited::next_id::<BootSource>(&call).to_string();
        let batch = batch.claim(SCOPE, "boot_source", &source.url, &id);
        Ok((batch.create(SCOPE, &id, &source), Reply::Created(show_source(&id, &source))))
    })
    .await
}

async fn update_source(call: Call) -> Answer {
    edit(&call, "boot_source.update", |mut batch| {
        let seen = find_source(&call)?;
        let mut source = seen.value.clone();
        apply(&call, &mut source, Some(&seen.id))?;
        source.updated = Timestamp::now();
        if source.url != seen.value.url {
            batch = batch.unclaim(SCOPE, "boot_source", &seen.value.url, &seen.id).claim(
                SCOPE,
                "boot_source",
                &source.url,
                &seen.id,
            );
        }
        let shown = Reply::Json(show_source(&seen.id, &source));
        Ok((batch.update(SCOPE, &seen.id, seen.version, &source), shown))
    })
    .await
}

async fn delete_source(call: Call) -> Answer {
    edit(&call, "boot_source.delete", |mut batch| {
        let seen = find_source(&call)?;
        for selection in of_source(&call, &seen) {
            batch = batch.delete::<BootSourceSelection>(SCOPE, &selection.id, selection.version);
        }
        let batch = batch.unclaim(SCOPE, "boot_source", &seen.value.url, &seen.id);
        Ok((batch.delete::<BootSource>(SCOPE, &seen.id, seen.version), Reply::NoContent))
    })
    .await
}

/// What is wanted of a source.
fn of_source(call: &Call, source: &Stored<BootSource>) -> Vec<Arc<Stored<BootSourceSelection>>> {
    let mut list = call.store().list::<BootSourceSelection>(SCOPE);
    list.retain(|one| one.value.source.to_string() == source.id);
    list.sort_by_key(|one| one.id.parse().unwrap_or(u64::MAX));
    list
}

async fn selections(call: Call) -> Answer {
    let source = find_source(&call)?;
    let list = of_source(&call, &source);
    Ok(Reply::Json(list.iter().map(|one| show_selection(&one.id, &one.value)).collect()))
}

/// The selection that the call is about.
fn find_selection(call: &Call) -> Result<Arc<Stored<BootSourceSelection>>, ApiError> {
    let source = find_source(call)?;
    let found = of_source(call, &source).into_iter().find(|one| one.id == call.arg(1));
    found.ok_or_else(|| ApiError::NotFound("BootSourceSelection".to_owned()))
}

async fn selection(call: Call) -> Answer {
    let one = find_selection(&call)?;
    Ok(Reply::Json(show_selection(&one.id, &one.value)))
}

/// What was sent, on top of what is there.
fn want(call: &Call, wanted: &mut BootSourceSelection, own: Option<&str>) -> Result<(), ApiError> {
    let mut faults = Faults::default();
    edited::text(call, "os", &mut wanted.os);
    edited::text(call, "release", &mut wanted.release);
    edited::needed(&mut faults, "release", &wanted.release);
    edited::list(call, "arches", &mut wanted.arches);
    edited::list(call, "subarches", &mut wanted.subarches);
    edited::list(call, "labels", &mut wanted.labels);
    let all = call.store().list::<BootSourceSelection>(SCOPE);
    let same = |one: &BootSourceSelection| {
        (one.source, &one.os, &one.release) == (wanted.source, &wanted.os, &wanted.release)
    };
    if all.iter().any(|one| own != Some(one.id.as_str()) && same(&one.value)) {
        let words = "Boot source selection with this Boot source, Os and Release already exists.";
        faults.add("__all__", words);
    }
    faults.check()
}

async fn create_selection(call: Call) -> Answer {
    edit(&call, "boot_source_selection.create", |batch| {
        let source = find_source(&call)?;
        let every = || vec!["*".to_owned()];
        let mut wanted = BootSourceSelection {
            source: source.id.parse().unwrap_or_default(),
            os: String::new(),
            release: String::new(),
            arches: every(),
            subarches: every(),
            labels: every(),
        };
        want(&call, &mut wanted, None)?;
        let id = edited::next_id::<BootSourceSelection>(&call).to_string();
        // The source must still be there when something is wanted of it.
        let batch = batch.expect::<BootSource>(SCOPE, &source.id, source.version);
        Ok((batch.create(SCOPE, &id, &wanted), Reply::Json(show_selection(&id, &wanted))))
    })
    .await
}

async fn update_selection(call: Call) -> Answer {
    edit(&call, "boot_source_selection.update", |batch| {
        let seen = find_selection(&call)?;
        let mut wanted = seen.value.clone();
        want(&call, &mut wanted, Some(&seen.id))?;
        let shown = Reply::Json(show_selection(&seen.id, &wanted));
        Ok((batch.update(SCOPE, &seen.id, seen.version, &wanted), shown))
    })
    .await
}

async fn delete_selection(call: Call) -> Answer {
    edit(&call, "boot_source_selection.delete", |batch| {
        let seen = find_selection(&call)?;
        Ok((batch.delete::<BootSourceSelection>(SCOPE, &seen.id, seen.version), Reply::NoContent))
    })
    .await
}
