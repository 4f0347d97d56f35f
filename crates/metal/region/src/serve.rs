//! Composition: every service of a region, started and stopped together.

use std::{
    fs::{File, TryLockError},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use http_base::{BindError, Metrics};
use images::Images;
use model::{
    Machines,
    setup::{self, AdminKey},
};
use reconcile::Queue;
use secrets::Secret;
use store::{CommitError, Store};
use tokio::{sync::watch, task::JoinSet};

use crate::{
    bmcs::{Bmcs, Control},
    config::{Config, ConfigError, Network},
    figures::{Dhcp, Figures, Now},
    import,
    leases::{self, Known},
    reconciler::Reconciler,
};

/// Why a region does not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum RegionError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store.
    #[error(transparent)]
    Store(#[from] CommitError),
    /// A port.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A port of another protocol.
    #[error("{0}")]
    Port(String),
    /// Two regions would overwrite each other's work.
    #[error("another region is running on the data folder {}; end it, or give this one a folder of its own", .0.display())]
    InUse(PathBuf),
    /// A file or folder.
    #[error("{what}: {source}")]
    File {
        /// Which.
        what: String,
        /// Why.
        source: std::io::Error,
    },
    /// A service ended by itself.
    #[error("{0} ended: {1}")]
    Ended(&'static str, String),
}

/// Runs a region until `stop` becomes true.
pub async fn run(config: Config, stop: watch::Receiver<bool>) -> Result<(), RegionError> {
    let file = |what: &Path| {
        let what = what.display().to_string();
        move |source| RegionError::File { what, source }
    };
    std::fs::create_dir_all(&config.data).map_err(file(&config.data))?;
    let _alone = alone_in(&config.data)?;
    let store = match &config.database {
        Some(url) => Store::open_postgres(url.expose(), config.database_ca.as_deref()).await?,
        None => Store::open_sqlite(&config.data.join("region.db")).await?,
    };
    let admin = admin_key(&config.admin_key_file).map_err(file(&config.admin_key_file))?;
    let networks: Vec<_> = config.networks.iter().map(Network::setup).collect();
    setup::run(&store, &networks, &admin).await?;

    let image_dir = config.data.join("images");
    let images = Images::open(&image_dir).map_err(file(&image_dir))?;
    let machines = Machines::new(store.clone());
    let figures = Figures::default();
    let bmcs = Bmcs::new(&config.bmcs, figures.clone()).map_err(file(Path::new("a ca_file of [[bmc]]")))?;
    let metrics = Metrics::default();
    let mut services = JoinSet::new();
    let mut pools = Vec::new();

    // Ports first: a region that cannot have one says so before it does anything.
    let api = http_base::bind(config.api, "the MAAS API").await?;
    let boot = http_base::bind(config.boot, "boot HTTP").await?;
    for network in &config.networks {
        let socket = dhcp::bind(&network.interface, dhcp::SERVER_PORT)
            .map_err(|e| RegionError::Port(e.to_string()))?;
        let known = Known { machines: machines.clone(), figures: figures.clone() };
        let changes = store.watch(store.revision());
        let server = Arc::new(Dhcp::new(
            dhcp_config(network),
            leases::restore(&machines),
            known.clone(),
            known.clone(),
            known,
        ));
        let range = dhcp::Range { first: network.dynamic.0, last: network.dynamic.1 };
        pools.push((network.cidr.to_string(), server.clone(), range));
        let (serving, machines) = (server.clone(), machines.clone());
        services.spawn(async move { match serving.run(socket).await {} });
        services.spawn(async move {
            leases::forget_deleted(&server, &machines, changes).await;
            Ok(("DHCP", "the store is closed".to_owned()))
        });
    }
    let dns = crate::names::spawn(&mut services, &config, &machines, &figures).await?;

    for dir in &config.images {
        if let Err(error) = import::import(&store, &images, dir).await {
            tracing::error!(%error, "image not taken in");
        }
    }

    let base = config
        .networks
        .first()
        .map_or_else(String::new, |n| format!("http://{}:{}", n.address, config.boot.port()));
    let system = import::system(&config.ephemeral).map_err(file(&config.ephemeral))?;
    let agents = metadata::Agents { machines: machines.clone(), base: base.clone(), system }.router();
    let cloud_init = metadata::CloudInit { machines: machines.clone() }.router();
    let boot_service = boot::Boot {
        machines: machines.clone(),
        images: images.clone(),
        ephemeral: config.ephemeral.clone(),
        base,
    };
    let boot_routes = boot_service.router().merge(agents).merge(cloud_init.clone());
    let boot_routes = metrics.count("boot", boot_routes).merge(http_base::upkeep(metrics.clone()));
    let power = Arc::new(Control { machines: machines.clone(), bmcs: bmcs.clone() });
    let state = maas_api::State::new(machines.clone(), images, power, maas_api::Settings::default());
    let api_routes = metrics.count("api", maas_api::router(Arc::new(state)).merge(cloud_init));
    let api_routes = api_routes.merge(http_base::upkeep(metrics.clone()));
    let queue = Queue::new();
    metrics.register(|registry| {
        store.register(registry);
        figures.register(registry);
        let now = Now { machines: machines.clone(), queue: queue.clone(), dns, dhcp: pools };
        registry.register_collector(Box::new(now));
    });
    for (name, listener, routes) in [("boot HTTP", boot, boot_routes), ("the MAAS API", api, api_routes)] {
        let stop = stop.clone();
        services.spawn(async move {
            http_base::serve(listener, routes, stop).await.map(|()| (name, "asked to stop".to_owned()))
        });
    }
    services.spawn(async move {
        Reconciler { machines, bmcs, queue, figures }.run().await;
        Ok(("the reconciler", String::new()))
    });
    tracing::info!(api = %config.api, boot = %config.boot, "region is up");
    supervise(services, stop).await
}

/// Holds the data folder for this process; the system lets go of it however the process ends.
fn alone_in(data: &Path) -> Result<File, RegionError> {
    let path = data.join("lock");
    let failed = |source| RegionError::File { what: path.display().to_string(), source };
    let lock = File::create(&path).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(RegionError::InUse(data.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Waits for the order to stop, or for a service that ends without it.
async fn supervise(
    mut services: JoinSet<std::io::Result<(&'static str, String)>>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), RegionError> {
    let asked = stop.clone();
    tokio::select! {
        _ = stop.wait_for(|stop| *stop) => Ok(()),
        ended = services.join_next() => match ended {
            _ if *asked.borrow() => Ok(()),
            Some(Ok(Ok((name, why)))) => Err(RegionError::Ended(name, why)),
            Some(Ok(Err(error))) => Err(RegionError::Ended("a service", error.to_string())),
            Some(Err(error)) => Err(RegionError::Ended("a service", error.to_string())),
            None => Ok(()),
        },
    }
}

fn dhcp_config(network: &Network) -> dhcp::Config {
    let mut subnet = dhcp::Subnet::new(network.cidr, network.address);
    subnet.range = Some(dhcp::Range { first: network.dynamic.0, last: network.dynamic.1 });
    subnet.router = network.gateway;
    subnet.dns = vec![network.address];
    subnet.ntp = vec![network.address];
    subnet.domain = Some("maas".to_owned());
    subnet.search = vec!["maas".to_owned()];
    dhcp::Config::new(vec![subnet])
}

/// The first user's key: from its file, or made and written there.
fn admin_key(path: &Path) -> std::io::Result<AdminKey> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let key = [9, 9, 16].map(secrets::random_token).join(":");
            let mut options = std::fs::OpenOptions::new();
            options.write(true).create_new(true).mode(0o600).open(path)?.write_all(key.as_bytes())?;
            key
        }
        Err(error) => return Err(error),
    };
    let bad = || std::io::Error::new(std::io::ErrorKind::InvalidData, "expected consumer:token:secret");
    let mut parts = text.trim().splitn(3, ':');
    let mut next = || parts.next().filter(|part| !part.is_empty()).ok_or_else(bad);
    Ok(AdminKey { consumer: next()?.to_owned(), token: next()?.to_owned(), secret: Secret::new(next()?) })
}
