//! The plane's end of open command connections: which gateway is there, and asking it.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::body::Body;
use http::{HeaderValue, Method, Request, Response, Uri};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use tokio::{sync::watch, time::timeout};

use crate::{
    Actor, Identity, Signer,
    commands::{DEADLINE, GRANT, REFUSED},
    peers::{AWAY, GATEWAY, LOST},
};

/// The command connections of all gateways that are connected here. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Links {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    signer: Signer,
    links: Mutex<HashMap<String, Link>>,
    numbers: AtomicU64,
    /// What links through others end with: nothing of ours.
    open: watch::Sender<bool>,
    changed: watch::Sender<u64>,
}

/// One open command connection. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Link {
    /// Whose it is.
    pub identity: Identity,
    /// The gateway's program, for people.
    pub software: String,
    /// From where it came, for people.
    pub peer: String,
    /// Since when.
    pub since: Timestamp,
    number: u64,
    sender: SendRequest<Body>,
    /// The gateway's name, where another replica passes on what is asked.
    through: Option<HeaderValue>,
    inner: Arc<Inner>,
    /// True once the connection is over.
    closed: watch::Receiver<bool>,
}

/// Why a gateway did not answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// It is not connected.
    #[error("the gateway is not connected")]
    Away,
    /// Nothing came in time.
    #[error("the gateway did not answer within {0:?}")]
    Late(Duration),
    /// The connection ended meanwhile; whether the gateway did what it was asked is not known.
    #[error("the connection to the gateway ended: {0}")]
    Lost(String),
    /// The gateway did not take the grant.
    #[error("the gateway refused: {0}")]
    Refused(String),
}

impl Links {
    /// None yet; requests are granted by `signer`.
    pub fn new(signer: Signer) -> Self {
        let (changed, _) = watch::channel(0);
        let (open, _) = watch::channel(false);
        let inner = Inner { signer, links: Mutex::default(), numbers: AtomicU64::new(1), open, changed };
        Self { inner: Arc::new(inner) }
    }

    /// The key by which gateways check grants.
    pub fn grants(&self) -> &str {
        self.inner.signer.public()
    }

    /// The link to a gateway that is connected.
    pub fn get(&self, gateway: &str) -> Option<Link> {
        self.inner.lock().get(gateway).cloned()
    }

    /// The link to a gateway, once it is there.
    ///
    /// # Errors
    /// [`AskError::Away`] where it does not come in time.
    pub async fn wait(&self, gateway: &str, limit: Duration) -> Result<Link, AskError> {
        let mut changes = self.changes();
        let there = changes.wait_for(|_| self.get(gateway).is_some());
        let _ = timeout(limit, there).await;
        self.get(gateway).ok_or(AskError::Away)
    }

    /// Counts up whenever a gateway comes or goes.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changed.subscribe()
    }

    /// Closes a gateway's connection: its record is gone, or its pairing was reset.
    pub fn close(&self, gateway: &str) {
        let closed = self.inner.lock().remove(gateway);
        if closed.is_some() {
            self.inner.tell();
        }
    }

    /// The gateways that are connected.
    pub fn all(&self) -> Vec<Link> {
        self.inner.lock().values().cloned().collect()
    }

    /// A link to a gateway that is connected to another replica; `sender` asks that one.
    pub(crate) fn through(&self, identity: Identity, peer: String, sender: SendRequest<Body>) -> Link {
        Link {
            through: HeaderValue::from_str(&identity.gateway).ok(),
            identity,
            software: String::new(),
            peer,
            since: Timestamp::now(),
            number: 0,
            sender,
            inner: self.inner.clone(),
            closed: self.inner.open.subscribe(),
        }
    }

    /// Adds a connection in place of an older one of the same gateway, which ends. Answers what ends with this one.
    pub(crate) fn add(
        &self,
        identity: Identity,
        software: String,
        peer: String,
        sender: SendRequest<Body>,
    ) -> Held {
        let number = self.inner.numbers.fetch_add(1, Ordering::Relaxed);
        let (closing, closed) = watch::channel(false);
        let gateway = identity.gateway.clone();
        let link = Link {
            identity,
            software,
            peer,
            since: Timestamp::now(),
            number,
            sender,
            through: None,
            inner: self.inner.clone(),
            closed,
        };
        self.inner.lock().insert(gateway.clone(), link);
        self.inner.tell();
        Held { links: self.clone(), gateway, number, closing }
    }
}

impl Inner {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Link>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self) {
        self.changed.send_modify(|count| *count += 1);
    }
}

