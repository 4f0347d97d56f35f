//! What is uploaded: a folder with a manifest, or a file.

use std::path::{Path, PathBuf};

use maas_client::NewImage;
use serde::Deserialize;

use super::{Upload, manifest_of};
use crate::CliError;

/// Endings of file names with MAAS's file types; the first that fits counts.
const ENDINGS: [(&str, &str); 15] = [
    (".tar.gz", "tgz"),
    (".tgz", "tgz"),
    (".tar.bz2", "tbz"),
    (".tbz", "tbz"),
    (".tar.xz", "txz"),
    (".txz", "txz"),
    (".ddtgz", "ddtgz"),
    (".dd.gz", "ddgz"),
    (".gz", "ddgz"),
    (".bz2", "ddbz2"),
    (".xz", "ddxz"),
    (".zst", "ddzst"),
    (".img", "ddraw"),
    (".raw", "ddraw"),
    (".dd", "ddraw"),
];

/// What `manifest.json` of an image folder says.
#[derive(Debug, Deserialize)]
struct Manifest {
    version: u32,
    os: String,
    series: String,
    architecture: String,
    filetype: String,
    file: PathBuf,
    sha256: String,
    size: u64,
    #[serde(default)]
    raw_size: Option<u64>,
    #[serde(default)]
    title: String,
}

/// A file with all that the region wants to know of it.
#[derive(Debug)]
pub struct Source {
    /// The file.
    pub file: PathBuf,
    /// Such as `debian/bookworm`.
    pub name: String,
    architecture: String,
    filetype: String,
    title: String,
    raw_size: Option<u64>,
    expected: Option<(String, u64)>,
}

/// Finds out what is to be uploaded.
pub fn open(wanted: &Upload) -> Result<Source, CliError> {
    let path = &wanted.path;
    let kind = std::fs::metadata(path).map_err(CliError::file(path))?;
    let mut source = if kind.is_dir() { from_folder(path)? } else { from_file(path, wanted)? };
    for (place, given) in [
        (&mut source.name, &wanted.name),
        (&mut source.title, &wanted.title),
        (&mut source.architecture, &wanted.architecture),
        (&mut source.filetype, &wanted.filetype),
    ] {
        if let Some(given) = given {
            given.clone_into(place);
        }
    }
    Ok(source)
}

impl Source {
    /// Whether the file is what its manifest promises.
    pub fn check(&self, sha256: &str, size: u64) -> Result<(), CliError> {
        match &self.expected {
            Some((hash, length)) if !hash.eq_ignore_ascii_case(sha256) || *length != size => {
                Err(CliError::Image {
                    what: format!("{} is not the file that its manifest promises", self.file.display()),
                    next: "build or fetch the image again".to_owned(),
                })
            }
            _ => Ok(()),
        }
    }

    /// What the region is told.
    pub fn into_new(self, sha256: String, size: u64) -> NewImage {
        let title = if self.title.is_empty() { self.name.clone() } else { self.title };
        NewImage {
            name: self.name,
            architecture: self.architecture,
            filetype: self.filetype,
            title,
            sha256,
            size,
            raw_size: self.raw_size,
        }
    }
}

fn from_folder(folder: &Path) -> Result<Source, CliError> {
    let path = manifest_of(folder);
    let text = std::fs::read_to_string(&path).map_err(CliError::file(&path))?;
    let broken = |reason: String| CliError::Image {
        what: format!("{} cannot be used: {reason}", path.display()),
        next:
            "give the folder of a disk image, as bessemer image build makes it, or the image file with --name"
                .to_owned(),
    };
    let manifest: Manifest = serde_json::from_str(&text).map_err(|error| broken(error.to_string()))?;
    if manifest.version != 1 {
        return Err(broken(format!("its version is {}, and this program knows 1", manifest.version)));
    }
    if manifest.file.components().count() != 1 || manifest.file.is_absolute() {
        return Err(broken("its file lies elsewhere".to_owned()));
    }
    Ok(Source {
        file: folder.join(&manifest.file),
        name: format!("{}/{}", manifest.os, manifest.series),
        architecture: manifest.architecture,
        filetype: manifest.filetype,
        title: manifest.title,
        raw_size: manifest.raw_size.filter(|size| *size > 0),
        expected: Some((manifest.sha256, manifest.size)),
    })
}

