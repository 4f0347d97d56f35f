//! The Kubernetes API and the managers that the gateway supervises or joins.
//!
//! [`run`] runs etcd, kube-apiserver, three of kube-controller-manager's controllers, the managers of upstream Cluster
//! API and our provider as child processes of this one, from a bundle whose files are checked first. They have a
//! certificate authority, ports, logs and a `resolv.conf` of their own; Secrets are encrypted at rest; what dies
//! comes back; nothing of it survives the engine, and an engine that was killed starts as if it had been stopped.
//! With [`EngineConfig::External`] only the provider runs here, against a Kubernetes that has Cluster API.
//!
//! [`status()`] tells another process what runs; [`server_tls`] is for servers beside the engine. What to do next is decided in [`plan`], purely.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

mod bundle;
mod child;
mod config;
mod credentials;
mod error;
mod external;
mod files;
mod health;
mod install;
mod kubeconfig;
mod layout;
mod log;
mod manifests;
mod orphans;
mod pki;
pub mod plan;
mod ports;
mod processes;
mod run;
mod status;
mod supervisor;
mod sys;
mod tls;

pub use config::{Embedded, EngineConfig, External, ProviderConfig};
pub use error::EngineError;
pub use log::LOG_LIMIT;
pub use pki::RENEW_EVERY;
pub use run::{CLUSTER_API_VERSION, run};
pub use status::{Exit, Phase, ProcessStatus, Status, status};
pub use tls::server_tls;
