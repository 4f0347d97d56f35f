//! People and their keys.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use store::Document;

/// A user; id: the name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// Number that URIs of MAAS show.
    pub number: u64,
    /// Address for people.
    pub email: String,
    /// May change what belongs to others.
    pub admin: bool,
}

impl Document for User {
    const KIND: &'static str = "user";
}

/// A user's password; id: the name. Users without one sign in by API keys only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UserPassword {
    /// What it is compared with.
    pub hash: secrets::Password,
}

impl Document for UserPassword {
    const KIND: &'static str = "user_password";
}

/// An API key `consumer:token:secret`; id: the token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApiToken {
    /// Whose key it is.
    pub user: String,
    /// For people, such as `MAAS consumer`.
    pub name: String,
    /// First part of the key.
    pub consumer: String,
    /// Last part of the key.
    pub secret: secrets::Secret,
    /// When it was made.
    pub created: Timestamp,
}

impl Document for ApiToken {
    const KIND: &'static str = "api_token";
}

/// A public SSH key; id: the number as text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SshKey {
    /// Whose it is.
    pub user: String,
    /// The line as in `authorized_keys`.
    pub key: String,
}

impl Document for SshKey {
    const KIND: &'static str = "ssh_key";
}

/// A setting of the region that differs from its default; id: MAAS's name of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// As MAAS's `get_config` answers it.
    pub value: serde_json::Value,
}

impl Document for Setting {
    const KIND: &'static str = "setting";
}

impl Setting {
    /// The value of a setting that was set.
    pub fn of(store: &store::Store, name: &str) -> Option<serde_json::Value> {
        store.get::<Self>(crate::SCOPE, name).map(|setting| setting.value.value.clone())
    }
}
