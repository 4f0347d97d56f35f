//! Public SSH keys of the caller.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use model::{SCOPE, SshKey};
use serde_json::{Value, json};
use store::Stored;

use super::edited;
use api_call::{
    Answer, ApiError, Call, Faults, Reply,
    edit::{edit, numbered, required},
    route::{Resource, named, restful},
};

/// SSH keys.
pub fn resources() -> Vec<Resource> {
    vec![
        Resource {
            name: "SSHKeysHandler",
            path: "account/prefs/sshkeys/",
            params: &[],
            ops: vec![
                restful!(GET, User, "Lists the caller's keys.", list),
                restful!(POST, User, "Adds the public key `key`.", create),
                named!(POST, "import", User, "Not here: keys are added one by one.", import),
            ],
        },
        Resource {
            name: "SSHKeyHandler",
            path: "account/prefs/sshkeys/{id}/",
            params: &["id"],
            ops: vec![
                restful!(GET, User, "Reads a key.", read),
                restful!(DELETE, User, "Deletes a key of the caller.", delete),
            ],
        },
    ]
}

fn show(id: &str, key: &SshKey) -> Value {
    json!({
        "id": id.parse::<u64>().unwrap_or_default(),
        "key": key.key,
        "keysource": "",
        "resource_uri": format!("/MAAS/api/2.0/account/prefs/sshkeys/{id}/"),
    })
}

async fn list(call: Call) -> Answer {
    let mut list = call.store().list::<SshKey>(SCOPE);
    list.retain(|key| key.value.user == call.user());
    list.sort_by_key(|key| key.id.parse().unwrap_or(u64::MAX));
    Ok(Reply::Json(list.iter().map(|key| show(&key.id, &key.value)).collect()))
}

/// Types that OpenSSH takes in `authorized_keys`.
const TYPES: [&str; 7] = [
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// Whether a line is `type base64 comment`, and the encoded key begins with the same type.
fn is_public_key(line: &str) -> bool {
    let mut words = line.split_ascii_whitespace();
    let (Some(kind), Some(data)) = (words.next(), words.next()) else { return false };
    let Ok(data) = STANDARD.decode(data) else { return false };
    let Some((length, rest)) = data.split_first_chunk::<4>() else { return false };
    let inner =
        usize::try_from(u32::from_be_bytes(*length)).ok().and_then(|length| rest.split_at_checked(length));
    TYPES.contains(&kind)
        && !line.chars().any(char::is_control)
        && inner.is_some_and(|(inner, key)| inner == kind.as_bytes() && !key.is_empty())
}

async fn create(call: Call) -> Answer {
    edit(&call, "sshkey.create", |batch| {
        let mut faults = Faults::default();
        let line = required(&call, &mut faults, "key");
        if !line.is_empty() && !is_public_key(line) {
            faults.add("key", "Invalid SSH public key: Invalid value.");
        }
        let all = call.store().list::<SshKey>(SCOPE);
        if all.iter().any(|key| key.value.user == call.user() && key.value.key == line) {
            faults.add("__all__", "This key has already been added for this user.");
        }
        faults.check()?;
        let number = edited::next_id::<SshKey>(&call);
        let key = SshKey { user: call.user().to_owned(), key: line.to_owned() };
        let batch = batch.create(SCOPE, &number.to_string(), &key);
        Ok((batch, Reply::Created(json!({"id": number, "key": key.key}))))
    })
    .await
}

async fn import(_call: Call) -> Answer {
    Err(ApiError::NotImplemented(
        "Keys are not imported from elsewhere: add them one by one with `key`.".to_owned(),
    ))
}

fn find(call: &Call) -> Result<Arc<Stored<SshKey>>, ApiError> {
    numbered(call, 0, "SSHKey")
}

async fn read(call: Call) -> Answer {
    let key = find(&call)?;
    Ok(Reply::Json(show(&key.id, &key.value)))
}

async fn delete(call: Call) -> Answer {
    edit(&call, "sshkey.delete", |batch| {
        let seen = find(&call)?;
        if seen.value.user != call.user() {
            return Err(ApiError::Forbidden("Can't delete a key you don't own.".to_owned()));
        }
        Ok((batch.delete::<SshKey>(SCOPE, &seen.id, seen.version), Reply::NoContent))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::is_public_key;

    #[test]
    fn keys_are_lines_of_authorized_keys() {
        let data = "AAAAC3NzaC1lZDI1NTE5AAAAIE3MOONRXyMuRzEmuvN5BYjWCmZYhGGMrPZn0Gp2aJEd";
        assert!(is_public_key(&format!("ssh-ed25519 {data} t@x")));
        for bad in [
            "nosuch",
            "ssh-ed25519 AAAA",
            &format!("ssh-rsa {data}"),
            &format!("ssh-ed25519 {data}\nssh-rsa x"),
        ] {
            assert!(!is_public_key(bad), "{bad}");
        }
    }
}
