//! Which BMC belongs to which machine, and talking to it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use lifecycle::plan::Bmc as Known;
use model::{Machine, Machines, Power};
use power::{
    Bmc, Firmware, Node, PowerError, Service, Turns,
    types::{Kind, Reach},
};
use secrets::Secret;
use tokio::sync::mpsc;

use crate::{config, figures::Figures};

/// How soon the configured BMCs are asked for their systems again when a UUID is not found.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// How soon one that answered is asked again: what it manages seldom changes.
const ANSWERED_AGAIN: Duration = Duration::from_mins(1);
/// Longest time that a question may take, with its wait for a place.
const ASKING: Duration = Duration::from_mins(10);

/// The BMCs that a region knows; cheap to clone.
#[derive(Clone)]
pub struct Bmcs {
    candidates: Arc<[Arc<Candidate>]>,
    asked: Arc<Mutex<Option<Instant>>>,
    found: Arc<Mutex<HashMap<String, Power>>>,
    turns: Turns,
    figures: Figures,
}

struct Candidate {
    config: config::Bmc,
    ca: Option<Vec<u8>>,
    /// Not before then is it asked for its systems.
    next: Mutex<Option<Instant>>,
}

impl Bmcs {
    /// The BMCs of a configuration.
    pub fn new(configured: &[config::Bmc], figures: Figures) -> std::io::Result<Self> {
        let candidates = configured
            .iter()
            .map(|config| {
                let ca = config.ca_file.as_ref().map(std::fs::read).transpose()?;
                Ok(Arc::new(Candidate { config: config.clone(), ca, next: Mutex::default() }))
            })
            .collect::<std::io::Result<_>>()?;
        let (asked, found, turns) = Default::default();
        Ok(Self { candidates, asked, found, turns, figures })
    }

    /// Whether there are any that a machine could be matched with.
    pub fn are_configured(&self) -> bool {
        !self.candidates.is_empty()
    }

    /// How the machine with this SMBIOS UUID is switched, if one of the BMCs manages it.
    pub async fn find(&self, uuid: &str) -> Option<Power> {
        if let Some(power) = self.cached(uuid) {
            return Some(power);
        }
        {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            if asked.is_some_and(|at| at.elapsed() < ASK_AGAIN) {
                return None;
            }
            *asked = Some(Instant::now());
        }
        // Each on its own, and to its end: one that hangs keeps nobody from finding the others.
        let (tell, mut told) = mpsc::unbounded_channel();
        for candidate in self.candidates.iter().filter(|candidate| candidate.is_due()) {
            let (bmcs, candidate, tell) = (self.clone(), candidate.clone(), tell.clone());
            tokio::spawn(async move {
                let systems = bmcs.figures.bmc("systems", candidate.systems());
                match bmcs.turns.take_if_free(&candidate.config.address, systems).await {
                    Some(Ok(systems)) => {
                        bmcs.found.lock().unwrap_or_else(PoisonError::into_inner).extend(systems);
                        candidate.ask_after(ANSWERED_AGAIN);
                    }
                    Some(Err(error)) => {
                        tracing::warn!(%error, "BMC not asked for its systems");
                        candidate.ask_after(Duration::ZERO);
                    }
                    // Somebody else is at it, or it rests after a failure: another time.
                    None => candidate.ask_after(Duration::ZERO),
                }
                let _ = tell.send(());
            });
        }
        drop(tell);
        while self.cached(uuid).is_none() && told.recv().await.is_some() {}
        self.cached(uuid)
    }

    /// The driver of a machine, whose operations take turns; `None` where no power type is known.
    ///
    /// # Errors
    /// [`PowerError::Parameter`] where its power parameters are no good.
    pub fn driver(&self, machine: &Machine) -> Result<Option<Box<dyn Bmc>>, PowerError> {
        if machine.power.kind.is_empty() {
            return Ok(None);
        }
        let kind = power::types::kind(&machine.power.kind)
            .map_err(|why| PowerError::Parameter { name: "power_type", why })?;
        let address = machine.power.parameters.get("power_address").map_or("", Secret::expose);
        let trusted = self.candidates.iter().find(|candidate| candidate.config.address == address);
        let firmware =
            if machine.boot_method.as_deref() == Some("uefi") { Firmware::Uefi } else { Firmware::Bios };
        let node = Node { firmware, ca: trusted.and_then(|known| known.ca.as_deref()) };
        let inner = power::driver(kind, &machine.power.parameters, &node)?;
        Ok(Some(self.turns.at(Timed { inner, figures: self.figures.clone() })))
    }

    fn cached(&self, uuid: &str) -> Option<Power> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).get(uuid).cloned()
    }
}

impl Candidate {
    /// Whether it is to be asked now; if so, it counts as being asked until [`Candidate::ask_after`].
    fn is_due(&self) -> bool {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let due = next.is_none_or(|next| next <= now);
        if due {
            *next = Some(now + ASKING);
        }
        due
    }

    fn ask_after(&self, pause: Duration) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + pause);
    }

    async fn systems(&self) -> Result<Vec<(String, Power)>, PowerError> {
        let config = &self.config;
        let service =
            Service::new(&config.address, &config.user, config.password.clone(), self.ca.as_deref())?;
        let systems = service.systems().await?.into_iter().map(|system| {
            let parameters = BTreeMap::from([
                ("power_address".to_owned(), Secret::new(config.address.clone())),
                ("power_user".to_owned(), Secret::new(config.user.clone())),
                ("power_pass".to_owned(), config.password.clone()),
                ("node_id".to_owned(), Secret::new(system.path)),
            ]);
            (system.uuid, Power { kind: "redfish".to_owned(), parameters })
        });
        Ok(systems.collect())
    }
}

