//! Asking a gateway.

use std::time::Duration;

use axum::body::Body;
use gateway_protocol::{
    About, Account, Found, Kubeconfig, LookUp, Order, Probed, Problem, Taken, Validated, What, kubernetes,
    path,
};
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tunnel::Actor;

use crate::Fleet;

/// How long a gateway may take to answer a question about itself.
const SOON: Duration = Duration::from_secs(5);
/// How long a MAAS may take, through its gateway. Palette's clients wait 30 s.
const MAAS: Duration = Duration::from_secs(25);
/// How long a gateway may take to find a cluster's API server.
const CLUSTER: Duration = Duration::from_secs(10);
/// No answer is longer.
const LONGEST: usize = 16 << 20;

/// Why something was not had from a site.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The gateway is not there, or did not answer.
    #[error(transparent)]
    Link(#[from] tunnel::AskError),
    /// It took the question, and it cannot be done.
    #[error("{}", .0.message)]
    Problem(Problem),
    /// It answered something else.
    #[error("the gateway answered what this plane does not understand: {0}; upgrade the older of them")]
    Odd(String),
}

impl Fleet {
    /// What a gateway is.
    ///
    /// # Errors
    /// [`AskError`]
    pub async fn about(&self, actor: &Actor, overlord: &str) -> Result<About, AskError> {
        self.ask(actor, overlord, Method::GET, path::ABOUT, &(), SOON).await
    }

    /// Tries an account at the site.
    ///
    /// # Errors
    /// [`AskError`]
    pub async fn validate(
        &self,
        actor: &Actor,
        overlord: &str,
        account: &Account,
    ) -> Result<Validated, AskError> {
        self.ask(actor, overlord, Method::POST, path::VALIDATE, account, MAAS).await
    }

    /// Tries the ways that a gateway needs which is not at the site.
    ///
    /// # Errors
    /// [`AskError`]
    pub async fn probe(&self, actor: &Actor, overlord: &str, account: &Account) -> Result<Probed, AskError> {
        self.ask(actor, overlord, Method::POST, path::PROBE, account, MAAS).await
    }

    /// Looks something up at the site.
    ///
    /// # Errors
    /// [`AskError`]
    pub async fn look_up(
        &self,
        actor: &Actor,
        overlord: &str,
        account: Account,
        what: What,
    ) -> Result<Found, AskError> {
        self.ask(actor, overlord, Method::POST, path::LOOK_UP, &LookUp { account, what }, MAAS).await
    }

    /// Gives an order for a cluster; it may be repeated.
    ///
    /// # Errors
    /// [`AskError`]
    pub async fn give(&self, actor: &Actor, overlord: &str, order: &Order) -> Result<Taken, AskError> {
        self.ask(actor, overlord, Method::PUT, path::CLUSTERS, order, SOON).await
    }

    /// The kubeconfig of a cluster, with an administrator's credentials.
    ///
    /// # Errors
    /// [`AskError`]
    pub async fn kubeconfig(
        &self,
        actor: &Actor,
        overlord: &str,
        cluster: &str,
    ) -> Result<Kubeconfig, AskError> {
        let path = path::KUBECONFIG.replace("{uid}", cluster);
        self.ask(actor, overlord, Method::GET, &path, &(), SOON).await
    }

    /// A stream to a cluster's API server, as the actor's person; HTTP/1.1 is spoken on it.
    ///
    /// # Errors
    /// [`tunnel::AskError`]
    pub async fn kubernetes(
        &self,
        actor: &Actor,
        overlord: &str,
        cluster: &str,
    ) -> Result<TokioIo<Upgraded>, tunnel::AskError> {
        let link = self.link(&actor.tenant, overlord).await?;
        link.connect(actor, &kubernetes::target(cluster), CLUSTER).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        actor: &Actor,
        overlord: &str,
        method: Method,
        path: &str,
        body: &impl Serialize,
        limit: Duration,
    ) -> Result<T, AskError> {
        let odd = |error: &dyn std::fmt::Display| AskError::Odd(error.to_string());
        let link = self.link(&actor.tenant, overlord).await?;
        let body = if method == Method::GET {
            Body::empty()
        } else {
            Body::from(serde_json::to_vec(body).map_err(|error| odd(&error))?)
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/json")
            .body(body)
            .map_err(|error| odd(&error))?;
        let response = link.ask(actor, request, limit).await?;
        let status = response.status();
        let read = Limited::new(response.into_body(), LONGEST).collect();
        let read = tokio::time::timeout(limit, read).await.map_err(|_| tunnel::AskError::Late(limit))?;
        let bytes = read.map_err(|error| tunnel::AskError::Lost(error.to_string()))?.to_bytes();
        match status {
            StatusCode::OK => serde_json::from_slice(&bytes).map_err(|error| odd(&error)),
            StatusCode::UNPROCESSABLE_ENTITY => match serde_json::from_slice(&bytes) {
                Ok(problem) => Err(AskError::Problem(problem)),
                Err(error) => Err(odd(&error)),
            },
            other => Err(odd(&format!("{path}: {other}"))),
        }
    }
}
