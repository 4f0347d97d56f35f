//! Figures: one JSON line each, beside a peer where there is one.

mod cluster;
mod dhcp;
mod fleet;
mod machines;
mod rig;
mod tunnel;
mod up;

use std::{fs, str::FromStr};

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

use crate::{narrate::Output, packages, site::Machines};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Name {
    /// Power-on to Ready, deploy call to SSH; all of `up`, and what it takes of memory.
    Up,
    /// Listing 100, 1,000 and 10,000 machines, to the last byte.
    MachinesList,
    /// Discover, offer, request, acknowledgement: with each lease in the region's store.
    Dhcp,
    /// What an idle region keeps in memory.
    Region,
    /// A cluster's order to an answer of a Service in it; the engine's start and memory.
    Cluster,
    /// One stream through the tunnel, and what it adds to small requests.
    Tunnel,
    /// A thousand machines from power-on to Ready, and what that costs the region.
    Fleet,
}

/// What machines are made of, or how many there are: `fleet` has many of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rack {
    /// Of this kind.
    Of(Machines),
    /// So many.
    Many(u32),
}

impl FromStr for Rack {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(count) => Ok(Self::Many(count)),
            Err(_) => <Machines as clap::ValueEnum>::from_str(text, false).map(Self::Of),
        }
    }
}

impl Rack {
    fn kind(self) -> Result<Machines> {
        match self {
            Self::Of(machines) => Ok(machines),
            Self::Many(_) => bail!("only `bench fleet` takes a number of machines; name their kind"),
        }
    }

    fn count(self) -> u32 {
        match self {
            Self::Of(_) => fleet::MACHINES,
            Self::Many(count) => count,
        }
    }
}

/// One figure.
#[derive(Debug, Serialize)]
pub struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    /// Whose figure ours is held against.
    peer: Option<&'static str>,
    /// How many times ours is better than the peer's.
    ratio: Option<f64>,
    /// Most that we promise.
    #[serde(skip)]
    limit: Option<f64>,
    /// Least that we promise.
    #[serde(skip)]
    least: Option<f64>,
}

impl Figure {
    fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { name: name.into(), value, unit, peer: None, ratio: None, limit: None, least: None }
    }

    /// Promises no more than this.
    fn at_most(self, limit: f64) -> Self {
        Self { limit: Some(limit), ..self }
    }

    /// Promises no less than this.
    fn at_least(self, least: f64) -> Self {
        Self { least: Some(least), ..self }
    }

    /// Held against a peer that needed `value`.
    fn against(self, peer: &'static str, value: f64) -> Self {
        Self { peer: Some(peer), ratio: Some(value / self.value), ..self }
    }
}

/// Measures, prints, and checks.
pub fn run(name: Name, machines: Rack, output: Output, check: bool) -> Result<()> {
    match (name, fleet::is_inside()) {
        (Name::Fleet, true) => {}
        (Name::Fleet, false) => {
            packages::ensure()?;
            return fleet::in_its_own_network();
        }
        _ => packages::ensure()?,
    }
    let figures = match name {
        Name::Up => up::figures(machines.kind()?)?,
        Name::MachinesList => machines::figures()?,
        Name::Dhcp => dhcp::figures()?,
        Name::Region => rig::figures()?,
        Name::Cluster => cluster::figures(machines.kind()?)?,
        Name::Tunnel => tunnel::figures()?,
        Name::Fleet => fleet::figures(machines.count())?,
    };
    let mut short = Vec::new();
    for figure in &figures {
        match output {
            Output::Json => println!("{}", serde_json::to_string(figure)?),
            Output::Text => println!("{:<36} {:>10.2} {}", figure.name, figure.value, figure.unit),
        }
        let most = figure.limit.filter(|limit| figure.value > *limit);
        if let Some(limit) = most.or(figure.least.filter(|least| figure.value < *least)) {
            short.push(format!("{} is {:.2} {}, promised {limit}", figure.name, figure.value, figure.unit));
        }
    }
    if check && !short.is_empty() {
        bail!("figures fall short: {}", short.join("; "));
    }
    Ok(())
}

/// MiB of memory that a process has resident.
fn resident(pid: u32) -> Result<f64> {
    memory(pid, "VmRSS:")
}

/// MiB of memory under one of the names of `/proc/PID/status`.
fn memory(pid: u32, name: &str) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = text.lines().find_map(|line| line.strip_prefix(name));
    let kib = kib.and_then(|line| line.split_whitespace().next()).context("no resident memory")?;
    Ok(kib.parse::<f64>()? / 1024.0)
}
