//! Disk images of Debian that boot on BIOS, on UEFI, and without any kernel in a namespace machine.
//!
//! A directory with `disk.img.zst` and `manifest.json`. The root file system holds systemd, systemd-networkd with
//! DHCP on every wired NIC, systemd-resolved, OpenSSH without host keys, and cloud-init with MAAS's data source.
//! There are no secrets in it and no password works. Nothing in it depends on names of NICs or disks.

mod disk;
mod grub;
mod node;
mod rootfs;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde::Serialize;
use uuid::Uuid;

use crate::cache::FileSeal;
use crate::command::{run, tool};
use crate::components::Bundle;
use crate::{BuildError, Cache, Key, Progress};

/// Raise it when this module's code changes what comes out.
const RECIPE: u32 = 1;

/// Bytes left in the root file system, for the first start before it is grown.
const FREE: u64 = 300 << 20;

/// What goes into an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    series: String,
    title: String,
    packages: Vec<String>,
    /// What makes it a node; none: plain Debian.
    kubernetes: Option<node::Kubernetes>,
}

impl Recipe {
    /// Debian of this series: `bookworm` (12) or `trixie` (13).
    pub fn debian(series: &str) -> Self {
        let title = match series {
            "bookworm" => "Debian 12 (bookworm)".to_owned(),
            "trixie" => "Debian 13 (trixie)".to_owned(),
            other => format!("Debian ({other})"),
        };
        let packages = rootfs::PACKAGES.iter().map(|&name| name.to_owned()).collect();
        Self { series: series.to_owned(), title, packages, kubernetes: None }
    }

    /// A node of the Kubernetes of this bundle, on Debian 12: the image `custom/debian-12-kubernetes-1.36.3`.
    pub fn node(bundle: &Bundle) -> Self {
        let kubernetes = node::Kubernetes::of(bundle);
        let debian = Self::debian("bookworm").with_packages(node::PACKAGES.iter().copied());
        let title = format!("Kubernetes {} on Debian 12", kubernetes.version);
        Self { title, kubernetes: Some(kubernetes), ..debian }
    }

    /// The image's name in MAAS: operating system and series.
    pub fn name(&self) -> (&'static str, String) {
        match &self.kubernetes {
            None => ("debian", self.series.clone()),
            Some(kubernetes) => ("custom", format!("debian-12-kubernetes-{}", kubernetes.version)),
        }
    }

    /// The same with more Debian packages in it.
    #[must_use]
    pub fn with_packages<'a>(mut self, extra: impl IntoIterator<Item = &'a str>) -> Self {
        self.packages.extend(extra.into_iter().map(str::to_owned));
        self
    }

    /// The key under which the image is cached.
    pub fn key(&self) -> Key {
        let (os, series) = self.name();
        let key = Key::new(&format!("image-{os}-{}", series.replace('.', "-")), RECIPE)
            .with("packages", self.packages.join(" "))
            .with("customize", rootfs::CUSTOMIZE)
            .with("boot", grub::CONFIG)
            .with("core", grub::CORE_CONFIG);
        let key = rootfs::FILES.iter().fold(key, |key, (path, text)| key.with(path, text));
        self.kubernetes.iter().fold(key, |key, kubernetes| kubernetes.key(key))
    }
}

/// `manifest.json`.
#[derive(Debug, Serialize)]
struct Manifest<'a> {
    version: u32,
    os: &'a str,
    series: &'a str,
    architecture: &'a str,
    filetype: &'a str,
    file: &'a str,
    sha256: String,
    size: u64,
    raw_size: u64,
    title: &'a str,
    kernel: &'a str,
}

/// Builds the image and returns its directory. Needs root, as files of many owners are made.
///
/// # Errors
/// [`BuildError`]; packages come from the host's Debian archive, so the network may be at fault.
pub fn build(cache: &Cache, recipe: &Recipe, progress: Progress<'_>) -> Result<PathBuf, BuildError> {
    let key = recipe.key();
    let built = cache.entry(&key, |folder| {
        ensure!(rustix::process::geteuid().is_root(), "only root can make a root file system: try with sudo");
        let ids = disk::Ids {
            disk: uuid(&key, "disk"),
            bios: uuid(&key, "bios"),
            esp: uuid(&key, "esp"),
            root: uuid(&key, "root"),
            filesystem: uuid(&key, "file system"),
        };
        let work = tempfile::tempdir_in(folder)?;
        let root = work.path().join("root");
        progress(&format!("installing {} ({} packages named)", recipe.title, recipe.packages.len()));
        rootfs::make(&root, &recipe.series, &recipe.packages, &work.path().join("overlay"))?;
        if let Some(kubernetes) = &recipe.kubernetes {
            progress(&format!("making it a node of Kubernetes {}", kubernetes.version));
            let scratch = work.path().join("preload");
            fs::create_dir(&scratch)?;
            kubernetes.install(&root, &scratch)?;
            fs::remove_dir_all(&scratch)?;
        }
        grub::configure(&root, ids.filesystem)?;
        let kernel = kernel_release(&root)?;
        progress("writing the disk");
        let raw = work.path().join("disk.img");
        let raw_size = disk::write(&raw, &root, FREE, &ids, work.path())?;
        progress("compressing the disk");
        let packed = folder.join("disk.img.zst");
        run(tool("zstd").args(["-q", "-12", "-T0"]).arg(&raw).arg("-o").arg(&packed))?;
        write_manifest(folder, recipe, raw_size, &kernel)
    })?;
    Ok(built)
}

fn write_manifest(folder: &Path, recipe: &Recipe, raw_size: u64, kernel: &str) -> anyhow::Result<()> {
    let (os, series) = recipe.name();
    let FileSeal { sha256, size } = FileSeal::of(&folder.join("disk.img.zst"))?;
    let manifest = Manifest {
        version: 1,
        os,
        series: &series,
        architecture: "amd64/generic",
        filetype: "ddzst",
        file: "disk.img.zst",
        sha256,
        size,
        raw_size,
        title: &recipe.title,
        kernel,
    };
    fs::write(folder.join("manifest.json"), serde_json::to_vec_pretty(&manifest)?)?;
    Ok(())
}

/// What `uname -r` will say: the kernel that `/vmlinuz` points to.
fn kernel_release(root: &Path) -> anyhow::Result<String> {
    let link = fs::read_link(root.join("vmlinuz")).context("the root has no /vmlinuz")?;
    let name = link.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    Ok(name
        .strip_prefix("vmlinuz-")
        .with_context(|| format!("/vmlinuz points to {}", link.display()))?
        .to_owned())
}

fn uuid(key: &Key, purpose: &str) -> Uuid {
    uuid::Builder::from_custom_bytes(key.bytes(purpose)).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_follows_series_and_packages() {
        let plain = Recipe::debian("trixie");
        assert_eq!(plain.key().folder(), Recipe::debian("trixie").key().folder());
        assert_ne!(plain.key().folder(), Recipe::debian("bookworm").key().folder());
        assert_ne!(plain.key().folder(), plain.clone().with_packages(["containerd"]).key().folder());
        assert!(plain.key().folder().starts_with("image-debian-trixie-"));
    }
}
