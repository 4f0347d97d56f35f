//! Which machines are meant: the filters of lists and the constraints of allocation, in one grammar.

use std::collections::HashSet;

use lifecycle::Status;
use model::{Device, Domain, Fabric, Machine, Pool, SCOPE, Space, Subnet, Tag, Vlan, Zone};
use store::{Store, Stored};

use api_call::{ApiError, Faults, Params, mac};

/// A test that a machine passes or not.
type Test = Box<dyn Fn(&str, &Machine) -> bool + Send + Sync>;

/// What a caller asked for, checked.
#[derive(Default)]
pub struct Filter {
    tests: Vec<Test>,
    /// Each constraint as it was understood, such as `mem=2048.0`.
    pub resolved: Vec<String>,
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Filter").field("resolved", &self.resolved).finish_non_exhaustive()
    }
}

/// Architectures that MAAS knows.
const ARCHITECTURES: [&str; 6] = ["amd64", "arm64", "armhf", "i386", "ppc64el", "s390x"];
/// Constraints of MAAS that are not here yet: better refused than taken and not kept.
const UNSUPPORTED: [&str; 6] =
    ["interfaces", "devices", "fabric_classes", "not_fabric_classes", "vlans", "not_vlans"];

impl Filter {
    /// Reads a filter; parameters in `other` are not for it.
    ///
    /// # Errors
    /// [`ApiError::Fields`] in MAAS's words; [`ApiError::NotImplemented`].
    pub fn parse(params: &Params, other: &[&str], store: &Store) -> Result<Self, ApiError> {
        let mut reader = Reader { store, filter: Self::default(), faults: Faults::default() };
        for name in params.names().into_iter().filter(|name| !other.contains(name)) {
            if UNSUPPORTED.contains(&name) {
                return Err(ApiError::NotImplemented(format!(
                    "The constraint '{name}' is not supported yet."
                )));
            }
            reader.read(name, &params.all(name));
        }
        reader.faults.check()?;
        Ok(reader.filter)
    }

    /// Whether a machine is meant.
    pub fn takes(&self, machine: &Stored<Machine>) -> bool {
        self.tests.iter().all(|test| test(&machine.id, &machine.value))
    }

    /// Whether a device is meant: what only machines have is as with a new one.
    pub fn takes_device(&self, device: &Stored<Device>) -> bool {
        let mut likeness = Machine::new(device.value.hostname.clone(), device.value.created);
        likeness.domain = device.value.domain;
        likeness.zone.clone_from(&device.value.zone);
        likeness.owner.clone_from(&device.value.owner);
        likeness.tags.clone_from(&device.value.tags);
        likeness.nics.clone_from(&device.value.nics);
        self.tests.iter().all(|test| test(&device.id, &likeness))
    }
}

struct Reader<'s> {
    store: &'s Store,
    filter: Filter,
    faults: Faults,
}

