//! A layer's text: YAML documents that are Kubernetes objects.

use serde::Deserialize;
use serde_json::Value;

/// Most bytes of a layer: what a Secret may hold (Kubernetes, `MaxSecretSize`).
pub(crate) const LARGEST: usize = 1024 * 1024;

/// Looks at each document of a layer.
///
/// # Errors
/// A sentence about the first document that is no Kubernetes object.
pub(crate) fn check(text: &str) -> Result<(), String> {
    if text.len() > LARGEST {
        return Err(format!(
            "it has {} bytes and may have {LARGEST}: divide it into several layers",
            text.len()
        ));
    }
    let mut objects = 0;
    for (number, document) in (1..).zip(serde_yaml_ng::Deserializer::from_str(text)) {
        match Value::deserialize(document).map_err(|error| format!("document {number}: {error}"))? {
            Value::Null => {}
            object if object.get("apiVersion").is_some() && object.get("kind").is_some() => objects += 1,
            _ => return Err(format!("document {number} has no apiVersion or no kind")),
        }
    }
    if objects == 0 {
        return Err("it has no objects".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn says_which_document_is_wrong() {
        check("---\napiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\n# nothing\n").unwrap();
        assert_eq!(
            check("apiVersion: v1\nkind: A\n---\nkind: B\n").unwrap_err(),
            "document 2 has no apiVersion or no kind"
        );
        assert!(check("a: [").unwrap_err().starts_with("document 1: "));
        assert_eq!(check("# only a comment\n").unwrap_err(), "it has no objects");
        assert!(check(&"#\n".repeat(1024 * 1024)).unwrap_err().contains("several layers"));
    }
}
