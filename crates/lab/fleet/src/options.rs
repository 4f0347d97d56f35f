//! What a fleet is made of: a TOML file, unknown keys refused.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::error::FleetError;
use crate::vendor::Vendor;

/// A fleet.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// How many machines.
    pub machines: u32,
    /// What everything is drawn from: the same number, the same fleet.
    pub seed: u64,
    /// By how much the machines' own times (firmware, kernel, tests, erasing) are shortened; 1: not at all.
    pub compression: f64,
    /// Who built them.
    pub vendors: Vec<Vendor>,
    /// Where the admin API listens, in the network that the fleet is started in; port 0 chooses one.
    pub admin: SocketAddr,
    /// The cable to the region.
    pub network: Network,
    /// The account of every BMC.
    pub bmc: Account,
    /// How images are read.
    pub image: Image,
}

/// The cable between the network that the fleet is started in and the machines' own.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// Name of the interface that appears where the fleet is started: the region's.
    pub interface: String,
    /// The region's address on it, with the subnet's prefix.
    pub region: Ipv4Net,
    /// The fleet's own address in the subnet: its DHCP relay agent and its BMCs.
    pub fleet: Ipv4Addr,
}

/// User name and password of a BMC.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
}

/// How images are read: in parts that lie evenly over the whole, so that much is promised and little is moved.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Image {
    /// Bytes that an installation reads at most.
    pub most_bytes: u64,
    /// Bytes of one request.
    pub part_bytes: u64,
    /// Bytes a second of one machine, before compression.
    pub rate: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            machines: 100,
            seed: 1,
            compression: 20.0,
            vendors: Vendor::ALL.to_vec(),
            admin: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            network: Network::default(),
            bmc: Account { username: "admin".into(), password: "bessemer".into() },
            image: Image::default(),
        }
    }
}

impl Default for Network {
    fn default() -> Self {
        Self {
            interface: "fleet0".into(),
            region: Ipv4Net::new_assert(Ipv4Addr::new(10, 30, 0, 1), 16),
            fleet: Ipv4Addr::new(10, 30, 0, 2),
        }
    }
}

impl Default for Image {
    fn default() -> Self {
        Self { most_bytes: 1 << 20, part_bytes: 128 << 10, rate: 64 << 10 }
    }
}

impl Image {
    /// How many parts, and bytes of each.
    pub(crate) fn parts(&self) -> (u64, u64) {
        let bytes = self.part_bytes.max(1);
        ((self.most_bytes / bytes).max(1), bytes)
    }

    /// Pause after each part.
    pub(crate) fn pause(&self) -> Duration {
        let millis = self.part_bytes.saturating_mul(1000) / self.rate.max(1);
        Duration::from_millis(millis)
    }
}

impl Options {
    /// Reads a configuration file's text.
    ///
    /// # Errors
    /// [`FleetError::Options`] with what is wrong.
    pub fn from_toml(text: &str) -> Result<Self, FleetError> {
        toml::from_str(text).map_err(|error| FleetError::Options(error.to_string()))
    }

    /// # Errors
    /// [`FleetError::Options`] with what makes no sense.
    pub(crate) fn check(&self) -> Result<(), FleetError> {
        let wrong = |why: String| Err(FleetError::Options(why));
        let network = &self.network;
        if self.vendors.is_empty() {
            return wrong("somebody must have built the machines: name at least one of `vendors`".into());
        }
        if !network.region.contains(&network.fleet) || network.region.addr() == network.fleet {
            let (fleet, region) = (network.fleet, network.region);
            return wrong(format!("`network.fleet` {fleet} is no other address in the subnet of {region}"));
        }
        let room = 1u64 << (32 - u32::from(network.region.prefix_len()));
        if u64::from(self.machines) + 4 > room || self.machines >= 1 << 22 {
            return wrong(format!("{} has no room for {} machines", network.region.trunc(), self.machines));
        }
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if network.interface.is_empty()
            || network.interface.len() > 15
            || !network.interface.bytes().all(legal)
        {
            return wrong(format!(
                "`{}` is no name for an interface: use 1 to 15 letters, digits and dashes",
                network.interface
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_read_strictly() {
        let options = Options::from_toml("machines = 7\nvendors = [\"dell\"]\n[image]\nrate = 1\n").unwrap();
        options.check().unwrap();
        assert_eq!(
            (options.machines, options.vendors.as_slice(), options.image.rate),
            (7, &[Vendor::Dell][..], 1)
        );
        assert!(Options::from_toml("machine = 7").is_err());
        for wrong in [
            "vendors = []",
            "machines = 65535",
            "[network]\nfleet = \"10.31.0.2\"",
            "[network]\nfleet = \"10.30.0.1\"",
            "[network]\ninterface = \"a b\"",
        ] {
            assert!(Options::from_toml(wrong).unwrap().check().is_err(), "{wrong}");
        }
    }
}
