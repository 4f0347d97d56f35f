//! `docs/dependencies.md` says why each direct dependency is there: one line each, none for what is gone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use std::{collections::BTreeSet, fs};

#[test]
fn each_dependency_has_its_line() {
    let (root, metadata) = (common::root(), common::metadata());
    let used: BTreeSet<&str> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|package| package["dependencies"].as_array().unwrap())
        .filter(|dependency| dependency["path"].is_null())
        .map(|dependency| dependency["name"].as_str().unwrap())
        .collect();

    let text = fs::read_to_string(root.join("docs/dependencies.md")).unwrap();
    let lines: Vec<&str> =
        text.lines().filter_map(|line| Some(line.strip_prefix("- `")?.split_once("` – ")?.0)).collect();
    let told: BTreeSet<&str> = lines.iter().copied().collect();
    assert_eq!(lines.len(), told.len(), "a dependency has two lines");
    assert_eq!(told, used, "left: docs/dependencies.md; right: the manifests");

    let manifest: toml::Table = fs::read_to_string(root.join("Cargo.toml")).unwrap().parse().unwrap();
    let offered = manifest["workspace"]["dependencies"].as_table().unwrap();
    let unused: Vec<_> = offered
        .iter()
        .filter(|(name, entry)| entry.get("path").is_none() && !used.contains(name.as_str()))
        .collect();
    assert!(unused.is_empty(), "no crate uses {unused:?}");
}
