//! The version, and the description from which MAAS's own clients build their commands.

use serde_json::{Value, json};
use sha1::{Digest, Sha1};

use api_call::{
    Answer, Call, Reply,
    route::{Access, Op, Resource, restful},
};

/// What clients ask for before they use it.
const CAPABILITIES: [&str; 9] = [
    "networks-management",
    "static-ipaddresses",
    "ipv6-deployment-ubuntu",
    "devices-management",
    "storage-deployment-ubuntu",
    "network-deployment-ubuntu",
    "bridging-interface-ubuntu",
    "bridging-automatic-ubuntu",
    "authenticate-api",
];

/// Version and description.
pub fn resources() -> Vec<Resource> {
    vec![
        Resource {
            name: "VersionHandler",
            path: "version/",
            params: &[],
            ops: vec![restful!(GET, Anonymous, "The version and what it is capable of.", version)],
        },
        Resource {
            name: "DescribeHandler",
            path: "describe/",
            params: &[],
            ops: vec![restful!(GET, Anonymous, "This description.", describe)],
        },
    ]
}

async fn version(call: Call) -> Answer {
    Ok(Reply::Json(json!({
        "capabilities": CAPABILITIES, "version": call.state.settings.version, "subversion": "",
    })))
}

async fn describe(call: Call) -> Answer {
    let table = super::all();
    let (hash, mut document) = (hash(&table), document(&table, &call.base));
    if let Some(object) = document.as_object_mut() {
        object.insert("hash".to_owned(), json!(hash));
    }
    // Exactly `application/json`: clients compare for equality.
    Ok(Reply::PlainJson(document))
}

/// Changes when the description does; clients see it on every answer.
pub fn hash(table: &[Resource]) -> String {
    hex::encode(Sha1::digest(document(table, "").to_string()))
}

fn document(table: &[Resource], base: &str) -> Value {
    let mut resources: Vec<&Resource> =
        table.iter().filter(|resource| resource.name != "DescribeHandler").collect();
    resources.sort_by_key(|resource| resource.name);
    // A resource that answers at two paths is described at its first.
    resources.dedup_by_key(|resource| resource.name);
    let mut handlers = Vec::new();
    let described: Vec<Value> = resources
        .into_iter()
        .map(|resource| {
            let auth = handler(resource, base, resource.name, &resource.ops.iter().collect::<Vec<_>>());
            let open: Vec<&Op> = resource.ops.iter().filter(|op| op.access == Access::Anonymous).collect();
            let anon = if open.is_empty() {
                Value::Null
            } else {
                handler(resource, base, &format!("Anon{}", resource.name), &open)
            };
            handlers.extend([&auth, &anon].into_iter().filter(|handler| !handler.is_null()).cloned());
            json!({ "name": resource.name, "auth": auth, "anon": anon })
        })
        .collect();
    json!({ "doc": "MAAS API", "resources": described, "handlers": handlers })
}

fn handler(resource: &Resource, base: &str, name: &str, ops: &[&Op]) -> Value {
    let path = format!("/MAAS/api/2.0/{}", resource.path);
    let actions: Vec<Value> = ops
        .iter()
        .map(|op| {
            json!({
                "name": op.name, "method": op.method.as_str(), "op": op.op, "restful": op.op.is_none(),
                "doc": doc(op),
            })
        })
        .collect();
    json!({
        "name": name, "doc": "", "params": resource.params, "path": path, "uri": format!("{base}{path}"),
        "actions": actions,
    })
}

/// What is said of an operation, and its parameters one by one: MAAS's command line takes `name=value` only where it
/// finds a `:param`.
fn doc(op: &Op) -> String {
    let named = op.doc.split('`').skip(1).step_by(2).filter(|name| !name.contains(' '));
    let params: Vec<String> = named.map(|name| format!(":param {name}: see above")).collect();
    let others = ":param others: those of MAAS, where they make sense here";
    format!("{}\n\n{}\n{others}\n", op.doc, params.join("\n")).replace("\n\n\n", "\n\n")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    /// MAAS's command line offers parameters by what is said of them.
    #[test]
    fn operations_say_their_parameters() {
        let table = super::super::all();
        let zones = table.iter().find(|resource| resource.name == "ZonesHandler").unwrap();
        let create = zones.ops.iter().find(|op| op.name == "create").unwrap();
        let said = super::doc(create);
        assert!(said.contains("\n\n:param name: ") && said.contains("\n:param description: "), "{said}");
        assert!(
            table.iter().flat_map(|resource| &resource.ops).all(|op| super::doc(op).contains("\n:param "))
        );
    }

    /// Two rows for one path would hide each other.
    #[test]
    fn paths_and_operations_are_unique() {
        let table = super::super::all();
        let twice = |all: Vec<&'static str>| {
            let mut seen = HashSet::new();
            all.into_iter().filter(|one| !seen.insert(*one)).collect::<Vec<_>>()
        };
        assert_eq!(twice(table.iter().map(|resource| resource.path).collect()), Vec::<&str>::new());
        for resource in &table {
            let ops: HashSet<_> = resource.ops.iter().map(|op| (op.method.clone(), op.op)).collect();
            assert_eq!(ops.len(), resource.ops.len(), "{}", resource.name);
            assert_eq!(resource.path.matches('{').count(), resource.params.len(), "{}", resource.name);
        }
    }
}
