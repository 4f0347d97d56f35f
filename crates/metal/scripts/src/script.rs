//! A script as the region keeps it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use store::Document;

use crate::{
    kind::{Hardware, Kind, Parallel},
    metadata::{Metadata, Parameter},
};

/// Bytes of the largest script that is kept: machines get it in one message.
pub const LARGEST: usize = 256 << 10;
/// Revisions that are kept of one script.
const REVISIONS: usize = 10;
/// Seconds that a script may take where nobody says otherwise (MAAS).
pub(crate) const TIMEOUT: u64 = 3600;

/// A script; id: its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "MAAS's flags, each on its own")]
pub struct Script {
    /// Number, unique in the region.
    pub number: u64,
    /// For people.
    pub title: String,
    /// For people.
    pub description: String,
    /// Words by which several are chosen at once.
    pub tags: Vec<String>,
    /// When it runs.
    pub kind: Kind,
    /// What it is about.
    pub hardware: Hardware,
    /// Beside what it may run.
    pub parallel: Parallel,
    /// Seconds that it may take; 0: as long as it wants.
    pub timeout: u64,
    /// Whether it destroys what is on the machine.
    pub destructive: bool,
    /// Whether it may restart the machine.
    pub may_reboot: bool,
    /// Whether commissioning takes the inventory again after it.
    pub recommission: bool,
    /// Whether it wants the network as it is configured for deployment.
    pub apply_configured_networking: bool,
    /// Hardware that it is for, as `modalias:…`, `pci:…`, `usb:…`, `system_vendor:…` and so on.
    pub for_hardware: Vec<String>,
    /// What it wants to be given.
    pub parameters: BTreeMap<String, Parameter>,
    /// Results that it names, as its metadata has them.
    pub results: serde_json::Value,
    /// Packages that it wants, as its metadata has them.
    pub packages: serde_json::Value,
    /// Its texts, the newest last; never empty.
    pub revisions: Vec<Revision>,
}

/// One text of a script.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Revision {
    /// Number, rising within the script.
    pub number: u64,
    /// Why it was changed.
    pub comment: String,
    /// When.
    pub created: Timestamp,
    /// The script itself.
    pub text: String,
}

impl Document for Script {
    const KIND: &'static str = "script";
}

impl Script {
    /// A script with everything that its text says of itself, and MAAS's defaults for the rest.
    pub fn new(number: u64, said: &Metadata, revision: Revision) -> Self {
        let mut script = Self {
            number,
            title: String::new(),
            description: String::new(),
            tags: Vec::new(),
            kind: Kind::Testing,
            hardware: Hardware::Node,
            parallel: Parallel::Disabled,
            timeout: TIMEOUT,
            destructive: false,
            may_reboot: false,
            recommission: false,
            apply_configured_networking: false,
            for_hardware: Vec::new(),
            parameters: BTreeMap::new(),
            results: serde_json::json!({}),
            packages: serde_json::json!({}),
            revisions: vec![revision],
        };
        script.take(said);
        script
    }

    /// Takes over what a text says of itself.
    pub fn take(&mut self, said: &Metadata) {
        let Metadata { title, description, tags, kind, hardware, parallel, timeout, .. } = said.clone();
        self.title = title.unwrap_or_else(|| std::mem::take(&mut self.title));
        self.description = description.unwrap_or_else(|| std::mem::take(&mut self.description));
        self.tags = tags.unwrap_or_else(|| std::mem::take(&mut self.tags));
        self.kind = kind.unwrap_or(self.kind);
        self.hardware = hardware.unwrap_or(self.hardware);
        self.parallel = parallel.unwrap_or(self.parallel);
        self.timeout = timeout.unwrap_or(self.timeout);
        self.destructive = said.destructive.unwrap_or(self.destructive);
        self.may_reboot = said.may_reboot.unwrap_or(self.may_reboot);
        self.recommission = said.recommission.unwrap_or(self.recommission);
        self.apply_configured_networking =
            said.apply_configured_networking.unwrap_or(self.apply_configured_networking);
        self.for_hardware =
            said.for_hardware.clone().unwrap_or_else(|| std::mem::take(&mut self.for_hardware));
        // A text that says nothing of them has none.
        self.parameters = said.parameters.clone();
        self.results = said.results.clone();
        self.packages = said.packages.clone();
    }

    /// Adds a text; the oldest are forgotten.
    pub fn revise(&mut self, text: String, comment: String, now: Timestamp) {
        let number = self.revisions.last().map_or(0, |last| last.number) + 1;
        self.revisions.push(Revision { number, comment, created: now, text });
        let surplus = self.revisions.len().saturating_sub(REVISIONS);
        self.revisions.drain(..surplus);
    }

    /// Its present text.
    pub fn text(&self) -> &str {
        self.revisions.last().map_or("", |last| &last.text)
    }

    /// Whether a name or tag means it.
    pub fn is_meant_by(&self, own: &str, word: &str) -> bool {
        own == word || self.number.to_string() == word || self.tags.iter().any(|tag| tag == word)
    }
}
