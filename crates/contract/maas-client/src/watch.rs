//! What happens and happened to a machine.

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use reqwest::Method;
use serde::{Deserialize, Serialize};

use crate::{
    Client, Error, Extra, Status,
    client::{Body, Form},
    tolerant::null_is_default,
};

/// What a machine waits for, or why it failed: an extension of ours.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Why {
    /// The machine.
    pub system_id: String,
    /// Its state in words.
    pub status_name: String,
    /// What is waited for; absent where nothing is under way.
    pub waiting: Option<Waiting>,
    /// Why it failed.
    #[serde(deserialize_with = "null_is_default")]
    pub error_description: String,
    /// Its phases, oldest first, at most the last of them open.
    #[serde(deserialize_with = "null_is_default")]
    pub timeline: Vec<Phase>,
    /// The rest.
    #[serde(flatten)]
    pub extra: Extra,
}

impl Why {
    /// The state by number.
    pub fn status(&self) -> Status {
        Status::from_label(&self.status_name).unwrap_or_default()
    }
}

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// The sentence.
    pub reason: String,
    /// From when on.
    #[serde(default)]
    pub since: Option<Timestamp>,
    /// When waiting longer is an error.
    #[serde(default)]
    pub until: Option<Timestamp>,
}

/// A phase of a timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// Its name.
    pub phase: String,
    /// When it began.
    pub started: Timestamp,
    /// When it ended; absent while it is open.
    #[serde(default)]
    pub ended: Option<Timestamp>,
    /// The latest sentence about it.
    #[serde(default, deserialize_with = "null_is_default")]
    pub detail: String,
    /// `running`, `ok` or `failed`.
    #[serde(default, deserialize_with = "null_is_default")]
    pub outcome: String,
    /// The rest.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A page of the event log, newest first.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Events {
    /// How many are in this page.
    pub count: u64,
    /// They.
    #[serde(deserialize_with = "null_is_default")]
    pub events: Vec<Event>,
    /// The rest.
    #[serde(flatten)]
    pub extra: Extra,
}

/// An entry of the event log.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Event {
    /// Number, rising.
    pub id: i64,
    /// When, in MAAS's own form: `Sun, 22 Nov. 2026 08:28:31`.
    #[serde(deserialize_with = "null_is_default")]
    pub created: String,
    /// `INFO`, `WARNING` and so on.
    #[serde(deserialize_with = "null_is_default")]
    pub level: String,
    /// Kind, such as `Deploying`.
    #[serde(rename = "type", deserialize_with = "null_is_default")]
    pub kind: String,
    /// The sentence.
    #[serde(deserialize_with = "null_is_default")]
    pub description: String,
    /// System id.
    #[serde(deserialize_with = "null_is_default")]
    pub node: String,
    /// Host name.
    #[serde(deserialize_with = "null_is_default")]
    pub hostname: String,
    /// Who caused it.
    #[serde(deserialize_with = "null_is_default")]
    pub username: String,
    /// The rest.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Scripts that ran together, and what came of them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ScriptSet {
    /// Number.
    pub id: i64,
    /// `Commissioning`, `Testing`, `Installation`.
    #[serde(deserialize_with = "null_is_default")]
    pub type_name: String,
    /// How it stands.
    #[serde(deserialize_with = "null_is_default")]
    pub status_name: String,
    /// When it began.
    #[serde(deserialize_with = "null_is_default")]
    pub started: String,
    /// When it ended.
    #[serde(deserialize_with = "null_is_default")]
    pub ended: String,
    /// How long it took.
    #[serde(deserialize_with = "null_is_default")]
    pub runtime: String,
    /// The scripts.
    #[serde(deserialize_with = "null_is_default")]
    pub results: Vec<ScriptResult>,
    /// The rest.
    #[serde(flatten)]
    pub extra: Extra,
}

/// What came of a script.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ScriptResult {
    /// Number.
    pub id: i64,
    /// Its name.
    #[serde(deserialize_with = "null_is_default")]
    pub name: String,
    /// How it stands.
    #[serde(deserialize_with = "null_is_default")]
    pub status_name: String,
    /// What it ended with.
    pub exit_status: Option<i64>,
    /// How long it took.
    #[serde(deserialize_with = "null_is_default")]
    pub runtime: String,
    /// The rest.
    #[serde(flatten)]
    pub extra: Extra,
}

