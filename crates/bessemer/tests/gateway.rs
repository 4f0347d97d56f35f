//! The gateway as people run it: the binary, with a configuration file.
//!
//! `BESSEMER_BUNDLE` names a bundle; without it the test that needs one is left out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::{
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(90);

/// What the provider may have resident.
const PROVIDER_LIMIT: u64 = 50 << 20;

/// A gateway in a folder of its own, killed when dropped.
struct Gateway {
    process: Child,
    folder: TempDir,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn bessemer() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bessemer"));
    command.env_remove("MAAS_ENDPOINT").env_remove("MAAS_API_KEY").env_remove("RUST_LOG");
    command
}

impl Gateway {
    /// Starts one with `gateway.toml` of this text; its data are in `data`, `HERE` in the text is the folder.
    fn start(folder: TempDir, config: &str) -> Self {
        let here = folder.path().display().to_string();
        let text = format!("data = \"{here}/data\"\n{}", config.replace("HERE", &here));
        fs::write(folder.path().join("gateway.toml"), text).unwrap();
        let process = bessemer()
            .args(["gateway", "engine", "run", "--config", "gateway.toml"])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stderr(File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        Self { process, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }

    /// Looks until there is something; fails when that takes too long, or the gateway ends before.
    fn until<T>(&mut self, what: &str, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        let give_up = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            let ended = self.process.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < give_up, "in vain until {what}: {}", self.log());
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// What `status` prints as JSON, once there is something.
    fn status(&self) -> Option<Value> {
        let mut command = bessemer();
        command
            .args(["gateway", "engine", "status", "-o", "json", "--config"])
            .arg(self.path("gateway.toml"));
        serde_json::from_slice(&command.output().unwrap().stdout).ok()
    }

    fn end(&mut self) -> ExitStatus {
        kill_process(Pid::from_child(&self.process), Signal::TERM).unwrap();
        self.process.wait().unwrap()
    }
}

/// Runs a program to its good end; what it printed.
fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.2:0").unwrap().local_addr().unwrap().port()
}

fn runs(pid: u64) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(')').unwrap().1.starts_with(" Z"))
}

/// Resident memory of a process, in bytes.
fn resident(pid: u64) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

