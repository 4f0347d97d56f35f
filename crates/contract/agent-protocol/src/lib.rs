//! What the region and the agent on a machine say to each other.
//!
//! The agent is PID 1 of the ephemeral system that a machine boots over the network. It finds the region and
//! its own boot attempt on the kernel command line ([`cmdline`]), says hello with its inventory, and then asks
//! for one [`Task`] at a time, reporting until it is told to switch off or to restart. The region remembers; the
//! agent keeps nothing, so any step may be repeated after a crash on either side.
//!
//! HTTP, JSON bodies, `Authorization: Bearer <boot attempt token>` on every request:
//!
//! | request | body | answer |
//! |---|---|---|
//! | `POST /agent/v1/hello` | [`Hello`] | 200 [`Assignment`] |
//! | `GET /agent/v1/task` (held open up to 20 s) | – | 200 [`Assignment`] |
//! | `POST /agent/v1/report` | [`Report`] | 204 |
//!
//! 401: the token is not that of a current boot attempt, or comes from another address: restart the machine.
//! 409: the report is for a task that is no longer current: ask for the task again.

use serde::{Deserialize, Serialize};

/// Keys of the kernel command line by which firmware hands a boot attempt to the agent.
pub mod cmdline {
    /// Base URL of the region's boot HTTP service, such as `bessemer.url=http://10.20.0.1:5248`.
    pub const URL: &str = "bessemer.url";
    /// Token of the boot attempt: hex, 32 bytes.
    pub const TOKEN: &str = "bessemer.token";
    /// The interface that booted, in PXELINUX's form `01-aa-bb-cc-dd-ee-ff`.
    pub const BOOTIF: &str = "BOOTIF";
}

/// First message of an agent: which machine this is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// Version of the agent, for logs.
    pub agent_version: String,
    /// MAC address of the interface that booted, lower case with colons.
    pub boot_mac: String,
    /// SMBIOS system UUID, lower case with dashes; absent where the firmware has none.
    pub uuid: Option<String>,
    /// Inventory in the shape of MAAS's `50-maas-01-commissioning` output (LXD resources).
    pub inventory: serde_json::Value,
}

/// What the region wants done now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assignment {
    /// Identifies the task in reports; the same task keeps its id when asked for again.
    pub id: String,
    /// The task.
    pub task: Task,
}

/// One piece of work for the agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Task {
    /// Nothing now; ask again after this many milliseconds.
    Wait {
        /// Pause before the next question.
        retry_ms: u64,
    },
    /// Run scripts and report on each, then on the whole.
    Run {
        /// What is to run, in this order.
        scripts: Vec<Script>,
        /// Where those that are texts run; absent where none is.
        system: Option<System>,
    },
    /// Let people in by SSH, until another task comes.
    Rescue {
        /// Public keys of those who may come in, as root.
        keys: Vec<String>,
        /// The machine's name.
        hostname: String,
        /// What they find there.
        system: System,
    },
    /// Destroy what is on the disks.
    Erase {
        /// How thoroughly.
        mode: EraseMode,
        /// Kernel names of the disks, such as `vda`; empty means every disk of the inventory.
        disks: Vec<String>,
    },
    /// Write an operating system to a disk.
    Install(Box<Install>),
    /// Switch the machine off.
    PowerOff,
    /// Restart the machine through its firmware.
    Restart,
}

/// One script to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Script {
    /// Number of its result, for reports.
    pub result: u64,
    /// Its name.
    pub name: String,
    /// What does it; absent: the agent itself, by the script's name.
    pub text: Option<String>,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Seconds that it may take; 0: as long as it wants.
    pub timeout_s: u64,
    /// Beside what it may run.
    pub parallel: Parallel,
}

/// Beside what a script may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Parallel {
    /// Alone.
    Alone,
    /// Beside runs of the same script.
    Instances,
    /// Beside any other that may, too.
    Any,
}

/// The larger ephemeral system: a squashfs image with shell, Python, SSH server and tools for hardware.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct System {
    /// Where it is fetched.
    pub url: String,
    /// SHA-256 of the image, hex.
    pub sha256: String,
    /// Length of the image.
    pub size: u64,
}

/// How disks are erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EraseMode {
    /// The first and last MiB of each disk and of each partition, and file-system signatures, become zeros.
    Quick,
    /// Every block becomes zeros (discard-to-zero where the device promises it).
    Full,
    /// The device's own secure erase; falls back to `Full` where it has none.
    Secure,
}

/// Installation of a disk image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Install {
    /// Where the image is fetched, range requests allowed.
    pub url: String,
    /// SHA-256 of the bytes at `url`, hex.
    pub sha256: String,
    /// Length of the bytes at `url`.
    pub size: u64,
    /// Length of the disk image once unpacked, so that a disk too small is refused before it is touched;
    /// 0 when not known.
    #[serde(default)]
    pub raw_size: u64,
    /// Form of the bytes.
    pub format: ImageFormat,
    /// Kernel name of the target disk, such as `vda`.
    pub disk: String,
    /// Files written into the installed root file system afterwards.
    pub files: Vec<FileToWrite>,
    /// What happens when the image is on the disk.
    pub then: AfterInstall,
}

/// Form of an image's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageFormat {
    /// A whole-disk image as it is (MAAS `ddraw`).
    Raw,
    /// A whole-disk image, gzip (MAAS `ddgz`).
    RawGz,
    /// A whole-disk image, zstd (our extension `ddzst`).
    RawZst,
}

/// A file for the installed root file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileToWrite {
    /// Absolute path inside the root file system.
    pub path: String,
    /// Content, UTF-8.
    pub content: String,
    /// Permission bits.
    pub mode: u32,
}

/// How the installed system is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AfterInstall {
    /// Through the firmware.
    Restart,
    /// By kexec where the machine allows it, else through the firmware.
    Kexec,
}

/// What the agent tells about its current task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The id of the [`Assignment`].
    pub task: String,
    /// How far it is.
    pub progress: Progress,
}

/// How far a task is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Progress {
    /// Under way.
    Working {
        /// For people, such as "writing the image".
        step: String,
        /// Bytes done.
        done: u64,
        /// Bytes in all; 0 when unknown.
        total: u64,
    },
    /// A script of the task began or ended.
    Script {
        /// Number of its result.
        result: u64,
        /// How it stands.
        now: ScriptState,
    },
    /// Finished; the agent acts on what the task ends with (restart, power-off) after the region answered.
    Done {
        /// One line for people.
        detail: String,
        /// Results of erases by name.
        #[serde(default)]
        results: Vec<TaskResult>,
    },
    /// Given up.
    Failed {
        /// What happened, to what, and what to do.
        error: String,
    },
}

/// How a script stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum ScriptState {
    /// It began.
    Running,
    /// It ended by itself.
    Ended {
        /// Its exit status; 128 and more where a signal ended it.
        exit_status: i32,
        /// What it printed, on either output.
        output: String,
        /// What it left in `$RESULT_PATH` (YAML).
        result: String,
    },
    /// It took longer than it may, and was ended.
    TimedOut {
        /// What it printed until then.
        output: String,
    },
}

/// One named result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskResult {
    /// Name, such as `erase-vda`.
    pub name: String,
    /// Whether it passed.
    pub passed: bool,
    /// Output for people.
    pub output: String,
}
