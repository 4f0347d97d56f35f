//! Moves machines: asks [`lifecycle::plan`] for the next step, takes it, records what came of it.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use lifecycle::{Observed, Status, Step, plan::Bmc as Known};
use model::{ChangeError, Level, Machine, Machines, Waiting, ops::clear_deployment};
use power::PowerError;
use reconcile::Queue;
use store::{Stored, WatchEnd};
use tokio::{sync::Semaphore, time::Instant};

use crate::{
    bmcs::{self, Bmcs},
    figures::Figures,
};

/// Machines that are worked on at once.
const AT_ONCE: usize = 64;
/// Pause between two questions to a BMC that is to confirm something.
const CONFIRM_AGAIN: Duration = Duration::from_millis(500);
/// Pause after a BMC failed.
const POWER_AGAIN: Duration = Duration::from_secs(3);
/// Pause before the BMC of a machine is looked for again.
const FIND_AGAIN: Duration = Duration::from_secs(1);
/// How long a BMC may take for a power step, three requests in all.
const POWER_LIMIT: jiff::SignedDuration = jiff::SignedDuration::from_secs(30);
/// How long a machine at rest may take to switch itself off before its BMC does.
const REST_OFF: jiff::SignedDuration = jiff::SignedDuration::from_secs(30);

/// How often the power of a machine at rest is looked at.
const LOOK_AGAIN: Duration = Duration::from_mins(5);
/// A machine that changed this lately is not looked at.
const POWER_LOOK: jiff::SignedDuration = jiff::SignedDuration::from_mins(4);
/// Deadlines that move less are not recorded anew.
const DEADLINE_STEP: jiff::SignedDuration = jiff::SignedDuration::from_secs(10);

/// The reconciler of machines; cheap to clone.
#[derive(Clone)]
pub struct Reconciler {
    pub machines: Machines,
    pub bmcs: Bmcs,
    pub queue: Queue<String>,
    pub figures: Figures,
}

/// What a BMC did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Powered {
    OnOverNetwork,
    OnFromDisk,
    /// It says later that it is off.
    OffUnconfirmed,
}

/// When to look again, if nothing happens before.
type Again = Option<Duration>;

impl Reconciler {
    /// Reconciles for ever.
    pub async fn run(self) {
        tokio::spawn(feed(self.machines.clone(), self.queue.clone()));
        let places = Arc::new(Semaphore::new(AT_ONCE));
        loop {
            let work = self.queue.next().await;
            let Ok(place) = places.clone().acquire_owned().await else { return };
            let reconciler = self.clone();
            tokio::spawn(async move {
                let id = work.key().clone();
                let again = reconciler.reconcile(&id).await;
                drop(work);
                drop(place);
                if let Some(pause) = again {
                    reconciler.queue.add_at(id, Instant::now() + pause);
                }
            });
        }
    }

    async fn reconcile(&self, id: &str) -> Again {
        let machine = self.machines.get(id)?;
        match self.step(&machine).await {
            // Its BMC may answer, or be configured to, only later.
            Ok(again)
                if machine.value.power.kind.is_empty()
                    && machine.value.hardware_uuid.is_some()
                    && self.bmcs.are_configured() =>
            {
                Some(again.map_or(FIND_AGAIN, |pause| pause.min(FIND_AGAIN)))
            }
            Ok(again) => again,
            // Somebody else was quicker, or the store is away: look again.
            Err(error) => {
                tracing::warn!(system_id = id, %error, "step not recorded");
                self.figures.step_not_recorded();
                Some(Duration::from_secs(1))
            }
        }
    }