#[test]
fn an_engine_with_its_provider_and_registry_from_start_to_end() {
    let Some(bundle) = std::env::var_os("BESSEMER_BUNDLE").map(PathBuf::from) else {
        println!("left out: BESSEMER_BUNDLE names no bundle");
        return;
    };
    let registry = format!("127.0.0.2:{}", free_port());
    // Nothing answers as MAAS: the provider is ready all the same.
    let config = format!(
        "bundle = \"{}\"\nlisten = \"127.0.0.2:0\"\n\
         [maas]\nurl = \"http://127.0.0.1:9/MAAS\"\napi_key_file = \"HERE/key\"\n\
         [registry]\nlisten = \"{registry}\"\n",
        bundle.display()
    );
    let mut gateway = Gateway::start(tempfile::tempdir().unwrap(), &config);
    gateway.until("the key is awaited", |gateway| {
        gateway.log().contains("waiting for the API key").then_some(())
    });
    fs::write(gateway.path("key"), "a:b:c\n").unwrap();
    let status = gateway.until("it is ready", |gateway| {
        gateway.status().filter(|status| status["phase"] == "ready" && status["ready"].is_string())
    });
    let processes = status["processes"].as_array().unwrap();
    let pid = |process: &Value| process["pid"].as_u64().unwrap();
    let provider = processes.iter().find(|process| process["name"] == "provider").unwrap();
    let (own, engine) = (resident(pid(provider)), resident(gateway.process.id().into()));
    println!("resident: provider {} KiB, engine {} KiB", own >> 10, engine >> 10);
    assert!(own <= PROVIDER_LIMIT, "the provider has {own} bytes resident");

    let kubectl = |arguments: &[&str]| {
        let mut command = Command::new(bundle.join("bin/kubectl"));
        output(command.arg("--kubeconfig").arg(gateway.path("data/admin.kubeconfig")).args(arguments))
    };
    kubectl(&["get", "crd", "maasmachines.infrastructure.cluster.x-k8s.io"]);
    assert_eq!(kubectl(&["get", "maasmachines", "--all-namespaces", "-o", "name"]), "");

    // The API and the registry are trusted where they listen, and at this end of a port forward.
    let server = status["server"].as_str().unwrap().strip_prefix("https://").unwrap().to_owned();
    let curl = |address: &str, host: &str, path: &str| {
        let port = address.rsplit_once(':').unwrap().1;
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--fail", "--noproxy", "*", "--cacert"]);
        command.arg(gateway.path("data/pki/ca.crt"));
        command.arg("--connect-to").arg(format!("{host}:{port}:{address}"));
        output(command.arg(format!("https://{host}:{port}{path}")))
    };
    for host in ["127.0.0.2", "127.0.0.1", "localhost"] {
        assert_eq!(curl(&server, host, "/readyz"), "ok");
        curl(&registry, host, "/v2/");
    }
    let tags: Value = serde_json::from_str(&curl(&registry, "127.0.0.2", "/v2/pause/tags/list")).unwrap();
    let tag = tags["tags"][0].as_str().unwrap();
    let path = format!("/v2/registry.k8s.io/pause/manifests/{tag}");
    let manifest: Value = serde_json::from_str(&curl(&registry, "127.0.0.2", &path)).unwrap();
    assert!(manifest["layers"].is_array() || manifest["manifests"].is_array(), "{manifest}");

    let pids: Vec<u64> = processes.iter().map(pid).collect();
    assert!(gateway.end().success(), "{}", gateway.log());
    assert!(!pids.into_iter().any(runs), "nothing is left");
    assert_eq!(gateway.status().unwrap()["phase"], "stopped");
}

#[test]
fn stops_while_it_waits_for_a_key() {
    let config =
        "bundle = \"/nowhere\"\n[maas]\nurl = \"http://127.0.0.1:9/MAAS\"\napi_key_file = \"HERE/key\"\n";
    let mut gateway = Gateway::start(tempfile::tempdir().unwrap(), config);
    gateway.until("the key is awaited", |gateway| {
        gateway.log().contains("waiting for the API key").then_some(())
    });
    assert!(gateway.end().success(), "{}", gateway.log());
}

#[test]
fn a_taken_address_of_the_registry_is_named() {
    let taken = TcpListener::bind("127.0.0.2:0").unwrap();
    let address = taken.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    empty_bundle(folder.path());
    let mut gateway =
        Gateway::start(folder, &format!("bundle = \"HERE/bundle\"\n[registry]\nlisten = \"{address}\"\n"));
    assert_eq!(gateway.process.wait().unwrap().code(), Some(1));
    let log = gateway.log();
    assert!(log.contains(&format!("error: the registry cannot listen on {address}")), "{log}");
}

fn empty_bundle(folder: &Path) {
    let layout = folder.join("bundle/oci");
    fs::create_dir_all(&layout).unwrap();
    fs::write(layout.join("index.json"), r#"{"schemaVersion": 2, "manifests": []}"#).unwrap();
}

#[test]
fn a_provider_with_half_a_maas_says_what_to_set() {
    let output = bessemer().args(["provider", "run"]).env("MAAS_API_KEY", "a:b:c").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("set MAAS_ENDPOINT"), "{said}");
}

#[test]
fn manifests_of_the_provider_can_be_applied() {
    let text = output(bessemer().args(["provider", "manifests"]));
    for document in
        ["kind: CustomResourceDefinition", "kind: ClusterRole", "kind: ValidatingWebhookConfiguration"]
    {
        assert!(text.contains(&format!("\n{document}\n")), "{document}");
    }
    assert_eq!(text.matches("---\n").count(), 5);
}