impl Reader<'_> {
    fn read(&mut self, name: &str, values: &[&str]) {
        let base = name.strip_prefix("not_in_").or_else(|| name.strip_prefix("not_")).unwrap_or(name);
        let wanted = base == name;
        let sent: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        match base {
            "hostname" => self.any(name, wanted, sent, |_, m, v| m.hostname == *v),
            "id" | "system_id" => self.any(name, wanted, sent, |id, _, v| id == v),
            "agent_name" => self.any(name, wanted, sent, |_, m, v| m.agent_name == *v),
            "owner" => self.any(name, wanted, sent, |_, m, v| m.owner.as_ref() == Some(v)),
            "power_state" => self.any(name, wanted, sent, |_, m, v| m.power_state == *v),
            "pod" | "pod_type" => self.any(name, wanted, sent, |_, _, _| false),
            "name" if wanted => self.name(sent),
            "mac_address" if wanted => self.mac(&sent),
            "domain" => self.domain(name, wanted, &sent),
            "zone" => self.zone(name, wanted, sent),
            "pool" => self.pool(name, wanted, &sent),
            "tags" => self.tags(name, wanted, &words(values)),
            "arch" => self.arch(name, wanted, &words(values)),
            "status" => self.status(name, wanted, &sent),
            "simple_status" => self.simple_status(name, wanted, sent),
            "cpu_count" if wanted => {
                self.at_least(name, &sent, "Invalid CPU count: number required.", |m| f64::from(m.cpu_count));
            }
            "cpu_speed" if wanted => {
                self.at_least(name, &sent, "Invalid CPU speed: number required.", |m| f64::from(m.cpu_speed));
            }
            #[allow(clippy::cast_precision_loss, reason = "MiB fit")]
            "mem" if wanted => {
                self.at_least(name, &sent, "Invalid memory: number of MiB required.", |m| m.memory as f64);
            }
            "link_speed" if wanted => {
                self.at_least(name, &sent, "Invalid link speed: number required.", |m| {
                    m.nics.iter().map(|nic| f64::from(nic.link_speed)).fold(0.0, f64::max)
                });
            }
            "subnets" => self.subnets(name, wanted, &words(values)),
            "fabrics" => self.fabrics(name, wanted, &words(values)),
            "storage" if wanted => self.storage(&sent),
            _ => self.faults.add(name, "No such constraint."),
        }
    }

    fn test(&mut self, test: impl Fn(&str, &Machine) -> bool + Send + Sync + 'static) {
        self.filter.tests.push(Box::new(test));
    }

    /// The machine matches one of `values` (or, if not `wanted`, none).
    fn any(
        &mut self,
        name: &str,
        wanted: bool,
        values: Vec<String>,
        matches: impl Fn(&str, &Machine, &String) -> bool + Send + Sync + 'static,
    ) {
        self.filter.resolved.push(format!("{name}={}", values.join(",")));
        self.test(move |id, machine| values.iter().any(|value| matches(id, machine, value)) == wanted);
    }

    fn name(&mut self, sent: Vec<String>) {
        let domains: std::collections::HashMap<u64, String> = self
            .store
            .list::<Domain>(SCOPE)
            .iter()
            .map(|domain| (domain.value.number, domain.value.name.clone()))
            .collect();
        self.any("name", true, sent, move |_, machine, value| {
            machine.hostname == *value
                || domains.get(&machine.domain).is_some_and(|domain| {
                    value.strip_prefix(&machine.hostname).and_then(|rest| rest.strip_prefix('.'))
                        == Some(domain)
                })
        });
    }

    fn mac(&mut self, sent: &[String]) {
        let macs: Vec<Option<String>> = sent.iter().map(|text| mac(text)).collect();
        for (text, _) in sent.iter().zip(&macs).filter(|(_, mac)| mac.is_none()) {
            self.faults.add("mac_address", format!("'{text}' is not a valid MAC address."));
        }
        let macs = macs.into_iter().flatten().collect();
        self.any("mac_address", true, macs, |_, m, v| m.nics.iter().any(|nic| nic.mac == *v));
    }

    fn domain(&mut self, name: &str, wanted: bool, sent: &[String]) {
        let all = self.store.list::<Domain>(SCOPE);
        let numbers: HashSet<u64> = all
            .iter()
            .filter(|domain| sent.iter().any(|one| *one == domain.value.name || *one == domain.id))
            .map(|domain| domain.value.number)
            .collect();
        let unknown = |one: &&String| !all.iter().any(|d| **one == d.value.name || **one == d.id);
        self.unknown(name, "domain(s)", sent.iter().filter(unknown).cloned().collect(), false);
        self.filter.resolved.push(format!("{name}={}", sent.join(",")));
        self.test(move |_, machine| numbers.contains(&machine.domain) == wanted);
    }

    fn zone(&mut self, name: &str, wanted: bool, sent: Vec<String>) {
        let store = self.store;
        let unknown = |one: &&String| store.get::<Zone>(SCOPE, one).is_none();
        self.unknown(name, "zone(s)", sent.iter().filter(unknown).cloned().collect(), false);
        self.any(name, wanted, sent, |_, machine, value| machine.zone == *value);
    }

    fn pool(&mut self, name: &str, wanted: bool, sent: &[String]) {
        let all = self.store.list::<Pool>(SCOPE);
        let unknown = |one: &&String| !all.iter().any(|pool| pool.value.name == **one);
        self.unknown(name, "pool(s)", sent.iter().filter(unknown).cloned().collect(), false);
        let numbers: HashSet<u64> =
            all.iter().filter(|pool| sent.contains(&pool.value.name)).map(|pool| pool.value.number).collect();
        self.filter.resolved.push(format!("{name}={}", sent.join(",")));
        self.test(move |_, machine| numbers.contains(&machine.pool) == wanted);
    }

    /// Wanted: all of the tags; not wanted: none of them.
    fn tags(&mut self, name: &str, wanted: bool, sent: &[String]) {
        let used = self.store.list::<Machine>(SCOPE);
        let unknown = |tag: &&String| {
            self.store.get::<Tag>(SCOPE, tag).is_none() && !used.iter().any(|m| m.value.tags.contains(*tag))
        };
        let unknown = sent.iter().filter(unknown).cloned().collect();
        self.unknown(name, "tag(s)", unknown, true);
        self.filter.resolved.push(format!("{name}={}", sent.join(",")));
        let sent = sent.to_vec();
        self.test(move |_, machine| {
            if wanted {
                sent.iter().all(|tag| machine.tags.contains(tag))
            } else {
                !sent.iter().any(|tag| machine.tags.contains(tag))
            }
        });
    }

    fn arch(&mut self, name: &str, wanted: bool, sent: &[String]) {
        let known = |arch: &String| ARCHITECTURES.contains(&arch.split('/').next().unwrap_or_default());
        if !sent.iter().all(known) {
            self.faults.add(name, "Architecture not recognised.");
        }
        self.any(name, wanted, sent.to_vec(), |_, machine, value| {
            machine.architecture == *value
                || machine.architecture.strip_prefix(value.as_str()).is_some_and(|rest| rest.starts_with('/'))
        });
    }

    fn status(&mut self, name: &str, wanted: bool, sent: &[String]) {
        let mut statuses = HashSet::new();
        for text in sent {
            match Status::from_word(text) {
                Some(status) => drop(statuses.insert(status)),
                None => self
                    .faults
                    .add(name, format!("Select a valid choice. {text} is not one of the available choices.")),
            }
        }
        self.filter.resolved.push(format!("{name}={}", sent.join(",")));
        self.test(move |_, machine| statuses.contains(&machine.status) == wanted);
    }

    fn simple_status(&mut self, name: &str, wanted: bool, sent: Vec<String>) {
        for text in sent.iter().filter(|text| !SIMPLE.contains(&text.as_str())) {
            self.faults
                .add(name, format!("Select a valid choice. {text} is not one of the available choices."));
        }
        self.any(name, wanted, sent, |_, machine, value| simple(machine.status) == value);
    }

    fn at_least(
        &mut self,
        name: &str,
        sent: &[String],
        fault: &str,
        has: impl Fn(&Machine) -> f64 + Send + Sync + 'static,
    ) {
        match sent.last().map_or(Ok(0.0), |text| text.trim().parse::<f64>()) {
            Ok(least) if least.is_finite() => {
                self.filter.resolved.push(format!("{name}={least:?}"));
                self.test(move |_, machine| has(machine) >= least);
            }
            _ => self.faults.add(name, fault),
        }
    }

    fn subnets(&mut self, name: &str, wanted: bool, sent: &[String]) {
        let all = self.store.list::<Subnet>(SCOPE);
        let vlans = self.store.list::<Vlan>(SCOPE);
        let spaces = self.store.list::<Space>(SCOPE);
        let in_space = |subnet: &Subnet, space: &str| {
            let number =
                vlans.iter().find(|vlan| vlan.value.number == subnet.vlan).and_then(|vlan| vlan.value.space);
            spaces
                .iter()
                .any(|one| Some(one.value.number) == number && (one.value.name == space || one.id == space))
        };
        let means = |spec: &str, id: &str, subnet: &Subnet| match spec.split_once(':') {
            Some(("cidr", cidr)) => subnet.cidr.to_string() == cidr,
            Some(("name", name)) => subnet.name == name,
            Some(("id", number)) => id == number,
            Some(("vlan", vlan)) => subnet.vlan.to_string() == vlan,
            Some(("space", space)) => in_space(subnet, space),
            _ => id == spec || subnet.name == spec || subnet.cidr.to_string() == spec,
        };
        let numbers: HashSet<u64> = all
            .iter()
            .filter(|subnet| sent.iter().any(|spec| means(spec, &subnet.id, &subnet.value)))
            .map(|subnet| subnet.value.number)
            .collect();
        if numbers.is_empty() {
            self.faults.add(name, "No matching subnets found.");
        }
        let vlans: HashSet<u64> = all
            .iter()
            .filter(|subnet| numbers.contains(&subnet.value.number))
            .map(|subnet| subnet.value.vlan)
            .collect();
        self.filter.resolved.push(format!("{name}={}", sent.join(",")));
        self.test(move |_, machine| {
            machine.nics.iter().any(|nic| {
                let linked = nic.links.iter().any(|link| link.subnet.is_some_and(|n| numbers.contains(&n)));
                linked || nic.vlan.is_some_and(|vlan| vlans.contains(&vlan))
            }) == wanted
        });
    }

    fn fabrics(&mut self, name: &str, wanted: bool, sent: &[String]) {
        let numbers: HashSet<u64> = self
            .store
            .list::<Fabric>(SCOPE)
            .iter()
            .filter(|fabric| sent.iter().any(|spec| *spec == fabric.value.name || *spec == fabric.id))
            .map(|fabric| fabric.value.number)
            .collect();
        let vlans: HashSet<u64> = self
            .store
            .list::<Vlan>(SCOPE)
            .iter()
            .filter(|vlan| numbers.contains(&vlan.value.fabric))
            .map(|vlan| vlan.value.number)
            .collect();
        self.filter.resolved.push(format!("{name}={}", sent.join(",")));
        self.test(move |_, machine| {
            machine.nics.iter().any(|nic| nic.vlan.is_some_and(|vlan| vlans.contains(&vlan))) == wanted
        });
    }

    fn storage(&mut self, sent: &[String]) {
        let text = sent.last().map(String::as_str).unwrap_or_default();
        match super::storage::parse(text) {
            Some(wanted) => {
                self.filter.resolved.push(format!("storage={text}"));
                self.test(move |_, machine| super::storage::fit(&wanted, machine).is_some());
            }
            None => self.faults.add("storage", format!("Malformed storage constraint, \"{text}\".")),
        }
    }

    fn unknown(&mut self, name: &str, what: &str, unknown: Vec<String>, quoted: bool) {
        if !unknown.is_empty() {
            let list: Vec<String> =
                unknown.into_iter().map(|one| if quoted { format!("'{one}'") } else { one }).collect();
            self.faults.add(name, format!("No such {what}: {}.", list.join(", ")));
        }
    }
}

/// Values split at commas and blanks.
fn words(values: &[&str]) -> Vec<String> {
    values
        .iter()
        .flat_map(|value| value.split([',', ' ']))
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

const SIMPLE: [&str; 12] = [
    "allocated",
    "broken",
    "commissioning",
    "deployed",
    "deploying",
    "failed",
    "new",
    "other",
    "ready",
    "releasing",
    "rescue_mode",
    "testing",
];

fn simple(status: Status) -> &'static str {
    match status {
        Status::Allocated => "allocated",
        Status::Broken => "broken",
        Status::Commissioning => "commissioning",
        Status::Deployed => "deployed",
        Status::Deploying => "deploying",
        Status::New => "new",
        Status::Ready => "ready",
        Status::Releasing | Status::DiskErasing => "releasing",
        Status::RescueMode | Status::EnteringRescueMode | Status::ExitingRescueMode => "rescue_mode",
        Status::Testing => "testing",
        Status::Missing | Status::Reserved | Status::Retired => "other",
        _ => "failed",
    }
}
