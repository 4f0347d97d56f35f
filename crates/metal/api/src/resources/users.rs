//! Users.

use model::{ApiToken, SCOPE, SshKey, User, next_id};
use serde_json::Value;

use api_call::{
    Answer, ApiError, Call, Reply,
    edit::edit,
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
                restful!(DELETE, Admin, "Deletes a user who has no machines.", delete),
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
    needed("password")?;
    let admin = is_true(&needed("is_superuser")?);
    let good = |c: char| c.is_alphanumeric() || "@.+-_".contains(c);
    if name.is_empty() || name.len() > 150 || !name.chars().all(good) {
        return Err(ApiError::field(
            "username",
            "Enter a valid username. This value may contain only letters, numbers, and @/./+/-/_ characters.",
        ));
    }
    edit(&call, "user.create", |batch| {
        if call.store().get::<User>(SCOPE, &name).is_some() {
            return Err(ApiError::Conflict("User with this Username already exists.".to_owned()));
        }
        let number = next_id::<User>(call.store(), |user| user.number).max(1);
        Ok((batch.create(SCOPE, &name, &User { number, email: email.clone(), admin }), ()))
    })
    .await?;
    Ok(Reply::Json(user(call.store(), &name)))
}

async fn delete(call: Call) -> Answer {
    let name = call.arg(0);
    if name == call.user() {
        return Err(ApiError::Bad("An administrator cannot self-delete.".to_owned()));
    }
    edit(&call, "user.delete", |mut batch| {
        let store = call.store();
        let Some(user) = store.get::<User>(SCOPE, name) else { return Ok((batch, ())) };
        let machines = call.state.machines.all();
        let owned = machines.iter().filter(|machine| machine.value.owner.as_deref() == Some(name)).count();
        if owned > 0 {
            return Err(ApiError::Bad(format!(
                "Cannot delete user {name}: {owned} machine(s) are still allocated."
            )));
        }
        for key in store.list::<ApiToken>(SCOPE).iter().filter(|key| key.value.user == name) {
            batch = batch.delete::<ApiToken>(SCOPE, &key.id, key.version);
        }
        for key in store.list::<SshKey>(SCOPE).iter().filter(|key| key.value.user == name) {
            batch = batch.delete::<SshKey>(SCOPE, &key.id, key.version);
        }
        Ok((batch.delete::<User>(SCOPE, name, user.version), ()))
    })
    .await?;
    Ok(Reply::NoContent)
}
