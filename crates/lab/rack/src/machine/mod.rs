//! A machine: power, boot override, console and disk, whatever it is made of.

mod body;
mod console;
mod kvm;
mod process;
mod qemu;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use bmc::{BootOverride, ConsoleLines, Faults, MachineError, PowerState, Reset};
use tokio::sync::{mpsc, oneshot, watch};

use crate::error::Doing as _;
use crate::forward::Resolve;
use crate::init::Ended;
use crate::{Cable, Kind, MachineStatus, RackError, tool};

pub(crate) use body::{Body, Plate};
pub use kvm::{NoKvm, probe_kvm};
pub(crate) use process::Process;
pub(crate) use qemu::Accelerator;

/// A machine as its BMC, its button and the lab see it.
pub(crate) struct Machine {
    body: Arc<Body>,
    console: Arc<Mutex<console::Log>>,
    faults: Faults,
    boot: Arc<Mutex<BootOverride>>,
    power: watch::Receiver<PowerState>,
    orders: mpsc::Sender<Order>,
    bmc: Ipv4Addr,
    ssh: SocketAddr,
}

struct Order {
    reset: Reset,
    answer: oneshot::Sender<Result<(), MachineError>>,
}

/// What holds a machine's process; dropping it cuts the power.
pub(crate) struct Supply {
    body: Arc<Body>,
    boot: Arc<Mutex<BootOverride>>,
    power: watch::Sender<PowerState>,
    orders: mpsc::Receiver<Order>,
}

impl Machine {
    /// A machine that is off, and its supply, which the caller runs.
    pub(crate) fn new(body: Body, bmc: Ipv4Addr, ssh: SocketAddr) -> (Self, Supply) {
        let body = Arc::new(body);
        let boot = Arc::new(Mutex::new(BootOverride::default()));
        let (power_sender, power) = watch::channel(PowerState::Off);
        let (sender, orders) = mpsc::channel(8);
        let supply = Supply { body: Arc::clone(&body), boot: Arc::clone(&boot), power: power_sender, orders };
        let (console, faults) = (Arc::default(), Faults::default());
        (Self { body, console, faults, boot, power, orders: sender, bmc, ssh }, supply)
    }

    pub(crate) fn name(&self) -> &str {
        &self.body.options.name
    }

    pub(crate) fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Plugs the network cable in, or pulls it.
    pub(crate) async fn set_cable(&self, cable: Cable) -> Result<(), RackError> {
        let body = Arc::clone(&self.body);
        tool::blocking(move || body.set_cable(cable)).await
    }

    /// Finds the machine for connections to `port`.
    pub(crate) fn resolver(&self, port: u16) -> Resolve {
        let body = Arc::clone(&self.body);
        Arc::new(move || Ok(body.addresses()?.into_iter().map(|ip| SocketAddr::from((ip, port))).collect()))
    }

    pub(crate) fn identity(&self) -> bmc::Identity {
        let plate = &self.body.plate;
        bmc::Identity {
            uuid: plate.uuid,
            name: self.name().to_owned(),
            manufacturer: "Bessemer".into(),
            model: match self.body.options.kind {
                Kind::Qemu => "Lab",
                Kind::Namespace => "Lab namespace machine",
            }
            .into(),
            serial: plate.uuid.simple().to_string(),
        }
    }

    pub(crate) fn status(&self) -> MachineStatus {
        MachineStatus {
            name: self.name().to_owned(),
            kind: self.body.options.kind,
            mac: self.body.plate.mac.clone(),
            uuid: self.body.plate.uuid,
            power: *self.power.borrow(),
            console_log: self.body.console_log(),
            disk: self.body.disk(),
            bmc: format!("https://{}", self.bmc),
            ssh: self.ssh,
        }
    }
}

#[async_trait::async_trait]
impl bmc::Machine for Machine {
    async fn power_state(&self) -> PowerState {
        *self.power.borrow()
    }

    async fn reset(&self, reset: Reset) -> Result<(), MachineError> {
        let (answer, wait) = oneshot::channel();
        let gone = |()| MachineError("the lab is shutting down".into());
        self.orders.send(Order { reset, answer }).await.map_err(|_| gone(()))?;
        wait.await.map_err(|_| gone(()))?
    }

    async fn boot_override(&self) -> BootOverride {
        *self.boot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn set_boot_override(&self, wanted: BootOverride) -> Result<(), MachineError> {
        *self.boot.lock().unwrap_or_else(PoisonError::into_inner) = wanted;
        Ok(())
    }

    async fn console(&self, skip: usize, top: usize) -> Result<Option<ConsoleLines>, MachineError> {
        let (body, log) = (Arc::clone(&self.body), Arc::clone(&self.console));
        let read = tool::blocking(move || {
            let path = body.console_log();
            log.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .read(&path, skip, top)
                .doing(|| format!("reading {}", path.display()))
        });
        read.await.map(Some).map_err(|error| MachineError(error.to_string()))
    }
}

impl Supply {
    /// Obeys orders and follows the machine's own resets, until the [`Machine`] is dropped.
    pub(crate) async fn run(mut self) {
        let mut running: Option<Process> = None;
        loop {
            let order = if let Some(process) = &mut running {
                tokio::select! {
                    order = self.orders.recv() => order,
                    ended = process.ended() => {
                        running = self.after(ended).await;
                        continue;
                    }
                }
            } else {
                self.orders.recv().await
            };
            let Some(Order { reset, answer }) = order else { break };
            let outcome = self.obey(reset, &mut running).await;
            if let Err(error) = &outcome {
                tracing::error!(machine = self.body.options.name, %error, "power");
            }
            // Whoever asked may have gone away.
            answer.send(outcome.map_err(|error| MachineError(error.to_string()))).ok();
        }
        self.cut(&mut running).await;
    }

    async fn obey(&self, reset: Reset, running: &mut Option<Process>) -> Result<(), RackError> {
        match reset {
            Reset::On if running.is_some() => Ok(()),
            Reset::On => self.start(running).await,
            Reset::ForceOff => {
                self.cut(running).await;
                Ok(())
            }
            Reset::ForceRestart => {
                self.cut(running).await;
                self.start(running).await
            }
            Reset::GracefulShutdown => match running {
                Some(process) => self.body.ask_to_stop(process).await,
                None => Ok(()),
            },
        }
    }

    async fn start(&self, running: &mut Option<Process>) -> Result<(), RackError> {
        let first = {
            let mut boot = self.boot.lock().unwrap_or_else(PoisonError::into_inner);
            let first = boot.effective();
            *boot = boot.after_start();
            first
        };
        *running = Some(self.body.start(first).await?);
        self.power.send_replace(PowerState::On);
        Ok(())
    }

    async fn cut(&self, running: &mut Option<Process>) {
        if let Some(process) = running.take() {
            process.cut().await;
            self.body.clear_up().await;
        }
        self.power.send_replace(PowerState::Off);
    }

    /// What follows when the machine ended by itself.
    async fn after(&self, ended: Ended) -> Option<Process> {
        let name = &self.body.options.name;
        self.body.clear_up().await;
        let ended = self.body.reason(ended);
        tracing::info!(machine = name, ?ended, "machine ended");
        let mut running = None;
        if ended == Ended::Restart
            && let Err(error) = self.start(&mut running).await
        {
            tracing::error!(machine = name, %error, "restarting");
        }
        if running.is_none() {
            self.power.send_replace(PowerState::Off);
        }
        running
    }
}
