//! Packs: what profiles are made of.
//!
//! A pack is one layer of a cluster: the operating system, Kubernetes, the network plugin, an add-on. [`BUILT_IN`] are
//! those whose contents every site's bundle has. Values are text and stay text, comments included, because clients
//! show what they sent; only [`references`] in them are found, and [`resolve`]d where a cluster is made.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

mod built_in;
mod chart;
mod check;
mod infra;
mod references;

pub use built_in::{BUILT_IN, Contents, Pack, REGISTRY, REGISTRY_NAME, by_uid};
pub use chart::{Archive, BuiltInChart, Installation, archive, install_priority, installation};
pub use check::{Fault, Layer, Part, ProfileType, check};
pub use infra::{Networks, ValuesError, image, networks};
pub use references::{References, ResolveError, references, resolve};
