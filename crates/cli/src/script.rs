//! Scripts that machines run while they are commissioned and tested.

use std::path::PathBuf;

use clap::Subcommand;
use maas_client::Script;

use crate::{CliError, Global, Session, text::table};

/// Commands on scripts.
#[derive(Debug, Subcommand)]
pub enum ScriptCommand {
    /// Keep a script, which says in its comment what it is
    Add {
        /// The script, with MAAS's metadata in a comment
        file: PathBuf,
    },
    /// Show scripts
    List,
    /// Forget a script
    Delete {
        /// Its name
        name: String,
    },
}

pub(crate) async fn run(
    session: &mut Session<'_>,
    global: &Global,
    command: ScriptCommand,
) -> Result<(), CliError> {
    let client = session.client(global)?;
    match command {
        ScriptCommand::Add { file } => {
            let text = std::fs::read_to_string(&file).map_err(CliError::file(&file))?;
            let script = client.create_script(&text).await?;
            let said = format!("{} is kept, a {}", script.name, script.type_name.to_lowercase());
            session.show(global.output, &script, || said)
        }
        ScriptCommand::List => {
            let scripts = client.scripts().await?;
            session.show(global.output, &scripts, || list(&scripts))
        }
        ScriptCommand::Delete { name } => {
            client.delete_script(&name).await?;
            session.remark(&format!("{name} is forgotten"))
        }
    }
}

fn list(scripts: &[Script]) -> String {
    let rows = scripts.iter().map(|script| {
        [
            script.name.clone(),
            script.type_name.trim_end_matches(" script").to_owned(),
            script.hardware_type_name.clone(),
            script.tags.join(", "),
            if script.default { "built in" } else { "yours" }.to_owned(),
            script.title.clone(),
        ]
    });
    table(
        ["name", "kind", "hardware", "tags", "whose", "what it does"],
        rows.collect(),
        "There are no scripts.",
    )
}
