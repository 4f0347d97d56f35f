//! A region and a fleet in the network namespace of a test.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fleet_lab::{FleetClient, MachineStatus, Phase, PowerAction, Ready};
use maas_client::{Client, Deploy, Machine, MachineFilter, Options, Status, Why};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::sync::watch;

/// Longest time for anything that is waited for, on a machine that has other things to do.
pub const LIMIT: Duration = Duration::from_mins(3);
/// Set where the test is in its network.
const INSIDE: &str = "FLEET_TEST_INSIDE";
const IMAGE_SIZE: usize = 4 << 20;

/// Runs a test in a network namespace of its own: in one more process of this program.
pub fn in_its_own_network(test: &str, work: impl AsyncFnOnce(Site)) {
    if std::env::var_os(INSIDE).is_some() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        return runtime.unwrap().block_on(async { work(Site::start(20).await).await });
    }
    if !rustix::process::geteuid().is_root() || Command::new("ip").arg("-V").output().is_err() {
        println!("skipped: wants root and ip (Debian: iproute2)");
        return;
    }
    let status = Command::new("unshare")
        .arg("--net")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{test} failed in its network namespace");
}

pub struct Site {
    pub fleet: FleetClient,
    pub region: Client,
    lab: Child,
    stop: watch::Sender<bool>,
    _dir: TempDir,
}

impl Site {
    async fn start(machines: u32) -> Self {
        assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap().success());
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("fleet");
        std::fs::create_dir(&folder).unwrap();
        let mut lab = Command::new(env!("CARGO_BIN_EXE_fleet-lab"))
            .arg(&folder)
            .args(["--machines", &machines.to_string(), "--compression", "200"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(lab.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Ready = serde_json::from_str(&line).unwrap();
        let config = region::Config::read(&region_file(dir.path(), &ready)).unwrap();
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(async move { region::run(config, stopped).await.expect("the region runs") });
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        until("the region is up", async || http.get("http://127.0.0.1:5240/healthz").send().await.ok()).await;
        let key = std::fs::read_to_string(dir.path().join("admin.key")).unwrap();
        let url = "http://127.0.0.1:5240/MAAS";
        let region = Client::new(url, key.parse().unwrap(), &Options::default()).unwrap();
        Self { fleet: FleetClient::new(ready.admin).unwrap(), region, lab, stop, _dir: dir }
    }

    /// Every machine on, known, Ready and off again.
    pub async fn all_ready(&self) -> Vec<Machine> {
        let all = self.fleet.power("*", PowerAction::On).await.unwrap();
        let ready = until("all machines are Ready and off", async || {
            let found = self.region.machines(&MachineFilter::default()).await.unwrap();
            let done = |m: &&Machine| {
                m.status == Status::Ready && m.power_state == "off" && m.power_type == "redfish"
            };
            (found.iter().filter(done).count() == all).then_some(found)
        });
        ready.await
    }

    /// The region's id of one of the fleet's machines.
    pub async fn id(&self, name: &str) -> String {
        let status = self.machine(name).await;
        let filter = MachineFilter { mac_address: vec![status.mac], ..MachineFilter::default() };
        self.region.machines(&filter).await.unwrap()[0].system_id.clone()
    }

    pub async fn machine(&self, name: &str) -> MachineStatus {
        self.fleet.machines(name).await.unwrap().remove(0)
    }

    pub async fn deploy(&self, id: &str) {
        let wanted = Deploy {
            distro_series: Some("debian/bookworm".to_owned()),
            user_data: Some(b"#cloud-config\n{}\n".to_vec()),
            ..Deploy::default()
        };
        self.region.deploy(id, &wanted).await.unwrap();
    }

    /// Waits for a state; says what it is instead where it does not come.
    pub async fn reaches(&self, id: &str, wanted: Status) -> Machine {
        let deadline = tokio::time::Instant::now() + LIMIT;
        loop {
            let machine = self.region.machine(id).await.unwrap();
            if machine.status == wanted {
                return machine;
            }
            let said = format!("{:?}, not {wanted:?}: {}", machine.status, machine.error_description);
            assert!(tokio::time::Instant::now() < deadline, "{id} is {said}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits for a phase.
    pub async fn comes_to(&self, name: &str, phase: Phase) -> MachineStatus {
        until(&format!("{name} comes to {phase:?}"), async || {
            Some(self.machine(name).await).filter(|machine| machine.phase == phase)
        })
        .await
    }

    /// Waits for a reason that `op=why` shows.
    pub async fn waits_for(&self, id: &str, words: &str) -> Why {
        until(&format!("{id}: {words}"), async || {
            let why = self.region.why(id).await.unwrap().unwrap();
            why.waiting.as_ref().is_some_and(|w| w.reason.contains(words)).then_some(why)
        })
        .await
    }

    /// Ends the fleet as people do.
    pub async fn end(mut self) {
        let pid = rustix::process::Pid::from_child(&self.lab);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let ended = until("the fleet ends", async || self.lab.try_wait().unwrap()).await;
        assert!(ended.success(), "{ended}");
        until("the cable is gone", async || {
            (!std::fs::read_to_string("/proc/self/net/dev").unwrap().contains("fleet0:")).then_some(())
        })
        .await;
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        let _ = self.lab.kill();
        let _ = self.lab.wait();
    }
}

/// Waits until `look` finds something.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + LIMIT;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "not within {LIMIT:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn region_file(dir: &Path, ready: &Ready) -> std::path::PathBuf {
    let (ephemeral, image) = (dir.join("ephemeral"), dir.join("bookworm"));
    for folder in [&ephemeral, &image] {
        std::fs::create_dir(folder).unwrap();
    }
    for file in ["vmlinuz", "initrd"] {
        std::fs::write(ephemeral.join(file), vec![7; 100_000]).unwrap();
    }
    let content = vec![1; IMAGE_SIZE];
    let manifest = serde_json::json!({
        "os": "debian", "series": "bookworm", "architecture": "amd64/generic", "filetype": "ddraw",
        "file": "disk.img", "sha256": hex::encode(Sha256::digest(&content)), "size": IMAGE_SIZE,
        "raw_size": IMAGE_SIZE, "title": "bookworm",
    });
    std::fs::write(image.join("disk.img"), content).unwrap();
    std::fs::write(image.join("manifest.json"), manifest.to_string()).unwrap();
    let text = format!(
        "data = \"{0}/data\"\nadmin_key_file = \"{0}/admin.key\"\nephemeral = \"{0}/ephemeral\"\n\
         images = [\"{0}/bookworm\"]\n[[network]]\ninterface = \"{1}\"\ncidr = \"10.30.0.0/16\"\n\
         address = \"10.30.0.1\"\nreserved = [[\"10.30.0.1\", \"10.30.0.9\"]]\ndynamic = [\"10.30.128.0\", \"10.30.255.254\"]\n{2}",
        dir.display(),
        ready.interface,
        std::fs::read_to_string(&ready.bmcs).unwrap(),
    );
    let path = dir.join("region.toml");
    std::fs::write(&path, text).unwrap();
    path
}
