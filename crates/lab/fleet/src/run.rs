//! A fleet from start to end.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, mpsc};

use bmc::Ca;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use crate::error::{Doing as _, FleetError};
use crate::fleet::{self, Fleet};
use crate::options::Options;
use crate::status::Ready;
use crate::{admin, bmcs, wire};

/// Where the BMCs listen.
const HTTPS: u16 = 443;

/// Runs a fleet until SIGTERM or SIGINT. Keeps its authority and the region's `[[bmc]]` tables in `dir`, and tells
/// `ready` where they are once everything answers.
///
/// # Errors
/// [`FleetError`] with what stands in the way.
pub fn run(options: Options, dir: &Path, ready: impl FnOnce(&Ready) + Send) -> Result<(), FleetError> {
    options.check()?;
    more_files();
    let listener = TcpListener::bind(options.admin).doing(|| format!("listening on {}", options.admin))?;
    let network = options.network.clone();
    let (there, left) = mpsc::channel();
    let (plugged, go) = mpsc::channel();
    std::thread::scope(|scope| {
        let inside = scope.spawn(move || {
            let left = wire::leave();
            let fine = left.is_ok();
            // Both ends live until this thread has ended.
            let _ = there.send(left);
            if !fine || go.recv().is_err() {
                return Ok(());
            }
            wire::take_up(&options.network)?;
            live(options, dir, listener, ready)
        });
        let gone = || FleetError::Options("the fleet's thread ended early".to_owned());
        let laid = left.recv().map_err(|_| gone())?.and_then(|thread| wire::plug_in(&network, thread));
        if laid.is_ok() {
            let _ = plugged.send(());
        }
        drop(plugged);
        let ended = inside.join().unwrap_or_else(|_| Err(gone()));
        laid.and(ended)
    })
}

/// In the network of the machines: every thread that is started here is there too.
fn live(
    options: Options,
    dir: &Path,
    listener: TcpListener,
    ready: impl FnOnce(&Ready),
) -> Result<(), FleetError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .doing(|| "starting the runtime".to_owned())?;
    runtime.block_on(async {
        let own = options.network.fleet;
        let relay = fleet::relay(own).await.doing(|| format!("listening for DHCP on {own}"))?;
        let front = SocketAddr::from((own, HTTPS));
        let front = tokio::net::TcpListener::bind(front).await.doing(|| format!("listening on {front}"))?;
        let ca = Ca::load_or_create(dir)?;
        let tls = ca.server_config(IpAddr::V4(own))?;
        let interface = options.network.interface.clone();
        let fleet = Arc::new(Fleet::new(options, relay));
        let bmcs = dir.join("bmcs.toml");
        std::fs::write(&bmcs, tables(&fleet, ca.path())).doing(|| format!("writing {}", bmcs.display()))?;
        let admin = listener.local_addr().doing(|| "asking for the admin address".to_owned())?;
        listener.set_nonblocking(true).doing(|| format!("listening on {admin}"))?;
        let listener =
            tokio::net::TcpListener::from_std(listener).doing(|| format!("listening on {admin}"))?;
        let mut stop = signal(SignalKind::terminate()).doing(|| "waiting for signals".to_owned())?;
        let mut interrupt = signal(SignalKind::interrupt()).doing(|| "waiting for signals".to_owned())?;
        ready(&Ready { admin, bmcs, ca: ca.path().to_owned(), interface });
        tokio::select! {
            _ = stop.recv() => Ok(()),
            _ = interrupt.recv() => Ok(()),
            () = fleet.clone().run() => Ok(()),
            ended = bmc::serve_router(front, tls, bmcs::router(fleet.clone())) => {
                ended.doing(|| "serving the BMCs".to_owned())
            }
            ended = async { axum::serve(listener, admin::router(fleet.clone())).await } => {
                ended.doing(|| "serving the admin API".to_owned())
            }
        }
    })
}

/// The BMCs as a region's configuration names them.
fn tables(fleet: &Fleet, ca: &Path) -> String {
    let account = &fleet.options.bmc;
    fleet.machines().iter().fold(String::new(), |mut text, machine| {
        // Writing to a text cannot fail.
        let _ = write!(
            text,
            "[[bmc]]\naddress = {:?}\nuser = {:?}\npassword = {:?}\nca_file = {:?}\n",
            fleet.bmc_url(&machine.board),
            account.username,
            account.password,
            ca.display().to_string()
        );
        text
    })
}

/// As many open files as may be: each machine that asks has a socket.
fn more_files() {
    let now = getrlimit(Resource::Nofile);
    let most = Rlimit { current: now.maximum, ..now };
    if let Err(error) = setrlimit(Resource::Nofile, most) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}
