//! What a region is told: a TOML file, unknown keys refused.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use ipnet::Ipv4Net;
use model::setup;
use secrets::Secret;
use serde::Deserialize;

/// Configuration of a region.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Folder of the database and the images; made if missing.
    pub data: PathBuf,
    /// PostgreSQL URL; without it, SQLite in the data folder.
    pub database: Option<Secret>,
    /// PEM file with the CA of PostgreSQL's certificate; without it, the system's.
    pub database_ca: Option<PathBuf>,
    /// Where the MAAS API listens.
    #[serde(default = "default_api")]
    pub api: SocketAddr,
    /// Where boot HTTP listens.
    #[serde(default = "default_boot")]
    pub boot: SocketAddr,
    /// Folder with `vmlinuz`, `initrd`, `manifest.json` and, if it is to run scripts and rescue systems,
    /// `system.squashfs` of the ephemeral system.
    pub ephemeral: PathBuf,
    /// Folder with the network boot programs that TFTP serves, such as `undionly.kpxe`.
    #[serde(default = "default_loaders")]
    pub loaders: PathBuf,
    /// Folders with disk images (`manifest.json` and the file it names) that are taken in at start.
    #[serde(default)]
    pub images: Vec<PathBuf>,
    /// File with the first user's API key; written at the first start, mode 0600.
    pub admin_key_file: PathBuf,
    /// Name servers for names that are not ours.
    #[serde(default)]
    pub forwarders: Vec<SocketAddr>,
    /// Networks of machines.
    #[serde(default, rename = "network")]
    pub networks: Vec<Network>,
    /// BMCs whose machines are recognised by their UUID.
    #[serde(default, rename = "bmc")]
    pub bmcs: Vec<Bmc>,
}

/// A network that the region serves machines on.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// The interface.
    pub interface: String,
    /// The network.
    pub cidr: Ipv4Net,
    /// The region's own address in it.
    pub address: Ipv4Addr,
    /// Default route of its machines.
    pub gateway: Option<Ipv4Addr>,
    /// First and last address for machines that are not known.
    pub dynamic: (Ipv4Addr, Ipv4Addr),
    /// First and last address of parts that are never given to machines.
    #[serde(default)]
    pub reserved: Vec<(Ipv4Addr, Ipv4Addr)>,
}

/// A BMC, or the address and credentials under which several machines are managed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bmc {
    /// URL, such as `https://10.20.0.101`.
    pub address: String,
    /// User name.
    pub user: String,
    /// Password.
    pub password: Secret,
    /// PEM file with the CA of its certificate; without it, the public ones.
    pub ca_file: Option<PathBuf>,
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
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        toml::from_str(&text)
            .map_err(|error| ConfigError::Parse { path: path.to_owned(), why: error.to_string() })
    }
}

impl Network {
    /// As the first start writes it into the store.
    pub fn setup(&self) -> setup::Network {
        setup::Network {
            cidr: self.cidr,
            address: self.address,
            gateway: self.gateway,
            dynamic_start: self.dynamic.0,
            dynamic_end: self.dynamic.1,
            reserved: self.reserved.clone(),
        }
    }
}

fn default_api() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], 5240))
}

fn default_boot() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], 5248))
}

fn default_loaders() -> PathBuf {
    PathBuf::from("/usr/lib/ipxe")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let text = "data = \"/d\"\nephemeral = \"/e\"\nadmin_key_file = \"/k\"\nephemral = \"/typo\"\n";
        let error = toml::from_str::<Config>(text).unwrap_err().to_string();
        assert!(error.contains("ephemral"), "{error}");
    }
}
