//! What a Redfish service answers, read; pure. Anything may come: what is missing or odd reads as absent.
#![allow(clippy::indexing_slicing, reason = "of a JSON value: what is missing reads as null")]

use lifecycle::Power;
use serde_json::Value;

use crate::{CONSOLE_LINES, ConsoleLines};

/// Systems of one BMC that are looked at.
const SYSTEMS: usize = 64;

/// An answer's JSON; `null` where it is none.
pub fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// Paths of a collection's members.
pub fn members(collection: &Value) -> impl Iterator<Item = &str> {
    let members = collection["Members"].as_array().into_iter().flatten().take(SYSTEMS);
    members.filter_map(|member| member["@odata.id"].as_str()).filter(|path| path.starts_with('/'))
}

/// A system's SMBIOS UUID, lower case.
pub fn uuid(system: &Value) -> Option<String> {
    system["UUID"].as_str().map(str::to_lowercase)
}

/// A system's power.
///
/// # Errors
/// What it says instead.
pub fn power(system: &Value) -> Result<Power, String> {
    match system["PowerState"].as_str() {
        Some("On" | "PoweringOff") => Ok(Power::On),
        Some("Off" | "PoweringOn") => Ok(Power::Off),
        other => Err(format!("PowerState is {other:?}")),
    }
}

/// The resets that a system allows, where it says so itself.
pub fn resets(system: &Value) -> Option<Vec<&str>> {
    texts(&reset(system)["ResetType@Redfish.AllowableValues"])
}

/// The path of what describes a system's reset, if it is below the service's own.
pub fn action_info(system: &Value) -> Option<&str> {
    reset(system)["@Redfish.ActionInfo"].as_str().filter(|path| path.starts_with("/redfish/"))
}

/// The resets that such a description allows.
pub fn resets_described(info: &Value) -> Option<Vec<&str>> {
    let parameters = info["Parameters"].as_array()?;
    texts(&parameters.iter().find(|parameter| parameter["Name"] == "ResetType")?["AllowableValues"])
}

/// The path that resets are sent to, if it is below the service's own: the password goes nowhere else.
pub fn reset_target(system: &Value) -> Option<&str> {
    reset(system)["target"].as_str().filter(|path| path.starts_with("/redfish/"))
}

fn reset(system: &Value) -> &Value {
    &system["Actions"]["#ComputerSystem.Reset"]
}

fn texts(values: &Value) -> Option<Vec<&str>> {
    Some(values.as_array()?.iter().filter_map(Value::as_str).collect())
}

/// Adds a page of a console's log, asked for from number `skip` on, to what was `found`; answers the path of the
/// next page where one is wanted, if it is one of the same log: the password goes nowhere else.
pub fn console_page(page: &Value, skip: usize, log: &str, found: &mut ConsoleLines) -> Option<String> {
    let entries = page["Members"].as_array().map(Vec::as_slice).unwrap_or_default();
    if found.lines.is_empty() {
        let id = entries.first().and_then(|entry| entry["Id"].as_str()?.parse().ok());
        found.first = id.unwrap_or(skip).max(skip);
    }
    let more = CONSOLE_LINES.saturating_sub(found.lines.len());
    let line = |entry: &Value| entry["Message"].as_str().unwrap_or_default().to_owned();
    found.lines.extend(entries.iter().take(more).map(line));
    let end = found.first.saturating_add(found.lines.len());
    let count = page["Members@odata.count"].as_u64().and_then(|count| usize::try_from(count).ok());
    // No lines and a smaller count: the log began anew.
    found.total = count.map_or(end, |count| if entries.is_empty() { count } else { count.max(end) });
    let next = page["Members@odata.nextLink"].as_str()?;
    let same = next.strip_prefix(log)?.starts_with('?');
    (same && found.lines.len() < CONSOLE_LINES && !entries.is_empty()).then(|| next.to_owned())
}
