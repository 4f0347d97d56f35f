//! Nodes: machines and devices.

use model::{Device, SCOPE};

use super::{
    details, devices,
    machines::{self, Filter},
};
use api_call::{
    Answer, Call, Reply,
    route::{Resource, named, restful},
};

const NODE: &[&str] = &["system_id"];

/// Nodes.
pub fn resources() -> Vec<Resource> {
    vec![
        Resource {
            name: "NodesHandler",
            path: "nodes/",
            params: &[],
            ops: vec![
                restful!(GET, User, "Lists machines and devices; filters as for machines.", list),
                named!(
                    GET,
                    "is_registered",
                    Anonymous,
                    "Whether a machine or device has this `mac_address`.",
                    machines::is_registered
                ),
                named!(POST, "set_zone", Admin, "Puts `nodes` in `zone`.", machines::set_zone),
            ],
        },
        Resource {
            name: "NodeHandler",
            path: "nodes/{system_id}/",
            params: NODE,
            ops: vec![
                restful!(GET, User, "Reads a machine or device.", read),
                restful!(DELETE, User, "Deletes a machine or device.", delete),
                named!(GET, "details", User, "Probed hardware: lshw's XML, in BSON.", details::machine),
                named!(
                    GET,
                    "power_parameters",
                    User,
                    "Power parameters, with secrets.",
                    machines::power_parameters
                ),
            ],
        },
    ]
}

async fn list(call: Call) -> Answer {
    let filter = Filter::parse(&call.query, &[], call.store())?;
    let devices = devices::all(&call, |device| filter.takes_device(device));
    Ok(Reply::Machines(machines::those(&call, |machine| filter.takes(machine)).and(devices)))
}

async fn read(call: Call) -> Answer {
    if is_device(&call) { devices::read(call).await } else { machines::read(call).await }
}

async fn delete(call: Call) -> Answer {
    if is_device(&call) { devices::delete(call).await } else { machines::delete(call).await }
}

/// Whether the call is about a device.
fn is_device(call: &Call) -> bool {
    call.store().get::<Device>(SCOPE, call.arg(0)).is_some()
}
