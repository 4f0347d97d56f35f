//! DHCP snippets: options for everybody, a subnet or a node, which the region's DHCP tells from the next packet on.
//! What it cannot tell is refused by name with 501, so that nothing is kept that does nothing.

use std::{collections::BTreeMap, sync::Arc};

use dhcp::snippet::{SnippetError, settings};
use jiff::Timestamp;
use model::{Device, DhcpSnippet, SCOPE, SnippetValue, Subnet};
use serde_json::{Value, json};
use store::Stored;

use super::edited;
use api_call::{
    Answer, ApiError, Call, Faults, Reply,
    edit::edit,
    is_true,
    route::{Resource, named, restful},
};
use render::network::{Networks, time};

/// Versions of a snippet's text that are kept.
const KEPT: usize = 20;
/// Characters of a snippet's text at most.
const LONGEST: usize = 16 << 10;

/// Snippets.
pub fn resources() -> Vec<Resource> {
    vec![
        Resource {
            name: "DHCPSnippetsHandler",
            path: "dhcp-snippets/",
            params: &[],
            ops: vec![
                restful!(GET, User, "Lists the DHCP snippets.", list),
                restful!(
                    POST,
                    Admin,
                    "Makes a DHCP snippet: `name`, `value` (statements `option NAME VALUE;`), `description`, `enabled`, `node` or `subnet`, `global_snippet`.",
                    create
                ),
            ],
        },
        Resource {
            name: "DHCPSnippetHandler",
            path: "dhcp-snippets/{id}/",
            params: &["id"],
            ops: vec![
                restful!(GET, User, "Reads a DHCP snippet, by number or name.", read),
                restful!(PUT, Admin, "Changes a DHCP snippet: parameters as for a new one.", update),
                restful!(DELETE, Admin, "Deletes a DHCP snippet.", delete),
                named!(
                    POST,
                    "revert",
                    Admin,
                    "Goes back to the text `to`: its number, or how many texts ago, negative.",
                    revert
                ),
            ],
        },
    ]
}

fn show(call: &Call, id: &str, one: &DhcpSnippet) -> Value {
    let history =
        one.values.iter().rev().skip(1).map(
            |(number, value)| json!({ "created": time(value.created), "id": number, "value": value.text }),
        );
    json!({
        "description": one.description,
        "enabled": one.enabled,
        "global_snippet": one.node.is_none() && one.subnet.is_none(),
        "history": history.collect::<Vec<_>>(),
        "id": id.parse::<u64>().unwrap_or_default(),
        "name": one.name,
        "node": one.node.as_ref().map(|node| json!({ "__incomplete__": true, "system_id": node })),
        "resource_uri": format!("/MAAS/api/2.0/dhcp-snippets/{id}/"),
        "subnet": one.subnet.map(|subnet| Networks::of(call.store()).subnet(subnet)),
        "value": one.value(),
    })
}

async fn list(call: Call) -> Answer {
    let mut list = call.store().list::<DhcpSnippet>(SCOPE);
    list.sort_by_key(|one| one.id.parse().unwrap_or(u64::MAX));
    Ok(Reply::Json(list.iter().map(|one| show(&call, &one.id, &one.value)).collect()))
}

/// A snippet by number or name.
fn find(call: &Call) -> Result<Arc<Stored<DhcpSnippet>>, ApiError> {
    let list = call.store().list::<DhcpSnippet>(SCOPE);
    let found = list.into_iter().find(|one| one.id == call.arg(0) || one.value.name == call.arg(0));
    found.ok_or_else(|| ApiError::NotFound("DHCPSnippet".to_owned()))
}

async fn read(call: Call) -> Answer {
    let one = find(&call)?;
    Ok(Reply::Json(show(&call, &one.id, &one.value)))
}

/// What was sent, on top of what is there.
fn apply(call: &Call, one: &mut DhcpSnippet) -> Result<(), ApiError> {
    if call.param("iprange").is_some_and(|range| !range.is_empty()) {
        return Err(ApiError::NotImplemented(
            "'iprange' is not supported: a snippet is for everybody, a subnet or a node.".to_owned(),
        ));
    }
    let mut faults = Faults::default();
    edited::text(call, "name", &mut one.name);
    edited::needed(&mut faults, "name", &one.name);
    edited::text(call, "description", &mut one.description);
    edited::flag(call, "enabled", &mut one.enabled);
    let mut text = one.value().to_owned();
    edited::text(call, "value", &mut text);
    edited::needed(&mut faults, "value", &text);
    if text.len() > LONGEST {
        faults.add("value", format!("Ensure this value has at most {LONGEST} characters."));
    }
    belongs_to(call, one, &mut faults);
    faults.check()?;
    settings(&text).map_err(|error| refused(&error))?;
    if text != one.value() {
        write(one, text);
    }
    Ok(())
}

