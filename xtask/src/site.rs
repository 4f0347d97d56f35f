//! A lab with a region in it: started, joined, waited for, taken down.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use bundle::{components::Bundle as Components, image::Recipe};
use maas_client::{Client, Machine, MachineFilter, Status};
use rack::{Kind, LabClient, MachineOptions, MachineStatus, NoKvm, Options};

use crate::{
    console, host, narrate,
    roles::{REGION_API, Roles},
    shell,
};

/// Names the folder of the rack that `up` and `down` work on.
pub const RACK: &str = "BESSEMER_RACK";
/// How long a lab may take to answer, and a region in it.
const START_LIMIT: Duration = Duration::from_mins(1);
/// How long a region that was killed may stay away.
const REGION_AWAY: Duration = Duration::from_mins(1);
/// How long what a lab held may take to go.
const LEAVE_LIMIT: Duration = Duration::from_secs(15);
/// Pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What machines are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Machines {
    /// QEMU: they really boot.
    Qemu,
    /// Namespaces: the same images at native speed.
    Namespace,
    /// One of each.
    Both,
    /// QEMU where KVM works, else namespaces.
    Auto,
}

impl Machines {
    /// Two machines of this kind; says which one `auto` chose, and why.
    pub async fn pair(self, bundle: &Bundle) -> Vec<MachineOptions> {
        let kinds = match self {
            Self::Qemu => [Kind::Qemu; 2],
            Self::Namespace => [Kind::Namespace; 2],
            Self::Both => [Kind::Namespace, Kind::Qemu],
            Self::Auto => {
                let kernel = bundle.kernel();
                let (kind, why) = choose(&rack::probe_kvm(Some(&kernel)).await);
                narrate::say(&format!("  {why}"));
                [kind; 2]
            }
        };
        (1..)
            .zip(kinds)
            .map(|(n, kind)| MachineOptions {
                name: format!("node-{n}"),
                kind,
                memory_mib: 3072,
                cpus: 2,
                disk_gib: 12,
                ssh_port: 0,
            })
            .collect()
    }
}

/// What `auto` takes, and the sentence that says why.
fn choose(kvm: &Result<(), NoKvm>) -> (Kind, String) {
    match kvm {
        Ok(()) => (Kind::Qemu, "QEMU machines: KVM works here".to_owned()),
        Err(why) => (
            Kind::Namespace,
            format!("namespace machines, for {why}; `--machines qemu` takes QEMU all the same, slowly"),
        ),
    }
}

/// What a lab boots, from the cache or built.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// The program.
    pub program: PathBuf,
    /// Folder of the ephemeral system.
    pub ephemeral: PathBuf,
    /// What clusters and the engine run.
    pub components: Components,
    /// Folders of disk images.
    pub images: Vec<PathBuf>,
}

impl Bundle {
    /// The kernel of the ephemeral system.
    fn kernel(&self) -> PathBuf {
        self.ephemeral.join("vmlinuz")
    }

    /// Says where everything is.
    pub fn print(&self) {
        println!("program     {}", self.program.display());
        println!("ephemeral   {}", self.ephemeral.display());
        println!("components  {}", self.components.folder().display());
        for image in &self.images {
            println!("image       {}", image.display());
        }
    }

    /// Builds what is not in the cache.
    pub fn build() -> Result<Self> {
        let root = shell::root();
        console::build()?;
        shell::run(&shell::cargo(), &["build", "--quiet", "--locked", "-p", "bessemer"])?;
        let cache = bundle::Cache::user();
        let say = |line: &str| narrate::say(&format!("  {line}"));
        let agent = bundle::agent_binary(&root)?;
        let ephemeral = bundle::ephemeral::build(&cache, &agent, &say)?;
        let components = bundle::components::build(&cache, &say)?;
        let images = [Recipe::debian("bookworm"), Recipe::debian("trixie"), Recipe::node(&components)]
            .iter()
            .map(|recipe| bundle::image::build(&cache, recipe, &say))
            .collect::<Result<_, _>>()?;
        Ok(Self { program: shell::target().join("debug/bessemer"), ephemeral, components, images })
    }
}

/// A lab with a region.
#[derive(Debug, Clone)]
pub struct Site {
    /// Its folder.
    pub dir: PathBuf,
    /// Its buttons.
    pub lab: LabClient,
    /// Its region.
    pub region: Client,
    /// Where the region's API is, for people.
    pub api: SocketAddr,
}

impl Site {
    /// The folder of the rack that `up` makes. `up`'s own test moves it by [`RACK`]; its name is the lab's.
    pub fn default_dir() -> PathBuf {
        std::env::var_os(RACK).map_or_else(|| shell::root().join(".bessemer/lab"), PathBuf::from)
    }

