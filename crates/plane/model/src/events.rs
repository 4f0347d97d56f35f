//! What happened to clusters, for people: derived from what a cluster was and is, written with each change of it.

use gateway_protocol::LayerState;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use store::{Batch, Document, Store, Stored};

use crate::{Cluster, is_control_plane};

/// So many are kept of a cluster; the oldest go first.
const KEPT: usize = 200;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// A word, such as `MachineReady`.
    pub reason: String,
    /// A sentence.
    pub message: String,
    /// How bad it is.
    pub severity: Severity,
    /// Whose doing it is, as audit names them: `user:UID`, `gateway:UID`, `plane:PART`.
    pub by: String,
}

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Severity {
    /// As it should be.
    Info,
    /// Somebody should look.
    Warning,
}

/// The events of one cluster, oldest first; its id is the cluster's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Events {
    /// Them.
    pub all: Vec<Event>,
}

impl Document for Events {
    const KIND: &'static str = "events";
}

/// Adds a cluster's change to a batch, with the events that come of it.
pub fn record(
    store: &Store,
    batch: Batch,
    tenant: &str,
    (uid, before): (&str, Option<&Stored<Cluster>>),
    after: &Cluster,
    by: &str,
    now: Timestamp,
) -> Batch {
    let batch = match before {
        Some(before) => batch.update(tenant, uid, before.version, after),
        None => batch.create(tenant, uid, after),
    };
    let news = happened(before.map(|before| &before.value), after);
    if news.is_empty() {
        return batch;
    }
    let known = store.get::<Events>(tenant, uid);
    let mut events = known.as_ref().map(|known| known.value.clone()).unwrap_or_default();
    events.all.extend(news.into_iter().map(|(severity, reason, message)| Event {
        at: now,
        reason: reason.to_owned(),
        message,
        severity,
        by: by.to_owned(),
    }));
    events.all.drain(..events.all.len().saturating_sub(KEPT));
    match known {
        Some(known) => batch.update(tenant, uid, known.version, &events),
        None => batch.create(tenant, uid, &events),
    }
}

