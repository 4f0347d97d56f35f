//! Tags.

use std::sync::Arc;

use model::{Device, SCOPE, Tag};
use serde_json::{Value, json};
use store::{Batch, Stored};

use super::{devices, machines};
use api_call::{
    Answer, ApiError, Call, Faults, Reply,
    edit::{admin_only, change_devices, change_machines, edit, required},
    route::{Resource, named, restful},
};

/// Tags. A `definition` is kept and shown, but machines get tags only by `update_nodes`.
pub fn resources() -> Vec<Resource> {
    vec![
        Resource {
            name: "TagsHandler",
            path: "tags/",
            params: &[],
            ops: vec![
                restful!(GET, User, "Lists the tags.", tags),
                restful!(POST, User, "Makes a tag: `name`, `comment`, `definition`, `kernel_opts`.", create),
            ],
        },
        Resource {
            name: "TagHandler",
            path: "tags/{name}/",
            params: &["name"],
            ops: vec![
                restful!(GET, User, "Reads a tag.", read),
                restful!(PUT, User, "Changes a tag: `name`, `comment`, `definition`, `kernel_opts`.", update),
                restful!(DELETE, User, "Deletes a tag, also from its machines.", delete),
                named!(GET, "nodes", User, "Lists the machines and devices with this tag.", nodes),
                named!(GET, "machines", User, "Lists the machines with this tag.", of_machines),
                named!(GET, "devices", User, "Lists the devices with this tag.", of_devices),
                named!(
                    GET,
                    "rack_controllers",
                    User,
                    "Lists the rack controllers with this tag: none.",
                    no_nodes
                ),
                named!(
                    GET,
                    "region_controllers",
                    User,
                    "Lists the region controllers with this tag: none.",
                    no_nodes
                ),
                named!(
                    POST,
                    "update_nodes",
                    User,
                    "Tags the nodes `add` and untags the nodes `remove`.",
                    update_nodes
                ),
                named!(
                    POST,
                    "rebuild",
                    User,
                    "Answers as MAAS does; definitions are not evaluated.",
                    rebuild
                ),
            ],
        },
    ]
}

fn show(name: &str, tag: &Tag) -> Value {
    json!({
        "comment": tag.comment,
        "definition": tag.definition,
        "kernel_opts": tag.kernel_opts,
        "name": name,
        "resource_uri": format!("/MAAS/api/2.0/tags/{name}/"),
    })
}

async fn tags(call: Call) -> Answer {
    Ok(Reply::Json(call.store().list::<Tag>(SCOPE).iter().map(|tag| show(&tag.id, &tag.value)).collect()))
}

fn find(call: &Call) -> Result<Arc<Stored<Tag>>, ApiError> {
    call.store().get::<Tag>(SCOPE, call.arg(0)).ok_or_else(|| ApiError::NotFound("Tag".to_owned()))
}

async fn read(call: Call) -> Answer {
    let tag = find(&call)?;
    Ok(Reply::Json(show(&tag.id, &tag.value)))
}

fn check_name(call: &Call, faults: &mut Faults, name: &str) {
    let character = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-' || c == '.';
    if !name.chars().all(character) || name.len() > 256 {
        faults.add("name", "Enter a valid value.");
    }
    if call.store().get::<Tag>(SCOPE, name).is_some() {
        faults.add("name", "Tag with this Name already exists.");
    }
}

/// The parameters that creating and changing have in common.
fn apply(call: &Call, tag: &mut Tag, faults: &mut Faults) {
    if let Some(comment) = call.param("comment") {
        comment.clone_into(&mut tag.comment);
    }
    if let Some(options) = call.param("kernel_opts") {
        options.clone_into(&mut tag.kernel_opts);
    }
    if let Some(definition) = call.param("definition") {
        if !balanced(definition) {
            faults.add("definition", "Invalid xpath expression: Invalid expression");
        }
        definition.clone_into(&mut tag.definition);
    }
}

/// Whether brackets and quotes close: as much of an expression as is looked at.
fn balanced(text: &str) -> bool {
    let (mut open, mut quote) = (Vec::new(), None);
    for c in text.chars() {
        match (quote, c) {
            (Some(q), c) => quote = (q != c).then_some(q),
            (None, '\'' | '"') => quote = Some(c),
            (None, '[' | '(') => open.push(c),
            (None, ']') if open.pop() != Some('[') => return false,
            (None, ')') if open.pop() != Some('(') => return false,
            _ => {}
        }
    }
    quote.is_none() && open.is_empty()
}

async fn create(call: Call) -> Answer {
    admin_only(&call)?;
    edit(&call, "tag.create", |batch| {
        let mut faults = Faults::default();
        let name = required(&call, &mut faults, "name");
        check_name(&call, &mut faults, name);
        let mut tag = Tag { comment: String::new(), definition: String::new(), kernel_opts: String::new() };
        apply(&call, &mut tag, &mut faults);
        faults.check()?;
        Ok((batch.create(SCOPE, name, &tag), Reply::Json(show(name, &tag))))
    })
    .await
}

