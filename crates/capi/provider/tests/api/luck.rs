//! Bad luck.

use std::time::Duration;

use serde_json::json;

use crate::{
    maas::Fault,
    objects::{OURS, Provider, World, spec},
    server::{PATIENCE, until},
};

fn message(object: &serde_json::Value) -> String {
    let all = object["status"]["conditions"].as_array().unwrap();
    let deployed = all.iter().find(|condition| condition["type"] == "MachineDeployed").unwrap();
    deployed["message"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_had_is_said() {
    let Some(world) = World::start(1).await else { return };
    let provider = Provider::start(&world.server, &world.maas);
    world.cluster().await;
    world.infrastructure_is_there().await;

    world.machine_of("large", json!({}), json!({ "image": "k8s", "minCPU": 64, "minMemory": 1024 })).await;
    let said = message(&world.reason("large", "NoMatchingMachine").await);
    assert!(said.contains("64 CPUs") && said.contains("node-0 (aaaaa0), which has 2 CPUs"), "{said}");

    world
        .machine_of("imageless", json!({}), json!({ "image": "nosuch/image", "minCPU": 1, "minMemory": 1 }))
        .await;
    let said = message(&world.reason("imageless", "ImageNotFound").await);
    assert!(said.contains("'nosuch/image'") && said.contains("custom/k8s"), "{said}");
    assert!(world.maas.all_ready(), "nothing is taken for what cannot be");

    let lxd = json!({ "image": "k8s", "minCPU": 1, "minMemory": 1, "lxd": { "enabled": true } });
    world.machine_of("virtual", json!({}), lxd).await;
    world.reason("virtual", "NotSupported").await;
    for name in ["large", "imageless", "virtual"] {
        world.delete("MaasMachine", name).await;
        world.gone("MaasMachine", name).await;
    }
    provider.stop().await;
}

/// A provider without a MAAS of its own takes each namespace's; without one it says what is missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_has_its_own_maas() {
    let Some(world) = World::start(1).await else { return };
    let options = provider::Options { maas: None, ..Provider::options(&world.server, &world.maas) };
    let provider = Provider::start_with(options);
    world.cluster().await;
    until("it says that no MAAS is named", async || {
        let cluster = world.get(OURS, "MaasCluster", "c").await?;
        cluster["status"].to_string().contains("maas-credentials").then_some(())
    })
    .await;
    world
        .create(json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": provider::CREDENTIALS },
            "stringData": { "endpoint": world.maas.url(), "key": "a:b:c\n" } }))
        .await;
    world.infrastructure_is_there().await;
    world.machine_of("m", json!({}), spec()).await;
    world.reason("m", "MachineDeployed").await;
    provider.stop().await;
}

/// The object is changed between the call to MAAS and its answer: here by its deletion.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_allocation_does_not_keep_what_is_deleted_meanwhile() {
    let Some(world) = World::start(1).await else { return };
    let provider = Provider::start(&world.server, &world.maas);
    world.cluster().await;
    world.infrastructure_is_there().await;
    world.maas.state().holds_allocations = true;
    world.machine_of("large", json!({}), json!({ "image": "k8s", "minCPU": 64, "minMemory": 1024 })).await;
    until("MAAS is asked", async || {
        world.maas.state().calls.iter().any(|call| call.ends_with("allocate")).then_some(())
    })
    .await;
    world.delete("MaasMachine", "large").await;
    world.maas.state().holds_allocations = false;
    // Sooner than an answer that was lost would be given up.
    tokio::time::timeout(PATIENCE / 2, world.gone("MaasMachine", "large")).await.unwrap();
    provider.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_fails_is_given_back_and_another_taken() {
    let Some(world) = World::start(2).await else { return };
    world.maas.state().machines.get_mut("aaaaa0").unwrap().fails_to_deploy = true;
    let provider = Provider::start(&world.server, &world.maas);
    world.cluster().await;
    world.infrastructure_is_there().await;
    world.machine_of("m", json!({}), spec()).await;
    let machine = world.reason("m", "MachineDeployed").await;
    assert_eq!(machine["spec"]["providerID"], "maas:///default/aaaaa1");
    assert_eq!(
        machine["metadata"]["annotations"]["maas.infrastructure.cluster.x-k8s.io/failed-machines"],
        "aaaaa0"
    );
    let failed = world.maas.state().machines["aaaaa0"].clone();
    assert_eq!((failed.deployments, failed.erase.as_str()), (1, "Some(\"true\") Some(\"true\")"));
    let events = world.api("events.k8s.io/v1", "Event");
    until("an event tells why", async || {
        let all = events.list(&kube::api::ListParams::default()).await.ok()?;
        all.iter()
            .any(|event| {
                event.data["reason"] == "MachineDeployFailed"
                    && event.data["note"].as_str().is_some_and(|note| note.contains("the disk is on fire"))
            })
            .then_some(())
    })
    .await;
    provider.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletion_ends_without_a_cluster_and_with_disks_that_cannot_be_wiped() {
    let Some(world) = World::start(1).await else { return };
    world.maas.state().machines.get_mut("aaaaa0").unwrap().fails_to_wipe = 100;
    let provider = Provider::start(&world.server, &world.maas);
    world.cluster().await;
    world.infrastructure_is_there().await;
    world.machine_of("m", json!({}), spec()).await;
    world.reason("m", "MachineDeployed").await;
    // The MaasCluster goes by force, as when somebody takes its finalizer away.
    let finalizers = kube::api::Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    let clusters = world.api(OURS, "MaasCluster");
    provider.stop().await;
    clusters.patch("c", &kube::api::PatchParams::default(), &finalizers).await.unwrap();
    world.delete("MaasCluster", "c").await;
    let provider = Provider::start(&world.server, &world.maas);
    world.delete("MaasMachine", "m").await;
    world.gone("MaasMachine", "m").await;
    assert!(world.maas.is_broken("aaaaa0"), "nobody else may get what was not wiped");
    provider.stop().await;
}

/// The provider is ended wherever it is, again and again, while MAAS breaks connections before and after calls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_machine_comes_of_it_whatever_breaks() {
    let Some(world) = World::start(4).await else { return };
    let provider = Provider::start(&world.server, &world.maas);
    world.cluster().await;
    world.infrastructure_is_there().await;
    provider.die().await;
    world.maas.state().faults = vec![Fault::After, Fault::Busy, Fault::Before, Fault::After];
    world.machine_of("m", json!({}), spec()).await;
    let mut lives = 0u64;
    loop {
        let provider = Provider::start(&world.server, &world.maas);
        let life = Duration::from_millis(150 + lives * 97 % 400);
        let ended = tokio::time::timeout(life, async { world.reason("m", "MachineDeployed").await }).await;
        assert!(world.maas.held().len() <= 1, "{:?}", world.maas.held());
        lives += 1;
        if ended.is_ok() || lives > 12 {
            let machine = world.reason_within("m", "MachineDeployed", Duration::from_secs(150)).await;
            assert_eq!(world.maas.held().len(), 1);
            let id = machine["spec"]["providerID"].clone();
            world.delete("MaasMachine", "m").await;
            world.gone("MaasMachine", "m").await;
            assert!(world.maas.all_ready(), "{id}");
            provider.stop().await;
            return;
        }
        provider.die().await;
    }
}
