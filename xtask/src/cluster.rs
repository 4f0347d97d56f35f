//! Kubernetes: the gateway's engine, and clusters.
#![allow(clippy::indexing_slicing, reason = "of a JSON value: what is missing reads as null")]

use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::{
    kubectl::Kubectl,
    narrate,
    roles::{ENGINE_API, GATEWAY},
    site::{self, Bundle, Site},
    up,
};

/// How long an engine may take until its API answers and everything in it is installed.
const ENGINE_LIMIT: Duration = Duration::from_mins(2);
/// Pause between the first two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// Pause between the last two.
const LOOK_SELDOM: Duration = Duration::from_secs(3);

/// Waits until the engine of the lab answers and has what Cluster API needs.
pub async fn engine(site: &Site, bundle: &Bundle) -> Result<Kubectl> {
    let (given, own) = (site.dir.join(GATEWAY).join("admin.kubeconfig"), site.dir.join("engine.kubeconfig"));
    let address = site.forward(ENGINE_API).await?;
    let log = site.dir.join("gateway.log");
    let kubectl = Kubectl::new(&bundle.components, &own)?;
    let mut deadline = Deadline::new(ENGINE_LIMIT, "the engine");
    loop {
        // Written by the engine when it starts, with another certificate each time.
        if fs::copy(&given, &own).is_ok() {
            kubectl.run(&["config", "set-cluster", "engine", &format!("--server=https://{address}")])?;
            match ready(&kubectl) {
                Ok(()) => return Ok(kubectl),
                Err(error) => deadline.note(&error.to_string()),
            }
        } else {
            deadline.note("it has not written its kubeconfig");
        }
        deadline.pause().await.with_context(|| site::tail(&log))?;
    }
}

/// Whether the provider's webhooks answer and the gateway keeps its orders: everything else is ready then.
fn ready(engine: &Kubectl) -> Result<()> {
    engine.run(&["get", "customresourcedefinition", "siteclusters.gateway.bessemer.local"])?;
    let probe = json!({"apiVersion": "infrastructure.cluster.x-k8s.io/v1beta1", "kind": "MaasCluster",
                       "metadata": {"name": "probe", "namespace": "default"}, "spec": {"dnsDomain": "maas"}});
    engine.run_with(&["create", "--dry-run=server", "-f", "-"], Some(&probe.to_string()))?;
    let probe = json!({"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster",
                       "metadata": {"name": "probe", "namespace": "default"},
                       "spec": {"clusterNetwork": {"pods": {"cidrBlocks": ["10.244.0.0/16"]}},
                                "infrastructureRef": {"apiGroup": "infrastructure.cluster.x-k8s.io",
                                                      "kind": "MaasCluster", "name": "probe"}}});
    engine.run_with(&["create", "--dry-run=server", "-f", "-"], Some(&probe.to_string()))?;
    Ok(())
}

/// Says how an object stands, when that has changed.
fn tell(told: &mut BTreeMap<String, String>, object: &Value) {
    let line = sentence(object);
    let key = format!("{}/{}", object["kind"], object["metadata"]["name"]);
    if told.get(&key) != Some(&line) {
        narrate::say(&format!("  {line}"));
        told.insert(key, line);
    }
}

/// Kind, name, phase, and what its Ready condition says.
pub fn sentence(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let v1beta2 = &object["status"]["conditions"];
    let conditions = v1beta2.as_array().cloned().unwrap_or_default();
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready");
    let why = ready.map(|ready| {
        let words = [text(&ready["reason"]), text(&ready["message"]).replace('\n', " ")];
        words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(": ")
    });
    let phase = text(&object["status"]["phase"]);
    let parts = [phase, why.unwrap_or_default()].into_iter().filter(|part| !part.is_empty());
    format!(
        "{} {}: {}",
        text(&object["kind"]),
        text(&object["metadata"]["name"]),
        parts.collect::<Vec<_>>().join(": ")
    )
}

/// Waits until every node is Ready.
pub async fn nodes(kubectl: &Kubectl) -> Result<()> {
    let mut told = BTreeMap::new();
    let mut deadline = Deadline::new(up::LIMIT, "the nodes");
    loop {
        match kubectl.items(&["get", "nodes"]) {
            Ok(nodes) => {
                for node in &nodes {
                    tell(&mut told, node);
                }
                if nodes.len() == 2 && nodes.iter().all(is_ready) {
                    return Ok(());
                }
                deadline.note(&nodes.iter().map(sentence).collect::<Vec<_>>().join("; "));
            }
            Err(error) => deadline.note(&error.to_string()),
        }
        deadline.pause().await?;
    }
}

/// Whether an object's Ready condition is true.
pub fn is_ready(object: &Value) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|one| one["type"] == "Ready" && one["status"] == "True")
}

/// Waits until the cluster's DNS answers: what comes last of what every cluster has.
pub async fn dns(kubectl: &Kubectl) -> Result<()> {
    let mut deadline = Deadline::new(up::LIMIT, "the cluster's DNS");
    loop {
        match kubectl.json(&["get", "deployment", "coredns", "-n", "kube-system"]) {
            Ok(found) if found["status"]["readyReplicas"].as_u64().is_some_and(|ready| ready > 0) => {
                return Ok(());
            }
            Ok(found) => deadline.note(&format!("{}", found["status"]["conditions"])),
            Err(error) => deadline.note(&error.to_string()),
        }
        deadline.pause().await?;
    }
}

/// What `up` says of the cluster: its name, and each node with the UUID of its machine.
pub fn describe(kubectl: &Kubectl, name: &str) -> Result<Value> {
    let nodes: Vec<Value> = kubectl
        .items(&["get", "nodes"])?
        .iter()
        .map(|node| {
            json!({"name": node["metadata"]["name"], "ready": is_ready(node),
                   "systemUUID": node["status"]["nodeInfo"]["systemUUID"],
                   "version": node["status"]["nodeInfo"]["kubeletVersion"]})
        })
        .collect();
    Ok(json!({"name": name, "nodes": nodes}))
}

/// A wait with an end, and what was seen last.
pub struct Deadline {
    what: &'static str,
    limit: Duration,
    began: Instant,
    seen: String,
}

impl Deadline {
    /// From now on.
    pub fn new(limit: Duration, what: &'static str) -> Self {
        Self { what, limit, began: Instant::now(), seen: String::new() }
    }

    /// Keeps what was seen, for the error.
    pub fn note(&mut self, seen: &str) {
        seen.clone_into(&mut self.seen);
    }

    /// Waits a moment, a twentieth of what it has waited; an error when time is up. Each look costs an emulated
    /// machine a handshake and a list, which is time that it lacks for getting there.
    pub async fn pause(&self) -> Result<()> {
        if self.began.elapsed() > self.limit {
            bail!("{}: still not there after {:?}: {}", self.what, self.limit, self.seen);
        }
        tokio::time::sleep((self.began.elapsed() / 20).clamp(LOOK_AGAIN, LOOK_SELDOM)).await;
        Ok(())
    }
}