    async fn step(&self, machine: &Stored<Machine>) -> Result<Again, ChangeError<std::convert::Infallible>> {
        let now = Timestamp::now();
        let value = &machine.value;
        if value.power.kind.is_empty() && self.adopt_bmc(machine).await? {
            return Ok(None); // the change brings us back
        }
        let seen = Observed {
            status: value.status,
            flow: &value.flow,
            next: value.next_status(),
            power: value.known_power(),
            bmc: bmcs::known(value),
        };
        let step = lifecycle::plan(&seen, now);
        self.figures.step(&step);
        match step {
            Step::Rest => self.rest(machine, now).await,
            Step::Wait { reason, until } => {
                self.waits(machine, &reason, until, now).await?;
                Ok(Some(Duration::try_from(until.duration_since(now)).unwrap_or(Duration::from_secs(1))))
            }
            Step::BootNetwork => {
                tracing::info!(system_id = machine.id, "booting over the network");
                let reason = asking("start it over the network", value);
                self.waits(machine, &reason, now + POWER_LIMIT, now).await?;
                let done = self.with_bmc(value, |bmc| async move { bmc.boot_network().await }).await;
                self.powered(machine, Powered::OnOverNetwork, done, now).await
            }
            Step::PowerOn => {
                tracing::info!(system_id = machine.id, "booting from its disk");
                let reason = asking("switch it on", value);
                self.waits(machine, &reason, now + POWER_LIMIT, now).await?;
                let done = self.with_bmc(value, |bmc| async move { bmc.on().await }).await;
                self.powered(machine, Powered::OnFromDisk, done, now).await
            }
            Step::PowerOff => {
                let reason = asking("switch it off", value);
                self.waits(machine, &reason, now + POWER_LIMIT, now).await?;
                let done = self.with_bmc(value, |bmc| async move { bmc.off().await }).await;
                self.powered(machine, Powered::OffUnconfirmed, done, now).await
            }
            Step::ConfirmOff { until } => {
                self.waits(machine, "waiting for the BMC to confirm that the power is off", until, now)
                    .await?;
                let state = self.with_bmc(value, |bmc| async move { bmc.state().await }).await;
                match state {
                    Ok(power::Power::Off) => {
                        self.record(machine, "machine.power", |m| "off".clone_into(&mut m.power_state))
                            .await?;
                        Ok(None)
                    }
                    _ => Ok(Some(CONFIRM_AGAIN)),
                }
            }
            Step::Move(to) => {
                self.go(machine, to, now).await?;
                Ok(None)
            }
            Step::Fail(why) => {
                self.record(machine, "machine.fail", |m| m.fail(&why, now)).await?;
                let label = value.status.failed().unwrap_or(value.status).label();
                self.machines.event(Level::Error, &machine.id, label, &why, None).await;
                Ok(None)
            }
        }
    }

    async fn go(
        &self,
        machine: &Stored<Machine>,
        to: Status,
        now: Timestamp,
    ) -> Result<(), ChangeError<std::convert::Infallible>> {
        let (from, since) = (machine.value.status, machine.value.flow.since);
        self.machines
            .change("region", "machine.move", &machine.id, |m, batch| {
                if m.status != from || m.flow.since != since {
                    return Ok::<_, std::convert::Infallible>(batch);
                }
                match (from, to) {
                    (Status::Commissioning, Status::Testing) | (_, Status::RescueMode) => m.go_on(to, now),
                    _ => m.enter(to, now),
                }
                let given_back =
                    matches!(from, Status::Releasing | Status::DiskErasing) && to == Status::Ready;
                Ok(if given_back {
                    clear_deployment(self.machines.store(), &machine.id, m, batch)
                } else {
                    batch
                })
            })
            .await?;
        let text = format!("From '{}' to '{}'", from.label(), to.label());
        self.machines.event(Level::Info, &machine.id, to.label(), &text, None).await;
        Ok(())
    }

