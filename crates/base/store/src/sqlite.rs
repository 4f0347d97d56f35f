//! SQLite: one thread owns the connection, and all batches that wait share a transaction and its one fsync.

use std::{
    fs::OpenOptions,
    io::ErrorKind,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use jiff::Timestamp;
use rusqlite::{
    Connection, ErrorCode, OptionalExtension, Result as SqlResult, Row as SqlRow, Transaction,
    TransactionBehavior, params, types::Type,
};
use tokio::sync::{mpsc, oneshot};

use crate::{
    Audit, Batch, CommitError,
    batch::Key,
    decide::{Decided, Known, Presence, Row, Written, decide, interests},
    log::{KEPT, Range, surplus},
    request::{Group, QUEUE, Request},
    shared::{News, Shared},
    view::{Entry, View},
};

/// Version of the tables; a file with a higher one was written by a newer build.
const FORMAT: i64 = 1;

/// A document whose body is NULL was deleted and keeps its version.
const TABLES: &str = "
    CREATE TABLE documents (
        scope TEXT NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL,
        version INTEGER NOT NULL, schema INTEGER NOT NULL, revision INTEGER NOT NULL, body TEXT,
        PRIMARY KEY (scope, kind, id)
    ) STRICT;
    CREATE TABLE claims (
        scope TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, owner TEXT NOT NULL,
        PRIMARY KEY (scope, namespace, name)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE log (
        revision INTEGER PRIMARY KEY, at TEXT NOT NULL,
        principal TEXT NOT NULL, action TEXT NOT NULL, touched TEXT NOT NULL
    ) STRICT;
";

/// How long to wait for another process, such as one that is just ending, to let go of the file.
const BUSY: Duration = Duration::from_secs(5);

/// Opens the file, or a database in memory, and starts its thread.
pub(crate) async fn start(
    path: Option<PathBuf>,
) -> Result<(Arc<Shared>, mpsc::Sender<Request>), CommitError> {
    let (requests, receiver) = mpsc::channel(QUEUE);
    let (opened, answer) = oneshot::channel();
    let run = move || match Sqlite::open(path.as_deref()) {
        Ok((database, view)) => {
            let shared = Arc::new(Shared::new(view));
            if opened.send(Ok(Arc::clone(&shared))).is_ok() {
                database.run(receiver, &shared);
            }
        }
        Err(error) => drop(opened.send(Err(error))),
    };
    thread::Builder::new()
        .name("store".to_owned())
        .spawn(run)
        .map_err(|error| CommitError::Backend(format!("no thread for SQLite: {error}")))?;
    let shared = answer.await.map_err(|_| CommitError::Backend("SQLite's thread ended".to_owned()))??;
    Ok((shared, requests))
}

struct Sqlite {
    connection: Connection,
    /// First revision in the log.
    first: u64,
    /// Last one.
    revision: u64,
    /// How many batches the log keeps.
    keep: u64,
}

impl Sqlite {
    fn open(path: Option<&Path>) -> Result<(Self, View), CommitError> {
        let named = path.map_or_else(|| "a database in memory".to_owned(), |path| path.display().to_string());
        let opened = || -> Result<(Self, View), OpenError> {
            let mut connection = match path {
                Some(path) => {
                    make_private(path)?;
                    Connection::open(path)?
                }
                None => Connection::open_in_memory()?,
            };
            connection.busy_timeout(BUSY)?;
            // Exclusive: the view is only right while nobody else writes; it also spares the shared-memory file.
            connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.set_prepared_statement_cache_capacity(32);
            prepare(&mut connection)?;
            let view = load(&connection)?;
            let first = connection.query_row("SELECT min(revision) FROM log", [], |row| number(row, 0))?;
            Ok((Self { connection, first, revision: view.revision, keep: KEPT }, view))
        };
        opened().map_err(|error| CommitError::Backend(format!("cannot open {named}: {error}")))
    }

    fn run(mut self, mut requests: mpsc::Receiver<Request>, shared: &Shared) {
        let closing = Closing(shared);
        let mut closers = Vec::new();
        while let Some(first) = requests.blocking_recv() {
            let group = Group::gather(first, &mut requests);
            closers.extend(group.closers);
            let (batches, replies): (Vec<_>, Vec<_>) = group.commits.into_iter().unzip();
            for (reply, outcome) in replies.into_iter().zip(self.commit(&batches, shared)) {
                // Who no longer waits need not know.
                let _ = reply.send(outcome);
            }
            for (batches, reply) in group.keeps {
                self.keep = batches;
                let _ = reply.send(self.trim().map_err(|error| failed(&error)));
            }
            for (range, reply) in group.reads {
                let _ = reply.send(read_log(&self.connection, range).map_err(|error| failed(&error)));
            }
            for reply in group.catch_ups {
                // Nobody else writes.
                let _ = reply.send(Ok(()));
            }
        }
        drop(self.connection);
        drop(closing);
        for closer in closers {
            closer.send(()).unwrap_or_default();
        }
    }

    /// Commits batches together; if that fails, each alone, so that one that cannot be written fails alone.
    fn commit(&mut self, batches: &[Batch], shared: &Shared) -> Vec<Result<u64, CommitError>> {
        match self.commit_together(batches, shared) {
            Ok(outcomes) => outcomes,
            Err(error) if batches.len() == 1 => vec![Err(failed(&error))],
            Err(_) => {
                batches.iter().flat_map(|batch| self.commit(std::slice::from_ref(batch), shared)).collect()
            }
        }
    }

    fn commit_together(
        &mut self,
        batches: &[Batch],
        shared: &Shared,
    ) -> SqlResult<Vec<Result<u64, CommitError>>> {
        if batches.is_empty() {
            return Ok(Vec::new());
        }
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let known = look_up(&transaction, batches)?;
        let judged = decide(batches, known, self.revision, Timestamp::now());
        for decided in judged.iter().flatten() {
            write(&transaction, decided)?;
        }
        let last = self.revision + judged.iter().flatten().count() as u64;
        let first = forget(&transaction, self.first, last, self.keep)?;
        transaction.commit()?;
        self.first = first;
        let mut news = News::default();
        let outcomes = judged.into_iter().map(|judged| judged.map(|decided| news.add(decided))).collect();
        self.revision = last;
        shared.publish(news);
        Ok(outcomes)
    }

    fn trim(&mut self) -> SqlResult<()> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let first = forget(&transaction, self.first, self.revision, self.keep)?;
        transaction.commit()?;
        self.first = first;
        Ok(())
    }
}

/// Tells the readers at the end, also by panic.
struct Closing<'a>(&'a Shared);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error("{0}; is its folder there and writable?")]
    File(#[from] std::io::Error),
    #[error("{}", explain(.0))]
    Sql(#[from] rusqlite::Error),
    #[error("its format is {0}, newer than {FORMAT} of this build; upgrade the build")]
    Newer(i64),
}

fn explain(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another process has it open; stop that first".to_owned()
        }
        Some(ErrorCode::DiskFull) => {
            "the disk that the database is on is full; free some space there".to_owned()
        }
        Some(ErrorCode::NotADatabase) => "the file is no SQLite database; give another path".to_owned(),
        _ => error.to_string(),
    }
}

