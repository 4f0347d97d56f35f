//! Boot resources: the operating systems that can be deployed, and uploads of more.

use std::sync::Arc;

use bytes::Bytes;
use images::UploadError;
use jiff::{Timestamp, tz::TimeZone};
use model::{BootResource, ImageFile, ImageSet, SCOPE, next_id};
use serde_json::{Map, Value, json};
use store::Stored;

use api_call::{
    Answer, ApiError, Call, Faults, Reply,
    edit::{edit, numbered, required},
    route::{Resource, named, restful},
};
use render::network::put;

/// Boot resources. Pieces of an upload are at most as long as a request's body may be: 64 MiB.
pub fn resources() -> Vec<Resource> {
    vec![
        Resource {
            name: "BootResourcesHandler",
            path: "boot-resources/",
            params: &[],
            ops: vec![
                restful!(GET, User, "Lists the boot resources; `type` is `synced` or `uploaded`.", list),
                restful!(
                    POST,
                    Admin,
                    "Announces an image: `name`, `architecture`, `sha256`, `size`, `title`, `filetype`, `base_image`; small ones with their `content`.",
                    create
                ),
                named!(GET, "is_importing", User, "Says whether images are being imported.", is_importing),
                named!(POST, "import", Admin, "Answers as MAAS does; images come by upload.", import),
                named!(
                    POST,
                    "stop_import",
                    Admin,
                    "Answers as MAAS does; images come by upload.",
                    stop_import
                ),
            ],
        },
        Resource {
            name: "BootResourceHandler",
            path: "boot-resources/{id}/",
            params: &["id"],
            ops: vec![
                restful!(GET, User, "Reads a boot resource with its versions and files.", read),
                restful!(DELETE, Admin, "Deletes a boot resource.", delete),
            ],
        },
        Resource {
            name: "BootResourceFileUploadHandler",
            path: "boot-resources/{id}/upload/{file_id}/",
            params: &["id", "file_id"],
            ops: vec![restful!(
                PUT,
                Admin,
                "Takes the next piece of a file, as it is; with `offset` only if it is the next.",
                upload
            )],
        },
    ]
}

/// MAAS's file types that the agent can write to a disk, with the names of their files; `ddzst` is our own.
const FILETYPES: [(&str, &str); 3] =
    [("ddraw", "root-dd.raw"), ("ddgz", "root-dd.gz"), ("ddzst", "root-dd.zst")];

fn show(resource: &BootResource) -> Map<String, Value> {
    let shown = json!({
        "architecture": resource.architecture,
        "base_image": resource.base_image,
        "id": resource.number,
        "last_deployed": resource.last_deployed,
        "name": resource.name,
        "resource_uri": format!("/MAAS/api/2.0/boot-resources/{}/", resource.number),
        "subarches": "generic",
        "title": resource.title,
        "type": resource.rtype,
    });
    match shown {
        Value::Object(shown) => shown,
        _ => Map::new(),
    }
}

async fn list(call: Call) -> Answer {
    let wanted = call.param("type").filter(|kind| !kind.is_empty());
    if let Some(kind) = wanted.filter(|kind| !["synced", "uploaded"].contains(kind)) {
        let words =
            format!("'{kind}' is not a valid boot resource type. Available types: ['synced', 'uploaded']");
        return Err(ApiError::Bad(words));
    }
    let mut list = call.store().list::<BootResource>(SCOPE);
    list.retain(|resource| wanted.is_none_or(|kind| resource.value.rtype.eq_ignore_ascii_case(kind)));
    list.sort_by_key(|resource| resource.value.number);
    Ok(Reply::Json(list.iter().map(|resource| Value::Object(show(&resource.value))).collect()))
}

fn find(call: &Call) -> Result<Arc<Stored<BootResource>>, ApiError> {
    numbered(call, 0, "BootResource")
}

async fn read(call: Call) -> Answer {
    let seen = find(&call)?;
    Ok(Reply::Json(show_whole(&call, &seen.value).await))
}

