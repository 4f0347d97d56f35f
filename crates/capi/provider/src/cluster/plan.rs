//! The one next step of a cluster, and what is said of it.

use capi_types::{
    CLUSTER_FINALIZER, CLUSTER_UID, CUSTOM_DNS, Endpoint, FailureDomain, MaasCluster, MaasClusterStatus,
    core::{Cluster, MANAGED_BY_ANNOTATION, PAUSED_ANNOTATION},
};
use jiff::{SignedDuration, Timestamp};

use super::{Change, Look, Record, Seen, addresses, control_planes, record::Phase};
use crate::conditions::{self, Verdict};

/// How soon a cluster is looked at again while something is expected to change.
const SOON: SignedDuration = SignedDuration::from_secs(5);

/// How soon a settled one is.
const SETTLED: SignedDuration = SignedDuration::from_secs(30);

/// The one next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The object is not ours to touch, or not yet.
    Leave,
    /// Nothing to do for so long, unless something changes before.
    Wait(SignedDuration),
    /// The object is to be changed, by compare-and-swap.
    Record(Change),
    /// The name is to be made, without addresses.
    CreateName(String),
    /// The name gets these addresses.
    SetAddresses {
        /// MAAS's number of the record.
        id: i64,
        /// All of them.
        addresses: Vec<String>,
    },
    /// The name goes.
    DeleteName(i64),
    /// Nothing of ours is left: the finalizer goes.
    Finish,
}

/// A step, with what is to be said meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The step.
    pub step: Step,
    /// For the condition `LoadBalancerReady`; `None` where nothing is to be said.
    pub verdict: Option<Verdict>,
}

/// Names the next step.
pub fn plan(seen: &Seen) -> Plan {
    let quiet = |step| Plan { step, verdict: None };
    let object = &seen.object;
    if is_paused(object, seen.owner.as_ref()) || is_left_alone(object) {
        return quiet(Step::Leave);
    }
    let finalizer =
        object.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == CLUSTER_FINALIZER);
    if object.metadata.deletion_timestamp.is_some() {
        return if finalizer { deleting(seen) } else { quiet(Step::Leave) };
    }
    let Some(owner) = &seen.owner else { return quiet(Step::Leave) };
    if !finalizer || uid(object).is_none() {
        return match uid(object).or(object.metadata.uid.as_deref()) {
            Some(uid) => quiet(Step::Record(Change::Begin { uid: uid.to_owned() })),
            None => quiet(Step::Leave),
        };
    }
    let host = name(object, Some(owner));
    let wanted = Endpoint { port: port(object, owner), host };
    let is_current = object.spec.control_plane_endpoint.as_ref() == Some(&wanted);
    let yes = |words: String| Some(Verdict::yes("LoadBalancerReady", words));
    if fqdn(object, Some(owner)).is_none() {
        let verdict = yes(format!(
            "{} is not in MAAS's domain {}: its addresses are yours to set",
            wanted.host, object.spec.dns_domain
        ));
        let step = if is_current { Step::Wait(SETTLED) } else { Step::Record(Change::Endpoint(wanted)) };
        return Plan { step, verdict };
    }
    let records = match &seen.dns {
        Look::Told(records) => records,
        Look::Failed(trouble) => {
            let verdict = Some(Verdict { reason: "LoadBalancerFailed", ..trouble.in_the_dark() });
            return Plan { step: Step::Wait(trouble.retry), verdict };
        }
        Look::NotAsked => return quiet(Step::Wait(SOON)),
    };
    let record = match records.as_slice() {
        [] => {
            let verdict =
                Some(Verdict::no("WaitForDNSName", format!("{} is being made in MAAS's DNS", wanted.host)));
            return Plan { step: Step::CreateName(wanted.host), verdict };
        }
        [record] => record,
        several => {
            let words =
                format!("MAAS has {} records of the name {}: delete all but one", several.len(), wanted.host);
            return Plan {
                step: Step::Wait(SETTLED),
                verdict: Some(Verdict::no("LoadBalancerFailed", words)),
            };
        }
    };
    if !is_current {
        return quiet(Step::Record(Change::Endpoint(wanted)));
    }
    Plan { step: address(seen, record), verdict: yes(format!("{} is in MAAS's DNS", wanted.host)) }
}

fn address(seen: &Seen, record: &Record) -> Step {
    let all = control_planes(&seen.machines, &seen.answering);
    let wanted = addresses(&record.addresses, &all);
    let mut current = record.addresses.clone();
    current.sort();
    let mut sorted = wanted.clone();
    sorted.sort();
    if sorted != current {
        return Step::SetAddresses { id: record.id, addresses: wanted };
    }
    let all_answer = all.iter().all(|one| one.phase == Phase::Answering);
    Step::Wait(if all_answer { SETTLED } else { SOON })
}

fn deleting(seen: &Seen) -> Plan {
    let wait = |words: String| Plan { step: Step::Wait(SOON), verdict: Some(Verdict::no("Deleting", words)) };
    if !seen.machines.is_empty() {
        return wait(format!("{} machines are being deleted first", seen.machines.len()));
    }
    match &seen.dns {
        Look::Failed(trouble) => {
            Plan { step: Step::Wait(trouble.retry), verdict: Some(trouble.in_the_dark()) }
        }
        Look::NotAsked => Plan { step: Step::Finish, verdict: None },
        Look::Told(records) => match records.first() {
            Some(record) => Plan { step: Step::DeleteName(record.id), verdict: None },
            None => Plan { step: Step::Finish, verdict: None },
        },
    }
}

