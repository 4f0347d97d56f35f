//! The agent's side of `agent-protocol`: HTTP requests that outlast a restart of the region.

use std::time::{Duration, Instant};

use agent_protocol::{Assignment, Hello, Report};
use serde::de::DeserializeOwned;
use ureq::http::StatusCode;

use crate::log::say;

/// How long a single request may take; the region holds `GET task` open for up to 20 s.
const REQUEST_LIMIT: Duration = Duration::from_mins(1);
/// How long a progress report may keep the work waiting.
const PROGRESS_LIMIT: Duration = Duration::from_secs(2);

/// How patiently a request is repeated.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Give up when it has not worked for this long.
    pub limit: Duration,
    /// First pause; each one is twice as long as the one before.
    pub first: Duration,
    /// Longest pause.
    pub longest: Duration,
}

impl Default for Patience {
    /// Ten minutes: a region may be restarted or moved while a machine waits.
    fn default() -> Self {
        Self {
            limit: Duration::from_mins(10),
            first: Duration::from_millis(250),
            longest: Duration::from_secs(5),
        }
    }
}

/// Counts the pauses of one series of attempts.
#[derive(Debug)]
pub struct Backoff {
    patience: Patience,
    since: Instant,
    pause: Duration,
}

impl Backoff {
    /// Starts the clock.
    pub fn new(patience: Patience) -> Self {
        Self { patience, since: Instant::now(), pause: patience.first }
    }

    /// Says why and pauses; `Err` with the time waited once patience is over.
    pub fn pause(&mut self, why: &str) -> Result<(), Duration> {
        let waited = self.since.elapsed();
        let left = self.patience.limit.checked_sub(waited).filter(|left| !left.is_zero()).ok_or(waited)?;
        say(format_args!("{why}; trying again in {:?}, for up to {:.0?} more", self.pause, left));
        std::thread::sleep(self.pause.min(left));
        self.pause = (self.pause * 2).min(self.patience.longest);
        Ok(())
    }
}

/// Why a request to the region failed for good.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The boot attempt is over, or belongs to another address.
    #[error("the region no longer knows this boot attempt (401); the machine has to boot again")]
    Unauthorized,
    /// The region answered with a status that repeating won't change.
    #[error("the region refused {request}: {status} {body}")]
    Refused {
        /// Method and URL.
        request: String,
        /// HTTP status.
        status: u16,
        /// Start of the body.
        body: String,
    },
    /// No answer for as long as patience lasts.
    #[error(
        "the region has not answered {request} for {waited:.0?}: {last}; check the network and the region"
    )]
    Unreachable {
        /// Method and URL.
        request: String,
        /// Time since the first attempt.
        waited: Duration,
        /// The last attempt's error.
        last: String,
    },
}

/// Whether a report still concerned the region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// Taken.
    Taken,
    /// The task is no longer current: ask for the task again.
    Stale,
}

/// The region of one boot attempt.
#[derive(Debug, Clone)]
pub struct Region {
    http: ureq::Agent,
    url: String,
    token: String,
    patience: Patience,
}

/// What one attempt came to.
enum Attempt<T> {
    Answer(T),
    Again(String),
    Fatal(ClientError),
}

impl Region {
    /// A region at `url` that knows this boot attempt by `token`.
    pub fn new(url: &str, token: &str, patience: Patience) -> Self {
        let http = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_connect(Some(Duration::from_secs(10)))
            .timeout_recv_response(Some(REQUEST_LIMIT))
            .timeout_per_read(Some(Duration::from_secs(30)))
            .build()
            .new_agent();
        Self { http, url: url.trim_end_matches('/').to_owned(), token: token.to_owned(), patience }
    }

    /// Its host, as the boot attempt names it.
    pub fn host(&self) -> Option<String> {
        Some(self.url.parse::<ureq::http::Uri>().ok()?.host()?.to_owned())
    }

    /// How patient this client is.
    pub fn patience(&self) -> Patience {
        self.patience
    }

    /// Introduces the machine; answers its first task.
    ///
    /// # Errors
    /// [`ClientError`] once repeating is of no use.
    pub fn hello(&self, hello: &Hello) -> Result<Assignment, ClientError> {
        let url = format!("{}/agent/v1/hello", self.url);
        self.persist(&format!("POST {url}"), || {
            let sent = self.post(&url, REQUEST_LIMIT).send_json(hello);
            judge(&format!("POST {url}"), sent)
        })
        .and_then(|mut answer| json(&mut answer, &url))
    }

