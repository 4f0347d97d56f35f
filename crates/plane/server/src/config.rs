//! What a plane is told: a TOML file, unknown keys refused (docs/plane.md).

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use secrets::Secret;
use serde::Deserialize;

/// Configuration of a plane.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Folder of the database; made if missing.
    pub data: PathBuf,
    /// PostgreSQL URL; without it, SQLite in the data folder.
    pub database: Option<Secret>,
    /// PEM file with the CA of PostgreSQL's certificate; without it, the system's.
    pub database_ca: Option<PathBuf>,
    /// One of several planes on one PostgreSQL: host and port at which the others reach this one's port.
    pub replica: Option<String>,
    /// The one port: HTTPS and gateways.
    #[serde(default = "listen")]
    pub listen: SocketAddr,
    /// For whom the plane is run.
    #[serde(default)]
    pub mode: Mode,
    /// Names and addresses by which clients find it: what a certificate of its own is for.
    #[serde(default = "names")]
    pub names: Vec<String>,
    /// A certificate that was given.
    pub tls: Option<Tls>,
    /// The first user.
    pub admin: Admin,
    /// Configuration file of a gateway that runs in this process: the system private gateway.
    pub system_gateway: Option<PathBuf>,
}

/// For whom a plane is run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// By who uses it.
    #[default]
    SelfHosted,
    /// For many, who reach it over the internet.
    Saas,
}

/// A certificate for HTTPS.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// PEM file: the certificate and those above it.
    pub certificate: PathBuf,
    /// PEM file: its key.
    pub key: PathBuf,
}

/// The first user.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// The tenant's name.
    pub organization: String,
    /// E-mail address.
    pub email: String,
    /// File with the password; without it, the user has the API key only.
    pub password_file: Option<PathBuf>,
    /// File with the API key; written at the first start, mode 0600, where it is not there.
    pub api_key_file: PathBuf,
}

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Two things that do not go together.
    #[error(
        "a plane for many has no system private gateway: it has no way into their sites; each site gets a private cloud gateway"
    )]
    SystemGateway,
    /// The same.
    #[error("replicas of a plane share a PostgreSQL: name it in `database`")]
    Replica,
    /// It is not what we understand.
    #[error("{}: {why}", path.display())]
    Parse {
        /// Which.
        path: PathBuf,
        /// Where and why.
        why: String,
    },
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ConfigError`]
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let config: Self = toml::from_str(&text)
            .map_err(|error| ConfigError::Parse { path: path.to_owned(), why: error.to_string() })?;
        if config.mode == Mode::Saas && config.system_gateway.is_some() {
            return Err(ConfigError::SystemGateway);
        }
        if config.replica.is_some() && config.database.is_none() {
            return Err(ConfigError::Replica);
        }
        Ok(config)
    }
}

fn listen() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], 443))
}

fn names() -> Vec<String> {
    vec!["localhost".to_owned(), "127.0.0.1".to_owned()]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of docs/plane.md.
    fn example() -> String {
        let text = include_str!("../../../../docs/plane.md");
        text.split("```toml").nth(1).unwrap().split("```").next().unwrap().to_owned()
    }

    #[test]
    fn the_documented_example_is_understood() {
        let config: Config = toml::from_str(&example()).unwrap();
        assert_eq!(config.mode, Mode::SelfHosted);
        assert_eq!(config.admin.organization, "Example");
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        for first in ["data = ", "organization = "] {
            let text = example().replacen(first, &format!("typo = 1\n{first}"), 1);
            let error = toml::from_str::<Config>(&text).unwrap_err().to_string();
            assert!(error.contains("typo"), "{error}");
        }
    }
}
