//! Objects as text, applied and deleted.

use kube::api::{DeleteParams, Patch, PatchParams};
use serde::Deserialize as _;
use serde_json::Value;

use crate::{Kinds, Reference};

/// Who writes, to the API server.
const WRITER: &str = "bessemer-layers";
/// What others need is applied before them.
const FIRST: [&str; 2] = ["Namespace", "CustomResourceDefinition"];

/// The objects of a text, in the order in which they are to be applied; lists are taken apart.
pub fn read(text: &str) -> Result<Vec<Value>, String> {
    let mut objects = Vec::new();
    for (number, document) in (1..).zip(serde_yaml_ng::Deserializer::from_str(text)) {
        let document = Value::deserialize(document).map_err(|error| format!("document {number}: {error}"))?;
        match document {
            Value::Null => {}
            Value::Object(mut list) if is_list(&list) => {
                if let Some(Value::Array(items)) = list.remove("items") {
                    objects.extend(items);
                }
            }
            object => objects.push(object),
        }
    }
    let named = |object: &&Value| {
        let there =
            |pointer| object.pointer(pointer).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
        !(there("/apiVersion") && there("/kind") && there("/metadata/name"))
    };
    if let Some(odd) = objects.iter().find(named) {
        return Err(format!("an object without apiVersion, kind or metadata.name: {odd}"));
    }
    let rank = |object: &Value| {
        let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default();
        FIRST.iter().position(|first| *first == kind).unwrap_or(FIRST.len())
    };
    // Stable: the rest stays in the order of the text.
    objects.sort_by_key(rank);
    Ok(objects)
}

fn is_list(object: &serde_json::Map<String, Value>) -> bool {
    object.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"))
        && object.get("items").is_some_and(Value::is_array)
}

/// Applies objects; a sentence where one cannot be.
pub async fn apply(kinds: &mut Kinds, objects: &[Value]) -> Result<Result<(), String>, kube::Error> {
    for object in objects {
        let reference = Reference::of(object);
        let Some(api) = kinds.api(&reference).await? else {
            return Ok(Err(format!("{reference}: the cluster knows no kind {}", reference.kind)));
        };
        let done =
            api.patch(&reference.name, &PatchParams::apply(WRITER).force(), &Patch::Apply(object)).await;
        match done {
            Ok(_) => {}
            // The API server says why: a field that it does not take, or a webhook.
            Err(kube::Error::Api(status)) => return Ok(Err(format!("{reference}: {}", status.message))),
            Err(error) => return Err(error),
        }
    }
    Ok(Ok(()))
}

/// Deletes objects, the last one first; a sentence where one cannot be.
pub async fn delete(kinds: &mut Kinds, gone: &[Reference]) -> Result<Result<(), String>, kube::Error> {
    for reference in gone.iter().rev() {
        let Some(api) = kinds.api(reference).await? else { continue };
        match api.delete(&reference.name, &DeleteParams::background()).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(kube::Error::Api(status)) => return Ok(Err(format!("{reference}: {}", status.message))),
            Err(error) => return Err(error),
        }
    }
    Ok(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_and_definitions_come_first_and_lists_are_taken_apart() {
        let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\n# nothing\n---\napiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Secret, metadata: {name: b}}\n- {apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: c}}\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: d}\n";
        let names: Vec<_> = read(text)
            .unwrap()
            .iter()
            .map(|object| object["metadata"]["name"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(names, ["d", "c", "a", "b"]);
    }

    #[test]
    fn what_is_no_object_is_said() {
        assert!(read("apiVersion: v1\nkind: A\n").unwrap_err().contains("metadata.name"));
        assert!(read("a: [").unwrap_err().starts_with("document 1: "));
        assert_eq!(read("# nothing\n").unwrap(), Vec::<Value>::new());
    }
}
