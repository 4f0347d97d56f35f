//! From the intent to objects of Cluster API v1.14.

mod cluster;
mod node;
mod pool;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{check::Problem, model::Intent};

/// The current version of the renderer. It rises when the same intent would give objects that replace machines.
pub const RENDERER: u32 = 1;

/// Annotations of rendered objects.
pub mod annotation {
    /// Version of the renderer that made the object.
    pub const RENDERER: &str = "bessemer.local/renderer";
    /// On a `MaasCluster`: the cluster's [`uid`](crate::Intent::uid), by which the provider marks its machines in MAAS.
    pub const MAAS_CLUSTER_UID: &str = "maas.infrastructure.cluster.x-k8s.io/cluster-uid";
    /// On a `MaasCluster`: the endpoint is given, no DNS name is to be made (CAPMAAS's own word for it).
    pub const CUSTOM_ENDPOINT: &str = "spectrocloud.com/custom-dns-provided";
}

/// Labels of rendered objects.
pub mod label {
    /// The cluster's [`uid`](crate::Intent::uid); on every object, so that all of a cluster are one list.
    pub const CLUSTER_UID: &str = "bessemer.local/cluster-uid";
    /// The cluster's name, as Cluster API labels its objects.
    pub const CLUSTER_NAME: &str = "cluster.x-k8s.io/cluster-name";
}

/// A Kubernetes object.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Object(Value);

impl Object {
    /// Such as `cluster.x-k8s.io/v1beta2`.
    pub fn api_version(&self) -> &str {
        self.text("/apiVersion")
    }

    /// Such as `MachineDeployment`.
    pub fn kind(&self) -> &str {
        self.text("/kind")
    }

    /// `metadata.name`.
    pub fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    /// `metadata.namespace`; none for the namespace itself.
    pub fn namespace(&self) -> Option<&str> {
        self.0.pointer("/metadata/namespace").and_then(Value::as_str)
    }

    /// The object as JSON.
    pub fn value(&self) -> &Value {
        &self.0
    }

    fn text(&self, pointer: &str) -> &str {
        self.0.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        object.0
    }
}

/// Why an intent cannot be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// It says what cannot be.
    #[error("the cluster intent cannot be: {}", sentences(.0))]
    Invalid(Vec<Problem>),
    /// It is pinned to a renderer that is not here.
    #[error(
        "the cluster is pinned to renderer {0}, the newest known here is {RENDERER}: upgrade the gateway first"
    )]
    Renderer(u32),
}

/// The objects of a cluster, in the order in which they are to be applied.
///
/// # Errors
/// [`RenderError::Invalid`] with all that [`Intent::check`] finds; [`RenderError::Renderer`] for an intent that a newer
/// version of this program has pinned.
pub fn render(intent: &Intent) -> Result<Vec<Object>, RenderError> {
    let problems = intent.check();
    if !problems.is_empty() {
        return Err(RenderError::Invalid(problems));
    }
    match intent.renderer.unwrap_or(RENDERER) {
        1 => Ok(objects(intent)),
        other => Err(RenderError::Renderer(other)),
    }
}

impl Intent {
    /// The intent as it is to be stored when its cluster is made: with the renderer's version in it.
    #[must_use]
    pub fn pinned(mut self) -> Self {
        self.renderer.get_or_insert(RENDERER);
        self
    }
}

fn objects(intent: &Intent) -> Vec<Object> {
    let pools = intent.pools.iter().map(|pool| pool::render(intent, pool));
    let (templates, deployments): (Vec<_>, Vec<_>) =
        pools.map(|pool| (pool.templates, pool.deployments)).unzip();
    let mut objects = vec![cluster::namespace(intent)];
    objects.extend(templates.into_iter().flatten());
    objects.push(cluster::maas_cluster(intent));
    objects.extend(cluster::control_plane(intent));
    objects.push(cluster::cluster(intent));
    objects.extend(deployments.into_iter().flatten());
    objects
}

impl Intent {
    /// An object of this cluster: `body` is what it has besides its name, labels and annotations.
    fn object(&self, api_version: &str, kind: &str, name: &str, body: &Value) -> Object {
        let mut object = json!({
            "apiVersion": api_version,
            "kind": kind,
            "metadata": {
                "name": name,
                "namespace": self.namespace,
                "labels": { label::CLUSTER_UID: self.uid, label::CLUSTER_NAME: self.name },
                "annotations": { annotation::RENDERER: self.renderer.unwrap_or(RENDERER).to_string() },
            },
        });
        crate::overrides::merge(&mut object, body);
        Object(object)
    }

    /// Kubernetes' version as Cluster API writes it.
    fn version(&self) -> String {
        format!("v{}", self.kubernetes_version.trim_start_matches('v'))
    }
}

/// A reference to an object in the same namespace, as the v1beta2 contract writes it.
fn reference(group: &str, object_kind: &str, name: &str) -> Value {
    json!({ "apiGroup": group, "kind": object_kind, "name": name })
}

/// A map of those fields that have a value.
fn fields<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    let present = fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Value::Object(present.collect::<Map<_, _>>())
}

/// The list, if it has items: Cluster API's schemas refuse empty ones.
fn list<T: Serialize>(items: &[T]) -> Option<Value> {
    (!items.is_empty()).then(|| json!(items))
}

fn sentences(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
