//! Networks of machines, configured as a client does it, refusals included.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::{Answer, Region, region};
use jiff::{SignedDuration, Timestamp};
use lifecycle::Status;
use model::{Lease, SCOPE};
use serde_json::{Value, json};
use store::Batch;

const ID: &str = "8x8q3x";

impl Region {
    async fn good(&self, method: &str, path: &str, form: &str) -> Value {
        self.call("admin", method, path, Some(form)).await.ok()
    }

    async fn post(&self, path: &str, form: &str) -> Value {
        self.good("POST", path, form).await
    }

    /// An operation on an interface of the machine.
    async fn on(&self, nic: &Value, op: &str, form: &str) -> Answer {
        let path = format!("/nodes/{ID}/interfaces/{}/?op={op}", nic["id"]);
        self.call("admin", "POST", &path, Some(form)).await
    }

    async fn get(&self, path: &str) -> Value {
        self.call("admin", "GET", path, None).await.ok()
    }
}

#[track_caller]
fn refused(answer: &Answer, status: u16, words: &Value) {
    let said = serde_json::from_str(&answer.text).unwrap_or_else(|_| Value::from(answer.text.clone()));
    assert_eq!((answer.status.as_u16(), &said), (status, words));
}

#[tokio::test]
async fn a_bond_with_a_vlan_and_a_bridge_from_making_to_release() {
    let region = region().await;
    region.machine(ID, 7, Status::Ready).await;
    region.machine("other3", 8, Status::Ready).await;
    let interfaces = format!("/nodes/{ID}/interfaces/");
    let op = |name: &str| format!("{interfaces}?op={name}");

    let first = region.get(&format!("{interfaces}eth0/")).await;
    let second =
        region.post(&op("create_physical"), "mac_address=52-54-00-00-01-07&vlan=5001&tags=a,b").await;
    assert_eq!((&second["name"], &second["type"]), (&"eth1".into(), &"physical".into()));
    assert_eq!(second["mac_address"], "52:54:00:00:01:07");
    assert_eq!((&second["tags"], &second["links"][0]["mode"]), (&json!(["a", "b"]), &"link_up".into()));
    let again =
        region.call("admin", "POST", &op("create_physical"), Some("mac_address=52:54:00:00:00:08")).await;
    let words = "This MAC address is already in use by eth0 (physical) on m00008.";
    refused(&again, 400, &json!({"mac_address": [words]}));
    let nobody =
        region.call("user1", "POST", &op("create_physical"), Some("mac_address=52:54:00:00:02:07")).await;
    assert_eq!(nobody.status.as_u16(), 403);

    let parents = format!("parents={}&parents={}", first["id"], second["id"]);
    let bond =
        region.post(&op("create_bond"), &format!("name=bond0&bond_mode=802.3ad&mtu=9000&{parents}")).await;
    assert_eq!((&bond["type"], &bond["parents"]), (&"bond".into(), &json!(["eth0", "eth1"])));
    assert_eq!(
        bond["params"],
        json!({
            "mtu": 9000, "bond_mode": "802.3ad", "bond_miimon": 100, "bond_downdelay": 0, "bond_updelay": 0,
            "bond_lacp_rate": "fast", "bond_xmit_hash_policy": "layer2", "bond_num_grat_arp": 1,
        })
    );
    assert_eq!((&bond["mac_address"], &bond["effective_mtu"]), (&first["mac_address"], &9000.into()));
    let port = region.get(&format!("{interfaces}{}/", first["id"])).await;
    assert_eq!((&port["children"], &port["links"]), (&json!(["bond0"]), &json!([])));
    assert_eq!(port["effective_mtu"], 9000);
    let bad = region.call("admin", "POST", &op("create_bond"), Some("name=b&bond_mode=x")).await;
    let words = "'x' is not a valid bond_mode.  It should be one of: 'balance-rr', 'active-backup', 'balance-xor', 'broadcast', '802.3ad', 'balance-tlb', 'balance-alb'.";
    refused(&bad, 400, &json!({"bond_mode": [words]}));
    let words = "Cannot link interface(eth0) when interface is in a bond(bond0).";
    refused(&region.on(&first, "link_subnet", "mode=AUTO&subnet=1").await, 400, &json!({"bond": [words]}));

    region.post("/fabrics/0/vlans/", "vid=10").await;
    region.post("/subnets/", "cidr=10.98.0.0/24&fabric=0&vid=10&gateway_ip=10.98.0.1").await;
    let tagged = region.get("/vlans/5002/").await["id"].clone();
    let vlan = region.post(&op("create_vlan"), &format!("parent={}&vlan={tagged}", bond["id"])).await;
    assert_eq!(
        (&vlan["name"], &vlan["type"], &vlan["params"]),
        (&"bond0.10".into(), &"vlan".into(), &json!({}))
    );
    let bridge = region.post(&op("create_bridge"), &format!("name=br0&parent={}", vlan["id"])).await;
    assert_eq!(bridge["params"], json!({"bridge_type": "standard", "bridge_stp": false, "bridge_fd": 15}));

    // Links: automatic on the bond, static on the bridge.
    region.on(&bond, "link_subnet", "mode=auto&subnet=1").await.ok();
    let linked = region
        .on(
            &bridge,
            "link_subnet",
            "mode=STATIC&subnet=cidr:10.98.0.0/24&ip_address=10.98.0.7&default_gateway=true",
        )
        .await
        .ok();
    assert_eq!(linked["links"][0]["ip_address"], "10.98.0.7");
    let machine = region.get(&format!("/machines/{ID}/")).await;
    let link = &linked["links"][0]["id"];
    assert_eq!(machine["default_gateways"]["ipv4"], json!({"gateway_ip": "10.98.0.1", "link_id": link}));
    assert_eq!(machine["interface_set"].as_array().unwrap().len(), 5);
    let machine = region.post(&format!("/machines/{ID}/?op=clear_default_gateways"), "").await;
    assert_eq!(machine["default_gateways"]["ipv4"]["link_id"], Value::Null);
    let twice = region.on(&bridge, "link_subnet", "mode=static&subnet=2&ip_address=10.98.0.7").await;
    refused(&twice, 404, &"IP address is already in use.".into());

    // The deployment gives the automatic link its address; then the network stays as it is.
    let deployed = region.post(&format!("/machines/{ID}/?op=deploy"), "distro_series=noble").await;
    let mut ips: Vec<_> = deployed["ip_addresses"].as_array().unwrap().clone();
    ips.sort_by_key(ToString::to_string);
    assert_eq!(ips, ["10.98.0.7", "10.99.0.2"]);
    let words = "Cannot link subnet interface because the machine is not New, Ready, Allocated, or Broken.";
    refused(&region.on(&bond, "link_subnet", "mode=auto&subnet=1").await, 409, &words.into());
    let words =
        "Cannot delete interface interface because the machine is not New, Ready, Allocated, or Broken.";
    let path = format!("{interfaces}{}/", bond["id"]);
    refused(&region.call("admin", "DELETE", &path, None).await, 409, &words.into());
    region.on(&bond, "add_tag", "tag=lag").await.ok();
    region.enter(ID, Status::Deployed).await;
    let renamed = region.good("PUT", &path, "name=lag0&mtu=1500").await;
    assert_eq!(
        (&renamed["name"], &renamed["params"]["mtu"], &renamed["tags"]),
        (&"lag0".into(), &9000.into(), &json!(["lag"]))
    );
    assert_eq!(region.on(&bond, "remove_tag", "tag=lag").await.ok()["tags"], json!([]));

    // Given back, the automatic address is free again, and the static one is not.
    region.enter(ID, Status::Ready).await;
    let machine = region.get(&format!("/machines/{ID}/")).await;
    assert_eq!(machine["ip_addresses"], json!(["10.98.0.7"]));
    let restored = region.post(&format!("/machines/{ID}/?op=restore_networking_configuration"), "").await;
    let names: Vec<_> =
        restored["interface_set"].as_array().unwrap().iter().map(|nic| &nic["name"]).collect();
    assert_eq!(names, ["eth0", "eth1"]);
    assert_eq!(restored["boot_interface"]["links"][0]["mode"], "auto");
    let other = region.get("/nodes/other3/interfaces/eth0/").await;
    let path = format!("/nodes/other3/interfaces/{}/", other["id"]);
    region.post(&format!("{path}?op=disconnect"), "").await;
    let moved =
        region.post(&format!("{path}?op=link_subnet"), "mode=static&subnet=2&ip_address=10.98.0.7").await;
    assert_eq!((&moved["links"][0]["ip_address"], &moved["vlan"]["id"]), (&"10.98.0.7".into(), &tagged));
}

