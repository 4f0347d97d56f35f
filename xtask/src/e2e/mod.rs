//! Longer tests on a rack of their own.

pub mod cluster;
mod erase;
mod interrupts;
mod kills;
mod life;
mod link_cut;
mod luck;
mod redeploy;
mod scripts;
mod snapshot;
mod storm;
mod system_gateway;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use maas_client::{Erase, Release, Status};
use rack::{MachineOptions, MachineStatus};

use crate::{
    cluster::{Deadline, engine},
    kubectl::Kubectl,
    narrate::Narrator,
    packages,
    plane::{Layers, Made, Plane},
    roles::Roles,
    site::{Bundle, Machines, Site},
    up,
};

/// How long a machine may refuse SSH that it has answered before.
const RESTART_LIMIT: Duration = Duration::from_secs(30);

/// How long it may take until a machine is being deployed.
const BEGIN_LIMIT: Duration = Duration::from_mins(2);

/// Which test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Name {
    /// Unknown → Ready → Deployed → released and wiped → deployed with another image, each kind of machine.
    Rack,
    /// One machine alternates between two images; nothing is left over.
    Redeploy,
    /// The region is killed again and again while machines live their lives.
    Kills,
    /// `up` is interrupted in each phase, called twice at once, its lab killed.
    Interrupts,
    /// A machine never boots; the missing signal is named.
    Luck,
    /// Scripts of people on a deployed machine, and its rescue system.
    Scripts,
    /// A Kubernetes cluster: made, used, deleted, begun again.
    Cluster,
    /// The link between site and cloud is cut while a cluster is being made.
    LinkCut,
    /// A site that the plane itself reaches: which ways it needs, and that no other is open.
    SystemGateway,
    /// A Kubernetes cluster: made and deleted while everything that makes it is killed.
    Storm,
}

/// Runs one.
pub fn run(name: Name, machines: Machines, times: u32, seed: u64) -> Result<()> {
    packages::ensure()?;
    match name {
        Name::Rack => rack_of(machines),
        Name::Redeploy => {
            on_scratch("e2e-redeploy", async |dir, bundle| redeploy::run(dir, bundle, machines, times).await)
        }
        Name::Kills => {
            on_scratch("e2e-kills", async |dir, bundle| kills::run(dir, bundle, machines, seed).await)
        }
        Name::Interrupts => interrupted(),
        Name::Storm => {
            on_scratch("e2e-storm", async |dir, bundle| storm::run(dir, bundle, machines, seed).await)
        }
        Name::LinkCut => {
            on_scratch("e2e-link-cut", async |dir, bundle| link_cut::run(dir, bundle, machines).await)
        }
        Name::SystemGateway => {
            on_scratch("e2e-system", async |dir, bundle| system_gateway::run(dir, bundle, machines).await)
        }
        Name::Scripts => {
            on_scratch("e2e-scripts", async |dir, bundle| scripts::run(dir, bundle, machines).await)
        }
        Name::Cluster => cluster(machines),
        Name::Luck => on_scratch("e2e-luck", async |dir, bundle| luck::run(dir, bundle, machines).await),
    }
}

/// The lab run of `cargo xtask test`.
pub fn rack() -> Result<()> {
    rack_of(Machines::Both)
}

/// The cluster run of `cargo xtask test`.
pub fn cluster(machines: Machines) -> Result<()> {
    on_scratch("e2e-cluster", async |dir, bundle| cluster::run(dir, bundle, machines).await)
}

fn rack_of(machines: Machines) -> Result<()> {
    on_scratch("e2e-rack", async |dir, bundle| life::run(dir, bundle, machines).await)
}

/// Runs a test on a folder of its own, and removes the rack afterwards, however the test ends.
fn on_scratch(name: &str, test: impl AsyncFnOnce(&Path, &Bundle) -> Result<()>) -> Result<()> {
    let bundle = Bundle::build()?;
    let dir = scratch(name);
    up::runtime()?.block_on(async {
        Site::remove(&dir, &bundle.program).await?;
        let done = test(&dir, &bundle).await;
        let removed = Site::remove(&dir, &bundle.program).await;
        done?;
        removed
    })
}

/// The rack is `up`'s own work; what a failed test leaves of it is removed here.
fn interrupted() -> Result<()> {
    let (program, dir) = (crate::shell::target().join("debug/bessemer"), scratch("e2e-interrupts"));
    let remove = || up::runtime()?.block_on(Site::remove(&dir, &program));
    remove()?;
    let done = interrupts::run(&dir);
    let removed = remove();
    done?;
    removed
}

/// One machine more than a cluster needs: a second allocation for the same node would take it.
fn with_a_spare(mut machines: Vec<MachineOptions>) -> Vec<MachineOptions> {
    let spare = machines.first().map(|first| MachineOptions { name: "node-3".to_owned(), ..first.clone() });
    machines.extend(spare);
    machines
}

/// A lab whose machines are Ready, with a plane that has its gateway, before any cluster is ordered.
struct Rig {
    site: Site,
    plane: Plane,
    /// The plane's id of the gateway.
    gateway: String,
    engine: Kubectl,
    /// Every object that the engine has.
    before: BTreeSet<String>,
}

