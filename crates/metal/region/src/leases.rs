//! DHCP on top of the store: known hosts, durable leases, and signs of life.

use std::{collections::HashSet, io, net::Ipv4Addr};

use dhcp::{
    Decision, Directory, Events, Host, Journal, Lease, LeaseState, Leases, Mac, MessageType,
    snippet::{Setting, settings},
};
use ipnet::Ipv4Net;
use jiff::Timestamp;
use lifecycle::Signal;
use model::{Device, DhcpSnippet, Machines, ReservedIp, SCOPE, Subnet, addresses::reserver};
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
        let machine = self.machines.by_mac(&mac);
        let device = match machine {
            Some(_) => None,
            None => Device::by_mac(self.machines.store(), &mac),
        };
        let nics = machine.iter().flat_map(|machine| &machine.value.nics);
        let nics = nics.chain(device.iter().flat_map(|device| &device.value.nics));
        // A bond has the MAC address of one of its ports, which asks before there is a bond.
        let mut links = nics.filter(|nic| nic.mac == mac).flat_map(|nic| &nic.links);
        let linked = links.find_map(|link| link.ip.filter(|ip| on.contains(ip)));
        let ip = linked.or_else(|| self.reserved(&mac, on));
        let hostname = machine.as_ref().map(|machine| machine.value.hostname.clone());
        let hostname = hostname.or_else(|| device.as_ref().map(|device| device.value.hostname.clone()));
        (ip.is_some() || hostname.is_some()).then_some(Host { ip, hostname })
    }

    fn options(&self, mac: Mac, on: Ipv4Net) -> Vec<Setting> {
        let store = self.machines.store();
        let mut snippets = store.list::<DhcpSnippet>(SCOPE);
        snippets.retain(|snippet| snippet.value.enabled);
        if snippets.is_empty() {
            return Vec::new();
        }
        let node = store.holder(SCOPE, "mac", &mac.to_string());
        let subnets = store.list::<Subnet>(SCOPE);
        let subnet = subnets.iter().find(|subnet| subnet.value.cidr == on).map(|subnet| subnet.value.number);
        // The nearer comes later and wins: everybody's, the subnet's, the node's.
        let rank = |snippet: &DhcpSnippet| match (&snippet.node, snippet.subnet) {
            (Some(_), _) => (node.is_some() && snippet.node == node).then_some(2),
            (None, Some(_)) => (snippet.subnet == subnet).then_some(1),
            (None, None) => Some(0),
        };
        let mut ranked: Vec<_> =
            snippets.iter().filter_map(|snippet| Some((rank(&snippet.value)?, snippet))).collect();
        ranked.sort_by_key(|(rank, _)| *rank);
        // What cannot be read was refused when it was sent.
        let texts = ranked.into_iter().map(|(_, snippet)| snippet.value.value());
        texts.flat_map(|text| settings(text).unwrap_or_default()).collect()
    }

    fn is_barred(&self, ip: Ipv4Addr, mac: Mac) -> bool {
        self.owner(ip).is_some_and(|owner| !self.is(&owner, mac))
    }
}

impl Known {
    /// Whether the address is the client's own by a claim, whatever its lease.
    fn is_own(&self, lease: &Lease) -> bool {
        self.owner(lease.ip).is_some_and(|owner| self.is(&owner, lease.mac))
    }

    fn owner(&self, ip: Ipv4Addr) -> Option<String> {
        self.machines.store().holder(SCOPE, "ip", &ip.to_string())
    }

    /// Whether an address's owner is the machine or device with this MAC address, or the MAC address itself.
    fn is(&self, owner: &str, mac: Mac) -> bool {
        let mac = mac.to_string();
        owner == reserver(&mac) || self.machines.store().holder(SCOPE, "mac", &mac).as_deref() == Some(owner)
    }

