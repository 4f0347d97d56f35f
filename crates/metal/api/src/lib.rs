//! MAAS API 2.0: OAuth 1, one module a resource.
//!
//! [`router`] answers `/MAAS/api/…` from [`State`]. Every route is a row of one table
//! ([`api_call::route::Resource`]), from which dispatch and `describe/` both come. A handler reads an
//! [`api_call::Call`], records intent through [`model`], and answers with an [`api_call::Reply`] rendered from
//! documents ([`render`]). Networks and names are in [`network`]. Reference: <https://canonical.com/maas/docs/api>.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

mod resources;
mod server;

pub use api_call::{ConsoleLines, PowerControl, Settings, State};
pub use server::router;
