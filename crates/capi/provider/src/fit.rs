//! Which machines fit, and by what the nearest of the others misses.

use capi_types::{MaasMachineSpec, core::Machine};
use maas_client::{Constraints, Machine as MaasMachine, Status};

/// What a machine has to have; empty and zero mean anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// CPU threads.
    pub cpu: u64,
    /// MiB.
    pub memory: u64,
    /// Size of its largest disk, in GB.
    pub disk: u64,
    /// All of these tags.
    pub tags: Vec<String>,
    /// Zone.
    pub zone: Option<String>,
    /// Resource pool.
    pub pool: Option<String>,
}

impl Wanted {
    /// Of an object and the Machine that owns it; the object's own zone goes first.
    pub fn of(spec: &MaasMachineSpec, owner: Option<&Machine>) -> Self {
        let zone = || owner.and_then(|owner| owner.spec.failure_domain.clone());
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let number = |number: i64| u64::try_from(number).unwrap_or_default();
        Self {
            cpu: number(spec.min_cpu),
            memory: number(spec.min_memory),
            disk: number(spec.min_disk_size.unwrap_or_default()),
            tags: spec.tags.clone().unwrap_or_default(),
            zone: given(&spec.failure_domain).or_else(zone).filter(|zone| !zone.is_empty()),
            pool: given(&spec.resource_pool),
        }
    }

    /// As MAAS's constraints; tags in one value, as every release takes them.
    pub fn constraints(&self) -> Constraints {
        let some = |number: u64| (number > 0).then_some(number);
        let disk = some(self.disk).map(|size| ("storage", format!("root:{size}")));
        Constraints {
            cpu_count: some(self.cpu),
            memory: some(self.memory),
            tags: if self.tags.is_empty() { Vec::new() } else { vec![self.tags.join(",")] },
            zone: self.zone.clone(),
            pool: self.pool.clone(),
            more: disk.into_iter().collect(),
            ..Constraints::default()
        }
    }

    /// What a machine lacks, in words; empty where it fits and is free.
    pub fn misses(&self, machine: &MaasMachine) -> Vec<String> {
        let mut all = Vec::new();
        let name = |named: &Option<maas_client::Named>| {
            named.as_ref().map(|named| named.name.clone()).unwrap_or_default()
        };
        let (zone, pool) = (name(&machine.zone), name(&machine.pool));
        if self.zone.as_ref().is_some_and(|wanted| *wanted != zone) {
            all.push(format!("is in zone '{zone}'"));
        }
        if self.pool.as_ref().is_some_and(|wanted| *wanted != pool) {
            all.push(format!("is in pool '{pool}'"));
        }
        if machine.cpu_count < self.cpu {
            all.push(format!("has {} CPUs", machine.cpu_count));
        }
        if machine.memory < self.memory {
            all.push(format!("has {} MiB of memory", machine.memory));
        }
        let largest = machine
            .physicalblockdevice_set
            .iter()
            .map(|disk| disk.size / 1_000_000_000)
            .max()
            .unwrap_or_default();
        if largest < self.disk {
            all.push(format!("has no disk larger than {largest} GB"));
        }
        let lacking: Vec<&str> =
            self.tags.iter().filter(|tag| !machine.tag_names.contains(tag)).map(String::as_str).collect();
        if !lacking.is_empty() {
            all.push(format!("lacks the tag {}", lacking.join(", ")));
        }
        if machine.status != Status::Ready {
            all.push(format!("is '{}'", machine.status_name));
        } else if machine.locked {
            all.push("is locked".to_owned());
        }
        all
    }