/// A connection's place among the links; gone with it.
#[derive(Debug)]
pub(crate) struct Held {
    links: Links,
    gateway: String,
    number: u64,
    closing: watch::Sender<bool>,
}

impl Held {
    /// Until another connection took this one's place, or it was closed.
    pub(crate) async fn replaced(&self) {
        let ours = |link: &Link| link.number == self.number;
        let mut changes = self.links.changes();
        let gone = changes.wait_for(|_| !self.links.get(&self.gateway).as_ref().is_some_and(ours));
        // The sender lives as long as the links, so this ends by the condition only.
        let _ = gone.await;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut links = self.links.inner.lock();
        if links.get(&self.gateway).is_some_and(|link| link.number == self.number) {
            links.remove(&self.gateway);
        }
        drop(links);
        self.closing.send_replace(true);
        self.links.inner.tell();
    }
}

impl Link {
    /// Asks the gateway; the answer's body may go on for longer than the deadline.
    ///
    /// # Errors
    /// [`AskError`]
    pub async fn ask(
        &self,
        actor: &Actor,
        request: Request<Body>,
        deadline: Duration,
    ) -> Result<Response<Body>, AskError> {
        let target = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
        self.send(actor, request, &target, deadline).await
    }

    /// Opens a byte stream to a target at the site.
    ///
    /// # Errors
    /// [`AskError`]
    pub async fn connect(
        &self,
        actor: &Actor,
        target: &str,
        deadline: Duration,
    ) -> Result<TokioIo<hyper::upgrade::Upgraded>, AskError> {
        let lost = |error: &dyn std::error::Error| AskError::Lost(error.to_string());
        let uri = Uri::builder().authority(target).build().map_err(|error| lost(&error))?;
        let request = Request::builder().method(Method::CONNECT).uri(uri).body(Body::empty());
        let request = request.map_err(|error| lost(&error))?;
        let response = self.send(actor, request, target, deadline).await?;
        let upgraded = hyper::upgrade::on(response);
        let upgraded = timeout(deadline, upgraded).await.map_err(|_| AskError::Late(deadline))?;
        Ok(TokioIo::new(upgraded.map_err(|error| lost(&error))?))
    }

    async fn send(
        &self,
        actor: &Actor,
        mut request: Request<Body>,
        target: &str,
        deadline: Duration,
    ) -> Result<Response<Body>, AskError> {
        let lost = |error: &dyn std::error::Error| AskError::Lost(chain(error));
        let (method, now) = (request.method().as_str().to_owned(), Timestamp::now());
        let grant = self.inner.signer.grant(&self.identity.gateway, actor, &method, target, now);
        let grant = HeaderValue::try_from(grant.map_err(|error| lost(&error))?);
        let headers = request.headers_mut();
        headers.insert(GRANT, grant.map_err(|error| lost(&error))?);
        headers.insert(DEADLINE, HeaderValue::from(u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX)));
        if let Some(gateway) = &self.through {
            request.headers_mut().insert(GATEWAY, gateway.clone());
        }
        let answer = timeout(deadline, self.pass(request)).await;
        let response = answer.map_err(|_| AskError::Late(deadline))??;
        let words = |name| {
            let value = response.headers().get(name)?;
            Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        match (words(REFUSED), words(AWAY), words(LOST)) {
            (Some(reason), _, _) => Err(AskError::Refused(reason)),
            (_, Some(_), _) => Err(AskError::Away),
            (_, _, Some(reason)) => Err(AskError::Lost(reason)),
            (None, None, None) => Ok(response),
        }
    }

    /// Sends what has its grant already.
    pub(crate) async fn pass(&self, request: Request<Body>) -> Result<Response<Body>, AskError> {
        let lost = |error: &dyn std::error::Error| AskError::Lost(chain(error));
        let (mut closed, mut sender) = (self.closed.clone(), self.sender.clone());
        let answer = async {
            sender.ready().await.map_err(|error| lost(&error))?;
            sender.send_request(absolute(request)).await.map_err(|error| lost(&error))
        };
        tokio::select! {
            answer = answer => answer.map(|response| response.map(Body::new)),
            _ = closed.wait_for(|closed| *closed) => Err(AskError::Lost("it was closed".to_owned())),
        }
    }
}

/// HTTP/2 wants a scheme and an authority; nobody looks at them here.
pub(crate) fn absolute(mut request: Request<Body>) -> Request<Body> {
    if request.method() != Method::CONNECT {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(http::uri::Scheme::HTTP);
        parts.authority = Some(http::uri::Authority::from_static("tunnel"));
        parts.path_and_query = parts.path_and_query.or(Some(http::uri::PathAndQuery::from_static("/")));
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    request
}

/// An error with what caused it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
