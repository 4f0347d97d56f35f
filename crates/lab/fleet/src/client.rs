//! Pressing a fleet's buttons from another process.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::admin::{Added, Concerned, PowerAction, Press};
use crate::rules::{Rule, RuleStatus};
use crate::status::{Counts, MachineStatus};

/// A client of a fleet's admin API.
#[derive(Debug, Clone)]
pub struct FleetClient {
    http: reqwest::Client,
    url: String,
}

/// Why a fleet did not do it.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No fleet answers, or not as it should.
    #[error("no fleet answers on its admin address: {0}; is `fleet-lab` running?")]
    Unreachable(#[from] reqwest::Error),
    /// It refused.
    #[error("the fleet says: {0}")]
    Refused(String),
}

impl FleetClient {
    /// A client of the fleet whose admin API is there; nothing is connected yet.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(admin: SocketAddr) -> Result<Self, ClientError> {
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_mins(1)).build()?;
        Ok(Self { http, url: format!("http://{admin}") })
    }

    /// What it has done until now.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn counts(&self) -> Result<Counts, ClientError> {
        read(self.http.get(format!("{}/counts", self.url))).await
    }

    /// The machines whose names are like the pattern.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn machines(&self, pattern: &str) -> Result<Vec<MachineStatus>, ClientError> {
        read(self.http.get(format!("{}/machines", self.url)).query(&[("name", pattern)])).await
    }

    /// Presses their power buttons; answers how many.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn power(&self, machines: &str, action: PowerAction) -> Result<usize, ClientError> {
        let press = Press { machines: machines.to_owned(), action };
        Ok(self.post::<Concerned>("power", &press).await?.machines)
    }

    /// The rules in force.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn rules(&self) -> Result<Vec<RuleStatus>, ClientError> {
        read(self.http.get(format!("{}/rules", self.url))).await
    }

    /// Adds a rule; answers its number.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn add(&self, rule: &Rule) -> Result<u64, ClientError> {
        Ok(self.post::<Added>("rules", rule).await?.id)
    }

    /// Removes a rule.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn remove(&self, id: u64) -> Result<(), ClientError> {
        checked(self.http.delete(format!("{}/rules/{id}", self.url))).await.map(drop)
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ClientError> {
        read(self.http.post(format!("{}/{path}", self.url)).json(body)).await
    }
}

async fn read<T: DeserializeOwned>(request: reqwest::RequestBuilder) -> Result<T, ClientError> {
    Ok(checked(request).await?.json().await?)
}

async fn checked(request: reqwest::RequestBuilder) -> Result<reqwest::Response, ClientError> {
    let answer = request.send().await?;
    if answer.status().is_success() { Ok(answer) } else { Err(ClientError::Refused(answer.text().await?)) }
}
