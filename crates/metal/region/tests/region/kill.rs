//! kill -9 of the region at every boundary: work goes on, and nothing is done twice.
//!
//! Allowed: a power call whose answer the region never saw is made again (it is the same order), and a download
//! is continued. Not allowed: a second test run, installation, erase or first boot, or any other power call.

use maas_client::Status;

use crate::{
    life::{deploy, quick},
    node::{Counts, Phase},
    site::{Site, until},
};

const COMMISSION: [Phase; 5] = [Phase::Config, Phase::Loaded, Phase::Hello, Phase::Tested, Phase::PowerOff];
const DEPLOY: [Phase; 8] = [
    Phase::PowerCall,
    Phase::Config,
    Phase::Hello,
    Phase::HalfImage,
    Phase::Written,
    Phase::Reported,
    Phase::Disk,
    Phase::UserData,
];
const ERASE: [Phase; 6] =
    [Phase::PowerCall, Phase::Loaded, Phase::Hello, Phase::Erasing, Phase::Reported, Phase::PowerOff];

/// Small numbers from a seed (a linear congruential generator).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Kills the region when the machine comes to `phase`; by the dice the machine goes on before or after it is back.
async fn kill_at(site: &mut Site, phase: Phase, dice: &mut Dice, begin: impl AsyncFnOnce(&Site)) {
    let mut held = site.nodes[0].hold(phase);
    begin(site).await;
    held.is_there().await;
    // Where in its work it is hit: after so many answers.
    for _ in 0..dice.roll(16) {
        site.client().version().await.unwrap();
    }
    site.kill();
    if phase == Phase::PowerCall {
        held.forget(); // the BMC's answer is lost with the connection
        site.run_child().await;
    } else if dice.roll(2) == 0 {
        held.release();
        site.run_child().await;
    } else {
        site.run_child().await;
        held.release();
    }
}

/// One life with one kill in each of its three parts.
async fn live(seed: u64, kills: [Phase; 3]) {
    println!("seed {seed}: {kills:?}");
    let mut dice = Dice(seed);
    let mut site = Site::new(1).await;
    let node = site.nodes[0].clone();
    site.run_child().await;
    let [commission, install, erase] = kills;

    kill_at(&mut site, commission, &mut dice, async |site| site.nodes[0].press()).await;
    let id = site.machine(&node).await.system_id;
    site.reaches(&id, Status::Ready).await;
    until("it is off", async || {
        let machine = site.client().machine(&id).await.unwrap();
        (machine.power_state == "off" && machine.power_type == "redfish").then_some(())
    })
    .await;
    assert_eq!(node.counts(), Counts { tests: 1, ..Counts::default() }, "{kills:?}");

    let target = id.clone();
    kill_at(&mut site, install, &mut dice, async |site| {
        site.client().deploy(&target, &deploy("debian/trixie", "data")).await.unwrap();
    })
    .await;
    site.reaches(&id, Status::Deployed).await;
    let again = until("modules-final", async || node.seen().user_data_again).await;
    assert_eq!(again, reqwest::StatusCode::NOT_FOUND, "user-data is withheld after modules-final");
    assert_eq!(node.seen().user_data, b"data");
    let starts = 1 + u32::from(install == Phase::PowerCall);
    let deployed = Counts { starts, installs: 1, tests: 1, first_boots: 1, erases: 0 };
    assert_eq!(node.counts(), deployed, "{kills:?}");

    kill_at(&mut site, erase, &mut dice, async |site| {
        site.client().release(&id, &quick()).await.unwrap();
    })
    .await;
    let machine = site.reaches(&id, Status::Ready).await;
    assert_eq!((machine.owner, machine.power_state.as_str()), (None, "off"));
    let starts = starts + 1 + u32::from(erase == Phase::PowerCall);
    assert_eq!(node.counts(), Counts { starts, erases: 1, ..deployed }, "{kills:?}");
    let results = site.client().results(&id, maas_client::Outputs::LeftOut).await.unwrap();
    let memory = results.iter().flat_map(|set| &set.results).filter(|r| r.name == "bessemer-memory").count();
    assert_eq!(memory, 1, "results are not kept twice: {kills:?}");
}

/// Every boundary of every part is hit in one of the lives.
async fn lives(range: std::ops::Range<usize>) {
    for n in range {
        let kills = [COMMISSION[n % COMMISSION.len()], DEPLOY[n], ERASE[n % ERASE.len()]];
        live(n as u64, kills).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_each_boundary_first_half() {
    lives(0..DEPLOY.len() / 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_each_boundary_second_half() {
    lives(DEPLOY.len() / 2..DEPLOY.len()).await;
}
