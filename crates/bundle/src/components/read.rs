//! Reading a bundle: every file that is handed out has the digest of the manifest.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::cache::FileSeal;

const MANIFEST: &str = "manifest.json";

/// `manifest.json`: what is in a bundle.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub version: u32,
    /// Version of Kubernetes, such as `v1.36.3`.
    pub kubernetes: String,
    /// All files but this one, by their path in the bundle.
    pub files: BTreeMap<String, FileSeal>,
    pub images: Vec<Image>,
}

/// A container image of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Repository and tag, such as `registry.k8s.io/pause:3.10.2`.
    pub name: String,
    /// Digest of its manifest, `sha256:…`.
    pub digest: String,
}

/// A folder with what clusters and the engine run.
#[derive(Debug, Clone)]
pub struct Bundle {
    folder: PathBuf,
    manifest: Manifest,
    digest: String,
}

/// Why a bundle cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// There is no manifest that can be read.
    #[error("{folder} is no bundle: {reason}; build one with `cargo xtask bundle`")]
    NoBundle {
        /// The folder.
        folder: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The manifest does not name what is asked for.
    #[error("the bundle {folder} has no {name}: it may be older than this program; build it again")]
    Unknown {
        /// The folder.
        folder: PathBuf,
        /// What was asked for.
        name: String,
    },
    /// A file is not what the manifest says.
    #[error(
        "{file} does not have the digest that the bundle's manifest names; it is not used: build or fetch the bundle again"
    )]
    Digest {
        /// The file.
        file: PathBuf,
    },
    /// A file cannot be read.
    #[error("cannot read a file of the bundle: {reason}; build or fetch the bundle again")]
    Unreadable {
        /// File and what the system said.
        reason: String,
    },
}

