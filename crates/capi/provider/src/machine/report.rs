//! What is said of a machine in its object's status.

use capi_types::{Address, Initialization, MaasMachineStatus};
use jiff::Timestamp;

use super::{Host, Seen};
use crate::conditions::{self, Verdict};

/// The status of an object, given what is to be said of its deployment.
pub fn status(seen: &Seen, verdict: Option<&Verdict>, now: Timestamp) -> MaasMachineStatus {
    let mut status = seen.object.status.clone().unwrap_or_default();
    let generation = seen.object.metadata.generation;
    if let Some(host) = seen.host() {
        show(&mut status, host);
    }
    if let Some(verdict) = verdict {
        conditions::set(&mut status.conditions, "MachineDeployed", verdict, generation, now);
        // Where MAAS is silent, what was true stays true: nobody is to be replaced for that.
        if verdict.status != "Unknown" {
            status.ready = verdict.status == "True";
        }
        let provisioned = status.initialization.get_or_insert_with(Initialization::default);
        provisioned.provisioned = Some(provisioned.provisioned == Some(true) || verdict.status == "True");
    }
    let mut summed = vec!["MachineDeployed"];
    if seen.is_control_plane() {
        let attached = attached(seen, &status);
        status.dns_attached = attached.status == "True";
        conditions::set(&mut status.conditions, "DNSAttached", &attached, generation, now);
        summed.push("DNSAttached");
    }
    let ready = conditions::ready(&status.conditions, &summed);
    conditions::set(&mut status.conditions, "Ready", &ready, generation, now);
    conditions::set(&mut status.conditions, "Paused", &conditions::paused(seen.paused()), generation, now);
    status
}

/// The status of an object whose step could not be taken.
pub fn failed(seen: &Seen, trouble: &crate::Trouble, now: Timestamp) -> MaasMachineStatus {
    status(seen, Some(&trouble.verdict()), now)
}

fn show(status: &mut MaasMachineStatus, host: &Host) {
    status.hostname = Some(host.hostname.clone());
    status.machine_state = Some(host.status_name.clone());
    status.machine_powered = host.power == "on";
    let entry = |kind: &str, address: &str| Address { kind: kind.to_owned(), address: address.to_owned() };
    let mut all = Vec::new();
    if !host.hostname.is_empty() {
        all.push(entry("Hostname", &host.hostname));
    }
    if !host.fqdn.is_empty() {
        all.extend(["ExternalDNS", "InternalDNS"].map(|kind| entry(kind, &host.fqdn)));
    }
    for address in &host.addresses {
        all.extend(["ExternalIP", "InternalIP"].map(|kind| entry(kind, address)));
    }
    // A machine that is switched off for a moment has no addresses in MAAS's list; the last known ones stay.
    if !host.addresses.is_empty() || status.addresses.is_empty() {
        status.addresses = all;
    }
}

fn attached(seen: &Seen, status: &MaasMachineStatus) -> Verdict {
    let here = status.addresses.iter().any(|known| seen.dns.contains(&known.address));
    match (here, seen.object.metadata.deletion_timestamp.is_some()) {
        (true, false) => Verdict::yes("DNSAttached", ""),
        (true, true) => Verdict::no("DNSDetachPending", "its address leaves the cluster's name with it"),
        (false, _) => Verdict::no("DNSAttachPending", "its API server does not answer yet"),
    }
}
