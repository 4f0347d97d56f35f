//! Certificates of the caller. Machines get them with their metadata (`x509`) in MAAS; here they are only kept.

use std::sync::Arc;

use model::{SCOPE, SslKey};
use serde_json::{Value, json};
use store::Stored;

use super::edited;
use api_call::{
    Answer, ApiError, Call, Faults, Reply,
    edit::{edit, numbered, required},
    route::{Resource, restful},
};

/// Certificates.
pub fn resources() -> Vec<Resource> {
    vec![
        Resource {
            name: "SSLKeysHandler",
            path: "account/prefs/sslkeys/",
            params: &[],
            ops: vec![
                restful!(GET, User, "Lists the caller's certificates.", list),
                restful!(POST, User, "Adds the certificate `key`, PEM.", create),
            ],
        },
        Resource {
            name: "SSLKeyHandler",
            path: "account/prefs/sslkeys/{id}/",
            params: &["id"],
            ops: vec![
                restful!(GET, User, "Reads a certificate of the caller.", read),
                restful!(DELETE, User, "Deletes a certificate of the caller.", delete),
            ],
        },
    ]
}

fn show(id: &str, key: &SslKey) -> Value {
    json!({
        "id": id.parse::<u64>().unwrap_or_default(),
        "key": key.key,
        "resource_uri": format!("/MAAS/api/2.0/account/prefs/sslkeys/{id}/"),
    })
}

async fn list(call: Call) -> Answer {
    let mut list = call.store().list::<SslKey>(SCOPE);
    list.retain(|key| key.value.user == call.user());
    list.sort_by_key(|key| key.id.parse().unwrap_or(u64::MAX));
    Ok(Reply::Json(list.iter().map(|key| show(&key.id, &key.value)).collect()))
}

/// Whether a text is a PEM certificate.
fn is_certificate(text: &str) -> bool {
    x509_parser::pem::parse_x509_pem(text.as_bytes()).is_ok_and(|(_, pem)| pem.parse_x509().is_ok())
}

async fn create(call: Call) -> Answer {
    edit(&call, "sslkey.create", |batch| {
        let mut faults = Faults::default();
        let text = required(&call, &mut faults, "key");
        if !text.is_empty() && !is_certificate(text) {
            faults.add("key", "Invalid SSL key.");
        }
        let all = call.store().list::<SslKey>(SCOPE);
        if all.iter().any(|key| key.value.user == call.user() && key.value.key == text) {
            faults.add("__all__", "This key has already been added for this user.");
        }
        faults.check()?;
        let number = edited::next_id::<SslKey>(&call);
        let key = SslKey { user: call.user().to_owned(), key: text.to_owned() };
        let batch = batch.create(SCOPE, &number.to_string(), &key);
        Ok((batch, Reply::Created(json!({"id": number, "key": key.key}))))
    })
    .await
}

/// A certificate of the caller; `verb` is what may not be done to others'.
fn own(call: &Call, verb: &str) -> Result<Arc<Stored<SslKey>>, ApiError> {
    let key = numbered::<SslKey>(call, 0, "SSLKey")?;
    if key.value.user == call.user() {
        Ok(key)
    } else {
        Err(ApiError::Forbidden(format!("Can't {verb} a key you don't own.")))
    }
}

async fn read(call: Call) -> Answer {
    let key = own(&call, "get")?;
    Ok(Reply::Json(show(&key.id, &key.value)))
}

async fn delete(call: Call) -> Answer {
    edit(&call, "sslkey.delete", |batch| {
        let seen = own(&call, "delete")?;
        Ok((batch.delete::<SslKey>(SCOPE, &seen.id, seen.version), Reply::NoContent))
    })
    .await
}
