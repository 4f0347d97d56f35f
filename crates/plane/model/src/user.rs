//! Users.

use serde::{Deserialize, Serialize};
use store::Document;

use crate::{Meta, Password, Rights};

/// A person, or a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The name is the e-mail address.
    pub meta: Meta,
    /// First name.
    #[serde(default)]
    pub first_name: String,
    /// Last name.
    #[serde(default)]
    pub last_name: String,
    /// None: the user cannot sign in by password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Password>,
    /// What the user may do.
    #[serde(default)]
    pub rights: Rights,
}

impl Document for User {
    const KIND: &'static str = "user";
}
