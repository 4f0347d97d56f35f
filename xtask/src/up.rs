//! `up` and `down`: the rack that a person tries things on.
#![allow(clippy::indexing_slicing, reason = "of a JSON value: what is missing reads as null")]

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use maas_client::Deploy;
use serde_json::json;

use crate::{
    narrate::{Narrator, Output},
    packages,
    site::{Bundle, Machines, Site},
};

/// How long a machine may take from power-on to Ready, and from the deploy call to SSH.
const LIMIT: Duration = Duration::from_secs(15 * 60);

/// Brings up a rack, or goes on where an earlier call stopped.
pub fn up(machines: Machines, output: Output) -> Result<()> {
    let mut narrator = Narrator::new();
    narrator.say("checking this machine's packages");
    packages::ensure()?;
    narrator.say("building, or taking from the cache: program, ephemeral system, images");
    let bundle = Bundle::build()?;
    runtime()?.block_on(async {
        let summary = rack(&mut narrator, &Site::default_dir(), "lab", &bundle, machines).await?;
        report(&summary, &narrator, output);
        Ok(())
    })
}

/// Takes the rack down.
pub fn down() -> Result<()> {
    let program = crate::shell::root().join("target/debug/bessemer");
    runtime()?.block_on(Site::remove(&Site::default_dir(), &program))?;
    eprintln!("the rack is down");
    Ok(())
}

/// The runtime of commands that wait.
pub fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// What `up` ends with.
pub struct Summary {
    /// The lab.
    pub site: Site,
    /// One line for programs.
    pub json: serde_json::Value,
    /// The line to paste.
    pub ssh: String,
}

/// A lab whose machines are all Ready and whose first one is deployed.
pub async fn rack(
    narrator: &mut Narrator,
    dir: &Path,
    name: &str,
    bundle: &Bundle,
    machines: Machines,
) -> Result<Summary> {
    let (site, _) = narrator.phase("lab", Site::start(dir, name, bundle, machines.pair())).await?;
    let ids = narrator.phase("commission", commission(&site)).await?;
    let key = ssh_key(&site).await?;
    let first = ids.first().context("the lab has no machines")?;
    narrator.phase("deploy", deploy(&site, first, "debian/bookworm")).await?;
    let ssh = narrator.phase("ssh", ssh(&site, first, &key)).await?;
    let machines: Vec<_> = site
        .machines()
        .await?
        .into_iter()
        .filter_map(|(lab, seen)| Some((lab, seen?)))
        .map(|(lab, seen)| {
            json!({"name": lab.name, "kind": lab.kind, "system_id": seen.system_id, "hostname": seen.hostname,
                   "status": seen.status_name, "power": seen.power_state, "uuid": seen.hardware_uuid,
                   "bmc_uuid": lab.uuid, "console": lab.console_log})
        })
        .collect();
    let json = json!({"machines": machines, "phases": narrator.phases(), "api": format!("http://{}/MAAS", site.api),
                      "key_file": dir.join("admin.key"), "ssh": ssh});
    Ok(Summary { site, json, ssh })
}

/// Powers on what is not known yet, and waits until every machine is Ready or further.
pub async fn commission(site: &Site) -> Result<Vec<String>> {
    let deadline = Instant::now() + LIMIT;
    for (machine, seen) in site.machines().await? {
        if seen.is_none() {
            site.lab.power(&machine.name, rack::PowerAction::On).await?;
        }
    }
    let ids = loop {
        let known: Vec<_> = site.machines().await?.into_iter().map(|(_, seen)| seen).collect();
        if let Some(all) = known.iter().map(|seen| seen.as_ref().map(|m| m.system_id.clone())).collect() {
            break all;
        }
        if Instant::now() > deadline {
            bail!("a machine was never discovered: look at the console logs in {}", site.dir.display());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let ids: Vec<String> = ids;
    for id in &ids {
        let past = |name: &str| matches!(name, "Ready" | "Allocated" | "Deploying" | "Deployed");
        site.wait(id, LIMIT, &|line| eprintln!("           {line}"), |m| past(&m.status_name)).await?;
    }
    Ok(ids)
}

/// Deploys a machine that is Ready, and waits until it is Deployed.
pub async fn deploy(site: &Site, id: &str, image: &str) -> Result<()> {
    let say = |line: &str| eprintln!("           {line}");
    if site.region.machine(id).await?.status_name == "Ready" {
        let wanted = Deploy { distro_series: Some(image.to_owned()), ..Deploy::default() };
        site.region.deploy(id, &wanted).await?;
    }
    site.wait(id, LIMIT, &say, |m| m.status_name == "Deployed").await?;
    Ok(())
}

/// A key of the lab's own, known to the region; answers its private file.
pub async fn ssh_key(site: &Site) -> Result<std::path::PathBuf> {
    let key = site.dir.join("id_ed25519");
    if !key.exists() {
        let file = key.display().to_string();
        crate::shell::output(
            "ssh-keygen",
            &["-q", "-t", "ed25519", "-N", "", "-C", "bessemer-lab", "-f", &file],
        )?;
    }
    let public = fs::read_to_string(key.with_extension("pub"))?;
    let known = site.region.ssh_keys().await?;
    if !known.iter().any(|k| k.key.trim() == public.trim()) {
        site.region.add_ssh_key(public.trim()).await?;
    }
    Ok(key)
}

/// Waits until SSH answers; the command line that reaches it.
pub async fn ssh(site: &Site, id: &str, key: &Path) -> Result<String> {
    let (machine, _) = site
        .machines()
        .await?
        .into_iter()
        .find(|(_, seen)| seen.as_ref().is_some_and(|m| m.system_id == id))
        .context("the machine is gone")?;
    let line = format!(
        "ssh -i {} -p {} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null debian@{}",
        key.display(),
        machine.ssh.port(),
        machine.ssh.ip()
    );
    let deadline = Instant::now() + LIMIT;
    loop {
        if on_machine(&line, "true")?.status.success() {
            return Ok(line);
        }
        if Instant::now() > deadline {
            bail!("SSH does not answer: {line}; console: {}", machine.console_log.display());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Runs a command on a machine by SSH.
pub fn on_machine(ssh: &str, command: &str) -> Result<std::process::Output> {
    let mut words = ssh.split(' ');
    let program = words.next().unwrap_or("ssh");
    Ok(Command::new(program)
        .args(["-o", "BatchMode=yes", "-o", "ConnectTimeout=5", "-o", "LogLevel=ERROR"])
        .args(words)
        .arg(command)
        .stdin(Stdio::null())
        .output()?)
}

fn report(summary: &Summary, narrator: &Narrator, output: Output) {
    if output == Output::Json {
        println!("{}", summary.json);
        return;
    }
    println!();
    for machine in summary.json["machines"].as_array().into_iter().flatten() {
        println!(
            "{:<8} {:<10} {:<14} {:<10} power {:<4} uuid {}",
            machine["name"].as_str().unwrap_or(""),
            machine["kind"].as_str().unwrap_or(""),
            machine["hostname"].as_str().unwrap_or(""),
            machine["status"].as_str().unwrap_or(""),
            machine["power"].as_str().unwrap_or(""),
            machine["uuid"].as_str().unwrap_or(""),
        );
    }
    println!();
    for phase in narrator.phases() {
        println!("{:<12} {:>6.1} s", phase.name, phase.seconds);
    }
    println!(
        "\nMAAS API   {}   key in {}",
        summary.json["api"].as_str().unwrap_or(""),
        summary.json["key_file"].as_str().unwrap_or("")
    );
    println!("\n{}", summary.ssh);
}
