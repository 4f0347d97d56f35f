//! A whole lab with a namespace machine that boots over the network, against busybox's DHCP and HTTP servers.
//!
//! Wants root, `ip`, `nft`, curl and busybox; says so and passes where they are missing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rack::{Cable, Fault, LabClient, PowerAction, PowerState, Rules, Status};

const LIMIT: Duration = Duration::from_mins(1);
const BUSYBOX: &str = "/bin/busybox";

/// PID 1 of the test's system: restarts once, remembering that on the disk, and then switches off.
const INIT: &str = r#"#!/bin/busybox sh
b=/bin/busybox
$b echo "cmdline: $($b cat /proc/cmdline)"
$b echo "uuid: $($b cat /sys/class/dmi/id/product_uuid)"
$b echo "disks: $($b ls /sys/block) of $($b cat /sys/class/block/vda/size)"
$b echo "processes: $($b ls -d /proc/[0-9]* | $b wc -l)"
$b echo "interfaces: $($b ls /sys/class/net | $b tr '\n' ' ')"
if [ "$($b dd if=/dev/vda bs=4 count=1 2>/dev/null)" = DONE ]; then
  $b echo "second start"; $b poweroff -f
else
  $b echo "first start"; $b printf DONE | $b dd of=/dev/vda conv=fsync 2>/dev/null; $b reboot -f
fi
"#;

fn missing() -> bool {
    let root = rustix::process::geteuid().is_root();
    let there = |tool: &str| Command::new(tool).arg("-V").output().is_ok();
    let tools = Path::new(BUSYBOX).exists() && ["ip", "nft", "curl"].into_iter().all(there);
    if !root || !tools {
        println!(
            "skipped: wants root, ip, nft, curl and a static {BUSYBOX} (Debian: iproute2, nftables, curl, busybox-static)"
        );
    }
    !root || !tools
}

/// A lab's process and folder; both go when it is dropped.
struct Rig {
    dir: tempfile::TempDir,
    lab: Child,
    peers: Vec<Child>,
    client: LabClient,
}