impl Bundle {
    /// Opens the bundle in `folder`. Its files are looked at when they are asked for.
    ///
    /// # Errors
    /// [`BundleError::NoBundle`].
    pub fn open(folder: &Path) -> Result<Self, BundleError> {
        let wrong = |reason: String| BundleError::NoBundle { folder: folder.to_owned(), reason };
        let text = fs::read(folder.join(MANIFEST)).map_err(|error| wrong(format!("{MANIFEST}: {error}")))?;
        let manifest: Manifest =
            serde_json::from_slice(&text).map_err(|error| wrong(format!("{MANIFEST}: {error}")))?;
        if manifest.version != 1 {
            return Err(wrong(format!("{MANIFEST} has version {}, 1 is known here", manifest.version)));
        }
        let digest = hex::encode(Sha256::digest(&text));
        Ok(Self { folder: folder.to_owned(), manifest, digest })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// SHA-256 of its manifest in hex, which names the bundle.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The version of Kubernetes, such as `v1.36.3`.
    pub fn kubernetes(&self) -> &str {
        &self.manifest.kubernetes
    }

    /// The container images.
    pub fn images(&self) -> &[Image] {
        &self.manifest.images
    }

    /// A program by its name, such as `kube-apiserver`.
    pub fn program(&self, name: &str) -> Result<PathBuf, BundleError> {
        self.file(&format!("bin/{name}"))
    }

    /// A manifest for clusters by its name, such as `cni.yaml`.
    pub fn manifest(&self, name: &str) -> Result<PathBuf, BundleError> {
        self.file(&format!("manifests/{name}"))
    }

    /// The folder of the standard CNI plugins.
    pub fn cni_plugins(&self) -> Result<PathBuf, BundleError> {
        self.below("cni/bin/").map(|_| self.folder.join("cni/bin"))
    }

    /// Definitions of Cluster API's resources, one YAML file each, in the folders `core`, `bootstrap` and
    /// `control-plane`.
    pub fn crds(&self) -> Result<Vec<PathBuf>, BundleError> {
        self.below("crds/")
    }

    /// What the Cluster API module `module` (`core`, `bootstrap`, `control-plane`) wants installed: its resource
    /// definitions, webhook configurations and roles, as YAML files.
    pub fn module(&self, module: &str) -> Result<Vec<PathBuf>, BundleError> {
        let belongs = |name: &&String| {
            name.split('/').nth(1) == Some(module)
                && Path::new(name).extension().is_some_and(|end| end == "yaml")
        };
        self.files(module, belongs)
    }

    /// The container images as an OCI layout. Its files are named by their digests; [`Bundle::verify`] looks at them.
    pub fn oci(&self) -> PathBuf {
        self.folder.join("oci")
    }

    /// Looks at every file.
    pub fn verify(&self) -> Result<(), BundleError> {
        self.below("").map(drop)
    }

    fn below(&self, prefix: &str) -> Result<Vec<PathBuf>, BundleError> {
        self.files(prefix, |name| name.starts_with(prefix))
    }

    /// The files that `belongs` picks; none of what is `called` so is an error.
    fn files(&self, called: &str, belongs: impl Fn(&&String) -> bool) -> Result<Vec<PathBuf>, BundleError> {
        let names = self.manifest.files.keys().filter(belongs);
        let files: Vec<PathBuf> = names.map(|name| self.file(name)).collect::<Result<_, _>>()?;
        if files.is_empty() {
            return Err(self.unknown(called));
        }
        Ok(files)
    }

    fn file(&self, name: &str) -> Result<PathBuf, BundleError> {
        let wanted = self.manifest.files.get(name).ok_or_else(|| self.unknown(name))?;
        let path = self.folder.join(name);
        let found =
            FileSeal::of(&path).map_err(|error| BundleError::Unreadable { reason: format!("{error:#}") })?;
        if found == *wanted { Ok(path) } else { Err(BundleError::Digest { file: path }) }
    }

    fn unknown(&self, name: &str) -> BundleError {
        BundleError::Unknown { folder: self.folder.clone(), name: name.to_owned() }
    }
}

impl Manifest {
    /// Describes what is in `folder` and writes the manifest there.
    pub(super) fn write(folder: &Path, kubernetes: &str, images: Vec<Image>) -> anyhow::Result<()> {
        let mut files = BTreeMap::new();
        describe(folder, "", &mut files)?;
        let manifest = Self { version: 1, kubernetes: kubernetes.to_owned(), files, images };
        fs::write(folder.join(MANIFEST), serde_json::to_vec_pretty(&manifest)?)?;
        Ok(())
    }
}

fn describe(folder: &Path, prefix: &str, files: &mut BTreeMap<String, FileSeal>) -> anyhow::Result<()> {
    for found in fs::read_dir(folder)? {
        let found = found?;
        let name = format!("{prefix}{}", found.file_name().display());
        if found.file_type()?.is_dir() {
            describe(&found.path(), &format!("{name}/"), files)?;
        } else {
            files.insert(name, FileSeal::of(&found.path())?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle() -> (tempfile::TempDir, Bundle) {
        let folder = tempfile::tempdir().unwrap();
        let files = [
            ("bin/kube-apiserver", "serve"),
            ("crds/core/machines.yaml", "kind: X"),
            ("manifests/cni.yaml", "kind: Y"),
        ];
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let image = Image { name: "example.local/x:1".to_owned(), digest: "sha256:00".to_owned() };
        Manifest::write(folder.path(), "v1.36.3", vec![image]).unwrap();
        let bundle = Bundle::open(folder.path()).unwrap();
        (folder, bundle)
    }

    #[test]
    fn what_was_written_is_handed_out() {
        let (folder, bundle) = bundle();
        assert_eq!(bundle.kubernetes(), "v1.36.3");
        assert_eq!(bundle.images()[0].name, "example.local/x:1");
        assert_eq!(bundle.program("kube-apiserver").unwrap(), folder.path().join("bin/kube-apiserver"));
        assert_eq!(bundle.crds().unwrap(), [folder.path().join("crds/core/machines.yaml")]);
        assert_eq!(bundle.manifest("cni.yaml").unwrap(), folder.path().join("manifests/cni.yaml"));
        bundle.verify().unwrap();
    }

    #[test]
    fn a_file_with_a_wrong_digest_is_refused_by_name() {
        let (folder, bundle) = bundle();
        fs::write(folder.path().join("bin/kube-apiserver"), "evil!").unwrap();
        for error in [bundle.program("kube-apiserver").unwrap_err(), bundle.verify().unwrap_err()] {
            assert!(matches!(error, BundleError::Digest { .. }), "{error:?}");
            assert!(error.to_string().contains("bin/kube-apiserver does not have the digest"), "{error}");
        }
        assert!(bundle.crds().is_ok(), "others are still good");
        fs::remove_file(folder.path().join("bin/kube-apiserver")).unwrap();
        let error = bundle.program("kube-apiserver").unwrap_err();
        assert!(error.to_string().contains("bin/kube-apiserver"), "{error}");
    }

    #[test]
    fn what_is_no_bundle_or_not_in_it_is_said() {
        let (folder, bundle) = bundle();
        assert!(matches!(bundle.program("etcd").unwrap_err(), BundleError::Unknown { .. }));
        fs::write(folder.path().join(MANIFEST), "{\"version\": 1, ").unwrap();
        assert!(matches!(Bundle::open(folder.path()).unwrap_err(), BundleError::NoBundle { .. }));
        let manifest = r#"{"version": 2, "kubernetes": "v2", "files": {}, "images": []}"#;
        fs::write(folder.path().join(MANIFEST), manifest).unwrap();
        let error = Bundle::open(folder.path()).unwrap_err();
        assert!(error.to_string().contains("version 2"), "{error}");
    }
}
