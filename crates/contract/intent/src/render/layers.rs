//! Layers, by Cluster API's own means: a `ClusterResourceSet` and a Secret for each layer.
//!
//! - *Secrets*, not `ConfigMap`s: layers carry passwords in their values, and the engine encrypts Secrets only.
//! - *One set*, because only within one set resources are applied in order.
//! - *Reconcile*, not `ApplyOnce`: a layer whose text changed is applied again, one that did not is left alone, and so
//!   is what people changed meanwhile in the cluster. Neither strategy deletes what a new text no longer has.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::{Object, label};
use crate::{
    model::{Intent, Layer},
    name,
};

pub(super) fn secrets(intent: &Intent) -> impl Iterator<Item = Object> {
    intent.layers.iter().map(|layer| {
        let body = json!({
            "type": "addons.cluster.x-k8s.io/resource-set",
            "data": { "manifests.yaml": BASE64_STANDARD.encode(&layer.manifests) },
        });
        intent.object("v1", "Secret", &secret_name(intent, layer), &body)
    })
}

/// None without layers: a set of nothing is refused.
pub(super) fn set(intent: &Intent) -> Option<Object> {
    let resources: Vec<Value> = intent
        .layers
        .iter()
        .map(|layer| json!({ "kind": "Secret", "name": secret_name(intent, layer) }))
        .collect();
    let body = json!({ "spec": {
        "strategy": "Reconcile",
        "clusterSelector": { "matchLabels": { label::CLUSTER_UID: intent.uid } },
        "resources": resources,
    } });
    let name = name::join(&[&intent.name, "layers"]);
    (!intent.layers.is_empty())
        .then(|| intent.object("addons.cluster.x-k8s.io/v1beta2", "ClusterResourceSet", &name, &body))
}

fn secret_name(intent: &Intent, layer: &Layer) -> String {
    name::join(&[&intent.name, "layer", &layer.name])
}
