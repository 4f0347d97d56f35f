//! What Cluster API's objects say of a cluster; pure.

use gateway_protocol::{ClusterLayer, ClusterMachine, ClusterState, LayerState, Order, Report};
use serde_json::Value;

/// What there is of a cluster in the engine.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Its `Cluster`.
    pub cluster: Option<Value>,
    /// Its `Machine`s.
    pub machines: Vec<Value>,
    /// Its namespace is still there.
    pub namespace: bool,
    /// What is installed in it.
    pub layers: Vec<ClusterLayer>,
    /// Why its objects could not be made.
    pub trouble: Option<String>,
}

impl Seen {
    /// Whether its API is there.
    pub fn is_initialized(&self) -> bool {
        self.cluster.as_ref().is_some_and(|cluster| {
            cluster.pointer("/status/initialization/controlPlaneInitialized") == Some(&Value::Bool(true))
        })
    }
}

/// How a cluster stands.
pub fn report(order: &Order, seen: &Seen) -> Report {
    let machines: Vec<ClusterMachine> = seen.machines.iter().map(machine).collect();
    let state = state(order, seen, &machines);
    let message = match (&seen.trouble, state) {
        (Some(trouble), _) => trouble.clone(),
        (None, ClusterState::Running | ClusterState::Deleted) => String::new(),
        (None, _) => waiting(seen, &machines),
    };
    Report {
        uid: order.intent.uid.clone(),
        generation: order.generation,
        state,
        message,
        endpoint: seen.cluster.as_ref().and_then(endpoint),
        machines,
        layers: seen.layers.clone(),
    }
}

fn state(order: &Order, seen: &Seen, machines: &[ClusterMachine]) -> ClusterState {
    if order.deleted {
        let left = seen.cluster.is_some() || !seen.machines.is_empty() || seen.namespace;
        return if left { ClusterState::Deleting } else { ClusterState::Deleted };
    }
    let wanted: u32 = order.intent.pools.iter().map(|pool| pool.replicas).sum();
    let all = u32::try_from(machines.len()).is_ok_and(|count| count == wanted);
    let works = machines.iter().all(|machine| machine.ready)
        && seen.layers.iter().all(|layer| layer.state == LayerState::Ready);
    if seen.is_initialized() && all && works && seen.trouble.is_none() {
        ClusterState::Running
    } else {
        ClusterState::Provisioning
    }
}

/// What is waited for: control planes first, because all else waits for them.
fn waiting(seen: &Seen, machines: &[ClusterMachine]) -> String {
    let mut waiting: Vec<&ClusterMachine> =
        machines.iter().filter(|machine| !machine.message.is_empty()).collect();
    waiting.sort_by_key(|machine| !machine.control_plane);
    let layer = seen.layers.iter().find(|layer| layer.state != LayerState::Ready);
    match (waiting.first(), layer) {
        (Some(machine), _) => format!("{}: {}", machine.name, machine.message),
        (None, Some(layer)) => format!("layer {}: {}", layer.name, layer.message),
        (None, None) => {
            seen.cluster.as_ref().map(|cluster| condition(cluster, "Available").1).unwrap_or_default()
        }
    }
}

fn machine(object: &Value) -> ClusterMachine {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let label = |name: &str| {
        object.pointer("/metadata/labels").and_then(|all| all.get(name)?.as_str()).map(str::to_owned)
    };
    let (ready, message) = condition(object, "Ready");
    let addresses = object.pointer("/status/addresses").and_then(Value::as_array);
    let address = |one: &Value| one.get("address").and_then(Value::as_str).map(str::to_owned);
    ClusterMachine {
        name: text("/metadata/name").unwrap_or_default(),
        control_plane: label("cluster.x-k8s.io/control-plane").is_some(),
        pool: label("cluster.x-k8s.io/deployment-name").unwrap_or_default(),
        phase: text("/status/phase").unwrap_or_default(),
        message: if ready { String::new() } else { message },
        addresses: addresses.into_iter().flatten().filter_map(address).collect(),
        node: text("/status/nodeRef/name"),
        provider_id: text("/spec/providerID").filter(|id| !id.is_empty()),
        ready,
    }
}

/// Whether a condition is true, and its words on one line.
fn condition(object: &Value, kind: &str) -> (bool, String) {
    let all = object.pointer("/status/conditions").and_then(Value::as_array);
    let found = all.into_iter().flatten().find(|one| one.get("type").and_then(Value::as_str) == Some(kind));
    let text = |key: &str| found.and_then(|one| one.get(key)?.as_str()).unwrap_or_default();
    let words: Vec<&str> = text("message").split_whitespace().collect();
    (text("status") == "True", words.join(" "))
}

