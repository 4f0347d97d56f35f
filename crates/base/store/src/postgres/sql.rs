//! The statements. Whole groups go in one round trip each, as arrays.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use tokio_postgres::{Client, Error, IsolationLevel, Row as SqlRow, Transaction};

use crate::{
    Audit, Batch, CommitError,
    batch::Key,
    decide::{Decided, Known, Presence, Row, Written, decide, interests},
    log::{Range, surplus},
    shared::News,
    view::{Entry, View},
};

/// Version of the tables; a database with a higher one was written by a newer build.
const FORMAT: i64 = 1;

/// A document whose body is NULL was deleted and keeps its version. `json` keeps the text as we wrote it.
const TABLES: &str = "
    CREATE TABLE documents (
        scope text COLLATE \"C\" NOT NULL, kind text COLLATE \"C\" NOT NULL, id text COLLATE \"C\" NOT NULL,
        version bigint NOT NULL, schema bigint NOT NULL, revision bigint NOT NULL, body json,
        PRIMARY KEY (scope, kind, id)
    );
    CREATE TABLE claims (
        scope text COLLATE \"C\" NOT NULL, namespace text COLLATE \"C\" NOT NULL, name text COLLATE \"C\" NOT NULL,
        owner text NOT NULL,
        PRIMARY KEY (scope, namespace, name)
    );
    CREATE TABLE log (
        revision bigint PRIMARY KEY, at text NOT NULL,
        principal text NOT NULL, action text NOT NULL, touched json NOT NULL
    );
    CREATE TABLE meta (format bigint NOT NULL);
    INSERT INTO meta VALUES (1);
";

/// The commit lock, one for each schema of a database; held until the transaction is over.
const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtextextended('bessemer store ' || current_schema(), 0))";

/// Why the database did not do it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// It said no, and nothing of the transaction is written.
    #[error("PostgreSQL: {0}")]
    Refused(String),
    /// It was lost; if during the commit, nobody knows whether that is written.
    #[error("PostgreSQL was lost: {0}")]
    Lost(String),
    /// The log no longer has what was asked for.
    #[error("the log no longer has these revisions")]
    Compacted,
    /// What is there is not what we left there.
    #[error("{0}")]
    Strange(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        // Class 57: the server is going away or ended our session; all of ours is rolled back, but so is the session.
        match error.as_db_error() {
            Some(said) if !said.code().code().starts_with("57") => Self::Refused(explain(&error)),
            _ => Self::Lost(explain(&error)),
        }
    }
}

impl From<Failure> for CommitError {
    fn from(failure: Failure) -> Self {
        Self::Backend(failure.to_string())
    }
}

/// The library's own texts say "db error" and keep the reason in the source.
pub(super) fn explain(error: &Error) -> String {
    match (error.as_db_error(), std::error::Error::source(error)) {
        (Some(said), _) => said.message().to_owned(),
        (None, Some(source)) => format!("{error}: {source}"),
        (None, None) => error.to_string(),
    }
}

/// Makes the tables where they are missing; several processes may come at once.
pub(super) async fn prepare(client: &mut Client) -> Result<(), Failure> {
    let transaction = client.transaction().await?;
    let row =
        transaction.query_one("SELECT current_schema(), current_setting('server_encoding')", &[]).await?;
    if row.get::<_, Option<&str>>(0).is_none() {
        return Err(Failure::Strange("no schema of its search_path exists; create it first".to_owned()));
    }
    let encoding: &str = row.get(1);
    if encoding != "UTF8" {
        return Err(Failure::Strange(format!(
            "the database's encoding is {encoding}; create one with ENCODING 'UTF8'"
        )));
    }
    transaction.execute(LOCK, &[]).await?;
    if transaction.query_one("SELECT to_regclass('meta') IS NULL", &[]).await?.get(0) {
        transaction.batch_execute(TABLES).await?;
        append(&transaction, &[&Audit::creation(Timestamp::now())]).await?;
    }
    let format: i64 = transaction.query_one("SELECT format FROM meta", &[]).await?.get(0);
    if format > FORMAT {
        return Err(Failure::Strange(format!(
            "its format is {format}, newer than {FORMAT} of this build; upgrade the build"
        )));
    }
    Ok(transaction.commit().await?)
}

