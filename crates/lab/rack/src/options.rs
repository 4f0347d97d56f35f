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
    /// Somewhere else, such as where a plane runs; none: the site has nothing beside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cloud: Option<Cloud>,
    /// Programs that the lab runs, started in this order and started again when they end.
    pub programs: Vec<Program>,
    /// Ports on loopback that lead into site and cloud.
    pub forwards: Vec<PortForward>,
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

/// A network beside the site's, joined to it by one link.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cloud {
    /// Address of its end of the link, with the link's prefix; the site's end has the next address.
    pub subnet: Ipv4Net,
    /// What may pass.
    pub rules: Rules,
}

/// What passes between site and cloud: connections to these ports, and what answers them; nothing else.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// Ports in the cloud that the site, machines included, reaches by TCP; 53 by UDP too.
    pub to_cloud: Vec<u16>,
    /// Ports in the site, and on its machines, that the cloud reaches.
    pub to_site: Vec<u16>,
}

/// Where a program runs, or a forward leads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Beside the machines.
    #[default]
    Site,
    /// Beyond the link.
    Cloud,
}

/// A program that the lab runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// Name: as a lab's. What the program prints goes to `NAME.log` in the lab's folder.
    pub name: String,
    /// Where it runs.
    #[serde(default)]
    pub place: Place,
    /// Command line, one word each.
    pub command: Vec<String>,
}

/// A port on loopback that leads to the own address of site or cloud, or to a machine's.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortForward {
    /// Name: as a lab's.
    pub name: String,
    /// Where it leads.
    #[serde(default)]
    pub place: Place,
    /// The machine it leads to, wherever that has its address at the time; none: the site's own address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// Where something listens there.
    pub port: u16,
    /// On loopback; 0 chooses one.
    #[serde(default)]
    pub listen_port: u16,
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

impl Default for Cloud {
    fn default() -> Self {
        Self { subnet: Ipv4Net::new_assert(Ipv4Addr::new(10, 99, 0, 1), 30), rules: Rules::default() }
    }
}

impl Cloud {
    /// The site's end of the link.
    pub(crate) fn site_end(&self) -> Option<Ipv4Net> {
        let next = Ipv4Addr::from_bits(self.subnet.addr().to_bits().checked_add(1)?);
        let there = self.subnet.contains(&next) && next < self.subnet.broadcast();
        there.then(|| Ipv4Net::new(next, self.subnet.prefix_len()).ok())?
    }
}

impl Options {
    /// The own address of a place.
    pub(crate) fn address(&self, place: Place) -> Ipv4Addr {
        match (place, &self.cloud) {
            (Place::Cloud, Some(cloud)) => cloud.subnet.addr(),
            _ => self.subnet.addr(),
        }
    }
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
            cloud: None,
            programs: Vec::new(),
            forwards: Vec::new(),
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
        let machines: Vec<_> = self.machines.iter().map(|machine| &machine.name).collect();
        let programs: Vec<_> = self.programs.iter().map(|program| &program.name).collect();
        let forwards: Vec<_> = self.forwards.iter().map(|forward| &forward.name).collect();
        for (what, names) in [
            ("labs", vec![&self.name]),
            ("machines", machines),
            ("programs", programs),
            ("forwards", forwards),
        ] {
            check_names(what, &names)?;
        }
        if let Some(program) = self.programs.iter().find(|program| program.command.is_empty()) {
            return Err(RackError::Options(format!("the program `{}` has no command", program.name)));
        }
        let machine = |name: &String| self.machines.iter().any(|machine| machine.name == *name);
        if let Some(name) =
            self.forwards.iter().filter_map(|forward| forward.machine.as_ref()).find(|name| !machine(name))
        {
            return Err(RackError::Options(format!("a forward leads to `{name}`, which is no machine here")));
        }
        let places = self.programs.iter().map(|program| program.place);
        let mut places = places.chain(self.forwards.iter().map(|forward| forward.place));
        match &self.cloud {
            None if places.any(|place| place == Place::Cloud) => {
                return Err(RackError::Options("something is in the cloud, and there is no [cloud]".into()));
            }
            Some(cloud) if cloud.site_end().is_none() => {
                return Err(RackError::Options(format!("{} has no room for the site's end", cloud.subnet)));
            }
            _ => {}
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

fn check_names(what: &str, names: &[&String]) -> Result<(), RackError> {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    for (index, name) in names.iter().enumerate() {
        if name.is_empty() || name.len() > 16 || !name.bytes().all(legal) {
            return Err(RackError::Options(format!(
                "`{name}` is not a name: use 1 to 16 lower-case letters, digits and dashes"
            )));
        }
        if names.iter().skip(index + 1).any(|other| other == name) {
            return Err(RackError::Options(format!("two {what} are named `{name}`")));
        }
    }
    Ok(())
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
        let region = "[[programs]]\nname = \"region\"\ncommand = [\"bessemer\", \"region\", \"run\"]\n\
                      [[forwards]]\nname = \"region-api\"\nport = 5240\n";
        let options = Options::from_toml(region, Path::new("/l")).unwrap();
        assert_eq!((options.programs[0].name.as_str(), options.forwards[0].listen_port), ("region", 0));
        let cloud = "[cloud]\nsubnet = \"10.99.0.1/30\"\n[cloud.rules]\nto_cloud = [443]\n";
        let beyond = region.replace("port = 5240", "port = 443\nplace = \"cloud\"");
        let options = Options::from_toml(&format!("{beyond}{cloud}"), Path::new("/l")).unwrap();
        assert_eq!(options.address(Place::Cloud), Ipv4Addr::new(10, 99, 0, 1));
        assert!(Options::from_toml(&beyond, Path::new("/l")).is_err());
        assert!(Options::from_toml(&cloud.replace("/30", "/32"), Path::new("/l")).is_err());
        let nowhere = format!("{region}machine = \"node-9\"\n");
        for wrong in [nowhere, region.repeat(2), region.replace("\"bessemer\", \"region\", \"run\"", "")] {
            assert!(Options::from_toml(&wrong, Path::new("/l")).is_err());
        }
        assert!(Options::from_toml("subnet = \"10.0.0.1/26\"", Path::new("/l")).is_err());
    }
}
