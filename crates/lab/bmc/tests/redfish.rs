//! The BMC over real TLS, spoken to by an ordinary HTTP client.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bmc::{
    Bmc, BootOverride, Ca, ConsoleLines, Credentials, Fault, Faults, Identity, Machine, MachineError,
    PowerState, Reset,
};
use serde_json::{Value, json};

struct Fake(Mutex<(PowerState, BootOverride)>, Option<Vec<String>>);

#[async_trait::async_trait]
impl Machine for Fake {
    async fn power_state(&self) -> PowerState {
        self.0.lock().unwrap().0
    }
    async fn reset(&self, reset: Reset) -> Result<(), MachineError> {
        self.0.lock().unwrap().0 = match reset {
            Reset::On | Reset::ForceRestart => PowerState::On,
            Reset::ForceOff | Reset::GracefulShutdown => PowerState::Off,
        };
        Ok(())
    }
    async fn boot_override(&self) -> BootOverride {
        self.0.lock().unwrap().1
    }
    async fn set_boot_override(&self, wanted: BootOverride) -> Result<(), MachineError> {
        self.0.lock().unwrap().1 = wanted;
        Ok(())
    }
    async fn console(&self, skip: usize, top: usize) -> Result<Option<ConsoleLines>, MachineError> {
        Ok(self.1.as_ref().map(|all| ConsoleLines {
            first: skip,
            lines: all.iter().skip(skip).take(top).cloned().collect(),
            total: all.len(),
        }))
    }
}

struct Rig {
    client: reqwest::Client,
    url: String,
    faults: Faults,
    _dir: tempfile::TempDir,
}

impl Rig {
    async fn start() -> Self {
        Self::with_console(Some(vec![])).await
    }

    async fn with_console(console: Option<Vec<String>>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Ca::create(dir.path()).unwrap();
        // Loaded again, so that certificates made after a restart are seen to verify.
        let ca = Ca::load_or_create(dir.path()).unwrap();
        let address: IpAddr = "127.0.0.1".parse().unwrap();
        let listener = tokio::net::TcpListener::bind((address, 0)).await.unwrap();
        let url = format!("https://{}/redfish/v1", listener.local_addr().unwrap());
        let machine = Fake(Mutex::new((PowerState::Off, BootOverride::default())), console);
        let identity = Identity {
            uuid: uuid::Uuid::nil(),
            name: "node-1".into(),
            manufacturer: "Bessemer".into(),
            model: "Lab".into(),
            serial: "1".into(),
        };
        let credentials = Credentials { username: "admin".into(), password: "secret".into() };
        let faults = Faults::default();
        let bmc = Bmc::new(Arc::new(machine), identity, credentials, faults.clone());
        tokio::spawn(bmc::serve(listener, ca.server_config(address).unwrap(), bmc));
        let client = reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(ca.pem().as_bytes()).unwrap()])
            .no_proxy()
            .build()
            .unwrap();
        Self { client, url, faults, _dir: dir }
    }

    fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url)).basic_auth("admin", Some("secret"))
    }

    async fn system(&self) -> Value {
        let response = self.request(reqwest::Method::GET, "/Systems/1").send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(response.headers().contains_key("etag"));
        response.json().await.unwrap()
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let response = self.request(reqwest::Method::GET, path).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    async fn reset(&self, kind: &str) -> u16 {
        let path = "/Systems/1/Actions/ComputerSystem.Reset";
        let body = json!({"ResetType": kind});
        self.request(reqwest::Method::POST, path).json(&body).send().await.unwrap().status().as_u16()
    }

    async fn patch(&self, body: Value, tag: &str) -> u16 {
        let request = self.request(reqwest::Method::PATCH, "/Systems/1").header("if-match", tag);
        request.json(&body).send().await.unwrap().status().as_u16()
    }
}

#[tokio::test]
async fn the_root_is_open_and_the_rest_wants_the_password() {
    let rig = Rig::start().await;
    let root: Value = rig.client.get(format!("{}/", rig.url)).send().await.unwrap().json().await.unwrap();
    assert_eq!(root["Systems"]["@odata.id"], "/redfish/v1/Systems");
    let systems = format!("{}/Systems", rig.url);
    let anonymous = rig.client.get(&systems).send().await.unwrap();
    assert_eq!(anonymous.status(), 401);
    assert!(anonymous.headers().contains_key("www-authenticate"));
    let wrong = rig.client.get(&systems).basic_auth("admin", Some("guess")).send().await.unwrap();
    assert_eq!(wrong.status(), 401);
    let right: Value =
        rig.request(reqwest::Method::GET, "/Systems").send().await.unwrap().json().await.unwrap();
    assert_eq!(right["Members"][0]["@odata.id"], "/redfish/v1/Systems/1");
}

