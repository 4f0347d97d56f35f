//! A machine.

use std::collections::BTreeMap;

use agent_protocol::EraseMode;
use disks::{Disk, Firmware, Plan, Storage};
use jiff::Timestamp;
use lifecycle::{Flow, Signal, Status};
use reconcile::Timeline;
use secrets::Secret;
use serde::{Deserialize, Serialize};
use store::Document;

use crate::{
    Nic,
    results::{self, ScriptSet, Stage, Wanted},
};

/// A physical machine; id: its six-character system id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Name without domain, unique.
    pub hostname: String,
    /// For people.
    pub description: String,
    /// The domain's number.
    pub domain: u64,
    /// The zone's name.
    pub zone: String,
    /// The pool's number.
    pub pool: u64,
    /// Names of its tags.
    pub tags: Vec<String>,
    /// SMBIOS system UUID, lower case.
    pub hardware_uuid: Option<String>,
    /// `amd64/generic`.
    pub architecture: String,
    /// How firmware boots: `pxe` or `uefi`.
    pub boot_method: Option<String>,

    /// State.
    pub status: Status,
    /// State before rescue mode or testing.
    pub previous_status: Option<Status>,
    /// What has happened in this state.
    pub flow: Flow,
    /// Phases, for people and benchmarks.
    pub timeline: Timeline,
    /// What it waits for now, since the last look of the reconciler.
    pub waiting: Option<Waiting>,
    /// Why it failed.
    pub error_description: String,
    /// Whether changes are refused.
    pub locked: bool,

    /// Who has it.
    pub owner: Option<String>,
    /// Mark made at allocation; not shown in the machine's JSON (MAAS).
    pub agent_name: String,
    /// Free key-value pairs of the owner.
    pub owner_data: BTreeMap<String, String>,
    /// Free key-value pairs that workloads set.
    pub workload_annotations: BTreeMap<String, String>,

    /// Operating system that is or will be on it.
    pub osystem: String,
    /// Its series.
    pub distro_series: String,
    /// User-data, base64 as sent or raw.
    pub user_data: Option<Secret>,
    /// Whether it boots over the network or from its disk.
    pub netboot: bool,
    /// How disks are erased at release; absent: not.
    pub erase: Option<EraseMode>,
    /// Credentials of the installed system for the metadata service; stable for one deployment.
    pub credentials: Option<Credentials>,
    /// Size of a swap file in bytes.
    pub swap_size: Option<u64>,

    /// How its power is switched.
    pub power: Power,
    /// As last heard: on, off, unknown, error.
    pub power_state: String,

    /// Threads.
    pub cpu_count: u32,
    /// MHz.
    pub cpu_speed: u32,
    /// MiB.
    pub memory: u64,
    /// NICs.
    pub nics: Vec<Nic>,
    /// Number of the link whose subnet has the default route, where one was chosen.
    #[serde(default)]
    pub default_gateway: Option<u64>,
    /// Disks and what is on them; in documents of earlier versions a list of disks.
    #[serde(alias = "disks", deserialize_with = "disks::read")]
    pub storage: Storage,
    /// Vendor and model.
    pub hardware: HardwareInfo,
    /// What scripts came to.
    #[serde(default, deserialize_with = "results::readable")]
    pub results: Vec<ScriptSet>,
    /// What it is to run while it is commissioned.
    #[serde(default)]
    pub scripts: Wanted,

    /// When it was first seen.
    pub created: Timestamp,
    /// When the document last changed.
    pub updated: Timestamp,
}

impl Document for Machine {
    const KIND: &'static str = "machine";
}

/// What a machine waits for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    /// The sentence.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// When waiting longer is an error.
    pub until: Timestamp,
}

/// What an installed system shows to the metadata service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Credentials {
    /// OAuth consumer key.
    pub consumer: String,
    /// OAuth token.
    pub token: String,
    /// OAuth token secret.
    pub secret: Secret,
}

/// How a machine's power is switched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Power {
    /// MAAS's `power_type`, such as `redfish` or `manual`; empty: unknown.
    pub kind: String,
    /// MAAS's `power_parameters`.
    pub parameters: BTreeMap<String, Secret>,
}

/// Vendor and model; `Unknown` where not told. Keys are those of MAAS's `hardware_info`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HardwareInfo(pub BTreeMap<String, String>);