async fn show_whole(call: &Call, resource: &BootResource) -> Value {
    let label = if resource.rtype == "Uploaded" { "uploaded" } else { "stable" };
    let mut sets = Map::new();
    for (version, set) in &resource.sets {
        let (mut files, mut arrived) = (Map::new(), 0);
        for (name, file) in &set.files {
            let mut shown = json!({
                "complete": file.complete,
                "filename": name,
                "filename_on_disk": file.sha256,
                "filetype": file.filetype,
                "sha256": file.sha256,
                "size": file.size,
            });
            let here = if file.complete { file.size } else { received(call, resource, file).await };
            arrived += here;
            if !file.complete {
                let uri = format!("/MAAS/api/2.0/boot-resources/{}/upload/{}/", resource.number, file.number);
                put(&mut shown, "progress", json!(progress(here, file.size)));
                put(&mut shown, "upload_uri", json!(uri));
            }
            files.insert(name.clone(), shown);
        }
        let size: u64 = set.files.values().map(|file| file.size).sum();
        let complete = set.files.values().all(|file| file.complete);
        sets.insert(
            version.clone(),
            json!({
                "complete": complete,
                "files": files,
                "label": label,
                "progress": progress(arrived, size),
                "size": size,
                "version": version,
            }),
        );
    }
    let mut shown = show(resource);
    shown.insert("sets".to_owned(), Value::Object(sets));
    Value::Object(shown)
}

/// Percent.
fn progress(arrived: u64, size: u64) -> u64 {
    (arrived * 100).checked_div(size).unwrap_or(100)
}

/// The upload of a file: its name holds the digest, so that nothing is continued with something else.
fn upload_of(call: &Call, resource: &BootResource, file: &ImageFile) -> Result<images::Upload, ApiError> {
    let digest = file.sha256.get(..16).unwrap_or_default();
    let id = format!("{}-{}-{digest}", resource.number, file.number);
    call.state.images.upload(&id, file.size).map_err(refused)
}

async fn received(call: &Call, resource: &BootResource, file: &ImageFile) -> u64 {
    match upload_of(call, resource, file) {
        Ok(upload) => upload.received().await.unwrap_or_default(),
        Err(_) => 0,
    }
}

#[allow(clippy::needless_pass_by_value, reason = "it is for `map_err`")]
fn refused(error: UploadError) -> ApiError {
    let words = error.to_string();
    match error {
        UploadError::Store(_) => ApiError::Unavailable(words),
        UploadError::Offset { .. } => {
            ApiError::Conflict("another piece arrived at the same time; send it again".to_owned())
        }
        _ => ApiError::Bad(words),
    }
}

/// What a call announces.
struct Announced {
    name: String,
    architecture: String,
    title: String,
    base_image: String,
    filename: &'static str,
    file: ImageFile,
}

