//! Projects.

use clap::Subcommand;
use plane_client::{Method, v1};

use super::{client, uid_of};
use crate::{
    CliError, Global, Session,
    context::{Config, Context},
    text::table,
};

/// Commands on projects. PROJECT is a name or an id.
#[derive(Debug, Subcommand)]
pub enum ProjectCommand {
    /// Show those that you may see
    List,
    /// Make one
    Create {
        /// Its name
        name: String,
        /// For people
        #[arg(long, default_value = "")]
        description: String,
    },
    /// Let later commands be about this one
    Use {
        /// The project; `-` for the tenant itself
        project: String,
    },
    /// Delete one with nothing in it
    Delete {
        /// The project
        project: String,
    },
}

/// Runs a command on projects.
pub async fn run(
    session: &mut Session<'_>,
    global: &Global,
    command: ProjectCommand,
) -> Result<(), CliError> {
    let client = client(session, global)?.within(None);
    match command {
        ProjectCommand::List => {
            let all: v1::ScopedNames = client.get(NAMES).await?;
            let row = |one: &v1::ScopedName| [one.metadata.name.clone(), one.metadata.uid.clone()];
            session.show(global.output, &all.items, || {
                table(["name", "uid"], all.items.iter().map(row).collect(), "You may see no project.")
            })
        }
        ProjectCommand::Create { name, description } => {
            let annotations =
                (!description.is_empty()).then(|| [("description".to_owned(), description)].into());
            let metadata = v1::Meta { name: name.clone(), annotations, ..v1::Meta::default() };
            let body = v1::Project { metadata, spec: v1::ProjectSpec::default() };
            let uid = client.create("/v1/projects", &body).await?;
            let object = serde_json::json!({"name": name, "uid": uid});
            session.show(global.output, &object, || format!("made project {name} ({uid})"))
        }
        ProjectCommand::Use { project } => {
            let all: v1::ScopedNames = client.get(NAMES).await?;
            let chosen = match project.as_str() {
                "-" => None,
                name => Some(uid_of("project", name, all.items.iter().map(|one| &one.metadata))?),
            };
            let mut config = Config::load(&session.home)?;
            let name = global.context.clone().or_else(|| config.current.clone()).ok_or(CliError::NoRegion)?;
            if let Some(Context::Plane { project, .. }) = config.contexts.get_mut(&name) {
                project.clone_from(&chosen);
            }
            config.save(&session.home)?;
            session.remark(&match chosen {
                Some(_) => format!("commands are about project {project} from now on"),
                None => "commands are about the tenant itself from now on".to_owned(),
            })
        }
        ProjectCommand::Delete { project } => {
            let all: v1::ScopedNames = client.get(NAMES).await?;
            let uid = uid_of("project", &project, all.items.iter().map(|one| &one.metadata))?;
            client.call(Method::DELETE, &format!("/v1/projects/{uid}"), None::<&()>).await?;
            session.remark(&format!("deleted project {project}"))
        }
    }
}

const NAMES: &str = "/v1/dashboard/projects/metadata";
