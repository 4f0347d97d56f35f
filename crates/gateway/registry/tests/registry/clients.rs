//! Programs that pull images: skopeo, and containerd's `ctr` from the component bundle.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::layout::{Layout, digest};
use crate::served::Served;

const LIMIT: Duration = Duration::from_secs(30);

async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn skopeo_copies_an_image_by_tag_and_by_digest() {
    if Command::new("skopeo").arg("--version").output().is_err() {
        println!("skipped: wants skopeo (Debian: skopeo)");
        return;
    }
    let layout = Layout::sample();
    let served = Served::tls(layout.path()).await;
    let work = tempfile::tempdir().unwrap();
    fs::write(work.path().join("ca.crt"), &served.ca).unwrap();
    let skopeo = |words: &[&str]| {
        let mut command = Command::new("skopeo");
        command.args(words).env("HOME", work.path()).env("SSL_CERT_FILE", work.path().join("ca.crt"));
        command
    };
    let policy = work.path().join("policy.json");
    fs::write(&policy, r#"{"default": [{"type": "insecureAcceptAnything"}]}"#).unwrap();
    let (at, policy) = (served.address, policy.display().to_string());
    let certificates = work.path().display().to_string();

    let inspected = run(skopeo(&[
        "inspect",
        "--raw",
        "--cert-dir",
        &certificates,
        &format!("docker://{at}/registry.k8s.io/pause:3.10.2"),
    ]))
    .await;
    assert!(inspected.status.success(), "{}", said(&inspected));
    let pause = digest(&inspected.stdout);
    for (number, name) in ["coredns/coredns:v1.14.2".to_owned(), format!("pause@{pause}")].iter().enumerate()
    {
        let target = work.path().join(number.to_string());
        let copied = run(skopeo(&[
            "copy",
            "--policy",
            &policy,
            "--src-cert-dir",
            &certificates,
            &format!("docker://{at}/{name}"),
            &format!("oci:{}", target.display()),
        ]))
        .await;
        assert!(copied.status.success(), "{name}: {}", said(&copied));
        assert!(target.join("index.json").exists());
    }
    let listed =
        run(skopeo(&["list-tags", "--cert-dir", &certificates, &format!("docker://{at}/pause")])).await;
    assert!(said(&listed).contains("3.10.2"), "{}", said(&listed));

    let pushed = run(skopeo(&[
        "copy",
        "--policy",
        &policy,
        "--dest-cert-dir",
        &certificates,
        &format!("oci:{}", work.path().join("1").display()),
        &format!("docker://{at}/pause:mine"),
    ]))
    .await;
    assert!(!pushed.status.success() && said(&pushed).contains("read-only"), "{}", said(&pushed));
}

/// The folder of containerd's programs, as `BESSEMER_BUNDLE` names the component bundle.
fn containerd() -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("BESSEMER_BUNDLE")?).join("bin");
    folder.join("containerd").exists().then_some(folder)
}

/// A containerd with a folder of its own.
struct Containerd {
    process: Child,
    programs: PathBuf,
    socket: PathBuf,
}

impl Containerd {
    fn start(programs: PathBuf, work: &Path) -> Self {
        let socket = work.join("containerd.sock");
        let config = work.join("config.toml");
        fs::write(&config, "version = 3\ndisabled_plugins = ['io.containerd.grpc.v1.cri']\n").unwrap();
        let process = Command::new(programs.join("containerd"))
            .args(["--config".as_ref(), config.as_os_str()])
            .args(["--root".as_ref(), work.join("root").as_os_str()])
            .args(["--state".as_ref(), work.join("state").as_os_str()])
            .args(["--address".as_ref(), socket.as_os_str()])
            .stdout(Stdio::null())
            .stderr(fs::File::create(work.join("log")).unwrap())
            .spawn()
            .unwrap();
        Self { process, programs, socket }
    }

    fn ctr(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.programs.join("ctr"));
        command.arg("--address").arg(&self.socket).args(["--namespace", "test"]).args(words);
        command
    }

    async fn ready(&self) {
        let deadline = Instant::now() + LIMIT;
        while !run(self.ctr(&["version"])).await.status.success() {
            assert!(Instant::now() < deadline, "containerd does not answer");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// As a node does it: `_default/hosts.toml` sends every registry's images to the site's.
#[tokio::test]
async fn containerd_pulls_through_its_mirror_configuration() {
    let Some(programs) = containerd() else {
        println!("skipped: wants containerd of the component bundle (BESSEMER_BUNDLE=FOLDER)");
        return;
    };
    if !is_root() {
        println!("skipped: containerd wants root");
        return;
    }
    let layout = Layout::sample();
    let served = Served::tls(layout.path()).await;
    let work = tempfile::tempdir().unwrap();
    let hosts = work.path().join("certs.d/_default");
    fs::create_dir_all(&hosts).unwrap();
    fs::write(hosts.join("ca.crt"), &served.ca).unwrap();
    let (at, ca) = (served.address, hosts.join("ca.crt"));
    let text = format!(
        "server = \"https://{at}\"\n[host.\"https://{at}\"]\ncapabilities = [\"pull\", \"resolve\"]\nca = \"{}\"\n",
        ca.display()
    );
    fs::write(hosts.join("hosts.toml"), text).unwrap();
    let containerd = Containerd::start(programs, work.path());
    containerd.ready().await;
    let pull = |name: &str| {
        let folder = work.path().join("certs.d").display().to_string();
        // Fetched and kept, not unpacked: that is the file system's affair.
        containerd.ctr(&["content", "fetch", "--hosts-dir", &folder, name])
    };
    for name in ["registry.k8s.io/pause:3.10.2", "registry.k8s.io/coredns/coredns:v1.14.2"] {
        let pulled = run(pull(name)).await;
        assert!(pulled.status.success(), "{name}: {}", said(&pulled));
    }
    let listed = run(containerd.ctr(&["images", "list", "--quiet"])).await;
    assert!(said(&listed).contains("registry.k8s.io/pause:3.10.2"), "{}", said(&listed));
    let missing = run(pull("docker.io/library/nginx:latest")).await;
    assert!(!missing.status.success() && said(&missing).contains("not found"), "{}", said(&missing));
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}
