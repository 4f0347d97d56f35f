//! A plane's edge on a socket, with what it knows of gateways in memory.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use axum::{Extension, Router, http::StatusCode, routing::post};
use jiff::Timestamp;
use secrets::Secret;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use tunnel::{
    Authority, Carrier, Edge, Fingerprint, Gatekeeper, GatewayKey, Identity, Links, Memory, PairingCode,
    Signer, Tcp,
    hello::{Refusal, RefusalCode},
};

pub const TENANT: &str = "5f0000000000000000000001";

pub fn identity(name: &str) -> Identity {
    Identity { gateway: format!("gateway-{name}"), tenant: TENANT.to_owned() }
}

/// A plane that runs until it is dropped.
pub struct Plane {
    pub address: SocketAddr,
    pub links: Links,
    pub reported: Arc<Mutex<Vec<(Identity, String)>>>,
    pub authority: Arc<Authority>,
    grants_key: Secret,
    known: Arc<Known>,
    memory: Memory,
    _tasks: tokio::task::JoinSet<()>,
}

#[derive(Default)]
struct Known {
    codes: Mutex<HashMap<String, (String, Option<Fingerprint>)>>,
    revoked: Mutex<HashSet<String>>,
    epochs: Mutex<HashMap<String, u64>>,
}

#[async_trait]
impl Gatekeeper for Known {
    async fn pair(&self, code: &Secret, key: Fingerprint) -> Result<Identity, Refusal> {
        let mut codes = self.codes.lock().unwrap();
        let Some((name, used)) = codes.get_mut(code.expose()) else {
            return Err(Refusal::new(RefusalCode::CodeUnknown, "no such code"));
        };
        if name == "old" {
            return Err(Refusal::new(RefusalCode::CodeExpired, "too old"));
        }
        match used {
            Some(other) if *other != key => Err(Refusal::new(RefusalCode::CodeUsed, "used")),
            _ => {
                *used = Some(key);
                Ok(identity(name))
            }
        }
    }

    async fn admit(&self, who: &Identity, _: Fingerprint, epoch: Option<u64>) -> Result<(), Refusal> {
        if self.revoked.lock().unwrap().contains(&who.gateway) {
            return Err(Refusal::new(RefusalCode::Revoked, "revoked"));
        }
        let mut epochs = self.epochs.lock().unwrap();
        let newest = epochs.entry(who.gateway.clone()).or_default();
        match epoch {
            Some(epoch) if epoch < *newest => Err(Refusal::new(RefusalCode::Fenced, "fenced")),
            Some(epoch) => {
                *newest = epoch;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn incarnation(&self) -> u64 {
        1
    }
}

impl Plane {
    pub async fn start() -> Self {
        let authority = Arc::new(Authority::generate(Timestamp::now()).unwrap());
        Self::with(authority, Signer::generate().unwrap().key().clone(), Arc::default()).await
    }

    /// Another replica of the same plane.
    pub async fn replica(&self) -> Self {
        Self::with(self.authority.clone(), self.grants_key.clone(), self.known.clone()).await
    }

    async fn with(authority: Arc<Authority>, grants_key: Secret, known: Arc<Known>) -> Self {
        let reported = Arc::new(Mutex::new(Vec::new()));
        let links = Links::new(Signer::open(&grants_key).unwrap());
        let into = reported.clone();
        let reports = Router::new().route(
            "/events",
            post(|Extension(who): Extension<Identity>, body: String| async move {
                into.lock().unwrap().push((who, body));
                StatusCode::NO_CONTENT
            }),
        );
        let edge = Edge::new(authority.clone(), known.clone(), links.clone(), reports, "plane".into());
        let edge = edge.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (memory, mut inside) = tunnel::memory();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (edge, acceptor) = (edge.clone(), TlsAcceptor::from(edge.tls()));
                tokio::select! {
                    accepted = listener.accept() => {
                        let (stream, peer) = accepted.unwrap();
                        connections.spawn(async move {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                let _ = edge.serve(stream, peer.to_string()).await;
                            }
                        });
                    }
                    Some(stream) = inside.recv() => {
                        connections.spawn(async move {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                let _ = edge.serve(stream, "memory".into()).await;
                            }
                        });
                    }
                }
            }
        });
        Self { address, links, reported, authority, grants_key, known, memory, _tasks: tasks }
    }

    pub fn tcp(&self) -> Arc<dyn Carrier> {
        Arc::new(Tcp { host: "127.0.0.1".into(), port: self.address.port() })
    }

    pub fn memory(&self) -> Arc<dyn Carrier> {
        Arc::new(self.memory.clone())
    }

    /// A code for a gateway of this name.
    pub fn code(&self, name: &str) -> PairingCode {
        let code = PairingCode::random(self.authority.fingerprint());
        let entry = (name.to_owned(), None);
        self.known.codes.lock().unwrap().insert(code.secret.expose().to_owned(), entry);
        code
    }

    /// A certificate as it would have been issued at `then`.
    pub fn certify(&self, key: &GatewayKey, name: &str, then: Timestamp) -> String {
        let pair = rcgen::KeyPair::from_pem(key.pem().expose()).unwrap();
        let request = rcgen::CertificateParams::new(vec![]).unwrap().serialize_request(&pair).unwrap();
        self.authority.certify(&identity(name), &request.pem().unwrap(), then).unwrap()
    }

    pub fn revoke(&self, name: &str) {
        self.known.revoked.lock().unwrap().insert(identity(name).gateway);
    }
}

/// An HTTP proxy that wants these credentials; it goes on until the test ends.
pub async fn proxy(credentials: &str) -> Tcp {
    use base64::Engine as _;
    let wanted = base64::engine::general_purpose::STANDARD.encode(credentials);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let wanted = wanted.clone();
            tokio::spawn(async move { serve(stream, &wanted).await });
        }
    });
    Tcp { host: "127.0.0.1".into(), port }
}

async fn serve(stream: TcpStream, wanted: &str) {
    let mut stream = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return;
        }
        if line.trim().is_empty() {
            break;
        }
        head.push(line);
    }
    if !head
        .iter()
        .any(|line| line.to_lowercase().starts_with("proxy-authorization") && line.contains(wanted))
    {
        let answer = b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n";
        let _ = stream.write_all(answer).await;
        return;
    }
    let target = head[0].split(' ').nth(1).unwrap().to_owned();
    let mut plane = TcpStream::connect(target).await.unwrap();
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    let _ = copy_bidirectional(&mut stream, &mut plane).await;
}
