//! One machine alternates between two images; afterwards everything is as it was before.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};
use rack::PowerState;

use super::{ask, check_deployed, lab_machine, release, snapshot::Snapshot};
use crate::{
    narrate::{self, Narrator},
    roles::Roles,
    site::{Bundle, Machines, Site},
    up,
};

const SERIES: [&str; 2] = ["bookworm", "trixie"];
/// How long a machine that is done may take to be off, and what it used to be gone.
const QUIET_LIMIT: Duration = Duration::from_secs(90);

/// Deploys and releases `times` times, and compares.
pub async fn run(dir: &Path, bundle: &Bundle, machines: Machines, times: u32) -> Result<()> {
    let mut narrator = Narrator::new();
    let mut wanted = machines.pair(bundle).await;
    wanted.truncate(1);
    let (site, _) =
        narrator.phase("lab", Site::start(dir, "e2e-redeploy", bundle, wanted, Roles::Region)).await?;
    let ids = narrator.phase("commission", up::commission(&site)).await?;
    let key = up::ssh_key(&site).await?;
    let id = ids.first().map_or("", String::as_str);
    quiet(&site, id).await?;
    let before = Snapshot::take(&site).await?;
    narrate::say(&format!("  before: {}", before.counts()));

    for (round, series) in (1..=times).zip(SERIES.into_iter().cycle()) {
        let file = format!("round {round}");
        let user_data =
            format!("#cloud-config\nwrite_files:\n- path: /etc/bessemer-e2e\n  content: {file}\n");
        let image = format!("debian/{series}");
        let deploy = up::deploy_with(&site, id, &image, Some(user_data.into_bytes()));
        narrator.phase(&format!("deploy {round}"), deploy).await?;
        let ssh = narrator.phase(&format!("ssh {round}"), up::ssh(&site, id, &key)).await?;
        check_deployed(&ssh, &lab_machine(&site, id).await?, series)?;
        let said = ask(&ssh, "cat /etc/bessemer-e2e")?;
        ensure!(said.trim() == file, "the user-data of this round was not applied: {said}");
        named(&site, id).await?;
        narrator.phase(&format!("release {round}"), release(&site, id)).await?;
    }

    let after = narrator.phase("compare", settle(&site, id, &before)).await?;
    narrator.print();
    println!("{times} rounds; equal before and after: {}", after.counts());
    Ok(())
}

/// A deployed machine's name leads to its address.
async fn named(site: &Site, id: &str) -> Result<()> {
    let machine = site.region.machine(id).await?;
    let answer = super::snapshot::dig(&site.lab.status().await?.netns, &[&machine.fqdn, "A"])?;
    let address = machine.ip_addresses.first().map_or("", String::as_str);
    ensure!(
        !address.is_empty() && answer.iter().any(|line| line.ends_with(address)),
        "{} should be {address}, DNS says {answer:?}",
        machine.fqdn
    );
    Ok(())
}

/// Waits until the machine is off, for the lab and for the region.
async fn quiet(site: &Site, id: &str) -> Result<()> {
    let deadline = Instant::now() + QUIET_LIMIT;
    loop {
        let off = lab_machine(site, id).await?.power == PowerState::Off;
        if off && site.region.machine(id).await?.power_state == "off" {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("the machine is Ready but its power is still on");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Takes snapshots until one equals `before`; when time is up, says what differs.
async fn settle(site: &Site, id: &str, before: &Snapshot) -> Result<Snapshot> {
    quiet(site, id).await?;
    let deadline = Instant::now() + QUIET_LIMIT;
    loop {
        let after = Snapshot::take(site).await?;
        let differences = before.differences(&after);
        if differences.is_empty() {
            return Ok(after);
        }
        if Instant::now() > deadline {
            bail!("something is left over, or lost:\n  {}", differences.join("\n  "));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
