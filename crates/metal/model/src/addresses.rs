//! Addresses of machines: which are free, who gets them, and how they are given back.
//!
//! An address belongs to whoever holds the claim `ip` on it: a machine by its system id, a user (`user:NAME`), or a
//! MAC address for which it is reserved (`mac:MAC`, with a [`ReservedIp`]). Claims are taken in the same batch as the
//! link that shows the address, so whatever happens at once, no address is given twice: the second batch is refused
//! with [`store::CommitError::Taken`], and decides again.

use std::{
    collections::{HashMap, HashSet},
    net::Ipv4Addr,
    sync::Arc,
};

use jiff::Timestamp;
use store::{Batch, Store, Stored};

use crate::{
    IpRange, Lease, Link, LinkMode, Machine, Nic, RangeKind, ReservedIp, SCOPE, Subnet, ops::OpError,
};

/// The claim's namespace.
const CLAIM: &str = "ip";

/// Who holds the claim on an address that is reserved for a MAC address.
pub fn reserver(mac: &str) -> String {
    format!("mac:{mac}")
}

/// What is known of addresses, read once for several picks of one machine.
#[derive(Debug)]
pub struct Known<'s> {
    store: &'s Store,
    system_id: &'s str,
    ranges: Vec<Arc<Stored<IpRange>>>,
    leases: HashMap<Ipv4Addr, Arc<Stored<Lease>>>,
    reserved: HashMap<Ipv4Addr, Arc<Stored<ReservedIp>>>,
    /// What the machine has already, and what was picked since.
    own: HashSet<Ipv4Addr>,
}

/// An address that the machine may have: it has it once a batch with [`Claim::add`] is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Claim {
    /// The address.
    pub ip: Ipv4Addr,
    /// Version of the reservation that it has the address by.
    reservation: Option<u64>,
}

impl Claim {
    /// Claims the address in the batch that shows it. A reservation's own claim keeps others off, as long as there is
    /// the reservation.
    pub fn add(self, batch: Batch, system_id: &str) -> Batch {
        let id = self.ip.to_string();
        match self.reservation {
            Some(version) => batch.expect::<ReservedIp>(SCOPE, &id, version),
            None => batch.claim(SCOPE, CLAIM, &id, system_id),
        }
    }
}

impl<'s> Known<'s> {
    /// As it is now, for this machine.
    pub fn of(store: &'s Store, system_id: &'s str, machine: &Machine) -> Self {
        let leases = store.list::<Lease>(SCOPE).into_iter().map(|lease| (lease.value.ip, lease)).collect();
        let reserved = store.list::<ReservedIp>(SCOPE).into_iter().map(|one| (one.value.ip, one)).collect();
        let own = machine.links().filter_map(|(_, link)| link.ip).collect();
        Self { store, system_id, ranges: store.list(SCOPE), leases, reserved, own }
    }

    /// An address of a subnet for an interface: the one that is reserved for its MAC address, or the first free one.
    /// `None` where none is free.
    pub fn take(&mut self, mac: &str, subnet: &Subnet) -> Option<Claim> {
        let kept = self
            .reserved
            .values()
            .map(|one| &one.value)
            .find(|one| one.mac == mac && one.subnet == subnet.number && !self.own.contains(&one.ip));
        let ip = match kept {
            Some(reserved) => reserved.ip,
            None => free(subnet, &self.ranges, |ip| self.is_taken(ip))?,
        };
        self.hold(mac, ip)
    }

    /// This address for an interface; `None` where it is taken, also by the machine itself.
    pub fn hold(&mut self, mac: &str, ip: Ipv4Addr) -> Option<Claim> {
        let leased = self.leases.get(&ip).is_some_and(|lease| {
            let lease = &lease.value;
            lease.mac != mac && lease.state == "bound" && lease.expires > Timestamp::now()
        });
        let reserved = self.reserved.get(&ip);
        let held = match reserved {
            Some(one) => one.value.mac != mac,
            None => self.store.holder(SCOPE, CLAIM, &ip.to_string()).is_some_and(|by| by != self.system_id),
        };
        let reservation = reserved.map(|one| one.version);
        (!leased && !held && self.own.insert(ip)).then_some(Claim { ip, reservation })
    }

    fn is_taken(&self, ip: Ipv4Addr) -> bool {
        self.own.contains(&ip)
            || self.leases.contains_key(&ip)
            || self.reserved.contains_key(&ip)
            || self.store.holder(SCOPE, CLAIM, &ip.to_string()).is_some()
    }
}

