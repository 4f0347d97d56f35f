//! Asking processes whether they work.

use std::path::Path;
use std::time::Duration;

use kube::{Client, Config};

use crate::plan::Health;

/// How often a process is asked that has not answered yet, and one that has.
pub(crate) const ASK_EVERY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// No answer by then is a bad one.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// A health check: a URL that answers with success.
#[derive(Clone)]
pub(crate) struct Check {
    client: Client,
    path: String,
}

impl Check {
    /// A check of `url`; the server must have a certificate of `authority` (a PEM file), if there is one.
    pub(crate) fn new(url: &str, authority: Option<&Path>) -> Result<Self, kube::Error> {
        let url: http::Uri = url.parse().map_err(|error| kube::Error::HttpError(http::Error::from(error)))?;
        let path = url.path().to_owned();
        let mut config = Config::new(url);
        config.root_cert_file = authority.map(Path::to_owned);
        // The path is part of each request instead.
        config.cluster_url = strip_path(config.cluster_url)?;
        config.default_retry = false;
        Ok(Self { client: Client::try_from(config)?, path })
    }

    /// Asks once.
    pub(crate) async fn ask(&self) -> Health {
        let Ok(request) = http::Request::get(&self.path).body(Vec::new()) else { return Health::Bad };
        match tokio::time::timeout(ANSWER_LIMIT, self.client.request_text(request)).await {
            Ok(Ok(_)) => Health::Good,
            Ok(Err(_)) | Err(_) => Health::Bad,
        }
    }
}

fn strip_path(url: http::Uri) -> Result<http::Uri, kube::Error> {
    let mut parts = url.into_parts();
    parts.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
    http::Uri::from_parts(parts).map_err(|error| kube::Error::HttpError(http::Error::from(error)))
}
