//! What happened, for people.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use store::Document;

/// An entry of the event log; id: the number, zero-padded to 12 digits so that ids sort.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Number, rising.
    pub number: u64,
    /// The machine.
    pub system_id: String,
    /// When.
    pub created: Timestamp,
    /// How grave.
    pub level: Level,
    /// MAAS's event type, such as `Deploying`.
    pub kind: String,
    /// The sentence.
    pub description: String,
    /// Who caused it, if a person did.
    pub user: Option<String>,
}

impl Document for Event {
    const KIND: &'static str = "event";
}

/// How grave an event is; MAAS's levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs)]
pub enum Level {
    Debug,
    Info,
    Warning,
    Error,
    Critical,
    Audit,
}
