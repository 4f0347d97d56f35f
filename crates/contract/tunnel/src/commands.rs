//! The gateway's end of a command connection: every request is checked before anything sees it.

use std::{io, sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::{Router, body::Body};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use tokio::{io::copy_bidirectional, time::timeout};
use tower::ServiceExt as _;

use crate::{Grant, Stream, Verifier, http2};

/// Header of a request: its grant.
pub(crate) const GRANT: &str = "bessemer-grant";
/// Header of a request: milliseconds until its answer must have begun.
pub(crate) const DEADLINE: &str = "bessemer-deadline";
/// Header of an answer: why the gateway did not take the request. A target's own refusals have none.
pub const REFUSED: &str = "bessemer-refused";
/// Where a request names no deadline, or a longer one.
const LONGEST: Duration = Duration::from_mins(2);

/// Byte streams that the plane may ask for.
#[async_trait]
pub trait Targets: Send + Sync + 'static {
    /// Opens a target; what is not known is refused.
    async fn open(&self, grant: &Grant, target: &str) -> io::Result<Stream>;
}

/// No target may be opened.
#[derive(Debug, Clone, Copy)]
pub struct NoTargets;

#[async_trait]
impl Targets for NoTargets {
    async fn open(&self, _: &Grant, target: &str) -> io::Result<Stream> {
        Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("{target} is no target of this gateway")))
    }
}

/// What a gateway answers commands with. Handlers find the checked [`Grant`] as an extension of the request.
#[derive(Clone)]
pub struct Commands {
    verifier: Arc<Verifier>,
    router: Router,
    targets: Arc<dyn Targets>,
}

impl Commands {
    /// By these routes and targets.
    pub fn new(verifier: Arc<Verifier>, router: Router, targets: Arc<dyn Targets>) -> Self {
        Self { verifier, router, targets }
    }

    /// What checks the grants.
    pub(crate) fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Answers one connection until it ends.
    pub(crate) async fn serve(self, stream: impl http2::Wire) -> hyper::Result<()> {
        let answer = move |request| {
            let this = self.clone();
            async move { this.answer(request).await }
        };
        http2::answer_by(stream, Arc::new(answer)).await
    }

    async fn answer(&self, mut request: Request<Incoming>) -> Response<Body> {
        let connect = request.method() == Method::CONNECT;
        let target = if connect {
            request.uri().authority().map(|authority| authority.as_str().to_owned())
        } else {
            request.uri().path_and_query().map(|path| path.as_str().to_owned())
        };
        let (method, target) = (request.method().as_str().to_owned(), target.unwrap_or_default());
        let token = request.headers_mut().remove(GRANT);
        let checked = token
            .as_ref()
            .and_then(|token| token.to_str().ok())
            .ok_or(crate::GrantError::Missing)
            .and_then(|token| self.verifier.check(token, &method, &target, Timestamp::now()));
        let grant = match checked {
            Ok(grant) => grant,
            Err(error) => {
                tracing::warn!(method, target, %error, "a command was refused");
                return refused(StatusCode::FORBIDDEN, &error.to_string());
            }
        };
        tracing::info!(method, target, actor = grant.sub, grant = grant.jti, "a command");
        let limit = deadline(&request);
        let answered = async {
            if connect {
                return self.connect(request, &grant, &target).await;
            }
            request.extensions_mut().insert(grant);
            match self.router.clone().oneshot(request.map(Body::new)).await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        };
        timeout(limit, answered).await.unwrap_or_else(|_| {
            refused(StatusCode::GATEWAY_TIMEOUT, &format!("no answer at the site within {limit:?}"))
        })
    }

    async fn connect(&self, request: Request<Incoming>, grant: &Grant, target: &str) -> Response<Body> {
        let mut stream = match self.targets.open(grant, target).await {
            Ok(stream) => stream,
            Err(error) => {
                let status = match error.kind() {
                    io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound => StatusCode::FORBIDDEN,
                    _ => StatusCode::BAD_GATEWAY,
                };
                return refused(status, &error.to_string());
            }
        };
        let (grant, target) = (grant.jti.clone(), target.to_owned());
        tokio::spawn(async move {
            let copied = match hyper::upgrade::on(request).await {
                Ok(upgraded) => copy_bidirectional(&mut TokioIo::new(upgraded), &mut stream).await,
                Err(error) => Err(io::Error::other(error)),
            };
            match copied {
                Ok((inwards, outwards)) => tracing::info!(target, grant, inwards, outwards, "a stream ended"),
                // Who asked has heard enough, mostly.
                Err(error) => tracing::debug!(target, grant, %error, "a stream was cut"),
            }
        });
        Response::new(Body::empty())
    }
}

impl std::fmt::Debug for Commands {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Commands").field("verifier", &self.verifier).finish_non_exhaustive()
    }
}

fn deadline(request: &Request<Incoming>) -> Duration {
    let header = request.headers().get(DEADLINE).and_then(|value| value.to_str().ok()?.parse().ok());
    header.map_or(LONGEST, Duration::from_millis).min(LONGEST)
}

fn refused(status: StatusCode, reason: &str) -> Response<Body> {
    let plain: String = reason.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    let reason = HeaderValue::from_bytes(plain.as_bytes());
    response.headers_mut().insert(REFUSED, reason.unwrap_or(HeaderValue::from_static("refused")));
    response
}
