//! From a cluster, as it was asked for, to the order that its gateway gets; pure.

use gateway_protocol::{Account, Order};
use intent::Intent;
use packs::{Contents, Layer};
use plane_model::{CloudAccount, Cluster, ProfilePack, is_control_plane};
use serde_json::{Map, Value, json};

/// The order for a cluster with this id; or sentences that say why it cannot be.
///
/// # Errors
/// What is wrong, each a sentence.
pub fn order(
    uid: &str,
    cluster: &Cluster,
    account: &CloudAccount,
    incarnation: u64,
) -> Result<Order, Vec<String>> {
    let packs: Vec<&ProfilePack> = cluster.profiles.iter().flat_map(|profile| &profile.packs).collect();
    let of = |layer: Layer| packs.iter().find(|pack| pack.layer == layer.name()).copied();
    let needed = |layer: Layer| {
        of(layer).ok_or_else(|| vec![format!("no profile of the cluster has a {} layer", layer.name())])
    };
    let (os, kubernetes) = (needed(Layer::Os)?, needed(Layer::Kubernetes)?);
    needed(Layer::Cni)?;
    let version = kubernetes.tag.trim_start_matches('v');
    let values = |pack: &ProfilePack, error: packs::ValuesError| vec![format!("pack {}: {error}", pack.name)];
    let networks = packs::networks(&kubernetes.values).map_err(|error| values(kubernetes, error))?;
    let image = packs::image(&os.values, version).map_err(|error| values(os, error))?;

    let (mut built_in, mut layers) = (Vec::new(), Vec::new());
    for pack in &packs {
        if let Some(Contents::Bundle(name)) = contents(pack) {
            built_in.push(name.to_owned());
        }
        // Those below the add-ons come first, whatever their values say.
        let addon = pack.layer == Layer::Addon.name();
        let priority = packs::install_priority(&pack.values).map_err(|error| values(pack, error))?;
        let place = (addon, if addon { priority } else { 0 });
        let own = self::layers(pack).map_err(|error| values(pack, error))?;
        layers.extend(own.into_iter().map(|layer| (place, layer)));
    }
    // Stable: equals stay in the order of their profiles.
    layers.sort_by_key(|(place, _)| *place);
    let layers: Vec<Value> = layers.into_iter().map(|(_, layer)| layer).collect();
    let text =
        |key: &str| cluster.cloud_config.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let mut document = json!({
        "schemaVersion": intent::SCHEMA,
        "uid": uid,
        "name": cluster.meta.name,
        "namespace": cluster.namespace,
        "kubernetesVersion": version,
        "renderer": intent::RENDERER,
        "endpoint": { "dnsDomain": text("domain").unwrap_or_default() },
        "pools": cluster.pools.iter().map(|pool| self::pool(pool, &image)).collect::<Vec<_>>(),
        "layers": layers,
        "sshKeys": cluster.cloud_config.get("sshKeys").cloned().filter(Value::is_array).unwrap_or(json!([])),
    });
    if let Value::Object(fields) = &mut document {
        let mut network = Map::new();
        network.extend(networks.pods.map(|pods| ("pods".to_owned(), json!(pods))));
        network.extend(networks.services.map(|services| ("services".to_owned(), json!(services))));
        fields.insert("network".to_owned(), Value::Object(network));
        if let Some(text) = text("overrideClusterApiConfig") {
            fields.insert("overrideClusterApiConfig".to_owned(), json!(text));
        }
    }
    let intent: Intent = serde_json::from_value(document).map_err(|error| vec![error.to_string()])?;
    let problems: Vec<String> = intent.check().iter().map(ToString::to_string).collect();
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Order {
        incarnation,
        generation: cluster.generation,
        account: Account { endpoint: account.endpoint.clone(), key: account.key.clone() },
        intent,
        built_in,
        deleted: cluster.deleted.is_some(),
    })
}

