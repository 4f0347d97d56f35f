//! The lab as a whole: made, held, taken down.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bmc::{Bmc, Ca, Credentials, Reset};
use rustix::fs::{FlockOperation, flock};
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::clean::{Note, clean_locked};
use crate::error::Doing as _;
use crate::forward::Resolve;
use crate::machine::{Accelerator, Body, Machine, Supply, probe_kvm};
use crate::program::Supervised;
use crate::uplink::Uplink;
use crate::{Forward, Kind, Options, Place, RackError, Status, control, forward, netns, tool};

/// A running lab, as its control socket sees it.
pub(crate) struct Lab {
    name: String,
    ca: PathBuf,
    pub(crate) machines: Vec<Arc<Machine>>,
    forwards: Vec<Forward>,
    pub(crate) programs: Vec<Arc<Supervised>>,
    pub(crate) uplink: Option<Uplink>,
    pub(crate) stop: Notify,
}

impl Lab {
    pub(crate) fn status(&self) -> Status {
        Status {
            name: self.name.clone(),
            pid: std::process::id(),
            netns: netns::site(&self.name),
            ca: self.ca.clone(),
            machines: self.machines.iter().map(|machine| machine.status()).collect(),
            forwards: self.forwards.clone(),
            programs: self.programs.iter().map(|program| program.status()).collect(),
        }
    }
}

/// Runs a lab until SIGTERM, SIGINT or a shutdown by its control socket. Machines are off at first.
///
/// Leftovers of an earlier lab in the same folder are removed first; disks, plates and the authority are kept.
/// The calling program must call [`crate::init_if_asked`] first in `main`.
///
/// # Errors
/// [`RackError`]; nothing is left behind then either.
pub async fn run(options: Options) -> Result<(), RackError> {
    options.check()?;
    if !rustix::process::geteuid().is_root() {
        return Err(RackError::NotRoot);
    }
    fs::create_dir_all(&options.dir).doing(|| format!("making {}", options.dir.display()))?;
    let _lock = lock(&options.dir)?;
    let dir = options.dir.clone();
    let clear = move || {
        tool::blocking({
            let dir = dir.clone();
            move || clean_locked(&dir)
        })
    };
    clear().await?;
    note(&options)?;
    let outcome = hold(options).await;
    let cleared = clear().await;
    outcome.and(cleared)
}

/// Takes the lock of a lab's folder, held while the file is open.
pub(crate) fn lock(dir: &Path) -> Result<File, RackError> {
    let path = dir.join("lock");
    let file = File::options().create(true).append(true).open(&path);
    let file = file.doing(|| format!("opening {}", path.display()))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(RackError::AlreadyRunning { dir: dir.to_owned() }),
        Err(error) => Err(error).doing(|| format!("locking {}", path.display())),
    }
}

fn note(options: &Options) -> Result<(), RackError> {
    if !netns::all(&options.name).is_empty() {
        return Err(RackError::NameTaken { name: options.name.clone() });
    }
    let machines = options.machines.iter().map(|machine| machine.name.clone()).collect();
    let text =
        serde_json::to_vec(&Note { name: options.name.clone(), machines }).map_err(std::io::Error::from);
    text.and_then(|text| fs::write(options.dir.join("lab.json"), text)).doing(|| "writing lab.json".into())
}

async fn hold(options: Options) -> Result<(), RackError> {
    let mut interrupts = signal(SignalKind::interrupt()).doing(|| "watching for SIGINT".into())?;
    let mut terminations = signal(SignalKind::terminate()).doing(|| "watching for SIGTERM".into())?;
    let mut services = JoinSet::new();
    let mut supplies = JoinSet::new();
    let lab = Arc::new(assemble(&options, &mut services, &mut supplies).await?);

    let path = options.dir.join("lab.sock");
    let socket = UnixListener::bind(&path).doing(|| format!("listening on {}", path.display()))?;
    let router = control::router(Arc::clone(&lab));
    services.spawn(async move {
        if let Err(error) = axum::serve(socket, router).await {
            tracing::error!(%error, "control socket");
        }
    });
    tracing::info!(name = lab.name, dir = %options.dir.display(), "the lab is up");
    tokio::select! {
        _ = interrupts.recv() => {}
        _ = terminations.recv() => {}
        () = lab.stop.notified() => {}
    }
    tracing::info!("the lab shuts down");
    services.shutdown().await;
    let mut offs: JoinSet<_> = lab
        .machines
        .iter()
        .cloned()
        .map(|machine| async move { bmc::Machine::reset(machine.as_ref(), Reset::ForceOff).await })
        .collect();
    while let Some(off) = offs.join_next().await {
        if let Ok(Err(error)) = off {
            tracing::warn!(%error, "switching a machine off");
        }
    }
    supplies.shutdown().await;
    Ok(())
}