fn announced(call: &Call, content: Option<&Bytes>) -> Result<Announced, ApiError> {
    let mut faults = Faults::default();
    let name = required(call, &mut faults, "name");
    let part = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if !name.is_empty()
        && (name.split('/').count() > 2 || name.split('/').any(|p| p.is_empty() || !p.chars().all(part)))
    {
        faults.add("name", "Enter a name such as custom/mine or debian/bookworm.");
    }
    let architecture = required(call, &mut faults, "architecture");
    let (arch, subarch) = architecture.split_once('/').unwrap_or((architecture, "generic"));
    if !architecture.is_empty() && (!["amd64", "arm64"].contains(&arch) || subarch.is_empty()) {
        faults.add("architecture", format!("'{architecture}' is not a valid architecture."));
    }
    let filetype = call.param("filetype").filter(|kind| !kind.is_empty()).unwrap_or("tgz");
    let known = FILETYPES.iter().find(|(kind, _)| *kind == filetype);
    if known.is_none() {
        let known = FILETYPES.map(|(kind, _)| kind).join(", ");
        faults.add(
            "filetype",
            format!("Select a valid choice. {filetype} is not one of the available choices: {known}."),
        );
    }
    let (sha256, size) = if let Some(content) = content {
        (digest(content), Some(content.len() as u64))
    } else {
        let sent = required(call, &mut faults, "size");
        let size = sent.parse().ok();
        if size.is_none() && !sent.is_empty() {
            faults.add("size", "Enter a whole number.");
        }
        (required(call, &mut faults, "sha256").to_ascii_lowercase(), size)
    };
    if !sha256.is_empty() && (sha256.len() != 64 || !sha256.bytes().all(|b| b.is_ascii_hexdigit())) {
        faults.add("sha256", "Enter the 64 hexadecimal digits of a SHA-256.");
    }
    for (field, wrong) in [
        (
            "sha256",
            call.param("sha256").is_some_and(|sent| !sent.is_empty() && !sent.eq_ignore_ascii_case(&sha256)),
        ),
        ("size", call.param("size").is_some_and(|sent| !sent.is_empty() && sent.parse().ok() != size)),
    ] {
        if wrong && content.is_some() {
            faults.add(field, "The content is another than was announced.");
        }
    }
    faults.check()?;
    Ok(Announced {
        name: name.to_owned(),
        architecture: format!("{arch}/{subarch}"),
        title: call.param("title").unwrap_or_default().to_owned(),
        base_image: call.param("base_image").unwrap_or_default().to_owned(),
        filename: known.map_or("", |(_, filename)| filename),
        file: ImageFile {
            number: 0,
            filetype: filetype.to_owned(),
            sha256,
            size: size.unwrap_or_default(),
            raw_size: None,
            complete: false,
        },
    })
}

fn digest(content: &[u8]) -> String {
    use sha2::Digest;
    hex::encode(sha2::Sha256::digest(content))
}

async fn create(call: Call) -> Answer {
    let content = call.form.bytes("content");
    let mut new = announced(&call, content)?;
    if let Some(content) = content {
        keep(&call, content, &new.file).await?;
    }
    new.file.complete = call.state.images.size(&new.file.sha256) == Some(new.file.size);
    let made = edit(&call, "boot_resource.create", |batch| {
        let all = call.store().list::<BootResource>(SCOPE);
        let sets =
            |resource: &Stored<BootResource>| resource.value.sets.values().cloned().collect::<Vec<_>>();
        let files = all.iter().flat_map(|r| sets(r)).flat_map(|set| set.files.into_values());
        let mut file = new.file.clone();
        file.number = files.map(|file| file.number + 1).max().unwrap_or(1);
        let same = |r: &BootResource| {
            r.name == new.name && r.architecture == new.architecture && r.rtype == "Uploaded"
        };
        let seen = all.iter().find(|resource| same(&resource.value));
        let mut resource = match seen {
            Some(seen) => seen.value.clone(),
            None => BootResource {
                number: next_id::<BootResource>(call.store(), |resource| resource.number).max(1),
                name: new.name.clone(),
                architecture: new.architecture.clone(),
                title: String::new(),
                rtype: "Uploaded".to_owned(),
                base_image: String::new(),
                sets: std::collections::BTreeMap::new(),
                last_deployed: None,
            },
        };
        if !new.title.is_empty() {
            resource.title.clone_from(&new.title);
        }
        if !new.base_image.is_empty() {
            resource.base_image.clone_from(&new.base_image);
        }
        let files = [(new.filename.to_owned(), file)].into();
        resource.sets.insert(next_version(&resource), ImageSet { files });
        let id = resource.number.to_string();
        let batch = match seen {
            Some(seen) => batch.update(SCOPE, &id, seen.version, &resource),
            None => {
                batch.claim(SCOPE, "boot_resource", &identity(&resource), &id).create(SCOPE, &id, &resource)
            }
        };
        Ok((batch, resource))
    })
    .await?;
    Ok(Reply::Created(show_whole(&call, &made).await))
}

fn identity(resource: &BootResource) -> String {
    format!("{} {}", resource.name, resource.architecture)
}