fn failed(error: &rusqlite::Error) -> CommitError {
    CommitError::Backend(explain(error))
}

/// Makes the file ourselves where it is missing: documents hold secrets, and SQLite would let the group read them.
fn make_private(path: &Path) -> std::io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn prepare(connection: &mut Connection) -> Result<(), OpenError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let format: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    match format {
        0 => {
            transaction.execute_batch(TABLES)?;
            append(&transaction, &Audit::creation(Timestamp::now()))?;
            transaction.pragma_update(None, "user_version", FORMAT)?;
        }
        FORMAT => {}
        newer => return Err(OpenError::Newer(newer)),
    }
    Ok(transaction.commit()?)
}

fn load(connection: &Connection) -> SqlResult<View> {
    let revision = connection.query_row("SELECT max(revision) FROM log", [], |row| number(row, 0))?;
    let mut view = View { revision, ..View::default() };
    let mut documents = connection.prepare(
        "SELECT scope, kind, id, version, schema, revision, body FROM documents WHERE body IS NOT NULL",
    )?;
    let mut rows = documents.query([])?;
    while let Some(row) = rows.next()? {
        let body = row.get_ref(6)?.as_str()?.into();
        let written = Written {
            version: number(row, 3)?,
            schema: row.get(4)?,
            revision: number(row, 5)?,
            body: Some(body),
        };
        view.documents.set(key(row)?, Entry::of(written));
    }
    let mut claims = connection.prepare("SELECT scope, namespace, name, owner FROM claims")?;
    let mut rows = claims.query([])?;
    while let Some(row) = rows.next()? {
        view.claims.set(key(row)?, Some(row.get_ref(3)?.as_str()?.into()));
    }
    Ok(view)
}

