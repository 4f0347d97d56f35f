//! The configuration that installed systems get: as written here, as properties, and as the real cloud-init reads it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use jiff::Timestamp;
use model::{Bond, BondMode, Bridge, Link, LinkMode, Machine, Nic, NicKind, StaticRoute, Subnet, Vlan};
use proptest::prelude::*;
use render::netplan::{self, Surroundings};
use serde_json::{Value, json};

fn subnet(number: u64, vlan: u64, gateway: bool) -> (u64, Subnet) {
    let subnet = Subnet {
        number,
        name: String::new(),
        description: String::new(),
        cidr: format!("10.0.{number}.0/24").parse().unwrap(),
        vlan,
        gateway: gateway.then(|| format!("10.0.{number}.1").parse().unwrap()),
        dns_servers: vec![format!("10.0.{number}.3").parse().unwrap()],
        managed: true,
        allow_dns: number != 2,
        allow_proxy: true,
        rdns_mode: 2,
    };
    (number, subnet)
}

fn vlan(number: u64, vid: u16, mtu: u16) -> (u64, Vlan) {
    let vlan = Vlan {
        number,
        fabric: 0,
        vid,
        name: None,
        description: String::new(),
        mtu,
        dhcp_on: true,
        space: None,
    };
    (number, vlan)
}

/// VLANs 1 (untagged, MTU 9000) and 2 (tag 10); subnets 1 on the one, 2 and 3 on the other; a route from 1 to 3.
fn around() -> Surroundings {
    Surroundings {
        subnets: BTreeMap::from([subnet(1, 1, true), subnet(2, 2, true), subnet(3, 2, false)]),
        vlans: BTreeMap::from([vlan(1, 0, 9000), vlan(2, 10, 1500)]),
        routes: vec![StaticRoute {
            number: 1,
            source: 1,
            destination: 3,
            gateway: "10.0.1.9".parse().unwrap(),
            metric: 5,
        }],
        domain: "maas".to_owned(),
        resolver: Some("10.0.1.2".parse().unwrap()),
    }
}

fn port(n: u64) -> Nic {
    Nic {
        boot: n == 0,
        vlan: Some(1),
        ..Nic::physical(n + 1, &format!("eth{n}"), &format!("52:54:00:00:00:0{n}"))
    }
}

fn link(number: u64, mode: LinkMode, subnet: u64, last: u8) -> Link {
    let ip = matches!(mode, LinkMode::Auto | LinkMode::Static)
        .then(|| format!("10.0.{subnet}.{last}").parse().unwrap());
    Link { number, mode, subnet: Some(subnet), ip }
}

fn machine(nics: Vec<Nic>) -> Machine {
    Machine { nics, ..Machine::new("m1".to_owned(), Timestamp::UNIX_EPOCH) }
}

/// Two ports as a bond, a VLAN on it, a bridge on that, and a third port with DHCP.
fn layered() -> Machine {
    let bond = Nic {
        kind: NicKind::Bond(Bond { mode: BondMode::Lacp, ..Bond::default() }),
        parents: vec![1, 2],
        links: vec![link(21, LinkMode::Static, 1, 50), link(22, LinkMode::Auto, 1, 51)],
        boot: false,
        ..Nic { number: 11, name: "bond0".to_owned(), ..port(0) }
    };
    let tagged = Nic {
        kind: NicKind::Vlan,
        parents: vec![11],
        vlan: Some(2),
        ..Nic::physical(12, "bond0.10", "52:54:00:00:00:00")
    };
    let bridge = Nic {
        kind: NicKind::Bridge(Bridge::default()),
        parents: vec![12],
        vlan: Some(2),
        links: vec![link(23, LinkMode::Static, 2, 5)],
        ..Nic::physical(13, "br0", "52:54:00:00:00:00")
    };
    let third = Nic { links: vec![link(24, LinkMode::Dhcp, 1, 0)], ..port(2) };
    machine(vec![port(0), port(1), third, bond, tagged, bridge])
}