/// Today's date, with a number where there is one of today already.
fn next_version(resource: &BootResource) -> String {
    let today = Timestamp::now().to_zoned(TimeZone::UTC).strftime("%Y%m%d").to_string();
    // Two digits, because versions are ordered as text.
    let numbered = (1..100).map(|n| format!("{today}.{n:02}"));
    let free = |version: &String| !resource.sets.contains_key(version);
    std::iter::once(today.clone()).chain(numbered).find(free).unwrap_or(today)
}

/// Keeps the content of an image that came in one piece.
async fn keep(call: &Call, content: &Bytes, file: &ImageFile) -> Result<(), ApiError> {
    if call.state.images.size(&file.sha256) == Some(file.size) {
        return Ok(());
    }
    let upload = call.state.images.upload(&file.sha256, file.size).map_err(refused)?;
    upload.discard().await.map_err(refused)?;
    upload.append(0, content.clone()).await.map_err(refused)?;
    upload.finish(&file.sha256).await.map_err(refused)
}

async fn upload(call: Call) -> Answer {
    let seen = find(&call)?;
    let wanted: Option<u64> = call.arg(1).parse().ok();
    let file =
        seen.value.sets.values().flat_map(|set| set.files.values()).find(|file| Some(file.number) == wanted);
    let Some(file) = file else { return Err(ApiError::NotFound("BootResourceFile".to_owned())) };
    if file.complete {
        return Err(ApiError::Bad("Cannot upload to a complete file.".to_owned()));
    }
    if call.body.is_empty() && file.size > 0 {
        let words =
            "The piece is empty: send it as the body, with the content type application/octet-stream.";
        return Err(ApiError::Bad(words.to_owned()));
    }
    let upload = upload_of(&call, &seen.value, file)?;
    let there = upload.received().await.map_err(refused)?;
    // MAAS's pieces do not say where they belong; one that does (`?offset=`) can be sent again safely.
    let at = call.query.get("offset").and_then(|offset| offset.parse().ok()).unwrap_or(there);
    // All of it may have arrived before a restart that came before the check.
    let here = if there == file.size {
        there
    } else {
        upload.append(at, call.body.clone()).await.map_err(refused)?
    };
    if here < file.size {
        return Ok(Reply::Ok);
    }
    upload.finish(&file.sha256).await.map_err(refused)?;
    complete(&call, file.number).await?;
    Ok(Reply::Ok)
}

async fn complete(call: &Call, number: u64) -> Result<(), ApiError> {
    edit(call, "boot_resource.upload", |batch| {
        let seen = find(call)?;
        let mut resource = seen.value.clone();
        for file in resource.sets.values_mut().flat_map(|set| set.files.values_mut()) {
            if file.number == number {
                file.complete = true;
            }
        }
        Ok((batch.update(SCOPE, &seen.id, seen.version, &resource), ()))
    })
    .await
}

/// Deletes the document; the region sweeps contents that no document names any more.
async fn delete(call: Call) -> Answer {
    let gone = edit(&call, "boot_resource.delete", |batch| {
        let seen = find(&call)?;
        let batch = batch.unclaim(SCOPE, "boot_resource", &identity(&seen.value), &seen.id);
        Ok((batch.delete::<BootResource>(SCOPE, &seen.id, seen.version), seen))
    })
    .await?;
    for file in gone.value.sets.values().flat_map(|set| set.files.values()).filter(|file| !file.complete) {
        if let Err(error) = upload_of(&call, &gone.value, file)?.discard().await {
            tracing::warn!(%error, resource = gone.value.number, "what was uploaded stays on the disk");
        }
    }
    Ok(Reply::NoContent)
}

async fn is_importing(_call: Call) -> Answer {
    Ok(Reply::Json(Value::Bool(false)))
}

async fn import(_call: Call) -> Answer {
    Ok(Reply::Text("Import of boot resources started".to_owned()))
}

async fn stop_import(_call: Call) -> Answer {
    Ok(Reply::Text("Import of boot resources is being stopped".to_owned()))
}
