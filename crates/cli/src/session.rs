//! Where a command writes, reads, and finds its configuration.

use std::{
    future::pending,
    io::{self, IsTerminal, Read, Write},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use jiff::tz::TimeZone;
use maas_client::{Client, Options};
use serde::Serialize;
use tokio::sync::Notify;

use crate::{CliError, Format, Global, context};

/// What a command has to do with the outside.
pub struct Session<'a> {
    /// Results.
    pub out: &'a mut (dyn Write + Send),
    /// Progress and remarks.
    pub err: &'a mut (dyn Write + Send),
    /// What a key is read from where it is given as `-`.
    pub input: &'a mut (dyn Read + Send),
    /// What `err` is.
    pub screen: Screen,
    /// Folder of the configuration.
    pub home: PathBuf,
    /// Times are shown in it.
    pub zone: TimeZone,
    /// Pause between two looks at what is waited for.
    pub pause: Duration,
    /// What stops waiting.
    pub interrupt: Interrupt,
}

/// What progress is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Screen {
    /// One line, updated in place.
    Terminal,
    /// One line for each change.
    Pipe,
}

/// What stops waiting.
#[derive(Debug, Clone)]
pub enum Interrupt {
    /// Ctrl-C.
    CtrlC,
    /// A notification.
    Notified(Arc<Notify>),
}

impl Interrupt {
    pub(crate) async fn wait(&self) {
        match self {
            Self::CtrlC => {
                if tokio::signal::ctrl_c().await.is_err() {
                    pending::<()>().await;
                }
            }
            Self::Notified(notify) => notify.notified().await,
        }
    }
}

impl<'a> Session<'a> {
    /// The session of a process with these streams.
    pub fn of_process(
        out: &'a mut (dyn Write + Send),
        err: &'a mut (dyn Write + Send),
        input: &'a mut (dyn Read + Send),
    ) -> Self {
        let screen = if io::stderr().is_terminal() { Screen::Terminal } else { Screen::Pipe };
        Self {
            out,
            err,
            input,
            screen,
            home: context::home(),
            zone: TimeZone::system(),
            pause: Duration::from_secs(1),
            interrupt: Interrupt::CtrlC,
        }
    }

    /// Writes the error and what to do next, if there is one, and names the exit code.
    pub fn finish(&mut self, done: Result<(), CliError>) -> ExitCode {
        match done {
            Ok(()) => ExitCode::SUCCESS,
            // `| head` has seen enough.
            Err(CliError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            // It has spoken for itself.
            Err(CliError::Kubectl(code)) => ExitCode::from(code),
            Err(error) => {
                let _unwritable = writeln!(self.err, "error: {error}\nnext:  {}", error.next());
                ExitCode::from(error.code())
            }
        }
    }

    /// A client of the region that the arguments, the environment or the current context name.
    pub(crate) fn client(&self, global: &Global) -> Result<Client, CliError> {
        let region = context::choose(&self.home, global)?;
        let ca = match &region.ca {
            Some(path) => Some(std::fs::read(path).map_err(CliError::file(path))?),
            None => None,
        };
        Ok(Client::new(&region.url, region.key, &Options { ca, ..Options::default() })?)
    }

    /// Shows an object: as it is, or as the text that `table` makes.
    pub fn show<T: Serialize>(
        &mut self,
        format: Format,
        object: &T,
        table: impl FnOnce() -> String,
    ) -> Result<(), CliError> {
        let text = match format {
            Format::Table => table(),
            Format::Json => {
                serde_json::to_string_pretty(object).map_err(|error| CliError::Form(error.to_string()))?
            }
            Format::Yaml => {
                serde_yaml_ng::to_string(object).map_err(|error| CliError::Form(error.to_string()))?
            }
        };
        writeln!(self.out, "{}", text.trim_end())?;
        Ok(self.out.flush()?)
    }

    /// Says something that is not a result.
    pub(crate) fn remark(&mut self, text: &str) -> Result<(), CliError> {
        Ok(writeln!(self.err, "{text}")?)
    }
}
