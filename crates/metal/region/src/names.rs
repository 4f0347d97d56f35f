//! Names and loaders: DNS zones made of documents, network boot programs by TFTP, the time by NTP.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use bytes::Bytes;
use dns::{Data, Server, Zones};
use ipnet::IpNet;
use jiff::Timestamp;
use model::{Device, DnsRecord, DnsResource, Domain, Lease, Machine, Machines, SCOPE, Setting, Subnet};
use store::{Change, Store, WatchEnd};
use tokio::{net::UdpSocket, task::JoinSet};

use crate::{config::Config, figures::Figures, serve::RegionError};

/// Seconds that a name without a TTL of its own lives (MAAS: `default_dns_ttl`).
const DEFAULT_TTL: u32 = 30;
/// How long changes are collected before the zones are made anew.
const BURST: std::time::Duration = std::time::Duration::from_millis(4);
/// Transfers of boot programs at once.
const TRANSFERS: usize = 512;
/// Documents that zones are made of.
const KINDS: [&str; 6] = ["device", "machine", "dns_resource", "domain", "setting", "subnet"];

/// Starts DNS, TFTP and NTP on the address of each network.
pub async fn spawn(
    services: &mut JoinSet<io::Result<(&'static str, String)>>,
    config: &Config,
    machines: &Machines,
    figures: &Figures,
) -> Result<Arc<Server>, RegionError> {
    let port = |error: &dyn std::fmt::Display| RegionError::Port(error.to_string());
    let server = Arc::new(Server::new(zones(machines, config)));
    for network in &config.networks {
        let address = |port: u16| SocketAddr::from((network.address, port));
        let sockets = dns::bind(address(dns::PORT)).await.map_err(|e| port(&e))?;
        let tftp = tftp::bind(address(tftp::PORT)).await.map_err(|e| port(&e))?;
        let ntp = UdpSocket::bind(address(dns::ntp::PORT)).await.map_err(|source| RegionError::File {
            what: format!("NTP on {}", address(dns::ntp::PORT)),
            source,
        })?;
        let answering = server.clone();
        services.spawn(async move { match answering.run(sockets).await {} });
        let loaders = Loaders { folder: config.loaders.clone(), figures: figures.clone() };
        services.spawn(async move { match tftp::Service::new(loaders, TRANSFERS).run(tftp).await {} });
        services.spawn(async move { match dns::ntp::run(ntp, dns::ntp::LOCAL_STRATUM).await {} });
    }
    let (machines, config) = (machines.clone(), config.clone());
    let mut changes = machines.store().watch(machines.store().revision());
    let followed = server.clone();
    services.spawn(async move {
        loop {
            match changes.next().await {
                Ok(change) if KINDS.contains(&&*change.kind) || is_of_device(machines.store(), &change) => {
                    // Changes come in bursts; one set of zones serves them all.
                    let burst = tokio::time::Instant::now() + BURST;
                    while let Ok(Ok(_)) = tokio::time::timeout_at(burst, changes.next()).await {}
                }
                Ok(_) => continue,
                Err(WatchEnd::Compacted { .. }) => {
                    changes = machines.store().watch(machines.store().revision());
                }
                Err(WatchEnd::Closed) => return Ok(("DNS", WatchEnd::Closed.to_string())),
            }
            followed.set(zones(&machines, &config));
        }
    });
    Ok(server)
}

/// Whether a change is that of a device's lease: devices are named by what DHCP gave them.
fn is_of_device(store: &Store, change: &Change) -> bool {
    &*change.kind == "lease"
        && match store.get::<Lease>(SCOPE, &change.id) {
            Some(lease) => Device::by_mac(store, &lease.value.mac).is_some(),
            // Whose it was is not known any more.
            None => !store.list::<Device>(SCOPE).is_empty(),
        }
}

/// Name servers that the setting `upstream_dns` has, else those of the configuration.
fn forwarders(store: &Store, config: &Config) -> Vec<SocketAddr> {
    let set = Setting::of(store, "upstream_dns");
    let words = set.as_ref().and_then(|value| value.as_str()).unwrap_or_default().split_whitespace();
    let set: Vec<SocketAddr> = words
        .filter_map(|word| word.parse::<IpAddr>().ok())
        .map(|ip| SocketAddr::from((ip, dns::PORT)))
        .collect();
    if set.is_empty() { config.forwarders.clone() } else { set }
}

/// The zones as the documents have them; a name that cannot be served is left out and logged.
fn zones(machines: &Machines, config: &Config) -> Zones {
    let store = machines.store();
    let serial = u32::try_from(store.revision() % u64::from(u32::MAX)).unwrap_or_default();
    let domains = store.list::<Domain>(SCOPE);
    let domain_name =
        |number: u64| domains.iter().find(|d| d.value.number == number).map(|d| d.value.name.as_str());
    let ttl = Setting::of(store, "default_dns_ttl").and_then(|value| u32::try_from(value.as_u64()?).ok());
    let ttl = ttl.unwrap_or(DEFAULT_TTL);
    let Ok(mut builder) = Zones::builder(serial, "region.maas-internal") else { return Zones::default() };
    let mut refused: Vec<String> = Vec::new();
    for domain in domains.iter().filter(|d| d.value.authoritative) {
        if let Err(error) = builder.domain(&domain.value.name, domain.value.ttl.unwrap_or(ttl)) {
            refused.push(error.to_string());
        }
    }
    let mut clients = Vec::new();
    for subnet in store.list::<Subnet>(SCOPE) {
        if subnet.value.rdns_mode > 0 {
            builder.reverse(IpNet::V4(subnet.value.cidr), ttl);
        }
        if subnet.value.allow_dns {
            clients.push(IpNet::V4(subnet.value.cidr));
        }
    }
    builder.forward(forwarders(store, config), clients);
    let mut add = |owner: &str, ttl: Option<u32>, data: &Data| {
        if let Err(error) = builder.record(owner, ttl, data) {
            refused.push(error.to_string());
        }
    };
    for machine in store.list::<Machine>(SCOPE) {
        if let (Some(domain), Some(ip)) = (domain_name(machine.value.domain), machine.value.address()) {
            add(&format!("{}.{domain}", machine.value.hostname), None, &Data::A(ip));
        }
    }
    for device in store.list::<Device>(SCOPE) {
        let Some(domain) = domain_name(device.value.domain) else { continue };
        for ip in device.value.addresses(store) {
            add(&format!("{}.{domain}", device.value.hostname), None, &Data::A(ip));
        }
    }
    for resource in store.list::<DnsResource>(SCOPE) {
        let resource = &resource.value;
        let Some(domain) = domain_name(resource.domain) else { continue };
        let owner =
            if resource.name == "@" { domain.to_owned() } else { format!("{}.{domain}", resource.name) };
        for address in &resource.addresses {
            let data = match address {
                IpAddr::V4(ip) => Data::A(*ip),
                IpAddr::V6(ip) => Data::Aaaa(*ip),
            };
            add(&owner, resource.address_ttl, &data);
        }
        for record in &resource.records {
            if let Some(data) = data_of(record) {
                add(&owner, record.ttl, &data);
            } else {
                tracing::debug!(owner, rrtype = record.rrtype, "record type or data not served");
            }
        }
    }
    for why in refused {
        tracing::warn!(why, "DNS name not served");
    }
    builder.build()
}

/// A record's data from its zone-file form.
fn data_of(record: &DnsRecord) -> Option<Data> {
    let words: Vec<&str> = record.rrdata.split_whitespace().collect();
    Some(match (record.rrtype.as_str(), words.as_slice()) {
        ("CNAME", [target]) => Data::Cname((*target).to_owned()),
        ("NS", [target]) => Data::Ns((*target).to_owned()),
        ("TXT", _) => Data::Txt(record.rrdata.trim_matches('"').to_owned()),
        ("MX", [preference, exchange]) => {
            Data::Mx { preference: preference.parse().ok()?, exchange: (*exchange).to_owned() }
        }
        ("SRV", [priority, weight, port, target]) => Data::Srv {
            priority: priority.parse().ok()?,
            weight: weight.parse().ok()?,
            port: port.parse().ok()?,
            target: (*target).to_owned(),
        },
        _ => return None,
    })
}

/// Network boot programs in a folder.
struct Loaders {
    folder: PathBuf,
    figures: Figures,
}

impl tftp::Files for Loaders {
    async fn open(&self, path: &str, client: IpAddr) -> Option<Bytes> {
        tracing::debug!(path, %client, at = %Timestamp::now(), "tftp");
        tokio::fs::read(self.folder.join(path)).await.ok().map(Bytes::from)
    }

    fn ended(&self, outcome: tftp::Outcome) {
        self.figures.tftp(outcome);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use jiff::SignedDuration;
    use store::Batch;

    use super::*;

    /// What DNS answers to a question for the address of a name.
    fn asked(zones: &Zones, name: &str) -> Vec<u8> {
        let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            query.push(u8::try_from(label.len()).unwrap());
            query.extend(label.as_bytes());
        }
        query.extend([0, 0, 1, 0, 1]);
        let asker = dns::Asker { transport: dns::Transport::Udp, address: Ipv4Addr::LOCALHOST.into() };
        match dns::answer(&query, zones, asker) {
            dns::Answer::Reply(reply) => reply,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_device_is_named_by_what_dhcp_gave_it() {
        let (store, now) = (Store::in_memory().await, Timestamp::now());
        let (mac, ip) = ("52:54:00:00:00:02", Ipv4Addr::new(10, 0, 0, 107));
        let text =
            "data = \"/d\"\nephemeral = \"/e\"\nadmin_key_file = \"/k\"\nforwarders = [\"192.0.2.1:53\"]";
        let config: Config = toml::from_str(text).unwrap();
        let key = model::setup::AdminKey { consumer: "c".into(), token: "t".into(), secret: "s".into() };
        model::setup::run(&store, &[], &key).await.unwrap();
        let lease = Lease {
            ip,
            mac: mac.to_owned(),
            state: "bound".to_owned(),
            since: now,
            expires: now + SignedDuration::from_hours(1),
            hostname: None,
        };
        let batch = Batch::new("test", "test")
            .claim(SCOPE, "mac", mac, "dev346")
            .create(SCOPE, "dev346", &crate::leases::tests::device(mac))
            .create(SCOPE, &ip.to_string(), &lease)
            .create(SCOPE, "default_dns_ttl", &Setting { value: 77.into() })
            .create(SCOPE, "upstream_dns", &Setting { value: "10.0.0.53 nosuch".into() });
        store.commit(batch).await.unwrap();
        assert_eq!(forwarders(&store, &config), ["10.0.0.53:53".parse().unwrap()]);
        let reply = asked(&zones(&Machines::new(store), &config), "printer.maas");
        // Time to live, length, address.
        let wanted = [[0, 0, 0, 77].as_slice(), &[0, 4], &ip.octets()].concat();
        assert!(reply.windows(wanted.len()).any(|part| part == wanted), "{reply:?}");
    }
}
