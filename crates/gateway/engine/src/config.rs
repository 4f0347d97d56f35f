//! What the engine is told.

use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::layout::Layout;

/// Which Kubernetes carries the Cluster API objects.
#[derive(Debug, Clone)]
pub enum EngineConfig {
    /// One of its own: child processes from a bundle.
    Embedded(Embedded),
    /// Any Kubernetes that has Cluster API; only our provider runs here.
    External(External),
}

/// An engine of its own.
#[derive(Debug, Clone)]
pub struct Embedded {
    /// Folder for everything it keeps; made, for its owner only, if it is not there.
    pub data: PathBuf,
    /// Folder of the bundle: `manifest.json`, `bin`, `crds`, …
    pub bundle: PathBuf,
    /// Where the Kubernetes API listens. With port 0 a free one is chosen, and kept over restarts while it is free.
    pub listen: SocketAddr,
    /// The DNS server that the processes ask, on port 53: the region's. `None` for those of the host.
    pub dns: Option<IpAddr>,
    /// Our provider.
    pub provider: Option<ProviderConfig>,
}

/// A Kubernetes that is there already.
#[derive(Debug, Clone)]
pub struct External {
    /// Folder for what the engine keeps.
    pub data: PathBuf,
    /// How to reach it.
    pub kubeconfig: PathBuf,
    /// As for [`Embedded`].
    pub dns: Option<IpAddr>,
    /// Our provider, unless it runs in that Kubernetes itself. It serves no webhooks from here.
    pub provider: Option<ProviderConfig>,
}

/// How to run our provider, as one more process that can die and come back by itself.
///
/// The program is started with `arguments` and then, as the upstream managers, `--kubeconfig FILE` and
/// `--health-addr IP:PORT` (`/readyz` by HTTP) and, in an embedded engine, `--webhook-port PORT` (HTTPS on 127.0.0.1)
/// and `--webhook-cert-dir FOLDER` (`tls.crt`, `tls.key`).
#[derive(Clone)]
pub struct ProviderConfig {
    /// The program: this one, mostly ([`std::env::current_exe`]).
    pub program: PathBuf,
    /// Its first arguments, such as a subcommand.
    pub arguments: Vec<OsString>,
    /// Set in its environment, such as `MAAS_ENDPOINT` and `MAAS_API_KEY`. Not kept anywhere.
    pub environment: Vec<(String, String)>,
    /// Its custom resource definitions, webhook configurations and cluster roles, as `clusterctl` would get them.
    pub manifests: Vec<Value>,
    /// Its version, such as `v0.1.0`.
    pub version: String,
}

impl fmt::Debug for ProviderConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The environment holds keys.
        f.debug_struct("ProviderConfig")
            .field("program", &self.program)
            .field("arguments", &self.arguments)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl Embedded {
    /// An engine with the usual settings: API at 127.0.0.1:6443, the host's DNS, no provider.
    pub fn new(data: impl Into<PathBuf>, bundle: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            bundle: bundle.into(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 6443)),
            dns: None,
            provider: None,
        }
    }
}

impl EngineConfig {
    /// Folder for everything the engine keeps.
    pub fn data(&self) -> &Path {
        match self {
            Self::Embedded(embedded) => &embedded.data,
            Self::External(external) => &external.data,
        }
    }

    /// The certificate of the engine's own authority, a PEM file: `DATA/pki/ca.crt`. Whoever is to trust what it
    /// serves is given this.
    pub fn authority(&self) -> PathBuf {
        Layout::new(self.data()).authority()
    }

    /// The kubeconfig by which administrators and the gateway reach the Kubernetes API: `DATA/admin.kubeconfig`, or
    /// the one that was given.
    pub fn kubeconfig(&self) -> PathBuf {
        match self {
            Self::Embedded(embedded) => embedded.data.join("admin.kubeconfig"),
            Self::External(external) => external.kubeconfig.clone(),
        }
    }
}
