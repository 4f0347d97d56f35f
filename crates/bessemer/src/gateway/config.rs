//! The gateway's configuration file: docs/engine.md.

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use engine::{Embedded, EngineConfig, External, ProviderConfig};
use serde::Deserialize;

/// All of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Folder for everything the engine keeps.
    pub data: PathBuf,
    /// Folder of the bundle: programs, manifests, images.
    pub bundle: Option<PathBuf>,
    /// Where the engine's own Kubernetes API listens.
    #[serde(default = "listen")]
    pub listen: SocketAddr,
    /// The DNS server that the processes ask.
    pub dns: Option<IpAddr>,
    /// A Kubernetes that is there already, instead of one of its own.
    pub external: Option<Kubernetes>,
    /// The MAAS that our provider takes machines of.
    pub maas: Option<Maas>,
    /// Serves the bundle's images.
    pub registry: Option<Registry>,
}

/// A Kubernetes that is there already.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kubernetes {
    /// How to reach it.
    pub kubeconfig: PathBuf,
}

/// A MAAS.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Maas {
    /// Such as `http://10.20.0.1:5240/MAAS`.
    pub url: String,
    /// File with an API key; awaited while there is none.
    pub api_key_file: PathBuf,
    /// PEM file of certificates to trust besides the system's.
    pub ca_file: Option<PathBuf>,
}

/// A registry.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// Where it listens, by TLS: the address that nodes use, since the certificate is for it.
    pub listen: SocketAddr,
}

impl Config {
    /// Reads a file; `kubeconfig` goes before what it says of Kubernetes.
    pub fn read(path: &Path, kubeconfig: Option<PathBuf>) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut config = Self::parse(&text).with_context(|| path.display().to_string())?;
        if let Some(kubeconfig) = kubeconfig {
            config.external = Some(Kubernetes { kubeconfig });
        }
        Ok(config)
    }

    fn parse(text: &str) -> Result<Self> {
        let config: Self = toml::from_str(text)?;
        if let Some(registry) = &config.registry {
            if config.bundle.is_none() {
                bail!("[registry] serves the images of a bundle: name one");
            }
            if registry.listen.ip().is_unspecified() {
                bail!("[registry] listen: name the address that nodes use; the certificate is for it");
            }
        }
        Ok(config)
    }

    /// The engine of it.
    pub fn engine(&self, provider: Option<ProviderConfig>) -> Result<EngineConfig> {
        let (data, dns) = (self.data.clone(), self.dns);
        if let Some(Kubernetes { kubeconfig }) = &self.external {
            let kubeconfig = kubeconfig.clone();
            return Ok(EngineConfig::External(External { data, kubeconfig, dns, provider }));
        }
        let bundle =
            self.bundle.clone().context("name a bundle, or a Kubernetes' kubeconfig in [external]")?;
        Ok(EngineConfig::Embedded(Embedded { data, bundle, listen: self.listen, dns, provider }))
    }
}

fn listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 6443))
}
