//! The registry on a socket, against its clients.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod api;
mod clients;
mod layout;
mod served;
