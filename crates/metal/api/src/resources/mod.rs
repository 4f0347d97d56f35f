//! The resources, one module each; together they are the table of routes.

mod controllers;
pub mod describe;
mod details;
mod devices;
mod events;
mod hardware;
mod images;
mod machines;
mod networks;
mod nodes;
mod outputs;
mod results;
mod scripts;
mod tags;
mod zones;

use api_call::route::Resource;

/// Every resource.
pub fn all() -> Vec<Resource> {
    [
        administration::resources(),
        controllers::resources(),
        describe::resources(),
        devices::resources(),
        events::resources(),
        hardware::resources(),
        images::resources(),
        machines::resources(),
        network::resources(),
        nodes::resources(),
        networks::resources(),
        outputs::resources(),
        results::resources().into(),
        scripts::resources(),
        storage::resources(),
        tags::resources(),
        zones::resources(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
