//! A region with its folders, ports, BMCs and machines.

use std::{
    io::Read,
    net::{IpAddr, Ipv4Addr, TcpListener},
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener},
    },
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use bmc::{Bmc, Ca, Credentials, Identity};
use maas_client::{Client, Machine, MachineFilter, Options, Status, Why};
use region::{Config, RegionError};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::node::Node;

/// Longest time for anything that is waited for.
pub const LIMIT: Duration = Duration::from_secs(20);
/// Where the child process finds its configuration.
const CHILD: &str = "REGION_TEST_CONFIG";
/// Larger than what sockets buffer, so that a broken download is really broken.
pub const IMAGE_SIZE: usize = 16 << 20;

pub struct Site {
    pub dir: TempDir,
    pub api: u16,
    pub boot: u16,
    pub nodes: Vec<Arc<Node>>,
    bmcs: String,
    region: Option<Running>,
}

enum Running {
    Here(watch::Sender<bool>),
    Child(Child),
}

/// A free port that no outgoing connection gets by chance, and no other process of these tests: each keeps a socket
/// of the port's name for as long as it lives.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() * 97 % 12_000).unwrap();
    loop {
        let port = 20_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        let name = SocketAddr::from_abstract_name(format!("region-test-port-{port}")).unwrap();
        let Ok(mine) = UnixListener::bind_addr(&name) else { continue };
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            std::mem::forget(mine);
            return port;
        }
    }
}

