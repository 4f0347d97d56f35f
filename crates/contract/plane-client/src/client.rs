//! A typed client.

use std::time::Duration;

use reqwest::{Certificate, Method, StatusCode, Url, header::HeaderValue};
use secrets::Secret;
use serde::{Serialize, de::DeserializeOwned};

use crate::v1::{self, ErrorBody};

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(40);

/// How one signs in.
#[derive(Debug, Clone)]
pub enum Auth {
    /// By API key.
    ApiKey(Secret),
    /// By a session's token.
    Session(Secret),
    /// Not at all.
    None,
}

/// How requests are made.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// PEM certificates to trust besides the system's.
    pub ca: Option<Vec<u8>>,
    /// The project of requests; none: the tenant itself.
    pub project: Option<String>,
}

/// Why a client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Not a URL that a plane could have.
    #[error("'{0}' is not the URL of a plane; it looks like https://plane.example.com")]
    Url(String),
    /// The key cannot be sent.
    #[error("the API key or session has characters that cannot be sent; copy it whole")]
    Credentials,
    /// TLS could not be set up, mostly because of `ca`.
    #[error("TLS could not be set up: {0}; is the CA file a PEM file with certificates?")]
    Tls(reqwest::Error),
}

/// Why a request was not answered as wished.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The plane refused.
    #[error("{}", .body.message)]
    Refused {
        /// HTTP status.
        status: StatusCode,
        /// What it said.
        body: ErrorBody,
    },
    /// No answer.
    #[error("the plane at {url} cannot be reached: {source}")]
    Unreachable {
        /// Where it was looked for.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// An answer that is not one of a plane.
    #[error("{url} answers, and not as a plane does: {why}")]
    Odd {
        /// Which.
        url: String,
        /// What it said.
        why: String,
    },
}

impl Error {
    /// The stable code of a refusal.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { body, .. } => Some(&body.code),
            _ => None,
        }
    }
}

/// A client of one plane, as one user. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    auth: Option<(&'static str, HeaderValue)>,
    project: Option<String>,
}

impl Client {
    /// A client of the plane at a URL such as `https://plane.example.com`. Nothing is sent yet.
    ///
    /// # Errors
    /// [`SetupError`]
    pub fn new(url: &str, auth: &Auth, options: &Options) -> Result<Self, SetupError> {
        let base = Url::parse(url).ok().filter(|base| base.scheme() == "https" && base.has_host());
        let base = base.ok_or_else(|| SetupError::Url(url.to_owned()))?;
        let auth = match auth {
            Auth::ApiKey(key) => Some(("apikey", key)),
            Auth::Session(token) => Some(("authorization", token)),
            Auth::None => None,
        };
        let header = |(name, value): (&'static str, &Secret)| {
            let mut value = HeaderValue::from_str(value.expose()).map_err(|_| SetupError::Credentials)?;
            value.set_sensitive(true);
            Ok((name, value))
        };
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("bessemer/", env!("CARGO_PKG_VERSION")))
            .timeout(LIMIT)
            .redirect(reqwest::redirect::Policy::none());
        if base.host_str().is_some_and(|host| host == "localhost" || host.starts_with("127.")) {
            builder = builder.no_proxy();
        }
        if let Some(pem) = &options.ca {
            builder = builder.tls_certs_merge(Certificate::from_pem_bundle(pem).map_err(SetupError::Tls)?);
        }
        let http = builder.build().map_err(SetupError::Tls)?;
        Ok(Self { http, base, auth: auth.map(header).transpose()?, project: options.project.clone() })
    }

    /// The same client for requests in a project, or in the tenant itself.
    #[must_use]
    pub fn within(&self, project: Option<&str>) -> Self {
        Self { project: project.map(str::to_owned), ..self.clone() }
    }

    /// Signs in by password.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn sign_in(&self, login: &v1::Login) -> Result<v1::UserToken, Error> {
        self.send(Method::POST, "/v1/auth/authenticate", Some(login)).await
    }

    /// Reads something.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.send(Method::GET, path, None::<&()>).await
    }

    /// Makes something.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn create(&self, path: &str, body: &impl Serialize) -> Result<String, Error> {
        let made: v1::Uid = self.send(Method::POST, path, Some(body)).await?;
        Ok(made.uid)
    }

    /// Any other request whose answer is JSON.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, Error> {
        let (url, bytes) = self.order(method, path, body).await?;
        serde_json::from_slice(&bytes).map_err(|error| Error::Odd { url, why: error.to_string() })
    }

    /// A request whose answer does not matter beyond its success.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn call(&self, method: Method, path: &str, body: Option<&impl Serialize>) -> Result<(), Error> {
        self.order(method, path, body).await.map(drop)
    }

    /// Reads a file, which may hold secrets.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn text(&self, path: &str) -> Result<Secret, Error> {
        let (url, bytes) = self.order(Method::GET, path, None::<&()>).await?;
        let text = String::from_utf8(bytes.to_vec());
        text.map(Secret::new).map_err(|error| Error::Odd { url, why: error.to_string() })
    }

    async fn order(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<(String, bytes::Bytes), Error> {
        let url = format!("{}{path}", self.base.as_str().trim_end_matches('/'));
        let mut request = self.http.request(method, &url);
        if let Some((name, value)) = &self.auth {
            request = request.header(*name, value.clone());
        }
        if let Some(project) = &self.project {
            request = request.header("projectuid", project);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let unreachable =
            |source: reqwest::Error| Error::Unreachable { url: url.clone(), source: source.without_url() };
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let bytes = response.bytes().await.map_err(unreachable)?;
        if status.is_success() {
            return Ok((url, bytes));
        }
        match serde_json::from_slice(&bytes) {
            Ok(body) => Err(Error::Refused { status, body }),
            Err(_) => Err(Error::Odd { url, why: status.to_string() }),
        }
    }
}