async fn assemble(
    options: &Options,
    services: &mut JoinSet<()>,
    supplies: &mut JoinSet<()>,
) -> Result<Lab, RackError> {
    let ca = Ca::load_or_create(&options.dir.join("ca"))?;
    let site = netns::site(&options.name);
    let indexes = 0..u32::try_from(options.machines.len()).unwrap_or(0);
    let addresses: Vec<_> = indexes.filter_map(|index| options.bmc_address(index)).collect();
    let (name, subnet, more) = (options.name.clone(), options.subnet, addresses.clone());
    tool::blocking(move || netns::make_site(&name, subnet, &more)).await?;

    let uplink = match options.cloud.clone() {
        Some(cloud) => {
            let (name, dir, subnet) = (options.name.clone(), options.dir.clone(), options.subnet);
            Some(tool::blocking(move || Uplink::make(&name, &dir, &cloud, subnet)).await?)
        }
        None => None,
    };
    let place = |place: Place| match place {
        Place::Site => netns::site(&options.name),
        Place::Cloud => netns::cloud(&options.name),
    };

    let helper = match &options.helper {
        Some(helper) => helper.clone(),
        None => std::env::current_exe().doing(|| "finding the lab's own program".into())?,
    };
    let accelerator = if options.machines.iter().any(|machine| machine.kind == Kind::Qemu) {
        match probe_kvm(options.probe_kernel.as_deref()).await {
            Ok(()) => Accelerator::Kvm,
            Err(why) => {
                tracing::info!(%why, "QEMU machines are emulated");
                Accelerator::Tcg
            }
        }
    } else {
        Accelerator::Tcg
    };

    let mut machines = Vec::new();
    for ((index, machine), address) in options.machines.iter().enumerate().zip(addresses) {
        let body = Body::make(options, index, machine, helper.clone(), accelerator)?;
        let (listener, ssh) = forward::listen(machine.ssh_port).await?;
        let (machine, supply): (_, Supply) = Machine::new(body, address, ssh);
        let machine = Arc::new(machine);
        supplies.spawn(supply.run());

        let resolve = machine.resolver(22);
        services.spawn(forward::serve(listener, site.clone(), resolve));

        let credentials =
            Credentials { username: options.bmc.username.clone(), password: options.bmc.password.clone() };
        let controller =
            Bmc::new(Arc::clone(&machine) as _, machine.identity(), credentials, machine.faults().clone());
        let listener = netns::listen(&site, SocketAddr::from((address, 443)))?;
        let tls = ca.server_config(address.into())?;
        services.spawn(async move {
            if let Err(error) = bmc::serve(listener, tls, controller).await {
                tracing::error!(%error, "a BMC has ended");
            }
        });
        machines.push(machine);
    }

    let mut forwards = Vec::new();
    for forward in &options.forwards {
        let port = forward.port;
        let machine = forward.machine.as_ref();
        let machine = machine.and_then(|name| machines.iter().find(|machine| machine.name() == name));
        let own = SocketAddr::from((options.address(forward.place), port));
        let (target, resolve): (String, Resolve) = match machine {
            Some(machine) => (format!("{}:{port}", machine.name()), machine.resolver(port)),
            None => (own.to_string(), Arc::new(move || Ok(vec![own]))),
        };
        let (listener, listen) = forward::listen(forward.listen_port).await?;
        services.spawn(forward::serve(listener, place(forward.place), resolve));
        forwards.push(Forward { name: forward.name.clone(), listen, target });
    }

    let mut programs = Vec::new();
    for program in &options.programs {
        let netns = netns::path(&place(program.place));
        let (program, process) = Supervised::start(program, &helper, netns, &options.dir).await?;
        programs.push(Arc::clone(&program));
        services.spawn(async move { program.supervise(process).await });
    }
    Ok(Lab {
        name: options.name.clone(),
        ca: ca.path().to_owned(),
        machines,
        forwards,
        programs,
        uplink,
        stop: Notify::new(),
    })
}
