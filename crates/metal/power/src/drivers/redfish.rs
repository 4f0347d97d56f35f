//! Redfish (DMTF DSP0266): systems, power and boot override.

use std::time::Duration;

use lifecycle::Power;
use reqwest::{Certificate, Client, Method, StatusCode, Url, header};
use secrets::Secret;
use serde_json::{Value, json};

use super::{Node, Parameters, body, goes_off, parameter};
use crate::{
    Bmc, CONSOLE_LINES, ConsoleLines, PowerError, answer,
    error::{chain, shortened},
    quirks::{self, Restart},
};

/// How long one request may take.
const LIMIT: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read.
const ANSWER: usize = 16 * 1024 * 1024;
/// Pages of a console's log that one call follows.
const PAGES: usize = 16;
/// Ways of setting the boot override that are tried.
const WAYS: usize = 5;
/// How long a machine may take to go off where its service has no restart.
const OFF: Duration = Duration::from_secs(12);
/// Where the systems are.
const SYSTEMS: &str = "/redfish/v1/Systems";

/// A Redfish service: one address and one user.
#[derive(Debug, Clone)]
pub struct Service {
    client: Client,
    address: String,
    user: String,
    password: Secret,
}

/// A system that a service manages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct System {
    /// Path, such as `/redfish/v1/Systems/1`.
    pub path: String,
    /// SMBIOS UUID, lower case.
    pub uuid: String,
}

/// One system of a service.
#[derive(Debug, Clone)]
pub struct Redfish {
    service: Service,
    /// Its path; absent: the only one that there is.
    path: Option<String>,
}

/// What a service answered.
struct Answered {
    status: StatusCode,
    tag: Option<String>,
    text: String,
}

impl Service {
    /// A service at `address` (`https://10.0.0.5` or a bare address), trusting `ca` (PEM) beside the public roots.
    pub fn new(address: &str, user: &str, password: Secret, ca: Option<&[u8]>) -> Result<Self, PowerError> {
        let address = if address.contains("://") { address.to_owned() } else { format!("https://{address}") };
        let url = Url::parse(&address).ok();
        if !url.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) {
            return Err(parameter("power_address", "it is no host name, IP address or https:// address"));
        }
        let mut builder = Client::builder().timeout(LIMIT).connect_timeout(LIMIT).no_proxy();
        if let Some(pem) = ca {
            let trusted = Certificate::from_pem_bundle(pem);
            let trusted = trusted.map_err(|error| parameter("ca_file", chain(&error)))?;
            builder = builder.tls_certs_only(trusted);
        }
        let client = builder.build().map_err(|error| parameter("ca_file", chain(&error)))?;
        Ok(Self {
            client,
            address: address.trim_end_matches('/').to_owned(),
            user: user.to_owned(),
            password,
        })
    }

    /// Where it is.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The systems that it manages.
    pub async fn systems(&self) -> Result<Vec<System>, PowerError> {
        let list = self.request(Method::GET, SYSTEMS, None).await?;
        let mut systems = Vec::new();
        for path in answer::members(&list) {
            let system = self.request(Method::GET, path, None).await?;
            if let Some(uuid) = answer::uuid(&system) {
                systems.push(System { path: path.to_owned(), uuid });
            }
        }
        Ok(systems)
    }

    /// One of them, by its path.
    pub fn system(&self, path: &str) -> Redfish {
        Redfish { service: self.clone(), path: Some(path.to_owned()) }
    }

    async fn request(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, PowerError> {
        let what = format!("{method} {path}");
        let answered = self.exchange(method, path, None, body).await?;
        self.read(&what, &answered)
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        tag: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Answered, PowerError> {
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.address))
            .basic_auth(&self.user, Some(self.password.expose()));
        if let Some(tag) = tag {
            request = request.header(header::IF_MATCH, tag);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let unreachable = |why: String| PowerError::Unreachable { address: self.address.clone(), why };
        let response = request.send().await.map_err(|error| unreachable(chain(&error)))?;
        let status = response.status();
        let tag = response.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        let text = body::read(response, ANSWER).await.map_err(unreachable)?;
        Ok(Answered { status, tag, text })
    }

    fn read(&self, what: &str, answered: &Answered) -> Result<Value, PowerError> {
        match answered.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(PowerError::Credentials { address: self.address.clone() })
            }
            status if status.is_success() => Ok(answer::read(&answered.text)),
            status => Err(self.refused(what, format!("{status}: {}", shortened(&answered.text)))),
        }
    }

    fn refused(&self, what: &str, why: String) -> PowerError {
        PowerError::Refused { address: self.address.clone(), what: what.to_owned(), why }
    }
}