    /// Asks for the current task; the region may take its time.
    ///
    /// # Errors
    /// [`ClientError`] once repeating is of no use.
    pub fn task(&self) -> Result<Assignment, ClientError> {
        let url = format!("{}/agent/v1/task", self.url);
        self.persist(&format!("GET {url}"), || {
            let got = self.http.get(&url).header("Authorization", self.bearer()).call();
            judge(&format!("GET {url}"), got)
        })
        .and_then(|mut answer| json(&mut answer, &url))
    }

    /// Reports a final state, until it is heard.
    ///
    /// # Errors
    /// [`ClientError`] once repeating is of no use.
    pub fn report(&self, report: &Report) -> Result<Heard, ClientError> {
        let url = format!("{}/agent/v1/report", self.url);
        let answer = self.persist(&format!("POST {url}"), || {
            let sent = self.post(&url, REQUEST_LIMIT).send_json(report);
            judge(&format!("POST {url}"), sent)
        });
        heard(answer)
    }

    /// Reports progress once: a report that gets lost is followed by a better one.
    ///
    /// # Errors
    /// [`ClientError::Unauthorized`] only; anything else counts as taken.
    pub fn progress(&self, report: &Report) -> Result<Heard, ClientError> {
        let url = format!("{}/agent/v1/report", self.url);
        let sent = self.post(&url, PROGRESS_LIMIT).send_json(report);
        match judge(&format!("POST {url}"), sent) {
            Attempt::Answer(_) => Ok(Heard::Taken),
            Attempt::Fatal(error) => match heard::<()>(Err(error)) {
                Err(ClientError::Unauthorized) => Err(ClientError::Unauthorized),
                Ok(heard) => Ok(heard),
                Err(error) => {
                    say(error);
                    Ok(Heard::Taken)
                }
            },
            Attempt::Again(why) => {
                say(format_args!("progress not reported: {why}"));
                Ok(Heard::Taken)
            }
        }
    }

    /// One request for the bytes of `url` from `offset`. The token goes only to the region itself.
    pub fn open(&self, url: &str, offset: u64) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
        let mut request = self.http.get(url);
        if url.strip_prefix(&self.url).is_some_and(|path| path.starts_with('/')) {
            request = request.header("Authorization", self.bearer());
        }
        if offset > 0 {
            request = request.header("Range", format!("bytes={offset}-"));
        }
        request.call()
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.token)
    }

    fn post(&self, url: &str, limit: Duration) -> ureq::RequestBuilder<ureq::typestate::WithBody> {
        let request = self.http.post(url).header("Authorization", self.bearer());
        request.config().timeout_global(Some(limit)).build()
    }

    fn persist<T>(&self, request: &str, attempt: impl Fn() -> Attempt<T>) -> Result<T, ClientError> {
        let mut backoff = Backoff::new(self.patience);
        loop {
            match attempt() {
                Attempt::Answer(answer) => return Ok(answer),
                Attempt::Fatal(error) => return Err(error),
                Attempt::Again(last) => backoff.pause(&last).map_err(|waited| ClientError::Unreachable {
                    request: request.to_owned(),
                    waited,
                    last,
                })?,
            }
        }
    }
}

/// What one answer means for the series of attempts.
fn judge(
    request: &str,
    result: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> Attempt<ureq::http::Response<ureq::Body>> {
    match result {
        Err(error) => Attempt::Again(format!("{request}: {error}")),
        Ok(answer) if answer.status().is_success() => Attempt::Answer(answer),
        Ok(answer) if answer.status() == StatusCode::UNAUTHORIZED => {
            Attempt::Fatal(ClientError::Unauthorized)
        }
        Ok(answer) if passing(answer.status()) => Attempt::Again(format!("{request}: {}", answer.status())),
        Ok(mut answer) => {
            let body: String =
                answer.body_mut().read_to_string().unwrap_or_default().chars().take(500).collect();
            let status = answer.status().as_u16();
            Attempt::Fatal(ClientError::Refused { request: request.to_owned(), status, body })
        }
    }
}

/// Statuses that another attempt may change.
pub fn passing(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
}

fn heard<T>(answer: Result<T, ClientError>) -> Result<Heard, ClientError> {
    match answer {
        Ok(_) => Ok(Heard::Taken),
        Err(ClientError::Refused { status: 409, .. }) => Ok(Heard::Stale),
        Err(error) => Err(error),
    }
}

fn json<T: DeserializeOwned>(
    answer: &mut ureq::http::Response<ureq::Body>,
    url: &str,
) -> Result<T, ClientError> {
    let status = answer.status().as_u16();
    answer.body_mut().read_json().map_err(|error| ClientError::Refused {
        request: url.to_owned(),
        status,
        body: format!("with a body that is no assignment: {error}"),
    })
}
