//! The objects that a cluster has once: namespace, `Cluster`, `MaasCluster`, `KubeadmControlPlane`.

use serde_json::json;

use super::{Object, annotation, fields, label, list, node, pool, reference};
use crate::{
    model::{Intent, Pool, Role},
    name,
};

const GROUP: &str = "controlplane.cluster.x-k8s.io";

pub(super) fn namespace(intent: &Intent) -> Object {
    let body = json!({ "metadata": { "namespace": null, "labels": { label::CLUSTER_NAME: null } } });
    intent.object("v1", "Namespace", &intent.namespace, &body)
}

pub(super) fn cluster(intent: &Intent) -> Object {
    let given = intent.endpoint.given.as_ref();
    let network = json!({
        "pods": { "cidrBlocks": [intent.network.pods] },
        "services": { "cidrBlocks": [intent.network.services] },
    });
    let spec = fields([
        ("clusterNetwork", Some(network)),
        ("controlPlaneEndpoint", given.map(|given| json!(given))),
        ("controlPlaneRef", Some(reference(GROUP, "KubeadmControlPlane", &control_plane_name(intent)))),
        ("infrastructureRef", Some(reference(pool::GROUP, "MaasCluster", &intent.name))),
    ]);
    intent.object("cluster.x-k8s.io/v1beta2", "Cluster", &intent.name, &json!({ "spec": spec }))
}

/// The cluster at MAAS. Its failure domains are the control plane's zones: Cluster API spreads the control plane over
/// them, and workers have theirs in their own objects.
pub(super) fn maas_cluster(intent: &Intent) -> Object {
    let zones = control_pool(intent).and_then(|pool| list(&pool.zones));
    let given = intent.endpoint.given.as_ref();
    let spec = fields([
        ("dnsDomain", Some(json!(intent.endpoint.dns_domain))),
        ("failureDomains", zones),
        ("controlPlaneEndpoint", given.map(|given| json!(given))),
    ]);
    let annotations = fields([
        (annotation::MAAS_CLUSTER_UID, Some(json!(intent.uid))),
        (annotation::CUSTOM_ENDPOINT, given.map(|_| json!("true"))),
    ]);
    let mut body = json!({ "metadata": { "annotations": annotations }, "spec": spec });
    pool::override_with(&mut body, intent.override_cluster_api_config.as_deref(), "MaasCluster");
    intent.object(pool::MAAS, "MaasCluster", &intent.name, &body)
}

pub(super) fn control_plane(intent: &Intent) -> Option<Object> {
    let pool = control_pool(intent)?;
    let template = pool::machine_template(intent, pool);
    let spec = json!({
        "replicas": pool.replicas,
        "version": intent.version(),
        "machineTemplate": fields([
            ("metadata", pool::machine_metadata(pool)),
            ("spec", Some(json!({ "infrastructureRef": reference(pool::GROUP, template.kind(), template.name()) }))),
        ]),
        "kubeadmConfigSpec": node::control_plane(intent, pool),
    });
    let api_version = format!("{GROUP}/v1beta2");
    Some(intent.object(
        &api_version,
        "KubeadmControlPlane",
        &control_plane_name(intent),
        &json!({ "spec": spec }),
    ))
}

fn control_pool(intent: &Intent) -> Option<&Pool> {
    intent.pools.iter().find(|pool| pool.role == Role::ControlPlane)
}

/// Not the pool's name: a cluster keeps its control plane whatever its pool is called.
fn control_plane_name(intent: &Intent) -> String {
    name::join(&[&intent.name, "control-plane"])
}
