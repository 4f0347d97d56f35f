//! A read-only OCI registry over the bundle.
//!
//! Serves the images of an [OCI layout](https://github.com/opencontainers/image-spec/blob/main/image-layout.md)
//! by the [distribution API](https://github.com/opencontainers/distribution-spec/blob/main/spec.md): pull by tag and
//! by digest, ranges of blobs, tags and catalog. Images keep the names they have upstream
//! (`org.opencontainers.image.ref.name`, such as `registry.k8s.io/pause:3.10.2`), and are found
//!
//! - by path and `?ns=registry.k8s.io`, as containerd asks a mirror;
//! - by a path that begins with the host, `/v2/registry.k8s.io/pause/…`;
//! - by the path alone, where only one host has it.
//!
//! Nothing can be changed through it. What [`Registry::open`] finds is what is served: manifests are read and
//! verified then, and a blob's bytes before the first of them leaves. A blob that does not match is refused by name.
//!
//! Decisions are pure: [`Request::parse`] reads a request, [`Contents::answer`] says what to answer.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

mod contents;
mod layout;
mod refusal;
mod request;
mod serve;
mod verify;

use std::path::Path;
use std::sync::Arc;

pub use contents::{Answer, Blob, Contents, Listing, Manifest};
pub use layout::OpenError;
pub use refusal::{Code, Refusal};
pub use request::{Ask, Page, Pointer, Request};
pub use serve::serve;

/// The images of one layout, ready to be served; cheap to clone.
#[derive(Debug, Clone)]
pub struct Registry {
    contents: Arc<Contents>,
    blobs: Arc<verify::Blobs>,
}

impl Registry {
    /// Reads the layout in `folder` (`index.json`, `blobs/`). Manifests are verified now, blobs before they are
    /// first served; all have to be there.
    ///
    /// # Errors
    /// [`OpenError`] names what is missing or broken.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        let contents = layout::read(folder)?;
        let blobs = verify::Blobs::of(&contents);
        Ok(Self { contents: Arc::new(contents), blobs: Arc::new(blobs) })
    }

    /// What is served.
    pub fn contents(&self) -> &Contents {
        &self.contents
    }

    /// The API, to be served at the top of a host: its paths begin with `/v2/`.
    pub fn router(&self) -> axum::Router {
        serve::router(self.clone())
    }
}