/// Everything, at one moment.
pub(super) async fn load(client: &mut Client) -> Result<View, Failure> {
    let transaction = snapshot(client).await?;
    let revision = transaction.query_one("SELECT max(revision) FROM log", &[]).await?;
    let mut view = View { revision: number(&revision, 0)?, ..View::default() };
    let documents = transaction
        .query(
            "SELECT scope, kind, id, version, schema, revision, body::text FROM documents WHERE body IS NOT NULL",
            &[],
        )
        .await?;
    for row in &documents {
        view.documents.set(key(row)?, Entry::of(written(row)?));
    }
    for row in &transaction.query("SELECT scope, namespace, name, owner FROM claims", &[]).await? {
        view.claims.set(key(row)?, Some(row.try_get::<_, &str>(3)?.into()));
    }
    Ok(view)
}

/// What was written after `revision`, at one moment: all of it, so that the view never shows half a batch.
pub(super) async fn news(client: &mut Client, revision: u64) -> Result<News, Failure> {
    let transaction = snapshot(client).await?;
    let rows = transaction
        .query(
            "SELECT revision, at, principal, action, touched::text FROM log WHERE revision > $1 ORDER BY revision",
            &[&revision.cast_signed()],
        )
        .await?;
    let log: Vec<Audit> = rows.iter().map(audit).collect::<Result<_, _>>()?;
    if log.first().is_some_and(|first| first.revision != revision + 1) {
        return Err(Failure::Compacted);
    }
    if log.last().is_some_and(|last| last.revision != revision + log.len() as u64) {
        return Err(Failure::Strange(format!(
            "the log has a gap after revision {revision}; was the database changed by hand? Start again to read it anew"
        )));
    }
    let mut news = News::default();
    let mut touched = BTreeSet::new();
    for batch in &log {
        news.batches.push(batch.changes().collect());
        touched.extend(batch.document_keys());
        news.claims.extend(batch.claims());
    }
    let [scopes, kinds, ids] = columns(&touched);
    let rows = transaction
        .query(
            "SELECT d.scope, d.kind, d.id, d.version, d.schema, d.revision, d.body::text FROM documents d
             JOIN unnest($1::text[], $2::text[], $3::text[]) k (scope, kind, id) USING (scope, kind, id)",
            &[&scopes, &kinds, &ids],
        )
        .await?;
    news.documents = rows.iter().map(|row| Ok((key(row)?, written(row)?))).collect::<Result<_, Failure>>()?;
    Ok(news)
}

/// Judges and writes batches in one transaction.
pub(super) async fn commit(
    client: &mut Client,
    batches: &[Batch],
    keep: u64,
) -> Result<Vec<Result<Decided, CommitError>>, Failure> {
    let transaction = client.transaction().await?;
    transaction.execute(LOCK, &[]).await?;
    let (first, revision) = bounds(&transaction).await?;
    let known = look_up(&transaction, batches).await?;
    let judged = decide(batches, known, revision, Timestamp::now());
    let holding: Vec<&Decided> = judged.iter().flatten().collect();
    if !holding.is_empty() {
        write(&transaction, &holding).await?;
        forget(&transaction, first, revision + holding.len() as u64, keep).await?;
        transaction.commit().await.map_err(|error| Failure::Lost(explain(&error)))?;
    }
    Ok(judged)
}

/// Forgets what the log has more than `keep` batches.
pub(super) async fn trim(client: &mut Client, keep: u64) -> Result<(), Failure> {
    let transaction = client.transaction().await?;
    transaction.execute(LOCK, &[]).await?;
    let (first, last) = bounds(&transaction).await?;
    forget(&transaction, first, last, keep).await?;
    Ok(transaction.commit().await?)
}

/// First and last revision of the log.
async fn bounds(transaction: &Transaction<'_>) -> Result<(u64, u64), Failure> {
    let row = transaction.query_one("SELECT min(revision), max(revision) FROM log", &[]).await?;
    Ok((number(&row, 0)?, number(&row, 1)?))
}

