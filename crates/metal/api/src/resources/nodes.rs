//! Nodes (here: machines), their interfaces and script results.

use model::{Machine, ScriptSet};
use serde_json::{Value, json};

use super::machines::{self, load};
use api_call::{
    Answer, ApiError, Call, Reply,
    route::{Resource, named, restful},
};
use render::{
    Embedded, interface,
    script::{newest, script_set},
};

const NODE: &[&str] = &["system_id"];

/// Nodes and their parts.
pub fn resources() -> Vec<Resource> {
    let mut all = vec![
        Resource {
            name: "NodesHandler",
            path: "nodes/",
            params: &[],
            ops: vec![
                restful!(GET, User, "Lists machines; filters as for machines.", machines::list),
                named!(
                    GET,
                    "is_registered",
                    Anonymous,
                    "Whether a machine has this `mac_address`.",
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
                restful!(GET, User, "Reads a machine.", machines::read),
                restful!(DELETE, User, "Deletes a machine.", machines::delete),
                named!(
                    GET,
                    "power_parameters",
                    User,
                    "Power parameters, with secrets.",
                    machines::power_parameters
                ),
            ],
        },
        Resource {
            name: "InterfacesHandler",
            path: "nodes/{system_id}/interfaces/",
            params: NODE,
            ops: vec![restful!(GET, User, "Lists the interfaces of a machine.", interfaces)],
        },
        Resource {
            name: "InterfaceHandler",
            path: "nodes/{system_id}/interfaces/{id}/",
            params: &["system_id", "id"],
            ops: vec![restful!(GET, User, "Reads an interface, by number or name.", one_interface)],
        },
    ];
    all.extend(result_resources());
    all.push(Resource {
        name: "NodeDevicesHandler",
        path: "nodes/{system_id}/devices/",
        params: NODE,
        ops: vec![restful!(GET, User, "Lists none: this is not supported yet.", none)],
    });
    all
}

fn result_resources() -> [Resource; 2] {
    [
        Resource {
            name: "NodeScriptResultsHandler",
            path: "nodes/{system_id}/results/",
            params: NODE,
            ops: vec![restful!(
                GET,
                User,
                "Lists script results: `type`, `include_output`, `filters`.",
                results
            )],
        },
        Resource {
            name: "NodeScriptResultHandler",
            path: "nodes/{system_id}/results/{id}/",
            params: &["system_id", "id"],
            ops: vec![
                restful!(
                    GET,
                    User,
                    "Reads script results, by number or `current-commissioning`, `current-testing`, `current-installation`.",
                    result
                ),
                named!(GET, "download", User, "The outputs as text.", download),
            ],
        },
    ]
}

async fn none(call: Call) -> Answer {
    load(&call)?;
    Ok(Reply::Json(json!([])))
}

async fn interfaces(call: Call) -> Answer {
    let (machine, embedded) = (load(&call)?, Embedded::of(call.store()));
    let nics = machine.value.nics.iter();
    Ok(Reply::Json(nics.map(|nic| json!(interface(&machine.id, nic, &embedded))).collect()))
}

async fn one_interface(call: Call) -> Answer {
    let machine = load(&call)?;
    let nic = machine
        .value
        .nics
        .iter()
        .find(|nic| nic.number.to_string() == call.arg(1) || nic.name == call.arg(1))
        .ok_or_else(|| ApiError::NotFound("Interface".to_owned()))?;
    Ok(Reply::Json(json!(interface(&machine.id, nic, &Embedded::of(call.store())))))
}

/// Kinds of results by the names that clients use.
fn kind(name: &str) -> Option<u8> {
    match name {
        "0" | "commissioning" => Some(0),
        "1" | "installation" => Some(1),
        "2" | "testing" => Some(2),
        "3" | "release" => Some(3),
        _ => None,
    }
}

async fn results(call: Call) -> Answer {
    let machine = load(&call)?;
    let wanted = match call.param("type").filter(|text| !text.is_empty()) {
        Some(text) => Some(kind(text).ok_or_else(|| ApiError::Bad(format!("Unknown result type: {text}")))?),
        None => None,
    };
    let mut sets: Vec<&ScriptSet> =
        machine.value.results.iter().filter(|set| wanted.is_none_or(|kind| set.kind == kind)).collect();
    sets.sort_by_key(|set| std::cmp::Reverse(set.number));
    let shown = sets.into_iter().map(|set| filtered(&call, &machine.id, set)).collect();
    Ok(Reply::Json(shown))
}

async fn result(call: Call) -> Answer {
    let machine = load(&call)?;
    Ok(Reply::Json(filtered(&call, &machine.id, find_set(&call, &machine.value)?)))
}

async fn download(call: Call) -> Answer {
    let machine = load(&call)?;
    let set = find_set(&call, &machine.value)?;
    let texts: Vec<String> =
        set.results.iter().map(|result| format!("# {}\n{}", result.name, result.output)).collect();
    Ok(Reply::Text(texts.join("\n")))
}

fn filtered(call: &Call, system_id: &str, set: &ScriptSet) -> Value {
    let names: Vec<&str> = call
        .all("filters")
        .into_iter()
        .flat_map(|names| names.split(','))
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect();
    let mut set = set.clone();
    set.results.retain(|result| names.is_empty() || names.contains(&result.name.as_str()));
    script_set(system_id, &set, call.flag("include_output"))
}

fn find_set<'m>(call: &Call, machine: &'m Machine) -> Result<&'m ScriptSet, ApiError> {
    let wanted = call.arg(1);
    let found = match wanted.strip_prefix("current-").map(kind) {
        Some(kind) => kind.and_then(|kind| newest(machine, kind)),
        None => machine.results.iter().find(|set| set.number.to_string() == wanted),
    };
    found.ok_or_else(|| ApiError::NotFound("ScriptSet".to_owned()))
}
