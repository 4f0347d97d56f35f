//! Bad luck: each with a state, and a reason that names what is wrong.

use std::time::Duration;

use bmc::Fault;
use maas_client::{Client, Status};
use region::RegionError;
use tokio::sync::watch;

use crate::{
    life::{deploy, quick},
    node::{Phase, Temper},
    site::{IMAGE_SIZE, Site, until},
};

async fn deploying(fault: Fault) -> (Site, Client, String) {
    let site = Site::start(1).await;
    let id = site.commissioned(&site.nodes[0]).await;
    site.nodes[0].faults.set(fault);
    let client = site.client();
    client.deploy(&id, &deploy("debian/bookworm", "")).await.unwrap();
    (site, client, id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bmc_that_refuses_fails_the_deployment() {
    let (site, client, id) = deploying(Fault::Refuse).await;
    let why = site.waits_for(&id, "refused GET /redfish/v1/Systems/1: 503").await;
    assert!(why.waiting.unwrap().until.is_some());
    let machine = site.reaches(&id, Status::FailedDeployment).await;
    assert!(machine.error_description.contains("the BMC failed 5 times"), "{}", machine.error_description);
    assert!(machine.error_description.contains("503"), "{}", machine.error_description);
    // What failed can be given back once the BMC is well.
    site.nodes[0].faults.set(Fault::None);
    client.release(&id, &quick()).await.unwrap();
    site.reaches(&id, Status::Ready).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_named_and_mends() {
    let (site, _, id) = deploying(Fault::WrongAuth).await;
    site.waits_for(&id, "refused the user name or password").await;
    site.nodes[0].faults.set(Fault::None);
    site.reaches(&id, Status::Deployed).await;
    assert_eq!(site.nodes[0].counts().starts, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bmc_that_hangs_is_shown_while_it_does() {
    let (site, _, id) = deploying(Fault::Hang).await;
    let why = site.waits_for(&id, "BMC").await;
    assert!(why.waiting.unwrap().until.is_some());
    let why = site.waits_for(&id, "does not answer").await;
    assert_eq!(why.status(), Status::Deploying);
}

/// The machine says hello while its BMC is away: it is found later, without anything else happening.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bmc_that_comes_late_is_found() {
    let site = Site::start(1).await;
    let node = &site.nodes[0];
    node.faults.set(Fault::Refuse);
    node.press();
    let id = site.machine(node).await.system_id;
    let machine = site.reaches(&id, Status::Ready).await;
    assert_eq!(machine.power_type, "");
    node.faults.set(Fault::None);
    let client = site.client();
    until("its BMC is found", async || {
        (client.machine(&id).await.unwrap().power_type == "redfish").then_some(())
    })
    .await;
}

/// One BMC that hangs does not keep the region from finding the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hanging_bmc_delays_nobody_else() {
    let site = Site::start(2).await;
    site.nodes[1].faults.set(Fault::Hang);
    tokio::time::timeout(Duration::from_secs(8), site.commissioned(&site.nodes[0]))
        .await
        .expect("found at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_never_boots_says_what_is_missing_at_once() {
    let site = Site::start(1).await;
    let id = site.commissioned(&site.nodes[0]).await;
    site.nodes[0].change(|seen| seen.temper = Temper::Mute);
    site.client().deploy(&id, &deploy("debian/bookworm", "")).await.unwrap();
    let why = site.waits_for(&id, "waiting for a DHCP request").await;
    let waiting = why.waiting.unwrap();
    let span = waiting.until.unwrap().duration_since(waiting.since.unwrap());
    assert!(span <= lifecycle::plan::DHCP_LIMIT && span.as_secs() <= 90, "{span:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_agent_says_is_why_it_failed() {
    let site = Site::start(1).await;
    let (node, client) = (&site.nodes[0], site.client());
    node.change(|seen| seen.temper = Temper::Fails("memory: bit 7 of 0xfeed is stuck"));
    node.press();
    let id = site.machine(node).await.system_id;
    let machine = site.reaches(&id, Status::FailedCommissioning).await;
    assert_eq!(machine.error_description, "memory: bit 7 of 0xfeed is stuck");
    node.change(|seen| seen.temper = Temper::Works);
    client.commission(&id, &maas_client::Scripts::default()).await.unwrap();
    site.reaches(&id, Status::Ready).await;

    node.change(|seen| seen.temper = Temper::Fails("vda: write error at 512"));
    client.deploy(&id, &deploy("debian/bookworm", "")).await.unwrap();
    let machine = site.reaches(&id, Status::FailedDeployment).await;
    assert_eq!(machine.error_description, "vda: write error at 512");
    assert_eq!(client.why(&id).await.unwrap().unwrap().error_description, "vda: write error at 512");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_is_too_large_is_refused_before_the_disk_is_touched() {
    let site = Site::start(1).await;
    let node = &site.nodes[0];
    node.change(|seen| seen.disk_size = IMAGE_SIZE as u64 - 1);
    let id = site.commissioned(node).await;
    site.client().deploy(&id, &deploy("debian/bookworm", "")).await.unwrap();
    let machine = site.reaches(&id, Status::FailedDeployment).await;
    let words = format!("image debian/bookworm needs {IMAGE_SIZE} bytes, disk vda has {}", IMAGE_SIZE - 1);
    assert!(machine.error_description.contains(&words), "{}", machine.error_description);
    assert_eq!(node.counts().installs, 0);
}

async fn refused(site: &Site) -> RegionError {
    let (_stop, stopped) = watch::channel(false);
    let ended = tokio::time::timeout(crate::site::LIMIT, region::run(site.config(), stopped));
    ended.await.expect("it ends").expect_err("it does not start")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_region_on_the_same_data_is_refused() {
    let mut site = Site::start(1).await;
    (site.api, site.boot) = (crate::site::free_port(), crate::site::free_port());
    let error = refused(&site).await.to_string();
    assert!(error.contains("another region") && error.contains("/data;"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_is_taken_is_named() {
    let site = Site::new(0).await;
    for (port, what) in [(site.api, "the MAAS API"), (site.boot, "boot HTTP")] {
        let _other = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
        let error = refused(&site).await.to_string();
        assert!(error.starts_with(&format!("{what} cannot listen on 127.0.0.1:{port}")), "{error}");
        assert!(error.contains("stop the other program"), "{error}");
    }
}

/// The agent's power-off is not believed: Ready after an erase needs the BMC's word.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_does_not_go_off_is_not_ready() {
    let site = Site::start(1).await;
    let node = &site.nodes[0];
    let id = site.commissioned(node).await;
    let client = site.client();
    client.deploy(&id, &deploy("debian/bookworm", "")).await.unwrap();
    site.reaches(&id, Status::Deployed).await;
    let mut held = node.hold(Phase::PowerOff);
    client.release(&id, &quick()).await.unwrap();
    held.is_there().await;
    let asked = node.seen().power_questions;
    until("its BMC has said twice that it is on", async || {
        (node.seen().power_questions > asked + 2).then_some(())
    })
    .await;
    assert_eq!(client.machine(&id).await.unwrap().status, Status::DiskErasing);
    held.release();
    site.reaches(&id, Status::Ready).await;
}
