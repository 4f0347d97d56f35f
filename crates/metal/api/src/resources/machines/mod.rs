//! Machines.

mod allocate;
mod clone;
pub mod create;
pub mod filter;
mod life;
mod power;
mod several;
mod storage;
mod update;

use model::Machine;
use serde_json::{Value, json};
use store::Stored;

pub use api_call::machine::load;

use super::details;
use api_call::{
    Answer, Call, Params, Reply,
    machine::{load_as_admin, load_own, shown, text, visible},
    route::{Op, Resource, named, restful},
};
use render::Embedded;

pub use filter::Filter;
pub use life::{power_parameters, refused, set as set_pairs};
pub use several::{is_registered, set_zone};
pub use update::delete;

/// Machines, and one machine.
pub fn resources() -> Vec<Resource> {
    vec![
        Resource { name: "MachinesHandler", path: "machines/", params: &[], ops: collection() },
        Resource {
            name: "MachineHandler",
            path: "machines/{system_id}/",
            params: &["system_id"],
            ops: one(),
        },
    ]
}

fn collection() -> Vec<Op> {
    vec![
        restful!(
            GET,
            User,
            "Lists machines; filters: hostname, mac_address, id, domain, zone, pool, agent_name, owner, status, tags, arch, cpu_count, mem, subnets, fabrics, storage, and `not_` forms.",
            list
        ),
        restful!(
            POST,
            Anonymous,
            "Makes a machine: `architecture`, `mac_addresses`, `hostname`, `domain`, `power_type`, `power_parameters_…`, `commission`. Without a key it is announced as New.",
            create::create
        ),
        named!(
            POST,
            "allocate",
            User,
            "Takes a Ready machine: `name`, `system_id`, `arch`, `cpu_count`, `mem`, `tags`, `not_tags`, `zone`, `not_in_zone`, `pool`, `not_in_pool`, `subnets`, `storage`, `agent_name`, `dry_run`, `verbose`.",
            allocate::allocate
        ),
        named!(
            POST,
            "release",
            User,
            "Releases `machines`; with `erase`, `secure_erase`, `quick_erase` as for one.",
            several::release
        ),
        named!(POST, "accept", Anonymous, "Commissions announced `machines`.", several::accept),
        named!(
            POST,
            "accept_all",
            User,
            "Commissions every machine that was announced.",
            several::accept_all
        ),
        named!(POST, "set_zone", Admin, "Puts `nodes` in `zone`.", several::set_zone),
        named!(POST, "add_chassis", Admin, "Not here: machines announce themselves.", life::unsupported),
        named!(POST, "clone", Admin, "Gives `destinations` the `interfaces` of `source`.", clone::clone),
        named!(
            GET,
            "list_allocated",
            User,
            "Lists the caller's machines; filters as for a list.",
            list_allocated
        ),
        named!(
            GET,
            "power_parameters",
            Admin,
            "Power parameters of the machines `id`, by system id.",
            several::power_parameters
        ),
        named!(
            GET,
            "is_registered",
            Anonymous,
            "Whether a machine has this `mac_address`.",
            several::is_registered
        ),
    ]
}

fn one() -> Vec<Op> {
    let mut ops = vec![
        restful!(GET, User, "Reads a machine.", read),
        restful!(
            PUT,
            User,
            "Changes a machine: `hostname`, `description`, `domain`, `pool`, `zone`, `architecture`, `power_type`, `power_parameters_…`, `swap_size`, `cpu_count`, `memory`.",
            update::update
        ),
        restful!(DELETE, User, "Deletes a machine.", update::delete),
        named!(
            GET,
            "why",
            User,
            "What the machine waits for and what it went through (an extension of Bessemer).",
            why
        ),
        named!(
            GET,
            "console",
            User,
            "Lines of the serial console from number `skip` on, as the BMC keeps them, for the owner and administrators (an extension of Bessemer).",
            life::console
        ),
        named!(
            GET,
            "query_power_state",
            User,
            "Asks the BMC: `on`, `off`, `unknown`.",
            life::query_power_state
        ),
        named!(GET, "power_parameters", User, "Power parameters, with secrets.", life::power_parameters),
        named!(
            GET,
            "get_token",
            User,
            "Credentials of the installed system for the metadata service.",
            life::get_token
        ),
        named!(GET, "details", User, "Probed hardware: lshw's XML, in BSON.", details::machine),
        named!(
            GET,
            "get_curtin_config",
            User,
            "Not supported: images are written whole.",
            life::curtin_config
        ),
        named!(
            POST,
            "set_owner_data",
            User,
            "Sets key-value pairs; an empty value removes.",
            life::set_owner_data
        ),
        named!(
            POST,
            "set_workload_annotations",
            User,
            "Sets key-value pairs; an empty value removes.",
            life::set_workload_annotations
        ),
    ];
    ops.extend(life_ops());
    ops.extend(network::machine_ops());
    ops.extend(::storage::machine_ops());
    ops.extend(unsupported());
    ops
}

