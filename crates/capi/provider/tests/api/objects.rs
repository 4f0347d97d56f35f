//! The objects of a cluster, as Cluster API's controllers would make them.

use std::time::Duration;

use kube::{
    Api, Client,
    api::{ApiResource, DeleteParams, Patch, PatchParams, PostParams},
    core::{DynamicObject, GroupVersionKind},
};
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    maas::Maas,
    server::{Server, until},
};

pub const CORE: &str = "cluster.x-k8s.io/v1beta2";
pub const OURS: &str = "infrastructure.cluster.x-k8s.io/v1beta1";

/// A kind's API, in the tests' namespace where it has any.
pub fn api(client: &Client, version: &str, kind: &str) -> Api<DynamicObject> {
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    match kind {
        "Node" => Api::all_with(client.clone(), &resource),
        _ => Api::namespaced_with(client.clone(), "n", &resource),
    }
}

/// The provider, in this process.
pub struct Provider {
    stop: watch::Sender<bool>,
    pub task: JoinHandle<Result<(), provider::RunError>>,
}

impl Provider {
    pub fn start(server: &Server, maas: &Maas) -> Self {
        Self::start_with(Self::options(server, maas))
    }

    pub fn options(server: &Server, maas: &Maas) -> provider::Options {
        provider::Options {
            kube: server.provider(),
            maas: Some(maas.client()),
            maas_options: maas_client::Options::default(),
            namespace: None,
            webhooks: None,
            health: None,
        }
    }

    pub fn start_with(options: provider::Options) -> Self {
        let (stop, stopped) = watch::channel(false);
        Self { stop, task: tokio::spawn(provider::run(options, stopped)) }
    }

    pub async fn stop(self) {
        self.stop.send(true).unwrap();
        self.task.await.unwrap().unwrap();
    }

    /// Wherever it is just now.
    pub async fn die(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

/// A server, a MAAS and a cluster `c` whose infrastructure is there.
pub struct World {
    pub server: Server,
    pub maas: Maas,
}

impl World {
    pub async fn start(machines: usize) -> Option<Self> {
        let server = Server::start().await?;
        Some(Self { server, maas: Maas::start(machines).await })
    }

    pub fn api(&self, version: &str, kind: &str) -> Api<DynamicObject> {
        api(&self.server.admin, version, kind)
    }

    pub async fn create(&self, object: Value) -> Value {
        let version = object["apiVersion"].as_str().unwrap();
        let api = self.api(version, object["kind"].as_str().unwrap());
        let object = serde_json::from_value(object.clone()).unwrap();
        serde_json::to_value(api.create(&PostParams::default(), &object).await.unwrap()).unwrap()
    }

    pub async fn get(&self, version: &str, kind: &str, name: &str) -> Option<Value> {
        let found = self.api(version, kind).get_opt(name).await.unwrap()?;
        Some(serde_json::to_value(found).unwrap())
    }

    pub async fn delete(&self, kind: &str, name: &str) {
        self.api(OURS, kind).delete(name, &DeleteParams::default()).await.unwrap();
    }

    pub async fn status(&self, version: &str, kind: &str, name: &str, status: Value) {
        let patch = Patch::Merge(json!({ "status": status }));
        self.api(version, kind).patch_status(name, &PatchParams::default(), &patch).await.unwrap();
    }

    /// The `MaasMachine` once it is as wished.
    pub async fn machine(&self, name: &str, what: &str, wished: impl Fn(&Value) -> bool) -> Value {
        until(what, async || self.get(OURS, "MaasMachine", name).await.filter(&wished)).await
    }

    /// The `MaasMachine` once `MachineDeployed` has this reason.
    pub async fn reason(&self, name: &str, reason: &str) -> Value {
        self.machine(name, reason, |object| {
            crate::server::conditions(object)
                .iter()
                .any(|(kind, _, found)| kind == "MachineDeployed" && found == reason)
        })
        .await
    }

    /// As [`World::reason`], however long that takes.
    pub async fn reason_within(&self, name: &str, reason: &str, patience: Duration) -> Value {
        let give_up = std::time::Instant::now() + patience;
        loop {
            let found = tokio::time::timeout(Duration::from_secs(50), self.reason(name, reason)).await;
            match found {
                Ok(found) => return found,
                Err(_) => assert!(std::time::Instant::now() < give_up, "waited in vain for {reason}"),
            }
        }
    }

    pub async fn gone(&self, kind: &str, name: &str) {
        until("it is gone", async || self.get(OURS, kind, name).await.is_none().then_some(())).await;
    }

    /// Cluster and `MaasCluster`, with the answer that Cluster API gives once the infrastructure is there.
    pub async fn cluster(&self) {
        let cluster = self
            .create(json!({ "apiVersion": CORE, "kind": "Cluster", "metadata": { "name": "c" }, "spec": {
                "clusterNetwork": { "apiServerPort": self.server.port },
                "infrastructureRef": { "apiGroup": "infrastructure.cluster.x-k8s.io", "kind": "MaasCluster", "name": "c" },
            } }))
            .await;
        let kubeconfig = self.server.kubeconfig();
        assert!(crate::server::readable(&kubeconfig).await);
        self.create(json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "c-kubeconfig" },
            "stringData": { "value": kubeconfig } }))
            .await;
        self.create(json!({ "apiVersion": OURS, "kind": "MaasCluster",
            "metadata": { "name": "c", "labels": { "cluster.x-k8s.io/cluster-name": "c" }, "ownerReferences": [owner(&cluster)] },
            "spec": { "dnsDomain": "lab.example", "failureDomains": ["default"] } }))
        .await;
    }

    pub async fn infrastructure_is_there(&self) {
        until("the cluster's infrastructure is provisioned", async || {
            let found = self.get(OURS, "MaasCluster", "c").await?;
            (found["status"]["initialization"]["provisioned"] == true).then_some(())
        })
        .await;
        self.status(CORE, "Cluster", "c", json!({ "initialization": { "infrastructureProvisioned": true } }))
            .await;
    }

    /// Machine, bootstrap Secret and `MaasMachine`.
    pub async fn machine_of(&self, name: &str, labels: Value, spec: Value) {
        self.create(
            json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": format!("{name}-data") },
            "stringData": { "value": "#cloud-config\n" } }),
        )
        .await;
        let machine = self
            .create(json!({ "apiVersion": CORE, "kind": "Machine", "metadata": { "name": name }, "spec": {
                "clusterName": "c", "bootstrap": { "dataSecretName": format!("{name}-data") },
                "infrastructureRef": { "apiGroup": "infrastructure.cluster.x-k8s.io", "kind": "MaasMachine", "name": name },
            } }))
            .await;
        let mut all = json!({ "cluster.x-k8s.io/cluster-name": "c" });
        all.as_object_mut().unwrap().extend(labels.as_object().unwrap().clone());
        self.create(json!({ "apiVersion": OURS, "kind": "MaasMachine",
            "metadata": { "name": name, "labels": all, "ownerReferences": [owner(&machine)] }, "spec": spec }))
        .await;
    }
}

pub fn owner(object: &Value) -> Value {
    json!({ "apiVersion": object["apiVersion"], "kind": object["kind"], "name": object["metadata"]["name"],
        "uid": object["metadata"]["uid"], "controller": true })
}

/// A plain spec.
pub fn spec() -> Value {
    json!({ "image": "k8s", "minCPU": 2, "minMemory": 2048 })
}
