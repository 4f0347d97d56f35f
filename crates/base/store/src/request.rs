//! What the handles ask of the one task or thread that owns the database.

use tokio::sync::{mpsc, oneshot};

use crate::{Audit, Batch, CommitError, log::Range};

/// How many requests may wait before callers do.
pub(crate) const QUEUE: usize = 1024;

/// How many batches share a transaction at most.
const GROUP: usize = 256;

pub(crate) type Reply<T> = oneshot::Sender<Result<T, CommitError>>;

#[derive(Debug)]
pub(crate) enum Request {
    /// Write; answered with the revision once durable.
    Commit { batch: Batch, reply: Reply<u64> },
    /// Keep so many batches of the log from now on.
    Keep { batches: u64, reply: Reply<()> },
    /// Read the log.
    Log { range: Range, reply: Reply<Vec<Audit>> },
    /// Bring the view up to all that was written when it was asked for.
    CatchUp { reply: Reply<()> },
    /// Finish what was asked before, close the database, then answer.
    Close { reply: oneshot::Sender<()> },
}

/// Requests taken together, by what is to be done with them.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) commits: Vec<(Batch, Reply<u64>)>,
    pub(crate) keeps: Vec<(u64, Reply<()>)>,
    pub(crate) reads: Vec<(Range, Reply<Vec<Audit>>)>,
    pub(crate) catch_ups: Vec<Reply<()>>,
    pub(crate) closers: Vec<oneshot::Sender<()>>,
}

impl Group {
    /// Takes `first` and what else waits already.
    pub(crate) fn gather(first: Request, requests: &mut mpsc::Receiver<Request>) -> Self {
        let mut group = Self::default();
        let mut next = Some(first);
        while let Some(request) = next {
            match request {
                Request::Commit { batch, reply } => group.commits.push((batch, reply)),
                Request::Keep { batches, reply } => group.keeps.push((batches, reply)),
                Request::Log { range, reply } => group.reads.push((range, reply)),
                Request::CatchUp { reply } => group.catch_ups.push(reply),
                Request::Close { reply } => {
                    requests.close();
                    group.closers.push(reply);
                }
            }
            next = if group.commits.len() < GROUP { requests.try_recv().ok() } else { None };
        }
        group
    }
}

/// Sends a request and waits for its answer.
pub(crate) async fn ask<T>(
    requests: &mpsc::Sender<Request>,
    request: impl FnOnce(Reply<T>) -> Request,
) -> Result<T, CommitError> {
    let (reply, answer) = oneshot::channel();
    let closed = || CommitError::Backend("it is closed".to_owned());
    requests.send(request(reply)).await.map_err(|_| closed())?;
    answer.await.map_err(|_| closed())?
}