impl ScriptResult {
    /// What it printed, where that was asked for.
    pub fn output(&self) -> Option<String> {
        let text = self.extra.get("output")?.as_str()?;
        Some(String::from_utf8_lossy(&BASE64_STANDARD.decode(text).ok()?).into_owned())
    }
}

/// Whether what scripts printed comes with their results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outputs {
    /// It does.
    Included,
    /// It doesn't.
    LeftOut,
}

/// A script that machines run.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Script {
    /// Number.
    pub id: i64,
    /// Its name.
    #[serde(deserialize_with = "null_is_default")]
    pub name: String,
    /// For people.
    #[serde(deserialize_with = "null_is_default")]
    pub title: String,
    /// Such as `Testing script`.
    #[serde(deserialize_with = "null_is_default")]
    pub type_name: String,
    /// Such as `Storage`.
    #[serde(deserialize_with = "null_is_default")]
    pub hardware_type_name: String,
    /// Words by which several are chosen at once.
    #[serde(deserialize_with = "null_is_default")]
    pub tags: Vec<String>,
    /// Whether it comes with the region.
    #[serde(deserialize_with = "null_is_default")]
    pub default: bool,
    /// The rest.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A stretch of what a machine wrote on its serial console: an extension of ours.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Console {
    /// Number of the first of `lines`: where lines were forgotten, larger than what was asked for.
    pub first: usize,
    /// The lines, as the machine wrote them: not to be shown on a terminal unfiltered.
    pub lines: Vec<String>,
    /// How many there were until now; less than before where the BMC began anew.
    pub total: usize,
}

/// What a region says of a way.
#[derive(Deserialize)]
struct Reached {
    reached: bool,
}

impl Client {
    /// Lines of a machine's serial console from number `skip` on; not all of them at once. `None` where the region
    /// is one that does not tell, such as Canonical's.
    pub async fn console(&self, system_id: &str, skip: usize) -> Result<Option<Console>, Error> {
        let query = vec![("op", "console".to_owned()), ("skip", skip.to_string())];
        match self.get(&["machines", system_id], query).await {
            Ok(console) => Ok(Some(console)),
            Err(Error::Invalid { .. }) => Ok(None),
            Err(other) => Err(other),
        }
    }

    /// What a machine waits for. `None` where the region is one that does not tell, such as Canonical's.
    pub async fn why(&self, system_id: &str) -> Result<Option<Why>, Error> {
        match self.get(&["machines", system_id], vec![("op", "why".to_owned())]).await {
            Ok(why) => Ok(Some(why)),
            Err(Error::Invalid { .. }) => Ok(None),
            Err(other) => Err(other),
        }
    }

    /// Whether the region can open a TCP connection there. `None` where the region is one that does not tell, such as
    /// Canonical's.
    pub async fn reach(&self, host: &str, port: u16) -> Result<Option<bool>, Error> {
        let query = vec![("op", "reach".to_owned()), ("host", host.to_owned()), ("port", port.to_string())];
        match self.get::<Reached>(&["maas"], query).await {
            Ok(told) => Ok(Some(told.reached)),
            Err(Error::Invalid { .. }) => Ok(None),
            Err(other) => Err(other),
        }
    }

    /// The newest `limit` events of a machine, newest first; at most 1000.
    pub async fn events(&self, system_id: &str, limit: u16) -> Result<Events, Error> {
        let query =
            vec![("op", "query".to_owned()), ("id", system_id.to_owned()), ("limit", limit.to_string())];
        self.get(&["events"], query).await
    }

    /// What commissioning, tests and installations of a machine came to, newest first.
    pub async fn results(&self, system_id: &str, outputs: Outputs) -> Result<Vec<ScriptSet>, Error> {
        let query = match outputs {
            Outputs::LeftOut => Form::new(),
            Outputs::Included => vec![("include_output", "true".to_owned())],
        };
        self.get(&["nodes", system_id, "results"], query).await
    }

    /// Keeps a script, which says in its comment what it is.
    pub async fn create_script(&self, text: &str) -> Result<Script, Error> {
        self.post(&["scripts"], None, vec![("script", text.to_owned())]).await
    }

    /// Every script, without its text.
    pub async fn scripts(&self) -> Result<Vec<Script>, Error> {
        self.get(&["scripts"], Form::new()).await
    }

    /// Forgets a script.
    pub async fn delete_script(&self, name: &str) -> Result<(), Error> {
        self.order(Method::DELETE, &["scripts", name], Body::Empty).await
    }
}
