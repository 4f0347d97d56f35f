//! Messages to people.

use std::sync::Arc;

use model::{Notification, SCOPE, User};
use serde_json::{Map, Value, json};
use store::Stored;

use super::edited;
use api_call::{
    Answer, ApiError, Call, Faults, Reply,
    edit::{edit, numbered},
    route::{Resource, named, restful},
};
use render::network::user;

/// What kind of message it is.
const CATEGORIES: [&str; 4] = ["error", "warning", "success", "info"];

/// Messages.
pub fn resources() -> Vec<Resource> {
    vec![
        Resource {
            name: "NotificationsHandler",
            path: "notifications/",
            params: &[],
            ops: vec![
                restful!(GET, User, "Lists the messages to the caller that were not put away.", list),
                restful!(
                    POST,
                    Admin,
                    "Makes a message: `message`, `context`, `category`, `ident`, `user`, `users`, `admins`.",
                    create
                ),
            ],
        },
        Resource {
            name: "NotificationHandler",
            path: "notifications/{id}/",
            params: &["id"],
            ops: vec![
                restful!(GET, User, "Reads a message.", read),
                restful!(
                    PUT,
                    Admin,
                    "Changes a message: parameters as for a new one, `dismissable`.",
                    update
                ),
                restful!(DELETE, Admin, "Deletes a message.", delete),
                named!(
                    POST,
                    "dismiss",
                    User,
                    "Puts a message away for the caller; may be repeated.",
                    dismiss
                ),
            ],
        },
    ]
}

fn show(call: &Call, id: &str, one: &Notification) -> Value {
    json!({
        "admins": one.admins,
        "category": one.category,
        "context": one.context,
        "dismissable": one.dismissable,
        "id": id.parse::<u64>().unwrap_or_default(),
        "ident": one.ident,
        "message": one.message,
        "resource_uri": format!("/MAAS/api/2.0/notifications/{id}/"),
        "user": one.user.as_ref().map(|name| user(call.store(), name)),
        "users": one.users,
    })
}

/// Whether it is to the caller.
fn concerns(call: &Call, one: &Notification) -> bool {
    one.user.as_deref() == Some(call.user()) || if call.admin() { one.admins } else { one.users }
}

async fn list(call: Call) -> Answer {
    let mut list = call.store().list::<Notification>(SCOPE);
    list.retain(|one| {
        concerns(&call, &one.value) && !one.value.dismissed_by.iter().any(|name| name == call.user())
    });
    list.sort_by_key(|one| one.id.parse().unwrap_or(u64::MAX));
    Ok(Reply::Json(list.iter().map(|one| show(&call, &one.id, &one.value)).collect()))
}

fn find(call: &Call) -> Result<Arc<Stored<Notification>>, ApiError> {
    numbered(call, 0, "Notification")
}

async fn read(call: Call) -> Answer {
    let one = find(&call)?;
    if concerns(&call, &one.value) || call.admin() {
        Ok(Reply::Json(show(&call, &one.id, &one.value)))
    } else {
        Err(ApiError::Forbidden(String::new()))
    }
}

/// What was sent, on top of what is there.
fn apply(call: &Call, one: &mut Notification, own: Option<&str>) -> Result<(), ApiError> {
    let mut faults = Faults::default();
    edited::text(call, "message", &mut one.message);
    edited::needed(&mut faults, "message", &one.message);
    edited::flag(call, "users", &mut one.users);
    edited::flag(call, "admins", &mut one.admins);
    if let Some(sent) = call.param("dismissable") {
        one.dismissable = sent == "true";
    }
    if let Some(sent) = call.param("category").filter(|sent| !sent.is_empty()) {
        edited::choice(&mut faults, "category", sent, &CATEGORIES);
        sent.clone_into(&mut one.category);
    }
    if let Some(sent) = call.param("context") {
        match serde_json::from_str(if sent.trim().is_empty() { "{}" } else { sent }) {
            Ok(Value::Object(context)) => one.context = context,
            Ok(_) => faults.add("context", "Context is not a mapping."),
            Err(_) => faults.add("context", "Enter a valid JSON."),
        }
    }
    if let Some(sent) = call.param("user") {
        match addressee(call, sent.trim()) {
            Ok(user) => one.user = user,
            Err(words) => faults.add("user", words),
        }
    }
    if let Some(sent) = call.param("ident") {
        one.ident = Some(sent.trim().to_owned()).filter(|ident| !ident.is_empty());
    }
    if let Some(ident) = &one.ident {
        if ident.chars().count() > 40 {
            faults.add(
                "ident",
                format!("Ensure this value has at most 40 characters (it has {}).", ident.chars().count()),
            );
        }
        let holder = call.store().holder(SCOPE, "notification", ident);
        if holder.is_some() && holder.as_deref() != own {
            faults.add("ident", "Notification with this Ident already exists.");
        }
    }
    if !renders(&one.message, &one.context) {
        faults.add("__all__", "Notification cannot be rendered.");
    }
    faults.check()
}

