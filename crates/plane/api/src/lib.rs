//! The plane's API, `/v1`, as Palette's public clients call it.
//!
//! One table of routes ([`table`]) says of each what it takes, what it answers with which status, and what a caller
//! must be allowed; nothing is reached that is not in it. [`openapi`] is made from the same table.
//!
//! Beside it, [`router`] serves clusters' own APIs below `/kubernetes/{uid}`, to people with a kubeconfig of theirs.
//!
//! An API call checks and records what is wanted, and answers; what takes time is done by others. The exceptions ask a
//! site through its gateway, for no longer than a client waits.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

mod call;
mod kubernetes;
mod lists;
mod openapi;
mod reply;
mod resources;
mod route;
mod server;
mod session;
mod token;

use std::sync::Arc;

use fleet::Fleet;
use plane_model::Identity;
use secrets::Secret;
use store::Store;
use tokio::sync::Semaphore;

pub use openapi::openapi;
pub use resources::table;
pub use route::{Access, Resource, Route, Verb};
pub use server::router;

/// Passwords that are hashed at a time: each takes 19 MiB and a core.
const HASHED_AT_ONCE: usize = 2;
/// Requests to clusters at a time; watches are among them.
const PROXIED_AT_ONCE: usize = 4096;

/// Callers that follow what changes, at a time.
const FOLLOWING_AT_ONCE: usize = 1024;

/// What all calls share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct State {
    pub(crate) store: Store,
    pub(crate) fleet: Fleet,
    pub(crate) session_key: Secret,
    pub(crate) hashing: Arc<Semaphore>,
    pub(crate) proxied: Arc<Semaphore>,
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) authority: Option<String>,
}

impl State {
    /// Of the plane with this identity.
    pub fn new(store: Store, fleet: Fleet, identity: &Identity) -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        let session_key = identity.session_key.clone();
        let (hashing, proxied) = (places(HASHED_AT_ONCE), places(PROXIED_AT_ONCE));
        let streams = places(FOLLOWING_AT_ONCE);
        Self { store, fleet, session_key, hashing, proxied, streams, authority: None }
    }

    /// With the authority, PEM, by which clients know the plane that shows a certificate of its own.
    #[must_use]
    pub fn known_by(mut self, authority: String) -> Self {
        self.authority = Some(authority);
        self
    }
}
