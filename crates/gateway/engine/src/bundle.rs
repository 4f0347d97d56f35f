//! The bundle: where the processes' programs and the Cluster API manifests come from.
//!
//! What the engine uses of it is checked against the bundle's manifest at each start, before it is used.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use bundle::components::{self, BundleError};
use serde_json::Value;

use crate::EngineError;
use crate::files;

/// The programs that the engine runs.
pub(crate) const PROGRAMS: [&str; 6] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "capi-core-manager",
    "capi-kubeadm-bootstrap-manager",
    "capi-kubeadm-control-plane-manager",
];

/// A bundle whose programs are checked.
#[derive(Debug)]
pub(crate) struct Bundle(components::Bundle);

impl Bundle {
    /// Opens a bundle and checks the programs that the engine runs, the big ones beside each other.
    pub(crate) fn open(folder: &Path) -> Result<Self, EngineError> {
        let failed = |error| refused(folder, error);
        let wrong = |reason: String| EngineError::Bundle { bundle: folder.to_owned(), reason };
        let place = fs::canonicalize(folder).map_err(|error| wrong(error.to_string()))?;
        let bundle = components::Bundle::open(&place).map_err(failed)?;
        let check = |part: &[&str]| part.iter().try_for_each(|name| bundle.program(name).map(drop));
        let (first, second) = PROGRAMS.split_at(PROGRAMS.len() / 2);
        thread::scope(|scope| {
            let other = scope.spawn(|| check(second));
            check(first).map_err(failed)?;
            other.join().map_err(|_| wrong("checking it failed".into()))?.map_err(failed)
        })?;
        Ok(Self(bundle))
    }

    /// SHA-256 of the manifest, hex: names the bundle.
    pub(crate) fn digest(&self) -> &str {
        self.0.digest()
    }

    /// The file of one of [`PROGRAMS`].
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.0.folder().join("bin").join(name)
    }

    /// The YAML documents of the Cluster API module `module` (`core`, `bootstrap`, `control-plane`), checked.
    pub(crate) fn documents(&self, module: &str) -> Result<Vec<Value>, EngineError> {
        let mut documents = Vec::new();
        for path in self.0.module(module).map_err(|error| refused(self.0.folder(), error))? {
            let text = fs::read_to_string(&path).map_err(files::io("read", &path))?;
            for document in serde_yaml_ng::Deserializer::from_str(&text) {
                let value =
                    serde::Deserialize::deserialize(document).map_err(|error| EngineError::Bundle {
                        bundle: self.0.folder().to_owned(),
                        reason: format!("{}: {error}", path.display()),
                    })?;
                documents.push(value);
            }
        }
        Ok(documents.into_iter().filter(|document| !Value::is_null(document)).collect())
    }
}

fn refused(folder: &Path, error: BundleError) -> EngineError {
    let reason = match error {
        BundleError::Digest { file } => return EngineError::Digest { file },
        BundleError::Unknown { name, .. } => format!("its manifest has no {name}"),
        BundleError::NoBundle { reason, .. } | BundleError::Unreadable { reason } => reason,
    };
    EngineError::Bundle { bundle: folder.to_owned(), reason }
}
