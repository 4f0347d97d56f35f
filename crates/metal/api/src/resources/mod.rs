//! The resources, one module each; together they are the table of routes.

pub mod account;
mod controllers;
pub mod describe;
mod events;
mod images;
mod machines;
mod nodes;
mod others;
mod scripts;
mod settings;
mod sshkeys;
mod tags;
mod users;
mod zones;

use api_call::route::Resource;

/// Every resource.
pub fn all() -> Vec<Resource> {
    [
        account::resources(),
        controllers::resources(),
        describe::resources(),
        events::resources(),
        images::resources(),
        machines::resources(),
        network::resources(),
        nodes::resources(),
        others::resources(),
        scripts::resources(),
        settings::resources(),
        sshkeys::resources(),
        storage::resources(),
        tags::resources(),
        users::resources(),
        zones::resources(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
