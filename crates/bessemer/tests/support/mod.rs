//! The binary, started and ended by tests.
#![allow(dead_code, reason = "not every test file uses all of it")]

use std::{
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use plane_client::{Client, Error, v1};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// A program that is killed when dropped.
pub struct Program {
    process: Child,
    arguments: Vec<String>,
    log: PathBuf,
}

impl Program {
    pub fn start(folder: &Path, name: &str, arguments: &[&str]) -> Self {
        let arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
        let log = folder.join(format!("{name}.log"));
        Self { process: spawn(&arguments, &log), arguments, log }
    }

    /// Kills it, as a power cut would, and starts it again.
    pub fn restart(&mut self) {
        self.kill();
        self.process = spawn(&self.arguments, &self.log);
    }

    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Ends it as an operator would.
    pub fn end(&mut self) -> bool {
        kill_process(Pid::from_child(&self.process), Signal::TERM).unwrap();
        self.process.wait().unwrap().success()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

pub fn bessemer() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bessemer"));
    command
        .env_remove("MAAS_ENDPOINT")
        .env_remove("MAAS_API_KEY")
        .env_remove("RUST_LOG")
        .stdin(Stdio::null());
    command
}

fn spawn(arguments: &[String], log: &Path) -> Child {
    let log = File::options().create(true).append(true).open(log).unwrap();
    bessemer().args(arguments).stderr(log).spawn().unwrap()
}

/// An address of its own, whose port nobody else asks for.
pub fn address(last: u8) -> String {
    let ip = format!("127.0.3.{last}");
    let port = TcpListener::bind((ip.as_str(), 0)).unwrap().local_addr().unwrap().port();
    format!("{ip}:{port}")
}

pub fn refusal(error: &Error) -> (u16, &str) {
    match error {
        Error::Refused { status, body } => (status.as_u16(), &body.code),
        other => panic!("{other}"),
    }
}

pub async fn code(client: &Client, name: &str) -> String {
    let path = format!("/v1/overlords/pairing/code?cloudType=maas&name={name}");
    client.get::<v1::PairingCode>(&path).await.unwrap().pairing_code
}

/// A profile of all built-in packs.
pub fn profile() -> Value {
    let pack = |name: &str, uid: &str, layer: &str, tag: &str| json!({"name": name, "uid": uid, "type": "spectro", "layer": layer, "tag": tag, "values": ""});
    json!({"metadata": {"name": "plain"}, "spec": {"version": "1.0.0", "template": {"type": "cluster", "cloudType": "maas", "packs": [
        pack("debian-maas", "5eed00000000000000000101", "os", "12"),
        pack("kubernetes", "5eed00000000000000000102", "k8s", "1.36.3"),
        pack("cni-bessemer", "5eed00000000000000000103", "cni", "1.0.0"),
        pack("hello", "5eed00000000000000000104", "addon", "1.0.0")]}}})
}

/// A cluster of one control plane and one worker.
pub fn cluster(name: &str, account: &str, profile: &str) -> Value {
    let pool = |name: &str, control: bool| {
        json!({
        "cloudConfig": {"azs": ["default"], "instanceType": {"minCPU": 1, "minMemInMB": 1024}, "resourcePool": "default", "tags": []},
        "poolConfig": {"name": name, "size": 1, "labels": [if control { "control-plane" } else { "worker" }], "isControlPlane": control}})
    };
    json!({"metadata": {"name": name},
           "spec": {"cloudAccountUid": account, "clusterType": "PureManage", "cloudConfig": {"domain": "maas", "sshKeys": [], "newer": 1},
                    "machinepoolconfig": [pool("control", true), pool("workers", false)],
                    "profiles": [{"uid": profile}]}})
}
