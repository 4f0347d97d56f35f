//! An engine for a test, in this process or in one of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use engine::{Embedded, EngineConfig, EngineError, Phase, Status};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::{Mutex, MutexGuard, watch};
use tokio::task::JoinHandle;

/// Tells the test program, started anew, to be an engine on this folder.
pub const BE_ENGINE: &str = "ENGINE_TEST_DATA";

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(90);

/// Engines are big: one at a time.
static ALONE: Mutex<()> = Mutex::const_new(());

/// The bundle's folder; `None`, with a word about it, where there is none.
pub fn bundle() -> Option<PathBuf> {
    let found = std::env::var_os("BESSEMER_BUNDLE").map(PathBuf::from);
    if found.is_none() {
        println!("left out: BESSEMER_BUNDLE names no bundle");
    }
    found
}

pub fn config(data: &Path, bundle: &Path) -> Embedded {
    Embedded { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), ..Embedded::new(data, bundle) }
}

/// An engine in this process.
pub struct Running {
    pub data: PathBuf,
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<(), EngineError>>,
    _alone: MutexGuard<'static, ()>,
}

impl Running {
    pub async fn start(config: Embedded) -> Self {
        let alone = ALONE.lock().await;
        let (stop, stopped) = watch::channel(false);
        let data = config.data.clone();
        let task = tokio::spawn(engine::run(EngineConfig::Embedded(config), stopped));
        let running = Self { data, stop, task, _alone: alone };
        running.ready().await;
        running
    }

    pub async fn ready(&self) -> Status {
        tokio::select! {
            status = ready(&self.data) => status,
            () = async { while !self.task.is_finished() { pause().await } } => panic!("the engine has ended"),
        }
    }

    pub fn status(&self) -> Status {
        engine::status(&self.data).unwrap().unwrap()
    }

    pub async fn stop(self) {
        self.stop.send(true).unwrap();
        self.task.await.unwrap().unwrap();
    }
}

/// An engine in a process of its own, killed when dropped.
pub struct Apart {
    pub process: Child,
    _alone: MutexGuard<'static, ()>,
}

impl Apart {
    pub async fn start(data: &Path, bundle: &Path) -> Self {
        let alone = ALONE.lock().await;
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_engine_itself", "--ignored", "--nocapture"])
            .env(BE_ENGINE, data)
            .env("BESSEMER_BUNDLE", bundle)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, _alone: alone }
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Another bundle in `folder`: the same programs, and a definition that is marked.
pub fn newer_bundle(bundle: &Path, folder: &Path) {
    let text = std::fs::read_to_string(bundle.join("manifest.json")).unwrap();
    let mut manifest: Value = serde_json::from_str(&text).unwrap();
    for (name, entry) in manifest["files"].as_object_mut().unwrap() {
        let (from, to) = (bundle.join(name), folder.join(name));
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        if name.ends_with("core/cluster.x-k8s.io_clusters.yaml") {
            let text = std::fs::read_to_string(from).unwrap();
            let marked = text.replacen("  annotations:\n", "  annotations:\n    engine-test: newer\n", 1);
            assert_ne!(text, marked);
            *entry = json!({"sha256": hex::encode(Sha256::digest(&marked)), "size": marked.len()});
            std::fs::write(to, marked).unwrap();
        } else {
            std::os::unix::fs::symlink(from, to).unwrap();
        }
    }
    std::fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
}

/// Waits until the engine on `data` is ready.
pub async fn ready(data: &Path) -> Status {
    wait("the engine to be ready", async || {
        engine::status(data).unwrap().filter(|status| status.phase == Phase::Ready)
    })
    .await
}

/// Waits until `look` sees something.
pub async fn wait<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        pause().await;
    }
}

async fn pause() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

pub async fn client(data: &Path) -> Client {
    let kubeconfig = Kubeconfig::read_from(data.join("admin.kubeconfig")).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

pub fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

/// Whether a process runs.
pub fn runs(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(')').unwrap().1.starts_with(" Z"))
}

/// Resident memory of a process, in bytes.
pub fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}
