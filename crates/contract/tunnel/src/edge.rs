//! The plane's end: who comes in, and what its connection becomes.

use std::sync::Arc;

use async_trait::async_trait;
use axum::{Extension, Router};
use jiff::Timestamp;
use rustls::ServerConfig;
use secrets::Secret;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::server::TlsStream;

use crate::{
    Authority, Enrolment, Fingerprint, Identity, Links, RENEW_WITHIN, TlsError,
    authority::requested_key,
    hello::{self, Answer, Ask, Hello, HelloError, Refusal, RefusalCode, Reply},
    http2,
    identity::Certified,
    peers,
    tls::{self, PEER_ALPN},
};

/// What the plane knows of its gateways.
#[async_trait]
pub trait Gatekeeper: Send + Sync + 'static {
    /// Uses up a pairing code for the gateway with this key. The same code and key again are answered the same.
    async fn pair(&self, code: &Secret, key: Fingerprint) -> Result<Identity, Refusal>;

    /// Whether a gateway with this key may go on; and where it gives an epoch, that it is not older than the newest that was
    /// here, which this one becomes.
    async fn admit(&self, who: &Identity, key: Fingerprint, epoch: Option<u64>) -> Result<(), Refusal>;

    /// Counts up when the plane was restored from a backup.
    fn incarnation(&self) -> u64;
}

/// Takes gateways' connections.
#[derive(Clone)]
pub struct Edge {
    tls: Arc<ServerConfig>,
    authority: Arc<Authority>,
    gatekeeper: Arc<dyn Gatekeeper>,
    links: Links,
    reports: Router,
    software: String,
}

