//! Commissioning, testing and release scripts: the agent's own, and those that administrators keep here.

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use model::SCOPE;
use scripts::{
    Hardware, Kind, LARGEST, Parallel, Revision, Script,
    kind::Choice,
    metadata::{self, Metadata},
};
use serde_json::{Value, json};
use store::Batch;

use api_call::{
    Answer, ApiError, Call, Faults, Reply,
    edit::{admin_only, edit},
    route::{Resource, named, restful},
};
use render::script::rfc2822;

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
                    "Keeps a script: `script`, and what it does not say itself: `name`, `title`, `description`, `type`, `hardware_type`, `tags`, `timeout`, `parallel`.",
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
                restful!(PUT, User, "Changes a script, as for making one.", update),
                restful!(DELETE, User, "Deletes a script that is not built in.", delete),
                named!(GET, "download", User, "The script itself: `revision`.", download),
                named!(POST, "revert", User, "Makes an older text the present one: `to`.", revert),
                named!(POST, "add_tag", User, "Adds a `tag`.", add_tag),
                named!(POST, "remove_tag", User, "Takes a `tag` away.", remove_tag),
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

/// Whether a word means one of the scripts of a kind: its name, number or a tag.
pub fn known(call: &Call, kind: Kind, word: &str) -> bool {
    let all = call.state.machines.scripts();
    all.iter().any(|(name, script)| script.kind == kind && script.is_meant_by(name, word))
}

async fn list(call: Call) -> Answer {
    let (kind, hardware) = (wanted::<Kind>(&call, "type")?, wanted::<Hardware>(&call, "hardware_type")?);
    let filters: Vec<&str> = call.all("filters").into_iter().flat_map(|one| one.split(',')).collect();
    let filters: Vec<&str> = filters.into_iter().filter(|one| !one.is_empty()).collect();
    let shown = call.state.machines.scripts().into_iter().filter(|(name, script)| {
        kind.is_none_or(|kind| script.kind == kind)
            && hardware.is_none_or(|hardware| script.hardware == hardware)
            && (filters.is_empty() || filters.iter().any(|one| script.is_meant_by(name, one)))
    });
    Ok(Reply::Json(shown.map(|(name, script)| shown_as(&call, &name, &script)).collect()))
}

/// A choice that a filter names.
fn wanted<T: Choice>(call: &Call, name: &str) -> Result<Option<T>, ApiError> {
    let text = call.param(name).filter(|text| !text.is_empty());
    text.map(|text| T::read(text).ok_or_else(|| ApiError::field(name, invalid_choice(text)))).transpose()
}

fn invalid_choice(text: &str) -> String {
    format!("Select a valid choice. {text} is not one of the available choices.")
}

async fn commissioning(call: Call) -> Answer {
    let all = call.state.machines.scripts().into_iter();
    let mut names: Vec<String> =
        all.filter(|(_, script)| script.kind == Kind::Commissioning).map(|(name, _)| name).collect();
    names.sort();
    Ok(Reply::Json(json!(names)))
}

async fn read(call: Call) -> Answer {
    let (name, script) = find(&call)?;
    Ok(Reply::Json(shown_as(&call, &name, &script)))
}

async fn download(call: Call) -> Answer {
    let (_, script) = find(&call)?;
    let Some(number) = call.param("revision").filter(|text| !text.is_empty()) else {
        return Ok(Reply::Text(script.text().to_owned()));
    };
    let revision = script.revisions.into_iter().find(|revision| revision.number.to_string() == number);
    let revision = revision.ok_or_else(|| ApiError::NotFound("VersionedTextFile".to_owned()))?;
    Ok(Reply::Text(revision.text))
}

async fn create(call: Call) -> Answer {
    admin_only(&call)?;
    let mut faults = Faults::default();
    let text = sent(&call, &mut faults);
    if text.is_none() {
        faults.add("script", "This field is required.");
    }
    let said = said(&call, text.as_deref(), &mut faults);
    let name = call.param("name").map(str::to_owned).or(said.name.clone()).unwrap_or_default();
    let name = name.trim();
    if name.is_empty() {
        faults.add("name", "This field is required.");
    } else if !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) || name.len() > 255 {
        faults.add("name", "Enter a valid value.");
    } else if name == "none" {
        faults.add("name", "\"none\" is a reserved name.");
    }
    faults.check()?;
    let comment = comment(&call, &said);
    let revision = Revision { number: 1, comment, created: Timestamp::now(), text: text.unwrap_or_default() };
    edit(&call, "script.create", |batch| {
        let there = call.state.machines.scripts();
        if there.iter().any(|(other, _)| other == name) {
            return Err(ApiError::field("name", "Script with this Name already exists."));
        }
        let number = 1 + there.iter().map(|(_, script)| script.number).max().unwrap_or(0);
        Ok((batch.create(SCOPE, name, &Script::new(number, &said, revision.clone())), ()))
    })
    .await?;
    let made = call.store().get::<Script>(SCOPE, name);
    let made = made.ok_or_else(|| ApiError::NotFound("Script".to_owned()))?;
    Ok(Reply::Json(shown_as(&call, name, &made.value)))
}

