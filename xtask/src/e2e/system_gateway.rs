//! A site that the plane itself reaches: with each of the ways that its own gateway needs closed, accounts are refused
//! and the way is named; with all of them and no other, a cluster is made; a private gateway needs none of them.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Result, bail, ensure};

use super::cluster as whole;
use crate::{
    cluster::Deadline,
    narrate::{self, Narrator},
    plane::{Layers, Plane},
    roles::{Roles, SYSTEM_WAYS, rules},
    site::{Bundle, Machines, Site},
    up,
};

/// How long the plane's own gateway may take to be there, with its engine.
const START_LIMIT: Duration = Duration::from_mins(2);

/// curl's word for that nothing answered in time.
const TIMED_OUT: i32 = 28;

/// Tries every set of rules.
pub async fn run(dir: &Path, bundle: &Bundle, machines: Machines) -> Result<()> {
    let mut narrator = Narrator::new();
    let machines = machines.pair(bundle).await;
    let start = Site::start(dir, "e2e-system", bundle, machines, Roles::WithSystemGateway);
    let (site, _) = narrator.phase("lab", start).await?;
    narrator.phase("commission", up::commission(&site)).await?;
    narrator.step("saas", || refused_for_many(dir, bundle))?;
    let plane = Plane::join(&site).await?;
    let system = narrator.phase("system gateway", system(&plane)).await?;

    for (number, (port, _)) in SYSTEM_WAYS.iter().enumerate() {
        let mut open = SYSTEM_WAYS.to_vec();
        open.remove(number);
        site.lab.rules(&rules(&open)).await?;
        let name = format!("without {port}");
        let refused =
            narrator.phase(&name, async { Ok::<_, anyhow::Error>(plane.account(&site, &system).await) });
        match refused.await? {
            Ok(_) => bail!("an account is made although port {port} is closed"),
            Err(error) => {
                let words = error.to_string();
                ensure!(
                    words.contains(&port.to_string()),
                    "port {port} is closed, and the refusal says: {words}"
                );
                narrate::say(&format!("  {words}"));
            }
        }
    }

    site.lab.rules(&rules(&SYSTEM_WAYS)).await?;
    let made = async {
        let uid = plane.order(&site, bundle, &system, Layers::Plain).await?;
        plane.follow(&mut narrator, &site, bundle, uid).await
    };
    let made = made.await?;
    narrator.phase("traffic", whole::traffic(&made.kubectl)).await?;
    no_other_way(&site).await?;
    narrator.phase("delete", plane.delete()).await?;
    plane.forget_account().await?;

    site.lab.rules(&rules(&[])).await?;
    let private = narrator.phase("private gateway", plane.gateway(&site)).await?;
    narrator.phase("its account", plane.account(&site, &private)).await?;
    narrator.print();
    println!("four ways, each missed by name; with all of them a cluster; a private gateway needs none");
    Ok(())
}

/// A plane for many does not start with a gateway of its own.
fn refused_for_many(dir: &Path, bundle: &Bundle) -> Result<()> {
    let config = std::fs::read_to_string(dir.join("plane.toml"))?;
    let file = dir.join("saas.toml");
    std::fs::write(&file, format!("mode = \"saas\"\n{config}"))?;
    let out = Command::new(&bundle.program)
        .args(["plane", "run", "--config"])
        .arg(&file)
        .stdin(Stdio::null())
        .output()?;
    let words = String::from_utf8_lossy(&out.stderr);
    ensure!(!out.status.success() && words.contains("private cloud gateway"), "not refused: {words}");
    Ok(())
}

/// The gateway in the plane's own process, once it is connected.
async fn system(plane: &Plane) -> Result<String> {
    let mut deadline = Deadline::new(START_LIMIT, "the system private gateway");
    loop {
        let all = plane.overlords().await?;
        let there = all.into_iter().find(|one| one.spec.is_system);
        match there {
            Some(one) if one.status.state == "Running" && !one.status.health.agent_version.is_empty() => {
                return Ok(one.metadata.uid);
            }
            Some(one) => deadline.note(&one.status.state),
            None => deadline.note("it has no record"),
        }
        deadline.pause().await?;
    }
}

/// Of the site nothing else is reached from the cloud, and from the site nothing but what is named.
async fn no_other_way(site: &Site) -> Result<()> {
    let lab = site.lab.status().await?.netns;
    let cloud = lab.replace("-site", "-cloud");
    for (from, to) in [(&cloud, "10.20.0.1:5248"), (&cloud, "10.20.0.101:443"), (&lab, "10.99.0.1:6443")] {
        let url = format!("https://{to}/");
        let words = [
            "netns",
            "exec",
            from,
            "curl",
            "--silent",
            "--insecure",
            "--noproxy",
            "*",
            "--max-time",
            "2",
            &url,
        ];
        let out = Command::new("ip").args(words).output()?;
        ensure!(out.status.code() == Some(TIMED_OUT), "{to} answers, seen from {from}: {out:?}");
    }
    Ok(())
}
