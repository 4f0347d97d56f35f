//! Everything that makes a cluster is killed while it is at work: each process of the engine, gateway, plane, region.
#![allow(clippy::indexing_slicing, reason = "of a JSON value: what is missing reads as null")]

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use maas_client::Status;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{Rig, cluster as whole, in_state, kills::Lots, until_deploying, with_a_spare};
use crate::{
    cluster,
    narrate::{self, Narrator},
    roles::{GATEWAY, PLANE, REGION},
    site::{Bundle, Machines, Site},
};

/// What is killed in each phase, in an order drawn by lot.
const TARGETS: [&str; 10] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "capi-core-manager",
    "capi-kubeadm-bootstrap-manager",
    "capi-kubeadm-control-plane-manager",
    "provider",
    GATEWAY,
    PLANE,
    REGION,
];
/// Longest pause between two kills.
const PAUSE: u64 = 3000;
/// How long the region is away while a machine is being deployed.
const REGION_AWAY: Duration = Duration::from_mins(2);

/// Makes a cluster, uses it and deletes it, under fire.
pub async fn run(dir: &Path, bundle: &Bundle, machines: Machines, seed: u64) -> Result<()> {
    let mut narrator = Narrator::new();
    let machines = with_a_spare(machines.pair(bundle).await);
    let mut rig = Rig::start(&mut narrator, dir, bundle, machines).await?;
    let mut lots = Lots(seed);
    let mut sequence = Vec::new();

    let uid = rig.order(bundle).await?;
    let made = async { rig.plane.machines(&uid).await.map(drop) };
    narrator.phase("create", under_fire(&rig.site, &mut lots, &mut sequence, made)).await?;
    let made = rig.follow(&mut narrator, bundle, uid).await?;
    narrator.phase("traffic", whole::traffic(&made.kubectl)).await?;
    let taken = in_state(&rig.site, |status| status != Status::Ready).await?;
    ensure!(taken == 2, "{taken} machines are taken for two nodes");

    let deleted = under_fire(&rig.site, &mut lots, &mut sequence, rig.plane.delete());
    narrator.phase("delete", deleted).await?;
    // Another start, another certificate.
    rig.engine = cluster::engine(&rig.site, bundle).await?;
    rig.nothing_left().await?;

    let uid = rig.order(bundle).await?;
    narrator.phase("deploying", until_deploying(&rig.site)).await?;
    narrate::say(&format!("  the region goes away for {} s", REGION_AWAY.as_secs()));
    rig.site.lab.kill(REGION, REGION_AWAY).await?;
    let made = rig.follow(&mut narrator, bundle, uid).await?;
    narrator.phase("traffic again", whole::traffic(&made.kubectl)).await?;
    narrator.phase("delete again", rig.plane.delete()).await?;
    rig.nothing_left().await?;

    narrator.print();
    println!("seed {seed}: {} kills, all ended well", sequence.len());
    for line in &sequence {
        println!("  {line}");
    }
    Ok(())
}

/// Does `work` while everything is killed once, or until it is over.
async fn under_fire(
    site: &Site,
    lots: &mut Lots,
    sequence: &mut Vec<String>,
    work: impl Future<Output = Result<()>>,
) -> Result<()> {
    let over = AtomicBool::new(false);
    let work = async {
        let done = work.await;
        over.store(true, Ordering::Relaxed);
        done
    };
    let (killed, done) = tokio::join!(fire(site, lots, &over, sequence), work);
    killed.and(done)
}

/// Kills everything once, until what it disturbs is over.
async fn fire(site: &Site, lots: &mut Lots, over: &AtomicBool, sequence: &mut Vec<String>) -> Result<()> {
    let mut left = TARGETS.to_vec();
    while !left.is_empty() && !over.load(Ordering::Relaxed) {
        let pause = lots.below(PAUSE);
        let target = left.remove(usize::try_from(lots.below(left.len() as u64))?);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        narrate::say(&format!("  kill -9 of {target}, {pause} ms later"));
        sequence.push(format!("{target}, {pause} ms later"));
        match target {
            GATEWAY | PLANE | REGION => site.lab.kill(target, Duration::ZERO).await?,
            process => kill(&site.dir, process)?,
        }
    }
    Ok(())
}

/// Kills a process of the engine, if it runs.
fn kill(dir: &Path, name: &str) -> Result<()> {
    let text = fs::read(dir.join(GATEWAY).join("status.json"))?;
    let status: Value = serde_json::from_slice(&text)?;
    let mut processes = status["processes"].as_array().into_iter().flatten();
    let process = processes.find(|process| process["name"] == name);
    let process = process.with_context(|| format!("the engine has no process {name}"))?;
    let pid = process["pid"].as_i64().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    match pid.map(|pid| kill_process(pid, Signal::KILL)) {
        None | Some(Ok(()) | Err(rustix::io::Errno::SRCH)) => Ok(()),
        Some(Err(error)) => Err(error.into()),
    }
}