impl Rig {
    async fn start(name: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), name, "").await
    }

    /// A lab in this folder, with `more` in its configuration.
    async fn start_in(dir: tempfile::TempDir, name: &str, more: &str) -> Self {
        let name = format!("{name}-{}", std::process::id());
        let text = format!(
            "name = \"{name}\"\n[[machines]]\nname = \"node-1\"\nkind = \"namespace\"\ndisk_gib = 1\n{more}"
        );
        fs::write(dir.path().join("lab.toml"), text).unwrap();
        let lab = spawn_lab(dir.path());
        let client = LabClient::new(dir.path()).unwrap();
        let rig = Self { dir, lab, peers: Vec::new(), client };
        rig.until("the lab answers", async |rig| rig.client.status().await.is_ok()).await;
        rig
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    async fn status(&self) -> Status {
        self.client.status().await.unwrap()
    }

    /// Serves a boot script and an initial RAM disk in the site.
    async fn serve(&mut self, script: &str, init: &str) {
        let web = self.path("web");
        fs::create_dir(&web).unwrap();
        fs::write(web.join("ipxe.cfg"), "#!ipxe\nchain /ipxe.cfg-${mac:hexhyp}\n").unwrap();
        let status = self.status().await;
        let own = format!("ipxe.cfg-{}", status.machines[0].mac.replace(':', "-"));
        fs::write(web.join(own), script).unwrap();
        fs::write(web.join("vmlinuz"), "a kernel").unwrap();
        fs::write(web.join("initrd"), initrd(init)).unwrap();
        let leases = self.path("leases");
        fs::write(&leases, "").unwrap();
        let config = format!(
            "start 10.20.0.50\nend 10.20.0.60\ninterface br0\nlease_file {}\npidfile {}\n\
             option subnet 255.255.255.0\nopt router 10.20.0.1\nboot_file http://10.20.0.1:5248/ipxe.cfg\n",
            leases.display(),
            self.path("udhcpd.pid").display()
        );
        fs::write(self.path("udhcpd.conf"), config).unwrap();
        let conf = self.path("udhcpd.conf").display().to_string();
        let web = web.display().to_string();
        for words in [vec!["udhcpd", "-f", &conf], vec!["httpd", "-f", "-p", "10.20.0.1:5248", "-h", &web]] {
            let peer = Command::new("ip")
                .args(["netns", "exec", &status.netns, BUSYBOX])
                .args(words)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            self.peers.push(peer);
        }
    }

    fn console(&self) -> String {
        fs::read_to_string(self.path("machines/node-1/console.log")).unwrap_or_default()
    }

    async fn until(&self, what: &str, mut condition: impl AsyncFnMut(&Self) -> bool) {
        let deadline = Instant::now() + LIMIT;
        while !condition(self).await {
            assert!(Instant::now() < deadline, "waited too long until {what}; console:\n{}", self.console());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn power(&self) -> PowerState {
        self.status().await.machines[0].power
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        for child in self.peers.iter_mut().chain([&mut self.lab]) {
            child.kill().ok();
            child.wait().ok();
        }
        if let Err(error) = rack::clean(self.dir.path()) {
            println!("cleaning up: {error}");
        }
    }
}

fn spawn_lab(dir: &Path) -> Child {
    let log = fs::File::create(dir.join("lab.log")).unwrap();
    Command::new(env!("CARGO_BIN_EXE_rack-lab"))
        .args([dir, &dir.join("lab.toml")])
        .env("RUST_LOG", "info")
        .stderr(log)
        .spawn()
        .unwrap()
}

fn initrd(init: &str) -> Vec<u8> {
    let busybox = fs::read(BUSYBOX).unwrap();
    let members: [(&str, u32, &[u8]); 4] = [
        ("bin", 0o040_755, b""),
        ("bin/busybox", 0o100_755, &busybox),
        ("init", 0o100_755, init.as_bytes()),
        ("TRAILER!!!", 0, b""),
    ];
    let mut out = Vec::new();
    for (name, mode, data) in members {
        let fields = [0, mode, 0, 0, 1, 0, data.len() as u32, 0, 0, 0, 0, name.len() as u32 + 1, 0];
        out.extend(b"070701");
        for field in fields {
            out.extend(format!("{field:08x}").into_bytes());
        }
        out.extend(name.as_bytes());
        out.push(0);
        out.resize(out.len().next_multiple_of(4), 0);
        out.extend(data);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    zstd::stream::encode_all(&*out, 1).unwrap()
}

fn namespaces(lab: &str) -> usize {
    let names = fs::read_dir("/run/netns").into_iter().flatten().flatten();
    names.filter(|entry| entry.file_name().to_string_lossy().starts_with(&format!("bsm-{lab}"))).count()
}

const BOOT: &str = "#!ipxe\nkernel /vmlinuz color=green\ninitrd /initrd\nboot\n";

#[tokio::test]
async fn a_machine_boots_restarts_and_switches_itself_off() {
    if missing() {
        return;
    }
    let mut rig = Rig::start("b").await;
    rig.serve(BOOT, INIT).await;
    rig.client.power("node-1", PowerAction::On).await.unwrap();
    rig.until("the second start", async |rig| rig.console().contains("second start")).await;
    rig.until("it is off", async |rig| rig.power().await == PowerState::Off).await;

    let (console, status) = (rig.console(), rig.status().await);
    assert_eq!(console.matches("first start").count(), 1, "{console}");
    assert!(console.contains("cmdline: color=green"), "{console}");
    assert!(console.contains(&format!("uuid: {}", status.machines[0].uuid)), "{console}");
    assert!(console.contains("disks: vda of 2097152"), "{console}");
    assert!(console.contains("interfaces: eth0 lo"), "{console}");

    // Whatever machine.json says holds after a restart of the lab.
    let name = status.name.clone();
    rig.client.shutdown().await.unwrap();
    assert!(rig.lab.wait().unwrap().success());
    assert_eq!(namespaces(&name), 0);
    assert!(!rig.path("lab.json").exists());
    rig.lab = spawn_lab(rig.dir.path());
    rig.until("the lab answers again", async |rig| rig.client.status().await.is_ok()).await;
    let again = rig.status().await;
    assert_eq!(
        (&again.machines[0].mac, again.machines[0].uuid),
        (&status.machines[0].mac, status.machines[0].uuid)
    );
}

#[tokio::test]
async fn a_killed_lab_takes_its_machines_along_and_is_cleaned_twice() {
    if missing() {
        return;
    }
    let mut rig = Rig::start("k").await;
    rig.serve(BOOT, "#!/bin/busybox sh\n/bin/busybox echo here I am\nexec /bin/busybox sleep 1000\n").await;
    rig.client.power("node-1", PowerAction::On).await.unwrap();
    rig.until("it runs", async |rig| rig.console().contains("here I am")).await;
    assert_eq!(rig.power().await, PowerState::On);
    let name = rig.status().await.name;

    let second = Command::new(env!("CARGO_BIN_EXE_rack-lab"))
        .args([rig.dir.path(), &rig.path("lab.toml")])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&second.stderr).contains("already running"), "{second:?}");
    assert!(rack::clean(rig.dir.path()).is_err(), "a living lab is not cleaned away");

    rig.lab.kill().unwrap();
    rig.lab.wait().unwrap();
    let namespace = format!("bsm-{name}.node-1");
    rig.until("its processes are gone", async |_| {
        let pids = Command::new("ip").args(["netns", "pids", &namespace]).output().unwrap();
        pids.stdout.is_empty()
    })
    .await;
    rack::clean(rig.dir.path()).unwrap();
    rack::clean(rig.dir.path()).unwrap();
    assert_eq!(namespaces(&name), 0);
    let loops = Command::new("losetup").args(["--list", "--output", "BACK-FILE"]).output().unwrap();
    let loops = String::from_utf8_lossy(&loops.stdout).into_owned();
    assert!(!loops.contains(&rig.dir.path().display().to_string()), "{loops}");
    let group = Path::new("/sys/fs/cgroup").join("memory").join(format!("bsm-{name}"));
    assert!(!group.exists());
}

#[tokio::test]
async fn a_program_runs_in_the_site_and_comes_back_when_it_is_killed() {
    if missing() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let web = dir.path().join("web");
    fs::create_dir(&web).unwrap();
    fs::write(web.join("hello"), "from the site").unwrap();
    let more = format!(
        "[[programs]]\nname = \"web\"\ncommand = [\"{BUSYBOX}\", \"httpd\", \"-f\", \"-p\", \"10.20.0.1:80\", \
         \"-h\", \"{}\"]\n[[programs]]\nname = \"talk\"\ncommand = [\"{BUSYBOX}\", \"echo\", \"hello\"]\n\
         [[forwards]]\nname = \"web\"\nport = 80\n",
        web.display()
    );
    let rig = Rig::start_in(dir, "g", &more).await;
    let address = rig.status().await.forwards[0].listen;
    let hello = async || {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        client.get(format!("http://{address}/hello")).send().await.ok()?.text().await.ok()
    };
    let answers = async |_: &Rig| hello().await.as_deref() == Some("from the site");
    rig.until("the program answers", answers).await;
    for kills in 1..=3 {
        let killed = Instant::now();
        rig.client.kill("web", Duration::ZERO).await.unwrap();
        let again = async |rig: &Rig| rig.status().await.programs[0].starts > kills;
        rig.until("the program is started again", again).await;
        assert!(killed.elapsed() < Duration::from_secs(5), "the pause grows: {:?}", killed.elapsed());
        rig.until("the program answers again", answers).await;
    }
    // One that ends by itself is started again as well; what it says is kept.
    rig.until("the other has spoken twice", async |rig| {
        fs::read_to_string(rig.path("talk.log")).is_ok_and(|log| log.matches("hello").count() > 1)
    })
    .await;
    let refused = rig.client.kill("nobody", Duration::ZERO).await.unwrap_err();
    assert!(refused.to_string().contains("nobody"), "{refused}");
}

#[tokio::test]
async fn the_button_cuts_power_at_any_time() {
    if missing() {
        return;
    }
    let rig = Rig::start("p").await;
    // No DHCP server: the machine stays in its firmware.
    rig.client.power("node-1", PowerAction::On).await.unwrap();
    rig.until("it asks for an address", async |rig| rig.console().contains("DHCP ...")).await;
    rig.client.power("node-1", PowerAction::Cycle).await.unwrap();
    rig.until("it asks again", async |rig| rig.console().matches("DHCP ...").count() > 1).await;
    rig.client.power("node-1", PowerAction::Off).await.unwrap();
    assert_eq!(rig.power().await, PowerState::Off);
    rig.client.fault("node-1", Fault::Refuse).await.unwrap();
    let refused = rig.client.power("node-9", PowerAction::On).await.unwrap_err();
    assert!(refused.to_string().contains("node-9"), "{refused}");
}

#[tokio::test]
async fn between_site_and_cloud_only_what_the_rules_name_passes() {
    if missing() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let web = dir.path().join("web");
    fs::create_dir(&web).unwrap();
    fs::write(web.join("hello"), "hello").unwrap();
    let program = |name: &str, place: &str, address: &str| {
        format!(
            "[[programs]]\nname = \"{name}\"\nplace = \"{place}\"\ncommand = [\"{BUSYBOX}\", \"httpd\", \"-f\", \"-p\", \
             \"{address}\", \"-h\", \"{}\"]\n",
            web.display()
        )
    };
    let more = [
        program("open", "cloud", "10.99.0.1:8080"),
        program("closed", "cloud", "10.99.0.1:8081"),
        program("site", "site", "10.20.0.1:80"),
        "[[forwards]]\nname = \"open\"\nplace = \"cloud\"\nport = 8080\n".to_owned(),
        "[cloud]\n[cloud.rules]\nto_cloud = [8080]\n".to_owned(),
    ];
    let rig = Rig::start_in(dir, "u", &more.concat()).await;
    let name = rig.status().await.name;
    let reaches = |from: &str, url: &str| {
        let netns = format!("bsm-{name}-{from}");
        let url = format!("http://{url}/hello");
        let words = ["netns", "exec", &netns, "curl", "--silent", "--noproxy", "*", "--max-time", "1", &url];
        Command::new("ip").args(words).output().unwrap().stdout == b"hello"
    };
    rig.until("the site reaches the open port", async |_| reaches("site", "10.99.0.1:8080")).await;
    rig.until("all programs run", async |_| {
        reaches("cloud", "10.99.0.1:8081") && reaches("site", "10.20.0.1:80")
    })
    .await;
    assert!(!reaches("site", "10.99.0.1:8081") && !reaches("cloud", "10.20.0.1:80"));
    let address = rig.status().await.forwards[0].listen;
    let answer = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = answer.get(format!("http://{address}/hello")).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "hello");

    rig.client.uplink(Cable::Pulled).await.unwrap();
    assert!(!reaches("site", "10.99.0.1:8080"));
    rig.client.uplink(Cable::Plugged).await.unwrap();
    assert!(reaches("site", "10.99.0.1:8080"));
    rig.client.rules(&Rules { to_cloud: vec![], to_site: vec![80] }).await.unwrap();
    assert!(!reaches("site", "10.99.0.1:8080") && reaches("cloud", "10.20.0.1:80"));
}
