//! Operating-system images.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use store::Document;

/// An operating system that can be deployed; id: the number as text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BootResource {
    /// Number.
    pub number: u64,
    /// `os/series`, such as `debian/bookworm` or `custom/mine`.
    pub name: String,
    /// `amd64/generic`.
    pub architecture: String,
    /// For people.
    pub title: String,
    /// `Uploaded` or `Synced`.
    pub rtype: String,
    /// MAAS's `base_image`.
    pub base_image: String,
    /// By version, such as `20261122`.
    pub sets: BTreeMap<String, ImageSet>,
    /// Last use.
    pub last_deployed: Option<Timestamp>,
}

impl Document for BootResource {
    const KIND: &'static str = "boot_resource";
}

/// One version of an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImageSet {
    /// Files by name.
    pub files: BTreeMap<String, ImageFile>,
}

/// One file of an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImageFile {
    /// Number, used in upload URIs.
    pub number: u64,
    /// MAAS file type, such as `ddgz`, `ddraw`; `ddzst` is ours.
    pub filetype: String,
    /// SHA-256 of the whole, hex.
    pub sha256: String,
    /// Length of the whole.
    pub size: u64,
    /// Length of the raw disk where it is known.
    #[serde(default)]
    pub raw_size: Option<u64>,
    /// Whether all bytes are there and the hash was right.
    pub complete: bool,
}

impl BootResource {
    /// Splits the name into operating system and series; without a slash the system is `custom`.
    pub fn os_and_series(&self) -> (&str, &str) {
        self.name.split_once('/').unwrap_or(("custom", &self.name))
    }

    /// The newest set whose files are all complete, with its version.
    pub fn newest_complete(&self) -> Option<(&String, &ImageSet)> {
        self.sets
            .iter()
            .rev()
            .find(|(_, set)| !set.files.is_empty() && set.files.values().all(|f| f.complete))
    }
}
