//! Network namespaces of a lab: the site with its bridge, and one for each namespace machine.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::Ipv4Net;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::error::Doing as _;
use crate::firmware::INTERFACE;
use crate::tool;
use crate::{Cable, RackError};

/// Where `ip netns` keeps namespaces.
const FOLDER: &str = "/run/netns";
/// The site's bridge.
pub(crate) const BRIDGE: &str = "br0";

/// Name of a lab's site namespace.
pub(crate) fn site(lab: &str) -> String {
    format!("bsm-{lab}-site")
}

/// Name of a lab's cloud namespace.
pub(crate) fn cloud(lab: &str) -> String {
    format!("bsm-{lab}-cloud")
}

/// Name of the namespace of a machine. The dot keeps labs whose names begin alike apart.
pub(crate) fn machine(lab: &str, machine: &str) -> String {
    format!("bsm-{lab}.{machine}")
}

/// The file of a namespace.
pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(FOLDER).join(name)
}

/// Makes the site: the bridge with its address and the BMCs' addresses, no way out.
pub(crate) fn make_site(lab: &str, subnet: Ipv4Net, more: &[Ipv4Addr]) -> Result<(), RackError> {
    let name = site(lab);
    tool::run(&format!("ip netns add {name}"))?;
    tool::run(&format!("ip -n {name} link set lo up"))?;
    tool::run(&format!("ip -n {name} link add {BRIDGE} type bridge stp_state 0 forward_delay 0"))?;
    tool::run(&format!("ip -n {name} addr add {subnet} dev {BRIDGE}"))?;
    for address in more {
        tool::run(&format!("ip -n {name} addr add {address}/{} dev {BRIDGE}", subnet.prefix_len()))?;
    }
    tool::run(&format!("ip -n {name} link set {BRIDGE} up"))?;
    Ok(())
}

/// Makes a machine's namespace anew, its `eth0` plugged into the site's bridge.
pub(crate) fn plug_in_machine(
    lab: &str,
    name: &str,
    index: usize,
    mac: &str,
    cable: Cable,
) -> Result<(), RackError> {
    let (site, namespace, port) = (site(lab), machine(lab, name), machine_port(index));
    remove(&namespace)?;
    tool::run(&format!("ip netns add {namespace}"))?;
    // A namespace dies some time after its name; its end of the cable may still be there.
    if let Err(error) = tool::run(&format!("ip -n {site} link del {port}")) {
        tracing::debug!(%error, "no old cable");
    }
    tool::run(&format!(
        "ip link add {port} netns {site} type veth peer name {INTERFACE} address {mac} netns {namespace}"
    ))?;
    tool::run(&format!("ip -n {site} link set {port} master {BRIDGE}"))?;
    tool::run(&format!("ip -n {namespace} link set lo up"))?;
    set_port(lab, &port, cable)
}

/// Makes a tap for a QEMU machine, plugged into the site's bridge; returns its name.
pub(crate) fn plug_in_tap(lab: &str, index: usize, cable: Cable) -> Result<String, RackError> {
    let (site, port) = (site(lab), tap_port(index));
    let there = tool::run(&format!("ip -n {site} link show {port}")).is_ok();
    if !there {
        tool::run(&format!("ip -n {site} tuntap add {port} mode tap"))?;
        tool::run(&format!("ip -n {site} link set {port} master {BRIDGE}"))?;
    }
    set_port(lab, &port, cable)?;
    Ok(port)
}

/// The bridge's port for a namespace machine.
pub(crate) fn machine_port(index: usize) -> String {
    format!("veth{index}")
}

/// The bridge's port for a QEMU machine.
pub(crate) fn tap_port(index: usize) -> String {
    format!("tap{index}")
}

