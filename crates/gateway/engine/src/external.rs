//! What a foreign Kubernetes must have of Cluster API.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};

use crate::EngineError;

/// Kinds that clusters are made of, by the names of their definitions.
const WANTED: [&str; 7] = [
    "clusters.cluster.x-k8s.io",
    "machines.cluster.x-k8s.io",
    "machinesets.cluster.x-k8s.io",
    "machinedeployments.cluster.x-k8s.io",
    "kubeadmconfigs.bootstrap.cluster.x-k8s.io",
    "kubeadmconfigtemplates.bootstrap.cluster.x-k8s.io",
    "kubeadmcontrolplanes.controlplane.cluster.x-k8s.io",
];
/// The version of them that is used here.
const VERSION: &str = "v1beta2";

/// Checks that Cluster API is installed, in a version that speaks `v1beta2`.
///
/// # Errors
/// [`EngineError::Missing`] names everything that is missing.
pub(crate) async fn check(client: &Client) -> Result<(), EngineError> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let found = api
        .list(&ListParams::default())
        .await
        .map_err(EngineError::api("list the custom resource definitions"))?;
    let missing = missing(&found.items);
    if missing.is_empty() { Ok(()) } else { Err(EngineError::Missing { missing }) }
}

/// A sentence for each kind that is not there or not served in the wanted version.
fn missing(found: &[CustomResourceDefinition]) -> Vec<String> {
    let lacks = |name: &&str| {
        let Some(definition) = found.iter().find(|definition| definition.name_any() == **name) else {
            return Some(format!("{name} is not installed"));
        };
        let served: Vec<&str> =
            definition.spec.versions.iter().filter(|v| v.served).map(|v| v.name.as_str()).collect();
        (!served.contains(&VERSION))
            .then(|| format!("{name} is served as {}, not as {VERSION}", served.join(" and ")))
    };
    WANTED.iter().filter_map(lacks).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn definition(name: &str, versions: &Value) -> CustomResourceDefinition {
        let spec = json!({"group": "g", "names": {"kind": "K", "plural": "ks"}, "scope": "Namespaced", "versions": versions});
        serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap()
    }

    #[test]
    fn names_what_is_missing() {
        let good = json!([{"name": "v1beta2", "served": true, "storage": true}]);
        let mut all: Vec<_> = WANTED.iter().map(|name| definition(name, &good)).collect();
        assert_eq!(missing(&all), [""; 0]);
        all[1] = definition(
            WANTED[1],
            &json!([{"name": "v1beta1", "served": true, "storage": true}, {"name": "v1beta2", "served": false, "storage": false}]),
        );
        all.remove(0);
        assert_eq!(
            missing(&all),
            [
                "clusters.cluster.x-k8s.io is not installed",
                "machines.cluster.x-k8s.io is served as v1beta1, not as v1beta2"
            ]
        );
    }
}