/// What moves a machine through its life.
fn life_ops() -> Vec<Op> {
    vec![
        named!(
            POST,
            "deploy",
            User,
            "Writes an image and starts it: `distro_series`, `osystem`, `user_data`, `agent_name`.",
            life::deploy
        ),
        named!(
            POST,
            "release",
            User,
            "Gives a machine back: `erase`, `secure_erase`, `quick_erase`, `force`.",
            life::release
        ),
        named!(
            POST,
            "commission",
            User,
            "Takes the inventory and tests: `commissioning_scripts`, `testing_scripts`, parameters of those.",
            life::commission
        ),
        named!(POST, "test", User, "Tests: `testing_scripts`, parameters of those.", life::test),
        named!(
            POST,
            "rescue_mode",
            User,
            "Starts a system in memory that its owner reaches by SSH.",
            life::rescue_mode
        ),
        named!(POST, "exit_rescue_mode", User, "Ends rescue mode.", life::exit_rescue_mode),
        named!(POST, "abort", User, "Ends what is under way.", life::abort),
        named!(POST, "lock", User, "Refuses changes from now on.", life::lock),
        named!(POST, "unlock", User, "Allows changes again.", life::unlock),
        named!(POST, "mark_broken", User, "Marks a machine as broken: `comment`.", life::mark_broken),
        named!(POST, "mark_fixed", User, "Marks a broken machine as fixed.", life::mark_fixed),
        named!(POST, "power_on", User, "Switches on.", life::power_on),
        named!(POST, "power_off", User, "Switches off.", life::power_off),
        named!(
            POST,
            "override_failed_testing",
            User,
            "Makes a machine whose tests failed usable.",
            life::override_failed_testing
        ),
    ]
}

/// What MAAS has and we do not.
fn unsupported() -> Vec<Op> {
    vec![]
}

async fn list(call: Call) -> Answer {
    let filter = Filter::parse(&call.query, &[], call.store())?;
    Ok(some(&call, |machine| filter.takes(machine)))
}

async fn list_allocated(call: Call) -> Answer {
    let filter = Filter::parse(&call.query, &[], call.store())?;
    let own = |machine: &Stored<Machine>| machine.value.owner.as_deref() == Some(call.user());
    Ok(some(&call, |machine| own(machine) && filter.takes(machine)))
}

fn some(call: &Call, wanted: impl Fn(&Stored<Machine>) -> bool) -> Reply {
    Reply::Machines(those(call, wanted))
}

/// Machines that the caller sees, as a list.
pub fn those(call: &Call, wanted: impl Fn(&Stored<Machine>) -> bool) -> render::Machines {
    let all = call.state.machines.all().into_iter();
    let shown = all.filter(|one| visible(call, &one.value) && wanted(one)).collect();
    render::Machines::new(shown, Embedded::of(call.store()))
}

/// Reads a machine; `nodes/{system_id}/` does too.
pub async fn read(call: Call) -> Answer {
    let machine = load(&call)?;
    Ok(shown(&call, &machine))
}

async fn why(call: Call) -> Answer {
    let machine = load(&call)?;
    Ok(Reply::Json(render::why(&machine.id, &machine.value)))
}

/// The machine, where more is added to it.
fn rendered(call: &Call, machine: &Stored<Machine>) -> Value {
    serde_json::from_slice(&text(call, machine)).unwrap_or_default()
}

/// Texts of a form as a JSON object, for extensions of an answer.
fn with(mut value: Value, name: &str, more: Value) -> Value {
    if let Some(object) = value.as_object_mut() {
        object.insert(name.to_owned(), more);
    }
    value
}

/// Parameters as Python shows them: `[('mem', ['1'])]`.
fn python(params: &Params) -> String {
    let pairs: Vec<String> = params
        .names()
        .into_iter()
        .map(|name| {
            let values: Vec<String> = params.all(name).into_iter().map(quoted).collect();
            format!("({}, [{}])", quoted(name), values.join(", "))
        })
        .collect();
    format!("[{}]", pairs.join(", "))
}

fn quoted(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('\n', "\\n");
    if text.contains('\'') && !text.contains('"') {
        format!("\"{text}\"")
    } else {
        format!("'{}'", text.replace('\'', "\\'"))
    }
}

/// Constraints by type, as the answer of an allocation has them.
fn constraints(verbose: bool, storage: Option<Value>) -> Value {
    let mut shown =
        if verbose { json!({ "verbose_interfaces": {}, "verbose_storage": {} }) } else { json!({}) };
    if let (Some(storage), Some(object)) = (storage, shown.as_object_mut()) {
        object.insert("storage".to_owned(), storage);
    }
    shown
}
