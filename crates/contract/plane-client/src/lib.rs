//! The plane's API, `/v1`: what it says and hears, and a client for it.
//!
//! Names are Palette's, whose public clients are to work unchanged. What such a client sends and this build does not
//! know is kept in `extra` and sent back.

mod client;
pub mod v1;

pub use reqwest::Method;

pub use client::{Auth, Client, Error, Options, SetupError};
