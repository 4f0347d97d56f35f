//! Redfish (DMTF DSP0266): systems, power and boot override.

use std::time::Duration;

use lifecycle::Power;
use reqwest::{Certificate, Client, Method, StatusCode};
use secrets::Secret;
use serde_json::{Value, json};

use crate::{Bmc, CONSOLE_LINES, ConsoleLines, PowerError, answer};

/// How long one request may take.
const LIMIT: Duration = Duration::from_secs(10);
/// Pages of a console's log that one call follows.
const PAGES: usize = 16;

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
    path: String,
}

impl Service {
    /// A service at `address` (`https://10.0.0.5` or a bare address), trusting `ca` (PEM) beside the public roots.
    pub fn new(address: &str, user: &str, password: Secret, ca: Option<&[u8]>) -> Result<Self, PowerError> {
        let address = if address.contains("://") { address.to_owned() } else { format!("https://{address}") };
        let unreachable =
            |error: reqwest::Error| PowerError::Unreachable { address: address.clone(), why: chain(&error) };
        let mut builder = Client::builder().timeout(LIMIT).connect_timeout(LIMIT);
        if let Some(pem) = ca {
            builder = builder.tls_certs_only(Certificate::from_pem_bundle(pem).map_err(unreachable)?);
        }
        let client = builder.build().map_err(unreachable)?;
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
        let list = self.request(Method::GET, "/redfish/v1/Systems", None).await?;
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
        Redfish { service: self.clone(), path: path.to_owned() }
    }

    async fn request(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, PowerError> {
        let what = format!("{method} {path}");
        let (status, text) = self.exchange(method, path, body).await?;
        self.read(what, status, &text)
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<(StatusCode, String), PowerError> {
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.address))
            .basic_auth(&self.user, Some(self.password.expose()));
        if let Some(body) = &body {
            request = request.json(body);
        }
        let unreachable = |error: reqwest::Error| PowerError::Unreachable {
            address: self.address.clone(),
            why: chain(&error),
        };
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        Ok((status, response.text().await.map_err(unreachable)?))
    }

    fn read(&self, what: String, status: StatusCode, text: &str) -> Result<Value, PowerError> {
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(PowerError::Credentials { address: self.address.clone() })
            }
            status if status.is_success() => Ok(answer::read(text)),
            status => Err(PowerError::Refused {
                address: self.address.clone(),
                what,
                why: format!("{status}: {}", text.chars().take(200).collect::<String>()),
            }),
        }
    }
}

impl Redfish {
    async fn reset(&self, kind: &str) -> Result<(), PowerError> {
        let path = format!("{}/Actions/ComputerSystem.Reset", self.path);
        self.service.request(Method::POST, &path, Some(json!({"ResetType": kind}))).await.map(|_| ())
    }
}

#[async_trait::async_trait]
impl Bmc for Redfish {
    async fn state(&self) -> Result<Power, PowerError> {
        let system = self.service.request(Method::GET, &self.path, None).await?;
        answer::power(&system).map_err(|why| PowerError::Refused {
            address: self.service.address.clone(),
            what: format!("GET {}", self.path),
            why,
        })
    }

    async fn boot_network(&self) -> Result<(), PowerError> {
        let once = json!({"Boot": {"BootSourceOverrideEnabled": "Once", "BootSourceOverrideTarget": "Pxe"}});
        self.service.request(Method::PATCH, &self.path, Some(once)).await?;
        match self.state().await? {
            Power::On => self.reset("ForceRestart").await,
            Power::Off => self.reset("On").await,
        }
    }

    async fn on(&self) -> Result<(), PowerError> {
        match self.state().await? {
            Power::On => Ok(()),
            Power::Off => self.reset("On").await,
        }
    }

    async fn off(&self) -> Result<(), PowerError> {
        match self.state().await? {
            Power::On => self.reset("ForceOff").await,
            Power::Off => Ok(()),
        }
    }

    async fn console(&self, skip: usize) -> Result<Option<ConsoleLines>, PowerError> {
        let log = format!("{}/LogServices/HostLogger/Entries", self.path);
        let mut path = format!("{log}?$skip={skip}&$top={CONSOLE_LINES}");
        let mut found = ConsoleLines { first: skip, ..ConsoleLines::default() };
        for _ in 0..PAGES {
            let (status, text) = self.service.exchange(Method::GET, &path, None).await?;
            if status == StatusCode::NOT_FOUND {
                return Ok(None);
            }
            let page = self.service.read(format!("GET {path}"), status, &text)?;
            match answer::console_page(&page, skip, &log, &mut found) {
                Some(next) => path = next,
                None => break,
            }
        }
        Ok(Some(found))
    }
}

/// An error with its causes, which reqwest leaves out.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