fn written(machine: &Machine, around: &Surroundings) -> Value {
    serde_json::from_str(&netplan::file(machine, around).unwrap()).unwrap()
}

#[test]
fn a_static_address_comes_with_its_gateway_names_and_routes() {
    let nic = Nic { links: vec![link(1, LinkMode::Static, 1, 50)], mtu: Some(1400), ..port(0) };
    let want = json!({"network": {"version": 2, "ethernets": {"eth0": {
        "match": {"macaddress": "52:54:00:00:00:00"},
        "set-name": "eth0",
        "mtu": 1400,
        "addresses": ["10.0.1.50/24"],
        "nameservers": {"search": ["maas"], "addresses": ["10.0.1.2", "10.0.1.3"]},
        "routes": [
            {"to": "0.0.0.0/0", "via": "10.0.1.1"},
            {"to": "10.0.3.0/24", "via": "10.0.1.9", "metric": 5},
        ],
    }}}});
    assert_eq!(written(&machine(vec![nic]), &around()), want);
}

#[test]
fn interfaces_above_one_another_are_each_what_they_are() {
    let want = json!({"network": {
        "version": 2,
        "ethernets": {
            "eth0": {"match": {"macaddress": "52:54:00:00:00:00"}, "set-name": "eth0", "mtu": 9000},
            "eth1": {"match": {"macaddress": "52:54:00:00:00:01"}, "set-name": "eth1", "mtu": 9000},
            "eth2": {
                "match": {"macaddress": "52:54:00:00:00:02"}, "set-name": "eth2", "mtu": 9000,
                "dhcp4": true, "dhcp4-overrides": {"use-routes": false},
                "routes": [{"to": "10.0.3.0/24", "via": "10.0.1.9", "metric": 5}],
            },
        },
        "bonds": {"bond0": {
            "interfaces": ["eth0", "eth1"], "macaddress": "52:54:00:00:00:00", "mtu": 9000,
            "parameters": {
                "mode": "802.3ad", "mii-monitor-interval": 100, "down-delay": 0, "up-delay": 0,
                "gratuitous-arp": 1, "lacp-rate": "fast", "transmit-hash-policy": "layer2",
            },
            "addresses": ["10.0.1.50/24", "10.0.1.51/24"],
            "nameservers": {"search": ["maas"], "addresses": ["10.0.1.2", "10.0.1.3"]},
            "routes": [
                {"to": "0.0.0.0/0", "via": "10.0.1.1"},
                {"to": "10.0.3.0/24", "via": "10.0.1.9", "metric": 5},
            ],
        }},
        "bridges": {"br0": {
            "interfaces": ["bond0.10"], "macaddress": "52:54:00:00:00:00", "mtu": 1500,
            "parameters": {"stp": false, "forward-delay": 15},
            "addresses": ["10.0.2.5/24"],
            "nameservers": {"search": ["maas"], "addresses": ["10.0.2.3"]},
        }},
        "vlans": {"bond0.10": {"id": 10, "link": "bond0", "mtu": 1500}},
    }});
    assert_eq!(written(&layered(), &around()), want);
}

#[test]
fn what_a_port_does_by_itself_needs_no_configuration() {
    let with =
        |mode, subnet| machine(vec![Nic { links: vec![link(1, mode, subnet, 9)], ..port(0) }, port(1)]);
    let plain = |machine: &Machine| netplan::is_plain(machine, &around());
    assert!(plain(&with(LinkMode::Auto, 2)) && plain(&with(LinkMode::Dhcp, 2)));
    assert!(plain(&machine(vec![port(0), port(1)])));
    assert!(!plain(&with(LinkMode::Auto, 1)), "there is a route");
    assert!(!plain(&with(LinkMode::Static, 2)) && !plain(&layered()));
    let mut second = with(LinkMode::Auto, 2);
    second.nics[1].links = vec![link(2, LinkMode::Dhcp, 2, 0)];
    assert!(!plain(&second));
}

