//! Users.

use model::{
    ApiToken, Device, IpRange, Machine, Notification, ReservedAddress, SCOPE, SshKey, SslKey, User,
    UserPassword, next_id,
};
use secrets::{Password, Secret};
use serde_json::Value;
use store::{Batch, Document};

use super::files;
use api_call::{
    Answer, ApiError, Call, Reply,
    edit::{change_devices, change_machines, edit},
    is_true,
    route::{Resource, named, restful},
};
use render::network::user;

/// Users.
pub fn resources() -> Vec<Resource> {
    vec![
        Resource {
            name: "UsersHandler",
            path: "users/",
            params: &[],
            ops: vec![
                restful!(GET, User, "Lists the users.", list),
                restful!(
                    POST,
                    Admin,
                    "Makes a user: `username`, `email`, `password`, `is_superuser`.",
                    create
                ),
                named!(GET, "whoami", User, "The caller.", whoami),
            ],
        },
        Resource {
            name: "UserHandler",
            path: "users/{username}/",
            params: &["username"],
            ops: vec![
                restful!(GET, User, "Reads a user.", read),
                restful!(
                    DELETE,
                    Admin,
                    "Deletes a user who has nothing, or gives it to `transfer_resources_to`.",
                    delete
                ),
            ],
        },
    ]
}

async fn list(call: Call) -> Answer {
    let users = call.store().list::<User>(SCOPE);
    Ok(Reply::Json(users.iter().map(|one| user(call.store(), &one.id)).collect()))
}

async fn whoami(call: Call) -> Answer {
    Ok(Reply::Json(user(call.store(), call.user())))
}

async fn read(call: Call) -> Answer {
    match user(call.store(), call.arg(0)) {
        Value::Null => Err(ApiError::NotFound("User".to_owned())),
        shown => Ok(Reply::Json(shown)),
    }
}

async fn create(call: Call) -> Answer {
    let needed = |name: &str| {
        call.param(name).map(str::to_owned).ok_or_else(|| ApiError::Bad(format!("No provided {name}!")))
    };
    let (name, email) = (needed("username")?, needed("email")?);
    let password = Secret::new(needed("password")?);
    let admin = is_true(&needed("is_superuser")?);
    let good = |c: char| c.is_alphanumeric() || "@.+-_".contains(c);
    if name.is_empty() || name.len() > 150 || !name.chars().all(good) {
        return Err(ApiError::field(
            "username",
            "Enter a valid username. This value may contain only letters, numbers, and @/./+/-/_ characters.",
        ));
    }
    let hash = hash(&call, password).await?;
    edit(&call, "user.create", |batch| {
        if call.store().get::<User>(SCOPE, &name).is_some() {
            return Err(ApiError::Conflict("User with this Username already exists.".to_owned()));
        }
        let number = next_id::<User>(call.store(), |user| user.number).max(1);
        let user = User { number, email: email.clone(), admin };
        let password = UserPassword { hash: hash.clone() };
        Ok((batch.create(SCOPE, &name, &user).create(SCOPE, &name, &password), ()))
    })
    .await?;
    Ok(Reply::Json(user(call.store(), &name)))
}

/// Hashes a password, while few others are hashed.
async fn hash(call: &Call, password: Secret) -> Result<Password, ApiError> {
    let busy = |error: &dyn std::fmt::Display| ApiError::Unavailable(error.to_string());
    let place = call.state.hashing.clone().acquire_owned().await.map_err(|error| busy(&error))?;
    let made = tokio::task::spawn_blocking(move || {
        let _place = place;
        Password::hash(&password, 1)
    });
    let made = made.await.map_err(|error| busy(&error))?;
    made.map_err(|error| ApiError::field("password", error.to_string()))
}