/// How a connection ended that did not end well.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// No hello.
    #[error(transparent)]
    Hello(#[from] HelloError),
    /// It was told so.
    #[error("refused: {0}")]
    Refused(#[from] Refusal),
    /// The connection failed.
    #[error(transparent)]
    Http(#[from] hyper::Error),
}

impl Edge {
    /// An edge with a certificate of `authority`. Reports go to `reports`, with the gateway's [`Identity`] as an
    /// extension; `software` is what gateways are told of the program.
    ///
    /// # Errors
    /// [`TlsError`]
    pub fn new(
        authority: Arc<Authority>,
        gatekeeper: Arc<dyn Gatekeeper>,
        links: Links,
        reports: Router,
        software: String,
    ) -> Result<Self, TlsError> {
        let tls = tls::server(&authority, Timestamp::now())?;
        Ok(Self { tls, authority, gatekeeper, links, reports, software })
    }

    /// What the plane's port answers a client with that offers [`crate::ALPN`].
    pub fn tls(&self) -> Arc<ServerConfig> {
        self.tls.clone()
    }

    /// The gateways that are connected.
    pub fn links(&self) -> &Links {
        &self.links
    }

    /// Serves one connection until it ends; `peer` is for people.
    ///
    /// # Errors
    /// [`EdgeError`]
    pub async fn serve<S>(&self, mut stream: TlsStream<S>, peer: String) -> Result<(), EdgeError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let certified = stream
            .get_ref()
            .1
            .peer_certificates()
            .and_then(|chain| chain.first())
            .and_then(|certificate| Certified::of(certificate).ok());
        if stream.get_ref().1.alpn_protocol() == Some(PEER_ALPN) {
            return self.serve_replica(stream, certified.as_ref()).await;
        }
        let hello: Hello = hello::read(&mut stream).await?;
        let decided = self.decide(&hello, certified.as_ref()).await;
        let (reply, done) = match decided {
            Ok(Some(enrolment)) => (Reply::Enrolled(Box::new(enrolment)), Some(Ok(()))),
            Ok(None) => (Reply::Welcome, None),
            Err(refusal) => (Reply::Refused(refusal.clone()), Some(Err(refusal.into()))),
        };
        hello::write(&mut stream, &self.answer(&hello, reply)).await?;
        match (done, certified) {
            (None, Some(certified)) => self.open(stream, hello, certified.identity, peer).await,
            (done, _) => {
                // The answer must arrive before the connection ends.
                let _ = tokio::io::AsyncWriteExt::shutdown(&mut stream).await;
                done.unwrap_or(Ok(()))
            }
        }
    }

    /// Another replica of this plane asks gateways that are connected here.
    async fn serve_replica<S>(
        &self,
        stream: TlsStream<S>,
        certified: Option<&Certified>,
    ) -> Result<(), EdgeError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let is_replica =
            |shown: &Certified| shown.identity == peers::replica() && Timestamp::now() <= shown.until;
        if !certified.is_some_and(is_replica) {
            let reason = "only replicas of this plane come in this way";
            return Err(Refusal::new(RefusalCode::NotPaired, reason).into());
        }
        let links = self.links.clone();
        let relay = move |request| peers::relay(links.clone(), request);
        Ok(http2::answer_by(stream, Arc::new(relay)).await?)
    }

    async fn open<S>(
        &self,
        stream: TlsStream<S>,
        hello: Hello,
        who: Identity,
        peer: String,
    ) -> Result<(), EdgeError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        if let Ask::Report { .. } = hello.ask {
            let reports = self.reports.clone().layer(Extension(who));
            return Ok(http2::answer(stream, reports).await?);
        }
        let (sender, connection) = http2::ask(stream).await?;
        tracing::info!(gateway = who.gateway, peer, "a gateway is connected");
        let held = self.links.add(who, hello.software, peer, sender);
        tokio::select! {
            ended = connection => Ok(ended?),
            () = held.replaced() => Ok(()),
        }
    }

    fn answer(&self, hello: &Hello, reply: Reply) -> Answer {
        Answer {
            version: hello::common(&hello.versions).unwrap_or_default(),
            software: self.software.clone(),
            now: Timestamp::now(),
            incarnation: self.gatekeeper.incarnation(),
            reply,
        }
    }

    /// What a gateway gets: nothing to say but welcome, or an enrolment.
    async fn decide(
        &self,
        hello: &Hello,
        certified: Option<&Certified>,
    ) -> Result<Option<Enrolment>, Refusal> {
        if hello::common(&hello.versions).is_none() {
            let reason = format!(
                "the plane speaks versions {:?} of the tunnel, the gateway {:?}: upgrade the older of them",
                hello::VERSIONS,
                hello.versions
            );
            return Err(Refusal::new(RefusalCode::Version, reason));
        }
        match &hello.ask {
            Ask::Pair { code, request } => {
                let who = self.gatekeeper.pair(code, key(request)?).await?;
                self.enrol(who, request).map(Some)
            }
            Ask::Renew { request } => {
                let certified = known(certified)?;
                if key(request)? != certified.key {
                    let reason = "a certificate is renewed for the key that it was issued for";
                    return Err(Refusal::new(RefusalCode::Invalid, reason));
                }
                if Timestamp::now() > certified.until + RENEW_WITHIN {
                    return Err(Refusal::new(
                        RefusalCode::Expired,
                        "the certificate ended too long ago: pair again",
                    ));
                }
                self.gatekeeper.admit(&certified.identity, certified.key, None).await?;
                self.enrol(certified.identity.clone(), request).map(Some)
            }
            Ask::Command { epoch } | Ask::Report { epoch } => {
                let certified = known(certified)?;
                if Timestamp::now() > certified.until {
                    let reason = format!("the gateway's certificate ended at {}: renew it", certified.until);
                    return Err(Refusal::new(RefusalCode::Expired, reason));
                }
                self.gatekeeper.admit(&certified.identity, certified.key, Some(*epoch)).await?;
                Ok(None)
            }
        }
    }

    fn enrol(&self, identity: Identity, request: &str) -> Result<Enrolment, Refusal> {
        let certificate = self
            .authority
            .certify(&identity, request, Timestamp::now())
            .map_err(|error| Refusal::new(RefusalCode::Invalid, error.to_string()))?;
        Ok(Enrolment {
            identity,
            certificate,
            authority: self.authority.pem().to_owned(),
            grants: self.links.grants().to_owned(),
        })
    }
}

impl std::fmt::Debug for Edge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Edge").field("authority", &self.authority).finish_non_exhaustive()
    }
}

fn known(certified: Option<&Certified>) -> Result<&Certified, Refusal> {
    certified.ok_or_else(|| Refusal::new(RefusalCode::NotPaired, "the gateway shows no certificate: pair it"))
}

fn key(request: &str) -> Result<Fingerprint, Refusal> {
    requested_key(request).map_err(|error| Refusal::new(RefusalCode::Invalid, error.to_string()))
}
