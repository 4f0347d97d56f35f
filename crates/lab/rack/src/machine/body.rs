//! What a machine is made of, and how it starts.

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bmc::BootTarget;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::process::Process;
use super::qemu::{self, Accelerator, Qmp};
use crate::error::Doing as _;
use crate::firmware::Board;
use crate::init::{self, Ended, Keeper, Role, Work};
use crate::{Cable, Kind, MachineOptions, Options, RackError, disk, netns, tool};

/// What is printed on a machine: kept, so that a region knows it again after the lab restarts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plate {
    /// MAC address of its interface.
    pub mac: String,
    /// SMBIOS UUID.
    pub uuid: Uuid,
}

/// A machine without power.
pub(crate) struct Body {
    pub(crate) options: MachineOptions,
    pub(crate) plate: Plate,
    lab: String,
    index: usize,
    dir: PathBuf,
    helper: PathBuf,
    accelerator: Accelerator,
    qmp: Arc<Qmp>,
    cable: Mutex<Cable>,
}

impl Plate {
    fn new() -> Self {
        let [a, b, c]: [u8; 3] = rand::random();
        Self { mac: format!("52:54:00:{a:02x}:{b:02x}:{c:02x}"), uuid: Uuid::new_v4() }
    }
}

impl Body {
    /// Makes the machine's folder, plate and disk, or finds them from before.
    pub(crate) fn make(
        options: &Options,
        index: usize,
        machine: &MachineOptions,
        helper: PathBuf,
        accelerator: Accelerator,
    ) -> Result<Self, RackError> {
        let dir = options.machine_dir(&machine.name);
        // A mount point for namespace machines; what is mounted there is seen by the machine alone.
        fs::create_dir_all(dir.join("root")).doing(|| format!("making {}", dir.display()))?;
        let file = dir.join("machine.json");
        let plate = if file.exists() {
            let text = fs::read(&file).doing(|| format!("reading {}", file.display()))?;
            serde_json::from_slice(&text)
                .map_err(std::io::Error::from)
                .doing(|| format!("reading {}", file.display()))?
        } else {
            let plate = Plate::new();
            let text = serde_json::to_vec_pretty(&plate).map_err(std::io::Error::from);
            text.and_then(|text| fs::write(&file, text)).doing(|| format!("writing {}", file.display()))?;
            plate
        };
        disk::create(&dir.join("disk.img"), machine.disk_gib << 30)?;
        Ok(Self {
            options: machine.clone(),
            plate,
            lab: options.name.clone(),
            index,
            dir,
            helper,
            accelerator,
            qmp: Arc::default(),
            cable: Mutex::default(),
        })
    }

    pub(crate) fn console_log(&self) -> PathBuf {
        self.dir.join("console.log")
    }

    pub(crate) fn disk(&self) -> PathBuf {
        self.dir.join("disk.img")
    }

    /// Puts power on; `first` is what its firmware tries first.
    pub(super) async fn start(self: &Arc<Self>, first: BootTarget) -> Result<Process, RackError> {
        let body = Arc::clone(self);
        let keeper = tool::blocking(move || body.keeper(first)).await?;
        let process = Process::start(&self.helper, &Role::Keeper(keeper), &self.console_log()).await?;
        if self.options.kind == Kind::Qemu {
            Qmp::follow(&self.qmp, self.qmp_socket());
        }
        Ok(process)
    }

    fn keeper(&self, first: BootTarget) -> Result<Keeper, RackError> {
        let name = &self.options.name;
        match self.options.kind {
            Kind::Namespace => {
                netns::plug_in_machine(&self.lab, name, self.index, &self.plate.mac, self.cable())?;
                let board = Board {
                    mac: self.plate.mac.clone(),
                    uuid: self.plate.uuid,
                    disk: self.disk(),
                    scratch: self.dir.clone(),
                    first,
                };
                let work = Work::Machine { board, cgroup: self.cgroup(), root: self.dir.join("root") };
                Ok(Keeper { netns: netns::path(&netns::machine(&self.lab, name)), work })
            }
            Kind::Qemu => {
                let tap = netns::plug_in_tap(&self.lab, self.index, self.cable())?;
                match fs::remove_file(self.qmp_socket()) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(error).doing(|| "removing an old QMP socket".into());
                    }
                    _ => {}
                }
                let words = qemu::Guest {
                    name,
                    plate: &self.plate,
                    memory_mib: self.options.memory_mib,
                    cpus: self.options.cpus,
                    accelerator: self.accelerator,
                    disk: &self.disk(),
                    console: &self.console_log(),
                    qmp: &self.qmp_socket(),
                    tap: &tap,
                    first,
                }
                .command();
                Ok(Keeper { netns: netns::path(&netns::site(&self.lab)), work: Work::Program(words) })
            }
        }
    }

    /// Plugs the network cable in, or pulls it; holds for later starts. May block.
    pub(super) fn set_cable(&self, cable: Cable) -> Result<(), RackError> {
        *self.cable.lock().unwrap_or_else(PoisonError::into_inner) = cable;
        let port = match self.options.kind {
            Kind::Namespace => netns::machine_port(self.index),
            Kind::Qemu => netns::tap_port(self.index),
        };
        netns::set_port(&self.lab, &port, cable)
    }

    fn cable(&self) -> Cable {
        *self.cable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the operating system to switch off.
    pub(super) async fn ask_to_stop(&self, process: &mut Process) -> Result<(), RackError> {
        match self.options.kind {
            Kind::Namespace => {
                process.ask_to_stop();
                Ok(())
            }
            Kind::Qemu => qemu::press_button(&self.qmp_socket()).await,
        }
    }

    /// Why the machine ended, with what QEMU said about it.
    pub(super) fn reason(&self, ended: Ended) -> Ended {
        match (self.options.kind, ended) {
            (Kind::Qemu, Ended::PowerOff) if self.qmp.was_reset() => Ended::Restart,
            _ => ended,
        }
    }

    /// Takes back what the machine had of the host while it was on.
    pub(super) async fn clear_up(&self) {
        if self.options.kind == Kind::Namespace {
            let (dir, group) = (self.dir.clone(), self.cgroup());
            let cleared = tool::blocking(move || {
                disk::detach_below(&dir)?;
                init::remove_cgroups(&group)
            });
            if let Err(error) = cleared.await {
                tracing::warn!(machine = self.options.name, %error, "clearing up");
            }
        }
    }

    /// Addresses at which it may be found now. May block.
    pub(crate) fn addresses(&self) -> Result<Vec<Ipv4Addr>, RackError> {
        match self.options.kind {
            Kind::Namespace => netns::machine_addresses(&self.lab, &self.options.name),
            Kind::Qemu => netns::neighbours(&self.lab, &self.plate.mac),
        }
    }

    fn cgroup(&self) -> String {
        format!("bsm-{}/{}", self.lab, self.options.name)
    }

    fn qmp_socket(&self) -> PathBuf {
        self.dir.join("qmp.sock")
    }
}
