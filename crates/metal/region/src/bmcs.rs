//! Which BMC belongs to which machine, and talking to it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use model::{Machine, Machines, Power};
use power::{Bmc, PowerError, Redfish, Service};
use secrets::Secret;
use tokio::sync::{Semaphore, mpsc};

use crate::{config, figures::Figures};

/// How soon the configured BMCs are asked for their systems again when a UUID is not found.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// How soon one that answered is asked again: what it manages seldom changes.
const ANSWERED_AGAIN: Duration = Duration::from_mins(1);
/// Longest time that a question may take, with its wait for a place.
const ASKING: Duration = Duration::from_mins(10);
/// BMCs asked at once.
const ASKED_AT_ONCE: usize = 256;

/// The BMCs that a region knows; cheap to clone.
#[derive(Clone)]
pub struct Bmcs {
    candidates: Arc<[Arc<Candidate>]>,
    asked: Arc<Mutex<Option<Instant>>>,
    found: Arc<Mutex<HashMap<String, Power>>>,
    places: Arc<Semaphore>,
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
        let places = Arc::new(Semaphore::new(ASKED_AT_ONCE));
        Ok(Self { candidates, asked: Arc::default(), found: Arc::default(), places, figures })
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
                let _place = bmcs.places.acquire().await;
                match bmcs.figures.bmc("systems", candidate.systems()).await {
                    Ok(systems) => {
                        bmcs.found.lock().unwrap_or_else(PoisonError::into_inner).extend(systems);
                        candidate.ask_after(ANSWERED_AGAIN);
                    }
                    Err(error) => {
                        tracing::warn!(%error, "BMC not asked for its systems");
                        candidate.ask_after(Duration::ZERO);
                    }
                }
                let _ = tell.send(());
            });
        }
        drop(tell);
        while self.cached(uuid).is_none() && told.recv().await.is_some() {}
        self.cached(uuid)
    }

    /// The driver of a machine; `None` where its power is a person's business.
    pub fn driver(&self, machine: &Machine) -> Result<Option<Box<dyn Bmc>>, PowerError> {
        let parameter = |name: &str| machine.power.parameters.get(name).map_or("", Secret::expose);
        if machine.power.kind != "redfish" {
            return Ok(None);
        }
        let address = parameter("power_address");
        let trusted = self.candidates.iter().find(|c| c.config.address == address);
        let service = Service::new(
            address,
            parameter("power_user"),
            Secret::new(parameter("power_pass")),
            trusted.and_then(|c| c.ca.as_deref()),
        )?;
        let inner = service.system(parameter("node_id"));
        Ok(Some(Box::new(Timed { inner, figures: self.figures.clone() })))
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

/// A system whose calls are counted and timed.
struct Timed {
    inner: Redfish,
    figures: Figures,
}

#[async_trait::async_trait]
impl Bmc for Timed {
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
        match driver.state().await.map_err(|error| error.to_string())? {
            power::Power::On => Ok("on".to_owned()),
            power::Power::Off => Ok("off".to_owned()),
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
