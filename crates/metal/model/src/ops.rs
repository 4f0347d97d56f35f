//! What people ask of machines: each operation checks, records the intent, and answers; the reconciler does the rest.
//!
//! Legal states and words are MAAS's (reference: machine actions of API 2.0).

use std::sync::Arc;

use agent_protocol::EraseMode;
use jiff::Timestamp;
use lifecycle::{IllegalMove, Moves, Status};
use secrets::Secret;
use store::{Batch, CommitError, Store, Stored};

use scripts::Script;

use crate::{
    BootResource, ChangeError, Credentials, Level, Machine, Machines, SCOPE, ScriptOutput, Stage, addresses,
    results::{BadParameter, Wanted},
};

pub use crate::addresses::link_boot_nic;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// Name.
    pub user: String,
    /// May change what belongs to others.
    pub admin: bool,
}

/// Why an operation was refused.
#[derive(Debug, thiserror::Error)]
pub enum OpError {
    /// No such machine: 404.
    #[error("No Machine matches the given query.")]
    NotFound,
    /// A move that MAAS does not know: 409.
    #[error(transparent)]
    Illegal(#[from] IllegalMove),
    /// Not in this state: 409.
    #[error("{0}")]
    State(String),
    /// Not yours: 403.
    #[error("{0}")]
    Forbidden(String),
    /// A bad parameter: 400.
    #[error("{field}: {message}")]
    Invalid {
        /// Parameter.
        field: String,
        /// What is wrong.
        message: String,
    },
    /// Nothing free: 503.
    #[error("{0}")]
    Exhausted(String),
    /// The store could not write: 503.
    #[error(transparent)]
    Store(CommitError),
}

impl From<BadParameter> for OpError {
    fn from(bad: BadParameter) -> Self {
        Self::Invalid { field: bad.parameter, message: bad.why.to_string() }
    }
}

impl From<ChangeError<Self>> for OpError {
    fn from(error: ChangeError<Self>) -> Self {
        match error {
            ChangeError::NotFound => Self::NotFound,
            ChangeError::Refused(error) => error,
            ChangeError::Store(error) => Self::Store(error),
        }
    }
}

/// The machine after an operation.
pub type Changed = Result<Arc<Stored<Machine>>, OpError>;

/// What to deploy.
#[derive(Debug, Clone, Default)]
pub struct Deploy {
    /// Such as `debian`; empty: found by the series.
    pub osystem: String,
    /// Such as `bookworm` or `debian/bookworm`; empty: the first image there is.
    pub distro_series: String,
    /// As sent.
    pub user_data: Option<Secret>,
    /// Mark to set, where given.
    pub agent_name: Option<String>,
}

/// What to do with the disks at release.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Release {
    /// Absent: nothing.
    pub erase: Option<EraseMode>,
    /// Also from states that MAAS refuses.
    pub force: bool,
}

impl Machines {
    /// Takes a Ready machine for `actor`. The caller has matched constraints; a lost race is [`OpError::State`].
    pub async fn allocate(&self, actor: &Actor, system_id: &str, agent_name: &str) -> Changed {
        self.act(actor, "machine.allocate", system_id, |machine, batch| {
            if machine.status != Status::Ready {
                return Err(OpError::State(format!("No machine with system ID {system_id} available.")));
            }
            machine.enter(Status::Allocated, Timestamp::now());
            machine.owner = Some(actor.user.clone());
            agent_name.clone_into(&mut machine.agent_name);
            Ok(batch)
        })
        .await
    }