#[tokio::test]
async fn one_address_is_linked_once_however_many_ask() {
    let region = region().await;
    let ids = ["aaa346", "bbb346", "ccc346", "ddd346"];
    for (id, number) in ids.iter().zip(1..) {
        region.machine(id, number, Status::Ready).await;
    }
    let ask = |id: &'static str, form: &'static str| {
        let region = &region;
        async move {
            region
                .call("admin", "POST", &format!("/nodes/{id}/interfaces/eth0/?op=link_subnet"), Some(form))
                .await
        }
    };
    let one = ids.map(|id| ask(id, "mode=static&subnet=1&ip_address=10.99.0.50"));
    let mut answers: Vec<u16> =
        futures_util::future::join_all(one).await.iter().map(|answer| answer.status.as_u16()).collect();
    answers.sort_unstable();
    assert_eq!(answers, [200, 404, 404, 404]);
    let any = futures_util::future::join_all(ids.map(|id| ask(id, "mode=static&subnet=1"))).await;
    let mut ips: Vec<String> = any
        .into_iter()
        .map(|answer| {
            let links = answer.ok()["links"].clone();
            links.as_array().unwrap().last().unwrap()["ip_address"].as_str().unwrap().to_owned()
        })
        .collect();
    ips.sort();
    ips.dedup();
    assert_eq!(ips.len(), 4, "{ips:?}");
    // 253 addresses, of which 21 are dynamic: the rest can be had, and no more.
    let taken = region.get("/subnets/1/?op=ip_addresses").await;
    assert_eq!(taken.as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn a_bridge_made_on_an_allocated_machine_goes_with_the_allocation() {
    let region = region().await;
    region.machine(ID, 7, Status::Ready).await;
    let nic = region.get(&format!("/nodes/{ID}/interfaces/eth0/")).await;
    region.on(&nic, "link_subnet", "mode=auto&subnet=1").await.ok();
    region.post("/machines/?op=allocate", "").await;
    let bridge = region
        .post(&format!("/nodes/{ID}/interfaces/?op=create_bridge"), &format!("parent={}", nic["id"]))
        .await;
    assert_eq!((&bridge["name"], &bridge["links"][0]["mode"]), (&"br-eth0".into(), &"auto".into()));
    let deployed = region.post(&format!("/machines/{ID}/?op=deploy"), "distro_series=noble").await;
    assert_eq!(deployed["ip_addresses"], json!(["10.99.0.2"]));
    region.enter(ID, Status::Ready).await;
    let machine = region.get(&format!("/machines/{ID}/")).await;
    assert_eq!(machine["interface_set"].as_array().unwrap().len(), 1);
    let links = &machine["interface_set"][0]["links"];
    assert_eq!((&links[0]["mode"], links[0].get("ip_address")), (&"auto".into(), None));
}

#[tokio::test]
async fn reserved_addresses_follow_their_mac_address() {
    let region = region().await;
    region.machine(ID, 7, Status::Ready).await;
    region.machine("other3", 8, Status::Ready).await;
    let mac = "52:54:00:00:00:07";
    let made = region.post("/reservedips/", &format!("ip=10.99.0.60&mac_address={mac}&comment=x")).await;
    assert_eq!((&made["ip"], &made["subnet"]["id"]), (&"10.99.0.60".into(), &1.into()));
    let refuse = |form: &'static str| {
        let region = &region;
        async move { region.call("admin", "POST", "/reservedips/", Some(form)).await }
    };
    let words = "Reserved IP with this MAC address and Subnet already exists.";
    let second = refuse("ip=10.99.0.61&mac_address=52:54:00:00:00:07").await;
    refused(&second, 400, &json!({"__all__": [words]}));
    let edge = refuse("ip=10.99.0.255&mac_address=52:54:00:00:00:09").await;
    refused(&edge, 400, &json!({"ip": ["The broadcast address cannot be a reserved IP."]}));
    let link = |id: &str| format!("/nodes/{id}/interfaces/eth0/?op=link_subnet");
    let taken = region
        .call("admin", "POST", &link("other3"), Some("mode=static&subnet=1&ip_address=10.99.0.60"))
        .await;
    refused(&taken, 404, &"IP address is already in use.".into());

    let linked = region.post(&link(ID), "mode=static&subnet=1").await;
    assert_eq!(linked["links"][0]["ip_address"], "10.99.0.60");
    let path = format!("/reservedips/{}/", made["id"]);
    assert_eq!(region.good("PUT", &path, "comment=y").await["comment"], "y");
    let moved = region.call("admin", "PUT", &path, Some("ip=10.99.0.62")).await;
    let words = "The ip, mac_address and the subnet of a reserved ip are immutable. Please delete the entry and recreate it.";
    refused(&moved, 400, &json!({"__all__": [words]}));
    // Who has the address keeps it.
    assert_eq!(region.call("admin", "DELETE", &path, None).await.status.as_u16(), 204);
    let holder = || region.machines.store().holder(SCOPE, "ip", "10.99.0.60");
    assert_eq!(holder().as_deref(), Some(ID));
    let foreign = refuse("ip=10.99.0.60&mac_address=52:54:00:00:00:08").await;
    refused(&foreign, 400, &json!({"ip": ["The ip 10.99.0.60 is already in use by another machine."]}));
    region.post("/reservedips/", &format!("ip=10.99.0.60&mac_address={mac}")).await;
    region.post(&format!("/nodes/{ID}/interfaces/eth0/?op=disconnect"), "").await;
    assert_eq!(holder(), Some(format!("mac:{mac}")));
    let missing = region.call("admin", "GET", "/reservedips/9/", None).await;
    refused(&missing, 404, &"No ReservedIP matches the given query.".into());
}

#[tokio::test]
async fn static_routes_are_checked_and_go_with_their_subnets() {
    let region = region().await;
    region.post("/subnets/", "cidr=10.98.0.0/24").await;
    let create = |form: &'static str| {
        let region = &region;
        async move { region.call("admin", "POST", "/static-routes/", Some(form)).await }
    };
    let route = "source=1&destination=2&gateway_ip=10.99.0.9";
    assert_eq!(create(route).await.ok()["metric"], 0);
    let words = "Static route with this Source, Destination and Gateway IP already exists.";
    refused(&create(route).await, 400, &json!({"__all__": [words]}));
    let outside = create("source=1&destination=2&gateway_ip=10.98.0.9").await;
    refused(&outside, 400, &json!({"__all__": ["gateway_ip must be with in the source subnet."]}));
    let itself = create("source=1&destination=1&gateway_ip=10.99.0.9").await;
    refused(&itself, 400, &json!({"__all__": ["source and destination cannot be the same subnet."]}));
    let nothing = create("source=7").await;
    assert_eq!(nothing.json()["destination"], json!(["This field is required."]));
    assert_eq!(region.good("PUT", "/static-routes/1/", "metric=7").await["metric"], 7);
    assert_eq!(region.call("user1", "DELETE", "/static-routes/1/", None).await.status.as_u16(), 403);
    assert_eq!(region.call("admin", "DELETE", "/subnets/2/", None).await.status.as_u16(), 204);
    assert_eq!(region.get("/static-routes/").await, json!([]));
}

