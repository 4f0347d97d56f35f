//! A machine that never boots: who asks why is told which signal is missing.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use maas_client::{Scripts, Status};
use rack::Cable;

use super::lab_machine;
use crate::{
    narrate::{self, Narrator},
    roles::Roles,
    site::{Bundle, Machines, Site},
    up,
};

/// How soon the missing signal is named, from the power-on.
const NAMED: Duration = Duration::from_secs(90);
const REASON: &str = "no DHCP request came";

/// Commissions a machine whose cable is pulled, asks why, and plugs it in again.
pub async fn run(dir: &Path, bundle: &Bundle, machines: Machines) -> Result<()> {
    let mut narrator = Narrator::new();
    let mut wanted = machines.pair(bundle).await;
    wanted.truncate(1);
    let (site, _) =
        narrator.phase("lab", Site::start(dir, "e2e-luck", bundle, wanted, Roles::Region)).await?;
    let ids = narrator.phase("commission", up::commission(&site)).await?;
    let id = ids.first().map_or("", String::as_str);
    let machine = lab_machine(&site, id).await?;

    site.lab.cable(&machine.name, Cable::Pulled).await?;
    site.region.commission(id, &Scripts::default()).await?;
    let began = Instant::now();
    while !why(&site, bundle, id)?.contains(REASON) {
        ensure!(began.elapsed() < NAMED, "not named in {NAMED:?}: {}", why(&site, bundle, id)?);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    narrate::say(&format!(
        "  named after {:.0} s: {}",
        began.elapsed().as_secs_f64(),
        why(&site, bundle, id)?.trim()
    ));

    site.lab.cable(&machine.name, Cable::Plugged).await?;
    site.region.commission(id, &Scripts::default()).await?;
    narrator.phase("again", site.wait(id, up::LIMIT, |m| m.status == Status::Ready)).await?;
    narrator.print();
    Ok(())
}

/// What `bessemer why` says.
fn why(site: &Site, bundle: &Bundle, id: &str) -> Result<String> {
    let out = Command::new(&bundle.program)
        .args(["why", id])
        .env("BESSEMER_URL", format!("http://{}/MAAS", site.api))
        .env("BESSEMER_API_KEY", std::fs::read_to_string(site.dir.join("admin.key"))?.trim())
        .output()?;
    Ok(String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr))
}
