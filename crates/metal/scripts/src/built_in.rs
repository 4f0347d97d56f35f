//! What comes with a region: what the agent does itself, and texts.

use std::sync::LazyLock;

use jiff::Timestamp;
use serde_json::json;

use crate::{
    kind::{Hardware, Kind, Parallel},
    metadata::{self, Metadata, Parameter, ParameterKind},
    script::{Revision, Script},
};

/// The one that takes the inventory: the agent's hello is its result.
pub const INVENTORY: &str = "50-maas-01-commissioning";
/// Seconds that the agent's own may take.
const TIMEOUT: u64 = 300;

/// Texts, by name.
const TEXTS: [(&str, &str); 3] = [
    ("smartctl-validate", include_str!("built_in/smartctl-validate.sh")),
    ("stress-ng-cpu-short", include_str!("built_in/stress-ng-cpu-short.sh")),
    ("memtester", include_str!("built_in/memtester.sh")),
];

/// The scripts that come with a region, by name, read once. Those that the agent does itself have no text.
pub fn built_in() -> impl Iterator<Item = (&'static str, &'static Script)> {
    static ALL: LazyLock<Vec<(&str, Script)>> = LazyLock::new(|| {
        let texts = (101..).zip(TEXTS).map(|(number, (name, text))| {
            // Tests see to it that each says what it is.
            let said = metadata::parse(text).unwrap_or_default();
            (name, Script::new(number, &said, revision("Comes with the region", text)))
        });
        carried().chain(texts).collect()
    });
    ALL.iter().map(|(name, script)| (*name, script))
}

fn revision(comment: &str, text: &str) -> Revision {
    Revision { number: 1, comment: comment.to_owned(), created: Timestamp::UNIX_EPOCH, text: text.to_owned() }
}

fn carried() -> impl Iterator<Item = (&'static str, Script)> {
    let rows = [
        (INVENTORY, Kind::Commissioning, Hardware::Node, "Takes the inventory of the machine"),
        ("bessemer-cpu", Kind::Testing, Hardware::Cpu, "Every processor computes a hash that is known"),
        ("bessemer-memory", Kind::Testing, Hardware::Memory, "Memory holds two patterns"),
        ("bessemer-disk", Kind::Testing, Hardware::Storage, "Both ends of each disk are readable"),
    ];
    (1..).zip(rows).map(|(number, (name, kind, hardware, title))| {
        let said = Metadata {
            title: Some(title.to_owned()),
            description: Some(title.to_owned()),
            tags: Some(match kind {
                Kind::Testing => vec!["commissioning".to_owned(), tag(hardware).to_owned()],
                _ => vec!["node".to_owned()],
            }),
            kind: Some(kind),
            hardware: Some(hardware),
            parallel: Some(Parallel::Disabled),
            timeout: Some(TIMEOUT),
            parameters: match hardware {
                Hardware::Storage => [("storage".to_owned(), disk())].into(),
                _ => [].into(),
            },
            results: json!({}),
            packages: json!({}),
            ..Metadata::default()
        };
        (name, Script::new(number, &said, revision("Carried by the agent", "")))
    })
}

const fn tag(hardware: Hardware) -> &'static str {
    match hardware {
        Hardware::Cpu => "cpu",
        Hardware::Memory => "memory",
        Hardware::Storage => "storage",
        Hardware::Network => "network",
        Hardware::Gpu => "gpu",
        Hardware::Node => "node",
    }
}

fn disk() -> Parameter {
    Parameter {
        kind: ParameterKind::Storage,
        min: None,
        max: None,
        title: None,
        description: None,
        argument_format: Some("{name}".to_owned()),
        default: None,
        required: true,
        choices: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_says_what_it_is() {
        for (name, text) in TEXTS {
            let said = metadata::parse(text).unwrap();
            assert_eq!(said.name.as_deref(), Some(name));
            assert_eq!(said.kind, Some(Kind::Testing));
            assert!(said.title.is_some() && said.timeout.is_some());
        }
    }

    #[test]
    fn numbers_are_given_once() {
        let mut numbers: Vec<u64> = built_in().map(|(_, script)| script.number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), built_in().count());
    }
}
