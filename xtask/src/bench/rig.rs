//! A region alone: the real program on loopback, in a folder that goes with it.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use model::setup::{self, AdminKey};
use secrets::Secret;
use serde::Serialize;
use store::Store;
use tempfile::TempDir;

use super::Figure;
use crate::{shell, site::tail, up};

/// How long a region may take to answer, with however many machines.
const START_LIMIT: Duration = Duration::from_mins(2);
/// What an idle region may keep in memory.
const IDLE_MIB: f64 = 60.0;
/// An idle region has done what it does at its start by then.
const SETTLED: Duration = Duration::from_secs(3);

/// The network that a region of the benchmarks knows.
pub fn network() -> setup::Network {
    setup::Network {
        cidr: ipnet::Ipv4Net::new_assert(Ipv4Addr::new(10, 20, 0, 0), 16),
        address: Ipv4Addr::new(10, 20, 0, 1),
        gateway: Some(Ipv4Addr::new(10, 20, 0, 2)),
        dynamic_start: Ipv4Addr::new(10, 20, 128, 0),
        dynamic_end: Ipv4Addr::new(10, 20, 255, 254),
        reserved: Vec::new(),
    }
}

/// A folder for a region, with its key and a store that can be filled before it starts.
pub struct Rig {
    dir: TempDir,
    /// The first user's key.
    pub key: AdminKey,
}

/// A region that runs; it ends with this.
pub struct Region {
    child: Child,
    /// Where its API listens.
    pub api: SocketAddr,
}

/// The region's configuration.
#[derive(Serialize)]
struct RegionFile<'a> {
    data: &'a Path,
    admin_key_file: PathBuf,
    ephemeral: &'a Path,
    api: SocketAddr,
    boot: SocketAddr,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    network: Vec<NetworkTable<'a>>,
}

#[derive(Serialize)]
struct NetworkTable<'a> {
    interface: &'a str,
    cidr: String,
    address: Ipv4Addr,
    dynamic: [Ipv4Addr; 2],
}

/// The program, built.
pub fn program() -> Result<PathBuf> {
    shell::run(&shell::cargo(), &["build", "--quiet", "--locked", "-p", "bessemer"])?;
    Ok(built())
}

/// Where the program is once it is built.
pub fn built() -> PathBuf {
    shell::target().join("debug/bessemer")
}

impl Rig {
    /// A region's folder; on the disk of the workspace, for a store in memory would flatter us.
    pub fn new() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("bench-").tempdir_in(shell::target())?;
        let [consumer, token, secret] = [9, 9, 16].map(secrets::random_token);
        fs::write(dir.path().join("admin.key"), format!("{consumer}:{token}:{secret}"))?;
        Ok(Self { dir, key: AdminKey { consumer, token, secret: Secret::new(secret) } })
    }

    /// Where the region keeps everything.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Its store, with the first user and [`network`]; close it before the region starts.
    pub async fn store(&self) -> Result<Store> {
        let store = Store::open_sqlite(&self.dir.path().join("region.db")).await?;
        setup::run(&store, &[network()], &self.key).await?;
        Ok(store)
    }

    /// Starts the region and waits until its API answers; it serves [`network`] on `interface` if there is one, and
    /// knows the BMCs of a file with `[[bmc]]` tables.
    pub fn start(&self, program: &Path, interface: Option<&str>, bmcs: Option<&Path>) -> Result<Region> {
        let dir = self.dir.path();
        let api = free_port()?;
        // Machines find boot HTTP at the port that firmware is told, and interfaces are those of a namespace.
        let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 5248));
        let boot = if interface.is_some() { everywhere } else { free_port()? };
        let networks = interface.map(|interface| {
            let network = network();
            NetworkTable {
                interface,
                cidr: network.cidr.to_string(),
                address: network.address,
                dynamic: [network.dynamic_start, network.dynamic_end],
            }
        });
        let config = RegionFile {
            data: dir,
            admin_key_file: dir.join("admin.key"),
            ephemeral: dir,
            api,
            boot,
            network: networks.into_iter().collect(),
        };
        let file = dir.join("region.toml");
        let bmcs = bmcs.map(fs::read_to_string).transpose()?.unwrap_or_default();
        fs::write(&file, toml::to_string(&config)? + &bmcs)?;
        let log = dir.join("region.log");
        let child = Command::new(program)
            .args(["region", "run", "--config"])
            .arg(&file)
            .env("RUST_LOG", "info")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?)
            .spawn()
            .context("cannot start the region")?;
        let mut region = Region { child, api };
        let deadline = Instant::now() + START_LIMIT;
        while TcpStream::connect(api).is_err() {
            if let Some(status) = region.child.try_wait()? {
                bail!("the region ended with {status}:\n{}", tail(&log));
            }
            if Instant::now() > deadline {
                bail!("the region does not answer:\n{}", tail(&log));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(region)
    }
}

impl Region {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it keeps in memory once it has read all that it has, in MiB.
    pub fn settled(&self) -> Result<f64> {
        std::thread::sleep(SETTLED);
        self.resident()
    }

    /// What it keeps in memory, in MiB.
    pub fn resident(&self) -> Result<f64> {
        super::resident(self.child.id())
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // Both fail only where it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What an idle region keeps in memory.
pub fn figures() -> Result<Vec<Figure>> {
    let program = program()?;
    let rig = Rig::new()?;
    up::runtime()?.block_on(async {
        rig.store().await?.close().await;
        anyhow::Ok(())
    })?;
    let region = rig.start(&program, None, None)?;
    Ok(vec![Figure::new("region.idle.resident", region.settled()?, "MiB").at_most(IDLE_MIB)])
}

fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
