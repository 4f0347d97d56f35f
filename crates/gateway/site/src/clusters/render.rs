//! From an order to the objects that are applied.

use std::{fs, path::Path};

use gateway_protocol::{MAAS_KEY, Order, Problem, ProblemCode};
use intent::{Intent, Layer, Registry};
use sealing::SealingKey;
use serde_json::{Value, json};

/// The Secret by which the provider finds the cluster's MAAS.
const CREDENTIALS: &str = "maas-credentials";

/// What people may do whom the plane names, in every cluster.
const PEOPLE: &str = include_str!("people.yaml");

/// All objects of an order that the engine gets, in the order in which they are to be applied.
pub(super) fn objects(
    order: &Order,
    registry: Option<Registry>,
    key: &SealingKey,
) -> Result<Vec<Value>, Problem> {
    let invalid = |message: String| Problem { code: ProblemCode::Invalid, message };
    let opened = key.open(&order.account.key, MAAS_KEY).map_err(|error| Problem {
        code: ProblemCode::Sealed,
        message: format!("the account's key cannot be opened at its gateway: {error}; give the key again"),
    })?;
    let intent = Intent { registry, ..order.intent.clone() };
    let rendered = intent::render(&intent).map_err(|error| invalid(error.to_string()))?;
    let credentials = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": CREDENTIALS, "namespace": intent.namespace },
        "stringData": { "endpoint": order.account.endpoint, "key": opened.expose() },
    });
    let mut objects: Vec<Value> = rendered.into_iter().map(Value::from).collect();
    // The namespace comes first, and then what its other objects are looked at with.
    objects.insert(1.min(objects.len()), credentials);
    Ok(objects)
}

/// All layers of an order, the lowest first.
pub(super) fn layers(order: &Order, manifests: &Path) -> Result<Vec<Layer>, Problem> {
    let built_in = order.built_in.iter().map(|name| built_in(name, manifests));
    let mut layers = built_in.collect::<Result<Vec<_>, _>>()?;
    layers.push(Layer { name: "people".to_owned(), manifests: PEOPLE.to_owned(), chart: None });
    layers.extend(order.intent.layers.iter().cloned());
    Ok(layers)
}

/// A built-in pack, as the site's bundle has it.
fn built_in(name: &str, manifests: &Path) -> Result<Layer, Problem> {
    let plain = !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let missing = |why: &dyn std::fmt::Display| Problem {
        code: ProblemCode::Invalid,
        message: format!("the site's bundle has no pack {name:?}: {why}"),
    };
    if !plain {
        return Err(missing(&"that is no pack's name"));
    }
    let text = fs::read_to_string(manifests.join(format!("{name}.yaml"))).map_err(|error| missing(&error))?;
    Ok(Layer { name: name.to_owned(), manifests: text, chart: None })
}

#[cfg(test)]
mod tests {
    use gateway_protocol::Account;
    use secrets::Secret;

    use super::*;

    fn order(key: &SealingKey) -> Order {
        let intent = json!({"schemaVersion": intent::SCHEMA, "uid": "6745a1c0ffee5eed00000001", "name": "demo",
            "namespace": "demo-1", "kubernetesVersion": "1.36.3", "endpoint": {"dnsDomain": "maas"},
            "pools": [{"name": "control", "role": "control-plane", "replicas": 1, "image": "custom/debian-12-kubernetes-1.36.3"}]});
        let sealed = key.public().seal(&Secret::from("a:b:c"), MAAS_KEY).unwrap();
        let account = Account { endpoint: "http://10.0.0.1:5240/MAAS".into(), key: sealed };
        Order {
            incarnation: 1,
            generation: 1,
            account,
            intent: Intent::from_json(&intent.to_string()).unwrap(),
            built_in: vec!["cni".into()],
            deleted: false,
        }
    }

    #[test]
    fn a_namespace_then_its_maas_then_the_rest_with_the_sites_own() {
        let key = SealingKey::generate().unwrap();
        let registry = Registry { url: "https://10.0.0.1:5000".into(), ca: None };
        let objects = objects(&order(&key), Some(registry), &key).unwrap();
        let kinds: Vec<_> = objects.iter().map(|object| object["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds[..2], ["Namespace", "Secret"], "{kinds:?}");
        assert_eq!(objects[1]["stringData"]["key"], "a:b:c");
        assert!(kinds.contains(&"KubeadmControlPlane"));
        let text = serde_json::to_string(&objects).unwrap();
        assert!(text.contains("https://10.0.0.1:5000"), "nodes are not told of the site's registry");
    }

    #[test]
    fn people_of_both_kinds_may_do_something() {
        for group in [gateway_protocol::kubernetes::ADMINS, gateway_protocol::kubernetes::VIEWERS] {
            assert!(PEOPLE.contains(&format!("kind: Group\n  name: {group}\n")), "{group}");
        }
        let (key, folder) = (SealingKey::generate().unwrap(), tempfile::tempdir().unwrap());
        fs::write(folder.path().join("cni.yaml"), "the network").unwrap();
        let layers = layers(&order(&key), folder.path()).unwrap();
        let names: Vec<_> = layers.iter().map(|layer| layer.name.as_str()).collect();
        assert_eq!(names, ["cni", "people"], "the network comes before all that has pods");
    }

    #[test]
    fn a_key_for_another_gateway_and_a_pack_that_is_a_path_are_refused() {
        let (key, other) = (SealingKey::generate().unwrap(), SealingKey::generate().unwrap());
        let refused = objects(&order(&key), None, &other).unwrap_err();
        assert_eq!(refused.code, ProblemCode::Sealed);
        for name in ["../secret", "", "a/b", "none"] {
            let order = Order { built_in: vec![name.into()], ..order(&key) };
            let refused = layers(&order, Path::new("/nowhere")).unwrap_err();
            assert_eq!(refused.code, ProblemCode::Invalid, "{name}");
        }
    }
}