    /// The address that is kept for a MAC address.
    fn reserved(&self, mac: &str, on: Ipv4Net) -> Option<Ipv4Addr> {
        let all = self.machines.store().list::<ReservedIp>(SCOPE);
        all.iter().map(|one| &one.value).find(|one| one.mac == mac && on.contains(&one.ip)).map(|one| one.ip)
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
pub(crate) mod tests {
    use model::{Machine, Nic};
    use store::Store;

    use super::*;

    #[tokio::test]
    async fn a_reserved_address_goes_to_its_mac_address_alone() {
        let store = Store::in_memory().await;
        let (mine, other): (Mac, Mac) =
            ("52:54:00:00:00:02".parse().unwrap(), "52:54:00:00:00:03".parse().unwrap());
        let ip = Ipv4Addr::new(10, 0, 0, 50);
        let reserved = ReservedIp { number: 1, ip, subnet: 1, mac: mine.to_string(), comment: String::new() };
        let batch = Batch::new("test", "test")
            .claim(SCOPE, "ip", "10.0.0.50", &reserver(&mine.to_string()))
            .create(SCOPE, "10.0.0.50", &reserved);
        store.commit(batch).await.unwrap();
        let known = Known { machines: Machines::new(store), figures: Figures::default() };
        let net: Ipv4Net = "10.0.0.0/24".parse().unwrap();
        assert_eq!(known.host(mine, net).and_then(|host| host.ip), Some(ip));
        assert_eq!((known.host(other, net), known.host(mine, "10.1.0.0/24".parse().unwrap())), (None, None));
        assert_eq!((known.is_barred(ip, mine), known.is_barred(ip, other)), (false, true));
    }

    #[tokio::test]
    async fn a_device_is_known_and_the_nearest_snippet_wins() {
        let (store, now) = (Store::in_memory().await, Timestamp::now());
        let mac = "52:54:00:00:00:02";
        let snippet = |node: Option<&str>, subnet, text: &str| DhcpSnippet {
            name: String::new(),
            description: String::new(),
            enabled: true,
            node: node.map(str::to_owned),
            subnet,
            values: [(1, model::SnippetValue { text: text.to_owned(), created: now })].into(),
        };
        let network = model::setup::Network {
            cidr: "10.0.0.0/24".parse().unwrap(),
            address: Ipv4Addr::new(10, 0, 0, 1),
            gateway: None,
            dynamic_start: Ipv4Addr::new(10, 0, 0, 100),
            dynamic_end: Ipv4Addr::new(10, 0, 0, 110),
            reserved: Vec::new(),
        };
        let key = model::setup::AdminKey { consumer: "c".into(), token: "t".into(), secret: "s".into() };
        model::setup::run(&store, &[network], &key).await.unwrap();
        let batch = Batch::new("test", "test")
            .claim(SCOPE, "mac", mac, "dev346")
            .create(SCOPE, "dev346", &device(mac))
            .create(SCOPE, "1", &snippet(Some("dev346"), None, "option host-name \"own\";"))
            .create(
                SCOPE,
                "2",
                &snippet(None, Some(1), "option host-name \"net\"; option domain-name \"x\";"),
            )
            .create(SCOPE, "3", &snippet(None, None, "option domain-name \"all\";"))
            .create(SCOPE, "4", &snippet(Some("other6"), None, "option host-name \"other\";"))
            .create(SCOPE, "5", &snippet(None, Some(2), "option host-name \"far\";"));
        store.commit(batch).await.unwrap();
        let known = Known { machines: Machines::new(store), figures: Figures::default() };
        let on = "10.0.0.0/24".parse().unwrap();
        let told = |mac: &str| {
            let mut told = std::collections::BTreeMap::new();
            told.extend(known.options(mac.parse().unwrap(), on));
            told.into_values().map(|value| String::from_utf8(value).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(known.host(mac.parse().unwrap(), on).unwrap().hostname.as_deref(), Some("printer"));
        assert_eq!(told(mac), ["own", "x"]);
        assert_eq!(told("52:54:00:00:00:03"), ["net", "x"]);
    }

    /// A device with this MAC address.
    pub(crate) fn device(mac: &str) -> Device {
        let now = Timestamp::now();
        Device {
            hostname: "printer".to_owned(),
            description: String::new(),
            domain: 0,
            zone: "default".to_owned(),
            owner: None,
            parent: None,
            tags: Vec::new(),
            owner_data: std::collections::BTreeMap::new(),
            workload_annotations: std::collections::BTreeMap::new(),
            nics: vec![Nic { boot: true, ..Nic::physical(1, "eth0", mac) }],
            created: now,
            updated: now,
        }
    }

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
