//! Requests: addresses, signing, repeating, sorting of answers.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use oauth::authorization;
use reqwest::{
    Certificate, Method, StatusCode, Url,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue},
};
use secrets::ApiKey;
use serde::de::DeserializeOwned;

use crate::Error;

/// How requests are made.
#[derive(Debug, Clone)]
pub struct Options {
    /// Longest time for one answer. A MAAS with many machines needs minutes for the list of them.
    pub timeout: Duration,
    /// How long a GET is repeated while the region cannot be reached or says 503.
    pub retry_for: Duration,
    /// PEM certificates to trust besides the system's.
    pub ca: Option<Vec<u8>>,
}

impl Default for Options {
    fn default() -> Self {
        Self { timeout: Duration::from_mins(3), retry_for: Duration::from_secs(15), ca: None }
    }
}

/// Why a client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Not a URL that a region could have.
    #[error("'{url}' is not the URL of a region; it looks like http://10.20.0.1:5240/MAAS")]
    Url {
        /// The text.
        url: String,
    },
    /// TLS could not be set up, mostly because of `ca`.
    #[error("TLS could not be set up: {0}; is the CA file a PEM file with certificates?")]
    Tls(reqwest::Error),
}

/// A client of one region, as one user. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    key: ApiKey,
    retry_for: Duration,
}

/// Body of a request.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    Empty,
    Form(Form),
    Bytes(Bytes),
}

/// Fields of a form or a query; lists repeat their key.
pub(crate) type Form = Vec<(&'static str, String)>;

impl Client {
    /// A client of the region at `base_url`, such as `http://10.20.0.1:5240/MAAS`; `/MAAS` may be left out, and the
    /// API's own path may be given. Nothing is sent yet.
    ///
    /// # Errors
    /// [`SetupError`] where the URL or the certificates cannot be used.
    pub fn new(base_url: &str, key: ApiKey, options: &Options) -> Result<Self, SetupError> {
        let base = base(base_url).ok_or_else(|| SetupError::Url { url: base_url.to_owned() })?;
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("bessemer/", env!("CARGO_PKG_VERSION")))
            .timeout(options.timeout)
            .connect_timeout(options.timeout.min(Duration::from_secs(10)))
            .redirect(reqwest::redirect::Policy::none());
        if is_loopback(&base) {
            builder = builder.no_proxy();
        }
        if let Some(pem) = &options.ca {
            builder = builder.tls_certs_merge(Certificate::from_pem_bundle(pem).map_err(SetupError::Tls)?);
        }
        let http = builder.build().map_err(SetupError::Tls)?;
        Ok(Self { http, base, key, retry_for: options.retry_for })
    }

    /// The address of the region, `http://HOST:5240/MAAS`.
    pub fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &[&str], query: Form) -> Result<T, Error> {
        let url = self.address(path, &query);
        let give_up = Instant::now() + self.retry_for;
        let mut attempt = 0;
        loop {
            match self.send(Method::GET, url.clone(), Body::Empty).await {
                Err(error) if error.is_temporary() => {
                    let pause = pause(attempt, &error);
                    if Instant::now() + pause >= give_up {
                        return Err(error);
                    }
                    tokio::time::sleep(pause).await;
                    attempt += 1;
                }
                answer => return decode(&Method::GET, &url, &answer?),
            }
        }
    }

    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        op: Option<&str>,
        form: Form,
    ) -> Result<T, Error> {
        let query = op.map(|op| ("op", op.to_owned())).into_iter().collect();
        self.once(Method::POST, path, &query, Body::Form(form)).await
    }

    pub(crate) async fn put<T: DeserializeOwned>(&self, path: &[&str], form: Form) -> Result<T, Error> {
        self.once(Method::PUT, path, &Form::new(), Body::Form(form)).await
    }

    /// A request whose answer does not matter beyond its success.
    pub(crate) async fn order(&self, method: Method, path: &[&str], body: Body) -> Result<(), Error> {
        self.send(method, self.address(path, &Form::new()), body).await.map(drop)
    }

    /// A request that is never repeated.
    pub(crate) async fn once<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        query: &Form,
        body: Body,
    ) -> Result<T, Error> {
        let url = self.address(path, query);
        let answer = self.send(method.clone(), url.clone(), body).await?;
        decode(&method, &url, &answer)
    }

    async fn send(&self, method: Method, url: Url, body: Body) -> Result<Bytes, Error> {
        let name = name(&method, &url);
        let mut request = self.http.request(method, url).header(ACCEPT, "application/json");
        if let Some(header) = self.signature() {
            request = request.header(AUTHORIZATION, header);
        }
        request = match body {
            Body::Empty => request,
            Body::Form(form) => request.form(&form),
            Body::Bytes(bytes) => request.header(CONTENT_TYPE, "application/octet-stream").body(bytes),
        };
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(source) => return Err(Error::transport(name, source)),
        };
        let (status, headers) = (answer.status(), answer.headers().clone());
        match answer.bytes().await {
            Ok(body) if status.is_success() => Ok(body),
            Ok(body) => Err(Error::from_answer(name, status, &headers, &body)),
            Err(source) if status == StatusCode::OK => Err(Error::transport(name, source)),
            Err(_) => Err(Error::from_answer(name, status, &headers, &[])),
        }
    }

    /// Every request needs its own: a nonce counts once.
    fn signature(&self) -> Option<HeaderValue> {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let text = authorization(&self.key, seconds, &secrets::random_token(12));
        let mut header = HeaderValue::from_str(&text).ok()?;
        header.set_sensitive(true);
        Some(header)
    }

    fn address(&self, path: &[&str], query: &Form) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "2.0"]).extend(path).push("");
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }
}

