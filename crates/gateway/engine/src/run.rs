//! Running an engine.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::sync::watch;

use crate::bundle::Bundle;
use crate::config::{Embedded, EngineConfig, External};
use crate::files::{self, Readers};
use crate::layout::Layout;
use crate::manifests::{self, MAAS, MODULES, Objects, Webhooks};
use crate::orphans::{self, PidFile};
use crate::pki::{Authority, RENEW_EVERY};
use crate::processes::{self, ManagerPorts, Ports, Serves};
use crate::supervisor::{Charge, Event, Supervisor};
use crate::{EngineError, credentials, external, install, ports};

/// The version of the Cluster API modules in the bundle.
pub const CLUSTER_API_VERSION: &str = "v1.14.2";

/// Runs an engine until `stop` says `true`; then ends its processes in order and returns.
///
/// # Errors
/// [`EngineError`], before anything is started where possible: the data folder is in use, the API's address is
/// taken, a file of the bundle is not what its manifest says. A process that fails later is started again.
pub async fn run(config: EngineConfig, stop: watch::Receiver<bool>) -> Result<(), EngineError> {
    let since = Timestamp::now();
    let layout = Layout::create(config.data())?;
    let _lock = lock(&layout)?;
    orphans::end(&layout.run()).await?;
    match config {
        EngineConfig::Embedded(config) => embedded(config, layout, since, stop).await,
        EngineConfig::External(config) => foreign(config, layout, since, stop).await,
    }
}

async fn embedded(
    config: Embedded,
    layout: Layout,
    since: Timestamp,
    stop: watch::Receiver<bool>,
) -> Result<(), EngineError> {
    let (api, ports) = listen(&config, &layout)?;
    let folder = config.bundle.clone();
    let bundle =
        tokio::task::spawn_blocking(move || Bundle::open(&folder)).await.unwrap_or_else(|failed| {
            Err(EngineError::Bundle { bundle: config.bundle.clone(), reason: failed.to_string() })
        })?;
    let authority = credentials::write(&layout, api, Timestamp::now())?;
    let mut specs = processes::embedded(&bundle, &layout, api, &ports);
    if let Some(provider) = &config.provider {
        specs.push(processes::provider(provider, &layout, ports.provider, Serves::Webhooks));
    }
    let objects = Arc::new(objects(&bundle, &config, &ports, &authority)?);
    let admin = layout.admin();
    let supervisor = Supervisor::new(Charge {
        since,
        resolver: resolver(&layout, config.dns)?,
        authority: Some(authority.path()),
        specs,
        install: Box::new(move || {
            let (objects, admin) = (objects.clone(), admin.clone());
            Box::pin(async move { install::install(&client(&admin).await?, &objects).await })
        }),
        server: credentials::server(api),
        bundle: Some(bundle.digest().to_owned()),
        layout: layout.clone(),
    });
    let teller = supervisor.teller();
    let renewal = async move {
        loop {
            tokio::time::sleep(RENEW_EVERY).await;
            match credentials::write(&layout, api, Timestamp::now()) {
                // Nobody listens once the engine has ended.
                Ok(_) => _ = teller.send(Event::Renewed),
                Err(error) => tracing::error!(%error, "cannot renew certificates"),
            }
        }
    };
    tokio::select! {
        done = supervisor.run(stop) => done,
        () = renewal => Ok(()),
    }
}