/// A pool as the intent has it, from one of `machinepoolconfig`.
fn pool(sent: &Value, image: &str) -> Value {
    let at = |pointer: &str| sent.pointer(pointer).cloned().filter(|value| !value.is_null());
    let flag = |pointer: &str| at(pointer) == Some(Value::Bool(true));
    let mut pool = Map::new();
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            pool.insert(key.to_owned(), value);
        }
    };
    let control = is_control_plane(sent);
    put("name", at("/poolConfig/name"));
    put("role", Some(json!(if control { "control-plane" } else { "worker" })));
    put("replicas", at("/poolConfig/size"));
    put("image", Some(json!(image)));
    put("minCPU", at("/cloudConfig/instanceType/minCPU"));
    put("minMemoryMiB", at("/cloudConfig/instanceType/minMemInMB"));
    put("minDiskGB", at("/cloudConfig/instanceType/minDiskSizeInGB").filter(|size| *size != json!(0)));
    put("zones", at("/cloudConfig/azs"));
    put("resourcePool", at("/cloudConfig/resourcePool").filter(|name| *name != json!("")));
    put("tags", at("/cloudConfig/tags"));
    put("labels", at("/poolConfig/additionalLabels"));
    put("taints", at("/poolConfig/taints"));
    if control {
        put("controlPlaneAsWorker", Some(json!(flag("/poolConfig/useControlPlaneAsWorker"))));
    }
    let written = |value: &Value| value.as_str().is_some_and(|text| !text.trim().is_empty());
    put("overrideKubeadmConfiguration", at("/poolConfig/overrideKubeadmConfiguration").filter(written));
    put("overrideClusterApiConfig", at("/poolConfig/overrideClusterApiConfig").filter(written));
    Value::Object(pool)
}

/// What is installed of a pack beside what the site has in its bundle: its chart, then its manifests.
fn layers(pack: &ProfilePack) -> Result<Vec<Value>, packs::ValuesError> {
    let mut layers = Vec::new();
    if let Some(Contents::Chart(chart)) = contents(pack) {
        let how = packs::installation(chart.name(), &pack.values)?;
        let chart = json!({
            "digest": chart.archive().digest,
            "release": how.release,
            "namespace": how.namespace,
            "values": how.values,
        });
        layers.push(json!({ "name": plain(&pack.name), "chart": chart }));
    }
    let own: Vec<&str> = pack.manifests.iter().map(|one| one.content.as_str()).collect();
    if !own.is_empty() {
        let name =
            if layers.is_empty() { plain(&pack.name) } else { format!("{}-manifests", plain(&pack.name)) };
        layers.push(json!({ "name": name, "manifests": own.join("\n---\n") }));
    }
    Ok(layers)
}

/// The layer by whose standing a pack is judged; none for one that is in the machines' image.
pub fn layer_of(pack: &ProfilePack) -> Option<String> {
    match contents(pack) {
        Some(Contents::Image) => None,
        Some(Contents::Bundle(name)) => Some(name.to_owned()),
        Some(Contents::Chart(_)) | None => Some(plain(&pack.name)),
    }
}

fn contents(pack: &ProfilePack) -> Option<Contents> {
    packs::by_uid(&pack.uid).map(|known| known.contents)
}

