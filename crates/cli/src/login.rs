//! Logging in, and the remembered regions and planes.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use maas_client::{Client, Options};
use secrets::Secret;
use serde::Serialize;

use crate::{
    CliError, Global, Session,
    context::{self, Config, Context, Region},
    text::table,
};

/// Arguments of `login`.
#[derive(Debug, Args)]
pub struct Login {
    /// Name to remember it by
    name: String,
    /// Address: a region's, such as <http://10.20.0.1:5240/MAAS>, or a plane's, such as <https://plane.example.com>
    #[arg(value_name = "URL")]
    address: String,
    /// API key, a region's being consumer:token:secret; `-` reads it from the standard input
    #[arg(value_name = "KEY", required_unless_present = "key_file")]
    key: Option<Secret>,
    /// Read the API key from this file
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    key_file: Option<PathBuf>,
}

/// Commands on remembered regions and planes.
#[derive(Debug, Subcommand)]
pub enum ContextCommand {
    /// Show them
    List,
    /// Use this one from now on
    Use {
        /// Its name
        name: String,
    },
    /// Forget this one and its key
    Remove {
        /// Its name
        name: String,
    },
}

pub(crate) async fn login(session: &mut Session<'_>, global: &Global, login: Login) -> Result<(), CliError> {
    context::check(&login.name)?;
    let ca = match &global.ca {
        Some(path) => Some(std::path::absolute(path).map_err(CliError::file(path))?),
        None => None,
    };
    let pem = match &ca {
        Some(path) => Some(std::fs::read(path).map_err(CliError::file(path))?),
        None => None,
    };
    let key = read_key(session, &login)?;
    // A plane's keys have one part, a MAAS's three; and no MAAS is without its path.
    if !key.expose().contains(':') {
        return crate::plane::login(session, global, &login.name, &login.address, key, ca, pem).await;
    }
    let key: secrets::ApiKey = key.expose().parse()?;
    let client = Client::new(&login.address, key.clone(), &Options { ca: pem, ..Options::default() })?;
    let user = client.whoami().await?;
    let version = client.version().await?;
    let region = Region { url: client.url().to_owned(), key, ca };
    Config::load(&session.home)?.add(&session.home, &login.name, &region)?;
    let (name, url) = (&login.name, &region.url);
    let said = format!("logged in to {url} as {}; '{name}' is the current context", user.username);
    let object =
        serde_json::json!({"context": name, "url": url, "user": user.username, "version": version.version});
    session.show(global.output, &object, || said)
}

fn read_key(session: &mut Session<'_>, login: &Login) -> Result<Secret, CliError> {
    let mut text = String::new();
    match (&login.key_file, &login.key) {
        (Some(path), _) => text = std::fs::read_to_string(path).map_err(CliError::file(path))?,
        (None, Some(key)) if key.expose() != "-" => return Ok(key.clone()),
        (None, _) => {
            session.input.read_to_string(&mut text).map_err(CliError::file("standard input"))?;
        }
    }
    Ok(Secret::from(text.trim()))
}

/// A remembered region or plane, as it is shown.
#[derive(Debug, Serialize)]
struct Shown {
    name: String,
    current: bool,
    kind: &'static str,
    url: String,
}

pub(crate) fn context(
    session: &mut Session<'_>,
    global: &Global,
    command: ContextCommand,
) -> Result<(), CliError> {
    let mut config = Config::load(&session.home)?;
    match command {
        ContextCommand::List => {
            let shown: Vec<Shown> = config
                .contexts
                .into_iter()
                .map(|(name, context)| Shown {
                    current: config.current.as_deref() == Some(&name),
                    name,
                    kind: if matches!(context, Context::Region { .. }) { "region" } else { "plane" },
                    url: context.url().to_owned(),
                })
                .collect();
            session.show(global.output, &shown, || contexts(&shown))
        }
        ContextCommand::Use { name } => {
            config.get(&name)?;
            config.current = Some(name.clone());
            config.save(&session.home)?;
            session.remark(&format!("'{name}' is the current context"))
        }
        ContextCommand::Remove { name } => {
            config.remove(&session.home, &name)?;
            session.remark(&format!("forgot '{name}' and its key"))
        }
    }
}

fn contexts(shown: &[Shown]) -> String {
    let mark = |shown: &Shown| if shown.current { "*".to_owned() } else { " ".to_owned() };
    let rows = shown.iter().map(|one| [one.name.clone(), mark(one), one.kind.to_owned(), one.url.clone()]);
    let none = "No region or plane is remembered; bessemer login NAME URL KEY adds one.";
    table(["name", "current", "kind", "url"], rows.collect(), none)
}