type News = (Severity, &'static str, String);

/// What people want to hear of a change.
fn happened(before: Option<&Cluster>, after: &Cluster) -> Vec<News> {
    let mut news = Vec::new();
    let mut info = |reason, message: String| news.push((Severity::Info, reason, message));
    let Some(before) = before else {
        info("Ordered", format!("cluster {} is ordered", after.meta.name));
        return news;
    };
    if before.deleted.is_none() && after.deleted.is_some() {
        info("DeletionOrdered", "its deletion is ordered".to_owned());
    } else if after.generation > before.generation {
        info("ChangeOrdered", changes(before, after));
    }
    if after.taken > before.taken {
        info("OrderTaken", format!("its gateway has order {}", after.taken));
    }
    if after.state != before.state {
        info("State", format!("it is {}", after.state.word()));
    }
    if !after.waiting.is_empty() && after.waiting != before.waiting {
        news.push((Severity::Warning, "Waiting", after.waiting.clone()));
    }
    news.extend(machines(before, after));
    news.extend(layers(before, after));
    news
}

/// What a new order changes, in words.
fn changes(before: &Cluster, after: &Cluster) -> String {
    let pools = |cluster: &Cluster| -> Vec<(String, u64)> {
        let about = |pool: &serde_json::Value| {
            let name = pool.pointer("/poolConfig/name").and_then(serde_json::Value::as_str);
            let size = pool.pointer("/poolConfig/size").and_then(serde_json::Value::as_u64);
            let role = if is_control_plane(pool) { "control plane" } else { "pool" };
            (format!("{role} {}", name.unwrap_or_default()), size.unwrap_or(0))
        };
        cluster.pools.iter().map(about).collect()
    };
    let (old, new) = (pools(before), pools(after));
    let size = |all: &[(String, u64)], name: &str| {
        all.iter().find(|(other, _)| other == name).map(|(_, size)| *size)
    };
    let mut words = Vec::new();
    for (name, now) in &new {
        match size(&old, name) {
            None => words.push(format!("{name} is added with {now} machines")),
            Some(then) if then != *now => words.push(format!("{name} goes from {then} to {now} machines")),
            Some(_) => {}
        }
    }
    let gone = old.iter().filter(|(name, _)| size(&new, name).is_none());
    words.extend(gone.map(|(name, _)| format!("{name} is taken away")));
    if words.is_empty() { "it is ordered anew".to_owned() } else { words.join(", ") }
}

fn machines(before: &Cluster, after: &Cluster) -> Vec<News> {
    let of = |cluster: &Cluster| cluster.report.clone().map(|report| report.machines).unwrap_or_default();
    let (old, new) = (of(before), of(after));
    let mut news = Vec::new();
    for machine in &new {
        let name = &machine.name;
        let was = old.iter().find(|other| other.name == *name);
        if was.is_none_or(|was| was.phase != machine.phase) && !machine.phase.is_empty() {
            news.push((Severity::Info, "MachinePhase", format!("machine {name} is {}", machine.phase)));
        }
        match (was.is_some_and(|was| was.ready), machine.ready) {
            (false, true) => {
                let node = machine.node.as_deref().unwrap_or("its node");
                news.push((Severity::Info, "MachineReady", format!("machine {name}: {node} is ready")));
            }
            (true, false) => {
                let words = format!("machine {name} is not ready any more: {}", machine.message);
                news.push((Severity::Warning, "MachineNotReady", words));
            }
            _ => {}
        }
    }
    for machine in old.iter().filter(|old| !new.iter().any(|new| new.name == old.name)) {
        news.push((Severity::Info, "MachineGone", format!("machine {} is given back", machine.name)));
    }
    news
}

fn layers(before: &Cluster, after: &Cluster) -> Vec<News> {
    let of = |cluster: &Cluster| cluster.report.clone().map(|report| report.layers).unwrap_or_default();
    let (old, new) = (of(before), of(after));
    let mut news = Vec::new();
    for layer in &new {
        let (name, was) = (&layer.name, old.iter().find(|other| other.name == layer.name));
        match (was.map(|was| was.state), layer.state) {
            (was, now) if was == Some(now) => {}
            (_, LayerState::Ready) => {
                news.push((Severity::Info, "LayerReady", format!("layer {name} is installed and works")));
            }
            (_, LayerState::Failed) => {
                news.push((Severity::Warning, "LayerFailed", format!("layer {name}: {}", layer.message)));
            }
            (Some(LayerState::Ready), _) => {
                let words = format!("layer {name} does not work any more: {}", layer.message);
                news.push((Severity::Warning, "LayerNotReady", words));
            }
            _ => {}
        }
    }
    for layer in old.iter().filter(|old| !new.iter().any(|new| new.name == old.name)) {
        if !new.is_empty() {
            news.push((Severity::Info, "LayerGone", format!("layer {} is taken away", layer.name)));
        }
    }
    news
}

#[cfg(test)]
mod tests {
    use gateway_protocol::{ClusterLayer, ClusterMachine, ClusterState, Report};
    use serde_json::json;

    use super::*;
    use crate::{State, cluster::tests::cluster};

    fn reasons(before: Option<&Cluster>, after: &Cluster) -> Vec<(&'static str, String)> {
        happened(before, after).into_iter().map(|(_, reason, message)| (reason, message)).collect()
    }

    fn machine(ready: bool) -> ClusterMachine {
        ClusterMachine {
            name: "m".into(),
            control_plane: true,
            pool: String::new(),
            phase: "Running".into(),
            ready,
            message: "its kubelet is silent".into(),
            addresses: vec![],
            node: Some("node-1".into()),
            provider_id: None,
        }
    }

    fn with(machines: Vec<ClusterMachine>) -> Cluster {
        let report = Report {
            uid: "c".into(),
            generation: 2,
            state: ClusterState::Running,
            message: String::new(),
            endpoint: None,
            machines,
            layers: vec![],
        };
        Cluster { report: Some(report), state: State::Running, ..cluster() }
    }

    #[test]
    fn layers_come_break_and_go() {
        use LayerState::{Failed, Installing, Ready, Waiting};
        let with = |state: Option<LayerState>| {
            let mut cluster = with(vec![]);
            let other = ClusterLayer { name: "cni".into(), state: LayerState::Ready, message: String::new() };
            let one = state.map(|state| ClusterLayer { name: "web".into(), state, message: "why".into() });
            cluster.report.as_mut().unwrap().layers = one.into_iter().chain([other]).collect();
            cluster
        };
        let word = |before, after| {
            let news = happened(Some(&with(before)), &with(after));
            news.first().map(|(_, reason, _)| *reason)
        };
        assert_eq!(word(None, Some(Waiting)), None);
        assert_eq!(word(Some(Waiting), Some(Installing)), None);
        assert_eq!(word(Some(Installing), Some(Ready)), Some("LayerReady"));
        assert_eq!(word(Some(Ready), Some(Installing)), Some("LayerNotReady"));
        assert_eq!(word(Some(Installing), Some(Failed)), Some("LayerFailed"));
        assert_eq!(word(Some(Ready), None), Some("LayerGone"));
    }

    #[test]
    fn a_life_in_words() {
        assert_eq!(reasons(None, &cluster())[0].0, "Ordered");
        let running = with(vec![machine(true)]);
        let words: Vec<_> =
            reasons(Some(&cluster()), &running).into_iter().map(|(reason, _)| reason).collect();
        assert_eq!(words, ["State", "MachinePhase", "MachineReady"]);
        assert!(happened(Some(&running), &running).is_empty(), "nothing happened");
        let sick = happened(Some(&running), &with(vec![machine(false)]));
        assert_eq!(sick[0].0, Severity::Warning);
        assert!(sick[0].2.contains("its kubelet is silent"));
        assert_eq!(reasons(Some(&running), &with(vec![]))[0].0, "MachineGone");
        let deleting = Cluster { generation: 3, deleted: Some(Timestamp::UNIX_EPOCH), ..running.clone() };
        assert_eq!(reasons(Some(&running), &deleting)[0].0, "DeletionOrdered");
    }

    #[test]
    fn a_change_of_pools_says_which() {
        let pool = |name: &str, size: u64| json!({"poolConfig": {"name": name, "size": size}});
        let before = Cluster { pools: vec![pool("a", 1), pool("b", 1)], ..cluster() };
        let after = Cluster { pools: vec![pool("a", 3), pool("c", 2)], generation: 3, ..cluster() };
        let words = &reasons(Some(&before), &after)[0].1;
        assert_eq!(
            words,
            "pool a goes from 1 to 3 machines, pool c is added with 2 machines, pool b is taken away"
        );
    }

    #[tokio::test]
    async fn no_more_than_so_many_are_kept() {
        let store = Store::in_memory().await;
        let first = record(
            &store,
            Batch::new("t", "t"),
            "t",
            ("c", None),
            &cluster(),
            "user:u",
            Timestamp::UNIX_EPOCH,
        );
        store.commit(first).await.unwrap();
        for generation in 3..=u64::try_from(KEPT).unwrap() + 10 {
            let before = store.get::<Cluster>("t", "c").unwrap();
            let after = Cluster { generation, ..before.value.clone() };
            let batch = record(
                &store,
                Batch::new("t", "t"),
                "t",
                ("c", Some(&before)),
                &after,
                "user:u",
                Timestamp::UNIX_EPOCH,
            );
            store.commit(batch).await.unwrap();
        }
        let events = store.get::<Events>("t", "c").unwrap();
        assert_eq!(events.value.all.len(), KEPT);
        assert!(events.value.all.iter().all(|event| event.reason == "ChangeOrdered"));
    }
}
