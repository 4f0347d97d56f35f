//! Who may know whom: the crate arrows of ARCHITECTURE.md, checked against cargo's own metadata.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use std::{collections::BTreeMap, path::Path};

/// Layer of a crate by its folder, and the layers that it may know.
fn allowed(layer: &str) -> &'static [&'static str] {
    match layer {
        "base" | "bundle" => &["base"],
        "contract" => &["base", "contract"],
        // The one exception: power's tests run against the lab's virtual BMC (a dev-dependency, not counted here).
        "metal" => &["base", "contract", "metal"],
        "capi" => &["base", "contract", "capi"],
        "gateway" => &["base", "contract", "capi", "gateway", "bundle"],
        "plane" => &["base", "contract", "plane"],
        "lab" => &["base", "contract", "lab"],
        "cli" => &["base", "contract", "bundle"],
        "bessemer" => &["base", "contract", "metal", "capi", "gateway", "plane", "lab", "bundle", "cli"],
        // Metal for the benchmarks: they fill a region's store, and speak DHCP to it.
        "xtask" => &["base", "contract", "metal", "lab", "bundle"],
        other => panic!("{other} is not a folder of the architecture"),
    }
}

fn layer(manifest: &str, root: &Path) -> String {
    let path = Path::new(manifest).strip_prefix(root).unwrap();
    let mut parts = path.iter().map(|part| part.to_str().unwrap());
    match parts.next().unwrap() {
        "crates" => parts.next().unwrap().to_owned(),
        other => other.to_owned(),
    }
}

#[test]
fn crates_know_only_whom_they_may() {
    let (root, metadata) = (common::root(), common::metadata());
    let packages = metadata["packages"].as_array().unwrap();
    let layers: BTreeMap<&str, String> = packages
        .iter()
        .map(|p| (p["name"].as_str().unwrap(), layer(p["manifest_path"].as_str().unwrap(), root)))
        .collect();
    let mut wrong = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap();
        let known = package["dependencies"].as_array().unwrap().iter().filter(|d| d["kind"].is_null());
        for dependency in known {
            let dependency = dependency["name"].as_str().unwrap();
            if let Some(layer) = layers.get(dependency)
                && !allowed(&layers[name]).contains(&layer.as_str())
            {
                wrong.push(format!("{name} ({}) knows {dependency} ({layer})", layers[name]));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