async fn update(call: Call) -> Answer {
    let mut faults = Faults::default();
    let text = sent(&call, &mut faults);
    let now = find(&call)?.1;
    // What a text says of itself counts when the text is new; else what is sent does.
    let said = if text.is_some() {
        said(&call, text.as_deref(), &mut faults)
    } else {
        let Script { parameters, results, packages, .. } = now;
        fields(&call, Metadata { parameters, results, packages, ..Metadata::default() }, &mut faults)
    };
    faults.check()?;
    let comment = comment(&call, &said);
    change(&call, "script.update", |script| {
        script.take(&said);
        if let Some(text) = &text {
            script.revise(text.clone(), comment.clone(), Timestamp::now());
        }
        Ok(())
    })
    .await
}

async fn revert(call: Call) -> Answer {
    let Some(to) = call.param("to").and_then(|to| to.parse::<i64>().ok()) else {
        return Err(ApiError::Bad("You must specify where to revert to.".to_owned()));
    };
    change(&call, "script.revert", |script| {
        let at = if to <= 0 {
            usize::try_from(-to).ok().and_then(|back| script.revisions.len().checked_sub(back + 1))
        } else {
            script.revisions.iter().position(|revision| i64::try_from(revision.number) == Ok(to))
        };
        let at = at.ok_or_else(|| ApiError::Bad("Unable to find the revision to revert to.".to_owned()))?;
        script.revisions.truncate(at + 1);
        if let Ok(said) = metadata::parse(script.text()) {
            script.take(&said);
        }
        Ok(())
    })
    .await
}

async fn add_tag(call: Call) -> Answer {
    let tag = tag(&call)?;
    change(&call, "script.tag", |script| {
        if !script.tags.contains(&tag) {
            script.tags.push(tag.clone());
        }
        Ok(())
    })
    .await
}

async fn remove_tag(call: Call) -> Answer {
    let tag = tag(&call)?;
    change(&call, "script.tag", |script| {
        script.tags.retain(|other| *other != tag);
        Ok(())
    })
    .await
}

fn tag(call: &Call) -> Result<String, ApiError> {
    match call.param("tag").map(str::trim) {
        None | Some("") => Err(ApiError::field("tag", "This field is required.")),
        Some(tag) if tag.contains(',') => Err(ApiError::Bad("Tag may not contain a ,.".to_owned())),
        Some(tag) => Ok(tag.to_owned()),
    }
}

async fn delete(call: Call) -> Answer {
    let (name, _) = own(&call, "Unable to delete default script")?;
    edit(&call, "script.delete", |batch| match call.store().get::<Script>(SCOPE, &name) {
        Some(seen) => Ok((batch.delete::<Script>(SCOPE, &name, seen.version), ())),
        None => Err(ApiError::NotFound("Script".to_owned())),
    })
    .await?;
    Ok(Reply::NoContent)
}

/// Changes the script that the path names.
async fn change(
    call: &Call,
    action: &'static str,
    apply: impl Fn(&mut Script) -> Result<(), ApiError>,
) -> Answer {
    let (name, _) = own(call, "Not allowed to change on default scripts.")?;
    edit(call, action, |batch: Batch| {
        let seen = call.store().get::<Script>(SCOPE, &name);
        let seen = seen.ok_or_else(|| ApiError::NotFound("Script".to_owned()))?;
        let mut script = seen.value.clone();
        apply(&mut script)?;
        Ok((batch.update(SCOPE, &name, seen.version, &script), ()))
    })
    .await?;
    let (name, script) = find(call)?;
    Ok(Reply::Json(shown_as(call, &name, &script)))
}

/// The script that the path names, for an administrator who may change it.
fn own(call: &Call, refusal: &str) -> Result<(String, Script), ApiError> {
    admin_only(call)?;
    let (name, script) = find(call)?;
    if is_built_in(&name) { Err(ApiError::Bad(refusal.to_owned())) } else { Ok((name, script)) }
}

/// The script that the path names, by name or number.
fn find(call: &Call) -> Result<(String, Script), ApiError> {
    let mut all = call.state.machines.scripts().into_iter();
    all.find(|(name, script)| name == call.arg(0) || script.number.to_string() == call.arg(0))
        .ok_or_else(|| ApiError::NotFound("Script".to_owned()))
}

