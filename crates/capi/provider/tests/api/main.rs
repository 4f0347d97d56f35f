//! The provider against a real kube-apiserver with etcd, and a MAAS that is played.
//!
//! `BESSEMER_BUNDLE` names a folder with `bin/etcd` and `bin/kube-apiserver`; without it these tests are left out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod life;
mod luck;
mod maas;
mod objects;
mod server;
mod shapes;
mod webhooks;
