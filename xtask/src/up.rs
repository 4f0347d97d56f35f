//! `up` and `down`: the rack that a person tries things on, with a cluster on it.
#![allow(clippy::indexing_slicing, reason = "of a JSON value: what is missing reads as null")]

use std::{
    fs,
    io::{Read, Seek as _, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use maas_client::{Deploy, Scripts, Status};
use rack::{LabClient, PowerAction, PowerState};
use rustix::fs::{FlockOperation, flock};
use serde_json::json;

use crate::{
    cluster,
    narrate::{self, Narrator, Output},
    packages,
    plane::{self, Layers, Made, Plane},
    roles::{ADMIN, Roles},
    site::{Bundle, Machines, Site, Started},
};

/// How long a machine may take from power-on to Ready, and from the deploy call to SSH.
pub const LIMIT: Duration = Duration::from_mins(15);

/// How long what an interrupted call was starting may hold on to the rack.
const LET_GO: Duration = Duration::from_secs(5);

/// Brings up a rack, or goes on where an earlier call stopped.
pub fn up(machines: Machines, output: Output) -> Result<()> {
    let mut narrator = Narrator::new();
    packages::without_root()?;
    let dir = Site::default_dir();
    let _alone = alone(&dir)?;
    narrator.step("packages", packages::ensure)?;
    let bundle = narrator.step("build", Bundle::build)?;
    runtime()?.block_on(async {
        let site =
            start(&mut narrator, &dir, &Site::name(&dir), &bundle, machines, Roles::Everything).await?;
        let ready = async {
            commission(&site).await?;
            ssh_key(&site).await
        };
        let key = narrator.phase("commission", ready).await?;
        let (plane, made) = whole(&mut narrator, &site, &bundle).await?;
        let ends = async {
            let ssh = ssh(&site, &made.control, &key).await?;
            Ok::<_, anyhow::Error>((
                ssh,
                cluster::describe(&made.kubectl, plane::NAME)?,
                plane.overlords().await?,
            ))
        };
        let (ssh, cluster, gateways) = narrator.phase("ssh", ends).await?;
        let mut summary = summary(site, &narrator, ssh).await?;
        let file = |name: &str| summary.site.dir.join(name);
        let console = format!("{}/console/", plane.url);
        let about = json!({"url": plane.url, "console": console, "ca": plane.ca, "key_file": file("plane.key"), "user": ADMIN,
                           "password_file": file("plane.password")});
        let gateways = gateways.iter().map(
            |one| json!({"name": one.metadata.name, "uid": one.metadata.uid, "state": one.status.state}),
        );
        summary.json["plane"] = about;
        summary.json["gateways"] = gateways.collect();
        summary.json["cluster"] = cluster;
        summary.json["kubeconfig"] = json!(made.kubectl.config);
        report(&summary, &narrator, output);
        Ok(())
    })
}

/// The plane of a lab, with its gateway, and the cluster that is ordered there, up to an answer of its last layer.
pub async fn whole(narrator: &mut Narrator, site: &Site, bundle: &Bundle) -> Result<(Plane, Made)> {
    let paired = async {
        let plane = Plane::join(site).await?;
        let gateway = plane.gateway(site).await?;
        Ok::<_, anyhow::Error>((plane, gateway))
    };
    let (plane, gateway) = narrator.phase("gateway", paired).await?;
    let made = plane.cluster(narrator, site, bundle, &gateway, Layers::Hello).await?;
    let hello = async {
        plane::hello(&made.kubectl).await?;
        plane.running().await
    };
    narrator.phase("hello", hello).await?;
    Ok((plane, made))
}

/// Takes the rack down: the cluster first, through the plane.
pub fn down() -> Result<()> {
    let dir = Site::default_dir();
    let _alone = alone(&dir)?;
    let program = crate::shell::target().join("debug/bessemer");
    runtime()?.block_on(async {
        if LabClient::new(&dir)?.status().await.is_ok()
            && let Some(plane) = Plane::there(&dir).await
        {
            eprintln!("deleting the cluster through the plane");
            if let Err(error) = plane.delete().await {
                eprintln!("the cluster is not deleted, and goes with the rack: {error:#}");
            }
        }
        Site::remove(&dir, &program).await
    })?;
    eprintln!("the rack is down: no process, namespace, mount or loop device of it is left");
    Ok(())
}

/// The right to change the rack in `dir`, held while the file is open and lost with the process.
fn alone(dir: &Path) -> Result<fs::File> {
    let path = dir.with_extension("lock");
    fs::create_dir_all(path.parent().context("the rack's folder is in no other")?)?;
    let mut file = fs::File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    let until = Instant::now() + LET_GO;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => break,
            Err(rustix::io::Errno::WOULDBLOCK) => {}
            Err(error) => return Err(error).with_context(|| format!("cannot lock {}", path.display())),
        }
        let mut holder = String::new();
        file.rewind()?;
        file.read_to_string(&mut holder)?;
        // A program that it was just starting when it was interrupted may hold the lock for a moment longer.
        if Path::new("/proc").join(&holder).exists() || Instant::now() > until {
            bail!(
                "another `cargo xtask up` or `down` (process {holder}) is at work on this rack: wait for it, or end it \
                 with Ctrl-C; what it began goes on, and `up` goes on from there"
            )
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    file.set_len(0)?;
    file.rewind()?;
    write!(file, "{}", std::process::id())?;
    Ok(file)
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

/// A lab that runs: new, started again or joined.
pub async fn start(
    narrator: &mut Narrator,
    dir: &Path,
    name: &str,
    bundle: &Bundle,
    machines: Machines,
    roles: Roles,
) -> Result<Site> {
    let start = async {
        let wanted = match (machines, Site::laid_out(dir)) {
            (Machines::Auto, Some(there)) => there,
            _ => machines.pair(bundle).await,
        };
        Site::start(dir, name, bundle, wanted, roles).await
    };
    let (site, started) = narrator.phase("lab", start).await?;
    match started {
        Started::New => narrate::say("  a new rack"),
        Started::Again => narrate::say("  the rack was not running: started again with its disks and data"),
        Started::Joined => narrate::say("  the rack is running: going on from where it stands"),
    }
    Ok(site)
}

/// A lab without an engine, whose machines are all Ready and whose first one is deployed.
pub async fn rack(
    narrator: &mut Narrator,
    dir: &Path,
    name: &str,
    bundle: &Bundle,
    machines: Machines,
) -> Result<Summary> {
    let site = start(narrator, dir, name, bundle, machines, Roles::Region).await?;
    let ids = narrator.phase("commission", commission(&site)).await?;
    let key = ssh_key(&site).await?;
    let first = ids.first().context("the lab has no machines")?;
    narrator.phase("deploy", deploy(&site, first, "debian/bookworm")).await?;
    let ssh = narrator.phase("ssh", ssh(&site, first, &key)).await?;
    summary(site, narrator, ssh).await
}

async fn summary(site: Site, narrator: &Narrator, ssh: String) -> Result<Summary> {
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
    let json = json!({"machines": machines, "phases": narrator.phases(), "seconds": narrate::elapsed(), "api": format!("http://{}/MAAS", site.api),
                      "key_file": site.dir.join("admin.key"), "ssh": ssh});
    Ok(Summary { site, json, ssh })
}

/// Powers on what is not known yet, sets going again what lost its power on the way, and waits until every machine
/// is Ready or further.
pub async fn commission(site: &Site) -> Result<Vec<String>> {
    let deadline = Instant::now() + LIMIT;
    for (machine, seen) in site.machines().await? {
        match seen {
            None => site.lab.power(&machine.name, PowerAction::On).await?,
            Some(seen) => revive(site, &seen, machine.power).await?,
        }
    }
    let ids: Vec<String> = loop {
        let known: Vec<_> = site.machines().await?.into_iter().map(|(_, seen)| seen).collect();
        if let Some(all) = known.iter().map(|seen| seen.as_ref().map(|m| m.system_id.clone())).collect() {
            break all;
        }
        if Instant::now() > deadline {
            bail!("a machine was never discovered: look at the console logs in {}", site.dir.display());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let past = |status: Status| {
        matches!(status, Status::Ready | Status::Allocated | Status::Deploying | Status::Deployed)
    };
    site.follow(&ids, LIMIT, |m| past(m.status)).await?;
    Ok(ids)
}

/// A machine that has no power though its state wants it: its lab was killed. What ran in it starts anew.
async fn revive(site: &Site, seen: &maas_client::Machine, power: PowerState) -> Result<()> {
    let id = &seen.system_id;
    if power == PowerState::On || !lost_power(site, seen).await? {
        return Ok(());
    }
    narrate::say(&format!("  {}: {} without power: setting it going again", seen.hostname, seen.status_name));
    match seen.status {
        Status::Deployed => {
            site.region.power_on(id).await?;
        }
        Status::Deploying => {
            site.region.abort(id).await?;
        }
        Status::Commissioning => {
            site.region.abort(id).await?;
            site.region.commission(id, &Scripts::default()).await?;
        }
        _ => {
            site.region.commission(id, &Scripts::default()).await?;
        }
    }
    Ok(())
}

/// Whether a machine's state wants power, and goes on wanting it: at the end of a phase there is none for a moment.
async fn lost_power(site: &Site, seen: &maas_client::Machine) -> Result<bool> {
    const MOMENT: Duration = Duration::from_secs(3);
    let until = Instant::now() + MOMENT;
    loop {
        let (status, machines) =
            (site.region.machine(&seen.system_id).await?.status, site.lab.status().await?);
        let uuid = seen.hardware_uuid.as_deref().unwrap_or_default();
        let on = |m: &rack::MachineStatus| m.uuid.to_string() == uuid && m.power == PowerState::On;
        let wants =
            matches!(status, Status::New | Status::Commissioning | Status::Deploying | Status::Deployed);
        if status != seen.status || !wants || machines.machines.iter().any(on) {
            return Ok(false);
        }
        if Instant::now() > until {
            return Ok(true);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Deploys a machine that is Ready, and waits until it is Deployed.
pub async fn deploy(site: &Site, id: &str, image: &str) -> Result<()> {
    deploy_with(site, id, image, None).await
}

/// The same with user-data.
pub async fn deploy_with(site: &Site, id: &str, image: &str, user_data: Option<Vec<u8>>) -> Result<()> {
    let status = site.region.machine(id).await?.status;
    if matches!(status, Status::Ready | Status::Allocated) {
        let wanted = Deploy { distro_series: Some(image.to_owned()), user_data, ..Deploy::default() };
        site.region.deploy(id, &wanted).await?;
    }
    site.wait(id, LIMIT, |m| m.status == Status::Deployed).await?;
    Ok(())
}

/// A key of the lab's own, known to the region; answers its private file.
pub async fn ssh_key(site: &Site) -> Result<PathBuf> {
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

/// Waits until SSH answers on a deployed machine; the command line that reaches it.
pub async fn ssh(site: &Site, id: &str, key: &Path) -> Result<String> {
    ssh_as(site, id, key, "debian").await
}

/// The same for any user.
pub async fn ssh_as(site: &Site, id: &str, key: &Path, user: &str) -> Result<String> {
    let (machine, _) = site
        .machines()
        .await?
        .into_iter()
        .find(|(_, seen)| seen.as_ref().is_some_and(|m| m.system_id == id))
        .context("the machine is gone")?;
    let line = format!(
        "ssh -i {} -p {} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null {user}@{}",
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
    println!("\nThe region, for `target/debug/bessemer machine list` and any MAAS client:\n");
    println!("  export BESSEMER_URL={}", summary.json["api"].as_str().unwrap_or(""));
    println!("  export BESSEMER_API_KEY=$(cat {})", summary.json["key_file"].as_str().unwrap_or(""));
    let plane = &summary.json["plane"];
    println!("\nThe plane, at {} (or by `bessemer login`):\n", plane["url"].as_str().unwrap_or(""));
    println!(
        "  target/debug/bessemer login lab {} --key-file {} --ca {}",
        plane["url"].as_str().unwrap_or(""),
        plane["key_file"].as_str().unwrap_or(""),
        plane["ca"].as_str().unwrap_or("")
    );
    println!("\nIts console, for a browser that trusts the certificate above:\n");
    println!("  {}", plane["console"].as_str().unwrap_or(""));
    println!(
        "  {}, with the password in {}",
        plane["user"].as_str().unwrap_or(""),
        plane["password_file"].as_str().unwrap_or("")
    );
    println!("\nThe cluster, by `kubectl`, through the plane and the site's gateway:\n");
    println!("  export KUBECONFIG={}", summary.json["kubeconfig"].as_str().unwrap_or(""));
    for node in summary.json["cluster"]["nodes"].as_array().into_iter().flatten() {
        println!(
            "  {:<14} {:<9} {:<9} uuid {}",
            node["name"].as_str().unwrap_or(""),
            if node["ready"] == true { "Ready" } else { "NotReady" },
            node["version"].as_str().unwrap_or(""),
            node["systemUUID"].as_str().unwrap_or(""),
        );
    }
    println!("\nIts control plane's machine:\n\n  {}", summary.ssh);
}
