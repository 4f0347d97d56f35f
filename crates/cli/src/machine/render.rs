//! Machines, events, results and timelines as text.

use jiff::{Timestamp, tz::TimeZone};
use maas_client::{Event, Interface, Machine, Phase, ScriptSet};

use crate::text::{between, bytes, clock, fields, span, table, unsteered};

/// Machines, one a line.
pub fn list(machines: &[Machine]) -> String {
    let rows = machines.iter().map(|machine| {
        [
            machine.hostname.clone(),
            machine.system_id.clone(),
            status(machine),
            machine.power_state.clone(),
            machine.owner.clone().unwrap_or_default(),
            image(machine),
            machine.cpu_count.to_string(),
            memory(machine),
            addresses(machine),
        ]
    });
    table(
        ["name", "id", "status", "power", "owner", "image", "cpus", "memory", "addresses"],
        rows.collect(),
        "No machine is there, or none matches; machines that boot over the region's network appear by themselves.",
    )
}

/// One machine, with its interfaces and disks.
pub fn machine(machine: &Machine) -> String {
    let head = format!("{} ({})", machine.fqdn, machine.system_id);
    let named =
        |named: &Option<maas_client::Named>| named.as_ref().map(|one| one.name.clone()).unwrap_or_default();
    let deployed = match image(machine) {
        image if image.is_empty() => status(machine),
        image => format!("{}, {image}", status(machine)),
    };
    let driver = if machine.power_type.is_empty() { "no BMC" } else { &machine.power_type };
    let facts = fields(&[
        ("status", deployed),
        ("error", machine.error_description.clone()),
        ("power", format!("{} ({driver})", machine.power_state)),
        ("owner", machine.owner.clone().unwrap_or_default()),
        ("hardware", hardware(machine)),
        ("addresses", addresses(machine)),
        ("zone", named(&machine.zone)),
        ("pool", named(&machine.pool)),
        ("tags", machine.tag_names.join(", ")),
    ]);
    let mut parts = vec![format!("{head}\n{facts}")];
    if !machine.interface_set.is_empty() {
        parts.push(interfaces(&machine.interface_set));
    }
    if !machine.physicalblockdevice_set.is_empty() {
        let rows = machine
            .physicalblockdevice_set
            .iter()
            .map(|disk| [disk.name.clone(), bytes(disk.size), disk.model.clone(), disk.serial.clone()]);
        parts.push(table(["disk", "size", "model", "serial"], rows.collect(), ""));
    }
    parts.join("\n\n")
}

/// What is said of work that goes on.
pub fn under_way(machine: &Machine) -> String {
    let name = &machine.hostname;
    if machine.status.is_under_way() {
        format!("{name} ({}): {}; follow it: bessemer why {name}", machine.system_id, machine.status_name)
    } else {
        format!("{name} ({}): {}", machine.system_id, machine.status_name)
    }
}

/// What is said of work that is done.
pub fn arrived(machine: &Machine, begun: Timestamp, now: Timestamp) -> String {
    let addresses = match addresses(machine) {
        addresses if addresses.is_empty() => String::new(),
        addresses => format!(" at {addresses}"),
    };
    let took = span(between(begun, now));
    format!("{} ({}) is {} after {took}{addresses}", machine.hostname, machine.system_id, machine.status_name)
}

/// Events, oldest first.
pub fn events(events: &[Event]) -> String {
    let rows = events.iter().rev().map(|event| {
        [event.created.clone(), event.level.clone(), event.kind.clone(), event.description.clone()]
    });
    table(["time", "level", "event", "description"], rows.collect(), "Nothing has happened to it.")
}

/// Results of scripts.
pub fn results(sets: &[ScriptSet]) -> String {
    let rows = sets.iter().flat_map(|set| {
        set.results.iter().map(|result| {
            [
                set.type_name.clone(),
                result.name.clone(),
                result.status_name.clone(),
                result.exit_status.map(|code| code.to_string()).unwrap_or_default(),
                result.runtime.clone(),
            ]
        })
    });
    table(["kind", "script", "status", "exit", "took"], rows.collect(), "Nothing has been run on it.")
}

