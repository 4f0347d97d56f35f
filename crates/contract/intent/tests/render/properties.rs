//! What holds for every intent.

use std::collections::{BTreeMap, BTreeSet};

use crate::Change;
use intent::{Effect, HostPort, Intent, Layer, Object, Pool, Role, Taint, label, render};
use proptest::{collection::vec, option, prelude::*};
use serde_json::Value;

/// Kind and name.
type Key = (String, String);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn names_are_dns_labels_and_unique(intent in intents()) {
        let objects = render(&intent).unwrap();
        for object in &objects {
            prop_assert!(is_label(object.name()), "{} {}", object.kind(), object.name());
            let namespace = (object.kind() != "Namespace").then_some(intent.namespace.as_str());
            prop_assert_eq!(object.namespace(), namespace);
            prop_assert_eq!(object.value()["metadata"]["labels"][label::CLUSTER_UID].as_str(), Some(intent.uid.as_str()));
        }
        prop_assert_eq!(by_key(&objects).len(), objects.len());
    }

    #[test]
    fn every_reference_is_to_an_object_of_the_set(intent in intents()) {
        let objects = render(&intent).unwrap();
        let there: BTreeSet<_> = objects.iter().map(key).collect();
        let mut referenced = BTreeSet::new();
        for object in &objects {
            references(object.value(), &mut referenced);
        }
        for reference in &referenced {
            prop_assert!(there.contains(reference), "{reference:?} is not rendered");
        }
        // And nothing is rendered that nobody refers to, but for what begins a chain.
        for (kind, name) in there.difference(&referenced) {
            let first = ["Namespace", "Cluster", "MachineDeployment", "ClusterResourceSet"].contains(&kind.as_str());
            prop_assert!(first, "nobody refers to {kind} {name}");
        }
    }

    #[test]
    fn what_is_selected_has_the_labels(intent in intents()) {
        let objects = render(&intent).unwrap();
        let cluster = objects.iter().find(|object| object.kind() == "Cluster").unwrap();
        for object in &objects {
            let (selector, selected) = match object.kind() {
                "MachineDeployment" => ("/spec/selector/matchLabels", &object.value()["spec"]["template"]["metadata"]["labels"]),
                "ClusterResourceSet" => ("/spec/clusterSelector/matchLabels", &cluster.value()["metadata"]["labels"]),
                _ => continue,
            };
            for (name, value) in object.value().pointer(selector).unwrap().as_object().unwrap() {
                prop_assert_eq!(&selected[name], value);
            }
        }
    }

    #[test]
    fn machines_are_as_many_as_asked_for(intent in intents()) {
        let asked: u64 = intent.pools.iter().map(|pool| u64::from(pool.replicas)).sum();
        let rendered: u64 = render(&intent).unwrap().iter().filter_map(|object| object.value()["spec"]["replicas"].as_u64()).sum();
        prop_assert_eq!(asked, rendered);
    }

    #[test]
    fn the_same_intent_gives_the_same_bytes(intent in intents()) {
        let stored = Intent::from_json(&serde_json::to_string(&intent).unwrap()).unwrap();
        let bytes = |intent| serde_json::to_vec(&render(intent).unwrap()).unwrap();
        prop_assert_eq!(bytes(&intent), bytes(&stored));
    }

    /// Another size, or another machine, of one worker pool touches the objects of that pool only.
    #[test]
    fn a_changed_pool_changes_its_own_objects(intent in intents(), which in any::<prop::sample::Index>(), by in 1u32..4, machine: bool) {
        let mut changed = intent.clone();
        let pool = &mut changed.pools[1..];
        prop_assume!(!pool.is_empty());
        let pool = which.get_mut(pool);
        if machine { pool.min_cpu += by } else { pool.replicas += by }
        let own = format!("{}-{}-", intent.name, pool.name);

        let (before, after) = (render(&intent).unwrap(), render(&changed).unwrap());
        let different = differences(&before, &after);
        prop_assert!(!different.is_empty());
        for (kind, name) in different {
            let kinds: &[&str] = if machine { &["MaasMachineTemplate", "MachineDeployment"] } else { &["MachineDeployment"] };
            prop_assert!(kinds.contains(&kind.as_str()), "{kind} {name} changed");
            prop_assert!(format!("{name}-").starts_with(&own) || own.len() > 50, "{kind} {name} is not of {own}");
        }
    }

    /// A template is never changed in place: what is different has another name.
    #[test]
    fn templates_are_immutable(first in intents(), second in intents()) {
        let second = Intent { name: first.name.clone(), namespace: first.namespace.clone(), uid: first.uid.clone(), ..second };
        let (first, second) = (render(&first).unwrap(), render(&second).unwrap());
        for (kind, name) in differences(&first, &second) {
            let both = by_key(&first).contains_key(&(kind.clone(), name.clone())) && by_key(&second).contains_key(&(kind.clone(), name.clone()));
            prop_assert!(!(both && kind.ends_with("Template")), "{kind} {name} changed in place");
        }
    }
}

