//! A Kubernetes cluster on the rack, made through Cluster API's objects.
#![allow(clippy::indexing_slicing, reason = "of a JSON value: what is missing reads as null")]

use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use intent::{Intent, label};
use rack::MachineStatus;
use serde_json::{Value, json};

use crate::{
    kubectl::Kubectl,
    narrate::{self, Narrator},
    roles::{self, write_private},
    site::{self, Bundle, Site},
    up,
};

/// The cluster that `up` makes, and its namespace in the engine.
pub const NAME: &str = "demo";
/// How long an engine may take until its API answers and everything in it is installed.
const ENGINE_LIMIT: Duration = Duration::from_mins(2);
/// Pause between the first two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// Pause between the last two.
const LOOK_SELDOM: Duration = Duration::from_secs(3);

/// Makes the cluster, or goes on where an earlier call stopped.
pub async fn create(
    narrator: &mut Narrator,
    site: &Site,
    bundle: &Bundle,
    engine: &Kubectl,
) -> Result<Kubectl> {
    narrator.step("apply", || apply(site, bundle, engine, NAME))?;
    narrator.phase("machines", machines(engine, NAME)).await?;
    let ready = async {
        let kubectl = kubeconfig(site, bundle, engine, NAME).await?;
        nodes(&kubectl).await.map(|()| kubectl)
    };
    let kubectl = narrator.phase("nodes", ready).await?;
    narrator.phase("dns", dns(&kubectl)).await?;
    Ok(kubectl)
}

