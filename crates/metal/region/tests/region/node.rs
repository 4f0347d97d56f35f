//! A machine made of HTTP requests: firmware, agent and installed system as the region sees them.

use std::{
    collections::HashMap,
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard, Weak},
    time::Duration,
};

use agent_protocol::{Assignment, FileToWrite, Hello, Install, Progress, Report, Script, ScriptState, Task};
use bmc::{BootOverride, Faults, Machine, MachineError, PowerState, Reset};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::{sync::oneshot, task::AbortHandle};

/// Where a machine may be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The BMC has switched, but not answered yet.
    PowerCall,
    /// The boot configuration is there.
    Config,
    /// Kernel and initrd are there.
    Loaded,
    /// The region has answered hello.
    Hello,
    /// The tests have passed; nobody knows yet.
    Tested,
    /// In the middle of the image.
    HalfImage,
    /// The image is on the disk; nobody knows yet.
    Written,
    /// The region has taken the report.
    Reported,
    /// The installed system starts.
    Disk,
    /// It has its user-data.
    UserData,
    /// The disks are being erased.
    Erasing,
    /// Told to switch itself off.
    PowerOff,
}

/// How often it did what must not be done twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub starts: u32,
    pub installs: u32,
    pub erases: u32,
    pub tests: u32,
    pub first_boots: u32,
}

/// What its agent does.
#[derive(Debug, Clone, Default)]
pub enum Temper {
    #[default]
    Works,
    /// Fails every task with these words.
    Fails(&'static str),
    /// Never gets as far as the network.
    Mute,
}

pub struct Node {
    pub mac: String,
    pub uuid: uuid::Uuid,
    pub faults: Faults,
    pub http: reqwest::Client,
    base: String,
    me: Weak<Self>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    on: bool,
    over: BootOverride,
    running: Option<AbortHandle>,
    trap: Option<Trap>,
    seen: Seen,
}

/// What a test may look at.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub temper: Temper,
    pub counts: Counts,
    /// Token of the last boot.
    pub token: String,
    /// The last installation that it was told to do.
    pub install: Option<Install>,
    /// SHA-256 of what is on its disk.
    pub disk: Option<String>,
    pub user_data: Vec<u8>,
    /// How user-data was answered after modules-final.
    pub user_data_again: Option<StatusCode>,
    /// Bytes of its disk.
    pub disk_size: u64,
    /// Scripts that it has run, in order.
    pub ran: Vec<Script>,
    /// What scripts come to, by name; those not named pass.
    pub ends: HashMap<String, ScriptState>,
    /// Keys of those who may come into its rescue system.
    pub rescuers: Vec<String>,
    /// How often the region said that it cannot.
    pub refused: u32,
    /// How often its BMC was asked whether it is on.
    pub power_questions: u32,
}

struct Trap {
    phase: Phase,
    told: oneshot::Sender<()>,
    go: oneshot::Receiver<()>,
}

/// A machine that is (or will be) held; dropping it lets it go.
pub struct Held {
    told: oneshot::Receiver<()>,
    go: oneshot::Sender<()>,
}

impl Held {
    /// Waits until it is.
    pub async fn is_there(&mut self) {
        tokio::time::timeout(crate::site::LIMIT, &mut self.told).await.expect("reached in time").unwrap();
    }

    pub fn release(self) {
        let _ = self.go.send(());
    }

    /// What was held never comes back.
    pub fn forget(self) {
        std::mem::forget(self.go);
    }
}

/// What an agent's work ends with.
enum End {
    Restart,
    Off,
}

