//! A plane's gateways: pairing them, knowing who is there, asking them.
//!
//! A [`Fleet`] is the tunnel's [`Gatekeeper`](tunnel::Gatekeeper), with what the store knows of gateways, and the one
//! place from which the plane asks something of a site. Whoever asks is named in every request's grant.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

mod ask;
mod attend;
mod fulfil;
mod gatekeeper;
mod greet;
mod order;
mod pairing;
mod reports;

use std::sync::Arc;

use jiff::Timestamp;
use plane_model::{Identity, Overlord, Presence};
use store::{Store, Stored};
use tunnel::{AskError as LinkError, Authority, AuthorityError, Link, Links, Peers, Signer};

pub use ask::AskError;
pub use order::{layer_of, order};
pub use pairing::PairError;

/// The gateways. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Fleet {
    store: Store,
    links: Links,
    authority: Arc<Authority>,
    incarnation: u64,
    /// Where other replicas of the plane reach this one; none: there are no others.
    replica: Option<String>,
    peers: Arc<Peers>,
}

/// A gateway's connection, to whichever replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connected {
    /// Since when.
    pub since: Timestamp,
    /// From where, for people.
    pub peer: String,
}

/// Why the plane's keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The authority's.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// Those that sign.
    #[error("the plane's key for grants cannot be used: {0}")]
    Grants(String),
}

impl Fleet {
    /// The gateways of the plane with this identity.
    ///
    /// # Errors
    /// [`OpenError`]
    pub fn open(store: Store, identity: &Identity) -> Result<Self, OpenError> {
        let authority = Authority::open(&identity.authority, &identity.authority_key)?;
        let signer = Signer::open(&identity.grants_key).map_err(OpenError::Grants)?;
        let (links, authority) = (Links::new(signer), Arc::new(authority));
        let peers = Arc::new(Peers::new(authority.clone()));
        Ok(Self { store, links, authority, incarnation: identity.incarnation, replica: None, peers })
    }

    /// The same as one of several replicas, which the others reach at this address, such as `10.0.0.11:443`. What a
    /// replica does for the others, [`attend`](Self::attend) does.
    #[must_use]
    pub fn replica(self, address: String) -> Self {
        Self { replica: Some(address), ..self }
    }

    /// Whether there may be other replicas.
    pub fn is_replica(&self) -> bool {
        self.replica.is_some()
    }

    /// The open connections.
    pub fn links(&self) -> &Links {
        &self.links
    }

    /// What names gateways and this plane to each other.
    pub fn authority(&self) -> &Arc<Authority> {
        &self.authority
    }

    /// The connection of a gateway, where it has one to any replica.
    pub fn connected(&self, tenant: &str, overlord: &str) -> Option<Connected> {
        if let Some(link) = self.links.get(overlord) {
            return Some(Connected { since: link.since, peer: link.peer });
        }
        let there = self.elsewhere(tenant, overlord)?;
        Some(Connected { since: there.value.since, peer: there.value.peer.clone() })
    }

    /// By which a gateway is asked: its connection, or the replica that has it.
    async fn link(&self, tenant: &str, overlord: &str) -> Result<Link, LinkError> {
        if let Some(link) = self.links.get(overlord) {
            return Ok(link);
        }
        let there = self.elsewhere(tenant, overlord).ok_or(LinkError::Away)?;
        let gateway = tunnel::Identity { gateway: overlord.to_owned(), tenant: tenant.to_owned() };
        self.peers.link(&self.links, &there.value.replica, gateway).await
    }

    /// At which other replica a gateway is.
    fn elsewhere(&self, tenant: &str, overlord: &str) -> Option<Arc<Stored<Presence>>> {
        let here = self.replica.as_ref()?;
        self.store.get::<Presence>(tenant, overlord).filter(|presence| presence.value.replica != *here)
    }

    /// Which life of the plane this is; it is greater after each restore from a backup.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    fn overlord(&self, tenant: &str, uid: &str) -> Option<Arc<Stored<Overlord>>> {
        self.store.get(tenant, uid)
    }
}