    /// The smallest machine that fits and is not among `failed`.
    pub fn choose<'m>(&self, machines: &'m [MaasMachine], failed: &[String]) -> Option<&'m MaasMachine> {
        machines
            .iter()
            .filter(|machine| !failed.contains(&machine.system_id) && self.misses(machine).is_empty())
            .min_by_key(|machine| (machine.cpu_count, machine.memory, &machine.system_id))
    }

    /// What is wanted and what comes nearest to it.
    pub fn unmatched(&self, machines: &[MaasMachine]) -> String {
        let nearest = machines
            .iter()
            .map(|machine| (machine, self.misses(machine)))
            .filter(|(_, misses)| !misses.is_empty())
            .min_by_key(|(machine, misses)| {
                (misses.len(), machine.status != Status::Ready, &machine.system_id)
            });
        let nearest = match nearest {
            None if machines.is_empty() => "the MAAS has no machine at all".to_owned(),
            None => "one that fits was taken by somebody else just now".to_owned(),
            Some((machine, misses)) => {
                format!(
                    "the nearest is {} ({}), which {}",
                    machine.hostname,
                    machine.system_id,
                    misses.join(" and ")
                )
            }
        };
        format!("no machine is free with {}; {nearest}", self.words())
    }

    fn words(&self) -> String {
        let mut all = Vec::new();
        if self.cpu > 0 {
            all.push(format!("{} CPUs", self.cpu));
        }
        if self.memory > 0 {
            all.push(format!("{} MiB of memory", self.memory));
        }
        if self.disk > 0 {
            all.push(format!("a disk of {} GB", self.disk));
        }
        if !self.tags.is_empty() {
            all.push(format!("the tags {}", self.tags.join(", ")));
        }
        all.extend(self.zone.as_ref().map(|zone| format!("zone '{zone}'")));
        all.extend(self.pool.as_ref().map(|pool| format!("pool '{pool}'")));
        if all.is_empty() { "no constraint at all".to_owned() } else { all.join(", ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use maas_client::{Disk, Named};

    fn machine(id: &str, cpu: u64, memory: u64, status: Status) -> MaasMachine {
        MaasMachine {
            system_id: id.to_owned(),
            hostname: format!("node-{id}"),
            cpu_count: cpu,
            memory,
            status,
            status_name: if status == Status::Ready { "Ready" } else { "Deployed" }.to_owned(),
            zone: Some(Named { name: "east".to_owned(), ..Named::default() }),
            physicalblockdevice_set: vec![Disk { size: 50_000_000_000, ..Disk::default() }],
            ..MaasMachine::default()
        }
    }

    #[test]
    fn the_nearest_miss_is_named_with_what_it_lacks() {
        let all = [
            machine("aaaaaa", 2, 2048, Status::Ready),
            machine("bbbbbb", 8, 4096, Status::Ready),
            machine("cccccc", 8, 16384, Status::Deployed),
        ];
        let wanted = Wanted { cpu: 4, memory: 8192, ..Wanted::default() };
        let text = wanted.unmatched(&all);
        assert_eq!(
            text,
            "no machine is free with 4 CPUs, 8192 MiB of memory; the nearest is node-bbbbbb (bbbbbb), which has 4096 MiB of memory"
        );
        let taken =
            Wanted { cpu: 4, memory: 8192, zone: Some("east".to_owned()), disk: 40, ..Wanted::default() };
        assert!(taken.unmatched(&all[2..]).ends_with("node-cccccc (cccccc), which is 'Deployed'"));
    }

    #[test]
    fn a_failed_machine_is_no_choice_and_the_smallest_is() {
        let all = [machine("aaaaaa", 8, 8192, Status::Ready), machine("bbbbbb", 4, 8192, Status::Ready)];
        let wanted = Wanted { cpu: 2, ..Wanted::default() };
        assert_eq!(wanted.choose(&all, &[]).unwrap().system_id, "bbbbbb");
        assert_eq!(wanted.choose(&all, &["bbbbbb".to_owned()]).unwrap().system_id, "aaaaaa");
        assert!(wanted.choose(&all, &["bbbbbb".to_owned(), "aaaaaa".to_owned()]).is_none());
    }
}
