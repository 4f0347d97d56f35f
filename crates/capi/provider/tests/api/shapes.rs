//! Objects as the existing provider's releases write them.

use serde_json::{Value, json};

use crate::objects::{OURS, World};

fn written() -> Vec<Value> {
    let meta = |name: &str| json!({ "name": name, "namespace": "n" });
    let machine = json!({ "failureDomain": "az1", "systemID": "abc123", "providerID": "maas:///az1/abc123",
        "resourcePool": "rp", "minCPU": 4, "minMemory": 8192, "minDiskSize": 60, "tags": ["a", "b"],
        "image": "custom/u-2204-0-k-1320-0", "deployInMemory": false,
        "lxd": { "enabled": false, "vmConfig": { "diskSize": 60, "storagePool": "default", "network": "s1,s2",
            "interfaceLinkModes": { "eth0": "auto" }, "autoStart": true } },
        "staticIP": { "ip": "", "cidr": "10.0.0.0/24", "gateway": "10.0.0.1", "nameservers": ["1.1.1.1"] } });
    vec![
        json!({ "apiVersion": OURS, "kind": "MaasCluster", "metadata": meta("full"), "spec": {
            "dnsDomain": "maas.sc", "controlPlaneEndpoint": { "host": "", "port": 0 }, "failureDomains": ["az1", "az2"],
            "lxdConfig": { "enabled": true, "resourcePool": "rp", "zone": "az1", "storageBackend": "dir",
                "storageSize": "100", "nicType": "macvlan", "nicParent": "eno1", "networkBridge": "br0",
                "skipNetworkUpdate": false } } }),
        json!({ "apiVersion": OURS, "kind": "MaasCluster", "metadata": meta("least"), "spec": { "dnsDomain": "maas.sc" } }),
        json!({ "apiVersion": OURS, "kind": "MaasCluster", "metadata": meta("specless") }),
        json!({ "apiVersion": OURS, "kind": "MaasMachine", "metadata": meta("full"), "spec": machine }),
        json!({ "apiVersion": OURS, "kind": "MaasMachine", "metadata": meta("least"),
            "spec": { "minCPU": 0, "minMemory": 0, "image": "ubuntu/jammy" } }),
        json!({ "apiVersion": OURS, "kind": "MaasMachineTemplate", "metadata": meta("full"),
            "spec": { "template": { "spec": machine } } }),
        json!({ "apiVersion": OURS, "kind": "MaasMachineTemplate", "metadata": meta("lxd"),
            "spec": { "template": { "spec": { "minCPU": 1, "minMemory": 1, "image": "x", "lxd": { "enabled": true, "vmConfig": {} } } } } }),
    ]
}

/// Whether all of `part` is in `whole`.
fn holds(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(key, value)| whole.get(key).is_some_and(|found| holds(found, value)))
        }
        (whole, part) => whole == part,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_is_written_today_is_taken_whole() {
    let Some(world) = World::start(0).await else { return };
    for object in written() {
        let stored = world.create(object.clone()).await;
        assert!(holds(&stored, &object), "{stored} lacks something of {object}");
    }
    let lxd = world.get(OURS, "MaasMachineTemplate", "lxd").await.unwrap();
    let config = &lxd["spec"]["template"]["spec"]["lxd"]["vmConfig"];
    assert_eq!(*config, json!({ "diskSize": 60, "autoStart": true }));
    for (kind, spec) in [
        ("MaasCluster", json!({})),
        ("MaasCluster", json!({ "dnsDomain": "" })),
        ("MaasCluster", json!({ "dnsDomain": "a", "lxdConfig": { "nicType": "other" } })),
        ("MaasMachine", json!({ "minCPU": 1, "image": "x" })),
        ("MaasMachine", json!({ "minCPU": -1, "minMemory": 1, "image": "x" })),
        ("MaasMachine", json!({ "minCPU": 1, "minMemory": 1, "image": "" })),
    ] {
        let object = json!({ "apiVersion": OURS, "kind": kind, "metadata": { "name": "bad" }, "spec": spec });
        let object = serde_json::from_value(object).unwrap();
        let refused = world.api(OURS, kind).create(&kube::api::PostParams::default(), &object).await;
        assert!(refused.is_err(), "{kind} {spec}");
    }
    // Status as 0.8 wrote it, when failure domains were a map: read, and written anew as a list by the provider.
    let old: capi_types::MaasClusterStatus = serde_json::from_value(json!({
        "ready": true, "failureDomains": { "az1": { "controlPlane": true } }, "network": { "dnsName": "a.maas.sc" },
    }))
    .unwrap();
    assert_eq!(old.failure_domains[0].name, "az1");
}
