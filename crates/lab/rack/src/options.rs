//! What a lab is made of.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::RackError;

/// A lab.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Name: lower-case letters, digits and dashes, at most 16; part of the names of namespaces and groups.
    pub name: String,
    /// Folder for everything the lab keeps. Not in the file: the command line says it.
    #[serde(skip)]
    pub dir: PathBuf,
    /// Address of the site's bridge, and so of the region, with its subnet's prefix.
    pub subnet: Ipv4Net,
    /// The machines.
    pub machines: Vec<MachineOptions>,
    /// The account of every BMC.
    pub bmc: Account,
    /// A kernel that the KVM probe boots; without one, QEMU emulates.
    pub probe_kernel: Option<PathBuf>,
    /// Command line of a region that the lab runs in the site, and starts again when it dies.
    pub region: Option<Vec<String>>,
    /// Ports on loopback.
    pub ports: Ports,
    /// The program that calls [`crate::init_if_asked`]; this one unless said otherwise.
    #[serde(skip)]
    pub helper: Option<PathBuf>,
}

/// One machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineOptions {
    /// Name: as a lab's.
    pub name: String,
    /// What it is made of.
    pub kind: Kind,
    /// Memory (QEMU).
    #[serde(default = "default_memory")]
    pub memory_mib: u32,
    /// CPUs (QEMU).
    #[serde(default = "default_cpus")]
    pub cpus: u32,
    /// Size of its disk.
    #[serde(default = "default_disk")]
    pub disk_gib: u64,
    /// Loopback port for its SSH; 0 chooses one.
    #[serde(default)]
    pub ssh_port: u16,
}

/// What a machine is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Real firmware and kernel, under KVM where that works, else emulated.
    Qemu,
    /// Played firmware, this host's kernel, everything else real.
    Namespace,
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

/// Loopback ports; 0 chooses one.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ports {
    /// For the region's API (5240 in the site).
    pub region_api: u16,
    /// For its boot HTTP (5248 in the site).
    pub region_boot: u16,
}

fn default_memory() -> u32 {
    1024
}

fn default_cpus() -> u32 {
    2
}

fn default_disk() -> u64 {
    8
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: "lab".into(),
            dir: PathBuf::new(),
            subnet: Ipv4Net::new_assert(Ipv4Addr::new(10, 20, 0, 1), 24),
            machines: Vec::new(),
            bmc: Account { username: "admin".into(), password: "bessemer".into() },
            probe_kernel: None,
            region: None,
            ports: Ports::default(),
            helper: None,
        }
    }
}

impl Options {
    /// Reads a configuration file's text; `dir` becomes the lab's folder.
    ///
    /// # Errors
    /// [`RackError::Options`] with what is wrong.
    pub fn from_toml(text: &str, dir: &Path) -> Result<Self, RackError> {
        let mut options: Self =
            toml::from_str(text).map_err(|error| RackError::Options(error.to_string()))?;
        dir.clone_into(&mut options.dir);
        options.check()?;
        Ok(options)
    }

    pub(crate) fn check(&self) -> Result<(), RackError> {
        let names = || self.machines.iter().map(|machine| &machine.name);
        for name in std::iter::once(&self.name).chain(names()) {
            let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            if name.is_empty() || name.len() > 16 || !name.bytes().all(legal) {
                return Err(RackError::Options(format!(
                    "`{name}` is not a name: use 1 to 16 lower-case letters, digits and dashes"
                )));
            }
        }
        for (index, name) in names().enumerate() {
            if names().skip(index + 1).any(|other| other == name) {
                return Err(RackError::Options(format!("two machines are named `{name}`")));
            }
        }
        if !self.dir.is_absolute() {
            return Err(RackError::Options(format!("the folder {} is not absolute", self.dir.display())));
        }
        let last = u32::try_from(self.machines.len()).ok().and_then(|count| self.bmc_address(count));
        if last.is_none() {
            return Err(RackError::Options(format!(
                "{} is too small for the BMCs of {} machines, which begin at .101",
                self.subnet,
                self.machines.len()
            )));
        }
        Ok(())
    }

    /// Address of the BMC of the machine with this index.
    pub(crate) fn bmc_address(&self, index: u32) -> Option<Ipv4Addr> {
        let address =
            Ipv4Addr::from_bits(self.subnet.network().to_bits().checked_add(101)?.checked_add(index)?);
        (self.subnet.contains(&address) && address < self.subnet.broadcast()).then_some(address)
    }

    pub(crate) fn machine_dir(&self, name: &str) -> PathBuf {
        self.dir.join("machines").join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_read_strictly() {
        let text = "name = \"t\"\n[[machines]]\nname = \"node-1\"\nkind = \"namespace\"\n";
        let options = Options::from_toml(text, Path::new("/l")).unwrap();
        assert_eq!(options.machines[0].disk_gib, 8);
        assert_eq!(options.bmc_address(0), Some(Ipv4Addr::new(10, 20, 0, 101)));
        assert!(Options::from_toml(&format!("colour = 1\n{text}"), Path::new("/l")).is_err());
        assert!(Options::from_toml(text, Path::new("l")).is_err());
        let twice = format!("{text}[[machines]]\nname = \"node-1\"\nkind = \"qemu\"\n");
        assert!(
            Options::from_toml(&twice, Path::new("/l")).unwrap_err().to_string().contains("two machines")
        );
        assert!(Options::from_toml("name = \"a/b\"", Path::new("/l")).is_err());
        assert!(Options::from_toml("subnet = \"10.0.0.1/26\"", Path::new("/l")).is_err());
    }
}