    /// Starts a deployment; a Ready machine is allocated on the way.
    pub async fn deploy(&self, actor: &Actor, system_id: &str, wanted: &Deploy) -> Changed {
        let (osystem, series) = self.image_for(wanted)?;
        let store = self.store().clone();
        loop {
            let tried = self
                .act(actor, "machine.deploy", system_id, |machine, mut batch| {
                    if !matches!(machine.status, Status::Ready | Status::Allocated) {
                        return Err(OpError::State(format!(
                            "Can't deploy a machine that is in the '{}' state",
                            machine.status.label()
                        )));
                    }
                    allowed(actor, machine)?;
                    machine.storage.installable().map_err(|why| OpError::State(why.to_string()))?;
                    machine.owner.get_or_insert_with(|| actor.user.clone());
                    if let Some(agent_name) = &wanted.agent_name {
                        agent_name.clone_into(&mut machine.agent_name);
                    }
                    machine.osystem.clone_from(&osystem);
                    machine.distro_series.clone_from(&series);
                    machine.user_data.clone_from(&wanted.user_data);
                    batch = addresses::claim_automatic(&store, system_id, machine, batch)?;
                    let credentials = Credentials {
                        consumer: secrets::random_token(9),
                        token: secrets::random_token(9),
                        secret: Secret::new(secrets::random_token(16)),
                    };
                    batch = batch.claim(SCOPE, "machine_token", &credentials.token, system_id);
                    machine.credentials = Some(credentials);
                    machine.netboot = true;
                    machine.error_description.clear();
                    machine.enter(Status::Deploying, Timestamp::now());
                    Ok(batch)
                })
                .await;
            match tried {
                Err(OpError::Store(CommitError::Taken { .. })) => {} // another took the address: pick again
                other => return other,
            }
        }
    }

    /// Gives a machine back; Ready and Releasing machines are left as they are.
    pub async fn release(&self, actor: &Actor, system_id: &str, how: Release) -> Changed {
        self.act(actor, "machine.release", system_id, |machine, batch| {
            use Status::{
                Allocated, Broken, Deployed, Deploying, DiskErasing, FailedDeployment, FailedDiskErasing,
                FailedReleasing, Ready, Releasing, Reserved,
            };
            match machine.status {
                Ready | Releasing | DiskErasing => return Ok(batch),
                Allocated | Reserved | Broken | Deploying | Deployed | FailedDeployment
                | FailedDiskErasing | FailedReleasing => {}
                other => {
                    return Err(OpError::State(format!(
                        "Machine cannot be released in its current state ('{}').",
                        other.label()
                    )));
                }
            }
            allowed(actor, machine)?;
            machine.erase = how.erase;
            machine.netboot = true;
            machine.error_description.clear();
            let next = if how.erase.is_some() { DiskErasing } else { Releasing };
            machine.status.check(next)?;
            machine.enter(next, Timestamp::now());
            Ok(batch)
        })
        .await
    }

    /// Starts commissioning with these scripts.
    pub async fn commission(&self, actor: &Actor, system_id: &str, wanted: &Wanted) -> Changed {
        let (known, store) = (self.scripts(), self.store().clone());
        self.act(actor, "machine.commission", system_id, |machine, batch| {
            allowed(actor, machine)?;
            machine.status.check(Status::Commissioning)?;
            machine.netboot = true;
            machine.error_description.clear();
            machine.enter(Status::Commissioning, Timestamp::now());
            machine.scripts = wanted.clone();
            Ok(plan_all(&store, &known, system_id, machine, batch)?)
        })
        .await
    }

    /// Starts tests; the machine becomes afterwards what it is now.
    pub async fn test(&self, actor: &Actor, system_id: &str, wanted: &Wanted) -> Changed {
        let (known, store) = (self.scripts(), self.store().clone());
        self.act(actor, "machine.test", system_id, |machine, batch| {
            allowed(actor, machine)?;
            machine.status.check(Status::Testing)?;
            let now = Timestamp::now();
            machine.error_description.clear();
            machine.previous_status = Some(machine.status);
            machine.enter(Status::Testing, now);
            let gone = machine.plan_scripts(Stage::Testing, &known, wanted, now)?;
            let destroys = |result: &crate::ScriptResult| {
                known.iter().any(|(name, script)| *name == result.name && script.destructive)
            };
            if machine.previous_status == Some(Status::Deployed)
                && let Some(one) = machine.to_run(Stage::Testing).find(|result| destroys(result))
            {
                return Err(OpError::Invalid {
                    field: "testing_scripts".to_owned(),
                    message: format!("{} destroys what is on the disks of a deployed machine.", one.name),
                });
            }
            Ok(ScriptOutput::forget(&store, system_id, &gone, batch))
        })
        .await
    }

