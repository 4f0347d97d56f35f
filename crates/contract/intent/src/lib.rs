//! What a cluster should be, and, purely, the Cluster API objects that make it so.
//!
//! An [`Intent`] is the one document that says what somebody wants of a cluster: JSON with a `schemaVersion`, read by
//! [`Intent::from_json`]. [`render`] turns it into objects for Cluster API v1.14 (contract v1beta2) and the MAAS
//! provider: no clock, no randomness, no IO, so the same intent gives the same bytes anywhere and any time.
//!
//! - **What may not change on its own does not.** The renderer's version is part of a stored intent
//!   ([`Intent::pinned`]) and an annotation of each object ([`annotation::RENDERER`]): an upgrade of this program alone
//!   replaces no machine of a running cluster.
//! - **Templates are named by their content**, so a changed pool gets a new template, which is what Cluster API takes
//!   as the order to replace machines; what did not change keeps its name and its bytes.
//! - **Who applies the objects** applies them in the given order, and afterwards deletes what carries the cluster's
//!   [`label::CLUSTER_UID`] and is no longer rendered. To delete a cluster, delete its `Cluster`, wait until that is
//!   gone (machines are released meanwhile), and then delete its namespace, which holds the rest.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

mod check;
mod layer;
mod model;
mod name;
mod overrides;
mod render;
mod schema;

pub use check::Problem;
pub use model::{Chart, Effect, Endpoint, HostPort, Intent, Layer, Network, Pool, Registry, Role, Taint};
pub use render::{Object, RENDERER, RenderError, annotation, label, render};
pub use schema::{SCHEMA, SchemaError};
