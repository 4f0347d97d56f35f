//! DHCP on top of the store: known hosts, durable leases, and signs of life.

use std::{io, net::Ipv4Addr};

use dhcp::{Decision, Directory, Events, Host, Journal, Lease, LeaseState, Leases, Mac, MessageType};
use ipnet::Ipv4Net;
use jiff::Timestamp;
use lifecycle::Signal;
use model::{Machines, SCOPE};
use store::{Batch, CommitError, Watch};

/// Everything that DHCP asks of the region.
#[derive(Debug, Clone)]
pub struct Known(pub Machines);

impl Directory for Known {
    fn host(&self, mac: Mac, on: Ipv4Net) -> Option<Host> {
        let mac = mac.to_string();
        let machine = self.0.by_mac(&mac)?;
        let nic = machine.value.nics.iter().find(|nic| nic.mac == mac);
        let ip = nic.and_then(|nic| nic.links.iter().filter_map(|link| link.ip).find(|ip| on.contains(ip)));
        Some(Host { ip, hostname: Some(machine.value.hostname.clone()) })
    }

    fn is_barred(&self, ip: Ipv4Addr, mac: Mac) -> bool {
        let owner = self.0.store().holder(SCOPE, "ip", &ip.to_string());
        owner.is_some_and(|owner| self.0.by_mac(&mac.to_string()).is_none_or(|m| m.id != owner))
    }
}

impl Journal for Known {
    async fn record(&self, leases: &[Lease]) -> io::Result<()> {
        let store = self.0.store();
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
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }
}

impl Events for Known {
    fn dhcp(&self, mac: Mac, message: MessageType, decision: &Decision) {
        let mac = mac.to_string();
        tracing::debug!(mac, ?message, ?decision, "dhcp");
        let Some(machine) = self.0.by_mac(&mac) else { return };
        if machine.value.flow.dhcp.is_none() && machine.value.status.failed().is_some() {
            let machines = self.0.clone();
            tokio::spawn(async move { machines.signal(&machine.id, Signal::Dhcp, Timestamp::now()).await });
        }
    }
}

/// Makes a server forget the leases that are deleted from the store: those of machines that were given back.
pub async fn forget_deleted(server: &dhcp::Service<Known, Known, Known>, mut changes: Watch) {
    while let Some(change) = changes.next().await {
        if &*change.kind == "lease"
            && change.version.is_none()
            && let Ok(ip) = change.id.parse()
        {
            server.forget(ip);
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
