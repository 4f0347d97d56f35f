//! Tests that gate Ready, scripts that people bring, rescue and back.

use agent_protocol::ScriptState;
use maas_client::{Outputs, ScriptResult, Scripts, Status};

use crate::{
    life::deploy,
    node::Phase,
    site::{Site, until},
};

fn fails(output: &str) -> ScriptState {
    ScriptState::Ended { exit_status: 1, output: output.to_owned(), result: String::new() }
}

/// Results of the newest run of a kind, by the script's name.
async fn newest(site: &Site, id: &str, kind: &str) -> Vec<ScriptResult> {
    let sets = site.client().results(id, Outputs::Included).await.unwrap();
    sets.into_iter().find(|set| set.type_name == kind).map(|set| set.results).unwrap_or_default()
}

fn summary(results: &[ScriptResult]) -> Vec<String> {
    results.iter().map(|result| format!("{} {}", result.name, result.status_name)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_that_fails_keeps_a_machine_from_becoming_ready() {
    let site = Site::start(1).await;
    let (client, node) = (site.client(), site.nodes[0].clone());
    node.change(|seen| {
        seen.ends.insert("bessemer-memory".to_owned(), fails("patterns\n3 words are wrong\n"));
    });
    node.press();
    let id = site.machine(&node).await.system_id;
    let machine = site.reaches(&id, Status::FailedTesting).await;
    assert_eq!(machine.error_description, "bessemer-memory failed: 3 words are wrong");
    let results = newest(&site, &id, "Testing").await;
    assert_eq!(
        summary(&results),
        ["bessemer-cpu Passed", "bessemer-memory Failed", "bessemer-disk Passed"],
        "the others have run, too"
    );
    assert_eq!(results[1].output().unwrap(), "patterns\n3 words are wrong\n");
    let inventory = &newest(&site, &id, "Commissioning").await[0];
    assert!(inventory.output().unwrap().contains(&node.mac), "the inventory is a result");
    until("it is off", async || (client.power_query(&id).await.unwrap() == "off").then_some(())).await;

    client.override_failed_testing(&id).await.unwrap();
    site.reaches(&id, Status::Ready).await;
    // Tested again, it does not pass either; once it is mended, it does.
    client.test(&id, &Scripts::default()).await.unwrap();
    site.reaches(&id, Status::FailedTesting).await;
    node.change(|seen| seen.ends.clear());
    client
        .test(&id, &Scripts { testing: vec!["bessemer-memory".to_owned()], ..Scripts::default() })
        .await
        .unwrap();
    let machine = site.reaches(&id, Status::Ready).await;
    assert_eq!(machine.error_description, "");
    assert_eq!(summary(&newest(&site, &id, "Testing").await), ["bessemer-memory Passed"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployed_machine_is_tested_and_goes_on() {
    let site = Site::start(1).await;
    let (client, node) = (site.client(), site.nodes[0].clone());
    let id = site.commissioned(&node).await;
    client.deploy(&id, &deploy("debian/bookworm", "")).await.unwrap();
    site.reaches(&id, Status::Deployed).await;
    let disk = node.seen().disk;
    client.test(&id, &Scripts::default()).await.unwrap();
    site.reaches(&id, Status::Deployed).await;
    until("its own system runs again", async || (node.counts().first_boots == 2).then_some(())).await;
    let counts = node.counts();
    assert_eq!((counts.installs, counts.erases, counts.tests), (1, 0, 2));
    assert_eq!(node.seen().disk, disk);
}

const SCRIPT: &str = "#!/bin/sh\n# --- Start MAAS 1.0 script metadata ---\n# name: rattle\n# script_type: testing\n\
    # hardware_type: storage\n# timeout: 00:01:00\n# parallel: instance\n\
    # parameters: {storage: {type: storage, argument_format: '-d {path}'}}\n\
    # --- End MAAS 1.0 script metadata ---\nexit 0\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_of_people_run_with_what_they_want() {
    let site = Site::start(1).await;
    let (client, node) = (site.client(), site.nodes[0].clone());
    let id = site.commissioned(&node).await;
    assert_eq!(client.create_script(SCRIPT).await.unwrap().name, "rattle");
    let wanted = Scripts { testing: vec!["rattle".to_owned()], ..Scripts::default() };
    let degraded =
        ScriptState::Ended { exit_status: 0, output: String::new(), result: "status: degraded\n".to_owned() };
    node.change(|seen| {
        seen.ends.insert("rattle".to_owned(), degraded);
    });
    client.test(&id, &wanted).await.unwrap();
    site.reaches(&id, Status::Ready).await;
    let ran = node.seen().ran.pop().unwrap();
    assert_eq!((ran.text.as_deref(), ran.timeout_s), (Some(SCRIPT), 60));
    assert_eq!(ran.arguments, ["-d", "/dev/vda"]);
    assert_eq!(summary(&newest(&site, &id, "Testing").await), ["rattle Degraded"]);

    node.change(|seen| {
        seen.ends.insert("rattle".to_owned(), ScriptState::TimedOut { output: "tick".to_owned() });
    });
    client.commission(&id, &wanted).await.unwrap();
    let machine = site.reaches(&id, Status::FailedTesting).await;
    assert_eq!(machine.error_description, "rattle timed out: tick");
    // One that is forgotten meanwhile is said.
    client.delete_script("rattle").await.unwrap();
    let error = client.test(&id, &wanted).await.unwrap_err();
    assert!(error.to_string().contains("rattle is not one of the available choices"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rescue_and_back() {
    let site = Site::start(1).await;
    let (client, node) = (site.client(), site.nodes[0].clone());
    let id = site.commissioned(&node).await;
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMfcKSgRJwiWgwWRDjBJzGsCj0ZJZIkFQ3RsbfKH8ZJl me";
    client.add_ssh_key(key).await.unwrap();

    // A machine that is nobody's is off afterwards, as it was before.
    client.rescue(&id).await.unwrap();
    site.reaches(&id, Status::RescueMode).await;
    assert_eq!(node.seen().rescuers, [key]);
    client.exit_rescue(&id).await.unwrap();
    site.reaches(&id, Status::Ready).await;
    assert_eq!(client.power_query(&id).await.unwrap(), "off");

    client.deploy(&id, &deploy("debian/bookworm", "")).await.unwrap();
    site.reaches(&id, Status::Deployed).await;
    let (boots, disk) = (node.counts().first_boots, node.seen().disk);
    client.rescue(&id).await.unwrap();
    site.reaches(&id, Status::RescueMode).await;
    // It may be restarted, and is in the rescue system again.
    node.change(|seen| seen.rescuers.clear());
    node.press();
    until("the rescue system is back", async || (!node.seen().rescuers.is_empty()).then_some(())).await;
    assert_eq!(client.machine(&id).await.unwrap().status, Status::RescueMode);
    client.exit_rescue(&id).await.unwrap();
    site.reaches(&id, Status::Deployed).await;
    until("its own system runs", async || (node.counts().first_boots > boots).then_some(())).await;
    assert_eq!((node.seen().disk, node.counts().installs), (disk, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_given_up_ends_with_the_machine_off() {
    let site = Site::start(1).await;
    let (client, node) = (site.client(), site.nodes[0].clone());
    let id = site.commissioned(&node).await;
    let mut held = node.hold(Phase::Tested);
    client.test(&id, &Scripts::default()).await.unwrap();
    held.is_there().await;
    let machine = client.abort(&id).await.unwrap();
    assert_eq!(machine.status, Status::Ready);
    // Its agent never hears of it.
    until("it is off", async || (client.power_query(&id).await.unwrap() == "off").then_some(())).await;
    assert_eq!(node.counts().tests, 2);
}
