//! What a machine wrote on its serial console, and writes.

use std::{io::Write, time::Duration};

use maas_client::{Client, Machine};

use crate::{CliError, Session, text::unsteered};

/// Writes the lines that there are; with `follow`, also those that come, until somebody stops it.
pub(super) async fn show(
    session: &mut Session<'_>,
    client: &Client,
    machine: &Machine,
    follow: bool,
) -> Result<(), CliError> {
    let reader = Reader { client, machine, out: session.out, next: 0 };
    let interrupt = session.interrupt.clone();
    tokio::select! {
        done = reader.run(follow.then_some(session.pause)) => done,
        () = interrupt.wait() => Ok(()),
    }
}

struct Reader<'a> {
    client: &'a Client,
    machine: &'a Machine,
    out: &'a mut (dyn Write + Send),
    /// Number of the next line.
    next: usize,
}

impl Reader<'_> {
    async fn run(mut self, pause: Option<Duration>) -> Result<(), CliError> {
        // What is written meanwhile is left to those who follow.
        let mut end = None;
        loop {
            let caught_up = match self.read().await {
                Ok(total) => self.next >= *end.get_or_insert(total),
                // A region or a BMC that does not answer is asked on by those who follow.
                Err(CliError::Machine { source, .. }) if pause.is_some() && source.is_temporary() => true,
                Err(error) => return Err(error),
            };
            match pause {
                None if caught_up => return Ok(()),
                Some(pause) if caught_up => {
                    tokio::time::sleep(pause).await;
                    end = None;
                }
                _ => {}
            }
        }
    }

    /// Writes the next lines; answers how many there are.
    async fn read(&mut self) -> Result<usize, CliError> {
        let name = &self.machine.hostname;
        let found = self.client.console(&self.machine.system_id, self.next).await;
        let found = found.map_err(CliError::about(name))?;
        let Some(found) = found else { return Err(CliError::NoConsole { machine: name.clone() }) };
        if found.total < self.next {
            // The BMC began its log anew.
            self.next = 0;
            return Ok(found.total);
        }
        for line in &found.lines {
            writeln!(self.out, "{}", unsteered(line))?;
        }
        self.out.flush()?;
        self.next = found.first + found.lines.len();
        // Without lines there is nothing to wait for, whatever the total says.
        Ok(if found.lines.is_empty() { self.next } else { found.total })
    }
}
