//! The resources, one module each; together they are the table of routes.

pub mod account;
mod addresses;
mod controllers;
pub mod describe;
mod events;
mod fabrics;
mod images;
mod machines;
mod names;
mod nodes;
mod others;
mod scripts;
mod settings;
mod sshkeys;
mod subnets;
mod tags;
mod users;
mod zones;

use crate::route::Resource;

/// Every resource.
pub fn all() -> Vec<Resource> {
    [
        account::resources(),
        addresses::resources(),
        controllers::resources(),
        describe::resources(),
        events::resources(),
        fabrics::resources(),
        images::resources(),
        machines::resources(),
        names::resources(),
        nodes::resources(),
        others::resources(),
        scripts::resources(),
        settings::resources(),
        sshkeys::resources(),
        subnets::resources(),
        tags::resources(),
        users::resources(),
        zones::resources(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
