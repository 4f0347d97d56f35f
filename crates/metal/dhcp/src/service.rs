//! The shell: a socket, a clock, and leases that are durable before the machine hears of them.

use std::{
    convert::Infallible,
    future::Future,
    io,
    net::{Ipv4Addr, SocketAddrV4},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use jiff::Timestamp;
use tokio::{net::UdpSocket, sync::mpsc};

use crate::{
    config::{Config, Directory},
    decide::{Decision, decide},
    lease::{Lease, Leases},
    mac::Mac,
    message::{Message, MessageType},
    reply::{destination, reply},
};

/// Leases that wait for the journal; beyond it packets are dropped, and clients ask again.
const QUEUE: usize = 1024;
/// Leases recorded in one go.
const BATCH: usize = 256;

/// Where leases are made durable.
pub trait Journal: Send + Sync {
    /// Records leases, in order; the last for an address counts. They are in effect when this returns: only then
    /// do the machines hear of them. After an error they ask again.
    fn record(&self, leases: &[Lease]) -> impl Future<Output = io::Result<()>> + Send;
}

/// Who wants to know what happens: the first sign of life of a machine that boots.
pub trait Events: Send + Sync {
    /// A message came from a machine, and this was decided. Called on the packet path: be quick.
    fn dhcp(&self, mac: Mac, message: MessageType, decision: &Decision);
}

impl<J: Journal + ?Sized> Journal for Arc<J> {
    fn record(&self, leases: &[Lease]) -> impl Future<Output = io::Result<()>> + Send {
        (**self).record(leases)
    }
}

impl<E: Events + ?Sized> Events for Arc<E> {
    fn dhcp(&self, mac: Mac, message: MessageType, decision: &Decision) {
        (**self).dhcp(mac, message, decision);
    }
}

/// One DHCP server, on one interface.
#[derive(Debug)]
pub struct Service<D, J, E> {
    config: RwLock<Arc<Config>>,
    leases: Mutex<Leases>,
    hosts: D,
    journal: J,
    events: E,
}

/// A lease on its way into the journal, and what the machine is told afterwards.
struct Pending {
    lease: Lease,
    answer: Option<(Vec<u8>, SocketAddrV4)>,
}

impl<D: Directory, J: Journal, E: Events> Service<D, J, E> {
    /// A server that starts from these leases.
    pub fn new(config: Config, leases: Leases, hosts: D, journal: J, events: E) -> Self {
        Self { config: RwLock::new(Arc::new(config)), leases: Mutex::new(leases), hosts, journal, events }
    }

    /// Replaces the configuration; the next packet sees it.
    pub fn configure(&self, config: Config) {
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }

    /// Drops the lease of an address whose machine was given back; the journal is the caller's business.
    pub fn forget(&self, ip: Ipv4Addr) {
        self.lock().forget(ip);
    }

    /// All leases as of now, offers and ended ones among them.
    pub fn leases(&self) -> Vec<Lease> {
        self.lock().iter().cloned().collect()
    }

    /// Serves until it is dropped.
    pub async fn run(&self, socket: UdpSocket) -> Infallible {
        let (queue, pending) = mpsc::channel(QUEUE);
        // Both run for ever; whichever would end, its type says that it cannot.
        tokio::select! {
            never = self.receive(&socket, queue) => never,
            never = self.record(&socket, pending) => never,
        }
    }

    async fn receive(&self, socket: &UdpSocket, queue: mpsc::Sender<Pending>) -> Infallible {
        let mut buffer = vec![0; 65_536];
        loop {
            let (len, from) = match socket.recv_from(&mut buffer).await {
                Ok(received) => received,
                Err(error) => {
                    // Such as "network is down": the interface may come back.
                    tracing::warn!(%error, "cannot receive DHCP messages");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    continue;
                }
            };
            let message = match Message::parse(buffer.get(..len).unwrap_or_default()) {
                Ok(message) => message,
                Err(error) => {
                    tracing::debug!(%from, %error, "dropped");
                    continue;
                }
            };
            let (decision, answer) = self.handle(&message, Timestamp::now());
            let answer = answer.map(|answer| (answer.encode(), destination(&message, &answer)));
            match decision {
                Decision::Ack(lease) | Decision::Release(lease) | Decision::Decline(lease) => {
                    if queue.try_send(Pending { lease, answer }).is_err() {
                        tracing::warn!(mac = %message.mac, "the lease journal is behind; the client has to ask again");
                    }
                }
                Decision::Offer(_) | Decision::Nak(_) | Decision::Inform | Decision::Ignore(_) => {
                    send(socket, answer).await;
                }
            }
        }
    }

    fn handle(&self, message: &Message, now: Timestamp) -> (Decision, Option<Message>) {
        let config = Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner));
        let decision = {
            let mut leases = self.lock();
            let decision = decide(message, &config, &self.hosts, &leases, now);
            leases.apply(&decision);
            decision
        };
        let mac = message.mac;
        match &decision {
            Decision::Ignore(why) => tracing::debug!(%mac, %why, "no answer"),
            Decision::Nak(why) => tracing::info!(%mac, %why, "refused"),
            other => tracing::debug!(%mac, ip = ?other.lease().map(|lease| lease.ip), "answered"),
        }
        if let Some(kind) = message.kind() {
            self.events.dhcp(mac, kind, &decision);
        }
        let subnet = config.subnet_of(message);
        let extra = subnet.map(|subnet| self.hosts.options(mac, subnet.cidr)).unwrap_or_default();
        let answer = reply(message, &decision, &config, &extra);
        (decision, answer)
    }

    /// Records whatever has queued up in one call, so that a rack that powers on does not wait in line.
    async fn record(&self, socket: &UdpSocket, mut pending: mpsc::Receiver<Pending>) -> Infallible {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            if pending.recv_many(&mut batch, BATCH).await == 0 {
                // The sender lives in the other branch of `run` and goes together with this one.
                std::future::pending::<()>().await;
            }
            let (leases, answers): (Vec<_>, Vec<_>) = batch.drain(..).map(|p| (p.lease, p.answer)).unzip();
            match self.journal.record(&leases).await {
                Ok(()) => {
                    for answer in answers {
                        send(socket, answer).await;
                    }
                }
                Err(error) => {
                    tracing::error!(%error, leases = leases.len(), "leases were not recorded; the clients have to ask again");
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Leases> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn send(socket: &UdpSocket, answer: Option<(Vec<u8>, SocketAddrV4)>) {
    if let Some((bytes, to)) = answer
        && let Err(error) = socket.send_to(&bytes, to).await
    {
        tracing::warn!(%to, %error, "cannot send a DHCP answer");
    }
}
