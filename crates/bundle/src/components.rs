//! What clusters and the engine run: Kubernetes, etcd, Cluster API and the rest, built from pinned Go modules.
//!
//! `components/` at the top of the repository pins them. Each is built into a cache entry of its own with the host's
//! Go; one more entry, the bundle, puts them together:
//!
//! - `bin/`: programs; `cni/bin/`: CNI plugins;
//! - `crds/MODULE/`, `webhooks/MODULE/`, `rbac/MODULE/` for the modules `core`, `bootstrap` and `control-plane` of
//!   Cluster API: YAML as the modules have it, before kustomize;
//! - `manifests/cni.yaml`: the pod network, to be applied to clusters;
//! - `oci/`: container images as an OCI layout; `index.json` names them by `org.opencontainers.image.ref.name`;
//! - `manifest.json`: `{"version": 1, "kubernetes": "v1.36.3", "files": {PATH: {"sha256", "size"}}, "images":
//!   [{"name", "digest"}]}`.

mod golang;
mod images;
mod network_root;
mod oci;
mod pins;
mod read;

use std::fs;
use std::path::{Path, PathBuf};

pub use read::{Bundle, BundleError, Image};

use crate::{BuildError, Cache, CacheError, Key, Progress};
use golang::Toolchain;
use read::Manifest;

/// Raise it when this module's code, or that of images, changes what comes out.
const RECIPE: u32 = 2;

/// The pod network's manifest.
const CNI_MANIFEST: &str = include_str!("../../../components/cni/manifest.yaml");

/// Builds all that is not in the cache, and opens the bundle. Needs Go, and root for the images' Debian packages.
///
/// # Errors
/// [`BuildError`]; modules come from the Go proxy and packages from the host's Debian archive, so the network may be
/// at fault.
pub fn build(cache: &Cache, progress: Progress<'_>) -> Result<Bundle, BuildError> {
    let toolchain =
        Toolchain::of_host().map_err(|cause| CacheError::Build { entry: "components".to_owned(), cause })?;
    let components = pins::ALL
        .iter()
        .map(|component| golang::build(cache, component, &toolchain, progress))
        .collect::<Result<Vec<PathBuf>, _>>()?;
    let root = network_root::build(cache, progress)?;
    let folder = cache.entry(&key(&components), |folder| {
        progress("putting the bundle together");
        assemble(folder, &components, &root, progress)
    })?;
    Ok(Bundle::open(&folder)?)
}

fn key(components: &[PathBuf]) -> Key {
    let key = Key::new("bundle", RECIPE).with("cni", CNI_MANIFEST).with("root", network_root::key().folder());
    let key = images::all().iter().fold(key, |key, image| key.with("image", format!("{image:?}")));
    // Folders in the cache are named by all that went into them.
    let names = components.iter().filter_map(|folder| folder.file_name());
    names.fold(key, |key, name| key.with("component", name.as_encoded_bytes()))
}

fn assemble(
    folder: &Path,
    components: &[PathBuf],
    root: &Path,
    progress: Progress<'_>,
) -> anyhow::Result<()> {
    for component in components {
        link_tree(component, folder)?;
    }
    fs::create_dir(folder.join("manifests"))?;
    fs::write(folder.join("manifests/cni.yaml"), CNI_MANIFEST)?;
    let images = images::write(&folder.join("oci"), folder, root, progress)?;
    Manifest::write(folder, pins::KUBERNETES.version(), images)
}

/// Makes the same files, without their bytes where the file system allows it; the cache's own files stay behind.
fn link_tree(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for found in fs::read_dir(from)? {
        let found = found?;
        let (path, place) = (found.path(), to.join(found.file_name()));
        if found.file_type()?.is_dir() {
            link_tree(&path, &place)?;
        } else if !found.file_name().as_encoded_bytes().starts_with(b".")
            && fs::hard_link(&path, &place).is_err()
        {
            fs::copy(&path, &place)?;
        }
    }
    Ok(())
}
