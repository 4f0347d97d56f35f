//! The gateway's configuration file: docs/engine.md.

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use engine::{Embedded, EngineConfig, External, ProviderConfig};
use secrets::Secret;
use serde::Deserialize;
use site::{Home, PlaneAddress};

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
    /// The plane that it belongs to.
    pub plane: Option<Plane>,
}

/// A plane.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plane {
    /// Such as `plane.example.com:443`.
    pub address: PlaneAddress,
    /// An HTTP proxy to try where there is no straight way: `http://user:password@proxy.example.com:3128`.
    pub proxy: Option<Secret>,
    /// File with a pairing code, by which a gateway that is not paired pairs itself; awaited while there is none,
    /// removed when it was used.
    pub pairing_code_file: Option<PathBuf>,
}

impl Plane {
    /// The ways to it.
    pub fn ways(&self) -> Result<site::Plane> {
        Ok(self.address.plane(self.proxy.as_ref())?)
    }
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

    /// The plane that it belongs to.
    pub fn plane(&self) -> Result<&Plane> {
        self.plane.as_ref().context(
            "name the plane in the gateway's configuration: [plane] address = \"plane.example.com:443\"",
        )
    }

    /// What it keeps of its plane.
    pub fn home(&self) -> Result<Home> {
        Ok(Home::open(&self.data.join("site"))?)
    }

    /// Where clusters are made, and with what; none without an engine.
    pub fn clusters(&self) -> Option<site::Engine> {
        let kubeconfig = match &self.external {
            Some(external) => external.kubeconfig.clone(),
            None => self.data.join("admin.kubeconfig"),
        };
        let bundle = self.bundle.clone()?;
        let authority = self.data.join("pki/ca.crt");
        let registry = self.registry.as_ref().map(|registry| (registry.listen, authority));
        Some(site::Engine {
            kubeconfig,
            manifests: bundle.join("manifests"),
            helm: bundle.join("bin/helm"),
            charts: self.data.join("charts"),
            registry,
            dns: self.dns,
        })
    }

    /// Whether there is an engine in it.
    pub fn has_engine(&self) -> bool {
        self.bundle.is_some() || self.external.is_some()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of docs/engine.md.
    fn example() -> String {
        let text = include_str!("../../../../docs/engine.md");
        text.split("```toml").nth(1).unwrap().split("```").next().unwrap().to_owned()
    }

    #[test]
    fn the_documented_example_is_understood() {
        let config = Config::parse(&example()).unwrap();
        assert_eq!(config.maas.as_ref().unwrap().url, "http://10.20.0.1:5240/MAAS");
        assert_eq!(config.registry.as_ref().unwrap().listen, "10.20.0.1:5000".parse().unwrap());
        let EngineConfig::Embedded(embedded) = config.engine(None).unwrap() else { panic!("not embedded") };
        assert_eq!(embedded.listen, "10.20.0.1:6443".parse().unwrap());
        assert_eq!(embedded.dns, Some("10.20.0.1".parse().unwrap()));
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        for first in ["data = ", "url = ", "listen = \"10.20.0.1:5000\""] {
            let text = example().replacen(first, &format!("typo = 1\n{first}"), 1);
            let refused = Config::parse(&text).unwrap_err().to_string();
            assert!(refused.contains("typo"), "{refused}");
        }
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let refused = |text: &str| {
            let config = Config::parse(&format!("data = \"/d\"\n{text}"));
            config.and_then(|config| config.engine(None)).unwrap_err().to_string()
        };
        assert!(refused("").contains("bundle"));
        let external = "[external]\nkubeconfig = \"/k\"\n";
        assert!(refused(&format!("{external}[registry]\nlisten = \"127.0.0.1:5000\"")).contains("bundle"));
        assert!(refused("bundle = \"/b\"\n[registry]\nlisten = \"0.0.0.0:5000\"").contains("address"));
    }

    #[test]
    fn a_kubeconfig_of_the_command_line_goes_before_the_bundle() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.toml");
        std::fs::write(&file, example()).unwrap();
        let engine = Config::read(&file, Some("/mine".into())).unwrap().engine(None).unwrap();
        let EngineConfig::External(external) = engine else { panic!("not external") };
        assert_eq!(external.kubeconfig, Path::new("/mine"));
    }
}
