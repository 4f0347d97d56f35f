//! Nothing grows beyond what one can keep in one's head: lines of files and crates, as ARCHITECTURE.md limits them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use std::{fs, path::Path};

const FILE: usize = 900;
const CRATE: usize = 6000;

/// Lines of the Rust files below a folder; those that are too long are added to `wrong`.
fn lines(folder: &Path, wrong: &mut Vec<String>) -> usize {
    let mut sum = 0;
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sum += lines(&path, wrong);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let count = fs::read_to_string(&path).unwrap().lines().count();
            if count > FILE {
                wrong.push(format!("{}: {count} lines", path.display()));
            }
            sum += count;
        }
    }
    sum
}

#[test]
fn files_and_crates_stay_small() {
    let metadata = common::metadata();
    let mut wrong = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        let folder = Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap();
        let source = lines(&folder.join("src"), &mut wrong);
        lines(&folder.join("tests"), &mut wrong);
        if source > CRATE {
            wrong.push(format!("{}: {source} lines", package["name"]));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
