//! A thousand machines switched on at once, until the region has all of them Ready; what that costs the region.
//!
//! It runs in a network namespace of its own: this program starts itself again in one. There the fleet lays its cable
//! (`lab/fleet`), and the region serves it. What a region is asked for meanwhile is its metrics, every second.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use fleet_lab::{FleetClient, Phase, PowerAction, Ready};
use rustix::process::{Pid, Signal, kill_process};

use super::{
    Figure, resident,
    rig::{Rig, built, network, program},
};
use crate::{shell, up};

/// Set in the namespace.
const INSIDE: &str = "BESSEMER_BENCH_FLEET";
/// Machines where nothing else is said, for which the promises stand.
pub const MACHINES: u32 = 1000;
/// From power-on until the last of them is Ready, on two cores with the machines beside the region.
const READY_SECONDS: f64 = 300.0;
/// What machines at rest may keep in memory, and how many they are.
const REST: (u32, f64) = (10_000, 300.0);
/// No patience beyond this.
const LIMIT: Duration = Duration::from_mins(30);
/// Pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Ticks a second in which the kernel tells processor time to programs (`USER_HZ`).
const TICKS: f64 = 100.0;
/// Bytes of kernel and initrd.
const FILE_BYTES: usize = 8 << 20;

/// Whether this is the program in the namespace.
pub fn is_inside() -> bool {
    env::var_os(INSIDE).is_some()
}

/// Builds what is measured, and starts this program again, as it was started, in a network namespace.
pub fn in_its_own_network() -> Result<()> {
    program()?;
    shell::run(&shell::cargo(), &["build", "--quiet", "--locked", "-p", "fleet-lab"])?;
    let status = Command::new("unshare")
        .arg("--net")
        .arg(env::current_exe()?)
        .args(env::args_os().skip(1))
        .env(INSIDE, "1")
        .current_dir(shell::root())
        .status()
        .context("cannot start unshare")?;
    if !status.success() {
        bail!("the benchmark failed in its network namespace; it needs root");
    }
    Ok(())
}

/// From power-on to Ready.
pub fn figures(machines: u32) -> Result<Vec<Figure>> {
    shell::output("ip", &["link", "set", "lo", "up"])?;
    let mut figures = vec![at_rest()?];
    let rig = Rig::new()?;
    for file in ["vmlinuz", "initrd"] {
        fs::write(rig.dir().join(file), vec![7; FILE_BYTES])?;
    }
    let fleet = Fleet::start(machines)?;
    let region = rig.start(&built(), Some(&fleet.ready.interface), Some(&fleet.ready.bmcs))?;
    let began = Instant::now();
    let runtime = up::runtime()?;
    let took = runtime.block_on(ready(&fleet, &region, machines))?;
    let promised = |figure: Figure, limit| if machines == MACHINES { figure.at_most(limit) } else { figure };
    figures.push(promised(Figure::new("fleet.ready.all", took.as_secs_f64(), "s"), READY_SECONDS));
    let cores = cpu(region.pid())? / began.elapsed().as_secs_f64();
    figures.push(Figure::new("fleet.region.cpu", cpu(region.pid())?, "s"));
    figures.push(Figure::new("fleet.region.cores", cores, "cores"));
    figures.push(Figure::new("fleet.region.peak", peak(region.pid())?, "MiB"));
    figures.push(Figure::new("fleet.lab.cpu", cpu(fleet.child.id())?, "s"));
    figures.push(Figure::new("fleet.lab.peak", peak(fleet.child.id())?, "MiB"));
    let counts = runtime.block_on(fleet.client.counts())?;
    for phase in Phase::ALL.into_iter().filter(|phase| *phase != Phase::Off) {
        let Some(times) = counts.times.get(&phase) else { continue };
        let name = serde_json::to_value(phase)?.as_str().unwrap_or_default().to_owned();
        figures.push(Figure::new(format!("fleet.phase.{name}.p50"), times.p50, "s"));
        figures.push(Figure::new(format!("fleet.phase.{name}.p95"), times.p95, "s"));
    }
    Ok(figures)
}

/// What a fleet of machines that are off keeps in memory.
fn at_rest() -> Result<Figure> {
    let (machines, limit) = REST;
    let fleet = Fleet::start(machines)?;
    Ok(Figure::new("fleet.lab.rest", resident(fleet.child.id())?, "MiB").at_most(limit))
}

async fn ready(fleet: &Fleet, region: &super::rig::Region, machines: u32) -> Result<Duration> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let began = Instant::now();
    fleet.client.power("*", PowerAction::On).await?;
    loop {
        let text = http.get(format!("http://{}/metrics", region.api)).send().await?.text().await?;
        let ready = text.lines().find_map(|line| line.split_once("machines{status=\"Ready\"} "));
        let ready: u32 = ready.map_or(Ok(0), |(_, count)| count.parse())?;
        let elapsed = began.elapsed();
        if elapsed.as_secs().is_multiple_of(10) || ready == machines {
            let phases = fleet.client.counts().await?.phases;
            let used = cpu(region.pid())?;
            eprintln!("  {:>4} s: {ready} Ready; region {used:.1} s of CPU; {phases:?}", elapsed.as_secs());
        }
        if ready == machines {
            return Ok(elapsed);
        }
        if elapsed > LIMIT {
            bail!("{ready} of {machines} machines were Ready after {LIMIT:?}");
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// A fleet that runs; it ends with this.
struct Fleet {
    child: Child,
    ready: Ready,
    client: FleetClient,
    _dir: tempfile::TempDir,
}

impl Fleet {
    fn start(machines: u32) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("bench-").tempdir_in(shell::target())?;
        let config = dir.path().join("fleet.toml");
        let network = network();
        let fleet = network.gateway.context("the network of the benchmarks has a gateway")?;
        let region = format!("{}/{}", network.address, network.cidr.prefix_len());
        fs::write(&config, format!("[network]\nregion = \"{region}\"\nfleet = \"{fleet}\"\n"))?;
        let mut child = Command::new(shell::target().join("debug/fleet-lab"))
            .arg(dir.path())
            .arg("--config")
            .arg(&config)
            .args(["--machines", &machines.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start fleet-lab")?;
        let mut line = String::new();
        let out = child.stdout.take().context("fleet-lab has no output")?;
        BufReader::new(out).read_line(&mut line)?;
        let ready: Ready = serde_json::from_str(&line).context("fleet-lab does not say that it is up")?;
        let client = FleetClient::new(ready.admin)?;
        Ok(Self { child, ready, client, _dir: dir })
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // Fails only where it has ended by itself.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

/// Seconds of processor time that a process has used, in user and kernel mode.
fn cpu(pid: u32) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // After the name, which may hold anything, come the fields from the third on.
    let (_, fields) = text.rsplit_once(')').context("no process name")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u32>);
    let ticks: u32 = ticks.sum::<Result<u32, _>>()?;
    Ok(f64::from(ticks) / TICKS)
}

/// MiB of memory that a process had resident at most.
fn peak(pid: u32) -> Result<f64> {
    super::memory(pid, "VmHWM:")
}
