//! The cable between the network that the fleet is started in and the machines' own.
//!
//! The machines' side lies in a network namespace without a name, which goes with the process, however that ends, and
//! takes the cable along. There every address of the subnet is local, so that one process speaks from thousands; on
//! the region's side all of them are behind the fleet's one, so that no neighbour table overflows.

use std::process::{Command, Stdio};

use rustix::thread::Pid;

use crate::error::{Doing as _, FleetError};
use crate::options::Network;
use crate::sys;

/// The machines' end.
const THEIRS: &str = "machines";

/// Leaves this thread's network for a new one; answers the thread, by which the other side finds it.
pub fn leave() -> Result<Pid, FleetError> {
    if !rustix::process::geteuid().is_root() {
        return Err(FleetError::NotRoot);
    }
    sys::leave_network().doing(|| "making a network namespace".to_owned())?;
    Ok(rustix::thread::gettid())
}

/// Lays the cable from here to the network of `thread`, and sets this end up.
pub fn plug_in(network: &Network, thread: Pid) -> Result<(), FleetError> {
    let Network { interface, region, fleet } = network;
    let (own, subnet, thread) = (region.addr(), region.trunc(), thread.as_raw_nonzero());
    ip(&format!("link add {interface} type veth peer name {THEIRS} netns {thread}"))?;
    ip(&format!("addr add {own}/32 dev {interface}"))?;
    ip(&format!("link set {interface} up"))?;
    ip(&format!("route add {fleet}/32 dev {interface} src {own}"))?;
    ip(&format!("route add {subnet} via {fleet} src {own}"))
}

/// Sets the other end up, in the network of the machines.
pub fn take_up(network: &Network) -> Result<(), FleetError> {
    let Network { region, fleet, .. } = network;
    ip("link set lo up")?;
    ip(&format!("link set {THEIRS} up"))?;
    ip(&format!("route add local {} dev lo", region.trunc()))?;
    // The one address of the subnet that is not here.
    ip(&format!("route add {}/32 dev {THEIRS} table local scope link src {fleet}", region.addr()))
}

fn ip(line: &str) -> Result<(), FleetError> {
    let output = Command::new("ip")
        .args(line.split_whitespace())
        .stdin(Stdio::null())
        .output()
        .doing(|| format!("starting `ip {line}` (is ip installed?)"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(FleetError::Tool { command: format!("ip {line}"), output: said })
}