/// What a script printed when it ran last.
pub fn log(sets: &[ScriptSet], script: &str) -> String {
    let mut runs = sets.iter().flat_map(|set| &set.results).filter(|result| result.name == script).peekable();
    if runs.peek().is_none() {
        return format!("{script} has not been run on it.");
    }
    let printed = runs.find_map(|result| result.output().filter(|output| !output.is_empty()));
    printed.map_or_else(
        || format!("{script} printed nothing."),
        |output| output.lines().map(unsteered).collect::<Vec<_>>().join("\n"),
    )
}

/// Phases, oldest first.
pub fn timeline(phases: &[Phase], now: Timestamp, zone: &TimeZone) -> String {
    let rows = phases.iter().map(|phase| {
        let took = span(between(phase.started, phase.ended.unwrap_or(now)));
        let state = match (phase.ended, phase.outcome.as_str()) {
            (None, _) => "running".to_owned(),
            (Some(_), "") => "ended".to_owned(),
            (Some(_), outcome) => outcome.to_owned(),
        };
        [phase.phase.clone(), clock(phase.started, now, zone), took, state, phase.detail.clone()]
    });
    table(["phase", "started", "took", "outcome", "detail"], rows.collect(), "Nothing has happened to it.")
}

fn status(machine: &Machine) -> String {
    let lock = if machine.locked { " (locked)" } else { "" };
    format!("{}{lock}", machine.status_name)
}

fn image(machine: &Machine) -> String {
    match (machine.osystem.as_str(), machine.distro_series.as_str()) {
        ("", series) => series.to_owned(),
        (os, "") => os.to_owned(),
        (os, series) => format!("{os}/{series}"),
    }
}

fn memory(machine: &Machine) -> String {
    bytes(machine.memory.saturating_mul(1 << 20))
}

/// What the machine says, else what its interfaces were given.
fn addresses(machine: &Machine) -> String {
    if !machine.ip_addresses.is_empty() {
        return machine.ip_addresses.join(", ");
    }
    machine.interface_set.iter().flat_map(linked).collect::<Vec<_>>().join(", ")
}

fn linked(interface: &Interface) -> Vec<String> {
    let given = interface.links.iter().filter_map(|link| link.ip_address.clone());
    given.filter(|address| !address.is_empty()).collect()
}

fn hardware(machine: &Machine) -> String {
    let known = |key: &str| {
        let text = machine.hardware_info.get(key)?.as_str()?;
        (!matches!(text, "" | "Unknown")).then(|| text.to_owned())
    };
    let cpus = if machine.cpu_count == 1 { "CPU" } else { "CPUs" };
    let mut parts =
        vec![format!("{} {cpus}", machine.cpu_count), memory(machine), machine.architecture.clone()];
    let model: Vec<String> = ["system_vendor", "system_product"].into_iter().filter_map(known).collect();
    if !model.is_empty() {
        parts.push(model.join(" "));
    }
    parts.extend(known("system_serial").map(|serial| format!("serial {serial}")));
    parts.retain(|part| !part.is_empty());
    parts.join(", ")
}

