//! The definitions as they are installed.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use schemars::{Schema, SchemaGenerator, json_schema};

use crate::{MaasCluster, MaasMachine, MaasMachineTemplate};

/// What tells Cluster API and clusterctl what these definitions are: which version serves which contract.
const LABELS: [(&str, &str); 3] = [
    ("cluster.x-k8s.io/provider", "infrastructure-maas"),
    ("cluster.x-k8s.io/v1beta1", "v1beta1"),
    ("cluster.x-k8s.io/v1beta2", "v1beta1"),
];

/// The definitions, to be applied as they are.
pub fn crds() -> Vec<CustomResourceDefinition> {
    [MaasCluster::crd(), MaasMachine::crd(), MaasMachineTemplate::crd()].into_iter().map(finished).collect()
}

fn finished(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    let labels = crd.metadata.labels.get_or_insert_default();
    labels.extend(LABELS.map(|(key, value)| (key.to_owned(), value.to_owned())));
    let schemas = crd.spec.versions.iter_mut().filter_map(|version| version.schema.as_mut());
    for schema in schemas.filter_map(|schema| schema.open_api_v3_schema.as_mut()) {
        // Objects without a spec are accepted by the existing provider's definitions.
        schema.required = None;
    }
    crd
}

/// A list of `metav1.Condition`.
pub(crate) fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": {
            "type": "object",
            "required": ["lastTransitionTime", "message", "reason", "status", "type"],
            "properties": {
                "lastTransitionTime": { "type": "string", "format": "date-time" },
                "message": { "type": "string", "maxLength": 32768 },
                "observedGeneration": { "type": "integer", "format": "int64", "minimum": 0 },
                "reason": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 1024,
                    "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"
                },
                "status": { "type": "string", "enum": ["True", "False", "Unknown"] },
                "type": { "type": "string", "maxLength": 316 }
            }
        }
    })
}