fn endpoint(cluster: &Value) -> Option<String> {
    let at = cluster.pointer("/spec/controlPlaneEndpoint")?;
    let host = at.get("host")?.as_str().filter(|host| !host.is_empty())?;
    Some(format!("https://{host}:{}", at.get("port")?.as_u64()?))
}

#[cfg(test)]
mod tests {
    use gateway_protocol::{Account, MAAS_KEY};
    use proptest::prelude::*;
    use sealing::SealingKey;
    use secrets::Secret;
    use serde_json::json;

    use super::*;

    fn order(deleted: bool) -> Order {
        let pool = |name: &str, role: &str, replicas: u32| json!({"name": name, "role": role, "replicas": replicas, "image": "custom/x-1.36.3"});
        let intent = json!({"schemaVersion": intent::SCHEMA, "uid": "6745a1c0ffee5eed00000001", "name": "demo",
            "namespace": "demo-1", "kubernetesVersion": "1.36.3", "endpoint": {"dnsDomain": "maas"},
            "pools": [pool("control", "control-plane", 1), pool("workers", "worker", 1)]});
        let key = SealingKey::generate().unwrap();
        let account = Account {
            endpoint: "http://10.0.0.1:5240/MAAS".into(),
            key: key.public().seal(&Secret::from("a:b:c"), MAAS_KEY).unwrap(),
        };
        let intent = serde_json::from_value(intent).unwrap();
        Order { incarnation: 1, generation: 3, account, intent, built_in: vec![], deleted }
    }

    fn machine(name: &str, control: bool, ready: bool) -> Value {
        let labels = if control {
            json!({"cluster.x-k8s.io/control-plane": ""})
        } else {
            json!({"cluster.x-k8s.io/deployment-name": "demo-workers"})
        };
        json!({"metadata": {"name": name, "labels": labels}, "status": {"phase": "Running", "conditions":
            [{"type": "Ready", "status": if ready { "True" } else { "False" }, "message": if ready { "" } else { "* NodeHealthy:\n  * no" }}]}})
    }

    proptest! {
        /// Running means that all is there; deleted, that nothing is.
        #[test]
        fn states_say_what_is_there(control in prop::option::of(any::<bool>()), worker in prop::option::of(any::<bool>()),
                                    initialized: bool, cluster: bool, namespace: bool, deleted: bool, layer in 0..4usize) {
            let machines: Vec<Value> = [control.map(|ready| machine("c", true, ready)), worker.map(|ready| machine("w", false, ready))]
                .into_iter().flatten().collect();
            let object = json!({"status": {"initialization": {"controlPlaneInitialized": initialized}}});
            let states = [LayerState::Waiting, LayerState::Installing, LayerState::Ready, LayerState::Failed];
            let layers = vec![ClusterLayer { name: "l".into(), state: states[layer], message: "why".into() }];
            let seen = Seen { cluster: cluster.then_some(object), machines, namespace, layers, trouble: None };
            let report = report(&order(deleted), &seen);
            let nothing = !cluster && control.is_none() && worker.is_none() && !namespace;
            let all = cluster && initialized && control == Some(true) && worker == Some(true) && layer == 2;
            prop_assert_eq!(report.state, match (deleted, nothing, all) {
                (true, true, _) => ClusterState::Deleted,
                (true, false, _) => ClusterState::Deleting,
                (false, _, true) => ClusterState::Running,
                (false, _, false) => ClusterState::Provisioning,
            });
            prop_assert_eq!(report.generation, 3);
        }
    }

    #[test]
    fn the_control_plane_is_waited_for_first_and_trouble_goes_before_all() {
        let machines = vec![machine("w", false, false), machine("c", true, false)];
        let mut seen = Seen { machines, ..Seen::default() };
        assert_eq!(report(&order(false), &seen).message, "c: * NodeHealthy: * no");
        seen.trouble = Some("no pack".into());
        assert_eq!(report(&order(false), &seen).message, "no pack");
        seen.cluster = Some(json!({"spec": {"controlPlaneEndpoint": {"host": "demo.maas", "port": 6443}}}));
        assert_eq!(report(&order(false), &seen).endpoint.unwrap(), "https://demo.maas:6443");
    }
}
