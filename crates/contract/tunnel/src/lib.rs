//! The tunnel between a plane and its gateways: the gateway dials, the plane asks.
//!
//! - A [`Carrier`] gives the gateway a byte stream to the plane's one port: by TCP, through an HTTP proxy, or in memory.
//! - On it runs TLS 1.3 with certificates of the plane's own [`Authority`]; it ends at the plane's [`Edge`] and nowhere
//!   before. The plane's port tells it from HTTPS by its protocol name, [`ALPN`].
//! - Then one question and one answer ([`hello`]): pair, renew, or open a connection, with versions on both sides.
//! - Then HTTP/2. On a *command* connection the gateway is the server, so that the plane can ask although nothing may
//!   connect into the site; on a *report* connection the gateway is the client.
//!
//! A plane may be several replicas: a gateway is connected to one of them, through which the others ask it ([`Peers`]).
//!
//! Every command carries a deadline and a [`Grant`]: signed by the plane, good for one request and less than a minute,
//! checked and logged at the site. A gateway that restarts counts up its epoch; the plane lets in no older one.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

mod authority;
mod carrier;
mod code;
mod commands;
mod dialler;
mod edge;
mod grant;
pub mod hello;
mod http2;
mod identity;
mod links;
mod peers;
mod tls;
mod upgrade;

pub use authority::{Authority, AuthorityError, CERTIFICATE_LIFE, Certificate};
pub use carrier::{Carrier, Connect, Io, Memory, Stream, Tcp, memory};
pub use code::{CodeError, Fingerprint, PairingCode};
pub use commands::{Commands, NoTargets, REFUSED, Targets};
pub use dialler::{DialError, Dialler, LinkState, Reports, Running, pair, renew};
pub use edge::{Edge, EdgeError, Gatekeeper};
pub use grant::{Actor, Grant, GrantError, Person, Signer, Verifier};
pub use identity::{Enrolment, GatewayKey, Identity, RENEW_WITHIN};
pub use links::{AskError, Link, Links};
pub use peers::Peers;
pub use tls::{ALPN, PEER_ALPN, TlsError};
pub use upgrade::join_upgrades;