/// A pack's name as a layer has it.
fn plain(name: &str) -> String {
    let letter =
        |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
    let plain: String = name.chars().map(letter).collect();
    plain.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use plane_model::{ClusterProfile, Manifest, Meta, Owner, State};
    use reconcile::Timeline;
    use sealing::SealingKey;
    use secrets::Secret;

    use super::*;

    const UID: &str = "6745a1c0ffee5eed00000001";

    fn pack(uid: &str, layer: &str, tag: &str, values: &str) -> ProfilePack {
        ProfilePack {
            name: layer.into(),
            layer: layer.into(),
            kind: "spectro".into(),
            tag: tag.into(),
            uid: uid.into(),
            values: values.into(),
            ..ProfilePack::default()
        }
    }

    fn cluster() -> Cluster {
        let web = ProfilePack {
            name: "My Web".into(),
            layer: "addon".into(),
            kind: "manifest".into(),
            manifests: vec![Manifest {
                uid: "1".into(),
                name: "a".into(),
                content: "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: web\n".into(),
            }],
            ..ProfilePack::default()
        };
        let packs = vec![
            pack("5eed00000000000000000101", "os", "12", ""),
            pack("5eed00000000000000000102", "k8s", "1.36.3", "pack:\n  podCIDR: 10.9.0.0/16\n"),
            pack("5eed00000000000000000103", "cni", "1.0.0", ""),
            web,
        ];
        let pool = |name: &str, control: bool, size: u32| {
            json!({
            "cloudConfig": {"azs": [], "instanceType": {"minCPU": 2, "minMemInMB": 2048}, "resourcePool": "default", "tags": []},
            "poolConfig": {"name": name, "size": size, "labels": [if control { "control-plane" } else { "worker" }], "isControlPlane": control, "newer": 1}})
        };
        let now = Timestamp::UNIX_EPOCH;
        Cluster {
            meta: Meta::new("demo", now),
            owner: Owner::Tenant,
            account: "a".into(),
            overlord: "o".into(),
            namespace: "demo-1".into(),
            generation: 4,
            cloud_config: json!({"domain": "maas", "sshKeys": []}).as_object().unwrap().clone(),
            pools: vec![pool("cp", true, 1), pool("workers", false, 2)],
            extra: Map::new(),
            profiles: vec![ClusterProfile {
                uid: "p".into(),
                name: "p".into(),
                version: "1.0.0".into(),
                kind: "cluster".into(),
                packs,
            }],
            state: State::Pending,
            taken: 0,
            report: None,
            waiting: String::new(),
            timeline: Timeline::default(),
            deleted: None,
        }
    }

    fn account() -> CloudAccount {
        let key = SealingKey::generate().unwrap().public().seal(&Secret::from("a:b:c"), "x").unwrap();
        CloudAccount {
            meta: Meta::new("a", Timestamp::UNIX_EPOCH),
            owner: Owner::Tenant,
            overlord: "o".into(),
            endpoint: "http://10.0.0.1:5240/MAAS".into(),
            key,
            preferred_subnets: None,
            extra: Map::new(),
        }
    }

    #[test]
    fn a_cluster_as_it_was_asked_for() {
        let order = order(UID, &cluster(), &account(), 7).unwrap();
        assert_eq!((order.age(), order.deleted), ((7, 4), false));
        assert_eq!(order.built_in, ["cni"]);
        let intent = serde_json::to_value(&order.intent).unwrap();
        assert_eq!(intent["network"]["pods"], "10.9.0.0/16");
        assert_eq!(intent["pools"][1]["replicas"], 2);
        assert_eq!(intent["pools"][0]["image"], "custom/debian-12-kubernetes-1.36.3");
        assert_eq!(intent["layers"][0]["name"], "my-web");
    }

    #[test]
    fn charts_and_manifests_by_their_priority() {
        let mut cluster = cluster();
        let first =
            "pack: {namespace: n, spectrocloud.com/install-priority: -1}\ncharts: {hello: {replicas: 3}}\n";
        cluster.profiles[0].packs.push(pack("5eed00000000000000000104", "addon", "1.0.0", first));
        let intent = serde_json::to_value(order(UID, &cluster, &account(), 1).unwrap().intent).unwrap();
        assert_eq!(
            (&intent["layers"][0]["name"], &intent["layers"][1]["name"]),
            (&json!("addon"), &json!("my-web"))
        );
        let chart = &intent["layers"][0]["chart"];
        assert_eq!(
            (&chart["release"], &chart["namespace"], &chart["values"]),
            (&json!("hello"), &json!("n"), &json!("replicas: 3\n"))
        );
        assert!(packs::archive(chart["digest"].as_str().unwrap()).is_some());
    }

    #[test]
    fn what_cannot_be_is_said() {
        let said = |edit: &dyn Fn(&mut Cluster)| {
            let mut cluster = cluster();
            edit(&mut cluster);
            order(UID, &cluster, &account(), 1).unwrap_err().join("; ")
        };
        assert!(
            said(&|c| {
                c.profiles[0].packs.remove(2);
            })
            .contains("cni layer")
        );
        assert!(said(&|c| c.meta.name = "Not A Label".into()).contains("Not A Label"));
        assert!(said(&|c| c.pools.clear()).contains("control"));
        assert!(said(&|c| c.pools[0]["poolConfig"]["size"] = json!(2)).contains('2'));
        assert!(said(&|c| c.pools[0]["poolConfig"]["size"] = json!("x")).contains("invalid type"));
        assert!(said(&|c| c.profiles[0].packs[1].values = "pack: [".into()).contains("YAML"));
    }
}