impl Rig {
    async fn start(
        narrator: &mut Narrator,
        dir: &Path,
        bundle: &Bundle,
        machines: Vec<MachineOptions>,
    ) -> Result<Self> {
        let name = Site::name(dir);
        let start = Site::start(dir, &name, bundle, machines, Roles::Everything);
        let (site, _) = narrator.phase("lab", start).await?;
        narrator.phase("commission", up::commission(&site)).await?;
        let plane = Plane::join(&site).await?;
        let gateway = narrator.phase("gateway", plane.gateway(&site)).await?;
        let engine = narrator.phase("engine", engine(&site, bundle)).await?;
        let before = cluster::objects(&engine)?;
        Ok(Self { site, plane, gateway, engine, before })
    }

    /// Orders the cluster; its id.
    async fn order(&self, bundle: &Bundle) -> Result<String> {
        self.plane.order(&self.site, bundle, &self.gateway, Layers::Hello).await
    }

    /// Follows a cluster that was ordered.
    async fn follow(&self, narrator: &mut Narrator, bundle: &Bundle, uid: String) -> Result<Made> {
        self.plane.follow(narrator, &self.site, bundle, uid).await
    }

    /// Machines are Ready, DNS forgets the cluster, the engine has what it had before and nothing else.
    async fn nothing_left(&self) -> Result<()> {
        cluster::nothing_left(&self.site, &self.engine, &self.before).await
    }
}

/// Waits until a machine is being deployed.
async fn until_deploying(site: &Site) -> Result<()> {
    let mut deadline = Deadline::new(BEGIN_LIMIT, "a machine that is being deployed");
    while in_state(site, |status| status == Status::Deploying).await? == 0 {
        deadline.note("none is Deploying");
        deadline.pause().await?;
    }
    Ok(())
}

/// How many machines are in such a state.
async fn in_state(site: &Site, wanted: impl Fn(Status) -> bool) -> Result<usize> {
    let machines = site.machines().await?;
    Ok(machines.iter().filter(|(_, seen)| seen.as_ref().is_some_and(|seen| wanted(seen.status))).count())
}

/// Gives a machine back with a quick erase, and waits until it is Ready.
async fn release(site: &Site, id: &str) -> Result<()> {
    site.region.release(id, &Release { erase: Erase::Quick, ..Release::default() }).await?;
    site.wait(id, up::LIMIT, |m| m.status == Status::Ready).await?;
    Ok(())
}

/// Runs a command on a machine, again while SSH itself fails: cloud-init restarts the server once.
fn reach(ssh: &str, command: &str) -> Result<std::process::Output> {
    const SSH_FAILED: i32 = 255;
    let deadline = Instant::now() + RESTART_LIMIT;
    loop {
        let out = up::on_machine(ssh, command)?;
        if out.status.code() != Some(SSH_FAILED) || Instant::now() > deadline {
            return Ok(out);
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// What a command on a machine prints; fails if it does.
fn ask(ssh: &str, command: &str) -> Result<String> {
    let out = reach(ssh, command)?;
    let (text, error) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    ensure!(out.status.success(), "`{command}` on the machine failed ({}): {text}{error}", out.status);
    Ok(text.into_owned())
}

/// Checks what every deployed machine shows: the image asked for, its own UUID, a cloud-init without errors.
fn check_deployed(ssh: &str, machine: &MachineStatus, series: &str) -> Result<()> {
    let release = ask(ssh, "cat /etc/os-release")?;
    ensure!(
        release.lines().any(|line| line == format!("VERSION_CODENAME={series}")),
        "not {series} but:\n{release}"
    );
    // As root: it asks systemd, by D-Bus for others, and waits for ever where there is none.
    let status = reach(ssh, "sudo timeout 120 cloud-init status --wait --long")?;
    let text = String::from_utf8_lossy(&status.stdout);
    // Reports of the time before there is a network get lost, and newer versions tell of it.
    let harmless = |line: &str| line.contains("WebHookHandler") || line.contains("Failed posting event");
    let troubles = text.lines().filter(|line| line.starts_with("\t- ")).any(|line| !harmless(line));
    ensure!(text.contains("status: done") && !troubles, "cloud-init ended with {}:\n{text}", status.status);
    let uuid = ask(ssh, "sudo cat /sys/class/dmi/id/product_uuid")?;
    ensure!(
        uuid.trim().eq_ignore_ascii_case(&machine.uuid.to_string()),
        "DMI says {}, the BMC {}",
        uuid.trim(),
        machine.uuid
    );
    Ok(())
}

/// The lab's and the region's view of a machine, by system id.
async fn lab_machine(site: &Site, id: &str) -> Result<MachineStatus> {
    let machines = site.machines().await?;
    let found = machines.into_iter().find(|(_, seen)| seen.as_ref().is_some_and(|m| m.system_id == id));
    found.map(|(machine, _)| machine).ok_or_else(|| anyhow::anyhow!("machine {id} is gone"))
}

/// A folder for a rack of this test's own.
fn scratch(name: &str) -> PathBuf {
    crate::shell::target().join("labs").join(name)
}
