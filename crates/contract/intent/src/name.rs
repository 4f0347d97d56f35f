//! Names of objects: DNS labels (RFC 1123) of at most 63 characters, and fingerprints of content.

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest, Sha256};

/// Longest DNS label.
pub(crate) const LONGEST: usize = 63;
/// Length of a fingerprint.
const FINGERPRINT: usize = 8;

/// `parts` joined by dashes, where that is a DNS label; else what can be kept of it and a fingerprint of the whole.
pub(crate) fn join(parts: &[&str]) -> String {
    shortened(parts, LONGEST)
}

/// `parts` and the fingerprint of what the object says, so that another content is another name.
pub(crate) fn of_content(parts: &[&str], content: &Value) -> String {
    let stem = shortened(parts, LONGEST - 1 - FINGERPRINT);
    format!("{stem}-{}", digest(canonical(content).as_bytes()))
}

/// Whether `name` is a DNS label that begins with a letter, as every joined name then does.
pub(crate) fn is_label(name: &str) -> bool {
    name.len() <= LONGEST
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.ends_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

fn shortened(parts: &[&str], longest: usize) -> String {
    let joined = parts.join("-");
    if joined.len() <= longest && is_label(&joined) {
        return joined;
    }
    let clean = joined.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' });
    let kept: String = clean.take(longest - 1 - FINGERPRINT).collect();
    format!("{}-{}", kept.trim_end_matches('-'), digest(joined.as_bytes()))
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes)).chars().take(FINGERPRINT).collect()
}

/// JSON with sorted keys: `serde_json` itself keeps or sorts them depending on what else is in a build, and a name
/// must not.
fn canonical(value: &Value) -> String {
    let joined = |items: Vec<String>| items.join(",");
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<_, _> = map.iter().collect();
            let pairs = sorted
                .into_iter()
                .map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), canonical(value)));
            format!("{{{}}}", joined(pairs.collect()))
        }
        Value::Array(items) => format!("[{}]", joined(items.iter().map(canonical).collect())),
        scalar => scalar.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn joined_names_are_labels_and_differ_as_their_parts_do(a in "[a-z][a-z0-9-]{0,30}[a-z0-9]", b in "\\PC{0,80}", c in "\\PC{0,80}") {
            let (first, second) = (join(&[&a, &b]), join(&[&a, &c]));
            prop_assert!(is_label(&first), "{first}");
            prop_assert_eq!(first == second, b == c);
            let by_content = of_content(&[&a, &b], &Value::from(c));
            prop_assert!(is_label(&by_content), "{by_content}");
        }
    }

    #[test]
    fn plain_names_stay_plain_and_the_order_of_keys_is_nothing() {
        assert_eq!(join(&["demo", "workers", "az1"]), "demo-workers-az1");
        assert_eq!(join(&["demo", "AZ 1"]), format!("demo-az-1-{}", digest(b"demo-AZ 1")));
        let read = |text: &str| of_content(&["demo"], &serde_json::from_str(text).unwrap());
        assert_eq!(
            read(r#"{"a": {"x": 1, "y": [2]}, "b": "c"}"#),
            read(r#"{"b": "c", "a": {"y": [2], "x": 1}}"#)
        );
        assert_ne!(read(r#"{"a": 1}"#), read(r#"{"a": 2}"#));
    }
}
