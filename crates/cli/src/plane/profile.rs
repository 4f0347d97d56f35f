//! Cluster profiles.

use std::path::PathBuf;

use clap::Subcommand;
use plane_client::{Client, Method, v1};

use super::{client, document, uid_of};
use crate::{CliError, Global, Session, text::table};

/// Commands on cluster profiles. PROFILE is a name, `NAME@VERSION`, or an id.
#[derive(Debug, Subcommand)]
pub enum ProfileCommand {
    /// Show them
    List,
    /// Show one with its packs
    Show {
        /// The profile
        profile: String,
    },
    /// Make one of a file, and publish it
    Create {
        /// YAML or JSON, as `POST /v1/clusterprofiles` takes it; `-` is the standard input
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
        /// Leave it a draft
        #[arg(long)]
        draft: bool,
    },
    /// Let clusters have what was written
    Publish {
        /// The profile
        profile: String,
    },
    /// Delete one
    Delete {
        /// The profile
        profile: String,
    },
}

/// Runs a command on cluster profiles.
pub async fn run(
    session: &mut Session<'_>,
    global: &Global,
    command: ProfileCommand,
) -> Result<(), CliError> {
    let client = client(session, global)?;
    match command {
        ProfileCommand::List => {
            let all = all(&client).await?;
            session.show(global.output, &all, || {
                let row = |one: &v1::ProfileMetadata| {
                    [one.metadata.name.clone(), one.spec.version.clone(), one.metadata.uid.clone()]
                };
                let none = "There are no cluster profiles; bessemer profile create -f FILE makes one.";
                table(["name", "version", "uid"], all.iter().map(row).collect(), none)
            })
        }
        ProfileCommand::Show { profile } => {
            let one: v1::Profile = client.get(&path(&client, &profile).await?).await?;
            session.show(global.output, &one, || {
                let row = |pack: &v1::PackRef| {
                    [pack.layer.clone(), pack.name.clone(), pack.tag.clone(), pack.kind.clone()]
                };
                let rows = one.spec.published.packs.iter().map(row).collect();
                let state = if one.status.is_published { "published" } else { "a draft" };
                let packs = table(["layer", "pack", "version", "type"], rows, "It has no packs.");
                format!("{} {} ({state})\n\n{packs}", one.metadata.name, one.spec.version)
            })
        }
        ProfileCommand::Create { file, draft } => {
            let wanted: v1::ProfileEntity = document(session, &file)?;
            let path = if draft { "/v1/clusterprofiles" } else { "/v1/clusterprofiles?publish=true" };
            let uid = client.create(path, &wanted).await?;
            let name = wanted.metadata.name;
            let object = serde_json::json!({"name": name, "uid": uid});
            session.show(global.output, &object, || format!("made cluster profile {name} ({uid})"))
        }
        ProfileCommand::Publish { profile } => {
            let path = format!("{}/publish", path(&client, &profile).await?);
            client.call(Method::PATCH, &path, None::<&()>).await?;
            session.remark(&format!("published cluster profile {profile}"))
        }
        ProfileCommand::Delete { profile } => {
            client.call(Method::DELETE, &path(&client, &profile).await?, None::<&()>).await?;
            session.remark(&format!("deleted cluster profile {profile}"))
        }
    }
}

async fn all(client: &Client) -> Result<Vec<v1::ProfileMetadata>, CliError> {
    let names: v1::ProfileNames = client.get("/v1/dashboard/clusterprofiles/metadata").await?;
    Ok(names.items)
}

async fn path(client: &Client, wanted: &str) -> Result<String, CliError> {
    let all = all(client).await?;
    let exact = |one: &&v1::ProfileMetadata| format!("{}@{}", one.metadata.name, one.spec.version) == wanted;
    let uid = match all.iter().find(exact) {
        Some(one) => one.metadata.uid.clone(),
        None => uid_of("profile", wanted, all.iter().map(|one| &one.metadata))?,
    };
    Ok(format!("/v1/clusterprofiles/{uid}"))
}
