//! Why the engine cannot run.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the engine cannot start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A file of its own cannot be used.
    #[error("cannot {doing} {path}: {source}; check space and permissions of the engine's data folder")]
    File {
        /// What was tried.
        doing: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another engine runs on the data folder.
    #[error("another engine runs on {data}; stop it first, or name another data folder")]
    Running {
        /// The folder.
        data: PathBuf,
    },
    /// The address of the API is taken.
    #[error(
        "{address}, where the engine's Kubernetes API is to listen, cannot be used: {source}; \
         stop what listens there, or configure another address"
    )]
    Address {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// There are not enough free ports for what the engine keeps to itself.
    #[error("no {wanted} free ports between {from} and {to} on 127.0.0.1; free some")]
    Ports {
        /// How many are wanted.
        wanted: usize,
        /// The first that was tried.
        from: u16,
        /// The last that was tried.
        to: u16,
    },
    /// The bundle is not one.
    #[error(
        "{bundle} is no bundle that this engine can run: {reason}; build it anew with `cargo xtask bundle`"
    )]
    Bundle {
        /// Its folder.
        bundle: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file of the bundle is not what the manifest says.
    #[error(
        "{file} does not have the digest of the bundle's manifest; it is not started. Build or fetch the bundle anew"
    )]
    Digest {
        /// The file.
        file: PathBuf,
    },
    /// A process of an engine that was killed cannot be ended.
    #[error(
        "process {pid} ({program}) is left of an earlier engine and does not end; end it, then start again"
    )]
    Orphan {
        /// Its id.
        pid: u32,
        /// What it runs.
        program: PathBuf,
    },
    /// A certificate cannot be made.
    #[error("cannot make a certificate: {0}; if the engine's key files are damaged, restore them")]
    Certificate(#[from] rcgen::Error),
    /// A certificate that was made cannot be served.
    #[error("cannot serve a certificate: {0}; if the engine's key files are damaged, restore them")]
    Tls(#[from] rustls::Error),
    /// Talking to the Kubernetes API failed.
    #[error("cannot {doing} in the Kubernetes API: {source}")]
    Api {
        /// What was tried.
        doing: String,
        /// What it said.
        source: Box<kube::Error>,
    },
    /// A kubeconfig cannot be used.
    #[error("cannot use {path} as kubeconfig: {source}")]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Box<kube::config::KubeconfigError>,
    },
    /// A foreign Kubernetes lacks what the engine needs.
    #[error("this Kubernetes lacks what is needed of Cluster API: {}; install it with `clusterctl init`", .missing.join("; "))]
    Missing {
        /// A sentence for each thing.
        missing: Vec<String>,
    },
}

impl EngineError {
    /// Says what a call of the API was for.
    pub(crate) fn api(doing: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Api { doing, source: Box::new(source) }
    }
}
