//! What is taken in at start: disk images, and the larger ephemeral system.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use images::Images;
use jiff::Timestamp;
use model::{BootResource, ImageFile, ImageSet, SCOPE, next_id};
use serde::Deserialize;
use store::{Batch, CommitError, Store};

/// `manifest.json` of a disk image.
#[derive(Debug, Deserialize)]
struct Manifest {
    os: String,
    series: String,
    architecture: String,
    filetype: String,
    file: String,
    sha256: String,
    size: u64,
    raw_size: u64,
    title: String,
}

/// Why an image was not taken in.
#[derive(Debug, thiserror::Error)]
#[error("image {}: {why}; build it again", dir.display())]
pub struct ImportError {
    dir: PathBuf,
    why: String,
}

/// `manifest.json` of an ephemeral system.
#[derive(Debug, Deserialize)]
struct Ephemeral {
    files: BTreeMap<String, Sealed>,
}

/// A file of it.
#[derive(Debug, Deserialize)]
struct Sealed {
    sha256: String,
    size: u64,
}

/// The larger system in the folder of an ephemeral system; `None` where there is none.
pub fn system(ephemeral: &Path) -> std::io::Result<Option<metadata::SystemFile>> {
    let text = match std::fs::read(ephemeral.join("manifest.json")) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        read => read?,
    };
    let mut manifest: Ephemeral = serde_json::from_slice(&text)?;
    let file = manifest.files.remove("system.squashfs");
    Ok(file.map(|Sealed { sha256, size }| metadata::SystemFile { sha256, size }))
}

/// Takes in the image of a folder; an image that is there already is left alone.
pub async fn import(store: &Store, images: &Images, dir: &Path) -> Result<(), ImportError> {
    let refuse = |why: &dyn std::fmt::Display| ImportError { dir: dir.to_owned(), why: why.to_string() };
    let text = std::fs::read(dir.join("manifest.json")).map_err(|error| refuse(&error))?;
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| refuse(&error))?;
    if images.path(&manifest.sha256).is_none() {
        images.put_file(&dir.join(&manifest.file), &manifest.sha256).await.map_err(|error| refuse(&error))?;
    }
    record(store, &manifest).await.map_err(|error| refuse(&error))
}

async fn record(store: &Store, manifest: &Manifest) -> Result<(), CommitError> {
    let name = format!("{}/{}", manifest.os, manifest.series);
    loop {
        let known = store.list::<BootResource>(SCOPE);
        let old =
            known.iter().find(|r| r.value.name == name && r.value.architecture == manifest.architecture);
        if old.is_some_and(|r| {
            r.value.sets.values().any(|s| s.files.values().any(|f| f.sha256 == manifest.sha256))
        }) {
            return Ok(());
        }
        let number = next_id::<BootResource>(store, |r| r.number).max(1);
        let file = ImageFile {
            number: known
                .iter()
                .flat_map(|r| r.value.sets.values())
                .flat_map(|s| s.files.values())
                .map(|f| f.number)
                .max()
                .unwrap_or(0)
                + 1,
            filetype: manifest.filetype.clone(),
            sha256: manifest.sha256.clone(),
            size: manifest.size,
            raw_size: Some(manifest.raw_size),
            complete: true,
        };
        let version = Timestamp::now().strftime("%Y%m%d.%H%M%S").to_string();
        let set = ImageSet { files: BTreeMap::from([(manifest.file.clone(), file)]) };
        let batch = Batch::new("region", "image.import");
        let batch = if let Some(old) = old {
            let mut resource = old.value.clone();
            resource.sets.insert(version, set);
            batch.update(SCOPE, &old.id, old.version, &resource)
        } else {
            let resource = BootResource {
                number,
                name: name.clone(),
                architecture: manifest.architecture.clone(),
                title: manifest.title.clone(),
                rtype: "Uploaded".to_owned(),
                base_image: String::new(),
                sets: BTreeMap::from([(version, set)]),
                last_deployed: None,
            };
            batch.create(SCOPE, &number.to_string(), &resource)
        };
        match store.commit(batch).await {
            Err(CommitError::Conflict { .. }) => {}
            done => return done.map(|_| ()),
        }
    }
}
