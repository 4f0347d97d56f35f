//! Reading an OCI layout: its index, and every manifest that hangs below it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use oci_spec::distribution::Reference;
use oci_spec::image::{
    ANNOTATION_REF_NAME, Descriptor, Digest, DigestAlgorithm, ImageIndex, ImageManifest, MediaType,
};
use sha2::{Digest as _, Sha256};

use crate::contents::{Blob, Contents, Manifest, Repository};

/// Manifests are small; one that is not is refused unread. What other registries take.
const MANIFEST_LIMIT: u64 = 4 << 20;

/// Why a layout cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}; build the bundle again")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not what it ought to be.
    #[error("{path} {why}; build the bundle again")]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// An image's name cannot be used.
    #[error("the image name `{name}` in {index} {why}")]
    Name {
        /// The name.
        name: String,
        /// The index that has it.
        index: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// Reads the layout in `folder`.
pub(crate) fn read(folder: &Path) -> Result<Contents, OpenError> {
    let path = folder.join("index.json");
    let index = ImageIndex::from_reader(&*read_small(&path)?).map_err(|error| broken(&path, error))?;
    let mut contents = Contents::default();
    for descriptor in index.manifests() {
        let name = descriptor.annotations().as_ref().and_then(|notes| notes.get(ANNOTATION_REF_NAME));
        let Some(name) = name else { continue };
        let refuse = |why: String| OpenError::Name { name: name.clone(), index: path.clone(), why };
        let reference: Reference = name.parse().map_err(|error| refuse(format!("is none: {error}")))?;
        let tag = reference.tag().ok_or_else(|| refuse("has no tag".into()))?.to_owned();
        let key = (reference.registry().to_owned(), reference.repository().to_owned());
        let mut repository = contents.repositories.remove(&key).unwrap_or_default();
        take_manifest(folder, descriptor, &mut repository, &mut contents)?;
        let digest = descriptor.digest().to_string();
        if repository.tags.insert(tag, digest.clone()).is_some_and(|other| other != digest) {
            return Err(refuse("stands there twice, for different images".into()));
        }
        contents.repositories.insert(key, repository);
    }
    Ok(contents)
}

/// Takes a manifest or an index, and all below it.
fn take_manifest(
    folder: &Path,
    descriptor: &Descriptor,
    repository: &mut Repository,
    contents: &mut Contents,
) -> Result<(), OpenError> {
    let digest = descriptor.digest().to_string();
    if !repository.manifests.insert(digest.clone()) {
        return Ok(());
    }
    let path = blob_path(folder, descriptor.digest())?;
    let bytes = read_small(&path)?;
    if format!("sha256:{}", hex::encode(Sha256::digest(&bytes))) != digest {
        return Err(broken(&path, "does not have the digest that its name says"));
    }
    if is_index(descriptor.media_type()) {
        let index = ImageIndex::from_reader(&*bytes).map_err(|error| broken(&path, error))?;
        for child in index.manifests() {
            take_manifest(folder, child, repository, contents)?;
        }
    } else {
        let manifest = ImageManifest::from_reader(&*bytes).map_err(|error| broken(&path, error))?;
        for child in std::iter::once(manifest.config()).chain(manifest.layers()) {
            take_blob(folder, child, repository, contents)?;
        }
    }
    let media_type = descriptor.media_type().to_string();
    contents.manifests.insert(digest.clone(), Manifest { digest, media_type, bytes });
    Ok(())
}

fn take_blob(
    folder: &Path,
    descriptor: &Descriptor,
    repository: &mut Repository,
    contents: &mut Contents,
) -> Result<(), OpenError> {
    let (digest, size) = (descriptor.digest().to_string(), descriptor.size());
    let path = blob_path(folder, descriptor.digest())?;
    let found = fs::metadata(&path).map_err(|source| OpenError::Io { path: path.clone(), source })?.len();
    if found != size {
        return Err(broken(&path, format!("has {found} bytes instead of {size}")));
    }
    repository.blobs.insert(digest.clone());
    contents.blobs.insert(digest.clone(), Blob { digest, size, path });
    Ok(())
}

fn is_index(media_type: &MediaType) -> bool {
    const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    *media_type == MediaType::ImageIndex || media_type.to_string() == DOCKER_LIST
}

/// Only SHA-256 is known here, as nothing else is ever built.
fn blob_path(folder: &Path, digest: &Digest) -> Result<PathBuf, OpenError> {
    match digest.algorithm() {
        DigestAlgorithm::Sha256 => Ok(folder.join("blobs/sha256").join(digest.digest())),
        other => Err(broken(folder, format!("uses {other} digests; sha256 is wanted"))),
    }
}

fn read_small(path: &Path) -> Result<Vec<u8>, OpenError> {
    let io = |source| OpenError::Io { path: path.to_owned(), source };
    let size = fs::metadata(path).map_err(io)?.len();
    if size > MANIFEST_LIMIT {
        return Err(broken(path, format!("is too large for a manifest ({size} bytes)")));
    }
    fs::read(path).map_err(io)
}

fn broken(path: &Path, why: impl std::fmt::Display) -> OpenError {
    OpenError::Broken { path: path.to_owned(), why: why.to_string() }
}
