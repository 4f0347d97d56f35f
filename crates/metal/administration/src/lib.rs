//! People, settings, and what the region keeps for them, in the MAAS API.
//!
//! [`resources`] are rows of the API's table of routes, one module each. What is kept here is documents with MAAS's
//! rules and words; which of them the region also follows is said in each module.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

mod absent;
mod account;
mod boot_sources;
mod edited;
mod files;
mod notifications;
mod repositories;
mod settings;
mod snippets;
mod sshkeys;
mod sslkeys;
mod users;

use api_call::route::Resource;

pub use account::authenticate;

/// Every resource of administration.
pub fn resources() -> Vec<Resource> {
    [
        absent::resources(),
        account::resources(),
        boot_sources::resources(),
        files::resources(),
        notifications::resources(),
        repositories::resources(),
        settings::resources(),
        snippets::resources(),
        sshkeys::resources(),
        sslkeys::resources(),
        users::resources(),
    ]
    .concat()
}