/// The first address that may be given: of a managed subnet outside of every range, of another in its reserved ones.
fn free(
    subnet: &Subnet,
    ranges: &[Arc<Stored<IpRange>>],
    is_taken: impl Fn(Ipv4Addr) -> bool,
) -> Option<Ipv4Addr> {
    let ranges: Vec<&IpRange> =
        ranges.iter().map(|range| &range.value).filter(|range| range.subnet == subnet.number).collect();
    let within = |ip: Ipv4Addr, range: &IpRange| (range.start..=range.end).contains(&ip);
    let ours = |ip: Ipv4Addr| {
        if subnet.managed {
            !ranges.iter().any(|range| within(ip, range))
        } else {
            ranges.iter().any(|range| range.kind == RangeKind::Reserved && within(ip, range))
        }
    };
    subnet.cidr.hosts().find(|ip| {
        Some(*ip) != subnet.gateway
            && !subnet.dns_servers.contains(&std::net::IpAddr::V4(*ip))
            && ours(*ip)
            && !is_taken(*ip)
    })
}

/// Gives the boot interface an automatic link to its VLAN's subnet, unless it has links or is part of another
/// interface; MAAS does so when a machine is commissioned.
pub fn link_boot_nic(store: &Store, machine: &mut Machine) {
    let Some(number) = machine.boot_nic().map(|nic| nic.number) else { return };
    if crate::children(&machine.nics, number).next().is_some() {
        return;
    }
    let Some(nic) = machine.nics.iter_mut().find(|nic| nic.number == number && nic.links.is_empty()) else {
        return;
    };
    let subnets = store.list::<Subnet>(SCOPE);
    let Some(subnet) = subnets.iter().find(|subnet| Some(subnet.value.vlan) == nic.vlan) else { return };
    nic.links.push(Link {
        number: nic.number,
        mode: LinkMode::Auto,
        subnet: Some(subnet.value.number),
        ip: None,
    });
}

/// Claims an address for every automatic link that has none; a deployment begins with that.
///
/// # Errors
/// [`OpError::Exhausted`] where a subnet has none left.
pub fn claim_automatic(
    store: &Store,
    system_id: &str,
    machine: &mut Machine,
    mut batch: Batch,
) -> Result<Batch, OpError> {
    link_boot_nic(store, machine);
    let mut known = Known::of(store, system_id, machine);
    let subnets = store.list::<Subnet>(SCOPE);
    for Nic { mac, links, .. } in machine.nics.iter_mut().filter(|nic| !nic.disabled) {
        for link in links.iter_mut().filter(|link| link.mode == LinkMode::Auto && link.ip.is_none()) {
            let Some(subnet) = subnets.iter().find(|s| Some(s.value.number) == link.subnet) else { continue };
            let claim = known.take(mac, &subnet.value).ok_or_else(|| exhausted(&subnet.value))?;
            link.ip = Some(claim.ip);
            batch = claim.add(batch, system_id);
        }
    }
    Ok(batch)
}

/// What is said where a subnet has no address left.
pub fn exhausted(subnet: &Subnet) -> OpError {
    OpError::Exhausted(format!("No more IPs available in subnet: {}.", subnet.cidr))
}

/// Gives the addresses of automatic links back, with their leases.
pub fn release_automatic(store: &Store, system_id: &str, machine: &mut Machine, batch: Batch) -> Batch {
    let links = machine.nics.iter_mut().flat_map(|nic| nic.links.iter_mut());
    let released: Vec<_> =
        links.filter(|link| link.mode == LinkMode::Auto).filter_map(|link| link.ip.take()).collect();
    released.into_iter().fold(batch, |batch, ip| release(store, system_id, ip, batch))
}

/// Gives back the addresses that a machine `was` shown with and `is` no longer.
pub fn release_lost(store: &Store, system_id: &str, was: &Machine, is: &Machine, batch: Batch) -> Batch {
    let kept: HashSet<Ipv4Addr> = is.links().filter_map(|(_, link)| link.ip).collect();
    let lost = was.links().filter_map(|(_, link)| link.ip).filter(|ip| !kept.contains(ip));
    lost.fold(batch, |batch, ip| release(store, system_id, ip, batch))
}

/// Gives an address of a machine back, with its lease; one that is reserved for its MAC address stays reserved.
fn release(store: &Store, system_id: &str, ip: Ipv4Addr, mut batch: Batch) -> Batch {
    let id = ip.to_string();
    if let Some(lease) = store.get::<Lease>(SCOPE, &id) {
        batch = batch.delete::<Lease>(SCOPE, &id, lease.version);
    }
    if store.holder(SCOPE, CLAIM, &id).as_deref() == Some(system_id) {
        batch = batch.unclaim(SCOPE, CLAIM, &id, system_id);
    }
    batch
}