impl Site {
    /// A site of `machines` machines whose region does not run yet.
    pub async fn new(machines: u8) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (api, boot) = (free_port(), free_port());
        let ephemeral = dir.path().join("ephemeral");
        std::fs::create_dir(&ephemeral).unwrap();
        for file in ["vmlinuz", "initrd", "system.squashfs"] {
            std::fs::write(ephemeral.join(file), file).unwrap();
        }
        let manifest = r#"{"version": 1, "files": {"system.squashfs": {"sha256": "00", "size": 15}}}"#;
        std::fs::write(ephemeral.join("manifest.json"), manifest).unwrap();
        for (series, byte) in [("bookworm", 1u8), ("trixie", 2)] {
            image(&dir.path().join(series), series, byte);
        }
        let mut site = Self { dir, api, boot, nodes: Vec::new(), bmcs: String::new(), region: None };
        let ca = Ca::create(&site.dir.path().join("ca")).unwrap();
        for number in 2..machines + 2 {
            site.add(number, &ca).await;
        }
        site
    }

    async fn add(&mut self, number: u8, ca: &Ca) {
        let node = Node::new(number, &format!("http://127.0.0.1:{}", self.boot));
        let identity = Identity {
            uuid: node.uuid,
            name: format!("node {number}"),
            manufacturer: String::new(),
            model: String::new(),
            serial: String::new(),
        };
        let credentials = Credentials { username: "admin".to_owned(), password: "right".to_owned() };
        let front = Bmc::new(node.clone(), identity, credentials, node.faults.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tls = ca.server_config(IpAddr::from(Ipv4Addr::LOCALHOST)).unwrap();
        tokio::spawn(bmc::serve(listener, tls, front));
        let table = format!(
            "[[bmc]]\naddress = \"https://{address}\"\nuser = \"admin\"\npassword = \"right\"\nca_file = \"{}\"\n",
            ca.path().display()
        );
        self.bmcs.push_str(&table);
        self.nodes.push(node);
    }

    /// With a region in this process.
    pub async fn start(machines: u8) -> Self {
        let mut site = Self::new(machines).await;
        site.run_here().await;
        site
    }

    pub async fn run_here(&mut self) {
        let (stop, stopped) = watch::channel(false);
        let config = self.config();
        tokio::spawn(async move { region::run(config, stopped).await.expect("the region runs") });
        self.region = Some(Running::Here(stop));
        self.is_up().await;
    }

    /// With a region in a process of its own.
    pub async fn run_child(&mut self) {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "site::region_child", "--nocapture"])
            .env(CHILD, self.config_file())
            .stdin(Stdio::piped()) // it ends with us
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        self.region = Some(Running::Child(child));
        self.is_up().await;
    }

    /// Ends the child as `kill -9` does.
    pub fn kill(&mut self) {
        let Some(Running::Child(mut child)) = self.region.take() else { panic!("no child") };
        child.kill().unwrap();
        child.wait().unwrap();
    }

    async fn is_up(&mut self) {
        let url = format!("http://127.0.0.1:{}/healthz", self.api);
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        until("the region is up", async || http.get(&url).send().await.ok()).await;
    }

    fn config_file(&self) -> PathBuf {
        let dir = self.dir.path();
        let path = dir.join("region.toml");
        let text = format!(
            "data = \"{0}/data\"\nadmin_key_file = \"{0}/admin.key\"\nephemeral = \"{0}/ephemeral\"\n\
             images = [\"{0}/bookworm\", \"{0}/trixie\"]\napi = \"127.0.0.1:{1}\"\nboot = \"127.0.0.1:{2}\"\n{3}",
            dir.display(),
            self.api,
            self.boot,
            self.bmcs
        );
        std::fs::write(&path, text).unwrap();
        path
    }

    pub fn config(&self) -> Config {
        Config::read(&self.config_file()).unwrap()
    }

    pub fn client(&self) -> Client {
        let key = std::fs::read_to_string(self.dir.path().join("admin.key")).unwrap();
        let url = format!("http://127.0.0.1:{}/MAAS", self.api);
        Client::new(&url, key.parse().unwrap(), &Options::default()).unwrap()
    }

    /// The machine of a node, once the region knows it.
    pub async fn machine(&self, node: &Node) -> Machine {
        let filter = MachineFilter { mac_address: vec![node.mac.clone()], ..MachineFilter::default() };
        let client = self.client();
        until("the machine is known", async || client.machines(&filter).await.unwrap().pop()).await
    }

    /// Waits for a state; says what it is instead where it does not come.
    pub async fn reaches(&self, id: &str, wanted: Status) -> Machine {
        let client = self.client();
        let deadline = tokio::time::Instant::now() + LIMIT;
        loop {
            let machine = client.machine(id).await.unwrap();
            if machine.status == wanted {
                return machine;
            }
            let why = || format!("{:?}, not {wanted:?}: {}", machine.status, machine.error_description);
            assert!(tokio::time::Instant::now() < deadline, "{}", why());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits for a reason that `op=why` shows.
    pub async fn waits_for(&self, id: &str, words: &str) -> Why {
        let client = self.client();
        until(words, async || {
            let why = client.why(id).await.unwrap().unwrap();
            why.waiting.as_ref().is_some_and(|w| w.reason.contains(words)).then_some(why)
        })
        .await
    }

    /// From the power button to Ready and off.
    pub async fn commissioned(&self, node: &Arc<Node>) -> String {
        node.press();
        let id = self.machine(node).await.system_id;
        self.reaches(&id, Status::Ready).await;
        until("it is off", async || {
            let machine = self.client().machine(&id).await.unwrap();
            (machine.power_state == "off" && machine.power_type == "redfish").then_some(())
        })
        .await;
        id
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        match self.region.take() {
            Some(Running::Child(mut child)) => {
                let _ = child.kill();
                let _ = child.wait();
            }
            Some(Running::Here(stop)) => drop(stop.send(true)),
            None => {}
        }
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
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn image(dir: &std::path::Path, series: &str, byte: u8) {
    std::fs::create_dir(dir).unwrap();
    let content = vec![byte; IMAGE_SIZE];
    let manifest = serde_json::json!({
        "os": "debian", "series": series, "architecture": "amd64/generic", "filetype": "ddraw",
        "file": "disk.img", "sha256": hex::encode(Sha256::digest(&content)), "size": IMAGE_SIZE,
        "raw_size": IMAGE_SIZE, "title": series,
    });
    std::fs::write(dir.join("disk.img"), content).unwrap();
    std::fs::write(dir.join("manifest.json"), manifest.to_string()).unwrap();
}

/// Not a test of its own: the region of [`Site::run_child`].
#[test]
fn region_child() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let config = Config::read(path.as_ref()).unwrap();
    let (_stop, stopped) = watch::channel(false);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ended: Result<(), RegionError> = runtime.block_on(region::run(config, stopped));
    ended.unwrap();
}
