//! The loop that brings clusters to what their orders say.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use axum::body::Body;
use gateway_protocol::{ClusterState, Order, Problem, Report, path};
use http::{Request, header};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use sealing::SealingKey;
use serde_json::{Value, json};
use tunnel::Reports;

use super::{
    Clusters,
    install::Installing,
    kept::{self, Kept, WRITER},
    observe::{Seen, report},
    render,
};

/// How often clusters are looked at. Cluster API takes seconds for anything.
const LOOK: Duration = Duration::from_secs(2);
/// What has not changed is told again so often: a plane that was restored from a backup has forgotten it.
const TELL_AGAIN: Duration = Duration::from_mins(1);
/// How long the plane may take to hear a report.
const HEAR: Duration = Duration::from_secs(5);

/// What the loop knows from its earlier rounds.
#[derive(Default)]
struct Known {
    /// The engine knows the kind of object that orders are kept as.
    kind: bool,
    /// What the plane was told last of each cluster.
    told: HashMap<String, (Report, Instant)>,
    layers: Installing,
}

impl Clusters {
    /// Goes on for as long as the gateway runs.
    pub(crate) async fn reconcile(self, key: SealingKey, reports: Reports) {
        let (mut known, mut said) = (Known::default(), String::new());
        loop {
            match self.round(&key, &reports, &mut known).await {
                Ok(()) => said.clear(),
                Err(problem) => {
                    known.kind = false;
                    if said != problem.message {
                        tracing::warn!(problem = problem.message, "clusters are not looked at");
                        said = problem.message;
                    }
                }
            }
            let _ = tokio::time::timeout(LOOK, self.wake.notified()).await;
        }
    }

    async fn round(&self, key: &SealingKey, reports: &Reports, known: &mut Known) -> Result<(), Problem> {
        let engine = |error: kube::Error| super::engine(&error);
        let client = self.client().await?;
        if !known.kind {
            kept::install(&client).await.map_err(engine)?;
            known.kind = true;
        }
        for kept in kept::all(&client).await.map_err(engine)? {
            let order = &kept.order;
            let trouble = self.step(&client, &kept, key).await.map_err(engine)?;
            let mut seen = look(&client, order, trouble).await.map_err(engine)?;
            if order.deleted {
                known.layers.forget(&order.intent.uid);
            } else if seen.is_initialized() {
                // What is not known yet is not told: a gateway that starts again would call a good cluster unfinished.
                let Some(layers) = known.layers.look(self, order, reports).await else { continue };
                seen.layers = layers;
            }
            let report = report(order, &seen);
            let last = known.told.get(&report.uid);
            if last.is_some_and(|(last, when)| *last == report && when.elapsed() < TELL_AGAIN) {
                continue;
            }
            if tell(reports, &report).await {
                // Not before the plane knows that nothing is left.
                if report.state == ClusterState::Deleted {
                    kept::forget(&client, &report.uid).await.map_err(engine)?;
                }
                known.told.insert(report.uid.clone(), (report, Instant::now()));
            }
        }
        Ok(())
    }

    /// Takes the next step of one cluster; says what stands in its way.
    async fn step(
        &self,
        client: &Client,
        kept: &Kept,
        key: &SealingKey,
    ) -> Result<Option<String>, kube::Error> {
        let order = &kept.order;
        if order.deleted {
            delete(client, order).await?;
            return Ok(None);
        }
        if kept.applied == Some(order.age()) {
            return Ok(None);
        }
        let objects = self.registry().and_then(|registry| render::objects(order, registry, key));
        let objects = match objects {
            Ok(objects) => objects,
            Err(problem) => return Ok(Some(problem.message)),
        };
        for object in &objects {
            let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
            let namespace = object.pointer("/metadata/namespace").and_then(Value::as_str);
            let api = kept::api_of(client, object, namespace);
            match api.patch(name, &PatchParams::apply(WRITER).force(), &Patch::Apply(object)).await {
                Ok(_) => {}
                // The API server says why: a field that it does not take, or a webhook.
                Err(kube::Error::Api(status)) if (400..500).contains(&status.code) && status.code != 409 => {
                    return Ok(Some(format!("the engine does not take {name}: {}", status.message)));
                }
                Err(error) => return Err(error),
            }
        }
        prune(client, order, &objects).await?;
        kept::applied(client, order).await?;
        tracing::info!(cluster = order.intent.name, generation = order.generation, "an order is applied");
        Ok(None)
    }
}