fn from_file(file: &Path, wanted: &Upload) -> Result<Source, CliError> {
    let lower = file.to_string_lossy().to_lowercase();
    let by_ending = ENDINGS.iter().find(|(ending, _)| lower.ends_with(ending)).map(|(_, filetype)| *filetype);
    let filetype = wanted.filetype.as_deref().or(by_ending).ok_or_else(|| CliError::Image {
        what: format!("the ending of {} does not say what it is", file.display()),
        next:
            "give --filetype, such as ddraw, ddgz, ddxz, ddzst for disk images or tgz for a root file system"
                .to_owned(),
    })?;
    let name = wanted.name.clone().ok_or_else(|| CliError::Image {
        what: format!("{} has no name to deploy it by", file.display()),
        next: "give --name, such as debian/bookworm".to_owned(),
    })?;
    Ok(Source {
        file: file.to_owned(),
        name,
        architecture: "amd64/generic".to_owned(),
        filetype: filetype.to_owned(),
        title: String::new(),
        raw_size: (filetype == "ddraw")
            .then(|| std::fs::metadata(file).map(|kind| kind.len()).ok())
            .flatten(),
        expected: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upload(path: &Path) -> Upload {
        Upload { path: path.to_owned(), name: None, title: None, architecture: None, filetype: None }
    }

    #[test]
    fn a_manifest_says_it_all_and_arguments_say_more() {
        let folder = tempfile::tempdir().unwrap();
        let manifest = r#"{"version": 1, "os": "debian", "series": "bookworm", "architecture": "amd64/generic",
            "filetype": "ddzst", "file": "disk.img.zst", "sha256": "AB", "size": 4, "raw_size": 9, "title": "Debian 12"}"#;
        std::fs::write(folder.path().join("manifest.json"), manifest).unwrap();
        let source = open(&Upload { title: Some("Mine".to_owned()), ..upload(folder.path()) }).unwrap();
        assert!(source.check("ab", 4).is_ok());
        assert!(source.check("ab", 5).is_err() && source.check("ac", 4).is_err());
        let new = source.into_new("ab".to_owned(), 4);
        assert_eq!(
            (new.name.as_str(), new.filetype.as_str(), new.raw_size),
            ("debian/bookworm", "ddzst", Some(9))
        );
        assert_eq!(new.title, "Mine");

        let other = manifest.replace("disk.img.zst", "../disk");
        std::fs::write(folder.path().join("manifest.json"), other).unwrap();
        assert!(open(&upload(folder.path())).unwrap_err().to_string().ends_with("its file lies elsewhere"));
        std::fs::write(folder.path().join("manifest.json"), r#"{"version": 1, "files": {}}"#).unwrap();
        assert!(open(&upload(folder.path())).unwrap_err().to_string().contains("missing field `os`"));
    }

    #[test]
    fn a_file_says_by_its_ending_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        for (file, filetype) in
            [("a.img.zst", "ddzst"), ("a.tar.gz", "tgz"), ("a.img.gz", "ddgz"), ("A.RAW", "ddraw")]
        {
            let path = folder.path().join(file);
            std::fs::write(&path, b"disk").unwrap();
            let source = open(&Upload { name: Some("custom/a".to_owned()), ..upload(&path) }).unwrap();
            assert_eq!(source.filetype, filetype, "{file}");
            assert!(open(&upload(&path)).unwrap_err().to_string().ends_with("has no name to deploy it by"));
        }
        let path = folder.path().join("disk");
        std::fs::write(&path, b"disk").unwrap();
        assert!(open(&upload(&path)).unwrap_err().to_string().contains("does not say what it is"));
    }
}