    /// Records what a machine waits for; a deadline that moves a little is not worth a write.
    async fn waits(
        &self,
        machine: &Stored<Machine>,
        reason: &str,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<(), ChangeError<std::convert::Infallible>> {
        self.record(machine, "machine.wait", |m| {
            let known = m.waiting.as_ref().filter(|w| w.reason == reason);
            if known.is_none_or(|w| until.duration_since(w.until).abs() > DEADLINE_STEP) {
                let since = known.map_or(now, |w| w.since);
                m.waiting = Some(Waiting { reason: reason.to_owned(), since, until });
            }
        })
        .await
    }

    /// A machine at rest: its power is looked at now and then. A Ready one that is still on switches itself off
    /// when its agent asks; if it doesn't, its BMC does.
    async fn rest(
        &self,
        machine: &Stored<Machine>,
        now: Timestamp,
    ) -> Result<Again, ChangeError<std::convert::Infallible>> {
        let value = &machine.value;
        if bmcs::known(value) != Known::Known {
            return Ok(None);
        }
        let settling = value.power_state == "on" && value.status != Status::Deployed;
        if !settling && value.updated.duration_since(now).abs() < POWER_LOOK {
            return Ok(Some(LOOK_AGAIN));
        }
        let rested = now.duration_since(value.flow.since);
        match self.with_bmc(value, |bmc| async move { bmc.state().await }).await {
            Ok(state) if Some(state) != value.known_power() => {
                let name = if state == power::Power::On { "on" } else { "off" };
                self.record(machine, "machine.power", |m| name.clone_into(&mut m.power_state)).await?;
                Ok(None)
            }
            Ok(power::Power::On) if value.status == Status::Ready && rested > REST_OFF => {
                let _ = self.with_bmc(value, |bmc| async move { bmc.off().await }).await;
                Ok(Some(POWER_AGAIN))
            }
            Ok(_) if settling && rested < REST_OFF * 2 => Ok(Some(CONFIRM_AGAIN)),
            _ => Ok(Some(LOOK_AGAIN)),
        }
    }

    /// Looks for the BMC that manages a machine by its UUID; answers whether one was recorded.
    async fn adopt_bmc(
        &self,
        machine: &Stored<Machine>,
    ) -> Result<bool, ChangeError<std::convert::Infallible>> {
        let Some(uuid) = &machine.value.hardware_uuid else { return Ok(false) };
        let Some(power) = self.bmcs.find(uuid).await else { return Ok(false) };
        self.record(machine, "machine.bmc", |m| {
            if m.power.kind.is_empty() {
                m.power = power.clone();
            }
        })
        .await?;
        let text = "BMC found by the machine's UUID";
        self.machines.event(Level::Info, &machine.id, "Configured BMC", text, None).await;
        Ok(true)
    }

    async fn powered(
        &self,
        machine: &Stored<Machine>,
        how: Powered,
        done: Result<(), PowerError>,
        now: Timestamp,
    ) -> Result<Again, ChangeError<std::convert::Infallible>> {
        let since = machine.value.flow.since;
        let failed = done.as_ref().err().map(ToString::to_string);
        self.record(machine, "machine.power", |m| {
            if m.flow.since != since {
                return;
            }
            match &failed {
                None => {
                    m.flow.powered = Some(now);
                    m.flow.power_failures = 0;
                    m.flow.power_error = None;
                    match how {
                        Powered::OffUnconfirmed => {}
                        Powered::OnOverNetwork => "on".clone_into(&mut m.power_state),
                        Powered::OnFromDisk => {
                            "on".clone_into(&mut m.power_state);
                            m.flow.done = Some(now);
                        }
                    }
                }
                Some(why) => {
                    m.flow.power_failures += 1;
                    m.flow.power_error = Some(why.clone());
                    m.flow.power_retry = Some(Timestamp::now() + POWER_AGAIN); // the attempt took its time
                }
            }
        })
        .await?;
        if let Some(why) = failed {
            self.machines.event(Level::Warning, &machine.id, "Power error", &why, None).await;
        }
        Ok(None) // the change brings us back
    }

    async fn with_bmc<T, F>(
        &self,
        machine: &Machine,
        act: impl FnOnce(Box<dyn power::Bmc>) -> F,
    ) -> Result<T, PowerError>
    where
        F: Future<Output = Result<T, PowerError>>,
    {
        match self.bmcs.driver(machine)? {
            Some(bmc) => act(bmc).await,
            None => Err(PowerError::Unreachable {
                address: "(none)".to_owned(),
                why: "no BMC is known".to_owned(),
            }),
        }
    }

    async fn record(
        &self,
        machine: &Stored<Machine>,
        action: &str,
        mut change: impl FnMut(&mut Machine),
    ) -> Result<(), ChangeError<std::convert::Infallible>> {
        self.machines
            .change("region", action, &machine.id, |m, batch| {
                change(m);
                Ok::<_, std::convert::Infallible>(batch)
            })
            .await
            .map(|_| ())
    }
}

/// Puts every machine into the queue, and then each that changes.
async fn feed(machines: Machines, queue: Queue<String>) {
    loop {
        let mut changes = machines.store().watch(machines.store().revision());
        for machine in machines.all() {
            queue.add(machine.id.clone());
        }
        let end = loop {
            match changes.next().await {
                Ok(change) if &*change.kind == "machine" && change.version.is_some() => {
                    queue.add(change.id.to_string());
                }
                Ok(_) => {}
                Err(end) => break end,
            }
        };
        if end == WatchEnd::Closed {
            return;
        }
    }
}

fn asking(what: &str, machine: &Machine) -> String {
    match &machine.flow.power_error {
        None => format!("its BMC is asked to {what}"),
        Some(error) => format!("its BMC is asked again to {what}; it failed with: {error}"),
    }
}
