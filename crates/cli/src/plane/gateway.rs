//! Gateways, as the plane sees them.

use clap::Subcommand;
use plane_client::{Client, Method, v1};

use super::{client, uid_of};
use crate::{
    CliError, Global, Session,
    text::{fields, table},
};

/// Commands on a plane's gateways. GATEWAY is a name or an id.
#[derive(Debug, Subcommand)]
pub enum GatewayCommand {
    /// Show a plane's gateways, and how they stand
    List,
    /// Show one of a plane's gateways
    Show {
        /// The gateway
        gateway: String,
    },
    /// Make a gateway's record at the plane, and a code to pair it with
    Invite {
        /// Its name
        name: String,
    },
    /// Take a gateway's pairing back; prints a new code
    Reset {
        /// The gateway
        gateway: String,
    },
    /// Delete a gateway's record at the plane
    Delete {
        /// The gateway
        gateway: String,
    },
}

/// Runs a command on a plane's gateways.
///
/// # Errors
/// [`CliError`], which says what to do next.
pub async fn run(
    session: &mut Session<'_>,
    global: &Global,
    command: GatewayCommand,
) -> Result<(), CliError> {
    let client = client(session, global)?;
    match command {
        GatewayCommand::List => {
            let all = all(&client).await?;
            session.show(global.output, &all, || {
                let row = |one: &v1::Overlord| {
                    [
                        one.metadata.name.clone(),
                        one.status.state.clone(),
                        one.status.health.agent_version.clone(),
                        sentence(one),
                        one.metadata.uid.clone(),
                    ]
                };
                let none = "The plane has no gateways; bessemer gateway invite NAME makes one.";
                table(["name", "state", "version", "", "uid"], all.iter().map(row).collect(), none)
            })
        }
        GatewayCommand::Show { gateway } => {
            let uid = find(&client, &gateway).await?;
            let one: v1::Overlord = client.get(&format!("/v1/overlords/{uid}")).await?;
            session.show(global.output, &one, || {
                fields(&[
                    ("name", one.metadata.name.clone()),
                    ("uid", one.metadata.uid.clone()),
                    ("state", one.status.state.clone()),
                    ("version", one.status.health.agent_version.clone()),
                    ("address", one.spec.ip_address.clone()),
                    ("", sentence(&one)),
                ])
            })
        }
        GatewayCommand::Invite { name } => {
            let mut query = form(&name);
            query.insert_str(0, "/v1/overlords/pairing/code?cloudType=maas&name=");
            let code: v1::PairingCode = client.within(None).get(&query).await?;
            told(session, global, &name, &code.pairing_code)
        }
        GatewayCommand::Reset { gateway } => {
            let path = format!("/v1/overlords/{}/reset", find(&client, &gateway).await?);
            let code: v1::Message = client.within(None).send(Method::PUT, &path, None::<&()>).await?;
            told(session, global, &gateway, &code.msg)
        }
        GatewayCommand::Delete { gateway } => {
            let path = format!("/v1/overlords/{}", find(&client, &gateway).await?);
            let done: v1::Message = client.within(None).send(Method::DELETE, &path, None::<&()>).await?;
            session.remark(&done.msg)
        }
    }
}

/// The code on the standard output, alone; what to do with it beside it.
fn told(session: &mut Session<'_>, global: &Global, name: &str, code: &str) -> Result<(), CliError> {
    session.remark(&format!(
        "at the site of {name}, within an hour: bessemer gateway pair --config gateway.toml, with this code:"
    ))?;
    let object = serde_json::json!({"name": name, "pairingCode": code});
    session.show(global.output, &object, || code.to_owned())
}

async fn all(client: &Client) -> Result<Vec<v1::Overlord>, CliError> {
    let list: v1::List<v1::Overlord> = client.get("/v1/overlords?limit=0").await?;
    Ok(list.items)
}

/// The id of a gateway.
pub async fn find(client: &Client, wanted: &str) -> Result<String, CliError> {
    let all = all(client).await?;
    uid_of("gateway", wanted, all.iter().map(|one| &one.metadata))
}

fn sentence(one: &v1::Overlord) -> String {
    one.status.health.conditions.first().map(|condition| condition.message.clone()).unwrap_or_default()
}

/// A name in a query.
fn form(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    name.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