#[test]
fn a_change_reaches_no_object_that_it_does_not_concern() {
    let cases: &[(&[&str], Change)] = &[
        (&[], |i| i.layers[0].manifests.push_str("# more\n")),
        (&["KubeadmControlPlane"], |i| i.pools[0].replicas = 5),
        (&["KubeadmControlPlane", "MachineDeployment"], |i| i.kubernetes_version = "1.36.4".into()),
        (&["KubeadmControlPlane", "KubeadmConfigTemplate", "MachineDeployment"], |i| i.ssh_keys.clear()),
        (&["Cluster"], |i| i.network.pods = "10.244.0.0/16".parse().unwrap()),
        (&["MaasCluster"], |i| i.endpoint.dns_domain = "other".into()),
        (&["MaasCluster"], |i| i.override_cluster_api_config = None),
        (&["MachineDeployment"], |i| {
            i.pools[1].labels.insert("node-role.kubernetes.io/worker".into(), "yes".into());
        }),
        (&["KubeadmConfigTemplate", "MachineDeployment"], |i| i.pools[1].taints.clear()),
        (&[], |i| i.network.nodes.clear()),
    ];
    for (number, (kinds, change)) in cases.iter().enumerate() {
        let mut base = crate::ha();
        base.pools[1].taints = vec![Taint { key: "a".into(), value: "b".into(), effect: Effect::NoExecute }];
        let before = render(&base).unwrap();
        change(&mut base);
        let different: BTreeSet<_> =
            differences(&before, &render(&base).unwrap()).into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(different, kinds.iter().map(ToString::to_string).collect(), "change {number}");
    }
}

fn intents() -> impl Strategy<Value = Intent> {
    let ends = (
        option::of(name(20).prop_map(|host| HostPort { host, port: 6443 })),
        name(63),
        name(63),
        "[0-9a-f]{24}",
    );
    let workers = vec(pool(Role::Worker), 0..4);
    let layers = vec((name(63), "[ -~]{0,40}"), 0..3);
    (ends, pool(Role::ControlPlane), workers, layers, vec("[a-z]{3} [a-z]{8}", 0..2)).prop_filter_map(
        "two things of one name",
        |((given, name, namespace, uid), control, workers, layers, ssh_keys)| {
            let mut intent = Intent { uid, name, namespace, ssh_keys, ..crate::small() };
            intent.endpoint.given = given;
            intent.pools = [control].into_iter().chain(workers).collect();
            let text =
                |comment| format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: a}}\n# {comment}\n");
            intent.layers = layers
                .into_iter()
                .map(|(name, comment)| Layer { name, manifests: text(comment), chart: None })
                .collect();
            intent.check().is_empty().then_some(intent)
        },
    )
}

fn pool(role: Role) -> impl Strategy<Value = Pool> {
    let machine = (0u32..4, 0u32..9000, option::of(1u32..500), option::of(name(10)), vec("[a-z]{1,5}", 0..2));
    let zones = prop::collection::btree_set("[A-Za-z][A-Za-z0-9 _.-]{0,70}", 0..4);
    let labels = prop::collection::btree_map(
        "(example.com/|node.cluster.x-k8s.io/)?[a-z]{1,9}",
        "[a-z0-9]{0,9}",
        0..3,
    );
    (name(63), 0u32..5, machine, zones, labels).prop_map(move |(name, size, machine, zones, labels)| {
        let (min_cpu, min_memory_mib, min_disk_gb, resource_pool, tags) = machine;
        let replicas = if role == Role::ControlPlane { size * 2 + 1 } else { size };
        let tags: BTreeSet<_> = tags.into_iter().collect();
        Pool {
            name,
            role,
            replicas,
            min_cpu,
            min_memory_mib,
            min_disk_gb,
            resource_pool,
            labels,
            zones: zones.into_iter().collect(),
            tags: tags.into_iter().collect(),
            ..crate::small().pools[0].clone()
        }
    })
}

fn name(longest: usize) -> impl Strategy<Value = String> {
    proptest::string::string_regex(&format!("[a-z]([a-z0-9-]{{0,{}}}[a-z0-9])?", longest - 2)).unwrap()
}

fn is_label(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
}

fn key(object: &Object) -> Key {
    (object.kind().to_owned(), object.name().to_owned())
}

fn by_key(objects: &[Object]) -> BTreeMap<Key, String> {
    objects.iter().map(|object| (key(object), serde_json::to_string(object).unwrap())).collect()
}

/// What was added, removed or changed.
fn differences(before: &[Object], after: &[Object]) -> BTreeSet<Key> {
    let (before, after) = (by_key(before), by_key(after));
    let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    keys.into_iter().filter(|key| before.get(*key) != after.get(*key)).cloned().collect()
}

/// Every map with a kind and a name below `spec`.
fn references(value: &Value, found: &mut BTreeSet<Key>) {
    match value {
        Value::Object(map) => {
            if let (Some(Value::String(kind)), Some(Value::String(name))) = (map.get("kind"), map.get("name"))
            {
                found.insert((kind.clone(), name.clone()));
            }
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}
