//! Commissioning and testing scripts: two that are built in, and those that users keep here.

use jiff::Timestamp;
use model::SCOPE;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::Document;

use base64::{Engine, engine::general_purpose::STANDARD};

use api_call::{
    Answer, ApiError, Call, Faults, Reply,
    edit::{admin_only, edit},
    route::{Resource, named, restful},
};
use render::script::rfc2822;

/// A script; id: its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Script {
    number: u64,
    title: String,
    description: String,
    tags: Vec<String>,
    /// 0 commissioning, 2 testing, 3 release, 4 deployment.
    kind: u8,
    /// 0 node, 1 CPU, 2 memory, 3 storage, 4 network, 5 GPU.
    hardware: u8,
    parallel: u8,
    /// Seconds.
    timeout: u64,
    destructive: bool,
    may_reboot: bool,
    recommission: bool,
    comment: String,
    text: String,
    created: Timestamp,
}

impl Document for Script {
    const KIND: &'static str = "script";
}

const KINDS: [&str; 5] = ["commissioning", "installation", "testing", "release", "deployment"];
const HARDWARE: [&str; 6] = ["node", "cpu", "memory", "storage", "network", "gpu"];
const PARALLEL: [&str; 3] = ["disabled", "instance", "any"];

/// Scripts.
pub fn resources() -> Vec<Resource> {
    vec![
        Resource {
            name: "NodeScriptsHandler",
            path: "scripts/",
            params: &[],
            ops: vec![
                restful!(
                    GET,
                    User,
                    "Lists scripts: `type`, `hardware_type`, `filters`, `include_script`.",
                    list
                ),
                restful!(
                    POST,
                    User,
                    "Keeps a script: `name`, `script`, `title`, `description`, `type`, `tags`, `timeout`.",
                    create
                ),
            ],
        },
        Resource {
            name: "NodeScriptHandler",
            path: "scripts/{name}",
            params: &["name"],
            ops: vec![
                restful!(GET, User, "Reads a script: `include_script`.", read),
                restful!(DELETE, User, "Deletes a script that is not built in.", delete),
                named!(GET, "download", User, "The script itself.", download),
            ],
        },
        Resource {
            name: "CommissioningScriptsHandler",
            path: "commissioning-scripts/",
            params: &[],
            ops: vec![restful!(GET, User, "Names of the commissioning scripts.", commissioning)],
        },
    ]
}