async fn forget(transaction: &Transaction<'_>, first: u64, last: u64, keep: u64) -> Result<(), Failure> {
    if let Some(upto) = surplus(first, last, keep) {
        transaction.execute("DELETE FROM log WHERE revision <= $1", &[&upto.cast_signed()]).await?;
    }
    Ok(())
}

pub(super) async fn read_log(client: &Client, range: Range) -> Result<Vec<Audit>, Failure> {
    let rows = match range {
        Range::After { revision, limit } => {
            let sql = "SELECT revision, at, principal, action, touched::text FROM log
                       WHERE revision > $1 ORDER BY revision LIMIT $2";
            client.query(sql, &[&revision.cast_signed(), &i64::from(limit)]).await?
        }
        Range::Last(count) => {
            let sql = "SELECT revision, at, principal, action, touched::text FROM log
                       ORDER BY revision DESC LIMIT $1";
            client.query(sql, &[&i64::from(count)]).await?
        }
    };
    rows.iter().map(audit).collect()
}

async fn snapshot(client: &mut Client) -> Result<Transaction<'_>, Failure> {
    let transaction =
        client.build_transaction().read_only(true).isolation_level(IsolationLevel::RepeatableRead);
    Ok(transaction.start().await?)
}

async fn look_up(transaction: &Transaction<'_>, batches: &[Batch]) -> Result<Known, Failure> {
    let mut known = Known::default();
    let (documents, claims) = interests(batches);
    if !documents.is_empty() {
        let [scopes, kinds, ids] = columns(documents);
        let sql = "SELECT d.scope, d.kind, d.id, d.version, d.body IS NULL FROM documents d
                   JOIN unnest($1::text[], $2::text[], $3::text[]) k (scope, kind, id) USING (scope, kind, id)";
        for row in &transaction.query(sql, &[&scopes, &kinds, &ids]).await? {
            let presence = if row.try_get(4)? { Presence::Deleted } else { Presence::Alive };
            known.documents.insert(key(row)?, Row { version: number(row, 3)?, presence });
        }
    }
    if !claims.is_empty() {
        let [scopes, namespaces, names] = columns(claims);
        let sql = "SELECT c.scope, c.namespace, c.name, c.owner FROM claims c
                   JOIN unnest($1::text[], $2::text[], $3::text[]) k (scope, namespace, name)
                   USING (scope, namespace, name)";
        for row in &transaction.query(sql, &[&scopes, &namespaces, &names]).await? {
            known.claims.insert(key(row)?, row.try_get::<_, &str>(3)?.into());
        }
    }
    Ok(known)
}

async fn write(transaction: &Transaction<'_>, holding: &[&Decided]) -> Result<(), Failure> {
    // Of several writes to one row in a group only the last is left to be written.
    let documents: BTreeMap<&Key, &Written> = holding.iter().flat_map(|decided| &decided.documents).collect();
    if !documents.is_empty() {
        let [scopes, kinds, ids] = columns(documents.keys().copied());
        let versions: Vec<i64> = documents.values().map(|row| row.version.cast_signed()).collect();
        let schemas: Vec<i64> = documents.values().map(|row| i64::from(row.schema)).collect();
        let revisions: Vec<i64> = documents.values().map(|row| row.revision.cast_signed()).collect();
        let bodies: Vec<Option<&str>> = documents.values().map(|row| row.body.as_deref()).collect();
        let sql = "INSERT INTO documents (scope, kind, id, version, schema, revision, body)
                   SELECT scope, kind, id, version, schema, revision, body::json FROM unnest(
                       $1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[]
                   ) AS new (scope, kind, id, version, schema, revision, body)
                   ON CONFLICT (scope, kind, id) DO UPDATE SET version = excluded.version,
                       schema = excluded.schema, revision = excluded.revision, body = excluded.body";
        transaction.execute(sql, &[&scopes, &kinds, &ids, &versions, &schemas, &revisions, &bodies]).await?;
    }
    let claims: BTreeMap<&Key, &Option<Arc<str>>> =
        holding.iter().flat_map(|decided| &decided.claims).collect();
    let taken: BTreeMap<&Key, &str> =
        claims.iter().filter_map(|(key, owner)| Some((*key, owner.as_deref()?))).collect();
    if taken.len() < claims.len() {
        let [scopes, namespaces, names] =
            columns(claims.keys().filter(|key| !taken.contains_key(**key)).copied());
        let sql =
            "DELETE FROM claims c USING unnest($1::text[], $2::text[], $3::text[]) k (scope, namespace, name)
                   WHERE c.scope = k.scope AND c.namespace = k.namespace AND c.name = k.name";
        transaction.execute(sql, &[&scopes, &namespaces, &names]).await?;
    }
    if !taken.is_empty() {
        let [scopes, namespaces, names] = columns(taken.keys().copied());
        let owners: Vec<&str> = taken.into_values().collect();
        let sql = "INSERT INTO claims (scope, namespace, name, owner)
                   SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
                   ON CONFLICT (scope, namespace, name) DO UPDATE SET owner = excluded.owner";
        transaction.execute(sql, &[&scopes, &namespaces, &names, &owners]).await?;
    }
    append(transaction, &holding.iter().map(|decided| &decided.audit).collect::<Vec<_>>()).await?;
    transaction.execute("SELECT pg_notify('bessemer_store', '')", &[]).await?;
    Ok(())
}

