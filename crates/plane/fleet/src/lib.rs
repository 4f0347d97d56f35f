//! A plane's gateways: pairing them, knowing who is there, asking them.
//!
//! A [`Fleet`] is the tunnel's [`Gatekeeper`](tunnel::Gatekeeper), with what the store knows of gateways, and the one
//! place from which the plane asks something of a site. Whoever asks is named in every request's grant.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

mod ask;
mod fulfil;
mod gatekeeper;
mod greet;
mod order;
mod pairing;
mod reports;

use std::sync::Arc;

use plane_model::{Identity, Overlord};
use store::{Store, Stored};
use tunnel::{Authority, AuthorityError, Link, Links, Signer};

pub use ask::AskError;
pub use order::order;
pub use pairing::PairError;

/// The gateways. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Fleet {
    store: Store,
    links: Links,
    authority: Arc<Authority>,
    incarnation: u64,
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
        Ok(Self { store, links, authority, incarnation: identity.incarnation })
    }

    /// The open connections.
    pub fn links(&self) -> &Links {
        &self.links
    }

    /// What names gateways and this plane to each other.
    pub fn authority(&self) -> &Arc<Authority> {
        &self.authority
    }

    /// The connection of a gateway that is there.
    pub fn link(&self, overlord: &str) -> Option<Link> {
        self.links.get(overlord)
    }

    /// Which life of the plane this is; it is greater after each restore from a backup.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    fn overlord(&self, tenant: &str, uid: &str) -> Option<Arc<Stored<Overlord>>> {
        self.store.get(tenant, uid)
    }
}
