//! MAAS API 2.0: OAuth 1, one module a resource.
//!
//! [`router`] answers `/MAAS/api/…` from [`State`]. Every route is a row of one table
//! ([`route::Resource`]), from which dispatch and `describe/` both come. A handler reads a [`call::Call`],
//! records intent through [`model`], and answers with a [`reply::Reply`] rendered from documents
//! ([`render`]). Reference: <https://canonical.com/maas/docs/api>.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

pub mod call;
mod edit;
pub mod oauth;
pub mod params;
mod render;
pub mod reply;
mod resources;
pub mod route;
mod server;
mod usage;

pub use call::{Call, Caller, ConsoleLines, PowerControl, Settings, State};
pub use reply::{Answer, ApiError, Reply};
pub use server::router;
