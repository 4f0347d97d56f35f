//! The installed system: what cloud-init's MAAS data source fetches and reports.

use bytes::Bytes;
use secrets::ApiKey;
use serde_json::json;

use super::{Access, Call, Reply, State, Turn, Verb};

/// The version of the metadata that cloud-init reads.
const VERSION: &str = "2012-03-01";

/// What cloud-init does on a boot, in its order.
const STEPS: [Step; 11] = [
    Step::Fetch("meta-data/instance-id"),
    Step::Fetch("meta-data/local-hostname"),
    Step::Fetch("meta-data/public-keys"),
    Step::Fetch("meta-data/vendor-data"),
    Step::Fetch("user-data"),
    Step::Tell("start", "init-network", "searching for network data sources"),
    Step::Tell("finish", "init-network", "searching for network data sources"),
    Step::Tell("start", "modules-config", "running modules for config"),
    Step::Tell("finish", "modules-config", "running modules for config"),
    Step::Tell("start", "modules-final", "running modules for final"),
    Step::Tell("finish", "modules-final", "running modules for final"),
];

enum Step {
    /// A path below the version.
    Fetch(&'static str),
    /// Event type, name, description.
    Tell(&'static str, &'static str, &'static str),
}

/// cloud-init's configuration, as the installation wrote it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Source {
    /// Where metadata is, with a slash at the end.
    url: String,
    /// Where status messages go.
    endpoint: String,
    /// Its credentials.
    key: Option<ApiKey>,
}

impl Source {
    /// Reads the file that configures the MAAS data source and its reporting; `None` where it is another file.
    pub fn read(file: &str) -> Option<Self> {
        let value = |key: &str| {
            let mut lines = file.lines();
            lines.find_map(|line| line.trim().strip_prefix(key)?.strip_prefix(": ")).map(str::trim)
        };
        let key = format!("{}:{}:{}", value("consumer_key")?, value("token_key")?, value("token_secret")?);
        Some(Self {
            url: value("metadata_url")?.to_owned(),
            endpoint: value("endpoint")?.to_owned(),
            key: Some(key.parse().ok()?),
        })
    }
}

impl Turn<'_> {
    pub(super) fn cloud_init(&self, at: usize) -> Option<Call> {
        let source = self.life.disk.as_ref()?;
        let access = Access::OAuth(source.key.clone()?);
        let (url, verb) = match STEPS.get(at)? {
            Step::Fetch(path) => (format!("{}{VERSION}/{path}", source.url), Verb::Get),
            Step::Tell(kind, name, description) => {
                let message = json!({
                    "event_type": kind, "origin": "cloudinit", "name": name, "description": description,
                    "result": "SUCCESS", "timestamp": 0.0,
                });
                (source.endpoint.clone(), Verb::Post(Bytes::from(message.to_string())))
            }
        };
        Some(Call { from: self.life.address?, verb, url, access })
    }

    pub(super) fn told(&mut self, reply: &Reply) {
        let State::CloudInit(at) = &mut self.life.state else { return };
        *at += 1;
        // Without a right to its data, a system goes on without them.
        if reply.status == Some(401) || *at >= STEPS.len() {
            return self.enter(State::Running);
        }
        self.life.tries = 0;
        self.begin();
    }
}
