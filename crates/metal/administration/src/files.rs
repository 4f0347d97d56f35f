//! Small files of the caller. Whoever has a file's key opens it without an API key, as Juju's agents do.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use model::{SCOPE, StoredFile};
use secrets::{Secret, random_id};
use serde_json::{Value, json};
use store::{Batch, Stored};

use super::edited;
use api_call::{
    Answer, ApiError, Call, Reply,
    edit::edit,
    route::{Resource, named, restful},
};

/// Bytes of a file at most: documents are kept in memory.
const LARGEST: usize = 1 << 20;
/// Bytes of a user's files together at most.
const TOGETHER: usize = 16 << 20;
/// Letters of keys.
const LETTERS: &str = "0123456789abcdef";

/// Files.
pub fn resources() -> Vec<Resource> {
    vec![
        Resource {
            name: "FilesHandler",
            path: "files/",
            params: &[],
            ops: vec![
                restful!(GET, User, "Lists the caller's files; `prefix` filters.", list),
                restful!(POST, User, "Keeps the part `file` under `filename`.", create),
                restful!(DELETE, User, "Deletes the caller's file `filename`.", delete_named),
                named!(GET, "get", User, "The content of the caller's file `filename`.", get),
                named!(
                    GET,
                    "get_by_key",
                    Anonymous,
                    "The content of the file whose `key` this is.",
                    get_by_key
                ),
            ],
        },
        Resource {
            name: "FileHandler",
            path: "files/{filename}/",
            params: &["filename"],
            ops: vec![
                restful!(GET, User, "Reads a file of the caller, with its content in base64.", read),
                restful!(DELETE, User, "Deletes a file of the caller.", delete),
            ],
        },
    ]
}

fn show(file: &StoredFile) -> Value {
    json!({
        "anon_resource_uri": format!("/MAAS/api/2.0/files/?op=get_by_key&key={}", file.key.expose()),
        "filename": file.name,
        "resource_uri": format!("/MAAS/api/2.0/files/{}/", file.name),
    })
}

async fn list(call: Call) -> Answer {
    let prefix = call.query.get("prefix").unwrap_or_default();
    let mut files = call.store().list::<StoredFile>(SCOPE);
    files.retain(|file| file.value.user == call.user() && file.value.name.starts_with(prefix));
    files.sort_by(|one, other| one.value.name.cmp(&other.value.name));
    Ok(Reply::Json(files.iter().map(|file| show(&file.value)).collect()))
}

/// The name that a file is claimed by.
fn place(user: &str, name: &str) -> String {
    format!("{user}/{name}")
}

/// The caller's file of this name.
fn find(call: &Call, name: &str) -> Option<Arc<Stored<StoredFile>>> {
    let id = call.store().holder(SCOPE, "file", &place(call.user(), name))?;
    call.store().get(SCOPE, &id)
}

async fn create(call: Call) -> Answer {
    let Some(name) = call.param("filename").filter(|name| !name.is_empty()) else {
        return Err(ApiError::Bad("Filename not supplied".to_owned()));
    };
    let mut files = call.form.iter().filter(|param| param.file);
    let content = match (files.next(), files.next()) {
        (Some(file), None) => file.bytes.clone(),
        (Some(_), Some(_)) => return Err(ApiError::Bad("Exactly one file must be supplied".to_owned())),
        // Clients that send every part alike give the file no name of its own.
        (None, _) => match call.form.bytes("file") {
            Some(content) => content.clone(),
            None => return Err(ApiError::Bad("File not supplied".to_owned())),
        },
    };
    if content.len() > LARGEST {
        return Err(ApiError::TooLarge(format!("A file may have {LARGEST} bytes at most.")));
    }
    edit(&call, "file.create", |mut batch| {
        let store = call.store();
        let all = store.list::<StoredFile>(SCOPE);
        let others = all.iter().filter(|file| file.value.user == call.user() && file.value.name != name);
        if others.map(|file| file.value.content.len() / 4 * 3).sum::<usize>() + content.len() > TOGETHER {
            return Err(ApiError::TooLarge(format!("Your files may have {TOGETHER} bytes together.")));
        }
        let seen = find(&call, name);
        let file = StoredFile {
            user: call.user().to_owned(),
            name: name.to_owned(),
            key: seen.as_ref().map_or_else(random_key, |seen| seen.value.key.clone()),
            content: STANDARD.encode(&content),
        };
        if let Some(seen) = seen {
            batch = batch.update(SCOPE, &seen.id, seen.version, &file);
        } else {
            let id = edited::next_id::<StoredFile>(&call).to_string();
            batch = batch
                .claim(SCOPE, "file", &place(call.user(), name), &id)
                .claim(SCOPE, "file_key", file.key.expose(), &id)
                .create(SCOPE, &id, &file);
        }
        Ok((batch, Reply::CreatedEmpty))
    })
    .await
}

/// In the form of a UUID, as clients of MAAS know it.
fn random_key() -> Secret {
    let parts = [8, 4, 4, 4, 12].map(|length| random_id(LETTERS, length));
    Secret::new(parts.join("-"))
}

fn content(file: &StoredFile) -> Reply {
    let bytes = STANDARD.decode(&file.content).unwrap_or_default();
    Reply::Bytes("application/octet-stream", Bytes::from(bytes))
}

fn named<'c>(call: &'c Call, name: &str) -> Result<&'c str, ApiError> {
    let sent = call.query.get(name).filter(|text| !text.is_empty());
    sent.ok_or_else(|| ApiError::Bad(format!("No provided {name}!")))
}

async fn get(call: Call) -> Answer {
    let name = named(&call, "filename")?;
    let file = find(&call, name).ok_or_else(|| ApiError::Missing("File not found".to_owned()))?;
    Ok(content(&file.value))
}

async fn get_by_key(call: Call) -> Answer {
    let key = named(&call, "key")?;
    let id = call.store().holder(SCOPE, "file_key", key);
    let file = id.and_then(|id| call.store().get::<StoredFile>(SCOPE, &id));
    let file = file.ok_or_else(|| ApiError::NotFound("FileStorage".to_owned()))?;
    Ok(content(&file.value))
}

async fn read(call: Call) -> Answer {
    let file = find(&call, call.arg(0)).ok_or_else(|| ApiError::Missing("Not Found".to_owned()))?;
    let mut shown = show(&file.value);
    render::network::put(&mut shown, "content", json!(file.value.content));
    Ok(Reply::Json(shown))
}

async fn delete_named(call: Call) -> Answer {
    let name = named(&call, "filename")?.to_owned();
    remove(&call, &name).await
}

async fn delete(call: Call) -> Answer {
    remove(&call, call.arg(0)).await
}

async fn remove(call: &Call, name: &str) -> Answer {
    edit(call, "file.delete", |batch| {
        let seen = find(call, name).ok_or_else(|| ApiError::NotFound("FileStorage".to_owned()))?;
        Ok((without(batch, &seen), Reply::NoContent))
    })
    .await
}

fn without(batch: Batch, seen: &Stored<StoredFile>) -> Batch {
    batch
        .unclaim(SCOPE, "file", &place(&seen.value.user, &seen.value.name), &seen.id)
        .unclaim(SCOPE, "file_key", seen.value.key.expose(), &seen.id)
        .delete::<StoredFile>(SCOPE, &seen.id, seen.version)
}

/// Deletes every file of a user.
pub fn forget(call: &Call, batch: Batch, user: &str) -> Batch {
    let all = call.store().list::<StoredFile>(SCOPE);
    all.iter().filter(|file| file.value.user == user).fold(batch, |batch, file| without(batch, file))
}