async fn delete(call: Call) -> Answer {
    let name = call.arg(0);
    if name == call.user() {
        return Err(ApiError::Bad("An administrator cannot self-delete.".to_owned()));
    }
    let heir = call.query.get("transfer_resources_to").filter(|heir| !heir.is_empty());
    edit(&call, "user.delete", |batch| {
        let Some(user) = call.store().get::<User>(SCOPE, name) else { return Ok((batch, ())) };
        if heir.is_some_and(|heir| call.store().get::<User>(SCOPE, heir).is_none()) {
            return Err(ApiError::NotFound("User".to_owned()));
        }
        let batch = hand_over(&call, batch, name, heir)?;
        let batch = forget(&call, batch, name);
        Ok((batch.delete::<User>(SCOPE, name, user.version), ()))
    })
    .await?;
    Ok(Reply::NoContent)
}

/// Gives what a user has to an heir; without one, there must be nothing.
fn hand_over(call: &Call, mut batch: Batch, name: &str, heir: Option<&str>) -> Result<Batch, ApiError> {
    let store = call.store();
    let mine = |owner: &Option<String>| owner.as_deref() == Some(name);
    let machines = call.state.machines.all();
    let mut devices = store.list::<Device>(SCOPE);
    devices.retain(|device| mine(&device.value.owner));
    let mut ranges = store.list::<IpRange>(SCOPE);
    ranges.retain(|range| mine(&range.value.user));
    let mut addresses = store.list::<ReservedAddress>(SCOPE);
    addresses.retain(|address| address.value.user == name);
    let Some(heir) = heir else {
        let counts = [
            ("machine", machines.iter().filter(|machine| mine(&machine.value.owner)).count()),
            ("device", devices.len()),
            ("IP range", ranges.len()),
            ("static IP address", addresses.len()),
        ];
        return match counts.into_iter().find(|(_, count)| *count > 0) {
            Some((what, count)) => Err(ApiError::Bad(format!(
                "Cannot delete user {name}: {count} {what}(s) are still allocated."
            ))),
            None => Ok(batch),
        };
    };
    batch = change_machines(call, batch, |machine: &mut Machine| {
        if mine(&machine.owner) {
            machine.owner = Some(heir.to_owned());
        }
    });
    batch = change_devices(call, batch, |device| {
        if mine(&device.owner) {
            device.owner = Some(heir.to_owned());
        }
    });
    for seen in ranges {
        let range = IpRange { user: Some(heir.to_owned()), ..seen.value.clone() };
        batch = batch.update(SCOPE, &seen.id, seen.version, &range);
    }
    for seen in addresses {
        let address = ReservedAddress { user: heir.to_owned(), ..seen.value.clone() };
        batch = batch
            .unclaim(SCOPE, "ip", &seen.id, &format!("user:{name}"))
            .claim(SCOPE, "ip", &seen.id, &format!("user:{heir}"))
            .update(SCOPE, &seen.id, seen.version, &address);
    }
    Ok(batch)
}

/// Deletes what is a user's own: keys, password, files, messages.
fn forget(call: &Call, batch: Batch, name: &str) -> Batch {
    let batch = drop_all::<ApiToken>(call, batch, |key| key.user == name);
    let batch = drop_all::<SshKey>(call, batch, |key| key.user == name);
    let batch = drop_all::<SslKey>(call, batch, |key| key.user == name);
    let batch = drop_all::<Notification>(call, batch, |one| one.user.as_deref() == Some(name));
    let batch = files::forget(call, batch, name);
    match call.store().get::<UserPassword>(SCOPE, name) {
        Some(password) => batch.delete::<UserPassword>(SCOPE, name, password.version),
        None => batch,
    }
}

fn drop_all<T: Document>(call: &Call, batch: Batch, mine: impl Fn(&T) -> bool) -> Batch {
    let all = call.store().list::<T>(SCOPE);
    let mine = all.iter().filter(|one| mine(&one.value));
    mine.fold(batch, |batch, one| batch.delete::<T>(SCOPE, &one.id, one.version))
}
