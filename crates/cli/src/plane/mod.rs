//! Commands on a plane.

mod account;
mod cluster;
mod events;
mod gateway;
mod kubectl;
mod profile;
mod project;
mod why;

use std::path::{Path, PathBuf};

use plane_client::{Auth, Client, Options, v1};
use secrets::Secret;
use serde::de::DeserializeOwned;

use crate::{
    CliError, Global, Session,
    context::{self, Config, Plane},
};

pub use account::{AccountCommand, run as account};
pub use cluster::{ClusterCommand, run as cluster};
pub use events::run as events;
pub use gateway::{GatewayCommand, run as gateway};
pub use kubectl::run as kubectl;
pub use profile::{ProfileCommand, run as profile};
pub use project::{ProjectCommand, run as project};
pub use why::run as why;

/// A client of the plane that the arguments, the environment or the current context name.
fn client(session: &Session<'_>, global: &Global) -> Result<Client, CliError> {
    let plane = context::choose_plane(&session.home, global)?;
    let ca = match &plane.ca {
        Some(path) => Some(std::fs::read(path).map_err(CliError::file(path))?),
        None => None,
    };
    Ok(Client::new(&plane.url, &Auth::ApiKey(plane.key), &Options { ca, project: plane.project })?)
}

/// Tries a key, and remembers the plane.
pub async fn login(
    session: &mut Session<'_>,
    global: &Global,
    name: &str,
    url: &str,
    key: Secret,
    ca: Option<PathBuf>,
    pem: Option<Vec<u8>>,
) -> Result<(), CliError> {
    let client = Client::new(url, &Auth::ApiKey(key.clone()), &Options { ca: pem, project: None })?;
    let info: v1::UserInfo = client.get("/v1/users/info").await?;
    let url = url.trim_end_matches('/').to_owned();
    let plane = Plane { url: url.clone(), key, ca, project: global.project.clone() };
    Config::load(&session.home)?.add_plane(&session.home, name, &plane)?;
    let said = format!("logged in to {url} of {}; '{name}' is the current context", info.org_name);
    let object = serde_json::json!({"context": name, "url": url, "organization": info.org_name, "user": info.user_uid});
    session.show(global.output, &object, || said)
}

/// The id of what has this name, or this id.
fn uid_of<'m>(
    kind: &'static str,
    wanted: &str,
    mut all: impl Iterator<Item = &'m v1::Meta>,
) -> Result<String, CliError> {
    let found = all.find(|meta| meta.name == wanted || meta.uid == wanted);
    found.map(|meta| meta.uid.clone()).ok_or_else(|| CliError::Unknown { kind, name: wanted.to_owned() })
}

/// A document of a file, YAML or JSON; `-` is the standard input.
fn document<T: DeserializeOwned>(session: &mut Session<'_>, path: &Path) -> Result<T, CliError> {
    let mut text = String::new();
    if path == Path::new("-") {
        session.input.read_to_string(&mut text).map_err(CliError::file("standard input"))?;
    } else {
        text = std::fs::read_to_string(path).map_err(CliError::file(path))?;
    }
    serde_yaml_ng::from_str(&text)
        .map_err(|error| CliError::Document { path: path.to_owned(), reason: error.to_string() })
}