impl Node {
    pub fn new(number: u8, base: &str) -> Arc<Self> {
        let from = Ipv4Addr::new(127, 0, 0, number);
        let http = reqwest::Client::builder()
            .no_proxy()
            .local_address(std::net::IpAddr::V4(from))
            .timeout(Duration::from_secs(30))
            .build()
            .unwrap();
        let seen = Seen { disk_size: 1 << 30, ..Seen::default() };
        Arc::new_cyclic(|me| Self {
            mac: format!("52:54:00:00:00:{number:02x}"),
            uuid: uuid::Uuid::new_v4(),
            faults: Faults::default(),
            http,
            base: base.to_owned(),
            me: me.clone(),
            state: Mutex::new(State { seen, ..State::default() }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn seen(&self) -> Seen {
        self.state().seen.clone()
    }

    pub fn counts(&self) -> Counts {
        self.state().seen.counts
    }

    pub fn change(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.state().seen);
    }

    /// The button at its front.
    pub fn press(&self) {
        self.switch_off();
        self.switch_on();
    }

    /// Holds it when it comes to `phase`, once.
    pub fn hold(&self, phase: Phase) -> Held {
        let ((tell, told), (go, wait)) = (oneshot::channel(), oneshot::channel());
        self.state().trap = Some(Trap { phase, told: tell, go: wait });
        Held { told, go }
    }

    async fn reach(&self, phase: Phase) {
        let trap = {
            let mut state = self.state();
            if state.trap.as_ref().is_none_or(|trap| trap.phase != phase) {
                return;
            }
            state.trap.take()
        };
        if let Some(trap) = trap {
            let _ = trap.told.send(());
            let _ = trap.go.await;
        }
    }

    fn switch_on(&self) {
        let me = self.me.upgrade().unwrap();
        let mut state = self.state();
        state.on = true;
        state.over = state.over.after_start();
        state.running = Some(tokio::spawn(async move { me.run().await }).abort_handle());
    }

    fn switch_off(&self) {
        let mut state = self.state();
        state.on = false;
        if let Some(running) = state.running.take() {
            running.abort();
        }
    }

    async fn run(&self) {
        if matches!(self.seen().temper, Temper::Mute) {
            return;
        }
        while let End::Restart = self.start().await {}
        self.reach(Phase::PowerOff).await;
        self.state().on = false;
    }

    /// From the firmware to the end of what it starts.
    async fn start(&self) -> End {
        let chain = self.text(&format!("{}/ipxe.cfg", self.base)).await;
        let next = chain.split_whitespace().skip_while(|word| *word != "chain").nth(1).unwrap();
        let next = next.replace("${mac:hexhyp}", &self.mac.replace(':', "-"));
        let script = self.text(&next).await;
        self.reach(Phase::Config).await;
        if script.contains("sanboot") {
            self.installed_system().await;
            return std::future::pending().await;
        }
        let word = |key: &str| {
            let mut words = script.split_whitespace();
            words.find_map(|w| w.strip_prefix(key)).unwrap_or_default().to_owned()
        };
        for line in script.lines().filter(|l| l.starts_with("kernel ") || l.starts_with("initrd ")) {
            let answer = self.ask(|| self.http.get(line.split_whitespace().nth(1).unwrap())).await;
            if !answer.status().is_success() || answer.bytes().await.is_err() {
                return End::Restart;
            }
        }
        self.reach(Phase::Loaded).await;
        let token = word("bessemer.token=");
        self.state().seen.token.clone_from(&token);
        self.agent(&token).await
    }

    async fn agent(&self, token: &str) -> End {
        let hello = self.hello();
        let mut answer = self.ask(|| self.agent_call(Method::POST, "hello", token).json(&hello)).await;
        self.reach(Phase::Hello).await;
        loop {
            if answer.status() == StatusCode::UNAUTHORIZED {
                return End::Restart;
            }
            assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
            let assignment: Assignment = answer.json().await.unwrap();
            let end = match &assignment.task {
                Task::Restart => Some(End::Restart),
                Task::PowerOff => Some(End::Off),
                _ => None,
            };
            if let Task::Run { scripts, .. } = &assignment.task {
                for script in scripts {
                    for now in [ScriptState::Running, self.ends(script)] {
                        let progress = Progress::Script { result: script.result, now };
                        let report = Report { task: assignment.id.clone(), progress };
                        if !self.tell(token, &report).await {
                            return End::Restart;
                        }
                    }
                }
            }
            if let Some(progress) = self.perform(&assignment.task).await {
                if !self.tell(token, &Report { task: assignment.id, progress }).await {
                    return End::Restart;
                }
                self.reach(Phase::Reported).await;
            }
            if let Some(end) = end {
                return end;
            }
            answer = self.ask(|| self.agent_call(Method::GET, "task", token)).await;
        }
    }

    /// Tells the region something; `false`: this boot is over.
    async fn tell(&self, token: &str, report: &Report) -> bool {
        let told = self.ask(|| self.agent_call(Method::POST, "report", token).json(report)).await;
        match told.status() {
            StatusCode::UNAUTHORIZED => false,
            StatusCode::NO_CONTENT | StatusCode::CONFLICT => true,
            other => panic!("report: {other}"),
        }
    }

    /// What a script comes to.
    fn ends(&self, script: &Script) -> ScriptState {
        let mut state = self.state();
        state.seen.ran.push(script.clone());
        let end = state.seen.ends.get(&script.name).cloned();
        end.unwrap_or(ScriptState::Ended {
            exit_status: 0,
            output: "fine\n".to_owned(),
            result: String::new(),
        })
    }

    async fn perform(&self, task: &Task) -> Option<Progress> {
        let done = |detail: &str| Some(Progress::Done { detail: detail.to_owned(), results: Vec::new() });
        if let (Temper::Fails(words), false) =
            (self.seen().temper, matches!(task, Task::Wait { .. } | Task::PowerOff | Task::Restart))
        {
            return Some(Progress::Failed { error: words.to_owned() });
        }
        match task {
            Task::Wait { retry_ms } => {
                tokio::time::sleep(Duration::from_millis(*retry_ms)).await;
                None
            }
            Task::Run { scripts, .. } => {
                if !scripts.is_empty() {
                    self.state().seen.counts.tests += 1;
                    self.reach(Phase::Tested).await;
                }
                done("scripts have run")
            }
            Task::Rescue { keys, .. } => {
                self.change(|seen| seen.rescuers.clone_from(keys));
                done("sshd runs")
            }
            Task::Erase { .. } => {
                self.reach(Phase::Erasing).await;
                self.change(|seen| {
                    seen.counts.erases += 1;
                    seen.disk = None;
                });
                done("erased")
            }
            Task::Install(install) => {
                self.change(|seen| seen.install = Some((**install).clone()));
                let sha256 = self.fetch(install).await;
                assert_eq!(sha256, install.sha256, "what came is what was promised");
                self.change(|seen| {
                    seen.counts.installs += 1;
                    seen.disk = Some(sha256);
                });
                self.reach(Phase::Written).await;
                done("written")
            }
            Task::Restart => done("restarting"),
            Task::PowerOff => done("switching off"),
        }
    }

    /// Digest of the image; a download that breaks is continued.
    async fn fetch(&self, install: &Install) -> String {
        let (mut hash, mut got) = (Sha256::new(), 0u64);
        while got < install.size {
            let range = format!("bytes={got}-");
            let mut answer = self.ask(|| self.http.get(&install.url).header("range", &range)).await;
            assert_eq!(answer.status(), StatusCode::PARTIAL_CONTENT);
            while let Ok(Some(bytes)) = answer.chunk().await {
                hash.update(&bytes);
                got += bytes.len() as u64;
                if got > 1 << 20 {
                    self.reach(Phase::HalfImage).await;
                }
            }
        }
        hex::encode(hash.finalize())
    }

    /// What cloud-init does on the first boot, and that it may ask for its user-data only so long.
    async fn installed_system(&self) {
        self.reach(Phase::Disk).await;
        self.change(|seen| seen.counts.first_boots += 1);
        let Some(source) = self.source() else { return };
        let id = self.ask(|| source.get(&self.http, "latest/meta-data/instance-id")).await;
        assert!(id.status().is_success());
        let data = self.ask(|| source.get(&self.http, "latest/user-data")).await;
        if data.status().is_success() {
            let data = data.bytes().await.unwrap().to_vec();
            self.change(|seen| seen.user_data = data);
        }
        self.reach(Phase::UserData).await;
        for (kind, name) in [("start", "modules-final"), ("finish", "modules-final")] {
            let message = json!({
                "event_type": kind, "origin": "cloudinit", "name": name, "description": "d",
                "result": "SUCCESS", "timestamp": 1.5,
            });
            let told = self.ask(|| source.sign(self.http.post(&source.endpoint)).json(&message)).await;
            assert_eq!(told.status(), StatusCode::NO_CONTENT);
        }
        let again = self.ask(|| source.get(&self.http, "latest/user-data")).await.status();
        self.change(|seen| seen.user_data_again = Some(again));
    }

    /// The data source that the installation was told to write.
    pub fn source(&self) -> Option<Source> {
        self.seen().install.as_ref().and_then(|install| install.files.first()).map(Source::read)
    }

    pub fn hello(&self) -> Hello {
        Hello {
            agent_version: "test".to_owned(),
            boot_mac: self.mac.clone(),
            uuid: Some(self.uuid.to_string()),
            inventory: self.inventory(),
        }
    }

    fn inventory(&self) -> Value {
        json!({"resources": {
            "cpu": {"total": 2}, "memory": {"total": 1u64 << 30},
            "network": {"cards": [{"ports": [{"id": "eth0", "address": self.mac, "link_detected": true}]}]},
            "storage": {"disks": [{"id": "vda", "size": self.seen().disk_size, "block_size": 512}]},
        }})
    }

    pub fn agent_call(&self, method: Method, name: &str, token: &str) -> RequestBuilder {
        self.http.request(method, format!("{}/agent/v1/{name}", self.base)).bearer_auth(token)
    }

    /// Asks until the region answers.
    async fn ask(&self, request: impl Fn() -> RequestBuilder) -> Response {
        loop {
            match request().send().await {
                Ok(answer) if !answer.status().is_server_error() => return answer,
                tried => {
                    self.change(|seen| seen.refused += u32::from(tried.is_ok()));
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }

    async fn text(&self, url: &str) -> String {
        loop {
            if let Ok(text) = self.ask(|| self.http.get(url)).await.text().await {
                return text;
            }
        }
    }
}

/// cloud-init's data source and reporting.
#[derive(Debug, Clone)]
pub struct Source {
    pub url: String,
    pub endpoint: String,
    pub consumer: String,
    pub token: String,
    pub secret: String,
}

impl Source {
    fn read(file: &FileToWrite) -> Self {
        let value = |key: &str| {
            let mut lines = file.content.lines();
            lines.find_map(|line| line.trim().strip_prefix(key)).unwrap().trim().to_owned()
        };
        Self {
            url: value("metadata_url:"),
            endpoint: value("endpoint:"),
            consumer: value("consumer_key:"),
            token: value("token_key:"),
            secret: value("token_secret:"),
        }
    }

    pub fn get(&self, http: &reqwest::Client, path: &str) -> RequestBuilder {
        self.sign(http.get(format!("{}{path}", self.url)))
    }

    pub fn sign(&self, request: RequestBuilder) -> RequestBuilder {
        let (consumer, token, secret) = (&self.consumer, &self.token, &self.secret);
        request.header(
            "authorization",
            format!(
                "OAuth oauth_nonce=\"1\", oauth_timestamp=\"2\", oauth_version=\"1.0\", \
                 oauth_signature_method=\"PLAINTEXT\", oauth_consumer_key=\"{consumer}\", \
                 oauth_token=\"{token}\", oauth_signature=\"%26{secret}\""
            ),
        )
    }
}

#[async_trait::async_trait]
impl Machine for Node {
    async fn power_state(&self) -> PowerState {
        let mut state = self.state();
        state.seen.power_questions += 1;
        if state.on { PowerState::On } else { PowerState::Off }
    }

    async fn reset(&self, reset: Reset) -> Result<(), MachineError> {
        match reset {
            Reset::On if self.state().on => {}
            Reset::On | Reset::ForceRestart => {
                self.switch_off();
                {
                    let mut state = self.state();
                    state.on = true;
                    state.seen.counts.starts += 1;
                }
                self.reach(Phase::PowerCall).await;
                self.switch_on();
            }
            Reset::ForceOff | Reset::GracefulShutdown => self.switch_off(),
        }
        Ok(())
    }

    async fn boot_override(&self) -> BootOverride {
        self.state().over
    }

    async fn set_boot_override(&self, wanted: BootOverride) -> Result<(), MachineError> {
        self.state().over = wanted;
        Ok(())
    }
}
