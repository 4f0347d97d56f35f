//! A machine that is wanted.

use jiff::Timestamp;
use maas_client::Status;

use super::{AT_WORK, Change, Host, IDLE, Look, Plan, SETTLE, Seen, Step, mark};
use crate::conditions::Verdict;

/// Names the next step of an object that is not being deleted.
pub fn plan(seen: &Seen, now: Timestamp) -> Plan {
    if let Some(words) = unsupported(seen) {
        return Plan::said(Step::Wait(IDLE), Verdict::no("NotSupported", words));
    }
    let (marked, named) = match &seen.maas {
        Look::Told { marked, named } => (marked.as_slice(), named.as_ref()),
        Look::Failed(trouble) => {
            return Plan::said(Step::Wait(trouble.retry), trouble.in_the_dark());
        }
    };
    if let Some(plan) = give_back(seen, marked) {
        return plan;
    }
    match seen.system_id() {
        None => take(seen, marked, now),
        Some(id) => match seen.host().filter(|host| host.is_held()) {
            Some(host) => keep(seen, host),
            None => gone(seen, id, named),
        },
    }
}

fn unsupported(seen: &Seen) -> Option<&'static str> {
    let spec = &seen.object.spec;
    if spec.lxd.as_ref().is_some_and(|lxd| lxd.enabled == Some(true)) {
        return Some("virtual machines (spec.lxd.enabled) are not supported: use machines of the MAAS");
    }
    if spec.deploy_in_memory == Some(true) {
        return Some(
            "deployment to memory (spec.deployInMemory) is not supported: images are written to a disk",
        );
    }
    spec.static_ip.as_ref().map(|_| "spec.staticIP is not supported: reserve the address in MAAS instead")
}

/// Whatever has our mark and is not the object's machine goes back: one that failed, or one too many.
fn give_back(seen: &Seen, marked: &[Host]) -> Option<Plan> {
    if let Some(id) = seen.releasing() {
        let held = marked.iter().find(|host| host.system_id == id && host.is_held());
        return Some(match held {
            Some(host) => Plan::said(
                Step::Release { system_id: id.to_owned(), failures: None },
                Verdict::no("MachineDeployFailed", format!("{} is given back, another is taken", told(host))),
            ),
            None => Plan::record(Change::released()),
        });
    }
    let mine = seen.system_id().or_else(|| best(marked).map(|host| host.system_id.as_str()))?;
    let extra = marked.iter().find(|host| host.system_id != mine && host.is_held())?;
    Some(Plan::record(Change::releasing(&extra.system_id)))
}

/// Of several machines with our mark, the one that is furthest, then the first by id.
fn best(marked: &[Host]) -> Option<&Host> {
    let rank = |host: &Host| match host.status {
        Status::Deployed => 0,
        Status::Deploying => 1,
        Status::Allocated => 2,
        _ => 3,
    };
    marked
        .iter()
        .filter(|host| host.is_held())
        .min_by(|a, b| (rank(a), &a.system_id).cmp(&(rank(b), &b.system_id)))
}

fn take(seen: &Seen, marked: &[Host], now: Timestamp) -> Plan {
    let started = |words: &str| Verdict::no("MachineDeployStartedReason", words);
    if let Some(host) = best(marked) {
        return Plan::record(Change::taken(&host.system_id));
    }
    if seen.object.spec.provider_id.is_some() {
        // Not reached: a provider id names a machine. Should it be empty, nothing is taken for it.
        return Plan::said(
            Step::Wait(IDLE),
            Verdict::no("MachineStateUndefined", "spec.providerID names no machine"),
        );
    }
    if let Some(wait) = not_yet(seen) {
        return wait;
    }
    let Some(mark) = seen.mark() else {
        return match &seen.cluster_uid {
            Some(uid) => Plan::record(Change::mark(mark(uid, &seen.object))),
            None => Plan::said(
                Step::Wait(AT_WORK),
                Verdict::no("WaitingForClusterInfrastructure", "the MaasCluster is not prepared yet"),
            ),
        };
    };
    match seen.allocating() {
        Some(since) if now.duration_since(since) < SETTLE => Plan::said(
            Step::Wait(AT_WORK),
            started(
                "the answer to an allocation was lost: it is awaited, so that no second machine is taken",
            ),
        ),
        _ => Plan::said(Step::Allocate { mark: mark.to_owned() }, started("a machine is being chosen")),
    }
}

