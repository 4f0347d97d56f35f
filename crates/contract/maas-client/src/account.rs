//! The region itself and the key's user.

use reqwest::Method;
use serde::{Deserialize, Serialize};

use crate::{
    Client, Error, Extra,
    client::{Body, Form},
    tolerant::null_is_default,
};

/// What a region says of itself.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Version {
    /// Such as `3.7.3`.
    pub version: String,
    /// More of it.
    #[serde(deserialize_with = "null_is_default")]
    pub subversion: String,
    /// What it can do.
    #[serde(deserialize_with = "null_is_default")]
    pub capabilities: Vec<String>,
    /// The rest.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A user.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct User {
    /// Name.
    pub username: String,
    /// Address.
    #[serde(deserialize_with = "null_is_default")]
    pub email: String,
    /// May do everything.
    pub is_superuser: bool,
    /// The rest.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A public SSH key of the user's; the machines that they deploy get all of them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SshKey {
    /// Number.
    pub id: i64,
    /// In `OpenSSH`'s form.
    pub key: String,
    /// Where it was imported from.
    pub keysource: Option<String>,
    /// The rest.
    #[serde(flatten)]
    pub extra: Extra,
}

const SSH_KEYS: [&str; 3] = ["account", "prefs", "sshkeys"];

impl Client {
    /// What the region says of itself; needs no key.
    pub async fn version(&self) -> Result<Version, Error> {
        self.get(&["version"], Form::new()).await
    }

    /// Whose key this is.
    pub async fn whoami(&self) -> Result<User, Error> {
        self.get(&["users"], vec![("op", "whoami".to_owned())]).await
    }

    /// The user's public SSH keys.
    pub async fn ssh_keys(&self) -> Result<Vec<SshKey>, Error> {
        self.get(&SSH_KEYS, Form::new()).await
    }

    /// Adds a public SSH key.
    pub async fn add_ssh_key(&self, key: &str) -> Result<SshKey, Error> {
        self.post(&SSH_KEYS, None, vec![("key", key.to_owned())]).await
    }

    /// Removes a public SSH key.
    pub async fn delete_ssh_key(&self, id: i64) -> Result<(), Error> {
        let [account, prefs, keys] = SSH_KEYS;
        self.order(Method::DELETE, &[account, prefs, keys, &id.to_string()], Body::Empty).await
    }
}
