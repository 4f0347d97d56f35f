//! Clusters: what a user asked for, word for word, and what the site reported.

use gateway_protocol::{ClusterState, Report};
use jiff::Timestamp;
use reconcile::Timeline;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use store::Document;

use crate::{Meta, Owner, ProfilePack};

/// A cluster's states, as Palette's clients know them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Accepted, not yet at the gateway.
    Pending,
    /// It is being made, or changed.
    Provisioning,
    /// All of it is there.
    Running,
    /// On its way out.
    Deleting,
    /// Gone; the record stays for 72 hours.
    Deleted,
}

/// A cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// Name and labels.
    pub meta: Meta,
    /// Whose.
    pub owner: Owner,
    /// The cloud account that its machines come from.
    pub account: String,
    /// The gateway that runs it.
    pub overlord: String,
    /// Its namespace at the site.
    pub namespace: String,
    /// Counts up with each change of what is wanted; orders are compared by it.
    pub generation: u64,
    /// `spec.cloudConfig` of the request, as it was sent.
    pub cloud_config: Map<String, Value>,
    /// `spec.machinepoolconfig` of the request, as later requests changed it.
    pub pools: Vec<Value>,
    /// What else `spec` had.
    pub extra: Map<String, Value>,
    /// The profiles that it is made of.
    pub profiles: Vec<ClusterProfile>,
    /// State as shown.
    pub state: State,
    /// The generation that the gateway has taken.
    #[serde(default)]
    pub taken: u64,
    /// What the gateway reported last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Report>,
    /// Why it is not at the gateway yet; may be empty.
    #[serde(default)]
    pub waiting: String,
    /// Phases.
    #[serde(default)]
    pub timeline: Timeline,
    /// When deletion was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<Timestamp>,
}

/// A profile of a cluster: its packs as they were when the cluster got them. What is published later is not the
/// cluster's before somebody says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterProfile {
    /// The profile.
    pub uid: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// `cluster`, `infra` or `add-on`.
    pub kind: String,
    /// Its packs, variables and macros resolved.
    pub packs: Vec<ProfilePack>,
}

/// Whether one of a cluster's [`pools`](Cluster::pools) is its control plane: by the flag, or by Palette's older label.
pub fn is_control_plane(pool: &Value) -> bool {
    let labels = pool.pointer("/poolConfig/labels").and_then(Value::as_array);
    pool.pointer("/poolConfig/isControlPlane") == Some(&Value::Bool(true))
        || labels.into_iter().flatten().any(|label| label == "control-plane" || label == "master")
}

impl Document for Cluster {
    const KIND: &'static str = "cluster";
}

impl Cluster {
    /// Takes a report of its gateway in; whether it changed anything. One about an older order than was taken says
    /// nothing about what is wanted now, and one that comes after the end nothing at all.
    pub fn hear(&mut self, report: Report, now: Timestamp) -> bool {
        if report.generation != self.generation
            || self.state == State::Deleted
            || self.report.as_ref() == Some(&report)
        {
            return false;
        }
        let state = match (self.deleted.is_some(), report.state) {
            (_, ClusterState::Deleted) => State::Deleted,
            (true, _) => State::Deleting,
            (false, ClusterState::Running) => State::Running,
            // A cluster that runs keeps doing so while one of its machines is replaced.
            (false, _) if self.state == State::Running => State::Running,
            (false, _) => State::Provisioning,
        };
        if state != self.state || self.timeline.open().is_none() {
            self.timeline.begin(state.word(), now);
        }
        self.timeline.note(report.message.clone());
        (self.state, self.taken) = (state, report.generation);
        self.waiting.clear();
        self.report = Some(report);
        true
    }

    /// Whether all of it is there now.
    pub fn is_healthy(&self) -> bool {
        self.state == State::Running
            && self.report.as_ref().is_some_and(|report| report.state == ClusterState::Running)
    }

    /// What it waits for, or what is wrong; may be empty.
    pub fn message(&self) -> &str {
        if self.waiting.is_empty() {
            self.report.as_ref().map_or("", |report| &report.message)
        } else {
            &self.waiting
        }
    }
}

impl State {
    /// As Palette writes it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Provisioning => "Provisioning",
            Self::Running => "Running",
            Self::Deleting => "Deleting",
            Self::Deleted => "Deleted",
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn cluster() -> Cluster {
        let now = Timestamp::UNIX_EPOCH;
        Cluster {
            meta: Meta::new("demo", now),
            owner: Owner::Tenant,
            account: "a".into(),
            overlord: "o".into(),
            namespace: "demo-1".into(),
            generation: 2,
            cloud_config: Map::new(),
            pools: vec![],
            extra: Map::new(),
            profiles: vec![],
            state: State::Pending,
            taken: 0,
            report: None,
            waiting: "the gateway is away".into(),
            timeline: Timeline::default(),
            deleted: None,
        }
    }

    fn report(generation: u64, state: ClusterState) -> Report {
        Report {
            uid: "c".into(),
            generation,
            state,
            message: "m".into(),
            endpoint: None,
            machines: vec![],
            layers: vec![],
        }
    }

    proptest! {
        /// Whatever comes in whatever order: what is deleted never seems to run again, and old news are no news.
        #[test]
        fn a_deleted_cluster_stays_so(reports in prop::collection::vec((1u64..4, 0usize..4), 1..20), deleted_at in 0usize..20) {
            let states = [ClusterState::Provisioning, ClusterState::Running, ClusterState::Deleting, ClusterState::Deleted];
            let mut cluster = cluster();
            for (number, (generation, state)) in reports.into_iter().enumerate() {
                if number == deleted_at {
                    (cluster.deleted, cluster.state) = (Some(Timestamp::UNIX_EPOCH), State::Deleting);
                    cluster.generation += 1;
                }
                let before = cluster.clone();
                let changed = cluster.hear(report(generation, states[state]), Timestamp::UNIX_EPOCH);
                prop_assert_eq!(changed, cluster != before);
                prop_assert!(generation == before.generation || !changed);
                if before.state == State::Deleted {
                    prop_assert!(!changed);
                }
                if cluster.deleted.is_some() {
                    prop_assert!(matches!(cluster.state, State::Deleting | State::Deleted));
                }
            }
        }
    }

    #[test]
    fn a_running_cluster_that_loses_a_machine_is_unhealthy_not_new() {
        let mut cluster = cluster();
        assert!(cluster.hear(report(2, ClusterState::Running), Timestamp::UNIX_EPOCH));
        assert!(cluster.is_healthy() && cluster.message() == "m");
        assert!(cluster.hear(report(2, ClusterState::Provisioning), Timestamp::UNIX_EPOCH));
        assert!(!cluster.is_healthy() && cluster.state == State::Running);
    }
}