/// A user by number or name; nobody for an empty text.
fn addressee(call: &Call, sent: &str) -> Result<Option<String>, &'static str> {
    if sent.is_empty() {
        return Ok(None);
    }
    let users = call.store().list::<User>(SCOPE);
    let found = match sent.parse::<u64>() {
        Ok(number) => users.iter().find(|user| user.value.number == number),
        Err(_) => users.iter().find(|user| user.id == sent),
    };
    found.map(|user| Some(user.id.clone())).ok_or("Enter a valid user id or username.")
}

/// Whether each `{name}` of a sentence is in its context; doubled braces stand for themselves.
fn renders(message: &str, context: &Map<String, Value>) -> bool {
    let text = message.replace("{{", "").replace("}}", "");
    let mut parts = text.split('{');
    !parts.next().unwrap_or_default().contains('}')
        && parts.all(|part| match part.split_once('}') {
            Some((name, rest)) => {
                let name = name.split([':', '!', '.', '[']).next().unwrap_or_default();
                context.contains_key(name) && !rest.contains('}')
            }
            None => false,
        })
}

async fn create(call: Call) -> Answer {
    edit(&call, "notification.create", |mut batch| {
        let mut one = Notification {
            ident: None,
            user: None,
            users: false,
            admins: false,
            message: String::new(),
            context: Map::new(),
            category: "info".to_owned(),
            dismissable: true,
            dismissed_by: Vec::new(),
        };
        apply(&call, &mut one, None)?;
        let id = edited::next_id::<Notification>(&call).to_string();
        if let Some(ident) = &one.ident {
            batch = batch.claim(SCOPE, "notification", ident, &id);
        }
        Ok((batch.create(SCOPE, &id, &one), Reply::Json(show(&call, &id, &one))))
    })
    .await
}

async fn update(call: Call) -> Answer {
    edit(&call, "notification.update", |mut batch| {
        let seen = find(&call)?;
        let mut one = seen.value.clone();
        apply(&call, &mut one, Some(&seen.id))?;
        if one.ident != seen.value.ident {
            if let Some(ident) = &seen.value.ident {
                batch = batch.unclaim(SCOPE, "notification", ident, &seen.id);
            }
            if let Some(ident) = &one.ident {
                batch = batch.claim(SCOPE, "notification", ident, &seen.id);
            }
        }
        let shown = Reply::Json(show(&call, &seen.id, &one));
        Ok((batch.update(SCOPE, &seen.id, seen.version, &one), shown))
    })
    .await
}

async fn delete(call: Call) -> Answer {
    edit(&call, "notification.delete", |mut batch| {
        let seen = find(&call)?;
        if let Some(ident) = &seen.value.ident {
            batch = batch.unclaim(SCOPE, "notification", ident, &seen.id);
        }
        Ok((batch.delete::<Notification>(SCOPE, &seen.id, seen.version), Reply::NoContent))
    })
    .await
}

async fn dismiss(call: Call) -> Answer {
    edit(&call, "notification.dismiss", |batch| {
        let seen = find(&call)?;
        if !concerns(&call, &seen.value) {
            return Err(ApiError::Forbidden(String::new()));
        }
        if !seen.value.dismissable {
            return Err(ApiError::Bad("Notification is not dismissable".to_owned()));
        }
        let mut one = seen.value.clone();
        if !one.dismissed_by.iter().any(|name| name == call.user()) {
            one.dismissed_by.push(call.user().to_owned());
        }
        Ok((batch.update(SCOPE, &seen.id, seen.version, &one), Reply::Json(Value::Null)))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_has_only_names_that_its_context_has() {
        let context = Map::from_iter([("name".to_owned(), json!("x"))]);
        for good in ["plain", "hello {name}", "{{name}}", "{name!r}"] {
            assert!(renders(good, &context), "{good}");
        }
        for bad in ["{other}", "{name", "name}", "{}"] {
            assert!(!renders(bad, &context), "{bad}");
        }
    }
}
