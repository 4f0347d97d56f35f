//! Webhooks: `POST` to one address switches on, to another off, and what a third answers to `GET` is the state.

use std::time::Duration;

use lifecycle::Power;
use regex::{Regex, RegexBuilder};
use reqwest::{Client, Method, StatusCode, Url, header, redirect};
use secrets::Secret;

use super::{Parameters, body, goes_off, parameter};
use crate::{
    Bmc, PowerError,
    error::{chain, shortened},
};

/// How long one request may take.
const LIMIT: Duration = Duration::from_secs(10);
/// How long a machine may take to go off before it is switched on again.
const OFF: Duration = Duration::from_secs(12);
/// Bytes of an answer that are read.
const ANSWER: usize = 1024 * 1024;
/// Bytes that a compiled expression may take.
const EXPRESSION: usize = 1024 * 1024;

/// Three addresses and what the third answers.
#[derive(Debug, Clone)]
pub struct Webhook {
    client: Client,
    /// The question's address, without anything secret: a server may answer for many machines.
    address: String,
    on: Url,
    off: Url,
    query: Url,
    is_on: Regex,
    is_off: Regex,
    credentials: Credentials,
}

#[derive(Debug, Clone)]
enum Credentials {
    None,
    Basic { user: String, password: Secret },
    Bearer(Secret),
}

impl Webhook {
    pub fn from_parameters(parameters: &Parameters<'_>) -> Result<Self, PowerError> {
        let query = url(parameters, "power_query_uri")?;
        let (user, password) = (parameters.text("power_user"), parameters.secret("power_pass"));
        let token = parameters.secret("power_token");
        let credentials = match (token.is_empty(), user.is_empty() || password.is_empty()) {
            (false, _) => Credentials::Bearer(token),
            (true, true) => Credentials::None,
            (true, false) => Credentials::Basic { user: user.to_owned(), password },
        };
        let mut client = Client::builder()
            .timeout(LIMIT)
            .connect_timeout(LIMIT)
            .no_proxy()
            .redirect(redirect::Policy::limited(3));
        if parameters.text("power_verify_ssl") != "y" {
            client = client.tls_danger_accept_invalid_certs(true);
        }
        Ok(Self {
            client: client.build().map_err(|error| parameter("power_verify_ssl", chain(&error)))?,
            address: bare(&query),
            on: url(parameters, "power_on_uri")?,
            off: url(parameters, "power_off_uri")?,
            query,
            is_on: expression(parameters, "power_on_regex")?,
            is_off: expression(parameters, "power_off_regex")?,
            credentials,
        })
    }

    async fn ask(&self, method: Method, url: &Url) -> Result<String, PowerError> {
        let unreachable = |why: String| PowerError::Unreachable { address: self.address.clone(), why };
        let mut request = self.client.request(method.clone(), url.clone());
        request = request.header(header::ACCEPT, "application/json");
        request = match &self.credentials {
            Credentials::None => request,
            Credentials::Basic { user, password } => request.basic_auth(user, Some(password.expose())),
            Credentials::Bearer(token) => request.bearer_auth(token.expose()),
        };
        let response = request.send().await.map_err(|error| unreachable(chain(&error.without_url())))?;
        let status = response.status();
        let refused = |why: String| PowerError::Refused {
            address: self.address.clone(),
            what: format!("{method} {}", url.path()),
            why,
        };
        let text = body::read(response, ANSWER).await.map_err(refused)?;
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(PowerError::Credentials { address: self.address.clone() })
            }
            status if status.is_success() => Ok(text),
            status => Err(refused(format!("{status}: {}", shortened(&text)))),
        }
    }
}

#[async_trait::async_trait]
impl Bmc for Webhook {
    fn address(&self) -> &str {
        &self.address
    }

    async fn state(&self) -> Result<Power, PowerError> {
        let text = self.ask(Method::GET, &self.query).await?;
        if self.is_on.is_match(&text) {
            Ok(Power::On)
        } else if self.is_off.is_match(&text) {
            Ok(Power::Off)
        } else {
            Err(PowerError::Refused {
                address: self.address.clone(),
                what: format!("GET {}", self.query.path()),
                why: format!("neither power_on_regex nor power_off_regex is found in: {}", shortened(&text)),
            })
        }
    }

    /// What is behind the webhook is to boot over the network whenever it is switched on: one that is on is
    /// switched off first.
    async fn boot_network(&self) -> Result<(), PowerError> {
        if self.state().await? == Power::On {
            self.ask(Method::POST, &self.off).await?;
            if !goes_off(self, OFF).await? {
                return Err(PowerError::Refused {
                    address: self.address.clone(),
                    what: format!("POST {}", self.off.path()),
                    why: "the power is still on".to_owned(),
                });
            }
        }
        self.ask(Method::POST, &self.on).await.map(|_| ())
    }

    async fn on(&self) -> Result<(), PowerError> {
        self.ask(Method::POST, &self.on).await.map(|_| ())
    }

    async fn off(&self) -> Result<(), PowerError> {
        self.ask(Method::POST, &self.off).await.map(|_| ())
    }
}

/// An address without user, password and parameters.
fn bare(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}

fn url(parameters: &Parameters<'_>, name: &'static str) -> Result<Url, PowerError> {
    let url = Url::parse(parameters.text(name)).ok();
    url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| parameter(name, "it is no http:// or https:// address"))
}

fn expression(parameters: &Parameters<'_>, name: &'static str) -> Result<Regex, PowerError> {
    RegexBuilder::new(parameters.text(name))
        .size_limit(EXPRESSION)
        .build()
        .map_err(|error| parameter(name, shortened(&error.to_string())))
}
