//! Cloud accounts.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use plane_client::{Client, Method, v1};
use secrets::Secret;
use serde_json::Value;

use super::{client, gateway, uid_of};
use crate::{
    CliError, Global, Session,
    text::{fields, table},
};

/// Commands on cloud accounts. ACCOUNT is a name or an id.
#[derive(Debug, Subcommand)]
pub enum AccountCommand {
    /// Show them
    List,
    /// Show one
    Show {
        /// The account
        account: String,
    },
    /// Make one: its gateway tries it first
    Create(Create),
    /// Show what is in an account's MAAS now
    Find {
        /// The account
        account: String,
        /// What to look for
        what: What,
    },
    /// Delete one
    Delete {
        /// The account
        account: String,
    },
}

/// Arguments of `create`.
#[derive(Debug, Args)]
pub struct Create {
    /// Its name
    name: String,
    /// The gateway that reaches the MAAS, by name or id
    #[arg(long)]
    gateway: String,
    /// Address of the MAAS, such as <http://10.20.0.1:5240/MAAS>
    #[arg(long, value_name = "URL")]
    endpoint: String,
    /// File of the MAAS's API key; without it, it is read from the standard input
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// A subnet to take first; may be repeated
    #[arg(long)]
    subnet: Vec<String>,
}

/// What can be looked for in a MAAS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// Availability zones
    Zones,
    /// Resource pools
    Pools,
    /// DNS domains
    Domains,
    /// Subnets
    Subnets,
    /// Tags
    Tags,
    /// Images that machines can be deployed with
    Images,
    /// Machines, and which of them are free
    Machines,
}

impl What {
    /// Its property at the plane, and the key of the list.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Zones => ("azs", "zones"),
            Self::Pools => ("resourcePools", "pools"),
            Self::Domains => ("domains", "domains"),
            Self::Subnets => ("subnets", "subnets"),
            Self::Tags => ("tags", "tags"),
            Self::Images => ("images", "images"),
            Self::Machines => ("machines", "machines"),
        }
    }

    /// What was found, as rows.
    fn shown(self, found: &[Value]) -> String {
        const NONE: &str = "The MAAS has none.";
        let text = |one: &Value, key: &str| match one.get(key) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        match self {
            Self::Images => {
                let rows = found.iter().map(|one| [one.as_str().unwrap_or_default().to_owned()]);
                table(["name"], rows.collect(), NONE)
            }
            Self::Machines => {
                let row = |one: &Value| {
                    let free = if one.get("free") == Some(&Value::Bool(true)) { "free" } else { "" };
                    [
                        text(one, "hostname"),
                        text(one, "status"),
                        free.to_owned(),
                        text(one, "power"),
                        text(one, "zone"),
                        text(one, "pool"),
                        text(one, "cpus"),
                        text(one, "memoryMiB"),
                    ]
                };
                let headers = ["machine", "status", "", "power", "zone", "pool", "cores", "MiB"];
                table(headers, found.iter().map(row).collect(), NONE)
            }
            Self::Zones | Self::Pools | Self::Domains | Self::Subnets | Self::Tags => {
                let about = if self == Self::Tags { "comment" } else { "description" };
                let rows = found.iter().map(|one| [text(one, "name"), text(one, about)]).collect();
                table(["name", ""], rows, NONE)
            }
        }
    }
}

/// Runs a command on cloud accounts.
pub async fn run(
    session: &mut Session<'_>,
    global: &Global,
    command: AccountCommand,
) -> Result<(), CliError> {
    let client = client(session, global)?;
    match command {
        AccountCommand::List => {
            let all = all(&client).await?;
            session.show(global.output, &all, || {
                let row = |one: &v1::MaasAccount| {
                    [
                        one.metadata.name.clone(),
                        one.spec.api_endpoint.clone(),
                        scope(one),
                        one.metadata.uid.clone(),
                    ]
                };
                let none = "There are no cloud accounts; bessemer account create makes one.";
                table(["name", "endpoint", "scope", "uid"], all.iter().map(row).collect(), none)
            })
        }
        AccountCommand::Show { account } => {
            let one: v1::MaasAccount = client.get(&path(&client, &account).await?).await?;
            session.show(global.output, &one, || {
                let subnets = one.spec.preferred_subnets.clone().unwrap_or_default().join(", ");
                fields(&[
                    ("name", one.metadata.name.clone()),
                    ("uid", one.metadata.uid.clone()),
                    ("endpoint", one.spec.api_endpoint.clone()),
                    ("gateway", annotation(&one, "overlordUid")),
                    ("scope", scope(&one)),
                    ("subnets", subnets),
                ])
            })
        }
        AccountCommand::Create(create) => {
            let mut key = String::new();
            match &create.key_file {
                Some(path) => key = std::fs::read_to_string(path).map_err(CliError::file(path))?,
                None => {
                    session.input.read_to_string(&mut key).map_err(CliError::file("standard input"))?;
                }
            }
            let overlord = gateway::find(&client, &create.gateway).await?;
            let annotations = Some([("overlordUid".to_owned(), overlord)].into());
            let account = v1::MaasAccount {
                metadata: v1::Meta { name: create.name.clone(), annotations, ..v1::Meta::default() },
                spec: v1::MaasAccountSpec {
                    api_endpoint: create.endpoint,
                    api_key: Secret::from(key.trim()),
                    preferred_subnets: Some(create.subnet).filter(|all| !all.is_empty()),
                    extra: v1::Extra::new(),
                },
            };
            let uid = client.create("/v1/cloudaccounts/maas", &account).await?;
            let object = serde_json::json!({"name": create.name, "uid": uid});
            session.show(global.output, &object, || format!("made cloud account {} ({uid})", create.name))
        }
        AccountCommand::Find { account, what } => {
            let (property, key) = what.names();
            let path = format!("{}/properties/{property}", path(&client, &account).await?);
            let found: Value = client.get(&path).await?;
            let found = found.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
            session.show(global.output, &found, || what.shown(&found))
        }
        AccountCommand::Delete { account } => {
            client.call(Method::DELETE, &path(&client, &account).await?, None::<&()>).await?;
            session.remark(&format!("deleted cloud account {account}"))
        }
    }
}

async fn all(client: &Client) -> Result<Vec<v1::MaasAccount>, CliError> {
    let list: v1::List<v1::MaasAccount> = client.get("/v1/cloudaccounts/maas?limit=0").await?;
    Ok(list.items)
}

async fn path(client: &Client, wanted: &str) -> Result<String, CliError> {
    let all = all(client).await?;
    let uid = uid_of("account", wanted, all.iter().map(|one| &one.metadata))?;
    Ok(format!("/v1/cloudaccounts/maas/{uid}"))
}

fn annotation(one: &v1::MaasAccount, name: &str) -> String {
    one.metadata.annotations.as_ref().and_then(|all| all.get(name).cloned()).unwrap_or_default()
}

fn scope(one: &v1::MaasAccount) -> String {
    annotation(one, "scope")
}