fn base(text: &str) -> Option<Url> {
    let mut url = Url::parse(text.trim()).ok()?;
    if !matches!(url.scheme(), "http" | "https")
        || !url.has_host()
        || !url.username().is_empty()
        || url.password().is_some()
    {
        return None;
    }
    url.set_query(None);
    url.set_fragment(None);
    let path = url.path().trim_end_matches('/').trim_end_matches("/api/2.0").trim_end_matches('/');
    let path = if path.is_empty() { "/MAAS/".to_owned() } else { format!("{path}/") };
    url.set_path(&path);
    Some(url)
}

/// A proxy of the environment is for other hosts than this one.
fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Method and path with the operation, for messages: other parameters stay out of them.
fn name(method: &Method, url: &Url) -> String {
    let op = url.query_pairs().find(|(key, _)| key == "op").map(|(_, op)| format!("?op={op}"));
    format!("{method} {}://{}{}{}", url.scheme(), host_and_port(url), url.path(), op.unwrap_or_default())
}

fn host_and_port(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn pause(attempt: u32, error: &Error) -> Duration {
    let wanted = match error {
        Error::Unavailable { retry_after, .. } => *retry_after,
        _ => None,
    };
    wanted.unwrap_or_else(|| Duration::from_millis(200 * 2u64.pow(attempt.min(4))))
}

fn decode<T: DeserializeOwned>(method: &Method, url: &Url, body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|source| Error::Decode { request: name(method, url), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_has_one_address_however_it_is_written() {
        for text in [
            "http://h:5240",
            "http://h:5240/",
            "http://h:5240/MAAS",
            "http://h:5240/MAAS/",
            "http://h:5240/MAAS/api/2.0/",
            " http://h:5240/MAAS/api/2.0 ",
        ] {
            assert_eq!(base(text).unwrap().as_str(), "http://h:5240/MAAS/", "{text}");
        }
        for text in ["", "h:5240", "ftp://h/MAAS", "http://me:word@h/MAAS", "/MAAS"] {
            assert!(base(text).is_none(), "{text}");
        }
    }

    #[test]
    fn names_cannot_leave_their_place_in_the_path() {
        let client = Client::new("http://h:1/MAAS", "a:b:c".parse().unwrap(), &Options::default()).unwrap();
        let url = client.address(&["machines", "x/../../evil?op=y"], &vec![("op", "deploy".to_owned())]);
        assert_eq!(url.as_str(), "http://h:1/MAAS/api/2.0/machines/x%2F..%2F..%2Fevil%3Fop=y/?op=deploy");
    }

    #[test]
    fn pauses_grow_and_heed_the_region() {
        let busy =
            |retry_after| Error::Unavailable { request: String::new(), retry_after, text: String::new() };
        assert_eq!(pause(0, &busy(None)), Duration::from_millis(200));
        assert_eq!(pause(9, &busy(None)), Duration::from_millis(3200));
        assert_eq!(pause(0, &busy(Some(Duration::from_secs(10)))), Duration::from_secs(10));
    }
}
