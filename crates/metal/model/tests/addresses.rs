//! Who gets which address, also when many ask at once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use jiff::{SignedDuration, Timestamp};
use lifecycle::Status;
use model::{
    BootResource, ImageFile, ImageSet, IpRange, Lease, Link, LinkMode, Machine, Machines, Nic, RangeKind,
    ReservedIp, SCOPE, Subnet,
    addresses::{self, reserver},
    ops::{Actor, Deploy, OpError},
};
use store::{Batch, Store};

fn subnet(number: u64, cidr: &str) -> Subnet {
    Subnet {
        number,
        name: cidr.to_owned(),
        description: String::new(),
        cidr: cidr.parse().unwrap(),
        vlan: 5000 + number,
        gateway: Some(cidr.parse::<ipnet::Ipv4Net>().unwrap().hosts().next().unwrap()),
        dns_servers: Vec::new(),
        managed: true,
        allow_dns: true,
        allow_proxy: true,
        rdns_mode: 2,
    }
}

fn range(number: u64, kind: RangeKind, start: &str, end: &str) -> IpRange {
    let (start, end) = (start.parse().unwrap(), end.parse().unwrap());
    IpRange { number, subnet: 1, kind, start, end, comment: String::new(), user: None }
}

fn lease(ip: &str, mac: &str) -> Lease {
    let now = Timestamp::now();
    Lease {
        ip: ip.parse().unwrap(),
        mac: mac.to_owned(),
        state: "bound".to_owned(),
        since: now,
        expires: now + SignedDuration::from_mins(10),
        hostname: None,
    }
}

fn reserved(ip: &str, mac: &str) -> ReservedIp {
    ReservedIp { number: 1, ip: ip.parse().unwrap(), subnet: 1, mac: mac.to_owned(), comment: String::new() }
}

fn image() -> BootResource {
    let file = ImageFile {
        number: 1,
        filetype: "ddzst".to_owned(),
        sha256: String::new(),
        size: 1,
        raw_size: None,
        complete: true,
    };
    let set = ImageSet { files: BTreeMap::from([("disk".to_owned(), file)]) };
    BootResource {
        number: 1,
        name: "debian/bookworm".to_owned(),
        architecture: "amd64/generic".to_owned(),
        title: String::new(),
        rtype: "Uploaded".to_owned(),
        base_image: String::new(),
        sets: BTreeMap::from([("1".to_owned(), set)]),
        last_deployed: None,
    }
}

/// A machine with automatic links to the subnet 1, one on each of so many ports.
fn machine(n: u8, links: u8) -> Machine {
    let mut machine = Machine::new(format!("m{n}"), Timestamp::now());
    machine.status = Status::Ready;
    machine.nics = (0..links)
        .map(|i| {
            let number = u64::from(n) * 10 + u64::from(i);
            Nic {
                vlan: Some(5001),
                boot: i == 0,
                links: vec![Link { number, mode: LinkMode::Auto, subnet: Some(1), ip: None }],
                ..Nic::physical(number, &format!("eth{i}"), &format!("52:54:00:00:{n:02x}:{i:02x}"))
            }
        })
        .collect();
    machine
}

/// A subnet of 30 addresses: one a gateway, 8 dynamic, 4 reserved, 2 leased; 15 to give.
async fn region() -> Machines {
    let store = Store::in_memory().await;
    let batch = Batch::new("test", "test")
        .create(SCOPE, "1", &image())
        .create(SCOPE, "1", &subnet(1, "10.0.0.0/27"))
        .create(SCOPE, "1", &range(1, RangeKind::Dynamic, "10.0.0.20", "10.0.0.27"))
        .create(SCOPE, "2", &range(2, RangeKind::Reserved, "10.0.0.2", "10.0.0.5"))
        .create(SCOPE, "10.0.0.6", &lease("10.0.0.6", "52:54:00:ff:ff:01"))
        .create(SCOPE, "10.0.0.7", &lease("10.0.0.7", "52:54:00:ff:ff:02"));
    store.commit(batch).await.unwrap();
    Machines::new(store)
}

async fn add(machines: &Machines, id: &str, machine: &Machine) {
    let batch = Batch::new("test", "test").create(SCOPE, id, machine);
    let batch = machine.nics.iter().fold(batch, |batch, nic| batch.claim(SCOPE, "mac", &nic.mac, id));
    machines.store().commit(batch).await.unwrap();
}

fn actor() -> Actor {
    Actor { user: "admin".to_owned(), admin: true }
}

fn addresses_of(machines: &Machines, id: &str) -> Vec<Ipv4Addr> {
    machines.get(id).unwrap().value.links().filter_map(|(_, link)| link.ip).collect()
}

