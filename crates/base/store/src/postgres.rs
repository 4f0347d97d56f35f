//! PostgreSQL: several processes, one order.
//!
//! One task owns one connection. A group of batches is one transaction under an advisory lock, which PostgreSQL lets
//! go of only after the commit is visible: so revisions become visible in order. Other processes hear of it by
//! NOTIFY, and poll in case that was lost; each then reads the log from where its view is.

mod link;
mod sql;
mod tls;

use std::{path::Path, sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, mpsc},
    time::timeout,
};
use tokio_postgres::Config;

use crate::{
    Batch, CommitError,
    log::KEPT,
    request::{Group, QUEUE, Request},
    shared::{News, Shared},
};

use link::Link;
use sql::Failure;
use tls::Tls;

/// How often to look for batches of others without having been told of any, and to try a lost connection again.
const POLL: Duration = Duration::from_secs(1);

/// Connects, makes the tables where they are missing, reads everything and starts the task.
pub(crate) async fn start(
    url: &str,
    ca: Option<&Path>,
) -> Result<(Arc<Shared>, mpsc::Sender<Request>), CommitError> {
    let config = link::config(url)?;
    let tls = Tls::new(ca).map_err(CommitError::Backend)?;
    let woken = Arc::new(Notify::new());
    let mut link = Link::connect(&config, &tls, &woken).await?;
    let opened = async {
        sql::prepare(&mut link.client).await?;
        sql::load(&mut link.client).await
    };
    let view =
        opened.await.map_err(|failure| CommitError::Backend(format!("cannot open PostgreSQL: {failure}")))?;
    let shared = Arc::new(Shared::new(view));
    let (requests, receiver) = mpsc::channel(QUEUE);
    let owner = Owner { config, tls, woken, link: Some(link), shared: Arc::clone(&shared), keep: KEPT };
    tokio::spawn(owner.run(receiver));
    Ok((shared, requests))
}

struct Owner {
    config: Config,
    tls: Tls,
    woken: Arc<Notify>,
    /// `None` while the connection is lost.
    link: Option<Link>,
    shared: Arc<Shared>,
    /// How many batches the log keeps.
    keep: u64,
}

impl Owner {
    async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut closers = Vec::new();
        loop {
            let woken = Arc::clone(&self.woken);
            tokio::select! {
                request = requests.recv() => match request {
                    Some(first) => {
                        let mut group = Group::gather(first, &mut requests);
                        closers.append(&mut group.closers);
                        self.serve(group).await;
                    }
                    None => break,
                },
                // Either way it is time to look.
                _ = timeout(POLL, woken.notified()) => {
                    let _ = self.follow().await;
                }
            }
        }
        self.link = None;
        drop(self);
        for closer in closers {
            closer.send(()).unwrap_or_default();
        }
    }

    async fn serve(&mut self, group: Group) {
        let (batches, replies): (Vec<_>, Vec<_>) = group.commits.into_iter().unzip();
        for (reply, outcome) in replies.into_iter().zip(self.commit(&batches).await) {
            // Who no longer waits need not know.
            let _ = reply.send(outcome);
        }
        for (batches, reply) in group.keeps {
            self.keep = batches;
            let trimmed = match self.link().await {
                Ok(link) => sql::trim(&mut link.client, batches).await.map_err(CommitError::from),
                Err(error) => Err(error),
            };
            let _ = reply.send(trimmed);
        }
        for (range, reply) in group.reads {
            let read = match self.link().await {
                Ok(link) => sql::read_log(&link.client, range).await.map_err(CommitError::from),
                Err(error) => Err(error),
            };
            let _ = reply.send(read);
        }
        if !group.catch_ups.is_empty() {
            let done = self.follow().await;
            for reply in group.catch_ups {
                let told = match &done {
                    Ok(()) => Ok(()),
                    Err(failure) => Err(CommitError::Backend(failure.to_string())),
                };
                let _ = reply.send(told);
            }
        }
    }

    /// Commits batches together; if one cannot be written, each alone, so that it fails alone.
    async fn commit(&mut self, batches: &[Batch]) -> Vec<Result<u64, CommitError>> {
        let mut outcomes = Vec::new();
        match self.commit_together(batches).await {
            Ok(together) => outcomes = together,
            Err(Failure::Refused(_)) if batches.len() > 1 => {
                for batch in batches {
                    let alone = self.commit_together(std::slice::from_ref(batch)).await;
                    outcomes.append(&mut alone.unwrap_or_else(|failure| vec![Err(failure.into())]));
                }
            }
            // Never again by ourselves: after a lost commit nobody knows whether it was written.
            Err(failure) => {
                let reason = failure.to_string();
                outcomes.extend(batches.iter().map(|_| Err(CommitError::Backend(reason.clone()))));
            }
        }
        outcomes
    }

    async fn commit_together(&mut self, batches: &[Batch]) -> Result<Vec<Result<u64, CommitError>>, Failure> {
        if batches.is_empty() {
            return Ok(Vec::new());
        }
        let keep = self.keep;
        let link = self.link().await.map_err(|error| Failure::Lost(error.to_string()))?;
        let judged = sql::commit(&mut link.client, batches, keep).await?;
        let mut news = News::default();
        let outcomes: Vec<_> =
            judged.into_iter().map(|judged| judged.map(|decided| news.add(decided))).collect();
        let first = outcomes.iter().flatten().next().copied();
        if first == Some(self.shared.view().revision + 1) {
            self.shared.publish(news);
        } else if first.is_some() {
            // Others wrote in between: theirs and ours in order, from the log.
            let _ = self.follow().await;
        }
        Ok(outcomes)
    }

    /// Brings the view up to the database. On failure it stays where it is until the next time.
    async fn follow(&mut self) -> Result<(), Failure> {
        let revision = self.shared.view().revision;
        let link = self.link().await.map_err(|error| Failure::Lost(error.to_string()))?;
        let news = match sql::news(&mut link.client, revision).await {
            Err(Failure::Compacted) => {
                tracing::warn!(
                    revision,
                    "the log no longer has what others wrote since; reading everything anew"
                );
                let view = sql::load(&mut link.client).await.inspect_err(
                    |error| tracing::warn!(%error, "could not read everything anew; trying again"),
                )?;
                self.shared.replace(view);
                return Ok(());
            }
            other => other.inspect_err(
                |error| tracing::warn!(%error, revision, "could not read what others wrote; trying again"),
            )?,
        };
        if !news.batches.is_empty() {
            self.shared.publish(news);
        }
        Ok(())
    }

    /// The connection, made anew where it was lost.
    async fn link(&mut self) -> Result<&mut Link, CommitError> {
        if self.link.as_ref().is_some_and(|link| link.client.is_closed()) {
            tracing::warn!("the connection to PostgreSQL was lost; connecting again");
            self.link = None;
        }
        let link = match self.link.take() {
            Some(link) => link,
            None => Link::connect(&self.config, &self.tls, &self.woken).await?,
        };
        Ok(self.link.insert(link))
    }
}

impl Drop for Owner {
    /// Tells the readers at the end, also by panic or with the runtime.
    fn drop(&mut self) {
        self.shared.close();
    }
}