fn look_up(transaction: &Transaction<'_>, batches: &[Batch]) -> SqlResult<Known> {
    let mut known = Known::default();
    let (documents, claims) = interests(batches);
    let mut find = transaction.prepare_cached(
        "SELECT version, body IS NULL FROM documents WHERE scope = ? AND kind = ? AND id = ?",
    )?;
    for key in documents {
        let found = find.query_row(params![key.scope, key.kind, key.id], |row| {
            let presence = if row.get(1)? { Presence::Deleted } else { Presence::Alive };
            Ok(Row { version: number(row, 0)?, presence })
        });
        known.documents.extend(found.optional()?.map(|row| (key.clone(), row)));
    }
    let mut find = transaction
        .prepare_cached("SELECT owner FROM claims WHERE scope = ? AND namespace = ? AND name = ?")?;
    for key in claims {
        let found =
            find.query_row(params![key.scope, key.kind, key.id], |row| Ok(row.get_ref(0)?.as_str()?.into()));
        known.claims.extend(found.optional()?.map(|owner| (key.clone(), owner)));
    }
    Ok(known)
}

fn write(transaction: &Transaction<'_>, decided: &Decided) -> SqlResult<()> {
    let mut put = transaction.prepare_cached(
        "INSERT OR REPLACE INTO documents (scope, kind, id, version, schema, revision, body)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )?;
    for (key, written) in &decided.documents {
        let Written { version, schema, revision, body } = written;
        put.execute(params![
            key.scope,
            key.kind,
            key.id,
            version.cast_signed(),
            schema,
            revision.cast_signed(),
            body
        ])?;
    }
    for (key, owner) in &decided.claims {
        match owner {
            Some(owner) => transaction
                .prepare_cached(
                    "INSERT OR REPLACE INTO claims (scope, namespace, name, owner) VALUES (?, ?, ?, ?)",
                )?
                .execute(params![key.scope, key.kind, key.id, owner])?,
            None => transaction
                .prepare_cached("DELETE FROM claims WHERE scope = ? AND namespace = ? AND name = ?")?
                .execute(params![key.scope, key.kind, key.id])?,
        };
    }
    append(transaction, &decided.audit)
}

fn append(transaction: &Transaction<'_>, audit: &Audit) -> SqlResult<()> {
    let touched = serde_json::to_string(&audit.touched)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    transaction
        .prepare_cached("INSERT INTO log (revision, at, principal, action, touched) VALUES (?, ?, ?, ?, ?)")?
        .execute(params![
            audit.revision.cast_signed(),
            audit.at.to_string(),
            audit.principal,
            audit.action,
            touched
        ])?;
    Ok(())
}

/// Forgets what a log from `first` to `last` has too much; answers its first revision afterwards.
fn forget(transaction: &Transaction<'_>, first: u64, last: u64, keep: u64) -> SqlResult<u64> {
    let Some(upto) = surplus(first, last, keep) else { return Ok(first) };
    transaction.prepare_cached("DELETE FROM log WHERE revision <= ?")?.execute([upto.cast_signed()])?;
    Ok(upto + 1)
}

fn read_log(connection: &Connection, range: Range) -> SqlResult<Vec<Audit>> {
    const COLUMNS: &str = "SELECT revision, at, principal, action, touched FROM log";
    match range {
        Range::After { revision, limit } => connection
            .prepare_cached(&format!("{COLUMNS} WHERE revision > ? ORDER BY revision LIMIT ?"))?
            .query_map(params![revision.cast_signed(), limit], audit)?
            .collect(),
        Range::Last(count) => connection
            .prepare_cached(&format!("{COLUMNS} ORDER BY revision DESC LIMIT ?"))?
            .query_map([count], audit)?
            .collect(),
    }
}

fn audit(row: &SqlRow<'_>) -> SqlResult<Audit> {
    let bad = |column, error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error);
    Ok(Audit {
        revision: number(row, 0)?,
        at: row.get_ref(1)?.as_str()?.parse().map_err(|error: jiff::Error| bad(1, Box::new(error)))?,
        principal: row.get(2)?,
        action: row.get(3)?,
        touched: serde_json::from_str(row.get_ref(4)?.as_str()?).map_err(|error| bad(4, Box::new(error)))?,
    })
}

fn key(row: &SqlRow<'_>) -> SqlResult<Key> {
    Ok(Key::new(row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_str()?, row.get_ref(2)?.as_str()?))
}

/// Our counters are never negative, and SQLite's integers are signed.
fn number(row: &SqlRow<'_>, column: usize) -> SqlResult<u64> {
    Ok(row.get::<_, i64>(column)?.cast_unsigned())
}
