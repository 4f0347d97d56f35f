//! The bundle: where the processes' programs and the Cluster API manifests come from.
//!
//! A bundle is a folder with a `manifest.json` of the size and SHA-256 of each of its files. What the engine uses of
//! it is checked against that at each start, before it is used.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::{io, thread};

use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::EngineError;
use crate::files;

/// The programs that the engine runs, in `bin`.
pub(crate) const PROGRAMS: [&str; 6] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "capi-core-manager",
    "capi-kubeadm-bootstrap-manager",
    "capi-kubeadm-control-plane-manager",
];

/// A checked bundle.
#[derive(Debug, Clone)]
pub(crate) struct Bundle {
    folder: PathBuf,
    files: BTreeMap<String, Entry>,
    /// SHA-256 of the manifest, hex: names the bundle.
    pub digest: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Manifest {
    version: u32,
    files: BTreeMap<String, Entry>,
}

#[derive(Debug, Clone, Deserialize)]
struct Entry {
    sha256: String,
    size: u64,
}

impl Bundle {
    /// Opens a bundle and checks every file of it that the engine uses.
    pub(crate) fn open(folder: &Path) -> Result<Self, EngineError> {
        let wrong = |reason: String| EngineError::Bundle { bundle: folder.to_owned(), reason };
        let folder = fs::canonicalize(folder).map_err(|error| wrong(error.to_string()))?;
        let text = fs::read(folder.join("manifest.json"))
            .map_err(|error| wrong(format!("manifest.json: {error}")))?;
        let manifest: Manifest =
            serde_json::from_slice(&text).map_err(|error| wrong(format!("manifest.json: {error}")))?;
        if manifest.version != 1 {
            return Err(wrong(format!("manifest.json has version {}", manifest.version)));
        }
        let digest = hex::encode(Sha256::digest(&text));
        let bundle = Self { folder, files: manifest.files, digest };
        for program in PROGRAMS {
            let name = format!("bin/{program}");
            if !bundle.files.contains_key(&name) {
                return Err(wrong(format!("its manifest has no {name}")));
            }
        }
        bundle.check()?;
        Ok(bundle)
    }

    /// The file of a program.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.folder.join("bin").join(name)
    }

    /// The YAML documents of the Cluster API module `module` (`core`, `bootstrap`, `control-plane`): its custom
    /// resource definitions, webhook configurations and roles, from `*/MODULE/**.yaml`.
    pub(crate) fn documents(&self, module: &str) -> Result<Vec<Value>, EngineError> {
        let mut documents = Vec::new();
        for name in self.files.keys().filter(|name| belongs(name, module)) {
            let path = self.folder.join(name);
            let text = fs::read_to_string(&path).map_err(files::io("read", &path))?;
            for document in serde_yaml_ng::Deserializer::from_str(&text) {
                let value = serde::Deserialize::deserialize(document).map_err(|error| {
                    EngineError::Bundle { bundle: self.folder.clone(), reason: format!("{name}: {error}") }
                })?;
                documents.push(value);
            }
        }
        Ok(documents.into_iter().filter(|document| !Value::is_null(document)).collect())
    }

    /// Checks the used files, the big ones beside each other.
    fn check(&self) -> Result<(), EngineError> {
        let used: Vec<(&String, &Entry)> = self
            .files
            .iter()
            .filter(|(name, _)| {
                let program = name.strip_prefix("bin/");
                let is_ours = program.is_some_and(|program| PROGRAMS.contains(&program));
                is_ours || ["core", "bootstrap", "control-plane"].iter().any(|module| belongs(name, module))
            })
            .collect();
        let half = used.len().div_ceil(2);
        let check = |part: &[(&String, &Entry)]| {
            part.iter().try_for_each(|(name, entry)| self.check_file(name, entry))
        };
        let (first, second) = used.split_at(half);
        thread::scope(|scope| {
            let other = scope.spawn(|| check(second));
            check(first)?;
            other.join().unwrap_or_else(|_| {
                Err(EngineError::Bundle { bundle: self.folder.clone(), reason: "checking it failed".into() })
            })
        })
    }

    fn check_file(&self, name: &str, entry: &Entry) -> Result<(), EngineError> {
        let path = self.folder.join(name);
        let mut digest = Sha256::new();
        let size = File::open(&path)
            .and_then(|mut file| io::copy(&mut file, &mut digest))
            .map_err(files::io("read", &path))?;
        if size == entry.size && hex::encode(digest.finalize()) == entry.sha256 {
            Ok(())
        } else {
            Err(EngineError::Digest { file: path })
        }
    }
}

fn belongs(name: &str, module: &str) -> bool {
    name.split('/').nth(1) == Some(module) && Path::new(name).extension().is_some_and(|end| end == "yaml")
}