#[tokio::test]
async fn hosts_that_are_no_machine_are_discovered() {
    let region = region().await;
    region.machine(ID, 7, Status::Ready).await;
    let seen = |last: u8, mac: &str, since: Timestamp| Lease {
        ip: [10, 99, 0, last].into(),
        mac: mac.to_owned(),
        state: "bound".to_owned(),
        since,
        expires: since + SignedDuration::from_mins(10),
        hostname: Some("printer".to_owned()),
    };
    let now = Timestamp::now() - SignedDuration::from_secs(60);
    let batch = Batch::new("test", "test")
        .create(SCOPE, "10.99.0.100", &seen(100, "52:54:00:00:00:07", now))
        .create(SCOPE, "10.99.0.101", &seen(101, "52:54:00:aa:00:01", now))
        .create(SCOPE, "10.99.0.102", &seen(102, "52:54:00:aa:00:02", now + SignedDuration::from_secs(1)));
    region.machines.store().commit(batch).await.unwrap();
    let found = region.get("/discovery/").await;
    let ips: Vec<_> = found.as_array().unwrap().iter().map(|one| &one["ip"]).collect();
    assert_eq!(ips, ["10.99.0.102", "10.99.0.101"], "newest first, and no machine");
    let keys: Vec<&String> = found[0].as_object().unwrap().keys().collect();
    let want = [
        "discovery_id",
        "fabric_name",
        "hostname",
        "ip",
        "last_seen",
        "mac_address",
        "mac_organization",
        "observer",
        "resource_uri",
        "vid",
    ];
    assert_eq!(keys, want);
    let observer: Vec<&String> = found[0]["observer"].as_object().unwrap().keys().collect();
    assert_eq!(observer, ["hostname", "interface_id", "interface_name", "system_id"]);
    let id = found[1]["discovery_id"].as_str().unwrap();
    assert_eq!(region.get(&format!("/discovery/{id}/")).await["mac_address"], "52:54:00:aa:00:01");

    let clear = |who: &'static str, op: &'static str, form: &'static str| {
        let region = &region;
        async move { region.call(who, "POST", &format!("/discovery/?op={op}"), Some(form)).await }
    };
    let words = "Must be an administrator to clear discovery entries.";
    refused(&clear("user1", "clear", "all=true").await, 403, &words.into());
    let words = "Bad request: could not determine what data to clear.\nMust specify mdns=True, neighbours=True, or all=True.";
    refused(&clear("admin", "clear", "").await, 400, &words.into());
    let form = "ip=10.99.0.101&mac=52:54:00:aa:00:01";
    assert_eq!(clear("admin", "clear_by_mac_and_ip", form).await.status.as_u16(), 204);
    assert_eq!(clear("admin", "clear_by_mac_and_ip", form).await.status.as_u16(), 404);
    assert_eq!(region.get("/discovery/?op=by_unknown_mac").await.as_array().unwrap().len(), 1);
    assert_eq!(clear("admin", "clear", "all=true").await.status.as_u16(), 204);
    assert_eq!(region.get("/discovery/?op=by_unknown_ip_and_mac").await, json!([]));
    // Leases are not touched, and who is seen again is there again.
    let lease = region.machines.store().get::<Lease>(SCOPE, "10.99.0.101").unwrap();
    let again = seen(101, "52:54:00:aa:00:01", Timestamp::now() + SignedDuration::from_secs(1));
    let batch = Batch::new("test", "test").update(SCOPE, "10.99.0.101", lease.version, &again);
    region.machines.store().commit(batch).await.unwrap();
    assert_eq!(region.get("/discovery/").await.as_array().unwrap().len(), 1);

    assert_eq!(clear("admin", "scan", "").await.status.as_u16(), 400);
    let scan = clear("admin", "scan", "cidr=10.99.0.0/24").await.ok();
    assert_eq!(
        (&scan["scan_started_on"], scan["failed_to_connect_to"].as_array().unwrap().len()),
        (&json!([]), 1)
    );
}
