//! Components, images, node images: build, fetch, verify.
//!
//! Three things are built here, from Debian packages of the host's own mirror and from Go modules, and kept in one
//! content-addressed [`Cache`]:
//!
//! - [`ephemeral::build`]: the small system that a machine boots over the network (`vmlinuz`, `initrd`);
//! - [`image::build`]: bootable Debian disk images (`disk.img.zst`);
//! - [`components::build`]: what clusters and the engine run, with container images.
//!
//! Nothing is installed on the host. The tools that have to be there are named by [`packages`].
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

mod agent;
mod cache;
mod command;
pub mod components;
pub mod cpio;
mod debian;
pub mod ephemeral;
pub mod image;

pub use agent::{AgentError, agent_binary};
pub use cache::{Cache, CacheError, Key, Verify};

/// Tells a person what a long build is doing, one short line at a time.
pub type Progress<'a> = &'a dyn Fn(&str);

/// Debian packages that the builds need on the host.
pub fn packages() -> &'static [&'static str] {
    &[
        "ca-certificates",
        "cpio",
        "debian-archive-keyring",
        "dosfstools",
        "e2fsprogs",
        "grub-common",
        "grub-efi-amd64-bin",
        "grub-pc-bin",
        "kmod",
        "mmdebstrap",
        "mtools",
        "squashfs-tools",
        "util-linux",
        "zstd",
    ]
}

/// Why a system could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A file that goes into the build cannot be read.
    #[error("cannot read {path}, which goes into the build: {source}")]
    Input {
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Building or keeping the result failed.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// What was built is no bundle.
    #[error(transparent)]
    Bundle(#[from] components::BundleError),
}
