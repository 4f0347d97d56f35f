//! The data folder.
//!
//! ```text
//! admin.kubeconfig    for administrators and the gateway
//! status.json         what runs, for `status`
//! engine.lock         held by the engine that runs, and names it
//! ports.json          ports it keeps to itself
//! encryption.yaml     the key that Secrets are encrypted with at rest
//! resolv.conf         what the processes ask for names
//! etcd/               the Kubernetes API's data
//! pki/                keys and certificates
//! users/              kubeconfigs of the processes
//! webhooks/NAME/      serving certificates of the managers' webhooks
//! logs/NAME.log       what each process writes
//! run/                pid files and sockets
//! ```

use std::path::{Path, PathBuf};

use crate::EngineError;
use crate::files;

/// Where things are in a data folder.
#[derive(Debug, Clone)]
pub(crate) struct Layout(PathBuf);

impl Layout {
    pub(crate) fn new(data: &Path) -> Self {
        Self(data.to_owned())
    }

    /// Makes the folders, and makes the paths absolute: the processes run elsewhere.
    pub(crate) fn create(data: &Path) -> Result<Self, EngineError> {
        files::private_folder(data)?;
        let layout = Self(std::fs::canonicalize(data).map_err(files::io("find", data))?);
        for folder in ["etcd", "pki", "users", "webhooks", "logs", "run"] {
            files::private_folder(&layout.0.join(folder))?;
        }
        Ok(layout)
    }

    pub(crate) fn data(&self) -> &Path {
        &self.0
    }

    pub(crate) fn admin(&self) -> PathBuf {
        self.0.join("admin.kubeconfig")
    }

    pub(crate) fn status(&self) -> PathBuf {
        self.0.join("status.json")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.0.join("engine.lock")
    }

    pub(crate) fn ports(&self) -> PathBuf {
        self.0.join("ports.json")
    }

    pub(crate) fn encryption(&self) -> PathBuf {
        self.0.join("encryption.yaml")
    }

    pub(crate) fn resolver(&self) -> PathBuf {
        self.0.join("resolv.conf")
    }

    pub(crate) fn etcd(&self) -> PathBuf {
        self.0.join("etcd")
    }

    pub(crate) fn pki(&self) -> PathBuf {
        self.0.join("pki")
    }

    pub(crate) fn authority(&self) -> PathBuf {
        self.pki().join("ca.crt")
    }

    pub(crate) fn user(&self, name: &str) -> PathBuf {
        self.0.join("users").join(format!("{name}.kubeconfig"))
    }

    pub(crate) fn webhooks(&self, name: &str) -> PathBuf {
        self.0.join("webhooks").join(name)
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.0.join("logs").join(format!("{name}.log"))
    }

    pub(crate) fn run(&self) -> PathBuf {
        self.0.join("run")
    }

    pub(crate) fn pid_file(&self, name: &str) -> PathBuf {
        self.run().join(format!("{name}.pid"))
    }
}
