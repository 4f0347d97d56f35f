//! What the server is told: subnets, and the hosts it knows.

use std::{collections::HashMap, hash::BuildHasher, net::Ipv4Addr, sync::Arc};

use ipnet::Ipv4Net;
use jiff::SignedDuration;

use crate::{mac::Mac, message::Message, snippet::Setting};

/// What one server answers for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The first is the subnet of the interface itself; the others are reached through relays.
    pub subnets: Vec<Subnet>,
    /// Lease of an operating system.
    pub lease: SignedDuration,
    /// Lease of firmware (vendor class `PXEClient`), which is done with its address in seconds.
    pub boot_lease: SignedDuration,
}

impl Config {
    /// These subnets, with MAAS's lease times: 600 s, and 30 s for firmware.
    pub fn new(subnets: Vec<Subnet>) -> Self {
        Self { subnets, lease: SignedDuration::from_secs(600), boot_lease: SignedDuration::from_secs(30) }
    }

    /// How long this client may keep an address.
    pub(crate) fn lease_time(&self, client: &Message) -> SignedDuration {
        if client.vendor_is("PXEClient") { self.boot_lease } else { self.lease }
    }

    /// The subnet that a message came from: its relay's, that of the address it has, or the interface's own.
    pub fn subnet_of(&self, message: &Message) -> Option<&Subnet> {
        let containing = |ip: Ipv4Addr| self.subnets.iter().find(|subnet| subnet.cidr.contains(&ip));
        if message.giaddr.is_unspecified() {
            // A client behind a relay renews by unicast, without the relay.
            containing(message.ciaddr).or_else(|| self.subnets.first())
        } else {
            containing(message.giaddr)
        }
    }
}

/// One subnet, and what its clients are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subnet {
    /// The network.
    pub cidr: Ipv4Net,
    /// Addresses for machines without a fixed one; `None` serves known hosts only.
    pub range: Option<Range>,
    /// This server's address as the clients reach it: server identifier and next-server.
    pub server: Ipv4Addr,
    /// Base of boot HTTP, such as `http://10.20.0.1:5248`, without a slash at the end.
    pub boot_url: String,
    /// Default route.
    pub router: Option<Ipv4Addr>,
    /// Name servers.
    pub dns: Vec<Ipv4Addr>,
    /// Time servers.
    pub ntp: Vec<Ipv4Addr>,
    /// The clients' own domain.
    pub domain: Option<String>,
    /// Domain search list.
    pub search: Vec<String>,
    /// Told to clients when it is not 1500.
    pub mtu: u16,
}

impl Subnet {
    /// A subnet with a server and nothing else; boot HTTP is at port 5248 of the server.
    pub fn new(cidr: Ipv4Net, server: Ipv4Addr) -> Self {
        Self {
            cidr: cidr.trunc(),
            range: None,
            server,
            boot_url: format!("http://{server}:5248"),
            router: None,
            dns: Vec::new(),
            ntp: Vec::new(),
            domain: None,
            search: Vec::new(),
            mtu: 1500,
        }
    }

    /// Whether no client may have this address.
    pub(crate) fn is_own(&self, ip: Ipv4Addr) -> bool {
        let edge = self.cidr.prefix_len() < 31 && (ip == self.cidr.network() || ip == self.cidr.broadcast());
        edge || ip == self.server || Some(ip) == self.router
    }
}

/// A dynamic range, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Lowest address.
    pub first: Ipv4Addr,
    /// Highest address.
    pub last: Ipv4Addr,
}

impl Range {
    /// Whether the address is in the range.
    pub fn contains(&self, ip: Ipv4Addr) -> bool {
        (self.first..=self.last).contains(&ip)
    }
}

/// What is known about a machine on a subnet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Host {
    /// Its fixed address there; `None` takes one of the dynamic range.
    pub ip: Option<Ipv4Addr>,
    /// Its name.
    pub hostname: Option<String>,
}

/// The known hosts; answers from memory, for it is asked on every packet.
pub trait Directory: Send + Sync {
    /// What is known about a MAC on a subnet.
    fn host(&self, mac: Mac, on: Ipv4Net) -> Option<Host>;

    /// Whether an address of a dynamic range must not go to this MAC: it is another machine's fixed address, or
    /// set aside.
    fn is_barred(&self, ip: Ipv4Addr, mac: Mac) -> bool;

    /// Options that this MAC is told on a subnet beside the subnet's own, or in their place.
    fn options(&self, _mac: Mac, _on: Ipv4Net) -> Vec<Setting> {
        Vec::new()
    }
}

impl<D: Directory + ?Sized> Directory for Arc<D> {
    fn host(&self, mac: Mac, on: Ipv4Net) -> Option<Host> {
        (**self).host(mac, on)
    }

    fn is_barred(&self, ip: Ipv4Addr, mac: Mac) -> bool {
        (**self).is_barred(ip, mac)
    }

    fn options(&self, mac: Mac, on: Ipv4Net) -> Vec<Setting> {
        (**self).options(mac, on)
    }
}

/// A small fixed directory; looking for barred addresses walks all of it.
impl<S: BuildHasher + Send + Sync> Directory for HashMap<Mac, Host, S> {
    fn host(&self, mac: Mac, _on: Ipv4Net) -> Option<Host> {
        self.get(&mac).cloned()
    }

    fn is_barred(&self, ip: Ipv4Addr, mac: Mac) -> bool {
        self.iter().any(|(owner, host)| *owner != mac && host.ip == Some(ip))
    }
}