impl Machine {
    /// A machine as it is when first seen.
    pub fn new(hostname: String, now: Timestamp) -> Self {
        Self {
            hostname,
            description: String::new(),
            domain: 0,
            zone: "default".to_owned(),
            pool: 0,
            tags: Vec::new(),
            hardware_uuid: None,
            architecture: "amd64/generic".to_owned(),
            boot_method: Some("pxe".to_owned()),
            status: Status::New,
            previous_status: None,
            flow: Flow::start(now),
            timeline: Timeline::default(),
            waiting: None,
            error_description: String::new(),
            locked: false,
            owner: None,
            agent_name: String::new(),
            owner_data: BTreeMap::new(),
            workload_annotations: BTreeMap::new(),
            osystem: String::new(),
            distro_series: String::new(),
            user_data: None,
            netboot: true,
            erase: None,
            credentials: None,
            swap_size: None,
            power: Power { kind: String::new(), parameters: BTreeMap::new() },
            power_state: "unknown".to_owned(),
            cpu_count: 0,
            cpu_speed: 0,
            memory: 0,
            nics: Vec::new(),
            default_gateway: None,
            storage: Storage { plan: Plan::Due, ..Storage::default() },
            hardware: HardwareInfo::default(),
            results: Vec::new(),
            scripts: Wanted::default(),
            created: now,
            updated: now,
        }
    }

    /// Moves to another state with a new flow; the timeline begins a phase where something is under way.
    pub fn enter(&mut self, status: Status, now: Timestamp) {
        self.abort_scripts(now);
        self.status = status;
        self.flow = Flow::start(now);
        self.waiting = None;
        match status {
            Status::Deployed => self.timeline.begin("cloud-init", now),
            _ if status.failed().is_some() => self.timeline.begin(status.label(), now),
            _ => self.timeline.finish(now, ""),
        }
    }

    /// Moves to another state while the agent goes on: what has happened since the machine was switched on still holds.
    pub fn go_on(&mut self, status: Status, now: Timestamp) {
        self.flow = Flow { since: now, done: None, failure: None, ..self.flow.clone() };
        self.waiting = None;
        if status == Status::Testing {
            self.previous_status = Some(self.status);
            self.timeline.begin("tests", now);
        } else {
            self.flow.done = Some(now);
            self.timeline.finish(now, "");
        }
        self.status = status;
    }

    /// The state that follows when what is under way is done.
    pub fn next_status(&self) -> Status {
        match self.status {
            Status::Commissioning if self.to_run(Stage::Testing).next().is_some() => Status::Testing,
            Status::Testing => lifecycle::after_test(self.previous_status),
            Status::EnteringRescueMode => Status::RescueMode,
            Status::ExitingRescueMode => self.previous_status.unwrap_or(Status::Ready),
            Status::Deploying => Status::Deployed,
            _ => Status::Ready,
        }
    }

    /// Gives up what is under way.
    pub fn fail(&mut self, why: &str, now: Timestamp) {
        let Some(status) = self.status.failed() else { return };
        self.abort_scripts(now);
        self.timeline.fail(now, why);
        self.status = status;
        self.flow = Flow::start(now);
        self.waiting = None;
        why.clone_into(&mut self.error_description);
    }

    /// Notes what the machine was seen doing; the timeline gets a phase where one begins.
    pub fn note(&mut self, signal: Signal, now: Timestamp) {
        let first = self.flow.note(signal, now);
        if !first || self.status.failed().is_none() {
            return;
        }
        let phase = match signal {
            Signal::Dhcp => "firmware",
            Signal::Config => "ephemeral system",
            Signal::Hello => match self.status {
                Status::Deploying => "image",
                Status::DiskErasing => "erase",
                Status::Commissioning => "inventory",
                Status::EnteringRescueMode => "rescue system",
                _ => "tests",
            },
            Signal::Done if self.status == Status::Deploying => "first boot",
            _ => return,
        };
        self.timeline.begin(phase, now);
    }

    /// The disk that the system is installed on: the marked one, or the first.
    pub fn boot_disk(&self) -> Option<&Disk> {
        self.storage.boot_disk()
    }

    /// How it starts.
    pub fn firmware(&self) -> Firmware {
        let uefi = self.boot_method.as_deref() == Some("uefi") || self.architecture.starts_with("arm64/");
        if uefi { Firmware::Uefi } else { Firmware::Bios }
    }

    /// The highest number of its NICs, their links and its storage.
    pub(crate) fn highest_number(&self) -> u64 {
        let links = self.nics.iter().flat_map(|nic| &nic.links).map(|link| link.number);
        let nics = self.nics.iter().map(|nic| nic.number);
        links.chain(nics).max().unwrap_or(0).max(self.storage.highest_number())
    }

    /// The power state as the planner wants it.
    pub fn known_power(&self) -> Option<lifecycle::Power> {
        match self.power_state.as_str() {
            "on" => Some(lifecycle::Power::On),
            "off" => Some(lifecycle::Power::Off),
            _ => None,
        }
    }
}
