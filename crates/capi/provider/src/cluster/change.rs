//! Changes of a `MaasCluster` that are written by compare-and-swap.

use capi_types::{CLUSTER_FINALIZER, CLUSTER_UID, Endpoint, MaasCluster};
use serde_json::{Value, json};

/// What is to be changed in an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The object is kept until its record is gone, and has an id of ours.
    Begin {
        /// The id.
        uid: String,
    },
    /// Where its API server answers.
    Endpoint(Endpoint),
    /// The object may go.
    End,
}

impl Change {
    /// As a JSON merge patch that is refused if `object` is not the newest any more.
    pub fn patch(&self, object: &MaasCluster) -> Value {
        let mut finalizers = object.metadata.finalizers.clone().unwrap_or_default();
        finalizers.retain(|finalizer| finalizer != CLUSTER_FINALIZER);
        let mut patch = match self {
            Self::Begin { uid } => {
                finalizers.push(CLUSTER_FINALIZER.to_owned());
                json!({ "metadata": { "finalizers": finalizers, "annotations": { CLUSTER_UID: uid } } })
            }
            Self::Endpoint(endpoint) => {
                json!({ "metadata": {}, "spec": { "controlPlaneEndpoint": endpoint } })
            }
            Self::End => json!({ "metadata": { "finalizers": finalizers } }),
        };
        if let (Some(version), Some(metadata)) =
            (&object.metadata.resource_version, patch.get_mut("metadata").and_then(Value::as_object_mut))
        {
            metadata.insert("resourceVersion".to_owned(), json!(version));
        }
        patch
    }
}