async fn update(call: Call) -> Answer {
    admin_only(&call)?;
    edit(&call, "tag.update", |batch| {
        let seen = find(&call)?;
        let mut tag = seen.value.clone();
        let mut faults = Faults::default();
        apply(&call, &mut tag, &mut faults);
        let name = call.param("name").filter(|name| !name.is_empty()).unwrap_or(&seen.id);
        if name == seen.id {
            faults.check()?;
            return Ok((batch.update(SCOPE, name, seen.version, &tag), Reply::Json(show(name, &tag))));
        }
        check_name(&call, &mut faults, name);
        faults.check()?;
        let batch = batch.delete::<Tag>(SCOPE, &seen.id, seen.version).create(SCOPE, name, &tag);
        let batch = retag(&call, batch, |tags| {
            for one in tags.iter_mut().filter(|one| **one == seen.id) {
                name.clone_into(one);
            }
        });
        Ok((batch, Reply::Json(show(name, &tag))))
    })
    .await
}

async fn delete(call: Call) -> Answer {
    admin_only(&call)?;
    edit(&call, "tag.delete", |batch| {
        let seen = find(&call)?;
        let batch = batch.delete::<Tag>(SCOPE, &seen.id, seen.version);
        Ok((retag(&call, batch, |tags| tags.retain(|tag| *tag != seen.id)), Reply::NoContent))
    })
    .await
}

/// Changes the tags of machines and devices.
fn retag(call: &Call, batch: Batch, change: impl Fn(&mut Vec<String>)) -> Batch {
    let batch = change_devices(call, batch, |device| change(&mut device.tags));
    change_machines(call, batch, |machine| change(&mut machine.tags))
}

async fn nodes(call: Call) -> Answer {
    let tag = find(&call)?;
    let devices = devices::all(&call, |device| device.value.tags.contains(&tag.id));
    let machines = machines::those(&call, |machine| machine.value.tags.contains(&tag.id));
    Ok(Reply::Machines(machines.and(devices)))
}

async fn of_machines(call: Call) -> Answer {
    let tag = find(&call)?;
    Ok(Reply::Machines(machines::those(&call, |machine| machine.value.tags.contains(&tag.id))))
}

async fn of_devices(call: Call) -> Answer {
    let tag = find(&call)?;
    let tagged = devices::all(&call, |device| device.value.tags.contains(&tag.id));
    Ok(Reply::Json(Value::Array(tagged)))
}

async fn no_nodes(call: Call) -> Answer {
    find(&call)?;
    Ok(Reply::Json(Value::Array(Vec::new())))
}

async fn update_nodes(call: Call) -> Answer {
    admin_only(&call)?;
    edit(&call, "tag.update_nodes", |batch| {
        let seen = find(&call)?;
        if let Some(definition) = call.param("definition").filter(|sent| *sent != seen.value.definition) {
            return Err(ApiError::Conflict(format!(
                "Definition supplied '{definition}' doesn't match current definition '{}'",
                seen.value.definition
            )));
        }
        let device = |id: &str| call.store().get::<Device>(SCOPE, id);
        let known = |name| {
            let mut ids: Vec<&str> = call.all(name).into_iter().flat_map(api_call::words).collect();
            ids.sort_unstable();
            ids.dedup();
            ids.retain(|id| call.state.machines.get(id).is_some() || device(id).is_some());
            ids
        };
        let (add, remove) = (known("add"), known("remove"));
        // The tag must still be there when its machines have it.
        let mut batch = batch.expect::<Tag>(SCOPE, &seen.id, seen.version);
        let touched: std::collections::BTreeSet<&str> = add.iter().chain(&remove).copied().collect();
        for system_id in touched {
            let change = |tags: &mut Vec<String>| {
                if add.contains(&system_id) && !tags.contains(&seen.id) {
                    tags.push(seen.id.clone());
                    tags.sort();
                }
                if remove.contains(&system_id) {
                    tags.retain(|tag| *tag != seen.id);
                }
            };
            if let Some(old) = call.state.machines.get(system_id) {
                let mut machine = old.value.clone();
                change(&mut machine.tags);
                if machine != old.value {
                    machine.updated = jiff::Timestamp::now();
                    batch = batch.update(SCOPE, system_id, old.version, &machine);
                }
            } else if let Some(old) = device(system_id) {
                let mut device = old.value.clone();
                change(&mut device.tags);
                batch = batch.update(SCOPE, system_id, old.version, &device);
            }
        }
        Ok((batch, Reply::Json(json!({"added": add.len(), "removed": remove.len()}))))
    })
    .await
}

async fn rebuild(call: Call) -> Answer {
    admin_only(&call)?;
    let tag = find(&call)?;
    Ok(Reply::Json(json!({"rebuilding": tag.id})))
}

#[cfg(test)]
mod tests {
    use super::balanced;

    #[test]
    fn brackets_and_quotes_must_close() {
        for good in ["", "//node", "//node[@id='a]b']", "count(//cpu[(1)])"] {
            assert!(balanced(good), "{good}");
        }
        for bad in ["//node[", "//node]", "//node['", "(]"] {
            assert!(!balanced(bad), "{bad}");
        }
    }
}