async fn append(transaction: &Transaction<'_>, audits: &[&Audit]) -> Result<(), Failure> {
    let revisions: Vec<i64> = audits.iter().map(|audit| audit.revision.cast_signed()).collect();
    let times: Vec<String> = audits.iter().map(|audit| audit.at.to_string()).collect();
    let principals: Vec<&str> = audits.iter().map(|audit| audit.principal.as_str()).collect();
    let actions: Vec<&str> = audits.iter().map(|audit| audit.action.as_str()).collect();
    let touched: Vec<String> = audits
        .iter()
        .map(|audit| serde_json::to_string(&audit.touched))
        .collect::<Result<_, _>>()
        .map_err(|error| Failure::Strange(error.to_string()))?;
    let sql = "INSERT INTO log (revision, at, principal, action, touched)
               SELECT revision, at, principal, action, touched::json FROM unnest(
                   $1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[]
               ) AS new (revision, at, principal, action, touched)";
    transaction.execute(sql, &[&revisions, &times, &principals, &actions, &touched]).await?;
    Ok(())
}

/// Keys as three arrays.
fn columns<'a>(keys: impl IntoIterator<Item = &'a Key>) -> [Vec<&'a str>; 3] {
    let mut columns = [Vec::new(), Vec::new(), Vec::new()];
    for key in keys {
        let [scopes, kinds, ids] = &mut columns;
        scopes.push(&*key.scope);
        kinds.push(&*key.kind);
        ids.push(&*key.id);
    }
    columns
}

fn key(row: &SqlRow) -> Result<Key, Failure> {
    Ok(Key::new(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
}

fn written(row: &SqlRow) -> Result<Written, Failure> {
    let schema = u32::try_from(row.try_get::<_, i64>(4)?).map_err(|_| {
        Failure::Strange("a document's schema is out of range; was it changed by hand?".to_owned())
    })?;
    let body = row.try_get::<_, Option<&str>>(6)?.map(Arc::from);
    Ok(Written { version: number(row, 3)?, schema, revision: number(row, 5)?, body })
}

fn audit(row: &SqlRow) -> Result<Audit, Failure> {
    let strange =
        |error: &dyn std::fmt::Display| Failure::Strange(format!("a row of the log is unreadable: {error}"));
    Ok(Audit {
        revision: number(row, 0)?,
        at: row.try_get::<_, &str>(1)?.parse().map_err(|error: jiff::Error| strange(&error))?,
        principal: row.try_get(2)?,
        action: row.try_get(3)?,
        touched: serde_json::from_str(row.try_get(4)?).map_err(|error| strange(&error))?,
    })
}

/// Our counters are never negative, and PostgreSQL's integers are signed.
fn number(row: &SqlRow, column: usize) -> Result<u64, Failure> {
    Ok(row.try_get::<_, i64>(column)?.cast_unsigned())
}