    /// Starts the rescue system on a machine, from its state of now.
    pub async fn rescue(&self, actor: &Actor, system_id: &str) -> Changed {
        self.act(actor, "machine.rescue_mode", system_id, |machine, batch| {
            allowed(actor, machine)?;
            machine.status.check(Status::EnteringRescueMode)?;
            if machine.status != Status::FailedEnteringRescueMode {
                machine.previous_status = Some(machine.status);
            }
            machine.error_description.clear();
            machine.enter(Status::EnteringRescueMode, Timestamp::now());
            Ok(batch)
        })
        .await
    }

    /// Ends rescue mode: the machine becomes again what it was.
    pub async fn exit_rescue(&self, actor: &Actor, system_id: &str) -> Changed {
        self.act(actor, "machine.exit_rescue_mode", system_id, |machine, batch| {
            allowed(actor, machine)?;
            machine.status.check(Status::ExitingRescueMode)?;
            machine.error_description.clear();
            machine.enter(Status::ExitingRescueMode, Timestamp::now());
            Ok(batch)
        })
        .await
    }

    /// Ends what is under way.
    pub async fn abort(&self, actor: &Actor, system_id: &str) -> Changed {
        self.act(actor, "machine.abort", system_id, |machine, batch| {
            allowed(actor, machine)?;
            let next = match machine.status {
                Status::Commissioning => Status::New,
                Status::Deploying => Status::Allocated,
                Status::DiskErasing => Status::FailedDiskErasing,
                // Tests at the end of commissioning are part of it.
                Status::Testing => match machine.previous_status {
                    Some(Status::Commissioning) | None => Status::Ready,
                    Some(before) => before,
                },
                other => {
                    return Err(OpError::State(format!(
                        "Cannot abort in current state: node {system_id} is in state {}.",
                        other.label()
                    )));
                }
            };
            let now = Timestamp::now();
            machine.enter(next, now);
            machine.flow.stop = Some(now);
            Ok(batch)
        })
        .await
    }

    /// Marks a machine as broken.
    pub async fn mark_broken(&self, actor: &Actor, system_id: &str, comment: &str) -> Changed {
        self.act(actor, "machine.mark_broken", system_id, |machine, batch| {
            allowed(actor, machine)?;
            machine.status.check(Status::Broken)?;
            machine.previous_status = Some(machine.status);
            machine.enter(Status::Broken, Timestamp::now());
            comment.clone_into(&mut machine.error_description);
            Ok(batch)
        })
        .await
    }

    /// Marks a broken machine as fixed.
    pub async fn mark_fixed(&self, actor: &Actor, system_id: &str) -> Changed {
        self.act(actor, "machine.mark_fixed", system_id, |machine, batch| {
            if machine.status != Status::Broken {
                return Err(OpError::State("Can't mark a non-broken node as 'Ready'.".to_owned()));
            }
            let next = match machine.previous_status {
                Some(Status::Deployed) => Status::Deployed,
                _ => Status::Ready,
            };
            machine.error_description.clear();
            machine.enter(next, Timestamp::now());
            // Ready machines belong to nobody.
            let store = self.store();
            Ok(if next == Status::Ready { clear_deployment(store, system_id, machine, batch) } else { batch })
        })
        .await
    }

    /// Locks or unlocks a machine.
    pub async fn set_locked(&self, actor: &Actor, system_id: &str, lock: Lock) -> Changed {
        let done = self
            .change(&format!("user:{}", actor.user), "machine.lock", system_id, |machine, batch| {
                allowed(actor, machine)?;
                match (lock, machine.locked, machine.status) {
                    (Lock::Locked, true, _) => {
                        Err(OpError::State("Can't lock, node is already locked".to_owned()))
                    }
                    (Lock::Locked, false, Status::Deployed | Status::Deploying) => {
                        machine.locked = true;
                        Ok(batch)
                    }
                    (Lock::Locked, false, _) => {
                        Err(OpError::State("Can't lock, node is not deployed or deploying".to_owned()))
                    }
                    (Lock::Unlocked, false, _) => {
                        Err(OpError::State("Can't unlock, node is not locked".to_owned()))
                    }
                    (Lock::Unlocked, true, _) => {
                        machine.locked = false;
                        Ok(batch)
                    }
                }
            })
            .await?;
        Ok(done)
    }

