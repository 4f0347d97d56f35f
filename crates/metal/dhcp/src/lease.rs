//! Who has which address.

use std::{
    collections::{BTreeMap, HashMap},
    net::Ipv4Addr,
};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{config::Range, decide::Decision, mac::Mac};

/// An address in somebody's hands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The address.
    pub ip: Ipv4Addr,
    /// Whose it is.
    pub mac: Mac,
    /// The machine's name: the known one, else what the client calls itself.
    pub hostname: Option<String>,
    /// How it is held.
    pub state: LeaseState,
    /// When it was given, released or declined.
    pub since: Timestamp,
    /// From then on it may go to another machine.
    pub until: Timestamp,
}

impl Lease {
    /// Whether nobody else may have the address now.
    pub fn is_live(&self, now: Timestamp) -> bool {
        now < self.until
    }

    /// How long it was given for.
    pub fn duration(&self) -> SignedDuration {
        self.until.duration_since(self.since)
    }
}

/// How an address is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseState {
    /// Offered, not yet taken; never written to the journal.
    Offered,
    /// In use by the machine.
    Bound,
    /// Given back; kept so that the machine gets it again.
    Released,
    /// Found in use by somebody unknown, and put aside.
    Declined,
}

/// Why there is no address to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoAddress {
    /// The subnet has no dynamic range.
    #[error("the subnet has no dynamic range and the machine no fixed address: add one of them")]
    NoRange,
    /// Every address of the range is taken.
    #[error("the dynamic range {first}-{last} is used up; the next lease ends at {next}: make the range larger", first = .range.first, last = .range.last, next = .next.map_or_else(|| "no time".to_owned(), |t| t.to_string()))]
    Exhausted {
        /// The range.
        range: Range,
        /// When the first of its leases ends, if there is one.
        next: Option<Timestamp>,
    },
}

/// All leases, in memory.
#[derive(Debug, Clone, Default)]
pub struct Leases {
    by_ip: BTreeMap<Ipv4Addr, Lease>,
    by_mac: HashMap<Mac, Vec<Ipv4Addr>>,
}

impl Leases {
    /// Leases as a journal kept them; of several for one address the last counts.
    pub fn restore(journal: impl IntoIterator<Item = Lease>) -> Self {
        let mut leases = Self::default();
        journal.into_iter().for_each(|lease| leases.insert(lease));
        leases
    }

    /// The lease of an address, live or not.
    pub fn get(&self, ip: Ipv4Addr) -> Option<&Lease> {
        self.by_ip.get(&ip)
    }

    /// All leases, by address.
    pub fn iter(&self) -> impl Iterator<Item = &Lease> {
        self.by_ip.values()
    }

    /// The leases of a machine, the newest first.
    pub fn of(&self, mac: Mac) -> impl Iterator<Item = &Lease> {
        self.by_mac.get(&mac).into_iter().flatten().rev().filter_map(|ip| self.by_ip.get(ip))
    }

    /// Takes over what was decided.
    pub fn apply(&mut self, decision: &Decision) {
        match decision {
            // An offer must not shorten what the machine already holds.
            Decision::Offer(offer)
                if self
                    .get(offer.ip)
                    .is_some_and(|have| have.mac == offer.mac && have.until >= offer.until) => {}
            Decision::Offer(lease)
            | Decision::Ack(lease)
            | Decision::Release(lease)
            | Decision::Decline(lease) => self.insert(lease.clone()),
            Decision::Inform | Decision::Nak(_) | Decision::Ignore(_) => {}
        }
    }

    /// Drops what is known of an address: nobody has it, or gets it back.
    pub fn forget(&mut self, ip: Ipv4Addr) {
        if let Some(old) = self.by_ip.remove(&ip)
            && let Some(addresses) = self.by_mac.get_mut(&old.mac)
        {
            addresses.retain(|have| *have != ip);
            if addresses.is_empty() {
                self.by_mac.remove(&old.mac);
            }
        }
    }

    fn insert(&mut self, lease: Lease) {
        let Lease { ip, mac, .. } = lease;
        self.forget(ip);
        self.by_ip.insert(ip, lease);
        self.by_mac.entry(mac).or_default().push(ip);
    }

    /// Whether the machine may have the address as far as leases go.
    pub(crate) fn is_free(&self, ip: Ipv4Addr, mac: Mac, now: Timestamp) -> bool {
        self.get(ip).is_none_or(|lease| {
            !lease.is_live(now) || (lease.mac == mac && lease.state != LeaseState::Declined)
        })
    }

    /// An address for a machine: its old one, the one it asks for, one never used, the longest unused.
    pub(crate) fn choose(
        &self,
        mac: Mac,
        wanted: Option<Ipv4Addr>,
        range: Range,
        now: Timestamp,
        is_barred: impl Fn(Ipv4Addr) -> bool,
    ) -> Result<Ipv4Addr, NoAddress> {
        let fits = |ip: &Ipv4Addr| range.contains(*ip) && self.is_free(*ip, mac, now) && !is_barred(*ip);
        let old = || self.of(mac).map(|lease| lease.ip).find(fits);
        let wanted = || wanted.filter(|ip| !self.by_ip.contains_key(ip)).filter(fits);
        let unused = || {
            // Starting at a place given by the MAC, machines mostly keep their address even if the journal is lost.
            let (first, last) = (u32::from(range.first), u32::from(range.last));
            let size = last.checked_sub(first)?.checked_add(1)?;
            let start = first + spread(mac) % size;
            (start..=last)
                .chain(first..start)
                .map(Ipv4Addr::from)
                .find(|ip| !self.by_ip.contains_key(ip) && !is_barred(*ip))
        };
        let in_range = || {
            let valid = range.first <= range.last;
            valid
                .then(|| self.by_ip.range(range.first..=range.last))
                .into_iter()
                .flatten()
                .map(|(_, lease)| lease)
        };
        let longest_unused = || {
            in_range()
                .filter(|lease| !lease.is_live(now) && !is_barred(lease.ip))
                .min_by_key(|lease| lease.until)
                .map(|lease| lease.ip)
        };
        old().or_else(wanted).or_else(unused).or_else(longest_unused).ok_or_else(|| NoAddress::Exhausted {
            range,
            next: in_range().filter(|lease| !is_barred(lease.ip)).map(|lease| lease.until).min(),
        })
    }
}

/// FNV-1a: the same on every machine and in every version.
fn spread(mac: Mac) -> u32 {
    mac.0.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}
