//! PID 1 of the ephemeral system: inventory, scripts, wipe, install, rescue.
//!
//! A machine that boots over the network starts this program as its only process. [`boot::prepare`] makes the
//! kernel's file systems and drivers usable, [`net::connect`] gets an address, [`work::run`] asks the region for
//! one task at a time (see `agent-protocol`) until it is told to restart or to switch off. Nothing is kept: after
//! a crash on either side the machine boots again and asks again.
//!
//! The program can't tell a real machine from one that a rack plays with namespaces; what it sees in `/proc`,
//! `/sys` and `/dev` is all that it goes by.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

pub mod boot;
pub mod client;
pub mod cmdline;
pub mod disk;
pub mod erase;
pub mod fetch;
pub mod image;
pub mod install;
pub mod inventory;
pub mod kexec;
pub mod log;
pub mod loops;
pub mod modules;
pub mod net;
pub mod root;
pub mod scripts;
pub mod selftest;
pub mod sys;
pub mod system;
pub mod table;
pub mod tree;
pub mod work;
