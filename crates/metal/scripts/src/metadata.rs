//! What a script says of itself: YAML in a comment between two marks.
//!
//! ```text
//! # --- Start MAAS 1.0 script metadata ---
//! # name: disk-check
//! # script_type: testing
//! # parameters: {storage: {type: storage}}
//! # --- End MAAS 1.0 script metadata ---
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::Value;

use crate::kind::{Choice, Hardware, Kind, Parallel};

/// What a script may want to be given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: ParameterKind,
    /// Least value of a `runtime`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<u64>,
    /// Largest value of a `runtime`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u64>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How it is passed: words with `{input}`, and for disks and interfaces `{name}`, `{path}`, `{model}`,
    /// `{serial}`, `{mac_address}`, `{vendor}`, `{product}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub argument_format: Option<String>,
    /// Its value where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// Whether it must be given.
    #[serde(default = "yes")]
    pub required: bool,
    /// Values of a `choice`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choices: Option<Value>,
}

const fn yes() -> bool {
    true
}

/// What a parameter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParameterKind {
    /// A disk, or all of them.
    Storage,
    /// A network interface, or all of them.
    Interface,
    /// An address to fetch.
    Url,
    /// Seconds.
    Runtime,
    /// A text.
    String,
    /// A text that is not shown.
    Password,
    /// Yes or no.
    Boolean,
    /// One of some texts.
    Choice,
}

/// What a script says of itself; what it does not say is absent.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Metadata {
    /// Its name.
    pub name: Option<String>,
    /// For people.
    pub title: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// Why this revision is here.
    pub comment: Option<String>,
    /// Words by which several are chosen at once.
    #[serde(deserialize_with = "words")]
    pub tags: Option<Vec<String>>,
    /// When it runs.
    #[serde(alias = "script_type", alias = "type", deserialize_with = "choice")]
    pub kind: Option<Kind>,
    /// What it is about.
    #[serde(alias = "hardware_type", deserialize_with = "choice")]
    pub hardware: Option<Hardware>,
    /// Beside what it may run.
    #[serde(deserialize_with = "choice")]
    pub parallel: Option<Parallel>,
    /// Seconds.
    #[serde(deserialize_with = "seconds")]
    pub timeout: Option<u64>,
    /// Whether it destroys what is on the machine.
    pub destructive: Option<bool>,
    /// Whether it may restart the machine.
    pub may_reboot: Option<bool>,
    /// Whether commissioning takes the inventory again after it.
    pub recommission: Option<bool>,
    /// Whether it wants the network as it is configured for deployment.
    pub apply_configured_networking: Option<bool>,
    /// Hardware that it is for.
    #[serde(deserialize_with = "words")]
    pub for_hardware: Option<Vec<String>>,
    /// What it wants to be given.
    pub parameters: BTreeMap<String, Parameter>,
    /// Results that it names.
    #[serde(default = "empty")]
    pub results: Value,
    /// Packages that it wants.
    #[serde(default = "empty")]
    pub packages: Value,
}

fn empty() -> Value {
    serde_json::json!({})
}

/// Why a script was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// Scripts begin with the name of what runs them (MAAS's words).
    #[error("Must start with shebang.")]
    Shebang,
    /// The comment is not YAML, or says what cannot be.
    #[error("Invalid metadata: {0}")]
    Yaml(String),
    /// The second mark is missing.
    #[error("Invalid metadata: no '# --- End MAAS 1.0 script metadata ---' follows the start")]
    Open,
}

/// Reads what `text` says of itself; a script without the marks says nothing.
///
/// # Errors
/// [`MetadataError`].
pub fn parse(text: &str) -> Result<Metadata, MetadataError> {
    if !text.starts_with("#!/") {
        return Err(MetadataError::Shebang);
    }
    let mut lines = text.lines();
    if !lines.any(|line| is_mark(line, "Start")) {
        return Ok(Metadata { results: empty(), packages: empty(), ..Metadata::default() });
    }
    let mut yaml = String::new();
    loop {
        let line = lines.next().ok_or(MetadataError::Open)?;
        if is_mark(line, "End") {
            break;
        }
        let said = line.trim_start().strip_prefix('#').unwrap_or_default();
        yaml.push_str(said.strip_prefix(' ').unwrap_or(said));
        yaml.push('\n');
    }
    if yaml.trim().is_empty() {
        yaml.push_str("{}");
    }
    serde_yaml_ng::from_str(&yaml).map_err(|error| MetadataError::Yaml(error.to_string()))
}

