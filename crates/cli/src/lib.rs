//! What people type: commands, tables, waits and progress; on client crates only.
//!
//! The binary flattens [`Global`] and [`Command`] into its own arguments and hands them to [`run`]; a program or a
//! test that wants to see what is printed gives [`execute`] a [`Session`] of its own. Results go to the standard
//! output, in the form of `-o`; progress and remarks go to the standard error output. Every error says what to do
//! next.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

mod args;
mod context;
mod error;
mod image;
mod login;
mod machine;
mod plane;
mod progress;
mod script;
mod session;
mod ssh_key;
pub mod text;
mod wait;
mod why;

use std::process::ExitCode;

pub use args::{Cli, Command, Format, Global};
pub use error::CliError;
pub use image::ImageCommand;
pub use login::{ContextCommand, Login};
pub use machine::{EraseArg, MachineCommand, PowerCommand};
pub use plane::{AccountCommand, ClusterCommand, GatewayCommand, ProfileCommand, ProjectCommand};
pub use script::ScriptCommand;
pub use session::{Interrupt, Screen, Session};
pub use ssh_key::SshKeyCommand;

/// Runs a command with this process's terminal, environment and configuration.
pub async fn run(global: Global, command: Command) -> ExitCode {
    let (mut out, mut err, mut input) = (std::io::stdout(), std::io::stderr(), std::io::stdin());
    let mut session = Session::of_process(&mut out, &mut err, &mut input);
    let done = execute(&mut session, &global, command).await;
    session.finish(done)
}

/// Runs a command on a plane's gateways, as [`run`] does.
pub async fn run_gateway(global: Global, command: GatewayCommand) -> ExitCode {
    let (mut out, mut err, mut input) = (std::io::stdout(), std::io::stderr(), std::io::stdin());
    let mut session = Session::of_process(&mut out, &mut err, &mut input);
    let done = plane::gateway(&mut session, &global, command).await;
    session.finish(done)
}

/// Runs a command in a session; what it has to say is written there, but for the error.
///
/// # Errors
/// [`CliError`], which says what to do next.
pub async fn execute(session: &mut Session<'_>, global: &Global, command: Command) -> Result<(), CliError> {
    match command {
        Command::Login(login) => login::login(session, global, login).await,
        Command::Context(command) => login::context(session, global, command),
        Command::Machine(command) => machine::run(session, global, command).await,
        Command::Why { name } if context::is_plane(&session.home, global)? => {
            plane::why(session, global, &name).await
        }
        Command::Why { name } => why::run(session, global, &name).await,
        Command::Image(command) => image::run(session, global, command).await,
        Command::Project(command) => plane::project(session, global, command).await,
        Command::Account(command) => plane::account(session, global, command).await,
        Command::Cluster(command) => plane::cluster(session, global, command).await,
        Command::Kubectl { cluster, arguments } => {
            plane::kubectl(session, global, &cluster, &arguments).await
        }
        Command::Events { cluster, limit } => plane::events(session, global, cluster.as_deref(), limit).await,
        Command::Profile(command) => plane::profile(session, global, command).await,
        Command::Script(command) => script::run(session, global, command).await,
        Command::SshKey(command) => ssh_key::run(session, global, command).await,
    }
}