/// What can be told to whatever switches a machine's power.
pub fn known(machine: &Machine) -> Known {
    match Kind::named(&machine.power.kind).map_or(Reach::None, |kind| kind.row().reach) {
        Reach::Full => Known::Known,
        Reach::On => Known::OnOnly,
        Reach::None => Known::Manual,
    }
}

/// A driver whose calls are counted and timed.
struct Timed {
    inner: Box<dyn Bmc>,
    figures: Figures,
}

#[async_trait::async_trait]
impl Bmc for Timed {
    fn address(&self) -> &str {
        self.inner.address()
    }

    async fn state(&self) -> Result<power::Power, PowerError> {
        self.figures.bmc("state", self.inner.state()).await
    }

    async fn boot_network(&self) -> Result<(), PowerError> {
        self.figures.bmc("boot network", self.inner.boot_network()).await
    }

    async fn on(&self) -> Result<(), PowerError> {
        self.figures.bmc("on", self.inner.on()).await
    }

    async fn off(&self) -> Result<(), PowerError> {
        self.figures.bmc("off", self.inner.off()).await
    }

    async fn console(&self, skip: usize) -> Result<Option<power::ConsoleLines>, PowerError> {
        self.figures.bmc("console", self.inner.console(skip)).await
    }
}

/// Power on request of an API call.
pub struct Control {
    pub machines: Machines,
    pub bmcs: Bmcs,
}

#[async_trait::async_trait]
impl maas_api::PowerControl for Control {
    async fn query(&self, system_id: &str) -> Result<String, String> {
        let driver = self.driver(system_id)?;
        match driver.state().await {
            Ok(power::Power::On) => Ok("on".to_owned()),
            Ok(power::Power::Off) => Ok("off".to_owned()),
            Err(PowerError::Unable { .. }) => Ok("unknown".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn switch(&self, system_id: &str, to: power::Power) -> Result<(), String> {
        let driver = self.driver(system_id)?;
        let done = match to {
            power::Power::On => driver.on().await,
            power::Power::Off => driver.off().await,
        };
        done.map_err(|error| error.to_string())
    }

    async fn console(&self, system_id: &str, skip: usize) -> Result<Option<maas_api::ConsoleLines>, String> {
        let found = self.driver(system_id)?.console(skip).await.map_err(|error| error.to_string())?;
        Ok(found.map(|power::ConsoleLines { first, lines, total }| maas_api::ConsoleLines {
            first,
            lines,
            total,
        }))
    }
}

impl Control {
    fn driver(&self, system_id: &str) -> Result<Box<dyn Bmc>, String> {
        let machine = self.machines.get(system_id).ok_or("no such machine")?;
        let driver = self.bmcs.driver(&machine.value).map_err(|error| error.to_string())?;
        driver.ok_or_else(|| {
            format!("No rack controllers can access the BMC of node {}", machine.value.hostname)
        })
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use maas_api::PowerControl as _;
    use store::{Batch, Store};

    use super::*;

    async fn control(kind: &str, parameters: &[(&str, &str)]) -> (Control, Machine) {
        let mut machine = Machine::new("m00001".to_owned(), Timestamp::now());
        kind.clone_into(&mut machine.power.kind);
        let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), Secret::from(*value)));
        machine.power.parameters = parameters.collect();
        let machines = Machines::new(Store::in_memory().await);
        let batch = Batch::new("test", "test").create(model::SCOPE, "abc346", &machine);
        machines.store().commit(batch).await.unwrap();
        (Control { machines, bmcs: Bmcs::new(&[], Figures::default()).unwrap() }, machine)
    }

    #[tokio::test]
    async fn who_cannot_be_asked_is_unknown_and_who_has_no_type_is_not_reached() {
        let (manual, machine) = control("manual", &[]).await;
        assert_eq!(known(&machine), Known::Manual);
        assert_eq!(manual.query("abc346").await.unwrap(), "unknown");
        manual.switch("abc346", power::Power::On).await.unwrap();

        let wake = [("mac_address", "52:54:00:aa:00:01"), ("power_address", "127.0.0.1:9")];
        let (wake, machine) = control("wake_on_lan", &wake).await;
        assert_eq!(known(&machine), Known::OnOnly);
        assert_eq!(wake.query("abc346").await.unwrap(), "unknown");
        let error = wake.switch("abc346", power::Power::Off).await.unwrap_err();
        assert_eq!(error, "power type wake_on_lan cannot switch off");

        let (none, machine) = control("", &[]).await;
        assert_eq!(known(&machine), Known::Manual);
        assert!(none.query("abc346").await.unwrap_err().contains("No rack controllers can access the BMC"));
    }

    #[tokio::test]
    async fn what_is_stored_and_no_good_is_told_when_it_is_used() {
        let (virsh, machine) = control("virsh", &[("power_address", "qemu+ext://h/?command=sh")]).await;
        assert_eq!(known(&machine), Known::Known);
        let error = virsh.query("abc346").await.unwrap_err();
        assert!(error.starts_with("power_address cannot be used"), "{error}");
        let (gone, machine) = control("lxd", &[]).await;
        assert_eq!(known(&machine), Known::Manual);
        assert!(gone.query("abc346").await.unwrap_err().contains("lxd is not supported here"));
    }
}