fn interfaces(interfaces: &[Interface]) -> String {
    let rows = interfaces.iter().map(|interface| {
        let vlan = interface.vlan.as_ref().map(|vlan| match vlan.vid {
            0 => vlan.fabric.clone(),
            vid => format!("{} vlan {vid}", vlan.fabric),
        });
        [
            interface.name.clone(),
            interface.kind.clone(),
            interface.mac_address.clone(),
            linked(interface).join(", "),
            vlan.unwrap_or_default(),
        ]
    });
    table(["interface", "type", "mac", "addresses", "network"], rows.collect(), "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn node() -> Machine {
        serde_json::from_value(json!({
            "system_id": "abc123", "hostname": "node-1", "fqdn": "node-1.maas", "status": 6,
            "status_name": "Deployed", "power_state": "on", "power_type": "redfish", "owner": "admin",
            "osystem": "debian", "distro_series": "bookworm", "cpu_count": 4, "memory": 8192, "locked": true,
            "architecture": "amd64/generic", "ip_addresses": ["10.20.0.11"], "tag_names": ["ssd", "lab"],
            "zone": {"name": "default"}, "pool": {"name": "default"},
            "hardware_info": {"system_vendor": "Acme", "system_product": "R1", "system_serial": "Unknown"},
            "interface_set": [{"name": "eno1", "type": "physical", "mac_address": "52:54:00:00:00:01",
                "vlan": {"vid": 0, "fabric": "fabric-0"},
                "links": [{"mode": "auto", "ip_address": "10.20.0.11"}]}],
            "physicalblockdevice_set": [{"name": "sda", "size": 8_589_934_592_u64, "model": "Fast", "serial": "S1"}],
        }))
        .unwrap()
    }

    #[test]
    fn machines_in_a_list() {
        let fresh = Machine {
            system_id: "def456".to_owned(),
            hostname: "quick-fox".to_owned(),
            status_name: "New".to_owned(),
            power_state: "off".to_owned(),
            memory: 1536,
            ..Machine::default()
        };
        assert_eq!(
            list(&[node(), fresh]),
            "\
NAME       ID      STATUS             POWER  OWNER  IMAGE            CPUS  MEMORY   ADDRESSES
node-1     abc123  Deployed (locked)  on     admin  debian/bookworm  4     8 GiB    10.20.0.11
quick-fox  def456  New                off    -      -                0     1.5 GiB  -"
        );
        assert!(list(&[]).starts_with("No machine is there"));
    }

    #[test]
    fn one_machine() {
        assert_eq!(
            machine(&node()),
            "\
node-1.maas (abc123)
  status     Deployed (locked), debian/bookworm
  power      on (redfish)
  owner      admin
  hardware   4 CPUs, 8 GiB, amd64/generic, Acme R1
  addresses  10.20.0.11
  zone       default
  pool       default
  tags       ssd, lab

INTERFACE  TYPE      MAC                ADDRESSES   NETWORK
eno1       physical  52:54:00:00:00:01  10.20.0.11  fabric-0

DISK  SIZE   MODEL  SERIAL
sda   8 GiB  Fast   S1"
        );
    }

    #[test]
    fn work_that_goes_on_and_is_done() {
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(arrived(&node(), at(0), at(92)), "node-1 (abc123) is Deployed after 1m 32s at 10.20.0.11");
        let going =
            Machine { status: maas_client::Status::Releasing, status_name: "Releasing".to_owned(), ..node() };
        assert_eq!(under_way(&going), "node-1 (abc123): Releasing; follow it: bessemer why node-1");
        assert_eq!(under_way(&node()), "node-1 (abc123): Deployed");
    }

    #[test]
    fn phases_with_their_times() {
        let phases: Vec<Phase> = serde_json::from_value(json!([
            {"phase": "Deploying", "started": "2026-11-22T10:00:00Z", "ended": "2026-11-22T10:00:04Z", "outcome": "ok"},
            {"phase": "writing", "started": "2026-11-22T10:00:04Z", "ended": null, "detail": "40 %", "outcome": "running"},
        ]))
        .unwrap();
        assert_eq!(
            timeline(&phases, "2026-11-22T10:01:00Z".parse().unwrap(), &TimeZone::UTC),
            "\
PHASE      STARTED   TOOK  OUTCOME  DETAIL
Deploying  10:00:00  4s    ok       -
writing    10:00:04  56s   running  40 %"
        );
    }

    #[test]
    fn events_and_results() {
        let happened: Vec<Event> = serde_json::from_value(json!([
            {"created": "Sun, 22 Nov. 2026 08:28:31", "level": "INFO", "type": "Deployed", "description": ""},
            {"created": "Sun, 22 Nov. 2026 08:20:00", "level": "INFO", "type": "Deploying", "description": "by admin"},
        ]))
        .unwrap();
        assert_eq!(
            events(&happened),
            "\
TIME                        LEVEL  EVENT      DESCRIPTION
Sun, 22 Nov. 2026 08:20:00  INFO   Deploying  by admin
Sun, 22 Nov. 2026 08:28:31  INFO   Deployed   -"
        );
        let sets: Vec<ScriptSet> = serde_json::from_value(json!([{"type_name": "Testing", "results": [
            {"name": "memory", "status_name": "Passed", "exit_status": 0, "runtime": "0:00:04"}]}]))
        .unwrap();
        assert_eq!(
            results(&sets),
            "KIND     SCRIPT  STATUS  EXIT  TOOK\nTesting  memory  Passed  0     0:00:04"
        );
    }
}