impl Redfish {
    pub(super) fn from_parameters(parameters: &Parameters<'_>, node: &Node<'_>) -> Result<Self, PowerError> {
        let (user, password) = (parameters.text("power_user"), parameters.secret("power_pass"));
        let service = Service::new(parameters.text("power_address"), user, password, node.ca)?;
        let path = match parameters.text("node_id") {
            "" => None,
            // As `System::path` has it.
            path if path.starts_with('/') => Some(path.to_owned()),
            // As MAAS has it.
            name if name.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c)) => {
                Some(format!("{SYSTEMS}/{name}"))
            }
            _ => {
                return Err(parameter(
                    "node_id",
                    "it is no name of a Redfish system, such as System.Embedded.1",
                ));
            }
        };
        Ok(Self { service, path })
    }

    async fn path(&self) -> Result<String, PowerError> {
        if let Some(path) = &self.path {
            return Ok(path.clone());
        }
        let list = self.service.request(Method::GET, SYSTEMS, None).await?;
        let paths: Vec<&str> = answer::members(&list).collect();
        match paths.as_slice() {
            [only] => Ok((*only).to_owned()),
            several => Err(parameter(
                "node_id",
                format!(
                    "it is empty, and the service manages {} systems: [{}]",
                    several.len(),
                    several.join(", ")
                ),
            )),
        }
    }

    /// The system, with its tag.
    async fn system(&self, path: &str) -> Result<(Value, Option<String>), PowerError> {
        let answered = self.service.exchange(Method::GET, path, None, None).await?;
        Ok((self.service.read(&format!("GET {path}"), &answered)?, answered.tag))
    }

    fn power(&self, path: &str, system: &Value) -> Result<Power, PowerError> {
        answer::power(system).map_err(|why| self.service.refused(&format!("GET {path}"), why))
    }

    /// Has the next start be over the network, in the first way that the service takes.
    async fn override_boot(&self, path: &str, system: &Value, tag: Option<&str>) -> Result<(), PowerError> {
        let mut tried = vec![quirks::first(system, path, tag)];
        while let Some(way) = tried.last() {
            let what = format!("PATCH {}", way.path);
            let body = way.body();
            let sent = self.service.exchange(Method::PATCH, &way.path, way.tag.as_deref(), Some(&body));
            let answered = sent.await?;
            let done = self.service.read(&what, &answered).map(|_| ());
            let next = match &done {
                Err(PowerError::Refused { .. }) if tried.len() < WAYS => {
                    quirks::next(&tried, system, answered.status.as_u16(), &answered.text)
                }
                _ => None,
            };
            match next {
                Some(way) => tried.push(way),
                None => return done,
            }
        }
        Ok(())
    }

    async fn restart(&self, path: &str, system: &Value) -> Result<(), PowerError> {
        let mut allowed = answer::resets(system);
        let info;
        if let (None, Some(described)) = (&allowed, answer::action_info(system)) {
            // What it does not tell is not known.
            info = self.service.request(Method::GET, described, None).await.unwrap_or_default();
            allowed = answer::resets_described(&info);
        }
        match quirks::restart(allowed.as_deref()) {
            Restart::Reset(kind) => self.reset(path, system, kind).await,
            Restart::OffAndOn => {
                self.reset(path, system, "ForceOff").await?;
                if !goes_off(self, OFF).await? {
                    return Err(self.service.refused("ForceOff", "the power is still on".to_owned()));
                }
                self.reset(path, system, "On").await
            }
        }
    }

    async fn reset(&self, path: &str, system: &Value, kind: &str) -> Result<(), PowerError> {
        let usual = format!("{path}/Actions/ComputerSystem.Reset");
        let target = answer::reset_target(system).unwrap_or(&usual);
        self.service.request(Method::POST, target, Some(&json!({"ResetType": kind}))).await.map(|_| ())
    }
}

#[async_trait::async_trait]
impl Bmc for Redfish {
    fn address(&self) -> &str {
        &self.service.address
    }

    async fn state(&self) -> Result<Power, PowerError> {
        let path = self.path().await?;
        let (system, _) = self.system(&path).await?;
        self.power(&path, &system)
    }

    async fn boot_network(&self) -> Result<(), PowerError> {
        let path = self.path().await?;
        let (system, tag) = self.system(&path).await?;
        self.override_boot(&path, &system, tag.as_deref()).await?;
        match self.power(&path, &system)? {
            Power::On => self.restart(&path, &system).await,
            Power::Off => self.reset(&path, &system, "On").await,
        }
    }

    async fn on(&self) -> Result<(), PowerError> {
        let path = self.path().await?;
        let (system, _) = self.system(&path).await?;
        match self.power(&path, &system)? {
            Power::On => Ok(()),
            Power::Off => self.reset(&path, &system, "On").await,
        }
    }

    async fn off(&self) -> Result<(), PowerError> {
        let path = self.path().await?;
        let (system, _) = self.system(&path).await?;
        match self.power(&path, &system)? {
            Power::On => self.reset(&path, &system, "ForceOff").await,
            Power::Off => Ok(()),
        }
    }

    async fn console(&self, skip: usize) -> Result<Option<ConsoleLines>, PowerError> {
        let log = format!("{}/LogServices/HostLogger/Entries", self.path().await?);
        let mut path = format!("{log}?$skip={skip}&$top={CONSOLE_LINES}");
        let mut found = ConsoleLines { first: skip, ..ConsoleLines::default() };
        for _ in 0..PAGES {
            let answered = self.service.exchange(Method::GET, &path, None, None).await?;
            if answered.status == StatusCode::NOT_FOUND {
                return Ok(None);
            }
            let page = self.service.read(&format!("GET {path}"), &answered)?;
            match answer::console_page(&page, skip, &log, &mut found) {
                Some(next) => path = next,
                None => break,
            }
        }
        Ok(Some(found))
    }
}
