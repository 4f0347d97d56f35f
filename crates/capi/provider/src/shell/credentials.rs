//! Which MAAS a namespace's clusters are at.
//!
//! A Secret [`CREDENTIALS`] in the namespace says so; without one, it is the MAAS that the provider was started with.
//! So one provider serves clusters of several accounts, and CAPMAAS's own installation goes on as it was.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use jiff::SignedDuration;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{Api, Client};
use maas_client::Options;
use secrets::ApiKey;

use crate::Trouble;

/// Name of the Secret; its keys are `endpoint`, such as `http://10.20.0.1:5240/MAAS`, and `key`, the API key.
pub const CREDENTIALS: &str = "maas-credentials";
/// When a namespace without usable credentials is looked at again.
const AGAIN: SignedDuration = SignedDuration::from_secs(30);

/// The MAASes.
pub struct Sites {
    /// Where no Secret says otherwise.
    pub default: Option<maas_client::Client>,
    /// How they are asked.
    pub options: Options,
    /// Clients by endpoint and key: to make one costs, and they keep connections.
    pub known: Mutex<HashMap<(String, String), maas_client::Client>>,
}

impl Sites {
    /// The MAAS of a namespace, or why it cannot be asked.
    pub async fn of(
        &self,
        kube: &Client,
        namespace: &str,
    ) -> Result<Result<maas_client::Client, Trouble>, kube::Error> {
        let secret = Api::<Secret>::namespaced(kube.clone(), namespace).get_opt(CREDENTIALS).await?;
        let Some(secret) = secret else {
            return Ok(self.default.clone().ok_or_else(|| {
                trouble(format!(
                    "no MAAS is named: give the namespace a Secret {CREDENTIALS} with endpoint and key"
                ))
            }));
        };
        let data = secret.data.unwrap_or_default();
        let text = |name: &str| {
            let value =
                data.get(name).map(|ByteString(bytes)| String::from_utf8_lossy(bytes).trim().to_owned());
            value
                .filter(|value| !value.is_empty())
                .ok_or_else(|| trouble(format!("the Secret {CREDENTIALS} has no {name}")))
        };
        Ok(text("endpoint").and_then(|endpoint| self.client(endpoint, text("key")?)))
    }

    fn client(&self, endpoint: String, key: String) -> Result<maas_client::Client, Trouble> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = known.get(&(endpoint.clone(), key.clone())) {
            return Ok(client.clone());
        }
        let unusable = |error: &dyn std::fmt::Display| trouble(format!("the Secret {CREDENTIALS}: {error}"));
        let parsed: ApiKey = key.parse().map_err(|error| unusable(&error))?;
        let client =
            maas_client::Client::new(&endpoint, parsed, &self.options).map_err(|error| unusable(&error))?;
        known.insert((endpoint, key), client.clone());
        Ok(client)
    }
}

fn trouble(message: String) -> Trouble {
    Trouble::of("MaasCredentials", message, AGAIN)
}