/// A text that DHCP cannot follow: what it knows in another form is the caller's mistake, the rest is missing here.
fn refused(error: &SnippetError) -> ApiError {
    match error {
        SnippetError::Statement(_) | SnippetError::Option { .. } => {
            ApiError::NotImplemented(format!("DHCP snippet: {error}"))
        }
        SnippetError::Syntax(_) | SnippetError::Value { .. } => ApiError::field("value", error.to_string()),
    }
}

/// Whose requests it is for.
fn belongs_to(call: &Call, one: &mut DhcpSnippet, faults: &mut Faults) {
    if call.param("global_snippet").is_some_and(is_true) {
        (one.node, one.subnet) = (None, None);
        return;
    }
    let store = call.store();
    if let Some(node) = call.param("node") {
        let known = call.state.machines.get(node).is_some() || store.get::<Device>(SCOPE, node).is_some();
        if !node.is_empty() && !known {
            faults.add("node", format!("Unable to find node {node}"));
        }
        one.node = Some(node.to_owned()).filter(|node| !node.is_empty());
        if one.node.is_some() {
            one.subnet = None;
        }
    }
    if let Some(sent) = call.param("subnet") {
        let subnets = store.list::<Subnet>(SCOPE);
        let named = |subnet: &Subnet| subnet.name == sent || subnet.cidr.to_string() == sent;
        let found = subnets.iter().find(|subnet| subnet.id == sent || named(&subnet.value));
        if !sent.is_empty() && found.is_none() {
            faults.add("subnet", "Select a valid choice. That choice is not one of the available choices.");
        }
        one.subnet = found.map(|subnet| subnet.value.number);
        if one.subnet.is_some() {
            one.node = None;
        }
    }
}

/// Adds a version of the text; the oldest go.
fn write(one: &mut DhcpSnippet, text: String) {
    let number = one.values.last_key_value().map_or(1, |(number, _)| number + 1);
    one.values.insert(number, SnippetValue { text, created: Timestamp::now() });
    while one.values.len() > KEPT {
        one.values.pop_first();
    }
}

async fn create(call: Call) -> Answer {
    edit(&call, "dhcp_snippet.create", |batch| {
        let mut one = DhcpSnippet {
            name: String::new(),
            description: String::new(),
            enabled: true,
            node: None,
            subnet: None,
            values: BTreeMap::new(),
        };
        apply(&call, &mut one)?;
        let id = edited::next_id::<DhcpSnippet>(&call).to_string();
        Ok((batch.create(SCOPE, &id, &one), Reply::Json(show(&call, &id, &one))))
    })
    .await
}

async fn update(call: Call) -> Answer {
    edit(&call, "dhcp_snippet.update", |batch| {
        let seen = find(&call)?;
        let mut one = seen.value.clone();
        apply(&call, &mut one)?;
        let shown = Reply::Json(show(&call, &seen.id, &one));
        Ok((batch.update(SCOPE, &seen.id, seen.version, &one), shown))
    })
    .await
}

async fn delete(call: Call) -> Answer {
    edit(&call, "dhcp_snippet.delete", |batch| {
        let seen = find(&call)?;
        Ok((batch.delete::<DhcpSnippet>(SCOPE, &seen.id, seen.version), Reply::NoContent))
    })
    .await
}

async fn revert(call: Call) -> Answer {
    let Some(sent) = call.param("to") else {
        return Err(ApiError::Bad("You must specify where to revert to".to_owned()));
    };
    let wrong = || ApiError::Bad(format!("{sent} is an invalid 'to' value"));
    let to: i64 = sent.trim().parse().map_err(|_| wrong())?;
    edit(&call, "dhcp_snippet.revert", |batch| {
        let seen = find(&call)?;
        let mut one = seen.value.clone();
        let wanted = match u64::try_from(to) {
            Ok(number) => one.values.get_key_value(&number).map(|(number, _)| *number),
            Err(_) => usize::try_from(to.unsigned_abs())
                .ok()
                .and_then(|ago| one.values.keys().rev().nth(ago).copied()),
        };
        // As MAAS does it, later texts are dropped.
        let number = wanted.ok_or_else(wrong)?;
        one.values.retain(|other, _| *other <= number);
        let shown = Reply::Json(show(&call, &seen.id, &one));
        Ok((batch.update(SCOPE, &seen.id, seen.version, &one), shown))
    })
    .await
}
