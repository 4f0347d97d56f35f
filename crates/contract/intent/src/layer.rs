//! A layer: YAML documents that are Kubernetes objects, or a chart.

use serde::Deserialize;
use serde_json::Value;

use crate::{
    model::{Chart, Layer},
    name,
};

/// Most bytes of all layers: an order is kept as one object of Kubernetes, which takes 1.5 MiB (etcd,
/// `--max-request-bytes`).
pub(crate) const LARGEST: usize = 1024 * 1024;

impl Layer {
    /// Bytes of its texts.
    pub(crate) fn size(&self) -> usize {
        self.manifests.len() + self.chart.as_ref().map_or(0, |chart| chart.values.len())
    }

    /// What is wrong with it, as a sentence.
    pub(crate) fn fault(&self) -> Option<String> {
        match &self.chart {
            None => check(&self.manifests).err(),
            Some(_) if !self.manifests.is_empty() => {
                Some("it is a chart and has manifests: make two layers of it".to_owned())
            }
            Some(chart) => chart.fault(),
        }
    }
}

impl Chart {
    fn fault(&self) -> Option<String> {
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if self.digest.len() != 64 || !self.digest.bytes().all(hex) {
            return Some(format!("chart.digest is `{}`; it must be a SHA-256, 64 hex digits", self.digest));
        }
        for (field, value) in [("release", &self.release), ("namespace", &self.namespace)] {
            if !name::is_label(value) {
                return Some(format!("chart.{field} is `{value}`; it must be a DNS label"));
            }
        }
        match serde_yaml_ng::from_str::<Value>(&self.values) {
            Ok(Value::Object(_) | Value::Null) => None,
            Ok(_) => Some("chart.values must be a map".to_owned()),
            Err(error) => Some(format!("chart.values: {error}")),
        }
    }
}

/// Looks at each document of a layer.
///
/// # Errors
/// A sentence about the first document that is no Kubernetes object.
fn check(text: &str) -> Result<(), String> {
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
    use super::*;

    #[test]
    fn a_chart_has_a_digest_names_and_values() {
        let chart = Chart {
            digest: "0a".repeat(32),
            release: "web".into(),
            namespace: "web".into(),
            values: "a: 1\n".into(),
        };
        let fault = |change: &dyn Fn(&mut Layer)| {
            let mut layer =
                Layer { name: "web".into(), manifests: String::new(), chart: Some(chart.clone()) };
            change(&mut layer);
            layer.fault()
        };
        assert_eq!(fault(&|_| {}), None);
        assert_eq!(fault(&|layer| layer.chart.as_mut().unwrap().values.clear()), None);
        for (change, why) in [
            (&(|layer: &mut Layer| layer.manifests = "a".into()) as &dyn Fn(&mut Layer), "two layers"),
            (&|layer| layer.chart.as_mut().unwrap().digest = "0A".repeat(32), "SHA-256"),
            (&|layer| layer.chart.as_mut().unwrap().release = "A b".into(), "chart.release"),
            (&|layer| layer.chart.as_mut().unwrap().values = "- 1".into(), "a map"),
            (&|layer| layer.chart.as_mut().unwrap().values = "[".into(), "chart.values: "),
        ] {
            let said = fault(change).unwrap();
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn says_which_document_is_wrong() {
        check("---\napiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\n# nothing\n").unwrap();
        assert_eq!(
            check("apiVersion: v1\nkind: A\n---\nkind: B\n").unwrap_err(),
            "document 2 has no apiVersion or no kind"
        );
        assert!(check("a: [").unwrap_err().starts_with("document 1: "));
        assert_eq!(check("# only a comment\n").unwrap_err(), "it has no objects");
    }
}