fn is_built_in(name: &str) -> bool {
    scripts::built_in().any(|(own, _)| own == name)
}

/// The text that was sent.
fn sent(call: &Call, faults: &mut Faults) -> Option<String> {
    let text = call.param("script").filter(|text| !text.is_empty())?;
    if text.len() > LARGEST {
        faults.add("script", format!("A script has {LARGEST} bytes at most."));
    }
    // Windows' line ends would become part of the interpreter's name.
    Some(text.replace("\r\n", "\n"))
}

/// What a script says of itself, with what was sent beside it.
fn said(call: &Call, text: Option<&str>, faults: &mut Faults) -> Metadata {
    let own = match text.map(metadata::parse) {
        Some(Ok(said)) => said,
        Some(Err(error)) => {
            faults.add("script", error.to_string());
            Metadata::default()
        }
        None => Metadata::default(),
    };
    fields(call, own, faults)
}

/// What was sent counts where the script says nothing itself.
fn fields(call: &Call, own: Metadata, faults: &mut Faults) -> Metadata {
    fn chosen<T: Choice>(call: &Call, names: [&str; 2], faults: &mut Faults) -> Option<T> {
        let (name, text) = names.into_iter().find_map(|name| Some((name, call.param(name)?)))?;
        if text.is_empty() {
            return None;
        }
        let choice = T::read(text);
        if choice.is_none() {
            faults.add(name, invalid_choice(text));
        }
        choice
    }
    let text = |name: &str| call.param(name).map(str::to_owned);
    let list = |name: &str| {
        let words = call.all(name).into_iter().flat_map(|words| words.split(',')).map(str::trim);
        let words: Vec<String> = words.filter(|word| !word.is_empty()).map(str::to_owned).collect();
        (!words.is_empty()).then_some(words)
    };
    let flag = |name: &str| call.param(name).map(|_| call.flag(name));
    let timeout = call.param("timeout").filter(|text| !text.is_empty()).and_then(|text| {
        let seconds = metadata::duration(text);
        if seconds.is_none() {
            faults.add("timeout", "Enter a valid duration.");
        }
        seconds
    });
    Metadata {
        title: own.title.or_else(|| text("title")),
        description: own.description.or_else(|| text("description")),
        tags: own.tags.or_else(|| list("tags")),
        kind: own.kind.or_else(|| chosen::<Kind>(call, ["type", "script_type"], faults)),
        hardware: own.hardware.or_else(|| chosen::<Hardware>(call, ["hardware_type", "hardware"], faults)),
        parallel: own.parallel.or_else(|| chosen::<Parallel>(call, ["parallel", "parallel"], faults)),
        timeout: own.timeout.or(timeout),
        destructive: own.destructive.or_else(|| flag("destructive")),
        may_reboot: own.may_reboot.or_else(|| flag("may_reboot")),
        recommission: own.recommission.or_else(|| flag("recommission")),
        apply_configured_networking: own
            .apply_configured_networking
            .or_else(|| flag("apply_configured_networking")),
        for_hardware: own.for_hardware.or_else(|| list("for_hardware")),
        ..own
    }
}

fn comment(call: &Call, said: &Metadata) -> String {
    call.param("comment").map(str::to_owned).or_else(|| said.comment.clone()).unwrap_or_default()
}

fn shown_as(call: &Call, name: &str, script: &Script) -> Value {
    let timeout = script.timeout;
    let history = script.revisions.iter().rev().map(|revision| {
        let mut shown = json!({
            "id": revision.number, "comment": revision.comment, "created": rfc2822(revision.created),
        });
        if let (true, Some(shown)) = (call.flag("include_script"), shown.as_object_mut()) {
            shown.insert("data".to_owned(), json!(STANDARD.encode(&revision.text)));
        }
        shown
    });
    json!({
        "id": script.number, "name": name, "title": script.title, "description": script.description,
        "tags": script.tags, "type": script.kind.number(), "type_name": script.kind.title(),
        "hardware_type": script.hardware.number(), "hardware_type_name": script.hardware.title(),
        "parallel": script.parallel.number(), "parallel_name": script.parallel.title(),
        "timeout": format!("{}:{:02}:{:02}", timeout / 3600, timeout / 60 % 60, timeout % 60),
        "destructive": script.destructive, "may_reboot": script.may_reboot, "recommission": script.recommission,
        "for_hardware": script.for_hardware, "packages": script.packages, "parameters": script.parameters,
        "results": script.results, "default": is_built_in(name),
        "apply_configured_networking": script.apply_configured_networking,
        "history": history.collect::<Vec<_>>(),
        "resource_uri": format!("/MAAS/api/2.0/scripts/{name}"),
    })
}