    /// The machines of the lab that was last started in `dir`.
    pub fn laid_out(dir: &Path) -> Option<Vec<MachineOptions>> {
        let text = fs::read_to_string(dir.join("lab.toml")).ok()?;
        Some(toml::from_str::<Options>(&text).ok()?.machines)
    }

    /// Joins the lab in `dir` if it runs, else starts one of these machines, with the disks and the region's data
    /// that are there.
    pub async fn start(
        dir: &Path,
        name: &str,
        bundle: &Bundle,
        machines: Vec<MachineOptions>,
        roles: Roles,
    ) -> Result<(Self, Started)> {
        let kinds = |of: &[MachineOptions]| of.iter().map(|m| m.kind).collect::<Vec<_>>();
        let before = Self::laid_out(dir);
        if let Some(there) = before.as_deref().map(kinds).filter(|there| *there != kinds(&machines)) {
            bail!(
                "the rack in {} is made of {there:?} machines, not of {:?}: leave `--machines` out to go on with it, \
                 or take it down first",
                dir.display(),
                kinds(&machines)
            );
        }
        if LabClient::new(dir)?.status().await.is_ok() {
            return Ok((Self::join(dir).await?, Started::Joined));
        }
        let started = if before.is_some() { Started::Again } else { Started::New };
        fs::create_dir_all(dir)?;
        let mut options = Options { name: name.to_owned(), machines, ..Options::default() };
        options.probe_kernel = Some(bundle.kernel());
        roles.lay_out(dir, bundle, &mut options)?;
        let lab_file = dir.join("lab.toml");
        fs::write(&lab_file, toml::to_string(&options)?)?;
        let log = fs::File::create(dir.join("lab.log"))?;
        // Its own session: Ctrl-C here leaves the rack running, to be joined again.
        let mut child = Command::new("setsid");
        child
            .arg(&bundle.program)
            .args(["lab", "run", "--dir"])
            .arg(dir)
            .arg("--config")
            .arg(&lab_file)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let mut child = child.spawn().context("cannot start the lab")?;
        let deadline = Instant::now() + START_LIMIT;
        let lab = LabClient::new(dir)?;
        while lab.status().await.is_err() {
            if let Some(status) = child.try_wait()? {
                bail!("the lab ended with {status}:\n{}", tail(&dir.join("lab.log")));
            }
            if Instant::now() > deadline {
                bail!("the lab does not answer:\n{}", tail(&dir.join("lab.log")));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok((Self::join(dir).await?, started))
    }

    /// Where a forward of the lab listens.
    pub async fn forward(&self, name: &str) -> Result<SocketAddr> {
        let forwards = self.lab.status().await?.forwards;
        let found = forwards.iter().find(|forward| forward.name == name);
        Ok(found.with_context(|| format!("the lab has no forward {name}: take the rack down first"))?.listen)
    }

    /// Joins the lab in `dir` and waits for its region.
    pub async fn join(dir: &Path) -> Result<Self> {
        let lab = LabClient::new(dir)?;
        let status = lab.status().await?;
        let forward =
            status.forwards.iter().find(|f| f.name == REGION_API).context("the lab runs no region")?;
        let api = forward.listen;
        let deadline = Instant::now() + START_LIMIT;
        let key_file = dir.join("admin.key");
        loop {
            if let Ok(key) = fs::read_to_string(&key_file) {
                let options =
                    maas_client::Options { retry_for: REGION_AWAY, ..maas_client::Options::default() };
                let region = Client::new(&format!("http://{api}/MAAS"), key.trim().parse()?, &options)?;
                if region.whoami().await.is_ok() {
                    return Ok(Self { dir: dir.to_owned(), lab, region, api });
                }
            }
            if Instant::now() > deadline {
                bail!("the region does not answer:\n{}", tail(&dir.join("region.log")));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Every machine of the lab with the region's view of it, once it has one.
    pub async fn machines(&self) -> Result<Vec<(MachineStatus, Option<Machine>)>> {
        let status = self.lab.status().await?;
        let known = self.region.machines(&MachineFilter::default()).await?;
        Ok(status
            .machines
            .into_iter()
            .map(|machine| {
                let uuid = machine.uuid.to_string();
                let seen = known.iter().find(|k| k.hardware_uuid.as_deref() == Some(&uuid)).cloned();
                (machine, seen)
            })
            .collect())
    }

    /// Waits until `done` says so of a machine, telling each change; fails when it fails or time is up.
    pub async fn wait(
        &self,
        system_id: &str,
        limit: Duration,
        done: impl Fn(&Machine) -> bool,
    ) -> Result<Machine> {
        let mut all = self.follow(&[system_id.to_owned()], limit, done).await?;
        all.pop().context("no machine to wait for")
    }

    /// The same for several at once.
    pub async fn follow(
        &self,
        ids: &[String],
        limit: Duration,
        done: impl Fn(&Machine) -> bool,
    ) -> Result<Vec<Machine>> {
        let deadline = Instant::now() + limit;
        let mut told = vec![String::new(); ids.len()];
        loop {
            let mut arrived = Vec::new();
            for (id, told) in ids.iter().zip(&mut told) {
                let machine = self.region.machine(id).await?;
                let why = self.region.why(id).await?;
                let reason = why.as_ref().and_then(|w| w.waiting.as_ref()).map_or("", |w| w.reason.as_str());
                let line = sentence(&machine, reason);
                if line != *told {
                    narrate::say(&format!("  {line}"));
                    *told = line;
                }
                if done(&machine) {
                    arrived.push(machine);
                } else if machine.status.is_failed() {
                    bail!("{}", self.how_to_go_on(&machine).await);
                } else if Instant::now() > deadline {
                    bail!("{told}: that takes longer than {limit:?}");
                }
            }
            if arrived.len() == ids.len() {
                return Ok(arrived);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// What has failed, and the lines that try it again.
    async fn how_to_go_on(&self, machine: &Machine) -> String {
        let verb = match machine.status {
            Status::FailedDeployment => "deploy",
            Status::FailedReleasing | Status::FailedDiskErasing => "release",
            _ => "commission",
        };
        let consoles = self.lab.status().await.map(|status| status.machines).unwrap_or_default();
        let uuid = machine.hardware_uuid.as_deref().unwrap_or_default();
        let console = consoles.into_iter().find(|m| m.uuid.to_string() == uuid).map(|m| m.console_log);
        format!(
            "{}: {}: {}\n  its console:  {}\n  to try again: BESSEMER_URL=http://{}/MAAS \
             BESSEMER_API_KEY=$(cat {}) target/debug/bessemer machine {verb} {} --wait\n  \
             or start over: cargo xtask down",
            machine.hostname,
            machine.status_name,
            machine.error_description,
            console.unwrap_or_default().display(),
            self.api,
            self.dir.join("admin.key").display(),
            machine.hostname,
        )
    }

    /// Stops the lab and removes its folder; fails if anything is left then.
    pub async fn remove(dir: &Path, program: &Path) -> Result<()> {
        let name = Self::name(dir);
        if let Ok(lab) = LabClient::new(dir)
            && let Ok(status) = lab.status().await
        {
            lab.shutdown().await?;
            // One that has ended has no command line, also where nobody has asked yet how it ended.
            let line = PathBuf::from(format!("/proc/{}/cmdline", status.pid));
            let deadline = Instant::now() + START_LIMIT;
            while fs::read(&line).is_ok_and(|line| !line.is_empty()) && Instant::now() < deadline {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
        if dir.exists() {
            // Whatever a killed lab left: found by name and by its own records.
            if program.exists() {
                shell::run(
                    &program.display().to_string(),
                    &["lab", "clean", "--dir", &dir.display().to_string()],
                )?;
            }
            fs::remove_dir_all(dir).with_context(|| format!("cannot remove {}", dir.display()))?;
        }
        // What the kernel takes away lazily gets a moment.
        let deadline = Instant::now() + LEAVE_LIMIT;
        loop {
            let left = host::leftovers(&name, dir);
            if left.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("the rack `{name}` left something behind:\n  {}", left.join("\n  "));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// The lab's name: what its file says, else its folder's.
    pub fn name(dir: &Path) -> String {
        let said = fs::read_to_string(dir.join("lab.toml")).ok();
        let said = said.and_then(|text| toml::from_str::<Options>(&text).ok()).map(|options| options.name);
        said.or_else(|| Some(dir.file_name()?.to_str()?.to_owned())).unwrap_or_default()
    }
}

/// How a machine stands.
fn sentence(machine: &Machine, reason: &str) -> String {
    let gap = if reason.is_empty() { "" } else { ": " };
    format!("{}: {}{gap}{reason}", machine.hostname, machine.status_name)
}

/// Whether a lab was there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Started {
    /// It was started for the first time.
    New,
    /// It was started with what an earlier one left: disks, the region's data.
    Again,
    /// It was running.
    Joined,
}

/// The last lines of a log.
pub fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(20);
    lines.get(from..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_takes_qemu_only_where_kvm_works_and_says_why_not() {
        let (kind, why) = choose(&Ok(()));
        assert_eq!((kind, why.as_str()), (Kind::Qemu, "QEMU machines: KVM works here"));
        for (reason, word) in [(NoKvm::NoDevice, "/dev/kvm"), (NoKvm::Silent, "does not start under KVM")] {
            let (kind, why) = choose(&Err(reason));
            assert_eq!(kind, Kind::Namespace);
            assert!(why.contains(word) && why.contains("--machines qemu"), "{why}");
        }
    }
}
