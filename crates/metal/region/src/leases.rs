//! DHCP on top of the store: known hosts, durable leases, and signs of life.

use std::{collections::HashSet, io, net::Ipv4Addr};

use dhcp::{Decision, Directory, Events, Host, Journal, Lease, LeaseState, Leases, Mac, MessageType};
use ipnet::Ipv4Net;
use jiff::Timestamp;
use lifecycle::Signal;
use model::{Machines, SCOPE};
use store::{Batch, CommitError, Watch, WatchEnd};

use crate::figures::{Dhcp, Figures};

/// Everything that DHCP asks of the region.
#[derive(Debug, Clone)]
pub struct Known {
    pub machines: Machines,
    pub figures: Figures,
}

impl Directory for Known {
    fn host(&self, mac: Mac, on: Ipv4Net) -> Option<Host> {
        let mac = mac.to_string();
        let machine = self.machines.by_mac(&mac)?;
        let nic = machine.value.nics.iter().find(|nic| nic.mac == mac);
        let ip = nic.and_then(|nic| nic.links.iter().filter_map(|link| link.ip).find(|ip| on.contains(ip)));
        Some(Host { ip, hostname: Some(machine.value.hostname.clone()) })
    }

    fn is_barred(&self, ip: Ipv4Addr, mac: Mac) -> bool {
        let owner = self.machines.store().holder(SCOPE, "ip", &ip.to_string());
        owner.is_some_and(|owner| self.machines.by_mac(&mac.to_string()).is_none_or(|m| m.id != owner))
    }
}

impl Known {
    /// Whether the address is the machine's own by a claim, whatever its lease.
    fn is_own(&self, lease: &Lease) -> bool {
        let owner = self.machines.store().holder(SCOPE, "ip", &lease.ip.to_string());
        owner.is_some_and(|owner| self.machines.by_mac(&lease.mac.to_string()).is_some_and(|m| m.id == owner))
    }
}

impl Journal for Known {
    async fn record(&self, leases: &[Lease]) -> io::Result<()> {
        let store = self.machines.store();
        loop {
            let mut batch = Batch::new("region:dhcp", "lease.record");
            // The last for an address counts.
            let last: std::collections::BTreeMap<Ipv4Addr, &Lease> =
                leases.iter().map(|l| (l.ip, l)).collect();
            for (ip, lease) in last {
                let (id, document) = (ip.to_string(), document(lease));
                batch = match store.get::<model::Lease>(SCOPE, &id) {
                    Some(old) => batch.update(SCOPE, &id, old.version, &document),
                    None => batch.create(SCOPE, &id, &document),
                };
            }
            match store.commit(batch).await {
                Ok(_) => return Ok(()),
                Err(CommitError::Conflict { .. }) => {}
                // Nobody else can get an address that is claimed: a deployed machine keeps it, and goes on, while the
                // database cannot write.
                Err(error) if leases.iter().all(|lease| self.is_own(lease)) => {
                    tracing::warn!(%error, leases = leases.len(), "leases answered from memory");
                    return Ok(());
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }
}

impl Events for Known {
    fn dhcp(&self, mac: Mac, message: MessageType, decision: &Decision) {
        let mac = mac.to_string();
        tracing::debug!(mac, ?message, ?decision, "dhcp");
        self.figures.dhcp(message, decision);
        let Some(machine) = self.machines.by_mac(&mac) else { return };
        if machine.value.flow.dhcp.is_none() && machine.value.status.failed().is_some() {
            let machines = self.machines.clone();
            tokio::spawn(async move { machines.signal(&machine.id, Signal::Dhcp, Timestamp::now()).await });
        }
    }
}

/// Makes a server forget the leases that are deleted from the store: those of machines that were given back.
pub async fn forget_deleted(server: &Dhcp, machines: &Machines, mut changes: Watch) {
    loop {
        match changes.next().await {
            Ok(change) if &*change.kind == "lease" && change.version.is_none() => {
                if let Ok(ip) = change.id.parse() {
                    server.forget(ip);
                }
            }
            Ok(_) => {}
            Err(WatchEnd::Compacted { .. }) => {
                let store = machines.store();
                changes = store.watch(store.revision());
                let kept: HashSet<Ipv4Addr> =
                    store.list::<model::Lease>(SCOPE).iter().map(|lease| lease.value.ip).collect();
                let held = server.leases().into_iter().filter(|lease| lease.state != LeaseState::Offered);
                held.filter(|lease| !kept.contains(&lease.ip)).for_each(|lease| server.forget(lease.ip));
            }
            Err(WatchEnd::Closed) => return,
        }
    }
}

/// The leases that the store knows.
pub fn restore(machines: &Machines) -> Leases {
    Leases::restore(machines.store().list::<model::Lease>(SCOPE).iter().filter_map(|lease| {
        let lease = &lease.value;
        Some(Lease {
            ip: lease.ip,
            mac: lease.mac.parse().ok()?,
            hostname: lease.hostname.clone(),
            state: match lease.state.as_str() {
                "released" => LeaseState::Released,
                "declined" => LeaseState::Declined,
                _ => LeaseState::Bound,
            },
            since: lease.since,
            until: lease.expires,
        })
    }))
}

fn document(lease: &Lease) -> model::Lease {
    model::Lease {
        ip: lease.ip,
        mac: lease.mac.to_string(),
        state: match lease.state {
            LeaseState::Released => "released",
            LeaseState::Declined => "declined",
            _ => "bound",
        }
        .to_owned(),
        since: lease.since,
        expires: lease.until,
        hostname: lease.hostname.clone(),
    }
}

#[cfg(test)]
mod tests {
    use model::Machine;
    use store::Store;

    use super::*;

    #[tokio::test]
    async fn a_machine_keeps_its_own_address_while_nothing_can_be_written() {
        let (store, now) = (Store::in_memory().await, Timestamp::now());
        let mac = "52:54:00:00:00:02";
        let batch = Batch::new("test", "test")
            .claim(SCOPE, "mac", mac, "abc123")
            .claim(SCOPE, "ip", "10.0.0.2", "abc123")
            .create(SCOPE, "abc123", &Machine::new("one".to_owned(), now));
        store.commit(batch).await.unwrap();
        store.close().await;
        let known = Known { machines: Machines::new(store), figures: Figures::default() };
        let lease = |last: u8| Lease {
            ip: Ipv4Addr::new(10, 0, 0, last),
            mac: mac.parse().unwrap(),
            hostname: None,
            state: LeaseState::Bound,
            since: now,
            until: now,
        };
        known.record(&[lease(2)]).await.unwrap();
        // An address of the pool could be given to another after a restart.
        known.record(&[lease(2), lease(3)]).await.unwrap_err();
    }
}
