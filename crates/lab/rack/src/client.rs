//! Pressing a lab's buttons from another process.

use std::path::Path;
use std::time::Duration;

use bmc::Fault;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{Cable, PowerAction, Rules, Status};

/// A client of a lab's control socket.
#[derive(Debug, Clone)]
pub struct LabClient(reqwest::Client);

/// Why a lab did not do it.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No lab answers.
    #[error("no lab answers on its control socket: {0}; is `bessemer lab run` running on this folder?")]
    Unreachable(#[from] reqwest::Error),
    /// It refused.
    #[error("the lab says: {0}")]
    Refused(String),
}

impl LabClient {
    /// A client of the lab in `dir`; nothing is connected yet.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(dir: &Path) -> Result<Self, ClientError> {
        let client = reqwest::Client::builder()
            .unix_socket(dir.join("lab.sock"))
            .no_proxy()
            .timeout(Duration::from_mins(1))
            .build()?;
        Ok(Self(client))
    }

    /// The lab as it stands.
    pub async fn status(&self) -> Result<Status, ClientError> {
        let response = self.0.get("http://lab/status").send().await?;
        Ok(response.error_for_status()?.json().await?)
    }

    /// Presses a machine's power button; returns when the power is as asked.
    pub async fn power(&self, machine: &str, action: PowerAction) -> Result<(), ClientError> {
        self.post(&format!("machines/{machine}/power"), &json!({"action": action})).await
    }

    /// Makes a machine's BMC misbehave, or behave again.
    pub async fn fault(&self, machine: &str, fault: Fault) -> Result<(), ClientError> {
        self.post(&format!("machines/{machine}/fault"), &json!({"fault": fault})).await
    }

    /// Plugs a machine's network cable in, or pulls it.
    pub async fn cable(&self, machine: &str, cable: Cable) -> Result<(), ClientError> {
        self.post(&format!("machines/{machine}/cable"), &json!({"cable": cable})).await
    }

    /// Kills a program as `kill -9` would; the lab starts it again, soon or when it was `away` that long.
    pub async fn kill(&self, program: &str, away: Duration) -> Result<(), ClientError> {
        let body = json!({"away_seconds": away.as_secs_f64()});
        self.post(&format!("programs/{program}/kill"), &body).await
    }

    /// Plugs the link between site and cloud in, or pulls it.
    pub async fn uplink(&self, cable: Cable) -> Result<(), ClientError> {
        self.post("uplink/cable", &json!({"cable": cable})).await
    }

    /// Changes what passes between site and cloud; connections that the new rules forbid are cut too.
    pub async fn rules(&self, rules: &Rules) -> Result<(), ClientError> {
        self.post("uplink/rules", rules).await
    }

    /// Ends the lab; returns when it has begun to.
    pub async fn shutdown(&self) -> Result<(), ClientError> {
        self.post("shutdown", &Value::Null).await
    }

    async fn post(&self, path: &str, body: &impl Serialize) -> Result<(), ClientError> {
        let response = self.0.post(format!("http://lab/{path}")).json(body).send().await?;
        if response.status().is_success() {
            Ok(())
        } else {
            Err(ClientError::Refused(response.text().await?))
        }
    }
}
