//! The link between site and cloud is cut while a cluster is being made: the site goes on, and the plane hears of it.

use std::{path::Path, time::Duration};

use anyhow::{Result, ensure};
use maas_client::Status;
use rack::Cable;

use super::{Rig, cluster as whole, in_state, until_deploying, with_a_spare};
use crate::{
    cluster::Deadline,
    narrate::{self, Narrator},
    plane::Plane,
    site::{Bundle, Machines, Site},
};

/// How long the link is cut.
const CUT: Duration = Duration::from_mins(3);
/// How long a plane may take to notice that a gateway is gone, and that it is back.
const NOTICE: Duration = Duration::from_mins(2);

/// Makes a cluster with the link cut in the middle, uses it and deletes it.
pub async fn run(dir: &Path, bundle: &Bundle, machines: Machines) -> Result<()> {
    let mut narrator = Narrator::new();
    let machines = with_a_spare(machines.pair(bundle).await);
    let rig = Rig::start(&mut narrator, dir, bundle, machines).await?;
    let uid = narrator.phase("order", rig.order(bundle)).await?;
    narrator.phase("cut", cut(&rig.site, &rig.plane, CUT)).await?;
    let made = rig.follow(&mut narrator, bundle, uid).await?;
    narrator.phase("traffic", whole::traffic(&made.kubectl)).await?;
    let taken = in_state(&rig.site, |status| status != Status::Ready).await?;
    ensure!(taken == 2, "{taken} machines are taken for two nodes");
    narrator.phase("delete", rig.plane.delete()).await?;
    rig.nothing_left().await?;
    narrator.print();
    println!("the link was cut for {} s: nothing was done twice, nothing is left", CUT.as_secs());
    Ok(())
}

/// Cuts the link once a machine is being deployed, for so long at least and until the plane has noticed, and mends it.
pub async fn cut(site: &Site, plane: &Plane, time: Duration) -> Result<()> {
    until_deploying(site).await?;
    narrate::say("  the link between site and cloud is cut");
    site.lab.uplink(Cable::Pulled).await?;
    let noticed = link_is(plane, "Down");
    let (noticed, ()) = tokio::join!(noticed, tokio::time::sleep(time));
    noticed?;
    narrate::say("  it is mended");
    site.lab.uplink(Cable::Plugged).await?;
    link_is(plane, "Running").await
}

/// Waits until the plane says so of its gateway.
async fn link_is(plane: &Plane, state: &str) -> Result<()> {
    let mut deadline = Deadline::new(NOTICE, "the plane's word that the link is as it is");
    loop {
        let all = plane.overlords().await?;
        if all.iter().all(|one| one.status.state == state) {
            return Ok(());
        }
        deadline.note(&all.iter().map(|one| one.status.state.as_str()).collect::<Vec<_>>().join(", "));
        deadline.pause().await?;
    }
}
