//! Clusters that the plane orders: kept in the engine, rendered, applied, observed, reported.
//!
//! An order is a custom resource of the engine ([`kept`]), so it outlives this process and the gateway has no database
//! of its own. One loop ([`reconcile`]) looks at all of them and takes the next step of each; every step may be taken
//! again. What goes into a cluster itself is brought there layer by layer ([`install`]), once its API answers. What is
//! seen is a [`Report`](gateway_protocol::Report), sent to the plane whenever it has changed; while the plane is away
//! the work goes on.

mod install;
mod kept;
mod observe;
mod proxy;
mod reconcile;
mod render;

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use gateway_protocol::{Kubeconfig, Order, Problem, ProblemCode, Taken};
use intent::Registry;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig as File},
};
use secrets::Secret;
use tokio::sync::Notify;

use kept::Kept;

/// Where clusters are made, and what the site knows better than the plane.
#[derive(Debug, Clone)]
pub struct Engine {
    /// Kubeconfig of the Kubernetes that carries the Cluster API objects; read again whenever it changes.
    pub kubeconfig: PathBuf,
    /// Folder with the manifests of built-in packs.
    pub manifests: PathBuf,
    /// The program that installs charts.
    pub helm: PathBuf,
    /// Where archives of charts are kept.
    pub charts: PathBuf,
    /// Where the site's registry listens, and the PEM file of its authority.
    pub registry: Option<(SocketAddr, PathBuf)>,
    /// The site's DNS server, where it is not the region's own host.
    pub dns: Option<IpAddr>,
}

/// The clusters of a site. Cheap to clone.
#[derive(Clone)]
pub struct Clusters {
    engine: Arc<Engine>,
    /// A client, and when the file was written that it was made of.
    client: Arc<Mutex<Option<(SystemTime, Client)>>>,
    /// Orders are taken one after the other.
    taking: Arc<tokio::sync::Mutex<()>>,
    /// Something is to be done.
    wake: Arc<Notify>,
    /// The ways into clusters that were taken lately.
    ways: Arc<Mutex<HashMap<String, proxy::Way>>>,
}

impl Clusters {
    /// None are looked at yet.
    pub fn new(engine: Engine) -> Self {
        Self {
            engine: Arc::new(engine),
            client: Arc::default(),
            taking: Arc::default(),
            wake: Arc::default(),
            ways: Arc::default(),
        }
    }

    /// Keeps an order, where it is newer than what is kept.
    pub async fn take(&self, order: &Order) -> Result<Taken, Problem> {
        let _one = self.taking.lock().await;
        let client = self.client().await?;
        let newest = kept::take(&client, order).await.map_err(|error| engine(&error))?;
        self.wake.notify_one();
        Ok(Taken { generation: newest })
    }

    /// A cluster's kubeconfig, with an administrator's credentials.
    pub async fn kubeconfig(&self, uid: &str) -> Result<Kubeconfig, Problem> {
        self.found(uid).await.map(|(_, text)| Kubeconfig { text })
    }

    /// A cluster that is kept, with its kubeconfig.
    async fn found(&self, uid: &str) -> Result<(Kept, Secret), Problem> {
        let client = self.client().await?;
        let found = async {
            let Some(kept) = kept::one(&client, uid).await? else { return Ok(None) };
            Ok(kept::kubeconfig(&client, &kept).await?.map(|text| (kept, text)))
        };
        found.await.map_err(|error: kube::Error| engine(&error))?.ok_or_else(|| Problem {
            code: ProblemCode::NotFound,
            message: "the cluster has no kubeconfig yet: its control plane is not there".to_owned(),
        })
    }

    /// A client of the engine. The engine writes another kubeconfig at each of its starts.
    async fn client(&self) -> Result<Client, Problem> {
        let path = &self.engine.kubeconfig;
        let written = std::fs::metadata(path).and_then(|about| about.modified());
        let written = written.map_err(|error| engine(&format!("{}: {error}", path.display())))?;
        let lock = || self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((when, client)) = lock().as_ref()
            && *when == written
        {
            return Ok(client.clone());
        }
        let file = File::read_from(path).map_err(|error| engine(&error))?;
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
        let client =
            Client::try_from(config.map_err(|error| engine(&error))?).map_err(|error| engine(&error))?;
        *lock() = Some((written, client.clone()));
        Ok(client)
    }

    /// The site's DNS server, where it is told.
    pub(crate) fn dns(&self) -> Option<IpAddr> {
        self.engine.dns
    }

    /// Where the site's registry listens.
    pub(crate) fn registry_address(&self) -> Option<SocketAddr> {
        self.engine.registry.as_ref().map(|(address, _)| *address)
    }

    /// The site's registry, as nodes are told of it.
    fn registry(&self) -> Result<Option<Registry>, Problem> {
        let Some((address, ca)) = &self.engine.registry else { return Ok(None) };
        let pem =
            std::fs::read_to_string(ca).map_err(|error| engine(&format!("{}: {error}", ca.display())))?;
        Ok(Some(Registry { url: format!("https://{address}"), ca: Some(pem) }))
    }
}

impl std::fmt::Debug for Clusters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clusters").field("engine", &self.engine).finish_non_exhaustive()
    }
}

fn engine(error: &dyn std::fmt::Display) -> Problem {
    Problem { code: ProblemCode::Engine, message: format!("the gateway's engine does not answer: {error}") }
}
