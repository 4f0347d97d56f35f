//! Palette's two override documents: YAML that people write and that is kept as they wrote it.
//!
//! Palette applies `overrideClusterApiConfig` as an RFC 7396 merge patch, last, under a key that is the Cluster API
//! kind in camel case; its own examples also write the kind itself (`MaasCluster`), so both are taken.
//! (<https://docs.spectrocloud.com>, "Override Cluster API Properties".)

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

/// What `overrideKubeadmConfiguration` may say.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Kubeadm {
    /// Flags of the kubelet without dashes, and their values.
    pub kubelet_extra_args: BTreeMap<String, Scalar>,
    /// Shell commands before `kubeadm join`.
    pub pre_kubeadm_commands: Vec<String>,
    /// Shell commands after it.
    pub post_kubeadm_commands: Vec<String>,
}

/// A value that people write with or without quotes.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Scalar {
    Text(String),
    Number(serde_json::Number),
    Flag(bool),
}

impl std::fmt::Display for Scalar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
            Self::Flag(flag) => flag.fmt(f),
        }
    }
}

/// Reads an `overrideKubeadmConfiguration`; an empty text overrides nothing.
pub(crate) fn kubeadm(text: &str) -> Result<Kubeadm, String> {
    let document: Option<Kubeadm> = serde_yaml_ng::from_str(text).map_err(|error| error.to_string())?;
    Ok(document.unwrap_or_default())
}

/// Reads an `overrideClusterApiConfig` for an object of `kind`: the merge patch for that object.
pub(crate) fn cluster_api(text: &str, kind: &str) -> Result<Value, String> {
    let document: Option<Map<String, Value>> =
        serde_yaml_ng::from_str(text).map_err(|error| error.to_string())?;
    let mut patch = Value::Object(Map::new());
    for (key, part) in document.unwrap_or_default() {
        if !is_key_of(&key, kind) {
            return Err(format!("`{key}` cannot be overridden here, only `{}`", camel(kind)));
        }
        let Some(fields) = part.as_object() else {
            return Err(format!("below `{key}` there must be a map with `spec`"));
        };
        if let Some(other) = fields.keys().find(|field| *field != "spec") {
            return Err(format!("below `{key}` only `spec` can be overridden, not `{other}`"));
        }
        merge(&mut patch, &part);
    }
    Ok(patch)
}

/// Applies a JSON merge patch (RFC 7396).
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    if let Value::Object(target) = target {
        for (key, value) in patch {
            if value.is_null() {
                target.remove(key);
            } else {
                merge(target.entry(key.as_str()).or_insert(Value::Null), value);
            }
        }
    }
}

fn is_key_of(key: &str, kind: &str) -> bool {
    key == kind || key == camel(kind)
}

fn camel(kind: &str) -> String {
    let mut letters = kind.chars();
    letters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The examples of RFC 7396, appendix A.
    #[test]
    fn merges_as_the_rfc_says() {
        for (target, patch, result) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a": "b"}), json!(["c"]), json!(["c"])),
            (json!({"a": "foo"}), json!(null), json!(null)),
            (json!({"a": "foo"}), json!("bar"), json!("bar")),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            let mut merged = target.clone();
            merge(&mut merged, &patch);
            assert_eq!(merged, result, "{target} with {patch}");
        }
    }

    #[test]
    fn takes_palettes_own_examples() {
        let lower = cluster_api("maasCluster:\n  spec:\n    failureDomains: [az1]\n", "MaasCluster").unwrap();
        let kind = cluster_api("MaasCluster:\n  spec:\n    failureDomains: [az1]\n", "MaasCluster").unwrap();
        assert_eq!(lower, json!({"spec": {"failureDomains": ["az1"]}}));
        assert_eq!(lower, kind);
        assert_eq!(cluster_api("# nothing yet\n", "MaasCluster").unwrap(), json!({}));

        let read = kubeadm("kubeletExtraArgs:\n  node-labels: \"env=production\"\n  max-pods: 110\npreKubeadmCommands:\n  - echo a\n").unwrap();
        assert_eq!(read.kubelet_extra_args["max-pods"].to_string(), "110");
        assert_eq!(read.pre_kubeadm_commands, ["echo a"]);
        assert!(kubeadm("").unwrap().post_kubeadm_commands.is_empty());
    }

    #[test]
    fn refuses_with_words_what_it_would_not_apply() {
        let refused = |text| cluster_api(text, "MaasCluster").unwrap_err();
        assert!(refused("kubeadmControlPlane: {}").contains("only `maasCluster`"));
        assert!(refused("maasCluster: {metadata: {name: x}}").contains("only `spec`"));
        assert!(refused("maasCluster: 3").contains("must be a map"));
        assert!(kubeadm("files: []").unwrap_err().contains("unknown field `files`"));
    }
}