fn some_machine() -> impl Strategy<Value = Machine> {
    let modes = prop::sample::select(LinkMode::ALL);
    let links = prop::collection::vec((modes, 1u64..=3, 2u8..250), 0..4);
    let nics = prop::collection::vec((links, any::<bool>(), prop::option::of(600u32..9000)), 1..6);
    (nics, prop::option::of(0usize..12), any::<bool>()).prop_map(|(ports, chosen, layer)| {
        let mut number = 100;
        let mut taken = std::collections::BTreeSet::new();
        let mut nics: Vec<Nic> = ports
            .into_iter()
            .zip(0..)
            .map(|((links, disabled, mtu), n)| {
                let mut nic = Nic { mtu, disabled: disabled && n > 0, ..port(n) };
                for (mode, subnet, last) in links {
                    let again = mode == LinkMode::Dhcp && nic.links.iter().any(|link| link.mode == mode);
                    if !again && (mode == LinkMode::Dhcp || taken.insert((subnet, last))) {
                        number += 1;
                        nic.links.push(link(number, mode, subnet, last));
                    }
                }
                nic
            })
            .collect();
        if layer && let Some(last) = nics.pop() {
            let links = last.links.clone();
            let kind = NicKind::Bridge(Bridge::default());
            let parent = Nic { links: Vec::new(), disabled: false, ..last };
            nics.push(Nic {
                number: 50,
                name: "br0".to_owned(),
                kind,
                links,
                parents: vec![parent.number],
                boot: false,
                ..parent.clone()
            });
            nics.push(parent);
        }
        let mut machine = machine(nics);
        machine.default_gateway = chosen.and_then(|at| Some(machine.links().nth(at)?.1.number));
        machine
    })
}

fn devices(written: &Value) -> Vec<Value> {
    let kinds = ["ethernets", "bonds", "bridges", "vlans"];
    let of = |kind: &str| written["network"][kind].as_object().cloned().unwrap_or_default();
    kinds.into_iter().flat_map(|kind| of(kind).into_iter().map(|(_, device)| device)).collect()
}

proptest! {
    /// There are never two default routes, and every address of the machine is there once.
    #[test]
    fn one_way_out_and_every_address(machine in some_machine()) {
        let devices = devices(&written(&machine, &around()));
        let routes = devices.iter().flat_map(|device| device["routes"].as_array().cloned().unwrap_or_default());
        let by_route = routes.filter(|route| route["to"] == "0.0.0.0/0").count();
        let asks = |device: &&Value| device["dhcp4"] == true && device["dhcp4-overrides"]["use-routes"] != false;
        let by_dhcp = devices.iter().filter(asks).count();
        prop_assert!(by_route + by_dhcp <= 1, "{by_route} by route, {by_dhcp} by DHCP");

        let mut want: Vec<String> = machine
            .links()
            .filter(|(nic, _)| !nic.disabled)
            .filter_map(|(_, link)| Some(format!("{}/24", link.ip?)))
            .collect();
        let mut got: Vec<String> = devices
            .iter()
            .flat_map(|device| device["addresses"].as_array().cloned().unwrap_or_default())
            .map(|address| address.as_str().unwrap().to_owned())
            .collect();
        want.sort();
        got.sort();
        prop_assert_eq!(want, got);
    }
}

/// Debian's cloud-init, unpacked: installed, it would become part of the host's own start. `None` where apt has none.
fn cloud_init() -> Option<PathBuf> {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cloud-init");
    if place.exists() {
        return Some(place);
    }
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let done = Command::new(program).args(arguments).current_dir(scratch.path()).output();
        done.is_ok_and(|done| done.status.success())
    };
    let fetched = run("apt-get", &["-q", "-o", "APT::Sandbox::User=root", "download", "cloud-init"])
        && run("sh", &["-c", "dpkg-deb -x cloud-init_*.deb root"]);
    // Another test may have been quicker: then theirs counts.
    let _ = fetched && std::fs::rename(scratch.path().join("root"), &place).is_ok();
    place.exists().then_some(place)
}

