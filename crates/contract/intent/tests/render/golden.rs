//! The objects of two clusters, to be read by people: `tests/golden/*.yaml` is what `*.json` renders to.
//!
//! `BLESS=1 cargo test -p intent --test render` writes them anew.

use std::{collections::BTreeMap, env, fs, path::Path};

use intent::{Intent, render};
use serde_json::Value;

#[test]
fn small() {
    compare("small", &crate::small());
}

#[test]
fn ha() {
    compare("ha", &crate::ha());
}

/// What is read is what was written: overrides and layers byte for byte.
#[test]
fn an_intent_survives_being_stored() {
    for intent in [crate::small(), crate::ha()] {
        assert_eq!(Intent::from_json(&serde_json::to_string(&intent).unwrap()).unwrap(), intent);
    }
}

fn compare(name: &str, intent: &Intent) {
    let rendered: String =
        render(intent).unwrap().into_iter().map(|object| document(object.value())).collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.yaml"));
    if env::var_os("BLESS").is_some() {
        fs::write(&path, &rendered).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap();
    for (wanted, found) in golden.split("---\n").zip(rendered.split("---\n")) {
        assert_eq!(wanted, found, "{name}.yaml is the left one");
    }
    assert_eq!(golden.len(), rendered.len(), "{name}.yaml has more or fewer objects");
}

fn document(object: &Value) -> String {
    format!("---\n{}", serde_yaml_ng::to_string(&sorted(object)).unwrap())
}

fn sorted(value: &Value) -> serde_yaml_ng::Value {
    match value {
        Value::Object(map) => {
            let map: BTreeMap<_, _> = map.iter().map(|(key, value)| (key, sorted(value))).collect();
            serde_yaml_ng::to_value(map).unwrap()
        }
        Value::Array(items) => items.iter().map(sorted).collect::<Vec<_>>().into(),
        scalar => serde_yaml_ng::to_value(scalar).unwrap(),
    }
}