/// Plugs the cable into a port of the bridge, or pulls it; a port that is not there yet has none.
pub(crate) fn set_port(lab: &str, port: &str, cable: Cable) -> Result<(), RackError> {
    let site = site(lab);
    let state = match cable {
        Cable::Plugged => "up",
        Cable::Pulled => "down",
    };
    if tool::run(&format!("ip -n {site} link show {port}")).is_ok() {
        tool::run(&format!("ip -n {site} link set {port} {state}"))?;
    }
    Ok(())
}

/// Removes a namespace if it is there.
pub(crate) fn remove(name: &str) -> Result<(), RackError> {
    if path(name).exists() {
        tool::run(&format!("ip netns del {name}"))?;
    }
    Ok(())
}

/// Every namespace of a lab that is there.
pub(crate) fn all(lab: &str) -> Vec<String> {
    let (own, machines) = ([site(lab), cloud(lab)], format!("bsm-{lab}."));
    let entries = std::fs::read_dir(FOLDER).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| own.contains(name) || name.starts_with(&machines))
        .collect()
}

/// Runs `work` on a thread of its own inside a namespace. What it opens stays there.
pub(crate) fn inside<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let file = File::open(path(name))?;
    let thread = std::thread::spawn(move || {
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
        work()
    });
    thread.join().unwrap_or_else(|_| Err(io::Error::other("a thread in a network namespace panicked")))
}

/// Listens inside a namespace.
pub(crate) fn listen(name: &str, address: SocketAddr) -> Result<tokio::net::TcpListener, RackError> {
    inside(name, move || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    })
    .and_then(tokio::net::TcpListener::from_std)
    .doing(|| format!("listening on {address} in {name}"))
}

/// Connects inside a namespace, to the first address that answers.
pub(crate) fn connect(name: &str, addresses: Vec<SocketAddr>, limit: Duration) -> io::Result<TcpStream> {
    inside(name, move || {
        let mut last = io::Error::new(io::ErrorKind::HostUnreachable, "its address is not known yet");
        for address in addresses {
            match TcpStream::connect_timeout(&address, limit) {
                Ok(stream) => {
                    stream.set_nonblocking(true)?;
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    })
}

/// Addresses at which a MAC was seen in the site, the surest first.
pub(crate) fn neighbours(lab: &str, mac: &str) -> Result<Vec<Ipv4Addr>, RackError> {
    let table = tool::run(&format!("ip -n {} -4 neigh show dev {BRIDGE}", site(lab)))?;
    Ok(neighbours_in(&table, mac))
}

fn neighbours_in(table: &str, mac: &str) -> Vec<Ipv4Addr> {
    let mut found: Vec<(u8, Ipv4Addr)> = table
        .lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let address = words.first()?.parse().ok()?;
            let rank = match *words.last()? {
                "REACHABLE" => 0,
                "DELAY" | "PROBE" => 1,
                "STALE" | "PERMANENT" => 2,
                _ => return None,
            };
            words.contains(&mac).then_some((rank, address))
        })
        .collect();
    found.sort_unstable();
    found.into_iter().map(|(_, address)| address).collect()
}

/// Addresses that a namespace machine has on its interface.
pub(crate) fn machine_addresses(lab: &str, name: &str) -> Result<Vec<Ipv4Addr>, RackError> {
    let list = tool::run(&format!("ip -n {} -4 -o addr show dev {INTERFACE}", machine(lab, name)))?;
    let address = |line: &str| line.split_whitespace().nth(3)?.split('/').next()?.parse().ok();
    Ok(list.lines().filter_map(address).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_by_mac_the_surest_first() {
        let table = "10.20.0.50 lladdr 52:54:00:00:00:01 STALE\n10.20.0.51 lladdr 52:54:00:00:00:01 REACHABLE\n\
                     10.20.0.52 FAILED\n10.20.0.53 lladdr 52:54:00:00:00:02 REACHABLE\n";
        let found = neighbours_in(table, "52:54:00:00:00:01");
        assert_eq!(found, [Ipv4Addr::new(10, 20, 0, 51), Ipv4Addr::new(10, 20, 0, 50)]);
    }
}