/// What Cluster API has to do first.
fn not_yet(seen: &Seen) -> Option<Plan> {
    let wait = |reason, words: &str| Some(Plan::said(Step::Wait(IDLE), Verdict::no(reason, words)));
    let initialization =
        seen.cluster.as_ref().and_then(|cluster| cluster.status.as_ref()?.initialization.as_ref());
    if initialization.and_then(|all| all.infrastructure_provisioned) != Some(true) {
        return wait(
            "WaitingForClusterInfrastructure",
            "the cluster's infrastructure is not provisioned yet",
        );
    }
    let bootstrap = seen.owner.as_ref().and_then(|owner| owner.spec.bootstrap.as_ref());
    if bootstrap.and_then(|bootstrap| bootstrap.data_secret_name.as_ref()).is_none() {
        return wait("WaitingForBootstrapData", "the Machine has no bootstrap data yet");
    }
    None
}

fn keep(seen: &Seen, host: &Host) -> Plan {
    let id = &host.system_id;
    match host.status {
        _ if seen.was_provisioned() && host.status != Status::Deployed => Plan::said(
            Step::Wait(AT_WORK * 10),
            Verdict::no(
                "MachineTerminatedReason",
                format!(
                    "{}: it was Deployed for this node before; delete the Machine to have it replaced",
                    told(host)
                ),
            ),
        ),
        Status::Allocated => not_yet(seen).unwrap_or_else(|| {
            Plan::said(
                Step::Deploy { system_id: id.clone(), mark: seen.mark().map(str::to_owned) },
                Verdict::no("MachineDeploying", format!("{} is allocated; the image is next", host.hostname)),
            )
        }),
        Status::Deploying => Plan::said(
            Step::Wait(AT_WORK),
            Verdict::no("MachineDeploying", format!("{} is deploying", host.hostname)),
        ),
        Status::Deployed => deployed(seen, host),
        status if status.is_failed() && seen.object.spec.provider_id.is_none() => {
            Plan::record(Change::failed(id, &seen.failed_machines()))
        }
        status if status.is_failed() => Plan::said(
            Step::Wait(AT_WORK * 10),
            Verdict::no(
                "MachineDeployFailed",
                format!("{}; delete the Machine to have it replaced", told(host)),
            ),
        ),
        _ => Plan::said(
            Step::Wait(AT_WORK),
            Verdict::unknown(
                "MachineStateUndefined",
                format!("{}: waiting for it to be Deployed", told(host)),
            ),
        ),
    }
}

fn deployed(seen: &Seen, host: &Host) -> Plan {
    let Some(provider_id) = &seen.object.spec.provider_id else {
        let provider_id = format!("maas:///{}/{}", host.zone, host.system_id);
        return Plan::record(Change::provider_id(&provider_id, &host.zone));
    };
    let verdict =
        Verdict::yes("MachineDeployed", format!("{} ({}) is deployed", host.hostname, host.system_id));
    let node = seen.owner.as_ref().and_then(|owner| owner.status.as_ref()?.node_ref.as_ref());
    let step = match node {
        Some(_) => Step::Wait(IDLE),
        None => Step::NameNode { hostname: host.hostname.clone(), provider_id: provider_id.clone() },
    };
    Plan::said(step, verdict)
}

/// The machine is not the object's any more: released by hand, or never allocated for good.
fn gone(seen: &Seen, id: &str, named: Option<&Host>) -> Plan {
    if seen.object.spec.provider_id.is_none() {
        return Plan::record(Change::lost());
    }
    let words = named.map_or_else(|| format!("MAAS has no machine {id}"), told);
    Plan::said(
        Step::Wait(AT_WORK * 10),
        Verdict::no(
            "MachineTerminatedReason",
            format!(
                "{words}: it does not belong to this node any more; delete the Machine to have it replaced"
            ),
        ),
    )
}

/// A machine with its state, and why.
pub fn told(host: &Host) -> String {
    let words = if host.words.is_empty() { String::new() } else { format!(" ({})", host.words) };
    format!("{} ({}) is '{}'{words}", host.hostname, host.system_id, host.status_name)
}
