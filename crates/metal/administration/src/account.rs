//! API keys of the caller.

use std::sync::Arc;

use jiff::Timestamp;
use model::{ApiToken, SCOPE, UserPassword};
use secrets::{Password, Secret};
use serde_json::{Value, json};
use store::Stored;

use api_call::{
    Answer, ApiError, Call, Reply,
    edit::edit,
    route::{Resource, named},
};

/// Letters of keys (MAAS).
const LETTERS: &str = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// The account.
pub fn resources() -> Vec<Resource> {
    vec![Resource {
        name: "AccountHandler",
        path: "account/",
        params: &[],
        ops: vec![
            named!(GET, "list_authorisation_tokens", User, "Lists the caller's API keys.", list),
            named!(POST, "create_authorisation_token", User, "Makes an API key: `name`.", create),
            named!(POST, "delete_authorisation_token", User, "Deletes an API key: `token_key`.", delete),
            named!(POST, "update_token_name", User, "Renames an API key: `token`, `name`.", rename),
        ],
    }]
}

const NAME: &str = "MAAS consumer";

async fn list(call: Call) -> Answer {
    let mut keys = call.store().list::<ApiToken>(SCOPE);
    keys.retain(|key| key.value.user == call.user());
    keys.sort_by_key(|key| key.value.created);
    let shown = |key: &Arc<Stored<ApiToken>>| {
        let (consumer, secret) = (&key.value.consumer, key.value.secret.expose());
        json!({ "name": key.value.name, "token": format!("{consumer}:{}:{secret}", key.id) })
    };
    Ok(Reply::Json(Value::Array(keys.iter().map(shown).collect())))
}

async fn create(call: Call) -> Answer {
    let name = call.param("name").filter(|name| !name.is_empty()).unwrap_or(NAME);
    Ok(Reply::Json(make(&call, call.user(), name).await?))
}

/// Makes an API key.
async fn make(call: &Call, user: &str, name: &str) -> Result<Value, ApiError> {
    let (token, key) = edit(call, "account.create_token", |batch| {
        let token = secrets::random_id(LETTERS, 18);
        let key = ApiToken {
            user: user.to_owned(),
            name: name.to_owned(),
            consumer: secrets::random_id(LETTERS, 18),
            secret: Secret::new(secrets::random_id(LETTERS, 32)),
            created: Timestamp::now(),
        };
        Ok((batch.create(SCOPE, &token, &key), (token, key)))
    })
    .await?;
    Ok(parts(&token, &key))
}

fn parts(token: &str, key: &ApiToken) -> Value {
    json!({
        "consumer_key": key.consumer,
        "name": key.name,
        "token_key": token,
        "token_secret": key.secret.expose(),
    })
}

/// An API key for `username` and `password` (`/MAAS/accounts/authenticate/`): the user's oldest, or with `consumer`
/// the one of that name, made if there is none.
///
/// # Errors
/// [`ApiError::Forbidden`] if no user has this name and password.
pub async fn authenticate(call: Call) -> Answer {
    let sent = |name| call.form.get(name).unwrap_or_default();
    let (name, password) = (sent("username").to_owned(), Secret::from(sent("password")));
    let known = call.store().get::<UserPassword>(SCOPE, &name).map(|known| known.value.hash.clone());
    let hashing = call.state.hashing.clone();
    let place = hashing.acquire_owned().await.map_err(|error| ApiError::Unavailable(error.to_string()))?;
    let is = tokio::task::spawn_blocking(move || {
        let _place = place;
        known.map_or_else(
            || {
                Password::is_not(&password);
                false
            },
            |hash| hash.is(&password),
        )
    });
    if !is.await.unwrap_or(false) {
        return Err(ApiError::Forbidden(String::new()));
    }
    let consumer = call.form.get("consumer");
    let mut keys = call.store().list::<ApiToken>(SCOPE);
    keys.retain(|key| key.value.user == name && consumer.is_none_or(|consumer| key.value.name == consumer));
    let shown = match keys.iter().min_by_key(|key| key.value.created) {
        Some(key) => parts(&key.id, &key.value),
        None => make(&call, &name, consumer.filter(|name| !name.is_empty()).unwrap_or(NAME)).await?,
    };
    Ok(Reply::PlainJson(shown))
}

async fn delete(call: Call) -> Answer {
    let token = needed(&call, "token_key")?;
    edit(&call, "account.delete_token", |batch| {
        let key = own(&call, token)?;
        Ok((batch.delete::<ApiToken>(SCOPE, token, key.version), ()))
    })
    .await?;
    Ok(Reply::NoContent)
}

async fn rename(call: Call) -> Answer {
    let (token, name) = (needed(&call, "token")?, needed(&call, "name")?);
    // The whole key is accepted too.
    let token = token.split(':').nth(1).unwrap_or(token);
    edit(&call, "account.update_token_name", |batch| {
        let seen = own(&call, token)?;
        let key = ApiToken { name: name.to_owned(), ..seen.value.clone() };
        Ok((batch.update(SCOPE, token, seen.version, &key), ()))
    })
    .await?;
    Ok(Reply::Ok)
}

fn own(call: &Call, token: &str) -> Result<Arc<Stored<ApiToken>>, ApiError> {
    call.store()
        .get::<ApiToken>(SCOPE, token)
        .filter(|key| key.value.user == call.user())
        .ok_or_else(|| ApiError::NotFound("Token".to_owned()))
}

fn needed<'c>(call: &'c Call, name: &str) -> Result<&'c str, ApiError> {
    call.param(name)
        .filter(|text| !text.is_empty())
        .ok_or_else(|| ApiError::Bad(format!("No provided {name}!")))
}