/// What the agent does itself.
fn built_in() -> [(&'static str, Script); 2] {
    let script = |number, kind, title: &str| Script {
        number,
        title: title.to_owned(),
        description: title.to_owned(),
        tags: vec!["node".to_owned()],
        kind,
        hardware: 0,
        parallel: 0,
        timeout: 300,
        destructive: false,
        may_reboot: false,
        recommission: false,
        comment: "built into the agent".to_owned(),
        text: String::new(),
        created: Timestamp::UNIX_EPOCH,
    };
    [
        ("50-maas-01-commissioning", script(1, 0, "Takes the inventory of the machine")),
        ("bessemer-tests", script(2, 2, "Tests processors, memory, disks and network briefly")),
    ]
}

/// Whether there is a script of this name, or one with this tag.
pub fn known(call: &Call, name: &str) -> bool {
    all(call).iter().any(|(other, script, _)| other == name || script.tags.iter().any(|tag| tag == name))
}

/// Every script by name.
fn all(call: &Call) -> Vec<(String, Script, bool)> {
    let kept = call.store().list::<Script>(SCOPE);
    built_in()
        .into_iter()
        .map(|(name, script)| (name.to_owned(), script, true))
        .chain(kept.iter().map(|script| (script.id.clone(), script.value.clone(), false)))
        .collect()
}

async fn list(call: Call) -> Answer {
    let wanted = |name: &str, from: &[&str]| {
        call.param(name)
            .filter(|text| !text.is_empty())
            .map(|text| choice(text, from).ok_or_else(|| unknown(name, text)))
            .transpose()
    };
    let (kind, hardware) = (wanted("type", &KINDS)?, wanted("hardware_type", &HARDWARE)?);
    let filters: Vec<&str> = call
        .all("filters")
        .into_iter()
        .flat_map(|one| one.split(','))
        .filter(|one| !one.is_empty())
        .collect();
    let named = |name: &str, script: &Script| {
        filters.is_empty()
            || filters.iter().any(|one| *one == name || script.tags.iter().any(|tag| tag == one))
    };
    let shown = all(&call)
        .into_iter()
        .filter(|(name, script, _)| {
            kind.is_none_or(|kind| script.kind == kind)
                && hardware.is_none_or(|hardware| script.hardware == hardware)
                && named(name, script)
        })
        .map(|(name, script, own)| shown(&call, &name, &script, own))
        .collect();
    Ok(Reply::Json(shown))
}

async fn commissioning(call: Call) -> Answer {
    let mut names: Vec<String> =
        all(&call).into_iter().filter(|(_, script, _)| script.kind == 0).map(|(name, ..)| name).collect();
    names.sort();
    Ok(Reply::Json(json!(names)))
}

async fn read(call: Call) -> Answer {
    let (name, script, own) = find(&call)?;
    Ok(Reply::Json(shown(&call, &name, &script, own)))
}

async fn download(call: Call) -> Answer {
    Ok(Reply::Text(find(&call)?.1.text))
}

async fn create(call: Call) -> Answer {
    admin_only(&call)?;
    let mut faults = Faults::default();
    let name = call.param("name").unwrap_or_default().trim();
    let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() {
        faults.add("name", "This field is required.");
    } else if !name.chars().all(good) {
        faults.add("name", "Enter a valid value.");
    }
    if call.param("script").is_none_or(str::is_empty) {
        faults.add("script", "This field is required.");
    }
    let mut chosen = |name: &str, from: &[&str], default: u8| match call.param(name) {
        None | Some("") => default,
        Some(text) => choice(text, from).unwrap_or_else(|| {
            faults.add(name, format!("Select a valid choice. {text} is not one of the available choices."));
            default
        }),
    };
    let (kind, hardware, parallel) =
        (chosen("type", &KINDS, 2), chosen("hardware_type", &HARDWARE, 0), chosen("parallel", &PARALLEL, 0));
    let text = |name: &str| call.param(name).unwrap_or_default().to_owned();
    let mut script = Script {
        number: 0,
        title: text("title"),
        description: text("description"),
        tags: call
            .all("tags")
            .into_iter()
            .flat_map(|tags| tags.split(','))
            .map(|tag| tag.trim().to_owned())
            .filter(|tag| !tag.is_empty())
            .collect(),
        kind,
        hardware,
        parallel,
        timeout: text("timeout").parse().unwrap_or(0),
        destructive: call.flag("destructive"),
        may_reboot: call.flag("may_reboot"),
        recommission: call.flag("recommission"),
        comment: text("comment"),
        text: text("script"),
        created: Timestamp::now(),
    };
    faults.check()?;
    edit(&call, "script.create", |batch| {
        let there = all(&call);
        if there.iter().any(|(other, ..)| other == name) {
            return Err(ApiError::field("name", "Script with this Name already exists."));
        }
        script.number = 1 + there.iter().map(|(_, script, _)| script.number).max().unwrap_or(0);
        Ok((batch.create(SCOPE, name, &script), ()))
    })
    .await?;
    let made =
        call.store().get::<Script>(SCOPE, name).ok_or_else(|| ApiError::NotFound("Script".to_owned()))?;
    Ok(Reply::Json(shown(&call, name, &made.value, false)))
}

async fn delete(call: Call) -> Answer {
    admin_only(&call)?;
    let (name, _, own) = find(&call)?;
    if own {
        return Err(ApiError::Bad("Unable to delete default script".to_owned()));
    }
    edit(&call, "script.delete", |batch| match call.store().get::<Script>(SCOPE, &name) {
        Some(seen) => Ok((batch.delete::<Script>(SCOPE, &name, seen.version), ())),
        None => Err(ApiError::NotFound("Script".to_owned())),
    })
    .await?;
    Ok(Reply::NoContent)
}

/// The script that the path names, by name or number.
fn find(call: &Call) -> Result<(String, Script, bool), ApiError> {
    all(call)
        .into_iter()
        .find(|(name, script, _)| name == call.arg(0) || script.number.to_string() == call.arg(0))
        .ok_or_else(|| ApiError::NotFound("Script".to_owned()))
}

/// A choice by name or number.
fn choice(text: &str, from: &[&str]) -> Option<u8> {
    let at = from.iter().position(|name| name.eq_ignore_ascii_case(text));
    let at = at.or_else(|| text.parse().ok().filter(|at| *at < from.len()))?;
    u8::try_from(at).ok()
}

fn unknown(name: &str, text: &str) -> ApiError {
    ApiError::field(name, format!("Select a valid choice. {text} is not one of the available choices."))
}

fn shown(call: &Call, name: &str, script: &Script, own: bool) -> Value {
    let title = |names: &[&str], at: u8| {
        let name = names.get(usize::from(at)).copied().unwrap_or_default();
        name.get(..1).unwrap_or_default().to_uppercase() + name.get(1..).unwrap_or_default()
    };
    let timeout = script.timeout;
    let mut value = json!({
        "id": script.number, "name": name, "title": script.title, "description": script.description,
        "tags": script.tags, "type": script.kind, "type_name": format!("{} script", title(&KINDS, script.kind)),
        "hardware_type": script.hardware, "hardware_type_name": title(&HARDWARE, script.hardware),
        "parallel": script.parallel, "parallel_name": title(&PARALLEL, script.parallel),
        "timeout": format!("{}:{:02}:{:02}", timeout / 3600, timeout / 60 % 60, timeout % 60),
        "destructive": script.destructive, "may_reboot": script.may_reboot, "recommission": script.recommission,
        "for_hardware": [], "packages": {}, "parameters": {}, "results": {}, "default": own,
        "apply_configured_networking": false,
        "history": [{ "id": script.number, "comment": script.comment, "created": rfc2822(script.created) }],
        "resource_uri": format!("/MAAS/api/2.0/scripts/{name}"),
    });
    if call.flag("include_script")
        && let Some(first) = value.pointer_mut("/history/0").and_then(Value::as_object_mut)
    {
        first.insert("data".to_owned(), json!(STANDARD.encode(&script.text)));
    }
    value
}
