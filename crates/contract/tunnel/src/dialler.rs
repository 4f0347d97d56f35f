//! The gateway's end: dialling, pairing, renewing, and staying connected.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::body::Body;
use http::{Request, Response};
use hyper::client::conn::http2::SendRequest;
use jiff::Timestamp;
use reconcile::Backoff;
use rustls::{CertificateError, ClientConfig, pki_types::ServerName};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    AskError, Carrier, Commands, Enrolment, GatewayKey, PairingCode, Stream, TlsError,
    hello::{self, Answer, Ask, Hello, HelloError, Refusal, RefusalCode, Reply, VERSIONS},
    http2,
    links::{absolute, chain},
    tls,
};

const HANDSHAKE: Duration = Duration::from_secs(10);
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
/// A connection that held for so long was a good one.
const HEALTHY: Duration = Duration::from_mins(1);
/// What was refused for good is asked for again after this: somebody may have mended it.
const REFUSED_AGAIN: Duration = Duration::from_mins(5);

/// Why the plane could not be reached or said no.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// No carrier gave a TLS connection to the plane; a sentence for each.
    #[error("the plane cannot be reached: {}", .0.join("; "))]
    Unreachable(Vec<String>),
    /// Key or certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The plane said nothing, or nonsense.
    #[error("the plane does not answer as one: {0}")]
    Hello(#[from] HelloError),
    /// The plane said no.
    #[error("the plane refuses: {0}")]
    Refused(#[from] Refusal),
    /// The plane answered something else than what was asked.
    #[error("the plane answered something else than what was asked; is it of the same version?")]
    Odd,
    /// The connection was not good for HTTP/2.
    #[error("the connection failed: {0}")]
    Http(String),
}

/// How a gateway's link stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum LinkState {
    /// The first attempt is under way.
    Connecting,
    /// There.
    Connected {
        /// Since when.
        since: Timestamp,
        /// By which carrier.
        carrier: String,
    },
    /// Away.
    Down {
        /// Since when.
        since: Timestamp,
        /// Why.
        reason: String,
        /// When it is tried again.
        retry_at: Timestamp,
    },
}

/// Pairs a gateway. With the same code and key it may be repeated.
///
/// # Errors
/// [`DialError`]
pub async fn pair(
    carriers: &[Arc<dyn Carrier>],
    code: &PairingCode,
    key: &GatewayKey,
    software: &str,
) -> Result<Enrolment, DialError> {
    let config = tls::pairing(code.authority)?;
    let ask = Ask::Pair { code: code.secret.clone(), request: key.request()? };
    enrolled(open(carriers, &AtomicUsize::new(0), config, software, ask).await?.1)
}

/// Has a gateway's certificate renewed, one that ended too, where that is less than 30 days ago.
///
/// # Errors
/// [`DialError`]
pub async fn renew(
    carriers: &[Arc<dyn Carrier>],
    enrolment: &Enrolment,
    key: &GatewayKey,
    software: &str,
) -> Result<Enrolment, DialError> {
    let ask = Ask::Renew { request: key.request()? };
    enrolled(open(carriers, &AtomicUsize::new(0), tls::client(enrolment, key)?, software, ask).await?.1)
}

/// How a connection ended that was open.
fn closed(ended: hyper::Result<()>) -> DialError {
    DialError::Http(ended.map_or_else(|error| chain(&error), |()| "the plane closed it".to_owned()))
}

fn enrolled(answer: Answer) -> Result<Enrolment, DialError> {
    match answer.reply {
        Reply::Enrolled(enrolment) => Ok(*enrolment),
        _ => Err(DialError::Odd),
    }
}

/// Dials by the carrier that worked last, then by the others, and asks.
async fn open(
    carriers: &[Arc<dyn Carrier>],
    best: &AtomicUsize,
    config: Arc<ClientConfig>,
    software: &str,
    ask: Ask,
) -> Result<(TlsStream<Stream>, Answer, String), DialError> {
    let first = best.load(Ordering::Relaxed);
    let order = (first..carriers.len()).chain(0..first.min(carriers.len()));
    let mut failed = Vec::new();
    for (number, carrier) in order.filter_map(|number| Some((number, carriers.get(number)?))) {
        match connect(carrier.as_ref(), config.clone()).await {
            Ok(mut stream) => {
                best.store(number, Ordering::Relaxed);
                let hello = Hello { versions: VERSIONS.to_vec(), software: software.to_owned(), ask };
                hello::write(&mut stream, &hello).await?;
                let answer: Answer = hello::read(&mut stream).await?;
                if let Reply::Refused(refusal) = answer.reply {
                    return Err(refusal.into());
                }
                return Ok((stream, answer, carrier.describe()));
            }
            Err(reason) => failed.push(format!("{}: {reason}", carrier.describe())),
        }
    }
    Err(DialError::Unreachable(failed))
}

