//! The shell: UDP and TCP sockets, with limits.

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream, UdpSocket},
    sync::Semaphore,
    time::timeout,
};

use crate::{
    answer::{Answer, Asker, Transport, answer, failure},
    forward::{forward, read_framed, write_framed},
    zones::Zones,
};

/// The port of DNS.
pub const PORT: u16 = 53;
/// Names of the response codes by their number in a message's header (RFC 1035, 4.1.1), which has no room for the
/// extended ones: BADVERS counts as the first. The last is any other.
const CODES: [&str; 7] = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "other"];
/// TCP connections at a time; more are closed at once.
const CONNECTIONS: usize = 256;
/// Queries with the forwarders at a time; more are dropped.
const FORWARDED: usize = 512;
/// How long a TCP connection may say nothing, and how long it may take to read an answer.
const IDLE: Duration = Duration::from_secs(10);

/// Why there are no sockets.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another server runs there.
    #[error("port {} of {} is taken: another DNS server runs there (see `ss -lnp 'sport = :{}'`); stop it, or listen on one address instead of all", .0.port(), .0.ip(), .0.port())]
    Taken(SocketAddr),
    /// No right to do this.
    #[error("may not listen on {0}: run as root, or grant CAP_NET_BIND_SERVICE")]
    Forbidden(SocketAddr),
    /// Anything else.
    #[error("cannot listen for DNS on {0}")]
    Io(SocketAddr, #[source] io::Error),
}

/// The sockets of one address.
#[derive(Debug)]
pub struct Sockets {
    udp: Arc<UdpSocket>,
    tcp: TcpListener,
}

impl Sockets {
    /// Where they listen.
    ///
    /// # Errors
    /// As [`TcpListener::local_addr`].
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// Listens on an address, by UDP and TCP. Take the one that clients send to rather than all: answers leave from
/// the address that the socket has.
///
/// # Errors
/// [`BindError`] says what stands in the way.
pub async fn bind(address: SocketAddr) -> Result<Sockets, BindError> {
    let listen = async {
        let tcp = TcpListener::bind(address).await?;
        // With port 0, the same free port for both.
        let udp = UdpSocket::bind(tcp.local_addr()?).await?;
        Ok(Sockets { udp: Arc::new(udp), tcp })
    };
    listen.await.map_err(|error: io::Error| match error.kind() {
        io::ErrorKind::AddrInUse => BindError::Taken(address),
        io::ErrorKind::PermissionDenied => BindError::Forbidden(address),
        _ => BindError::Io(address, error),
    })
}

/// A DNS server.
#[derive(Debug)]
pub struct Server {
    zones: RwLock<Arc<Zones>>,
    connections: Arc<Semaphore>,
    forwarded: Arc<Semaphore>,
    /// Answers by [`CODES`].
    answered: [AtomicU64; CODES.len()],
}

impl Server {
    /// A server of these zones.
    pub fn new(zones: Zones) -> Self {
        Self {
            zones: RwLock::new(Arc::new(zones)),
            connections: Arc::new(Semaphore::new(CONNECTIONS)),
            forwarded: Arc::new(Semaphore::new(FORWARDED)),
            answered: Default::default(),
        }
    }

    /// How many queries were answered until now, by the name of the response code; all codes are there.
    pub fn answered(&self) -> impl Iterator<Item = (&'static str, u64)> {
        CODES.into_iter().zip(self.answered.iter().map(|count| count.load(Ordering::Relaxed)))
    }

    fn count(&self, reply: &[u8]) {
        let code = usize::from(reply.get(3).copied().unwrap_or_default() & 15);
        if let Some(count) = self.answered.get(code).or(self.answered.last()) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Replaces all zones at once; the next query sees them.
    pub fn set(&self, zones: Zones) {
        *self.zones.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(zones);
    }

    /// Serves until it is dropped. One server may run on several addresses.
    pub async fn run(self: Arc<Self>, sockets: Sockets) -> Infallible {
        tokio::select! {
            never = self.datagrams(&sockets.udp) => never,
            never = self.streams(&sockets.tcp) => never,
        }
    }

    async fn datagrams(self: &Arc<Self>, socket: &Arc<UdpSocket>) -> Infallible {
        let mut buffer = vec![0; 4096];
        loop {
            let (len, from) = match socket.recv_from(&mut buffer).await {
                Ok(received) => received,
                Err(error) => {
                    pause(&error).await;
                    continue;
                }
            };
            let query = buffer.get(..len).unwrap_or_default();
            let zones = self.zones();
            match answer(query, &zones, Asker { transport: Transport::Udp, address: from.ip() }) {
                Answer::Reply(reply) => {
                    self.count(&reply);
                    send(socket, &reply, from).await;
                }
                Answer::Forward => {
                    let Ok(room) = Arc::clone(&self.forwarded).try_acquire_owned() else { continue };
                    let (server, socket, query) = (Arc::clone(self), Arc::clone(socket), query.to_vec());
                    tokio::spawn(async move {
                        if let Some(reply) = relay(&query, &zones, Transport::Udp, from.ip()).await {
                            server.count(&reply);
                            send(&socket, &reply, from).await;
                        }
                        drop(room);
                    });
                }
                Answer::Drop => {}
            }
        }
    }

    async fn streams(self: &Arc<Self>, listener: &TcpListener) -> Infallible {
        loop {
            match listener.accept().await {
                Ok((stream, from)) => {
                    let Ok(room) = Arc::clone(&self.connections).try_acquire_owned() else { continue };
                    let server = Arc::clone(self);
                    tokio::spawn(async move {
                        if let Err(error) = server.stream(stream, from.ip()).await {
                            tracing::debug!(%from, %error, "the DNS connection ended");
                        }
                        drop(room);
                    });
                }
                Err(error) => pause(&error).await,
            }
        }
    }

    async fn stream(&self, mut stream: TcpStream, address: IpAddr) -> io::Result<()> {
        loop {
            let query = timeout(IDLE, read_framed(&mut stream)).await??;
            let zones = self.zones();
            let reply = match answer(&query, &zones, Asker { transport: Transport::Tcp, address }) {
                Answer::Reply(reply) => Some(reply),
                Answer::Forward => relay(&query, &zones, Transport::Tcp, address).await,
                Answer::Drop => None,
            };
            let Some(reply) = reply else { return Ok(()) };
            self.count(&reply);
            timeout(IDLE, write_framed(&mut stream, &reply)).await??;
        }
    }

    fn zones(&self) -> Arc<Zones> {
        Arc::clone(&self.zones.read().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn relay(query: &[u8], zones: &Zones, transport: Transport, client: IpAddr) -> Option<Vec<u8>> {
    match forward(query, transport, zones.forwarders(client)).await {
        Some(reply) => Some(reply),
        None => failure(query),
    }
}

async fn send(socket: &UdpSocket, reply: &[u8], to: SocketAddr) {
    if let Err(error) = socket.send_to(reply, to).await {
        tracing::debug!(%to, %error, "cannot send a DNS answer");
    }
}

/// Such as "too many open files": it may pass.
async fn pause(error: &io::Error) {
    tracing::warn!(%error, "cannot receive DNS queries");
    tokio::time::sleep(Duration::from_millis(200)).await;
}
