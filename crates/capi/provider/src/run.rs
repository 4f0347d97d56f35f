//! The provider as a process: controllers, webhooks, health.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use axum::{Router, http::StatusCode, routing::get};
use http_base::BindError;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
    runtime::events::Recorder,
};
use tokio::sync::{OnceCell, watch};

use crate::{
    Trouble,
    shell::{self, Context, Sites},
    webhook,
};

/// What the provider is run with.
pub struct Options {
    /// The management cluster.
    pub kube: Client,
    /// The MAAS of namespaces that have no Secret [`CREDENTIALS`](crate::CREDENTIALS).
    pub maas: Option<maas_client::Client>,
    /// How the MAASes of such Secrets are asked.
    pub maas_options: maas_client::Options,
    /// Only objects of this namespace, where given.
    pub namespace: Option<String>,
    /// Webhooks, where they are served from here.
    pub webhooks: Option<Webhooks>,
    /// Where `/healthz` and `/readyz` are, by HTTP.
    pub health: Option<SocketAddr>,
}

/// How webhooks are served.
#[derive(Debug, Clone)]
pub struct Webhooks {
    /// Where, by HTTPS.
    pub address: SocketAddr,
    /// Folder with `tls.crt` and `tls.key`, PEM; read once.
    pub certificates: PathBuf,
}

impl Webhooks {
    /// On this port of 127.0.0.1.
    pub fn local(port: u16, certificates: PathBuf) -> Self {
        Self { address: (Ipv4Addr::LOCALHOST, port).into(), certificates }
    }
}

/// Why the provider cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no kubeconfig to use.
    #[error("the management cluster's kubeconfig cannot be used: {0}")]
    Kubeconfig(String),
    /// The management cluster's client cannot be made.
    #[error("no client of the management cluster: {0}")]
    Client(#[from] Box<kube::Error>),
    /// A port is taken.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Webhooks cannot be served.
    #[error(transparent)]
    Tls(#[from] webhook::TlsError),
    /// A listener failed.
    #[error("a listener failed: {0}")]
    Listener(#[from] std::io::Error),
}

/// A client of the management cluster: of a kubeconfig file, or as the environment says (a Pod's, `KUBECONFIG`).
pub async fn connect(kubeconfig: Option<&Path>) -> Result<Client, RunError> {
    let config = match kubeconfig {
        Some(file) => {
            let read =
                Kubeconfig::read_from(file).map_err(|error| RunError::Kubeconfig(error.to_string()))?;
            Config::from_custom_kubeconfig(read, &KubeConfigOptions::default())
                .await
                .map_err(|error| RunError::Kubeconfig(error.to_string()))?
        }
        None => Config::infer().await.map_err(|error| RunError::Kubeconfig(error.to_string()))?,
    };
    Client::try_from(config).map_err(|error| RunError::Client(Box::new(error)))
}

/// Runs until `stop` becomes true; steps that are under way are finished.
///
/// # Errors
/// [`RunError`] where a port or a certificate cannot be had. Neither a management cluster nor a MAAS that does not
/// answer ends it.
pub async fn run(options: Options, stop: watch::Receiver<bool>) -> Result<(), RunError> {
    let sites = Sites { default: options.maas, options: options.maas_options, known: Mutex::default() };
    let none = Trouble::of("MaasCredentials", "no namespace is at hand", jiff::SignedDuration::ZERO);
    let context = Arc::new(Context {
        recorder: Recorder::new(options.kube.clone(), "maasmachine-controller".into()),
        kube: options.kube,
        sites: Arc::new(sites),
        maas: Err(none),
        namespace: options.namespace,
    });
    let controllers = async {
        tokio::join!(
            shell::run_clusters(context.clone(), stop.clone()),
            shell::run_machines(context.clone(), stop.clone()),
        );
        Ok::<(), RunError>(())
    };
    let health = async {
        match options.health {
            Some(address) => {
                let listener = http_base::bind(address, "the provider's health").await?;
                http_base::serve(listener, health(context.clone()), stop.clone()).await?;
            }
            None => stopped(stop.clone()).await,
        }
        Ok(())
    };
    let webhooks = async {
        match options.webhooks {
            Some(webhooks) => {
                let tls = webhook::tls(&webhooks.certificates)?;
                let listener = http_base::bind(webhooks.address, "the provider's webhooks").await?;
                webhook::serve(listener, tls, stop.clone()).await?;
            }
            None => stopped(stop.clone()).await,
        }
        Ok(())
    };
    tokio::try_join!(controllers, health, webhooks).map(drop)
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Ready once its objects could be read; a management cluster that falls silent later does not change that.
fn health(context: Arc<Context>) -> Router {
    let read = Arc::new(OnceCell::new());
    let ready = move || async move {
        match read.get_or_try_init(|| context.read()).await {
            Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
            Err(error) => {
                let words = format!("the management cluster's objects cannot be read: {error}\n");
                (StatusCode::SERVICE_UNAVAILABLE, words)
            }
        }
    };
    Router::new().route("/healthz", get(|| async { "ok\n" })).route("/readyz", get(ready))
}