/// `# --- Start MAAS 1.0 script metadata ---`, with any spaces.
fn is_mark(line: &str, which: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    words == ["#", "---", which, "MAAS", "1.0", "script", "metadata", "---"]
}

/// A list, or one text with commas.
fn words<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<String>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Words {
        One(String),
        Many(Vec<String>),
    }
    Ok(Option::<Words>::deserialize(from)?.map(|words| match words {
        Words::One(text) => {
            text.split(',').map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()).collect()
        }
        Words::Many(words) => words,
    }))
}

/// A number or a word.
fn choice<'de, D: Deserializer<'de>, T: Choice>(from: D) -> Result<Option<T>, D::Error> {
    let Some(said) = Option::<Value>::deserialize(from)? else { return Ok(None) };
    let text = said.as_str().map_or_else(|| said.to_string(), str::to_owned);
    T::read(&text).map(Some).ok_or_else(|| {
        let known: Vec<&str> = T::TABLE.iter().map(|row| row.2).collect();
        D::Error::custom(format!("{text} is none of {}", known.join(", ")))
    })
}

/// Seconds, or `HH:MM:SS`.
fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let Some(said) = Option::<Value>::deserialize(from)? else { return Ok(None) };
    let text = said.as_str().map_or_else(|| said.to_string(), str::to_owned);
    duration(&text).map(Some).ok_or_else(|| D::Error::custom(format!("{text} is no time")))
}

/// Seconds of `90`, `1:30` or `0:01:30`.
pub fn duration(text: &str) -> Option<u64> {
    let parts: Vec<u64> = text.trim().split(':').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    if parts.len() > 3 {
        return None;
    }
    parts.iter().try_fold(0_u64, |sum, part| sum.checked_mul(60)?.checked_add(*part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SCRIPT: &str = "#!/bin/sh\n\
        #\n# --- Start MAAS 1.0 script metadata ---\n\
        # name: disk-check\n# title: Looks at disks\n# script_type: testing\n# hardware_type: storage\n\
        # parallel: instance\n# timeout: 00:05:00\n# tags: [storage, commissioning]\n\
        # parameters:\n#   storage: {type: storage}\n#   seconds:\n#     type: runtime\n#     default: 60\n\
        # --- End MAAS 1.0 script metadata ---\nexit 0\n";

    #[test]
    fn what_a_script_says_is_read() {
        let said = parse(SCRIPT).unwrap();
        assert_eq!(said.name.as_deref(), Some("disk-check"));
        assert_eq!((said.kind, said.hardware), (Some(Kind::Testing), Some(Hardware::Storage)));
        assert_eq!((said.parallel, said.timeout), (Some(Parallel::Instance), Some(300)));
        assert_eq!(said.parameters["storage"].kind, ParameterKind::Storage);
        assert_eq!(said.parameters["seconds"].default, Some(60.into()));
    }

    #[test]
    fn what_cannot_be_is_said() {
        assert_eq!(parse("echo"), Err(MetadataError::Shebang));
        assert_eq!(
            parse("#!/bin/sh\n# --- Start MAAS 1.0 script metadata ---\n# name: x\n"),
            Err(MetadataError::Open)
        );
        let wrong = SCRIPT.replace("script_type: testing", "script_type: dancing");
        assert!(parse(&wrong).unwrap_err().to_string().contains("dancing is none of commissioning, testing"));
        assert!(parse("#!/bin/sh\nexit 0\n").unwrap().name.is_none());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(\\PC|\n){0,200}") {
            let _ = parse(&format!("#!/bin/sh\n# --- Start MAAS 1.0 script metadata ---\n{text}\n# --- End MAAS 1.0 script metadata ---\n"));
            duration(&text);
        }
    }
}