/// Whether Cluster API wants nothing to be done.
pub fn is_paused(object: &MaasCluster, owner: Option<&Cluster>) -> bool {
    owner.is_some_and(|owner| owner.spec.paused == Some(true))
        || annotation(object, PAUSED_ANNOTATION).is_some()
}

/// Whether somebody else looks after it.
pub fn is_left_alone(object: &MaasCluster) -> bool {
    annotation(object, MANAGED_BY_ANNOTATION).is_some()
}

/// The API server's name or address: as given, as it was, or made from the cluster's name and our id.
pub fn name(object: &MaasCluster, owner: Option<&Cluster>) -> String {
    let given = owner.and_then(|owner| owner.spec.control_plane_endpoint.as_ref());
    let own = object.spec.control_plane_endpoint.as_ref();
    if let Some(endpoint) = given.into_iter().chain(own).find(|endpoint| endpoint.is_set()) {
        return endpoint.host.clone();
    }
    let before = object.status.as_ref().and_then(|status| status.network.as_ref()?.dns_name.clone());
    before.filter(|name| !name.is_empty()).unwrap_or_else(|| made_name(object, owner))
}

fn made_name(object: &MaasCluster, owner: Option<&Cluster>) -> String {
    let cluster = owner.and_then(|owner| owner.metadata.name.as_deref()).or(object.metadata.name.as_deref());
    // A label of DNS has at most 63 characters.
    let label: String = cluster.unwrap_or_default().replace('.', "-").chars().take(56).collect();
    let hex: Vec<char> =
        uid(object).unwrap_or_default().chars().filter(char::is_ascii_alphanumeric).collect();
    let tail: String = hex.iter().skip(hex.len().saturating_sub(6)).collect();
    format!("{label}-{tail}.{}", object.spec.dns_domain)
}

/// The name, where it is one of MAAS's domain and so ours to look after.
pub fn fqdn(object: &MaasCluster, owner: Option<&Cluster>) -> Option<String> {
    let name = name(object, owner);
    let domain = format!(".{}", object.spec.dns_domain);
    let ours = uid(object).is_some() && annotation(object, CUSTOM_DNS).is_none() && name.ends_with(&domain);
    ours.then_some(name)
}

/// Port of the API server.
pub fn port(object: &MaasCluster, owner: &Cluster) -> i32 {
    let given = owner.spec.control_plane_endpoint.iter().chain(&object.spec.control_plane_endpoint);
    let wanted = owner.spec.cluster_network.as_ref().and_then(|network| network.api_server_port);
    given
        .map(|endpoint| endpoint.port)
        .find(|port| *port > 0)
        .or(wanted.filter(|port| *port > 0))
        .unwrap_or(6443)
}

fn uid(object: &MaasCluster) -> Option<&str> {
    annotation(object, CLUSTER_UID)
}

fn annotation<'o>(object: &'o MaasCluster, key: &str) -> Option<&'o str> {
    object.metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

/// The status of an object, given what is to be said of its name.
pub fn status(seen: &Seen, verdict: Option<&Verdict>, now: Timestamp) -> MaasClusterStatus {
    let object = &seen.object;
    let mut status = object.status.clone().unwrap_or_default();
    let generation = object.metadata.generation;
    let zones = object.spec.failure_domains.iter().flatten();
    status.failure_domains = zones
        .map(|zone| FailureDomain { name: zone.clone(), control_plane: Some(true), attributes: None })
        .collect();
    if let Some(fqdn) = fqdn(object, seen.owner.as_ref()) {
        status.network.get_or_insert_default().dns_name = Some(fqdn);
    }
    if let Look::Told(records) = &seen.dns
        && let Some(record) = records.first()
    {
        let mut addresses = record.addresses.clone();
        addresses.sort();
        status.network.get_or_insert_default().addresses = addresses;
    }
    if let Some(verdict) = verdict {
        let endpoint = object.spec.control_plane_endpoint.as_ref().is_some_and(Endpoint::is_set);
        let provisioned = status.initialization.get_or_insert_default();
        if verdict.status == "True" && endpoint {
            provisioned.provisioned = Some(true);
        }
        status.ready = provisioned.provisioned == Some(true);
        conditions::set(&mut status.conditions, "LoadBalancerReady", verdict, generation, now);
        let api = if seen.answering.is_empty() {
            Verdict::no("APIServerNotReady", "no control plane answers /readyz yet")
        } else {
            Verdict::yes("APIServerAvailable", "")
        };
        conditions::set(&mut status.conditions, "APIServerAvailable", &api, generation, now);
    }
    if object.spec.lxd_config.as_ref().is_some_and(|lxd| lxd.enabled == Some(true)) {
        let words = "machines as LXD hosts (spec.lxdConfig.enabled) are not supported: the field is ignored";
        conditions::set(
            &mut status.conditions,
            "LXDReady",
            &Verdict::no("NotSupported", words),
            generation,
            now,
        );
    }
    let ready = conditions::ready(&status.conditions, &["LoadBalancerReady", "APIServerAvailable"]);
    conditions::set(&mut status.conditions, "Ready", &ready, generation, now);
    let paused = conditions::paused(is_paused(object, seen.owner.as_ref()));
    conditions::set(&mut status.conditions, "Paused", &paused, generation, now);
    status
}
