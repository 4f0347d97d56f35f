//! SSH keys of the user's.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use maas_client::{Client, SshKey};

use crate::{CliError, Global, Session, text::table};

/// Commands on SSH keys.
#[derive(Debug, Subcommand)]
pub enum SshKeyCommand {
    /// Add a public key
    Add {
        /// File that ends in .pub
        file: PathBuf,
    },
    /// Show your keys
    List,
    /// Remove a key
    Delete {
        /// Its number in the list
        id: i64,
    },
}

pub(crate) async fn run(
    session: &mut Session<'_>,
    global: &Global,
    command: SshKeyCommand,
) -> Result<(), CliError> {
    let client = session.client(global)?;
    match command {
        SshKeyCommand::Add { file } => {
            let key = client.add_ssh_key(&read(&file)?).await?;
            session.show(global.output, &key, || format!("added key {}: {}", key.id, short(&key.key)))
        }
        SshKeyCommand::List => {
            let keys = client.ssh_keys().await?;
            session.show(global.output, &keys, || list(&keys))
        }
        SshKeyCommand::Delete { id } => {
            client.delete_ssh_key(id).await?;
            session.remark(&format!("removed key {id}"))
        }
    }
}

/// Adds a file's key where the user does not have it yet. Answers whether it did.
pub(crate) async fn ensure(client: &Client, file: &Path) -> Result<Added, CliError> {
    let key = read(file)?;
    if client.ssh_keys().await?.iter().any(|known| material(&known.key) == material(&key)) {
        return Ok(Added::KnownAlready);
    }
    client.add_ssh_key(&key).await?;
    Ok(Added::Now)
}

/// What [`ensure`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Added {
    /// The key was there.
    KnownAlready,
    /// It was added.
    Now,
}

fn read(file: &Path) -> Result<String, CliError> {
    let text = std::fs::read_to_string(file).map_err(CliError::file(file))?;
    let key = text.trim();
    let public = ["ssh-", "ecdsa-", "sk-"].iter().any(|kind| key.starts_with(kind));
    if public && key.lines().count() == 1 {
        Ok(key.to_owned())
    } else {
        Err(CliError::SshKey { path: file.to_owned() })
    }
}

/// Kind and key, without the comment.
fn material(key: &str) -> Vec<&str> {
    key.split_whitespace().take(2).collect()
}

fn list(keys: &[SshKey]) -> String {
    let rows = keys.iter().map(|key| [key.id.to_string(), short(&key.key)]).collect();
    table(["id", "key"], rows, "You have no SSH keys; bessemer ssh-key add FILE adds one.")
}

/// Kind, the end of the key, comment.
fn short(key: &str) -> String {
    let mut parts = key.split_whitespace();
    let (kind, material) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let comment: Vec<&str> = parts.collect();
    let skipped = material.chars().count().saturating_sub(12);
    let end: String = material.chars().skip(skipped).collect();
    format!("{kind} …{end} {}", comment.join(" ")).trim_end().to_owned()
}
