//! The one way to read and change machines.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use jiff::Timestamp;
use lifecycle::Signal;
use store::{Batch, CommitError, Document, Store, Stored};

use crate::{BootAttempt, Device, Event, Lease, Level, Machine, SCOPE};

/// Events that are kept; older ones go.
const EVENTS_KEPT: u64 = 50_000;
/// How many go at once.
const EVENTS_PRUNED: u64 = 200;
/// Alphabet of system ids (MAAS).
const ID_ALPHABET: &str = "346789abcdefghkmnpqrstwxy";

/// A handle on the machines of a region; cheap to clone.
#[derive(Debug, Clone)]
pub struct Machines {
    store: Store,
    /// The last event number given; 0 until the first event of this process.
    last_event: Arc<AtomicU64>,
    /// The last number given to a NIC or disk; 0 until the first of this process.
    last_number: Arc<AtomicU64>,
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError<E> {
    /// No machine has this id.
    #[error("No Machine matches the given query.")]
    NotFound,
    /// The change itself was refused.
    #[error(transparent)]
    Refused(E),
    /// The store could not write it.
    #[error(transparent)]
    Store(#[from] CommitError),
}

impl Machines {
    /// Machines in `store`.
    pub fn new(store: Store) -> Self {
        Self { store, last_event: Arc::default(), last_number: Arc::default() }
    }

    /// The store.
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// A machine by system id.
    pub fn get(&self, system_id: &str) -> Option<Arc<Stored<Machine>>> {
        self.store.get(SCOPE, system_id)
    }

    /// Every machine.
    pub fn all(&self) -> Vec<Arc<Stored<Machine>>> {
        self.store.list(SCOPE)
    }

    /// The machine with this MAC address (lower case with colons).
    pub fn by_mac(&self, mac: &str) -> Option<Arc<Stored<Machine>>> {
        self.get(&self.store.holder(SCOPE, "mac", mac)?)
    }

    /// The machine with this SMBIOS UUID (lower case), as its agent told.
    pub fn by_uuid(&self, uuid: &str) -> Option<Arc<Stored<Machine>>> {
        self.get(&self.store.holder(SCOPE, "uuid", uuid)?)
    }

    /// A number for a new NIC or disk that none has yet. All machines are looked at for the first one only.
    pub fn next_number(&self) -> u64 {
        if self.last_number.load(Ordering::Relaxed) == 0 {
            let (machines, devices) = (self.all(), self.store.list::<Device>(SCOPE));
            let machines = machines.iter().map(|machine| machine.value.highest_number());
            let last = machines.chain(devices.iter().map(|device| device.value.highest_number())).max();
            self.last_number.fetch_max(last.unwrap_or(0), Ordering::Relaxed);
        }
        self.last_number.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The machine whose installed system has this OAuth token.
    pub fn by_token(&self, token: &str) -> Option<Arc<Stored<Machine>>> {
        self.get(&self.store.holder(SCOPE, "machine_token", token)?)
    }

    /// The boot attempt with this token, if `from` is the address that it was given to.
    pub fn attempt(&self, token: &str, from: IpAddr) -> Option<Arc<Stored<BootAttempt>>> {
        let mac = self.store.holder(SCOPE, "boot_token", token)?;
        self.store
            .get::<BootAttempt>(SCOPE, &mac)
            .filter(|attempt| attempt.value.address == from && attempt.value.token == token)
    }

    /// Address that a MAC address has on the network now: its link's, or its lease's.
    pub fn address_of(&self, mac: &str) -> Option<std::net::Ipv4Addr> {
        self.by_mac(mac)
            .and_then(|machine| {
                machine.value.links().filter(|(nic, _)| nic.mac == mac).find_map(|(_, link)| link.ip)
            })
            .or_else(|| {
                let leases = self.store.list::<Lease>(SCOPE);
                let own =
                    leases.iter().filter(|lease| lease.value.mac == mac && lease.value.state == "bound");
                own.max_by_key(|lease| lease.value.expires).map(|lease| lease.value.ip)
            })
    }

    /// Changes a machine: reads, applies `change`, writes if nobody wrote meanwhile, else again.
    ///
    /// `change` may run several times. What it adds to the batch is written with the machine or not at all.
    pub async fn change<E>(
        &self,
        principal: &str,
        action: &str,
        system_id: &str,
        mut change: impl FnMut(&mut Machine, Batch) -> Result<Batch, E>,
    ) -> Result<Arc<Stored<Machine>>, ChangeError<E>> {
        loop {
            let seen = self.get(system_id).ok_or(ChangeError::NotFound)?;
            let mut machine = seen.value.clone();
            let batch = change(&mut machine, Batch::new(principal, action)).map_err(ChangeError::Refused)?;
            if machine == seen.value {
                return Ok(seen);
            }
            machine.updated = Timestamp::now();
            match self.store.commit(batch.update(SCOPE, system_id, seen.version, &machine)).await {
                Ok(_) => return self.get(system_id).ok_or(ChangeError::NotFound),
                Err(CommitError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Notes that a machine was seen doing something; unknown machines are ignored.
    pub async fn signal(&self, system_id: &str, signal: Signal, now: Timestamp) -> Result<(), CommitError> {
        let done = self
            .change("machine", "machine.signal", system_id, |machine, batch| {
                machine.note(signal, now);
                Ok::<_, std::convert::Infallible>(batch)
            })
            .await;
        match done {
            Err(ChangeError::Store(error)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Writes an entry of the event log.
    pub async fn event(&self, level: Level, system_id: &str, kind: &str, text: &str, user: Option<&str>) {
        loop {
            let number = self.next_event();
            let event = Event {
                number,
                system_id: system_id.to_owned(),
                created: Timestamp::now(),
                level,
                kind: kind.to_owned(),
                description: text.to_owned(),
                user: user.map(str::to_owned),
            };
            let batch = Batch::new("region", "event").create(SCOPE, &event_id(number), &event);
            match self.store.commit(self.prune_events(batch, number)).await {
                // Another region took the number.
                Err(CommitError::Conflict { .. }) => self.last_event.store(0, Ordering::Relaxed),
                Err(error) => {
                    tracing::warn!(%error, system_id, "event not written");
                    return;
                }
                Ok(_) => return,
            }
        }
    }

    fn next_event(&self) -> u64 {
        if self.last_event.load(Ordering::Relaxed) == 0 {
            let last = next_id::<Event>(&self.store, |event| event.number).max(1) - 1;
            self.last_event.fetch_max(last, Ordering::Relaxed);
        }
        self.last_event.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Every so often, adds the deletion of the oldest events.
    fn prune_events(&self, batch: Batch, number: u64) -> Batch {
        if !number.is_multiple_of(EVENTS_PRUNED) {
            return batch;
        }
        let end = number.saturating_sub(EVENTS_KEPT);
        (end.saturating_sub(EVENTS_PRUNED)..end).fold(batch, |batch, old| {
            let id = event_id(old);
            match self.store.get::<Event>(SCOPE, &id) {
                Some(event) => batch.delete::<Event>(SCOPE, &id, event.version),
                None => batch,
            }
        })
    }

    /// Public SSH keys of those who may come into a machine's rescue system: its owner, or administrators where it has
    /// none.
    pub fn rescuers(&self, machine: &Machine) -> Vec<String> {
        if machine.owner.is_some() {
            return self.keys_of(machine);
        }
        let admin =
            |user: &str| self.store.get::<crate::User>(SCOPE, user).is_some_and(|user| user.value.admin);
        let keys = self.store.list::<crate::SshKey>(SCOPE);
        keys.iter().filter(|key| admin(&key.value.user)).map(|key| key.value.key.clone()).collect()
    }

    /// Public SSH keys of a machine's owner.
    pub fn keys_of(&self, machine: &Machine) -> Vec<String> {
        self.store
            .list::<crate::SshKey>(SCOPE)
            .iter()
            .filter(|key| machine.owner.as_deref() == Some(&key.value.user))
            .map(|key| key.value.key.clone())
            .collect()
    }
}

/// Ids sort as their numbers do.
fn event_id(number: u64) -> String {
    format!("{number:012}")
}

/// The next free number of a kind of documents; creating it may still conflict: then ask again.
pub fn next_id<T: Document>(store: &Store, number: impl Fn(&T) -> u64) -> u64 {
    store.list::<T>(SCOPE).iter().map(|stored| number(&stored.value) + 1).max().unwrap_or(0)
}

/// A free system id.
pub fn pick_id(store: &Store) -> String {
    loop {
        let id = secrets::random_id(ID_ALPHABET, 6);
        if store.get::<Machine>(SCOPE, &id).is_none() && store.get::<Device>(SCOPE, &id).is_none() {
            return id;
        }
    }
}
