//! Several replicas of one plane: a gateway is connected to one of them, and may be asked by all.
//!
//! Who asks signs the grant, since all replicas are one plane and have its keys; the replica to which the gateway is
//! connected passes the request on, and the answer back, and looks at neither. Replicas know each other by certificates
//! of the plane's authority, which only they can make.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::body::Body;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::{body::Incoming, client::conn::http2::SendRequest};
use jiff::Timestamp;
use rustls::pki_types::ServerName;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use crate::{
    AskError, Authority, Identity, Link, Links, http2,
    links::chain,
    tls::{self, SERVER_NAME},
    upgrade::join,
};

/// How long another replica may take to accept a connection.
const DIAL: Duration = Duration::from_secs(3);
/// Which gateway a request is for.
pub(crate) const GATEWAY: &str = "bessemer-gateway";
/// The gateway is not connected to the replica that was asked.
pub(crate) const AWAY: &str = "bessemer-away";
/// The connection to the gateway ended, and why.
pub(crate) const LOST: &str = "bessemer-lost";

/// Who replicas are to each other. No gateway is this one: a tenant's id is 24 hex digits.
pub(crate) fn replica() -> Identity {
    Identity { gateway: "replica".to_owned(), tenant: "plane".to_owned() }
}

/// The other replicas of a plane.
#[derive(Debug)]
pub struct Peers {
    authority: Arc<Authority>,
    open: Mutex<HashMap<String, SendRequest<Body>>>,
}

impl Peers {
    /// None are connected yet.
    pub fn new(authority: Arc<Authority>) -> Self {
        Self { authority, open: Mutex::default() }
    }

    /// A link to a gateway that is connected to the replica at this address, such as `10.0.0.11:443`.
    ///
    /// # Errors
    /// [`AskError::Lost`] where that replica does not answer.
    pub async fn link(&self, links: &Links, address: &str, gateway: Identity) -> Result<Link, AskError> {
        let known = self.lock().get(address).filter(|sender| !sender.is_closed()).cloned();
        let sender = match known {
            Some(sender) => sender,
            None => self.dial(address).await.map_err(|why| {
                AskError::Lost(format!(
                    "the replica at {address}, to which it is connected, does not answer: {why}"
                ))
            })?,
        };
        Ok(links.through(gateway, address.to_owned(), sender))
    }

    async fn dial(&self, address: &str) -> Result<SendRequest<Body>, String> {
        let text = |error: &dyn std::error::Error| chain(error);
        let config = tls::peer(&self.authority, Timestamp::now()).map_err(|error| text(&error))?;
        let stream = timeout(DIAL, TcpStream::connect(address)).await;
        let stream = stream.map_err(|error| text(&error))?.map_err(|error| text(&error))?;
        stream.set_nodelay(true).map_err(|error| text(&error))?;
        let name = ServerName::try_from(SERVER_NAME).map_err(|error| text(&error))?;
        let stream = timeout(DIAL, TlsConnector::from(config).connect(name, stream)).await;
        let stream = stream.map_err(|error| text(&error))?.map_err(|error| text(&error))?;
        let (sender, connection) = http2::ask(stream).await.map_err(|error| text(&error))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to another replica ended");
            }
        });
        self.lock().insert(address.to_owned(), sender.clone());
        Ok(sender)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, SendRequest<Body>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Passes on what another replica asks a gateway that is connected here.
pub(crate) async fn relay(links: Links, mut request: Request<Incoming>) -> Response<Body> {
    let gateway = request.headers_mut().remove(GATEWAY);
    let gateway = gateway.as_ref().and_then(|name| name.to_str().ok()).unwrap_or_default();
    let Some(link) = links.get(gateway) else { return failed(AWAY, "1") };
    let asked = hyper::upgrade::on(&mut request);
    let stream = request.method() == Method::CONNECT;
    match link.pass(request.map(Body::new)).await {
        Ok(mut response) => {
            if stream && response.status().is_success() {
                join(asked, hyper::upgrade::on(&mut response));
                // What was read of it belongs to the stream.
                return Response::new(Body::empty());
            }
            response
        }
        Err(AskError::Lost(why)) => failed(LOST, &why),
        Err(other) => failed(LOST, &other.to_string()),
    }
}

fn failed(name: &'static str, words: &str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    let words = HeaderValue::from_str(words).unwrap_or(HeaderValue::from_static("?"));
    response.headers_mut().insert(name, words);
    response
}
