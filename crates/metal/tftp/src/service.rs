//! The shell: a listening socket, and a socket and a task for each transfer.

use std::{
    collections::HashSet,
    convert::Infallible,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{net::UdpSocket, sync::Semaphore};

use crate::{
    packet::{ErrorCode, Packet, Request},
    transfer::{Ended, Transfer},
};

/// The port of TFTP.
pub const PORT: u16 = 69;

/// Where the files are.
pub trait Files: Send + Sync + 'static {
    /// The content of a file for a client; `None` if there is none. The path is clean: relative, with `/`, without
    /// empty, `.` and `..` components.
    fn open(&self, path: &str, client: IpAddr) -> impl Future<Output = Option<Bytes>> + Send;

    /// A transfer has ended. Be quick.
    fn ended(&self, _outcome: Outcome) {}
}

/// How a transfer ended, for who counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The client has all of the file.
    Sent {
        /// Its length.
        bytes: u64,
    },
    /// There is no such file.
    NotFound,
    /// The client stopped it or fell silent, or the network failed.
    Broken,
}

impl<F: Files> Files for Arc<F> {
    fn open(&self, path: &str, client: IpAddr) -> impl Future<Output = Option<Bytes>> + Send {
        (**self).open(path, client)
    }

    fn ended(&self, outcome: Outcome) {
        (**self).ended(outcome);
    }
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another server runs there.
    #[error("UDP port {} of {} is taken: another TFTP server runs there (see `ss -lunp 'sport = :{}'`); stop it", .0.port(), .0.ip(), .0.port())]
    Taken(SocketAddr),
    /// No right to do this.
    #[error("may not listen on UDP {0}: run as root, or grant CAP_NET_BIND_SERVICE")]
    Forbidden(SocketAddr),
    /// Anything else.
    #[error("cannot listen for TFTP on {0}")]
    Io(SocketAddr, #[source] io::Error),
}

/// A socket for [`Service::run`]. Take the address that clients send to: firmware insists on being answered
/// from there.
///
/// # Errors
/// [`BindError`] says what stands in the way.
pub async fn bind(address: SocketAddr) -> Result<UdpSocket, BindError> {
    UdpSocket::bind(address).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => BindError::Taken(address),
        io::ErrorKind::PermissionDenied => BindError::Forbidden(address),
        _ => BindError::Io(address, error),
    })
}

/// A TFTP server.
#[derive(Debug)]
pub struct Service<F> {
    files: Arc<F>,
    room: Arc<Semaphore>,
    /// Clients that are being served: a repeated request is not a second transfer.
    busy: Arc<Mutex<HashSet<SocketAddr>>>,
}

/// A client in [`Service::busy`]; leaves it when dropped.
struct Place {
    client: SocketAddr,
    busy: Arc<Mutex<HashSet<SocketAddr>>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.client);
    }
}

impl<F: Files> Service<F> {
    /// A server of these files with at most `transfers` at a time; requests beyond go unanswered and are repeated
    /// by the clients.
    pub fn new(files: F, transfers: usize) -> Self {
        Self { files: Arc::new(files), room: Arc::new(Semaphore::new(transfers)), busy: Arc::default() }
    }

    /// Serves until it is dropped; transfers under way go on.
    pub async fn run(&self, socket: UdpSocket) -> Infallible {
        let mut buffer = vec![0; 2048];
        loop {
            match socket.recv_from(&mut buffer).await {
                Ok((len, client)) => {
                    self.request(&socket, buffer.get(..len).unwrap_or_default(), client).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot receive TFTP requests");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
    }

    async fn request(&self, socket: &UdpSocket, bytes: &[u8], client: SocketAddr) {
        let refuse = match Packet::parse(bytes) {
            Ok(Packet::Read(request)) => match (request.clean_path(), request.mode.as_str()) {
                (_, mode) if !matches!(mode, "octet" | "netascii") => {
                    ErrorCode::Illegal.packet("modes are octet and netascii")
                }
                (None, _) => ErrorCode::AccessViolation.packet("no such place"),
                (Some(path), _) => return self.start(socket, path, request, client),
            },
            Ok(Packet::Write) => ErrorCode::AccessViolation.packet("this server is read-only"),
            // Never answer errors with errors, nor noise with anything.
            Ok(Packet::Data(..) | Packet::Ack(_) | Packet::Error(..) | Packet::OptionAck(_)) | Err(_) => {
                return;
            }
        };
        if let Err(error) = socket.send_to(&refuse, client).await {
            tracing::debug!(%client, %error, "cannot answer");
        }
    }

    fn start(&self, socket: &UdpSocket, path: String, request: Request, client: SocketAddr) {
        let Ok(room) = Arc::clone(&self.room).try_acquire_owned() else {
            tracing::warn!(%client, path, "as many transfers as allowed are under way; the client has to ask again");
            return;
        };
        if !self.busy.lock().unwrap_or_else(PoisonError::into_inner).insert(client) {
            return;
        }
        let place = Place { client, busy: Arc::clone(&self.busy) };
        let files = Arc::clone(&self.files);
        let local = socket.local_addr();
        tokio::spawn(async move {
            let _held = (room, place);
            let outcome = match transfer(local, &*files, &path, &request, client).await {
                Ok(Some((Ended::Done, bytes))) => {
                    tracing::debug!(%client, path, "sent");
                    Outcome::Sent { bytes }
                }
                Ok(Some((ended, _))) => {
                    tracing::info!(%client, path, %ended, "not sent");
                    Outcome::Broken
                }
                Ok(None) => {
                    tracing::info!(%client, path, "no such file");
                    Outcome::NotFound
                }
                Err(error) => {
                    tracing::warn!(%client, path, %error, "not sent");
                    Outcome::Broken
                }
            };
            files.ended(outcome);
        });
    }
}

/// How it ended, and the length of the file; `None`: there is no such file.
async fn transfer<F: Files>(
    local: io::Result<SocketAddr>,
    files: &F,
    path: &str,
    request: &Request,
    client: SocketAddr,
) -> io::Result<Option<(Ended, u64)>> {
    let socket = UdpSocket::bind(SocketAddr::new(local?.ip(), 0)).await?;
    socket.connect(client).await?;
    let Some(content) = files.open(path, client.ip()).await else {
        socket.send(&ErrorCode::NotFound.packet("file not found")).await?;
        return Ok(None);
    };
    let (mut out, length) = (Vec::new(), content.len() as u64);
    let mut transfer = Transfer::begin(content, request, Instant::now(), &mut out);
    let mut buffer = vec![0; 2048];
    loop {
        for packet in out.drain(..) {
            socket.send(&packet).await?;
        }
        if let Some(ended) = transfer.ended() {
            return Ok(Some((ended.clone(), length)));
        }
        match tokio::time::timeout_at(transfer.deadline().into(), socket.recv(&mut buffer)).await {
            Ok(received) => {
                transfer.receive(buffer.get(..received?).unwrap_or_default(), Instant::now(), &mut out);
            }
            Err(_) => transfer.poll(Instant::now(), &mut out),
        }
    }
}