#[tokio::test]
async fn no_address_is_given_twice_however_many_deploy_at_once() {
    let machines = region().await;
    let ids: Vec<String> = (0..6).map(|n| format!("m{n}")).collect();
    for (n, id) in (0..).zip(&ids) {
        add(&machines, id, &machine(n, 3)).await;
    }
    let (wanted, actor) = (Deploy::default(), actor());
    let all = ids.iter().map(|id| machines.deploy(&actor, id, &wanted));
    let done = futures_util::future::join_all(all).await;
    let exhausted = done.iter().filter(|done| matches!(done, Err(OpError::Exhausted(_)))).count();
    assert_eq!((done.iter().filter(|done| done.is_ok()).count(), exhausted), (5, 1), "{done:?}");
    let given: Vec<Ipv4Addr> = ids.iter().flat_map(|id| addresses_of(&machines, id)).collect();
    let distinct: BTreeSet<_> = given.iter().copied().collect();
    assert_eq!((given.len(), distinct.len()), (15, 15), "{given:?}");
    let free = |ip: &Ipv4Addr| {
        let last = ip.octets()[3];
        (8..20).contains(&last) || (28..31).contains(&last)
    };
    assert!(given.iter().all(free), "in a range, leased, or the gateway: {given:?}");
    // Who was refused has nothing; what is given back may be given again.
    let refused = ids.iter().find(|id| addresses_of(&machines, id).is_empty()).unwrap();
    let other = ids.iter().find(|id| *id != refused).unwrap();
    machines
        .change("test", "test", other, |machine, batch| {
            machine.enter(Status::Ready, Timestamp::now());
            Ok::<_, OpError>(model::ops::clear_deployment(machines.store(), other, machine, batch))
        })
        .await
        .unwrap();
    machines.deploy(&actor, refused, &wanted).await.unwrap();
    assert_eq!((addresses_of(&machines, refused).len(), addresses_of(&machines, other).len()), (3, 0));
}

#[tokio::test]
async fn a_reserved_address_goes_to_its_mac_address_and_to_no_other() {
    let machines = region().await;
    let (mine, other) = (machine(1, 2), machine(2, 1));
    let mac = mine.nics[1].mac.clone();
    let batch = Batch::new("test", "test").create(SCOPE, "10.0.0.9", &reserved("10.0.0.9", &mac)).claim(
        SCOPE,
        "ip",
        "10.0.0.9",
        &reserver(&mac),
    );
    machines.store().commit(batch).await.unwrap();
    add(&machines, "mine", &mine).await;
    add(&machines, "other", &other).await;
    for id in ["other", "mine"] {
        machines.deploy(&actor(), id, &Deploy::default()).await.unwrap();
    }
    let ip = |last: u8| Ipv4Addr::new(10, 0, 0, last);
    assert_eq!(addresses_of(&machines, "other"), [ip(8)]);
    assert_eq!(addresses_of(&machines, "mine"), [ip(10), ip(9)]);
    // It stays reserved when the machine is given back.
    let seen = machines.get("mine").unwrap();
    let mut is = seen.value.clone();
    let batch = Batch::new("test", "test");
    let batch = addresses::release_automatic(machines.store(), "mine", &mut is, batch);
    machines.store().commit(batch.update(SCOPE, "mine", seen.version, &is)).await.unwrap();
    let holder = |ip: &str| machines.store().holder(SCOPE, "ip", ip);
    assert_eq!((holder("10.0.0.9"), holder("10.0.0.10")), (Some(reserver(&mac)), None));
}

#[tokio::test]
async fn a_subnet_that_is_not_managed_gives_its_reserved_ranges_alone() {
    let machines = region().await;
    let seen = machines.store().get::<Subnet>(SCOPE, "1").unwrap();
    let unmanaged = Subnet { managed: false, ..seen.value.clone() };
    let batch = Batch::new("test", "test").update(SCOPE, "1", seen.version, &unmanaged);
    machines.store().commit(batch).await.unwrap();
    add(&machines, "m1", &machine(1, 2)).await;
    machines.deploy(&actor(), "m1", &Deploy::default()).await.unwrap();
    let want = [Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::new(10, 0, 0, 3)];
    assert_eq!(addresses_of(&machines, "m1"), want);
}

#[test]
fn an_interface_of_the_version_before_is_read() {
    let text = r#"{"number": 1, "name": "eth0", "mac": "52:54:00:00:00:01", "vlan": 5001, "boot": true,
        "link_connected": true, "link_speed": 0, "interface_speed": 0, "vendor": "", "product": "",
        "links": [{"number": 1, "mode": "auto", "subnet": 1, "ip": null}]}"#;
    let nic: Nic = serde_json::from_str(text).unwrap();
    assert!(nic.is_physical() && !nic.disabled && nic.links[0].mode == LinkMode::Auto);
    let mut old = serde_json::to_value(Machine::new("m".to_owned(), Timestamp::UNIX_EPOCH)).unwrap();
    old.as_object_mut().unwrap().remove("default_gateway");
    assert_eq!(serde_json::from_value::<Machine>(old).unwrap().default_gateway, None);
}