async fn connect(carrier: &dyn Carrier, config: Arc<ClientConfig>) -> Result<TlsStream<Stream>, String> {
    let stream = carrier.dial().await.map_err(|error| error.to_string())?;
    let name = ServerName::try_from(tls::SERVER_NAME).map_err(|error| error.to_string())?;
    match timeout(HANDSHAKE, TlsConnector::from(config).connect(name, stream)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(explain(&error)),
        Err(_) => Err(format!("no TLS within {HANDSHAKE:?}")),
    }
}

/// What a failed handshake means to who set the gateway up.
fn explain(error: &std::io::Error) -> String {
    let rustls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match rustls {
        // All planes' authorities have the same name, so the wrong one's signature is what does not fit.
        Some(rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        )) => {
            "what answers there is another plane than the one that gave the pairing code, or something between that \
             opens TLS"
                .to_owned()
        }
        Some(rustls::Error::InvalidCertificate(
            CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. }
            | CertificateError::Expired
            | CertificateError::ExpiredContext { .. },
        )) => format!("{error}: set this host's clock, which says {}", Timestamp::now()),
        Some(rustls::Error::NoApplicationProtocol | rustls::Error::InvalidMessage(_)) => {
            format!("no Bessemer plane answers there ({error})")
        }
        _ => error.to_string(),
    }
}

/// Keeps a paired gateway connected.
pub struct Dialler {
    carriers: Vec<Arc<dyn Carrier>>,
    best: AtomicUsize,
    software: String,
    epoch: u64,
    key: GatewayKey,
    enrolment: watch::Sender<Enrolment>,
    state: watch::Sender<LinkState>,
    reports: watch::Sender<Option<SendRequest<Body>>>,
    expired: Notify,
}

/// A dialler at work; dropped, it stops.
#[derive(Debug)]
pub struct Running {
    /// How the command connection stands.
    pub state: watch::Receiver<LinkState>,
    /// To the plane.
    pub reports: Reports,
    tasks: JoinSet<DialError>,
}

/// Sends reports to the plane. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reports(watch::Receiver<Option<SendRequest<Body>>>);

impl Dialler {
    /// A dialler for a gateway whose `epoch` was counted up at its start.
    pub fn new(
        carriers: Vec<Arc<dyn Carrier>>,
        software: String,
        epoch: u64,
        key: GatewayKey,
        enrolment: Enrolment,
    ) -> Self {
        Self {
            carriers,
            best: AtomicUsize::new(0),
            software,
            epoch,
            key,
            enrolment: watch::Sender::new(enrolment),
            state: watch::Sender::new(LinkState::Connecting),
            reports: watch::Sender::new(None),
            expired: Notify::new(),
        }
    }

    /// Connects, answers commands, renews, and connects again. `keep` writes a renewed enrolment down.
    pub fn start(self, commands: Commands, keep: impl Fn(&Enrolment) + Send + 'static) -> Running {
        let this = Arc::new(self);
        let (state, reports) = (this.state.subscribe(), Reports(this.reports.subscribe()));
        let mut tasks = JoinSet::new();
        tasks.spawn(this.clone().command(commands.clone()));
        tasks.spawn(this.clone().report());
        tasks.spawn(this.renewing(commands, keep));
        Running { state, reports, tasks }
    }

    async fn open(&self, ask: Ask) -> Result<(TlsStream<Stream>, Answer, String), DialError> {
        let config = tls::client(&self.enrolment.borrow().clone(), &self.key)?;
        open(&self.carriers, &self.best, config, &self.software, ask).await
    }

    async fn command(self: Arc<Self>, commands: Commands) -> DialError {
        let lost = |error: &DialError, delay| self.lost(error, delay);
        self.again(|| self.take_commands(&commands), lost).await
    }

    async fn report(self: Arc<Self>) -> DialError {
        let lost = |error: &DialError, _| tracing::debug!(%error, "no report connection to the plane");
        self.again(|| self.carry_reports(), lost).await
    }

    /// Connects again whenever a connection ends, until another gateway has taken this one's place. `lost` is told why
    /// it ended and after how long it is tried again.
    async fn again<F: Future<Output = DialError>>(
        &self,
        connection: impl Fn() -> F,
        lost: impl Fn(&DialError, Duration),
    ) -> DialError {
        let mut failures = 0;
        loop {
            let began = Instant::now();
            let ended = connection().await;
            if began.elapsed() > HEALTHY {
                failures = 0;
            }
            failures += 1;
            let Some(delay) = self.delay(&ended, failures) else { return ended };
            lost(&ended, delay);
            self.pause(delay).await;
        }
    }

    /// One command connection, until it ends.
    async fn take_commands(&self, commands: &Commands) -> DialError {
        let (stream, answer, carrier) = match self.open(Ask::Command { epoch: self.epoch }).await {
            Ok(opened) => opened,
            Err(error) => return error,
        };
        commands.verifier().set_clock(answer.now, Timestamp::now());
        tracing::info!(carrier, plane = answer.software, "connected to the plane");
        self.state.send_replace(LinkState::Connected { since: Timestamp::now(), carrier });
        closed(commands.clone().serve(stream).await)
    }

