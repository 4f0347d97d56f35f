//! Why a request was not answered as wished.

use std::{collections::BTreeMap, time::Duration};

use reqwest::{StatusCode, header::HeaderMap};

/// Why a request was not answered as wished. Texts are the region's own words; they hold no secrets.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such object, or it is another user's: 404.
    #[error("{request}: {text}")]
    NotFound {
        /// Method and path.
        request: String,
        /// The region's words, such as `No Machine matches the given query.`
        text: String,
    },
    /// No machine could be allocated: 409 of `op=allocate`.
    #[error("{text}")]
    NoMatch {
        /// The region's words, with the constraints as it understood them.
        text: String,
    },
    /// Not in this state, or it exists already: 409.
    #[error("{text}")]
    Conflict {
        /// The region's words.
        text: String,
    },
    /// The API key was not accepted: 401.
    #[error("the region does not accept the API key: {text}")]
    Unauthorized {
        /// The region's words.
        text: String,
    },
    /// The key's user may not do this, or the machine is locked: 403.
    #[error("the region forbids it{}", after_colon(text))]
    Forbidden {
        /// Method and path.
        request: String,
        /// The region's words; MAAS often says nothing.
        text: String,
    },
    /// A parameter was refused: 400.
    #[error("{}", invalid(fields, text))]
    Invalid {
        /// What is wrong, by parameter; empty where the region only gave a text.
        fields: BTreeMap<String, Vec<String>>,
        /// The body as it came.
        text: String,
    },
    /// The region cannot do it now: 502, 503, 504.
    #[error("the region cannot do it now{}", after_colon(text))]
    Unavailable {
        /// Method and path.
        request: String,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
        /// The region's words.
        text: String,
    },
    /// Any other refusal.
    #[error("{request} was answered with {status}{}", after_colon(text))]
    Refused {
        /// Method and path.
        request: String,
        /// The HTTP status.
        status: u16,
        /// The region's words.
        text: String,
    },
    /// The region could not be reached, or the connection broke.
    #[error("{request}: {}", chain(source))]
    Transport {
        /// Method and path.
        request: String,
        /// What the connection said, without the URL.
        source: reqwest::Error,
    },
    /// The answer is not what the API promises.
    #[error("{request}: the answer cannot be read: {source}")]
    Decode {
        /// Method and path.
        request: String,
        /// Where it departs.
        source: serde_json::Error,
    },
}

impl Error {
    /// Sorts an answer that is not a success. `request` is its method and path.
    pub(crate) fn from_answer(request: String, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let text = words(headers, body);
        match status.as_u16() {
            400 => Self::Invalid { fields: serde_json::from_slice(body).unwrap_or_default(), text },
            401 => Self::Unauthorized { text: without_secrets(&text) },
            403 => Self::Forbidden { request, text },
            404 => Self::NotFound { request, text },
            409 if text.is_empty() => {
                Self::Conflict { text: format!("{request} conflicts with what is there") }
            }
            409 => Self::Conflict { text },
            502..=504 => Self::Unavailable { request, retry_after: retry_after(headers), text },
            status => Self::Refused { request, status, text },
        }
    }

    pub(crate) fn transport(request: String, source: reqwest::Error) -> Self {
        Self::Transport { request, source: source.without_url() }
    }

    /// Whether the same question may be answered a little later.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Unavailable { .. } => true,
            Self::Transport { source, .. } => {
                source.is_connect() || source.is_timeout() || source.is_request()
            }
            _ => false,
        }
    }
}

/// Longest text that is kept of an answer, in characters.
const TEXT_LIMIT: usize = 2000;

fn words(headers: &HeaderMap, body: &[u8]) -> String {
    let html = headers
        .get("content-type")
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.starts_with("text/html"));
    let text = String::from_utf8_lossy(body);
    // MAAS labels plain sentences as HTML too, so only a real page is dropped.
    if html && text.trim_start().starts_with('<') {
        return String::new();
    }
    text.trim().chars().take(TEXT_LIMIT).collect()
}

/// MAAS 3.7 answers a wrong secret with the right one in the text: what follows the sentence is cut.
fn without_secrets(text: &str) -> String {
    match text.split_once("Invalid signature") {
        Some((before, _)) => format!("{}Invalid signature", before.replace('\'', "")),
        None => text.to_owned(),
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get("retry-after")?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn after_colon(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

fn invalid(fields: &BTreeMap<String, Vec<String>>, text: &str) -> String {
    if fields.is_empty() {
        return text.to_owned();
    }
    let lines: Vec<String> = fields
        .iter()
        .map(|(field, messages)| match field.as_str() {
            "__all__" => messages.join(" "),
            field => format!("{field}: {}", messages.join(" ")),
        })
        .collect();
    lines.join("; ")
}

/// reqwest's own message says only that sending failed; the cause is at the end of the chain.
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}