/// Waits until the engine of the lab answers and has what Cluster API needs.
pub async fn engine(site: &Site, bundle: &Bundle) -> Result<Kubectl> {
    let (given, own) = (site.dir.join("engine/admin.kubeconfig"), site.dir.join("engine.kubeconfig"));
    let address = site.forward(roles::ENGINE_API).await?;
    let log = site.dir.join("engine.log");
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

/// Whether the provider's webhooks answer: everything else of the engine is ready then.
fn ready(engine: &Kubectl) -> Result<()> {
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

/// Applies the objects of a cluster of one control plane and one worker.
pub fn apply(site: &Site, bundle: &Bundle, engine: &Kubectl, name: &str) -> Result<()> {
    let intent = intent(site, bundle, &uid(engine, name)?, name)?;
    let objects = intent::render(&intent)?;
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    engine.run_with(&["apply", "--server-side", "--force-conflicts", "-f", "-"], Some(&list.to_string()))?;
    Ok(())
}

/// The id of the cluster that is there, else a new one.
fn uid(engine: &Kubectl, name: &str) -> Result<String> {
    let there = engine.json(&["get", "cluster", name, "-n", name, "--ignore-not-found"])?;
    let known = there["metadata"]["labels"][label::CLUSTER_UID].as_str();
    Ok(known.map_or_else(|| secrets::random_token(12), str::to_owned))
}

fn intent(site: &Site, bundle: &Bundle, uid: &str, name: &str) -> Result<Intent> {
    let pool = |name: &str, role: &str, memory: u32| {
        json!({"name": name, "role": role, "replicas": 1, "image": bundle.node_image, "minCPU": 1,
               "minMemoryMiB": memory})
    };
    let ca = site.dir.join("engine/pki/ca.crt");
    let intent = json!({
        "schemaVersion": intent::SCHEMA,
        "uid": uid,
        "name": name,
        "namespace": name,
        "kubernetesVersion": bundle.components.kubernetes().trim_start_matches('v'),
        "endpoint": {"dnsDomain": "maas"},
        "network": {"nodes": ["10.20.0.0/24"]},
        "pools": [pool("control", "control-plane", 2048), pool("workers", "worker", 1024)],
        "layers": [{"name": "cni", "manifests": fs::read_to_string(bundle.components.manifest("cni.yaml")?)?}],
        "registry": {
            "url": format!("https://{}:{}", roles::ADDRESS, roles::REGISTRY_PORT),
            "ca": fs::read_to_string(&ca).with_context(|| format!("cannot read {}", ca.display()))?,
        },
    });
    Ok(Intent::from_json(&intent.to_string())?)
}

/// Waits until the cluster's machines are provisioned, telling how each stands.
pub async fn machines(engine: &Kubectl, name: &str) -> Result<()> {
    let mut told = BTreeMap::new();
    let mut deadline = Deadline::new(up::LIMIT, "the machines of the cluster");
    loop {
        // An API that is away for a moment comes back.
        let all = match engine.items(&["get", "machines.cluster.x-k8s.io,maasmachines", "-n", name]) {
            Ok(all) => all,
            Err(error) => {
                deadline.note(&error.to_string());
                deadline.pause().await?;
                continue;
            }
        };
        for object in &all {
            tell(&mut told, object);
        }
        let of = |kind: &str| all.iter().filter(|object| object["kind"] == kind).collect::<Vec<_>>();
        let provisioned = |machine: &&Value| {
            machine["status"]["initialization"]["infrastructureProvisioned"] == true
                && machine["status"]["nodeRef"]["name"].is_string()
        };
        let machines = of("Machine");
        if machines.len() == 2 && machines.iter().all(provisioned) {
            return Ok(());
        }
        let sentences: Vec<String> = machines.into_iter().map(sentence).collect();
        deadline.note(&sentences.join("; "));
        deadline.pause().await?;
    }
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

/// Writes the cluster's kubeconfig as it is good on this host: by the lab's forward to the control plane's machine.
async fn kubeconfig(site: &Site, bundle: &Bundle, engine: &Kubectl, name: &str) -> Result<Kubectl> {
    let file = site.dir.join(format!("{name}.kubeconfig"));
    let template = "go-template={{.data.value|base64decode}}";
    let text = engine.run(&["get", "secret", &format!("{name}-kubeconfig"), "-n", name, "-o", template])?;
    write_private(&file, &text)?;
    let kubectl = Kubectl::new(&bundle.components, &file)?;
    let view = kubectl.json(&["config", "view"])?;
    let server = view["clusters"][0]["cluster"]["server"].as_str().unwrap_or_default();
    let host = server.trim_start_matches("https://").rsplit_once(':').map_or(server, |(host, _)| host);
    let control = control_plane(site, engine, name).await?;
    let forward = site.forward(&roles::node_api(&control.name)).await?;
    let (server, host) = (format!("--server=https://{forward}"), format!("--tls-server-name={host}"));
    kubectl.run(&["config", "set-cluster", name, &server, &host])?;
    Ok(kubectl)
}

/// The lab's machine that is the cluster's first control plane.
pub async fn control_plane(site: &Site, engine: &Kubectl, name: &str) -> Result<MachineStatus> {
    let label = "cluster.x-k8s.io/control-plane";
    let machines = engine.items(&["get", "maasmachines", "-n", name, "-l", label])?;
    let id = machines.first().and_then(|machine| machine["spec"]["systemID"].as_str());
    let id = id.context("the control plane has no machine yet")?;
    let all = site.machines().await?;
    let found = all.into_iter().find(|(_, seen)| seen.as_ref().is_some_and(|seen| seen.system_id == id));
    Ok(found.with_context(|| format!("the lab has no machine {id}"))?.0)
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

/// Deletes a cluster: its `Cluster`, and when that is gone, the namespace with the rest.
pub async fn delete(engine: &Kubectl, name: &str) -> Result<()> {
    let mut told = BTreeMap::new();
    let mut deadline = Deadline::new(up::LIMIT, "the deletion of the cluster");
    loop {
        match deleted(engine, name, &mut told) {
            Ok(left) if left.is_empty() => return Ok(()),
            Ok(left) => deadline.note(&left),
            // An API that is away for a moment comes back.
            Err(error) => deadline.note(&error.to_string()),
        }
        deadline.pause().await?;
    }
}

/// Takes the next step of a deletion; what is left, empty at its end.
fn deleted(engine: &Kubectl, name: &str, told: &mut BTreeMap<String, String>) -> Result<String> {
    const KINDS: &str = "clusters.cluster.x-k8s.io,machines.cluster.x-k8s.io,maasmachines,maasclusters";
    let left = engine.items(&["get", KINDS, "-n", name])?;
    for object in &left {
        tell(told, object);
    }
    if left
        .iter()
        .any(|object| object["kind"] == "Cluster" && object["metadata"]["deletionTimestamp"].is_null())
    {
        engine.run(&["delete", "cluster", name, "-n", name, "--wait=false", "--ignore-not-found"])?;
    } else if left.is_empty() {
        engine.run(&["delete", "namespace", name, "--wait=false", "--ignore-not-found"])?;
        let namespace = engine.json(&["get", "namespace", name, "--ignore-not-found"])?;
        return Ok(if namespace.is_null() { String::new() } else { format!("namespace {name}") });
    }
    Ok(left.iter().map(sentence).collect::<Vec<_>>().join("; "))
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