    /// One report connection, until it ends.
    async fn carry_reports(&self) -> DialError {
        let stream = match self.open(Ask::Report { epoch: self.epoch }).await {
            Ok((stream, ..)) => stream,
            Err(error) => return error,
        };
        let (sender, connection) = match http2::ask(stream).await {
            Ok(asking) => asking,
            Err(error) => return closed(Err(error)),
        };
        self.reports.send_replace(Some(sender));
        let ended = connection.await;
        self.reports.send_replace(None);
        closed(ended)
    }

    fn lost(&self, error: &DialError, delay: Duration) {
        let now = Timestamp::now();
        let retry_at = now + jiff::SignedDuration::try_from(delay).unwrap_or_default();
        tracing::warn!(%error, %retry_at, "not connected to the plane");
        self.state.send_modify(|state| {
            let since = match state {
                LinkState::Down { since, .. } => *since,
                _ => now,
            };
            *state = LinkState::Down { since, reason: error.to_string(), retry_at };
        });
    }

    /// Renews the certificate in time, and at once where the plane says that it has ended.
    async fn renewing(self: Arc<Self>, commands: Commands, keep: impl Fn(&Enrolment) + Send) -> DialError {
        let mut failures = 0;
        loop {
            let enrolment = self.enrolment.borrow().clone();
            let at = match enrolment.renew_at() {
                Ok(at) => at,
                Err(error) => return error.into(),
            };
            let wait = at.duration_since(Timestamp::now() + commands.verifier().ahead());
            let wait = Duration::try_from(wait).unwrap_or_default();
            tokio::select! {
                () = sleep(wait.max(BACKOFF.delay(failures, rand::random()))) => {}
                () = self.expired.notified() => {}
            }
            let renewed = match self.key.request() {
                Ok(request) => self.open(Ask::Renew { request }).await,
                Err(error) => Err(error.into()),
            };
            let renewed = renewed.and_then(|(_, answer, _)| {
                commands.verifier().set_clock(answer.now, Timestamp::now());
                enrolled(answer)
            });
            match renewed {
                Ok(enrolment) => {
                    failures = 0;
                    keep(&enrolment);
                    self.enrolment.send_replace(enrolment);
                }
                Err(error) => {
                    failures += 1;
                    tracing::warn!(%error, "the gateway's certificate was not renewed");
                }
            }
        }
    }

    /// How long to wait after a failure; `None` where another gateway has taken this one's place.
    fn delay(&self, error: &DialError, failures: u32) -> Option<Duration> {
        let usual = BACKOFF.delay(failures, rand::random());
        let DialError::Refused(refusal) = error else { return Some(usual) };
        match (refusal.code, refusal.retry_after) {
            (RefusalCode::Fenced, _) => None,
            (RefusalCode::Expired, _) => {
                self.expired.notify_one();
                Some(usual)
            }
            (_, Some(seconds)) => Some(usual.max(Duration::from_secs(seconds.min(300)))),
            (_, None) => Some(REFUSED_AGAIN),
        }
    }

    /// Waits, but no longer than until there is another certificate.
    async fn pause(&self, delay: Duration) {
        let mut renewed = self.enrolment.subscribe();
        tokio::select! {
            () = sleep(delay) => {}
            _ = renewed.changed() => {}
        }
    }
}

impl std::fmt::Debug for Dialler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialler").field("carriers", &self.carriers).finish_non_exhaustive()
    }
}

impl Running {
    /// Until it cannot go on: another gateway has taken this one's place.
    pub async fn ended(&mut self) -> DialError {
        match self.tasks.join_next().await {
            Some(Ok(error)) => error,
            Some(Err(error)) => DialError::Http(error.to_string()),
            None => DialError::Odd,
        }
    }
}

impl Reports {
    /// Whether there is a connection now.
    pub fn is_connected(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Sends a report, as soon as there is a connection, and answers what the plane says.
    ///
    /// # Errors
    /// [`AskError`]
    pub async fn send(&self, request: Request<Body>, deadline: Duration) -> Result<Response<Body>, AskError> {
        let mut connection = self.0.clone();
        let sent = async {
            let sender = connection.wait_for(Option::is_some).await.map_err(|_| AskError::Away)?.clone();
            let mut sender = sender.ok_or(AskError::Away)?;
            let lost = |error: hyper::Error| AskError::Lost(chain(&error));
            sender.ready().await.map_err(lost)?;
            sender.send_request(absolute(request)).await.map_err(lost)
        };
        Ok(timeout(deadline, sent).await.map_err(|_| AskError::Late(deadline))??.map(Body::new))
    }
}
