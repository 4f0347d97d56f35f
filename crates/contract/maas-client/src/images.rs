//! Images: listing, uploading in pieces, deleting.

use std::{collections::BTreeMap, io, path::Path};

use bytes::Bytes;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::{fs::File, io::AsyncReadExt};

use crate::{
    Client, Error, Extra,
    client::{Body, Form},
    machines::given,
    tolerant::null_is_default,
};

/// Length of a piece of an upload, in bytes.
const PIECE: usize = 4 << 20;

/// An image.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BootResource {
    /// Number.
    pub id: i64,
    /// Such as `debian/bookworm`.
    pub name: String,
    /// Such as `amd64/generic`.
    #[serde(deserialize_with = "null_is_default")]
    pub architecture: String,
    /// `Uploaded` or `Synced`.
    #[serde(rename = "type", deserialize_with = "null_is_default")]
    pub kind: String,
    /// For people.
    #[serde(deserialize_with = "null_is_default")]
    pub title: String,
    /// Last use.
    #[serde(deserialize_with = "null_is_default")]
    pub last_deployed: String,
    /// By version; only where one image is read.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub sets: BTreeMap<String, BootSet>,
    /// The rest.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A version of an image.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BootSet {
    /// Whether all of it is there.
    pub complete: bool,
    /// Bytes.
    #[serde(deserialize_with = "null_is_default")]
    pub size: u64,
    /// By name.
    #[serde(deserialize_with = "null_is_default")]
    pub files: BTreeMap<String, BootFile>,
    /// The rest.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A file of an image.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BootFile {
    /// Such as `ddgz`.
    #[serde(deserialize_with = "null_is_default")]
    pub filetype: String,
    /// Hex.
    #[serde(deserialize_with = "null_is_default")]
    pub sha256: String,
    /// Bytes.
    #[serde(deserialize_with = "null_is_default")]
    pub size: u64,
    /// Whether all of it is there.
    pub complete: bool,
    /// Where the next piece goes, while it is not complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload_uri: Option<String>,
    /// The rest.
    #[serde(flatten)]
    pub extra: Extra,
}

/// An image to be uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewImage {
    /// Such as `debian/bookworm`.
    pub name: String,
    /// Such as `amd64/generic`.
    pub architecture: String,
    /// Such as `ddgz`; `ddzst` where the region is ours.
    pub filetype: String,
    /// For people.
    pub title: String,
    /// Of the file, hex.
    pub sha256: String,
    /// Of the file, in bytes.
    pub size: u64,
    /// Length of the disk once unpacked, where known; only our region takes it.
    pub raw_size: Option<u64>,
}

/// How far an upload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uploaded {
    /// Bytes that the region has.
    pub sent: u64,
    /// Bytes in all.
    pub total: u64,
}

/// Why an upload failed.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The region refused.
    #[error(transparent)]
    Api(#[from] Error),
    /// The file cannot be read.
    #[error("cannot read the image file: {0}")]
    File(#[from] io::Error),
    /// The file is not as long as it was said to be.
    #[error("the image file ended after {sent} of {total} bytes: it was cut short or is still being written")]
    Short {
        /// Bytes that it had.
        sent: u64,
        /// Bytes that it was said to have.
        total: u64,
    },
    /// The region does not say where the pieces go.
    #[error("the region took the image's name but does not say where its bytes go")]
    NoAddress,
}

impl Client {
    /// Images; without their sets.
    pub async fn boot_resources(&self) -> Result<Vec<BootResource>, Error> {
        self.get(&["boot-resources"], Form::new()).await
    }

    /// One image with its sets.
    pub async fn boot_resource(&self, id: i64) -> Result<BootResource, Error> {
        self.get(&["boot-resources", &id.to_string()], Form::new()).await
    }

    /// Removes an image.
    pub async fn delete_boot_resource(&self, id: i64) -> Result<(), Error> {
        self.order(Method::DELETE, &["boot-resources", &id.to_string()], Body::Empty).await
    }

    /// Names a new image; its bytes come by [`Client::upload_image`], which calls this.
    pub async fn create_boot_resource(&self, image: &NewImage) -> Result<BootResource, Error> {
        let form = given([
            ("name", Some(&image.name)),
            ("architecture", Some(&image.architecture)),
            ("filetype", Some(&image.filetype)),
            ("title", Some(&image.title)),
            ("sha256", Some(&image.sha256)),
            ("size", Some(&image.size.to_string())),
            ("raw_size", image.raw_size.map(|size| size.to_string()).as_ref()),
        ]);
        self.post(&["boot-resources"], None, form).await
    }

    /// Names an image and uploads its file in pieces of 4 MiB. Where the region has the bytes already, none are sent.
    ///
    /// # Errors
    /// [`UploadError`]; a started upload stays in the region as an incomplete image.
    pub async fn upload_image(
        &self,
        image: &NewImage,
        file: &Path,
        mut progress: impl FnMut(Uploaded) + Send,
    ) -> Result<BootResource, UploadError> {
        let mut file = File::open(file).await?;
        let created = self.create_boot_resource(image).await?;
        let mine = |file: &&BootFile| file.sha256 == image.sha256 || file.sha256.is_empty();
        let files = || created.sets.values().flat_map(|set| set.files.values()).filter(mine);
        let (mut sent, total) = (0, image.size);
        progress(Uploaded { sent, total });
        if let Some(uri) = files().find_map(|file| file.upload_uri.clone()) {
            let path = below_api(&uri);
            while sent < total {
                let piece = read_piece(&mut file, total - sent).await?;
                let length = piece.len() as u64;
                if length == 0 {
                    return Err(UploadError::Short { sent, total });
                }
                self.order(Method::PUT, &path, Body::Bytes(piece)).await?;
                sent += length;
                progress(Uploaded { sent, total });
            }
        } else if !files().any(|file| file.complete) {
            return Err(UploadError::NoAddress);
        }
        Ok(self.boot_resource(created.id).await?)
    }
}

/// Hashes a file: hex digest and length. The callback gets the bytes so far.
pub async fn sha256_of(path: &Path, mut progress: impl FnMut(u64) + Send) -> io::Result<(String, u64)> {
    let mut file = File::open(path).await?;
    let (mut hash, mut length) = (Sha256::new(), 0);
    loop {
        let piece = read_piece(&mut file, u64::MAX).await?;
        if piece.is_empty() {
            return Ok((hex::encode(hash.finalize()), length));
        }
        hash.update(&piece);
        length += piece.len() as u64;
        progress(length);
    }
}

async fn read_piece(file: &mut File, left: u64) -> io::Result<Bytes> {
    let mut piece = Vec::new();
    file.take(left.min(PIECE as u64)).read_to_end(&mut piece).await?;
    Ok(piece.into())
}

/// The path segments of an `upload_uri` below `/api/2.0/`: the region may be behind another prefix than it knows.
fn below_api(uri: &str) -> Vec<&str> {
    let path = uri.split_once("/api/2.0/").map_or(uri, |(_, path)| path);
    path.split('/').filter(|segment| !segment.is_empty()).collect()
}
