//! Longer tests on a rack of their own.
#![allow(clippy::indexing_slicing, reason = "of a JSON value: what is missing reads as null")]

use std::{path::PathBuf, time::Duration};

use anyhow::{Result, ensure};
use maas_client::{Erase, Release};

use crate::{
    narrate::Narrator,
    packages,
    site::{Bundle, Machines, Site},
    up,
};

/// Which test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Name {
    /// Unknown → Ready → Deployed → released and wiped → deployed with another image, each kind of machine.
    Rack,
    /// One machine alternates between two images; nothing is left over.
    Redeploy,
}

/// Runs one.
pub fn run(name: Name, machines: Machines, times: u32) -> Result<()> {
    packages::ensure()?;
    match name {
        Name::Rack => rack_of(machines),
        Name::Redeploy => redeploy(machines, times),
    }
}

/// The lab run of `cargo xtask test`.
pub fn rack() -> Result<()> {
    rack_of(Machines::Both)
}

fn rack_of(machines: Machines) -> Result<()> {
    let bundle = Bundle::build()?;
    let dir = scratch("e2e-rack");
    up::runtime()?.block_on(async {
        Site::remove(&dir, &bundle.program).await?;
        let done = life(&dir, &bundle, machines).await;
        let removed = Site::remove(&dir, &bundle.program).await;
        done?;
        removed
    })
}

/// The whole life of one machine.
async fn life(dir: &std::path::Path, bundle: &Bundle, machines: Machines) -> Result<()> {
    let mut narrator = Narrator::new();
    let summary = up::rack(&mut narrator, dir, "e2e-rack", bundle, machines).await?;
    let site = &summary.site;
    for machine in summary.json["machines"].as_array().into_iter().flatten() {
        ensure!(machine["uuid"] == machine["bmc_uuid"], "DMI and BMC disagree: {machine}");
    }
    let id = summary.json["machines"][0]["system_id"].as_str().unwrap_or_default().to_owned();
    let release = Release { erase: Erase::Quick, ..Release::default() };
    narrator
        .phase("release", async {
            site.region.release(&id, &release).await?;
            let say = |line: &str| eprintln!("           {line}");
            site.wait(&id, Duration::from_secs(600), &say, |m| m.status_name == "Ready").await
        })
        .await?;
    narrator.phase("deploy again", up::deploy(site, &id, "debian/trixie")).await?;
    let key = up::ssh_key(site).await?;
    let ssh = narrator.phase("ssh again", up::ssh(site, &id, &key)).await?;
    let release = up::on_machine(&ssh, "cat /etc/os-release")?;
    let text = String::from_utf8_lossy(&release.stdout).into_owned();
    ensure!(text.contains("VERSION_CODENAME=trixie"), "not the second image: {text}");
    for phase in narrator.phases() {
        println!("{:<14} {:>6.1} s", phase.name, phase.seconds);
    }
    Ok(())
}

fn redeploy(machines: Machines, times: u32) -> Result<()> {
    let _ = (machines, times);
    anyhow::bail!("not written yet")
}

/// A folder for a rack of this test's own.
fn scratch(name: &str) -> PathBuf {
    crate::shell::root().join("target/labs").join(name)
}