/// Deletes the pools that an order has no more. Cluster API drains their machines and gives them back.
async fn prune(client: &Client, order: &Order, objects: &[Value]) -> Result<(), kube::Error> {
    let pool = json!({ "apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "MachineDeployment" });
    let wanted = |name: &str| {
        let is = |object: &&Value| object.get("kind") == pool.get("kind");
        objects
            .iter()
            .filter(is)
            .any(|object| object.pointer("/metadata/name").and_then(Value::as_str) == Some(name))
    };
    let api = kept::api_of(client, &pool, Some(&order.intent.namespace));
    for there in api.list(&ListParams::default()).await?.items {
        let name = there.name_any();
        if !wanted(&name) && there.metadata.deletion_timestamp.is_none() {
            tracing::info!(cluster = order.intent.name, pool = name, "a pool is taken away");
            gone(api.delete(&name, &DeleteParams::default()).await.map(drop))?;
        }
    }
    Ok(())
}

/// What is not there any more, or not as it was, is looked at again in the next round.
fn gone(done: Result<(), kube::Error>) -> Result<(), kube::Error> {
    match done {
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
        other => other,
    }
}

/// Deletes the `Cluster`, and when it and all its machines are gone, the namespace with the rest.
async fn delete(client: &Client, order: &Order) -> Result<(), kube::Error> {
    let seen = look(client, order, None).await?;
    if let Some(cluster) = &seen.cluster {
        if cluster.pointer("/metadata/deletionTimestamp").is_none() {
            let api = kept::api_of(client, cluster, Some(&order.intent.namespace));
            gone(api.delete(&order.intent.name, &DeleteParams::default()).await.map(drop))?;
        }
        return Ok(());
    }
    if seen.namespace && !orphans_are_left(client, order).await? {
        let namespaces: Api<Namespace> = Api::all(client.clone());
        gone(namespaces.delete(&order.intent.namespace, &DeleteParams::default()).await.map(drop))?;
    }
    Ok(())
}

/// Deletes what is left without its `Cluster`: one that was deleted before Cluster API knew it leaves all that was made
/// beside it. The credentials of the namespace are needed until the last machine is given back, so infrastructure that
/// is still there is waited for.
async fn orphans_are_left(client: &Client, order: &Order) -> Result<bool, kube::Error> {
    const KINDS: [(&str, &str, bool); 5] = [
        ("cluster.x-k8s.io/v1beta2", "MachineDeployment", false),
        ("controlplane.cluster.x-k8s.io/v1beta2", "KubeadmControlPlane", false),
        ("cluster.x-k8s.io/v1beta2", "Machine", true),
        ("infrastructure.cluster.x-k8s.io/v1beta1", "MaasMachine", true),
        ("infrastructure.cluster.x-k8s.io/v1beta1", "MaasCluster", true),
    ];
    let mut left = false;
    for (version, kind, is_waited_for) in KINDS {
        let object = json!({ "apiVersion": version, "kind": kind });
        let api = kept::api_of(client, &object, Some(&order.intent.namespace));
        for there in api.list(&ListParams::default()).await?.items {
            left |= is_waited_for;
            if there.metadata.deletion_timestamp.is_none() {
                gone(api.delete(&there.name_any(), &DeleteParams::default()).await.map(drop))?;
            }
        }
    }
    Ok(left)
}

pub(super) async fn look(
    client: &Client,
    order: &Order,
    trouble: Option<String>,
) -> Result<Seen, kube::Error> {
    let of = |kind: &str| {
        let object = json!({ "apiVersion": "cluster.x-k8s.io/v1beta2", "kind": kind });
        kept::api_of(client, &object, Some(&order.intent.namespace))
    };
    let value = |object: &kube::api::DynamicObject| serde_json::to_value(object).unwrap_or_default();
    let cluster = of("Cluster").get_opt(&order.intent.name).await?;
    let machines = of("Machine").list(&ListParams::default()).await?;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    Ok(Seen {
        cluster: cluster.as_ref().map(|cluster| {
            let mut object = value(cluster);
            if let Value::Object(fields) = &mut object {
                fields.insert("apiVersion".to_owned(), json!("cluster.x-k8s.io/v1beta2"));
                fields.insert("kind".to_owned(), json!("Cluster"));
            }
            object
        }),
        machines: machines.items.iter().map(value).collect(),
        namespace: namespaces.get_opt(&order.intent.namespace).await?.is_some(),
        layers: Vec::new(),
        trouble,
    })
}

/// Whether the plane has heard it.
async fn tell(reports: &Reports, report: &Report) -> bool {
    // Clusters are not kept waiting for a plane that is away.
    if !reports.is_connected() {
        return false;
    }
    let Ok(body) = serde_json::to_vec(report) else { return false };
    let request =
        Request::post(path::CLUSTERS).header(header::CONTENT_TYPE, "application/json").body(Body::from(body));
    let Ok(request) = request else { return false };
    match reports.send(request, HEAR).await {
        Ok(response) if response.status().is_success() => true,
        Ok(response) => {
            tracing::warn!(
                cluster = report.uid,
                status = response.status().as_u16(),
                "the plane does not take a report"
            );
            false
        }
        Err(error) => {
            tracing::debug!(cluster = report.uid, %error, "a report waits for the plane");
            false
        }
    }
}
