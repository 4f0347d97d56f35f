//! Charts of packs: what their values say, and the archives of those that are built in.

use std::{io, sync::LazyLock};

use flate2::{Compression, write::GzEncoder};
use serde::Deserialize;
use serde_yaml_ng::{Mapping, Value};
use sha2::{Digest as _, Sha256};

use crate::ValuesError;

/// A chart that is built in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuiltInChart {
    /// Pods that say their names.
    Hello,
}

/// An archive of a chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// A gzipped tar.
    pub bytes: Vec<u8>,
    /// Its SHA-256, hex.
    pub digest: String,
}

/// How a chart is installed, by its pack's values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// Name of the release.
    pub release: String,
    /// Its namespace.
    pub namespace: String,
    /// The chart's own values, YAML; may be empty.
    pub values: String,
}

static HELLO: LazyLock<Archive> = LazyLock::new(|| {
    pack(&[
        ("hello/Chart.yaml", include_str!("../hello/Chart.yaml")),
        ("hello/values.yaml", include_str!("../hello/values.yaml")),
        ("hello/templates/deployment.yaml", include_str!("../hello/templates/deployment.yaml")),
        ("hello/templates/service.yaml", include_str!("../hello/templates/service.yaml")),
    ])
});

impl BuiltInChart {
    /// All of them.
    pub const ALL: [Self; 1] = [Self::Hello];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hello => "hello",
        }
    }

    /// Its archive.
    pub fn archive(self) -> &'static Archive {
        match self {
            Self::Hello => &HELLO,
        }
    }
}

/// The archive of a built-in chart, by its digest.
pub fn archive(digest: &str) -> Option<&'static Archive> {
    BuiltInChart::ALL.iter().map(|chart| chart.archive()).find(|archive| archive.digest == digest)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Values {
    pack: Pack,
    charts: Mapping,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Pack {
    namespace: Option<String>,
    release_name_override: Option<ReleaseName>,
    #[serde(rename = "spectrocloud.com/install-priority")]
    install_priority: Option<Priority>,
}

/// One name, or one for each chart of the pack, as Palette takes both.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum ReleaseName {
    One(String),
    Each(std::collections::BTreeMap<String, String>),
}

/// A number, which people like to write as a text.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Priority {
    Number(i64),
    Text(String),
}

/// How the chart of a pack with these values is installed: `pack.namespace`, `pack.releaseNameOverride`, and the
/// chart's own values below `charts`, by its name.
///
/// # Errors
/// [`ValuesError`]
pub fn installation(chart: &str, values: &str) -> Result<Installation, ValuesError> {
    let read = read(values)?;
    let release = match read.pack.release_name_override {
        Some(ReleaseName::One(name)) => Some(name),
        Some(ReleaseName::Each(mut names)) => names.remove(chart),
        None => None,
    };
    let own = read.charts.get(Value::from(chart)).filter(|own| !own.is_null());
    let own = own.map(serde_yaml_ng::to_string).transpose();
    Ok(Installation {
        release: release.unwrap_or_else(|| chart.to_owned()),
        namespace: read.pack.namespace.unwrap_or_else(|| chart.to_owned()),
        values: own.map_err(|error| ValuesError(error.to_string()))?.unwrap_or_default(),
    })
}

/// Add-ons of lower priority are installed before those of a higher one; 0 where none is given.
///
/// # Errors
/// [`ValuesError`]
pub fn install_priority(values: &str) -> Result<i64, ValuesError> {
    match read(values)?.pack.install_priority {
        None => Ok(0),
        Some(Priority::Number(number)) => Ok(number),
        Some(Priority::Text(text)) => text
            .trim()
            .parse()
            .map_err(|_| ValuesError(format!("spectrocloud.com/install-priority is a number, not {text:?}"))),
    }
}

fn read(values: &str) -> Result<Values, ValuesError> {
    let read: Option<Values> =
        serde_yaml_ng::from_str(values).map_err(|error| ValuesError(error.to_string()))?;
    Ok(read.unwrap_or_default())
}

/// The same files, the same bytes: an archive that seemed new would be installed again.
fn pack(files: &[(&str, &str)]) -> Archive {
    let bytes = tar(files).unwrap_or_default();
    let digest = hex::encode(Sha256::digest(&bytes));
    Archive { bytes, digest }
}

fn tar(files: &[(&str, &str)]) -> io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::best()));
    for (name, text) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, text.as_bytes())?;
    }
    tar.into_inner()?.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_a_pack_with_a_chart() {
        let values = "# ours\npack:\n  namespace: web\n  spectrocloud.com/install-priority: \"-5\"\ncharts:\n  web:\n    replicas: 3\n  other: {}\n";
        let one = installation("web", values).unwrap();
        assert_eq!((one.release.as_str(), one.namespace.as_str()), ("web", "web"));
        assert_eq!(one.values, "replicas: 3\n");
        assert_eq!(install_priority(values).unwrap(), -5);
        let plain = installation("web", "").unwrap();
        assert_eq!((plain.namespace.as_str(), plain.values.as_str()), ("web", ""));
        assert_eq!(installation("web", "pack: {releaseNameOverride: {web: w2}}").unwrap().release, "w2");
        assert_eq!(installation("web", "pack: {releaseNameOverride: w3}").unwrap().release, "w3");
        assert!(install_priority("pack: {spectrocloud.com/install-priority: soon}").is_err());
        assert!(installation("web", "pack: [").is_err());
    }

    #[test]
    fn archives_are_found_by_their_digest_and_never_differ() {
        let hello = BuiltInChart::Hello.archive();
        assert_eq!(archive(&hello.digest), Some(hello));
        assert_eq!(archive("0"), None);
        assert_eq!(tar(&[("a", "b")]).unwrap(), tar(&[("a", "b")]).unwrap());
        assert!(!hello.bytes.is_empty());
    }
}
