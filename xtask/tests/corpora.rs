//! Every file of the fuzz corpora goes through its parser, as in `fuzz/`, but with stable Rust.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

#[path = "../../fuzz/parsers.rs"]
#[allow(clippy::default_trait_access, reason = "spares the fuzz crate the dependencies that name the types")]
mod parsers;

type Parser = fn(&[u8]);

const PARSERS: [(&str, Parser); 19] = [
    ("assignment", parsers::assignment),
    ("boot_path", parsers::boot_path),
    ("cmdline", parsers::cmdline),
    ("dhcp", parsers::dhcp),
    ("dhcp_reply", parsers::dhcp_reply),
    ("dns", parsers::dns),
    ("grant", parsers::grant),
    ("hello", parsers::hello),
    ("inventory", parsers::inventory),
    ("metadata", parsers::metadata),
    ("multipart", parsers::multipart),
    ("ntp", parsers::ntp),
    ("oauth", parsers::oauth),
    ("pairing_code", parsers::pairing_code),
    ("params", parsers::params),
    ("redfish", parsers::redfish),
    ("report", parsers::report),
    ("table", parsers::table),
    ("tftp", parsers::tftp),
];

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

/// Names in a folder, without extensions.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn no_corpus_file_harms_its_parser() {
    for (name, parse) in PARSERS {
        let folder = fuzz().join("corpus").join(name);
        let mut files = 0;
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            parse(&fs::read(&path).unwrap());
            files += 1;
        }
        assert!(files >= 3, "the corpus of {name} is too small");
    }
}

/// What was cut off on its way, too.
#[test]
fn no_part_of_a_corpus_file_harms_its_parser() {
    for (name, parse) in PARSERS {
        for entry in fs::read_dir(fuzz().join("corpus").join(name)).unwrap() {
            let bytes = fs::read(entry.unwrap().path()).unwrap();
            (0..bytes.len().min(600)).for_each(|len| parse(&bytes[..len]));
        }
    }
}

#[test]
fn every_parser_has_a_target_and_a_corpus() {
    let parsers: BTreeSet<String> = PARSERS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&fuzz().join("fuzz_targets")), parsers);
    assert_eq!(names(&fuzz().join("corpus")), parsers);
}