/// What the real cloud-init makes of a file, by path; `None` where there is none.
fn converted(file: &str, kind: &str) -> Option<BTreeMap<String, String>> {
    let Some(root) = cloud_init() else {
        eprintln!("left out: apt has no package cloud-init");
        return None;
    };
    let dir = tempfile::tempdir().unwrap();
    let (input, out) = (dir.path().join("network"), dir.path().join("out"));
    std::fs::write(&input, file).unwrap();
    let done = Command::new("/usr/bin/python3")
        .env("PYTHONPATH", root.join("usr/lib/python3/dist-packages"))
        .arg(root.join("usr/bin/cloud-init"))
        .args(["devel", "net-convert", "--kind", "yaml", "--distro", "debian"])
        .args([
            "--mac",
            "eth0,52:54:00:00:00:00",
            "--mac",
            "eth1,52:54:00:00:00:01",
            "--mac",
            "eth2,52:54:00:00:00:02",
        ])
        .args(["--output-kind", kind, "--network-data"])
        .args([&input, Path::new("--directory"), &out])
        .output()
        .unwrap();
    assert!(done.status.success(), "{kind}: {}", String::from_utf8_lossy(&done.stderr));
    let mut found = BTreeMap::new();
    let mut folders = vec![out.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(&out).unwrap().display().to_string();
                found.insert(name, std::fs::read_to_string(path).unwrap());
            }
        }
    }
    Some(found)
}

#[test]
fn the_real_cloud_init_makes_netplan_of_it() {
    let file = netplan::file(&layered(), &around()).unwrap();
    let Some(found) = converted(&file, "netplan") else { return };
    let text: String = found.into_values().collect();
    for line in [
        "macaddress: '52:54:00:00:00:00'",
        "set-name: eth1",
        "- 10.0.1.50/24",
        "- 10.0.2.5/24",
        "mode: 802.3ad",
        "lacp-rate: fast",
        "id: 10",
        "link: bond0",
        "to: 0.0.0.0/0",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    assert_eq!(text.matches("0.0.0.0/0").count(), 1, "{text}");
}

#[test]
fn the_real_cloud_init_makes_ifupdown_of_it() {
    let file = netplan::file(&layered(), &around()).unwrap();
    let Some(found) = converted(&file, "eni") else { return };
    let text: String = found.into_values().collect();
    for line in [
        "address 10.0.1.50/24",
        "address 10.0.1.51/24",
        "address 10.0.2.5/24",
        "bond-mode 802.3ad",
        "bond-lacp-rate fast",
        "bridge_ports bond0.10",
        "vlan-raw-device bond0",
        "iface eth2 inet dhcp",
        "ATTR{address}==\"52:54:00:00:00:01\", NAME=\"eth1\"",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    assert_eq!(text.matches("post-up route add default gw 10.0.1.1").count(), 1, "{text}");
}

/// cloud-init's own writer for systemd-networkd knows no bonds, bridges and VLANs: ports are what it is asked for.
#[test]
fn the_real_cloud_init_makes_networkd_units_of_ports() {
    let first = Nic { links: vec![link(1, LinkMode::Static, 1, 50)], ..port(0) };
    let second = Nic { links: vec![link(2, LinkMode::Dhcp, 2, 0)], ..port(1) };
    let file = netplan::file(&machine(vec![first, second]), &around()).unwrap();
    let Some(found) = converted(&file, "networkd") else { return };
    let unit = |name: &str| {
        let end = format!("10-cloud-init-{name}.network");
        found.iter().find(|(path, _)| path.ends_with(&end)).map(|(_, text)| text.clone()).unwrap()
    };
    for line in
        ["MACAddress=52:54:00:00:00:00", "Address=10.0.1.50/24", "Gateway=10.0.1.1", "DNS=10.0.1.2 10.0.1.3"]
    {
        assert!(unit("eth0").contains(line), "{line} is not in {}", unit("eth0"));
    }
    for line in ["DHCP=ipv4", "UseRoutes=False"] {
        assert!(unit("eth1").contains(line), "{line} is not in {}", unit("eth1"));
    }
}
