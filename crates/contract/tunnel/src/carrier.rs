//! Byte streams to the plane's port.

use std::{fmt, io, time::Duration};

use async_trait::async_trait;
use axum::body::Body;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderValue, Method, Request, header};
use hyper_util::rt::TokioIo;
use secrets::Secret;
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, duplex},
    net::TcpStream,
    sync::mpsc,
    time::timeout,
};

/// Neither a TCP connection nor a proxy's answer may take longer.
const LIMIT: Duration = Duration::from_secs(10);
/// What was sent and not acknowledged for so long ends a TCP connection.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);
/// What either end of a stream in memory may have waiting.
const MEMORY: usize = 256 * 1024;

/// Any byte stream.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// A byte stream of whatever kind.
pub type Stream = Box<dyn Io>;

/// A way to the plane's port.
#[async_trait]
pub trait Carrier: fmt::Debug + Send + Sync + 'static {
    /// Opens a byte stream, looking names up anew.
    async fn dial(&self) -> io::Result<Stream>;

    /// How people would say it.
    fn describe(&self) -> String;
}

/// Straight over TCP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tcp {
    /// The plane's host name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// Through an HTTP proxy's `CONNECT` (RFC 9110, 9.3.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    /// The proxy.
    pub proxy: Tcp,
    /// `user:password`, where the proxy wants one.
    pub credentials: Option<Secret>,
    /// The plane, as the proxy finds it.
    pub plane: Tcp,
}

/// Within the process: for the gateway beside a plane.
#[derive(Debug, Clone)]
pub struct Memory(mpsc::Sender<DuplexStream>);

/// A carrier in memory, and where its streams come out.
pub fn memory() -> (Memory, mpsc::Receiver<DuplexStream>) {
    let (sender, receiver) = mpsc::channel(4);
    (Memory(sender), receiver)
}

impl Tcp {
    async fn connect(&self) -> io::Result<TcpStream> {
        let connecting = TcpStream::connect((self.host.as_str(), self.port));
        let stream = timeout(LIMIT, connecting).await.map_err(|_| late("no TCP connection"))??;
        stream.set_nodelay(true)?;
        let unacknowledged = u32::try_from(UNACKNOWLEDGED.as_millis()).unwrap_or(u32::MAX);
        rustix::net::sockopt::set_tcp_user_timeout(&stream, unacknowledged)?;
        Ok(stream)
    }
}

impl fmt::Display for Tcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[async_trait]
impl Carrier for Tcp {
    async fn dial(&self) -> io::Result<Stream> {
        Ok(Box::new(self.connect().await?))
    }

    fn describe(&self) -> String {
        self.to_string()
    }
}

#[async_trait]
impl Carrier for Connect {
    async fn dial(&self) -> io::Result<Stream> {
        let stream = self.proxy.connect().await?;
        let tunnel = timeout(LIMIT, self.ask(stream)).await.map_err(|_| late("no answer of the proxy"))??;
        Ok(Box::new(TokioIo::new(tunnel)))
    }

    fn describe(&self) -> String {
        format!("{} through the proxy {}", self.plane, self.proxy)
    }
}

impl Connect {
    async fn ask(&self, stream: TcpStream) -> io::Result<hyper::upgrade::Upgraded> {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        tokio::spawn(connection.with_upgrades());
        let plane = self.plane.to_string();
        let mut request = Request::builder().method(Method::CONNECT).uri(&plane).header(header::HOST, &plane);
        if let Some(credentials) = &self.credentials {
            let encoded = format!("Basic {}", STANDARD.encode(credentials.expose()));
            let mut value = HeaderValue::try_from(encoded).map_err(io::Error::other)?;
            value.set_sensitive(true);
            request = request.header(header::PROXY_AUTHORIZATION, value);
        }
        let request = request.body(Body::empty()).map_err(io::Error::other)?;
        let response = sender.send_request(request).await.map_err(io::Error::other)?;
        if !response.status().is_success() {
            return Err(io::Error::other(format!("the proxy answers {}", response.status())));
        }
        hyper::upgrade::on(response).await.map_err(io::Error::other)
    }
}

#[async_trait]
impl Carrier for Memory {
    async fn dial(&self) -> io::Result<Stream> {
        let (ours, theirs) = duplex(MEMORY);
        let gone = || io::Error::new(io::ErrorKind::ConnectionRefused, "the plane in this process has ended");
        self.0.send(theirs).await.map_err(|_| gone())?;
        Ok(Box::new(ours))
    }

    fn describe(&self) -> String {
        "the plane in this process".to_owned()
    }
}

fn late(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("{what} within {LIMIT:?}"))
}
