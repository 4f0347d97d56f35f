//! From a MAC address to an interface with an address.

use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use crate::inventory;
use crate::log::say;
use crate::sys::PacketSocket;
use crate::tree::Tree;

pub mod dhcp;
mod rtnl;

use dhcp::{Exchange, Heard};

/// How long DHCP may take.
const DHCP_LIMIT: Duration = Duration::from_mins(1);
/// First time to wait for an answer; doubled up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// Longest time to wait for an answer.
const LONGEST_WAIT: Duration = Duration::from_secs(8);

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Kernel name.
    pub name: String,
    /// Kernel number.
    pub index: u32,
    /// MAC address, lower case with colons.
    pub mac: String,
}

/// An address from DHCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Our address.
    pub address: Ipv4Addr,
    /// Length of the network's prefix.
    pub prefix: u8,
    /// Default gateway.
    pub gateway: Option<Ipv4Addr>,
    /// Who gave it.
    pub server: Ipv4Addr,
}

impl fmt::Display for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} from {}", self.address, self.prefix, self.server)?;
        self.gateway.map_or(Ok(()), |gateway| write!(f, " via {gateway}"))
    }
}

/// Why there is no network.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// No such interface.
    #[error(
        "no interface has the MAC address {mac} that booted ({present}); does the boot system lack its driver?"
    )]
    NoInterface {
        /// BOOTIF.
        mac: String,
        /// What is there.
        present: String,
    },
    /// BOOTIF is missing and the choice is not clear.
    #[error(
        "the kernel command line has no BOOTIF and there is not exactly one interface ({0}); boot with the region's script"
    )]
    Ambiguous(String),
    /// DHCP is silent.
    #[error(
        "no {missing} from a DHCP server on {interface} in {:?}; check the cable, the VLAN and that the region serves DHCP there",
        DHCP_LIMIT
    )]
    NoAnswer {
        /// The message that did not come.
        missing: &'static str,
        /// Interface.
        interface: String,
    },
    /// The kernel refused.
    #[error("{what} {interface}: {source}")]
    Kernel {
        /// Which step.
        what: &'static str,
        /// Interface.
        interface: String,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Finds the interface that booted; without its MAC, the only one there is.
///
/// # Errors
/// [`NetError::NoInterface`] or [`NetError::Ambiguous`].
pub fn find(tree: &Tree, mac: Option<&str>) -> Result<Interface, NetError> {
    let all: Vec<Interface> = tree.names("sys/class/net").iter().filter_map(|n| interface(tree, n)).collect();
    let present = || {
        let list: Vec<String> = all.iter().map(|i| format!("{} {}", i.name, i.mac)).collect();
        if list.is_empty() { "there is none".to_owned() } else { format!("there are {}", list.join(", ")) }
    };
    if let Some(mac) = mac {
        // A bond or bridge may wear the same address: the physical interface goes first.
        let mut same: Vec<&Interface> = all.iter().filter(|i| i.mac == mac).collect();
        same.sort_by_key(|i| !inventory::is_physical(tree, &i.name));
        return same
            .first()
            .map(|i| (*i).clone())
            .ok_or_else(|| NetError::NoInterface { mac: mac.to_owned(), present: present() });
    }
    let physical: Vec<&Interface> = all.iter().filter(|i| inventory::is_physical(tree, &i.name)).collect();
    match physical[..] {
        [only] => Ok(only.clone()),
        _ => Err(NetError::Ambiguous(present())),
    }
}

fn interface(tree: &Tree, name: &str) -> Option<Interface> {
    let folder = format!("sys/class/net/{name}");
    let index = u32::try_from(tree.number(&format!("{folder}/ifindex"))?).ok()?;
    let mac = tree.text(&format!("{folder}/address"))?.to_ascii_lowercase();
    (tree.text(&format!("{folder}/type"))? == "1").then(|| Interface { name: name.to_owned(), index, mac })
}

/// Brings an interface up and gives it an address by DHCP.
///
/// # Errors
/// [`NetError::NoAnswer`] names the message that never came; [`NetError::Kernel`] the step that was refused.
pub fn connect(interface: &Interface) -> Result<Lease, NetError> {
    let kernel = |what| move |source| NetError::Kernel { what, interface: interface.name.clone(), source };
    if let Err(error) = rtnl::up(1) {
        say(format_args!("can't bring lo up: {error}"));
    }
    rtnl::up(interface.index).map_err(kernel("can't bring up"))?;
    let lease = negotiate(interface)?;
    rtnl::add_address(interface.index, lease.address, lease.prefix)
        .map_err(kernel("can't set an address on"))?;
    if let Some(gateway) = lease.gateway {
        rtnl::add_default_route(interface.index, gateway).map_err(kernel("can't set a default route by"))?;
    }
    Ok(lease)
}

fn negotiate(interface: &Interface) -> Result<Lease, NetError> {
    let kernel = |what| move |source| NetError::Kernel { what, interface: interface.name.clone(), source };
    let socket =
        PacketSocket::open(interface.index, Duration::from_millis(100)).map_err(kernel("can't listen on"))?;
    let began = Instant::now();
    let mut exchange = Exchange::new(mac_bytes(&interface.mac), random());
    let (mut wait, mut buffer) = (FIRST_WAIT, vec![0; 2048]);
    while began.elapsed() < DHCP_LIMIT {
        let secs = u16::try_from(began.elapsed().as_secs()).unwrap_or(u16::MAX);
        if let Err(error) = socket.broadcast(&exchange.packet(secs)) {
            // The link may still be coming up.
            say(format_args!("{}: sending {}: {error}", interface.name, exchange.sending()));
        }
        let until = Instant::now() + wait;
        let mut heard = Heard::Nothing;
        while Instant::now() < until && heard == Heard::Nothing {
            let len = socket.receive(&mut buffer).unwrap_or(0);
            heard = exchange.hear(buffer.get(..len).unwrap_or_default());
        }
        match heard {
            Heard::Lease(lease) => return Ok(lease),
            Heard::Progress => wait = FIRST_WAIT,
            Heard::Nothing => {
                wait = (wait * 2).min(LONGEST_WAIT);
                exchange.silence();
            }
        }
    }
    Err(NetError::NoAnswer { missing: exchange.missing(), interface: interface.name.clone() })
}

fn mac_bytes(mac: &str) -> [u8; 6] {
    let mut bytes = [0; 6];
    for (byte, part) in bytes.iter_mut().zip(mac.split(':')) {
        *byte = u8::from_str_radix(part, 16).unwrap_or(0);
    }
    bytes
}

/// A transaction id; unpredictable enough to tell machines that boot together apart.
fn random() -> u32 {
    use std::hash::{BuildHasher as _, Hasher as _};
    std::hash::RandomState::new().build_hasher().finish() as u32
}
