//! A cluster from its beginning to its end.

use std::net::SocketAddr;

use serde_json::json;

use crate::{
    objects::{OURS, Provider, World, spec},
    server::{conditions, free_port, until},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_made_and_leaves_nothing_behind() {
    let Some(world) = World::start(2).await else { return };
    let health = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let options = provider::Options { health: Some(health), ..Provider::options(&world.server, &world.maas) };
    let provider = Provider::start_with(options);
    let asked =
        kube::Client::try_from(kube::Config::new(format!("http://{health}").parse().unwrap())).unwrap();
    until("the provider is ready", async || {
        asked.request_text(axum::http::Request::get("/readyz").body(Vec::new()).unwrap()).await.ok()
    })
    .await;
    world.cluster().await;
    world.infrastructure_is_there().await;
    let cluster = world.get(OURS, "MaasCluster", "c").await.unwrap();
    let name = cluster["status"]["network"]["dnsName"].as_str().unwrap().to_owned();
    assert!(name.starts_with("c-") && name.ends_with(".lab.example"), "{name}");
    assert_eq!(cluster["spec"]["controlPlaneEndpoint"], json!({ "host": name, "port": world.server.port }));
    assert_eq!(cluster["status"]["failureDomains"], json!([{ "name": "default", "controlPlane": true }]));

    world.machine_of("cp", json!({ "cluster.x-k8s.io/control-plane": "" }), spec()).await;
    let machine = world
        .machine("cp", "it is provisioned", |object| {
            object["status"]["initialization"]["provisioned"] == true
        })
        .await;
    assert_eq!(machine["spec"]["providerID"], "maas:///default/aaaaa0");
    assert_eq!(machine["spec"]["systemID"], "aaaaa0");
    assert_eq!(machine["spec"]["failureDomain"], "default");
    let held = world.maas.held();
    assert_eq!(held.len(), 1);
    assert_eq!((held[0].series.as_str(), held[0].user_data.as_str()), ("custom/k8s", "I2Nsb3VkLWNvbmZpZwo="));
    let mark = machine["metadata"]["annotations"]["maas.infrastructure.cluster.x-k8s.io/agent-name"]
        .as_str()
        .unwrap();
    assert_eq!(held[0].agent_name, mark);
    assert!(mark.starts_with("bessemer/") && mark.ends_with("/n/cp"), "{mark}");

    // Its node joins, and gets the provider id.
    world.create(json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "node-0" } })).await;
    until("the node has its provider id", async || {
        let node = world.get("v1", "Node", "node-0").await?;
        (node["spec"]["providerID"] == "maas:///default/aaaaa0").then_some(())
    })
    .await;
    until("the API server's name leads to it", async || {
        let names = world.maas.state().names.clone();
        names.values().any(|(_, addresses)| addresses == &["127.0.0.1"]).then_some(())
    })
    .await;
    let ready = |object: &serde_json::Value| {
        conditions(object).iter().any(|(kind, status, _)| kind == "Ready" && status == "True")
    };
    world.machine("cp", "it is Ready", ready).await;
    until("the cluster is Ready", async || world.get(OURS, "MaasCluster", "c").await.filter(ready)).await;

    world.delete("MaasCluster", "c").await;
    world.delete("MaasMachine", "cp").await;
    world.gone("MaasMachine", "cp").await;
    assert!(world.maas.all_ready());
    assert_eq!(world.maas.state().machines["aaaaa0"].erase, "Some(\"true\") Some(\"true\")");
    world.gone("MaasCluster", "c").await;
    assert!(world.maas.state().names.is_empty());
    provider.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_cluster_is_left_alone() {
    let Some(world) = World::start(1).await else { return };
    world.cluster().await;
    let provider = Provider::start(&world.server, &world.maas);
    world.infrastructure_is_there().await;
    let cluster = world.api(crate::objects::CORE, "Cluster");
    let paused = |is: bool| kube::api::Patch::Merge(json!({ "spec": { "paused": is } }));
    cluster.patch("c", &kube::api::PatchParams::default(), &paused(true)).await.unwrap();
    world.machine_of("m", json!({}), spec()).await;
    world
        .machine("m", "it says that it is paused", |object| {
            conditions(object).iter().any(|(kind, status, _)| kind == "Paused" && status == "True")
        })
        .await;
    assert!(world.maas.held().is_empty());
    cluster.patch("c", &kube::api::PatchParams::default(), &paused(false)).await.unwrap();
    world.reason("m", "MachineDeployed").await;
    provider.stop().await;
}
