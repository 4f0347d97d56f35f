//! What a new region starts with: MAAS's defaults, the first user, and the networks of its configuration.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use jiff::Timestamp;
use secrets::Secret;
use store::{Batch, CommitError, Store};

use crate::{
    ApiToken, Domain, Fabric, IpRange, PackageRepository, Pool, RangeKind, SCOPE, Subnet, User, Vlan, Zone,
};

/// A network that the region serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// The network.
    pub cidr: Ipv4Net,
    /// The region's own address in it.
    pub address: Ipv4Addr,
    /// Default route of its machines.
    pub gateway: Option<Ipv4Addr>,
    /// First address that DHCP gives to unknown machines.
    pub dynamic_start: Ipv4Addr,
    /// Last one.
    pub dynamic_end: Ipv4Addr,
    /// Never given to machines: the region's own, BMCs, other equipment.
    pub reserved: Vec<(Ipv4Addr, Ipv4Addr)>,
}

/// The first user's key, `consumer:token:secret`.
#[derive(Debug, Clone)]
pub struct AdminKey {
    /// First part.
    pub consumer: String,
    /// Second part.
    pub token: String,
    /// Last part.
    pub secret: Secret,
}

/// Writes the defaults, unless they are there already; may be repeated.
pub async fn run(store: &Store, networks: &[Network], admin: &AdminKey) -> Result<(), CommitError> {
    if store.get::<User>(SCOPE, "admin").is_none() {
        let batch = Batch::new("region", "setup")
            .create(SCOPE, "admin", &User { number: 1, email: "admin@localhost".to_owned(), admin: true })
            .create(SCOPE, "default", &Zone { number: 1, description: String::new() })
            .create(
                SCOPE,
                "0",
                &Pool { number: 0, name: "default".to_owned(), description: "Default pool".to_owned() },
            )
            .create(
                SCOPE,
                "0",
                &Domain { number: 0, name: "maas".to_owned(), authoritative: true, ttl: None },
            )
            .create(
                SCOPE,
                &admin.token,
                &ApiToken {
                    user: "admin".to_owned(),
                    name: "MAAS consumer".to_owned(),
                    consumer: admin.consumer.clone(),
                    secret: admin.secret.clone(),
                    created: Timestamp::now(),
                },
            );
        store.commit(batch).await?;
    }
    for network in networks {
        add_network(store, network).await?;
    }
    add_repositories(store).await
}

/// Ubuntu's archives, which every MAAS has.
async fn add_repositories(store: &Store) -> Result<(), CommitError> {
    let archives = [
        ("1", "main_archive", "http://archive.ubuntu.com/ubuntu", ["amd64", "i386"].as_slice()),
        (
            "2",
            "ports_archive",
            "http://ports.ubuntu.com/ubuntu-ports",
            &["armhf", "arm64", "ppc64el", "s390x"],
        ),
    ];
    let mut batch = Batch::new("region", "setup.repositories");
    for (id, name, url, arches) in archives {
        if store.get::<PackageRepository>(SCOPE, id).is_some() {
            return Ok(());
        }
        let repository = PackageRepository {
            name: name.to_owned(),
            url: url.to_owned(),
            distributions: Vec::new(),
            disabled_pockets: Vec::new(),
            disabled_components: Vec::new(),
            disable_sources: true,
            components: Vec::new(),
            arches: arches.iter().map(|&arch| arch.to_owned()).collect(),
            key: String::new(),
            enabled: true,
            default: true,
        };
        batch = batch.claim(SCOPE, "package_repository", name, id).create(SCOPE, id, &repository);
    }
    store.commit(batch).await.map(|_| ())
}

async fn add_network(store: &Store, network: &Network) -> Result<(), CommitError> {
    let subnets = store.list::<Subnet>(SCOPE);
    if subnets.iter().any(|s| s.value.cidr == network.cidr) {
        return Ok(());
    }
    let n = subnets.iter().map(|s| s.value.number).max().unwrap_or(0) + 1;
    let (fabric, vlan) = (n - 1, 5000 + n);
    let ranges = crate::next_id::<IpRange>(store, |r| r.number).max(1);
    let mut batch = Batch::new("region", "setup.network")
        .create(
            SCOPE,
            &fabric.to_string(),
            &Fabric {
                number: fabric,
                name: format!("fabric-{fabric}"),
                class_type: None,
                description: String::new(),
            },
        )
        .create(
            SCOPE,
            &vlan.to_string(),
            &Vlan {
                number: vlan,
                fabric,
                vid: 0,
                name: Some("untagged".to_owned()),
                description: String::new(),
                mtu: 1500,
                dhcp_on: true,
                space: None,
            },
        )
        .create(
            SCOPE,
            &n.to_string(),
            &Subnet {
                number: n,
                name: network.cidr.to_string(),
                description: String::new(),
                cidr: network.cidr,
                vlan,
                gateway: network.gateway,
                dns_servers: Vec::new(),
                managed: true,
                allow_dns: true,
                allow_proxy: true,
                rdns_mode: 2,
            },
        );
    let own = [(RangeKind::Dynamic, network.dynamic_start, network.dynamic_end)];
    let reserved = network.reserved.iter().map(|(start, end)| (RangeKind::Reserved, *start, *end));
    let me = [(RangeKind::Reserved, network.address, network.address)];
    for (i, (kind, start, end)) in (0u64..).zip(own.into_iter().chain(me).chain(reserved)) {
        let range = IpRange {
            number: ranges + i,
            subnet: n,
            kind,
            start,
            end,
            comment: String::new(),
            user: Some("admin".to_owned()),
        };
        batch = batch.create(SCOPE, &range.number.to_string(), &range);
    }
    store.commit(batch).await.map(|_| ())
}