    async fn act(
        &self,
        actor: &Actor,
        action: &str,
        system_id: &str,
        mut change: impl FnMut(&mut Machine, Batch) -> Result<Batch, OpError>,
    ) -> Changed {
        let changed = self
            .change(&format!("user:{}", actor.user), action, system_id, |machine, batch| {
                if machine.locked {
                    return Err(OpError::Forbidden("This machine is locked.".to_owned()));
                }
                change(machine, batch)
            })
            .await?;
        let label = changed.value.status.label();
        self.event(Level::Info, system_id, label, &format!("{action} by {}", actor.user), Some(&actor.user))
            .await;
        Ok(changed)
    }

    /// The image that a deployment names.
    fn image_for(&self, wanted: &Deploy) -> Result<(String, String), OpError> {
        let (osystem, series) = match wanted.distro_series.split_once('/') {
            Some((os, series)) => (os, series),
            None => (wanted.osystem.as_str(), wanted.distro_series.as_str()),
        };
        self.store()
            .list::<BootResource>(SCOPE)
            .iter()
            .filter(|resource| resource.value.newest_complete().is_some())
            .map(|resource| resource.value.os_and_series())
            .find(|(os, s)| (osystem.is_empty() || osystem == *os) && (series.is_empty() || series == *s))
            .map(|(os, s)| (os.to_owned(), s.to_owned()))
            .ok_or_else(|| OpError::Invalid {
                field: "distro_series".to_owned(),
                message: format!(
                    "'{}' is not a valid distro_series.  It should be one of: {}.",
                    wanted.distro_series,
                    self.series().join(", ")
                ),
            })
    }

    /// Every series that can be deployed, as `os/series`.
    pub fn series(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .store()
            .list::<BootResource>(SCOPE)
            .iter()
            .filter(|resource| resource.value.newest_complete().is_some())
            .map(|resource| resource.value.name.clone())
            .collect();
        names.sort();
        names.dedup();
        names
    }
}

/// Records what a machine runs while it is commissioned; at its hello again, when its disks are known.
///
/// # Errors
/// [`BadParameter`].
pub fn plan_all(
    store: &Store,
    known: &[(String, Script)],
    system_id: &str,
    machine: &mut Machine,
    batch: Batch,
) -> Result<Batch, BadParameter> {
    let (wanted, now) = (machine.scripts.clone(), Timestamp::now());
    let mut gone = machine.plan_scripts(Stage::Commissioning, known, &wanted, now)?;
    gone.extend(machine.plan_scripts(Stage::Testing, known, &wanted, now)?);
    Ok(ScriptOutput::forget(store, system_id, &gone, batch))
}

/// The wanted state of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// Refuse changes.
    Locked,
    /// Allow changes.
    Unlocked,
}

/// What a machine gives up when it becomes Ready again, its leases with its addresses.
pub fn clear_deployment(store: &Store, system_id: &str, machine: &mut Machine, mut batch: Batch) -> Batch {
    if let Some(credentials) = machine.credentials.take() {
        batch = batch.unclaim(SCOPE, "machine_token", &credentials.token, system_id);
    }
    batch = addresses::release_automatic(store, system_id, machine, batch);
    machine.drop_acquired();
    machine.owner = None;
    machine.agent_name.clear();
    machine.owner_data.clear();
    machine.workload_annotations.clear();
    machine.user_data = None;
    machine.osystem.clear();
    machine.distro_series.clear();
    machine.erase = None;
    machine.netboot = true;
    batch
}

fn allowed(actor: &Actor, machine: &Machine) -> Result<(), OpError> {
    if actor.admin || machine.owner.as_deref().is_none_or(|owner| owner == actor.user) {
        Ok(())
    } else {
        Err(OpError::Forbidden(String::new()))
    }
}
