//! Composition: every service of a plane, started and stopped together.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use fleet::Fleet;
use http_base::{BindError, Metrics};
use plane_api::State;
use plane_model::{KeyText, PLANE, claim, of_tenant, setup};
use secrets::Secret;
use store::{CommitError, Store};
use tokio::{
    io::DuplexStream,
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tunnel::{Edge, PairingCode};

use crate::{
    Config, ConfigError,
    port::{Port, Web},
};

/// Fewer characters are no API key: somebody wrote one by hand.
const SHORTEST_KEY: usize = 32;

/// Why a plane does not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum PlaneError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store.
    #[error(transparent)]
    Store(#[from] CommitError),
    /// The first start.
    #[error(transparent)]
    Setup(#[from] setup::SetupError),
    /// The gateway in this process.
    #[error("the system private gateway cannot be paired: {0}")]
    System(#[from] fleet::PairError),
    /// The same.
    #[error(
        "another replica has the system private gateway: one replica has it; where that one is gone for good, delete the gateway's record first"
    )]
    SystemElsewhere,
    /// The plane's keys.
    #[error(transparent)]
    Keys(#[from] fleet::OpenError),
    /// The port.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// TLS.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    /// The API key that was given.
    #[error("{}: an API key has {SHORTEST_KEY} characters at least, all of them letters and digits", .0.display())]
    WeakKey(PathBuf),
    /// A file or folder.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A gateway in the plane's own process, as the plane sees it.
#[derive(Debug)]
pub struct SystemGateway {
    /// Its connections.
    pub streams: mpsc::Receiver<DuplexStream>,
    /// Where its pairing code goes, while it is not paired.
    pub code: Option<oneshot::Sender<PairingCode>>,
}

/// Runs a plane until `stop` becomes true.
///
/// # Errors
/// [`PlaneError`]
pub async fn run(
    config: Config,
    system: Option<SystemGateway>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), PlaneError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&config.data);
    made.map_err(file(&config.data))?;
    let store = open(&config).await?;
    let identity = setup::identity(&store).await?;
    if tenant_of(&store, &config.admin.email).is_none() {
        let admin = setup::Admin {
            organization: config.admin.organization.clone(),
            email: config.admin.email.clone(),
            password: config.admin.password_file.as_deref().map(secret_of).transpose()?,
            key: api_key(&config.admin.api_key_file)?,
        };
        setup::admin(&store, &admin).await?;
    }

    let mut fleet = Fleet::open(store.clone(), &identity)?;
    if let Some(address) = &config.replica {
        fleet = fleet.replica(address.clone());
    }
    let ca = config.data.join("ca.crt");
    fs::write(&ca, fleet.authority().pem()).map_err(file(&ca))?;
    let mut state = State::new(store.clone(), fleet.clone(), &identity);
    let web = if let Some(tls) = &config.tls {
        Web::given(tls)?
    } else {
        state = state.known_by(fleet.authority().pem().to_owned());
        Web::Own { authority: fleet.authority().clone(), names: config.names.clone() }
    };
    let gatekeeper = Arc::new(fleet.clone());
    let software = concat!("bessemer ", env!("CARGO_PKG_VERSION")).to_owned();
    let edge =
        Edge::new(fleet.authority().clone(), gatekeeper, fleet.links().clone(), fleet.reports(), software)
            .map_err(|error| PlaneError::Tls(error.to_string()))?;
    let metrics = Metrics::default();
    metrics.register(|registry| store.register(registry));
    let router = metrics.count("v1", plane_api::router(state)).merge(plane_console::router());
    let router = http_base::upkeep(metrics).fallback_service(router);
    let system = async {
        match system {
            Some(gateway) => {
                let tenant = tenant_of(&store, &config.admin.email);
                serve_system(&fleet, &edge, gateway, tenant.as_deref()).await
            }
            None => std::future::pending().await,
        }
    };
    let listener = http_base::bind(config.listen, "the plane").await?;
    tracing::info!(address = %config.listen, authority = %ca.display(), "the plane listens");
    let done = tokio::select! {
        done = Port { edge: edge.clone(), router, web }.serve(listener) => done,
        done = system => done,
        () = fleet.clone().greet() => Ok(()),
        () = async { fleet.clone().attend().await; std::future::pending().await } => Ok(()),
        () = fleet.clone().fulfil() => Ok(()),
        _ = stop.wait_for(|stop| *stop) => Ok(()),
    };
    store.close().await;
    done
}

/// Gives the gateway in this process its pairing code, and takes its connections.
async fn serve_system(
    fleet: &Fleet,
    edge: &Edge,
    mut gateway: SystemGateway,
    tenant: Option<&str>,
) -> Result<(), PlaneError> {
    if let (Some(give), Some(tenant)) = (gateway.code, tenant) {
        // Another replica's is not taken away from it.
        if fleet.is_replica() && fleet.has_system(tenant) {
            return Err(PlaneError::SystemElsewhere);
        }
        // A gateway that has gone meanwhile ends the plane by itself.
        let _ = give.send(fleet.invite_system("plane:system-gateway", tenant).await?);
    }
    let mut connections = JoinSet::new();
    while let Some(stream) = gateway.streams.recv().await {
        while connections.try_join_next().is_some() {}
        let edge = edge.clone();
        connections.spawn(async move {
            let served = match TlsAcceptor::from(edge.tls()).accept(stream).await {
                Ok(stream) => edge.serve(stream, "this process".to_owned()).await.map_err(io::Error::other),
                Err(error) => Err(error),
            };
            if let Err(error) = served {
                tracing::debug!(%error, "a connection of the system private gateway ended");
            }
        });
    }
    Ok(())
}

/// The tenant of the user with this address.
fn tenant_of(store: &Store, email: &str) -> Option<String> {
    let owner = store.holder(PLANE, claim::EMAIL, &email.to_lowercase())?;
    of_tenant(&owner).map(|(tenant, _)| tenant.to_owned())
}

/// Says, before a plane is run on it, that its database was restored from a backup. The plane's incarnation from now
/// on.
///
/// # Errors
/// [`PlaneError`]
pub async fn restored(config: &Config) -> Result<u64, PlaneError> {
    let store = open(config).await?;
    let incarnation = setup::restored(&store).await;
    store.close().await;
    Ok(incarnation?)
}

async fn open(config: &Config) -> Result<Store, CommitError> {
    match &config.database {
        Some(url) => Store::open_postgres(url.expose(), config.database_ca.as_deref()).await,
        None => Store::open_sqlite(&config.data.join("plane.db")).await,
    }
}

fn file(path: &Path) -> impl FnOnce(io::Error) -> PlaneError {
    let path = path.to_owned();
    |source| PlaneError::File { path, source }
}

fn secret_of(path: &Path) -> Result<Secret, PlaneError> {
    let text = fs::read_to_string(path).map_err(file(path))?;
    Ok(Secret::from(text.trim_end_matches(['\r', '\n'])))
}

/// The first user's API key: what is in the file, else a new one that is written there.
fn api_key(path: &Path) -> Result<KeyText, PlaneError> {
    if path.exists() {
        let key = secret_of(path)?;
        let strong = key.expose().len() >= SHORTEST_KEY
            && key.expose().bytes().all(|byte| byte.is_ascii_alphanumeric());
        return if strong { Ok(KeyText(key)) } else { Err(PlaneError::WeakKey(path.to_owned())) };
    }
    let key = KeyText::random();
    let mut written =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(file(path))?;
    written.write_all(key.0.expose().as_bytes()).map_err(file(path))?;
    written.sync_all().map_err(file(path))?;
    Ok(key)
}