async fn foreign(
    config: External,
    layout: Layout,
    since: Timestamp,
    stop: watch::Receiver<bool>,
) -> Result<(), EngineError> {
    let kubeconfig =
        std::path::absolute(&config.kubeconfig).map_err(files::io("find", &config.kubeconfig))?;
    let found = client(&kubeconfig).await?;
    external::check(&found).await?;
    let [health] = ports::choose(&layout.ports())?;
    let ports = ManagerPorts { webhooks: 0, health, diagnostics: 0 };
    let serves = Serves::Nothing { kubeconfig: kubeconfig.clone() };
    let provider = config.provider.as_ref();
    let mut objects = Objects::default();
    if let Some(provider) = provider {
        manifests::fit(&MAAS, provider.manifests.clone(), None, &provider.version, &mut objects);
    }
    let objects = Arc::new(objects);
    let supervisor = Supervisor::new(Charge {
        since,
        resolver: resolver(&layout, config.dns)?,
        authority: None,
        specs: provider.map(|p| processes::provider(p, &layout, ports, serves)).into_iter().collect(),
        install: Box::new(move || {
            let (client, objects) = (found.clone(), objects.clone());
            Box::pin(async move { install::install(&client, &objects).await })
        }),
        server: read(&kubeconfig).await?.cluster_url.to_string(),
        bundle: None,
        layout,
    });
    supervisor.run(stop).await
}

/// Everything to install in an embedded engine.
fn objects(
    bundle: &Bundle,
    config: &Embedded,
    ports: &Ports,
    authority: &Authority,
) -> Result<Objects, EngineError> {
    let mut objects = Objects::default();
    manifests::common(&mut objects);
    for (module, ports) in MODULES.iter().zip(&ports.modules) {
        let webhooks = Webhooks { port: ports.webhooks, authority: authority.pem() };
        let documents = bundle.documents(module.folder)?;
        manifests::fit(module, documents, Some(webhooks), CLUSTER_API_VERSION, &mut objects);
    }
    if let Some(provider) = &config.provider {
        let webhooks = Webhooks { port: ports.provider.webhooks, authority: authority.pem() };
        manifests::fit(&MAAS, provider.manifests.clone(), Some(webhooks), &provider.version, &mut objects);
    }
    Ok(objects)
}

/// The API's address, checked to be free, and the other ports.
fn listen(config: &Embedded, layout: &Layout) -> Result<(SocketAddr, Ports), EngineError> {
    if config.listen.port() != 0 {
        ports::check(config.listen)?;
    }
    let [api, etcd, controllers, w1, h1, d1, w2, h2, d2, w3, h3, d3, w4, h4] =
        ports::choose(&layout.ports())?;
    let manager = |webhooks, health, diagnostics| ManagerPorts { webhooks, health, diagnostics };
    let modules = [manager(w1, h1, d1), manager(w2, h2, d2), manager(w3, h3, d3)];
    let api = if config.listen.port() == 0 { api } else { config.listen.port() };
    let address = SocketAddr::new(config.listen.ip(), api);
    Ok((address, Ports { etcd, controllers, modules, provider: manager(w4, h4, 0) }))
}

/// What the processes ask for names, if not the host's.
fn resolver(layout: &Layout, dns: Option<IpAddr>) -> Result<Option<PathBuf>, EngineError> {
    let Some(dns) = dns else { return Ok(None) };
    let path = layout.resolver();
    files::write(&path, format!("nameserver {dns}\noptions timeout:2\n").as_bytes(), Readers::All)?;
    Ok(Some(path))
}

/// Takes the data folder for this engine, and says so in the lock's file.
fn lock(layout: &Layout) -> Result<File, EngineError> {
    let path = layout.lock();
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(files::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => {
            return Err(EngineError::Running { data: layout.data().to_owned() });
        }
        Err(std::fs::TryLockError::Error(source)) => return Err(files::io("lock", &path)(source)),
    }
    let write = |file: &mut File| -> std::io::Result<()> {
        let this = PidFile::of(std::process::id(), &std::env::current_exe()?)?;
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(&serde_json::to_vec(&this)?)
    };
    write(&mut file).map_err(files::io("write", &path))?;
    Ok(file)
}

/// A client by a kubeconfig.
pub(crate) async fn client(kubeconfig: &Path) -> Result<Client, EngineError> {
    Client::try_from(read(kubeconfig).await?).map_err(EngineError::api("connect"))
}

async fn read(path: &Path) -> Result<Config, EngineError> {
    let wrong = |source| EngineError::Kubeconfig { path: path.to_owned(), source: Box::new(source) };
    let kubeconfig = Kubeconfig::read_from(path).map_err(wrong)?;
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.map_err(wrong)
}
