//! A pool's objects: its templates, and for workers a `MachineDeployment` for each zone.
//!
//! One for each zone, because a `MachineDeployment` names one failure domain: a zone that is added or dropped then
//! leaves the machines of the others alone.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Object, fields, label, list, node, reference};
use crate::{
    model::{Intent, Pool, Role},
    name, overrides,
};

/// API group of the MAAS provider.
pub(super) const GROUP: &str = "infrastructure.cluster.x-k8s.io";
/// Its API version.
pub(super) const MAAS: &str = "infrastructure.cluster.x-k8s.io/v1beta1";
const BOOTSTRAP: &str = "bootstrap.cluster.x-k8s.io";
const NODE_LABELS: &str = "node-labels";

/// The objects of one pool.
pub(super) struct Rendered {
    /// What machines are made of.
    pub templates: Vec<Object>,
    /// What makes worker machines; empty for the control plane.
    pub deployments: Vec<Object>,
}

pub(super) fn render(intent: &Intent, pool: &Pool) -> Rendered {
    let machine = machine_template(intent, pool);
    if pool.role == Role::ControlPlane {
        return Rendered { templates: vec![machine], deployments: Vec::new() };
    }
    let config = config_template(intent, pool);
    let deployments = pool
        .placements()
        .into_iter()
        .map(|(zone, replicas)| deployment(intent, pool, zone, replicas, &machine, &config));
    Rendered { deployments: deployments.collect(), templates: vec![machine, config] }
}

pub(super) fn machine_template(intent: &Intent, pool: &Pool) -> Object {
    let machine = fields([
        ("image", Some(json!(pool.image))),
        ("minCPU", Some(json!(pool.min_cpu))),
        ("minMemory", Some(json!(pool.min_memory_mib))),
        ("minDiskSize", pool.min_disk_gb.map(Value::from)),
        ("resourcePool", pool.resource_pool.as_ref().map(|name| json!(name))),
        ("tags", list(&pool.tags)),
    ]);
    let mut body = json!({ "spec": { "template": { "spec": machine } } });
    override_with(&mut body, pool.override_cluster_api_config.as_deref(), "MaasMachineTemplate");
    let name = name::of_content(&[&intent.name, &pool.name], &body);
    intent.object(MAAS, "MaasMachineTemplate", &name, &body)
}

fn config_template(intent: &Intent, pool: &Pool) -> Object {
    let body = json!({ "spec": { "template": { "spec": node::worker(intent, pool) } } });
    let name = name::of_content(&[&intent.name, &pool.name], &body);
    intent.object(&format!("{BOOTSTRAP}/v1beta2"), "KubeadmConfigTemplate", &name, &body)
}

fn deployment(
    intent: &Intent,
    pool: &Pool,
    zone: Option<&str>,
    replicas: u32,
    machine: &Object,
    config: &Object,
) -> Object {
    let name = intent.deployment_name(pool, zone);
    let selected = json!({ label::CLUSTER_NAME: intent.name, "cluster.x-k8s.io/deployment-name": name });
    let mut metadata = machine_metadata(pool).unwrap_or_default();
    overrides::merge(&mut metadata, &json!({ "labels": selected }));
    let spec = fields([
        ("clusterName", Some(json!(intent.name))),
        ("version", Some(json!(intent.version()))),
        ("failureDomain", zone.map(Value::from)),
        ("bootstrap", Some(json!({ "configRef": reference(BOOTSTRAP, config.kind(), config.name()) }))),
        ("infrastructureRef", Some(reference(GROUP, machine.kind(), machine.name()))),
    ]);
    let body = json!({ "spec": {
        "clusterName": intent.name,
        "replicas": replicas,
        "selector": { "matchLabels": selected },
        "template": { "metadata": metadata, "spec": spec },
    } });
    intent.object("cluster.x-k8s.io/v1beta2", "MachineDeployment", &name, &body)
}

/// Labels of a pool's machines that Cluster API carries over to their nodes, also when they change.
pub(super) fn machine_metadata(pool: &Pool) -> Option<Value> {
    let synced: BTreeMap<_, _> = pool.labels.iter().filter(|(key, _)| Pool::is_synced(key)).collect();
    (!synced.is_empty()).then(|| json!({ "labels": synced }))
}

/// Merges an override that was checked before into an object of `kind`.
pub(super) fn override_with(body: &mut Value, text: Option<&str>, kind: &str) {
    if let Some(Ok(patch)) = text.map(|text| overrides::cluster_api(text, kind)) {
        overrides::merge(body, &patch);
    }
}

impl Intent {
    /// Name of the `MachineDeployment` of a pool in a zone.
    pub(crate) fn deployment_name(&self, pool: &Pool, zone: Option<&str>) -> String {
        let parts: Vec<&str> = [self.name.as_str(), &pool.name].into_iter().chain(zone).collect();
        name::join(&parts)
    }
}

impl Pool {
    /// Zones and how many machines each gets: equal numbers, what is left over goes to the first ones.
    pub(crate) fn placements(&self) -> Vec<(Option<&str>, u32)> {
        let zones = u32::try_from(self.zones.len()).unwrap_or(u32::MAX);
        let Some(each) = self.replicas.checked_div(zones) else {
            return vec![(None, self.replicas)];
        };
        let more = self.replicas % zones;
        self.zones
            .iter()
            .zip(0..)
            .map(|(zone, index)| (Some(zone.as_str()), each + u32::from(index < more)))
            .collect()
    }

    /// Whether Cluster API carries a label of this key from a `Machine` to its node.
    pub(crate) fn is_synced(key: &str) -> bool {
        let prefix = key.rsplit_once('/').map_or("", |(prefix, _)| prefix);
        prefix == "node-role.kubernetes.io"
            || ["node-restriction.kubernetes.io", "node.cluster.x-k8s.io"]
                .iter()
                .any(|domain| prefix == *domain || prefix.ends_with(&format!(".{domain}")))
    }

    /// Flags of the kubelet, by name. Labels of the pool and labels in its override come together, the override's
    /// winning; any other flag is as the override says.
    pub(crate) fn kubelet_args(&self) -> BTreeMap<String, String> {
        let mut args: BTreeMap<_, _> = self
            .kubeadm_override()
            .kubelet_extra_args
            .into_iter()
            .map(|(name, value)| (name, value.to_string()))
            .collect();
        let own = self
            .labels
            .iter()
            .filter(|(key, _)| !Self::is_synced(key))
            .map(|(key, value)| (key.as_str(), value.as_str()));
        let overriding = args.remove(NODE_LABELS).unwrap_or_default();
        let overriding = overriding.split(',').filter_map(|label| label.trim().split_once('='));
        let labels: BTreeMap<_, _> = own.chain(overriding).collect();
        if !labels.is_empty() {
            let text: Vec<_> = labels.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
            args.insert(NODE_LABELS.to_owned(), text.join(","));
        }
        args
    }

    /// The pool's kubeadm override; nothing where there is none, or where [`Intent::check`] refuses it.
    pub(crate) fn kubeadm_override(&self) -> overrides::Kubeadm {
        let text = self.override_kubeadm_configuration.as_deref().unwrap_or_default();
        overrides::kubeadm(text).unwrap_or_default()
    }
}