#[tokio::test]
async fn power_and_boot_override() {
    let rig = Rig::start().await;
    assert_eq!(rig.system().await["PowerState"], "Off");
    assert_eq!(rig.reset("On").await, 204);
    assert_eq!(rig.system().await["PowerState"], "On");
    assert_eq!(rig.reset("Explode").await, 400);

    let boot = json!({"Boot": {"BootSourceOverrideEnabled": "Once", "BootSourceOverrideTarget": "Pxe"}});
    assert_eq!(rig.patch(boot.clone(), "\"stale\"").await, 412);
    let tag = rig.system().await["@odata.etag"].as_str().unwrap().to_owned();
    assert_eq!(rig.patch(boot.clone(), &tag).await, 204);
    assert_eq!(rig.system().await["Boot"]["BootSourceOverrideTarget"], "Pxe");
    assert_eq!(rig.patch(boot, &tag).await, 412, "the tag changes with the override");
    assert_eq!(rig.patch(json!({"Boot": {"BootSourceOverrideTarget": "Floppy"}}), "*").await, 400);
}

#[tokio::test]
async fn faults_on_command() {
    let rig = Rig::start().await;
    assert_eq!(rig.reset("On").await, 204);
    rig.faults.set(Fault::Lying);
    assert_eq!(rig.system().await["PowerState"], "Off");
    rig.faults.set(Fault::Refuse);
    assert_eq!(rig.reset("On").await, 503);
    rig.faults.set(Fault::WrongAuth);
    assert_eq!(rig.reset("On").await, 401);
    rig.faults.set(Fault::Hang);
    let hung =
        rig.request(reqwest::Method::GET, "/Systems/1").timeout(Duration::from_millis(200)).send().await;
    assert!(hung.unwrap_err().is_timeout());
    rig.faults.set(Fault::None);
    assert_eq!(rig.system().await["PowerState"], "On");
}

#[tokio::test]
async fn the_console_is_a_log() {
    const LOGGER: &str = "/Systems/1/LogServices/HostLogger";
    let lines = (0..2500).map(|n| format!("line {n}")).collect();
    let rig = Rig::with_console(Some(lines)).await;
    assert_eq!(rig.system().await["LogServices"]["@odata.id"], "/redfish/v1/Systems/1/LogServices");
    let (_, services) = rig.get("/Systems/1/LogServices").await;
    assert_eq!(services["Members"][0]["@odata.id"], format!("/redfish/v1{LOGGER}"));
    let (_, logger) = rig.get(LOGGER).await;
    assert_eq!(logger["Entries"]["@odata.id"], format!("/redfish/v1{LOGGER}/Entries"));

    let (_, some) = rig.get(&format!("{LOGGER}/Entries?$skip=7&$top=2")).await;
    assert_eq!(some["Members@odata.count"], 2500);
    let shown: Vec<_> =
        some["Members"].as_array().unwrap().iter().map(|e| (&e["Id"], &e["Message"])).collect();
    assert_eq!(shown, [(&json!("7"), &json!("line 7")), (&json!("8"), &json!("line 8"))]);
    assert_eq!(some["Members"][0]["EntryType"], "Oem");

    let mut page = format!("{LOGGER}/Entries");
    let mut sizes = vec![];
    loop {
        let (_, entries) = rig.get(&page).await;
        sizes.push(entries["Members"].as_array().unwrap().len());
        let Some(next) = entries["Members@odata.nextLink"].as_str() else { break };
        page = next.strip_prefix("/redfish/v1").unwrap().to_owned();
    }
    assert_eq!(sizes, [1000, 1000, 500]);
    assert_eq!(rig.get(&format!("{LOGGER}/Entries?$skip=9999")).await.1["Members"], json!([]));
    assert_eq!(rig.get(&format!("{LOGGER}/Entries?$skip=-1")).await.0, 400);
    let anonymous = rig.client.get(format!("{}{LOGGER}/Entries", rig.url)).send().await.unwrap();
    assert_eq!(anonymous.status(), 401);

    let without = Rig::with_console(None).await;
    assert_eq!(without.get("/Systems/1/LogServices").await.1["Members@odata.count"], 0);
    assert_eq!(without.get(LOGGER).await.0, 404);
    assert_eq!(without.get(&format!("{LOGGER}/Entries")).await.0, 404);
}
