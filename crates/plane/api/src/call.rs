//! One call: what was sent, and by whom.

use bytes::Bytes;
use plane_model::{Owner, Rights};
use serde::de::DeserializeOwned;
use store::{Batch, CommitError};
use tunnel::Actor;

use crate::{State, reply::ApiError, session::Session};

/// Code of what was decided on something that changed before it was written.
pub const CONFLICT: &str = "ResourceConflict";

/// Who calls, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The tenant.
    pub tenant: String,
    /// The user.
    pub user: String,
    /// What the user may do.
    pub rights: Rights,
    /// The project of the request; none: the tenant itself.
    pub project: Option<String>,
    /// The session, where the caller came with one.
    pub session: Option<Session>,
}

/// One call.
#[derive(Debug, Clone)]
pub struct Call {
    /// What all calls share.
    pub state: State,
    /// Who calls.
    pub caller: Option<Caller>,
    /// By which name and port the caller found the plane.
    pub host: String,
    /// The path's captures.
    pub path: Vec<String>,
    /// The query's fields.
    pub query: Vec<(String, String)>,
    /// What the body is, as the caller says.
    pub content_type: String,
    /// The body.
    pub body: Bytes,
}

impl Call {
    /// The caller of a route that wants one.
    pub fn caller(&self) -> Result<&Caller, ApiError> {
        self.caller.as_ref().ok_or_else(ApiError::unauthorized)
    }

    /// A capture of the path.
    pub fn capture(&self, number: usize) -> &str {
        self.path.get(number).map_or("", String::as_str)
    }

    /// A field of the query, where it is not empty.
    pub fn query(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// The body, as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        serde_json::from_slice(&self.body)
            .map_err(|error| ApiError::bad(format!("the body is not what is taken here: {error}")))
    }

    /// Writes a batch. Where a document changed meanwhile, the whole call is decided again.
    pub async fn commit(&self, batch: Batch) -> Result<u64, ApiError> {
        self.state.store.commit(batch).await.map_err(|error| match error {
            CommitError::Conflict { .. } => {
                ApiError::conflict(CONFLICT, "others change it all the time: try again")
            }
            CommitError::Taken { name, .. } => {
                let name = name.rsplit('/').next().unwrap_or_default().to_owned();
                ApiError::conflict("ResourceAlreadyExists", format!("there is one named {name} already"))
            }
            CommitError::Backend(reason) => {
                tracing::error!(reason, "the store could not write");
                ApiError::unavailable("StoreUnavailable", "the plane cannot write just now: try again")
            }
        })
    }
}

impl Caller {
    /// As audit and grants name the caller.
    pub fn principal(&self) -> String {
        format!("user:{}", self.user)
    }

    /// On whose behalf a site is asked.
    pub fn actor(&self) -> Actor {
        Actor { name: self.principal(), tenant: self.tenant.clone(), person: None }
    }

    /// A batch of the caller's.
    pub fn batch(&self, action: &str) -> Batch {
        Batch::new(self.principal(), action)
    }

    /// Whose something is that the caller makes.
    pub fn owner(&self) -> Owner {
        Owner::of(self.project.as_deref())
    }

    /// Whether the caller sees it, from where the request is.
    pub fn sees(&self, owner: &Owner) -> bool {
        match owner {
            Owner::Project(of) if self.project.is_none() => self.rights.sees(of),
            _ => owner.seen_in(self.project.as_deref()),
        }
    }

    /// Refuses to change what only shows here.
    pub fn may_change(&self, owner: &Owner) -> Result<(), ApiError> {
        if owner.changed_in(self.project.as_deref()) {
            return Ok(());
        }
        Err(ApiError::forbidden(match owner {
            Owner::Tenant => "it is the tenant's: change it without ProjectUid".to_owned(),
            Owner::Project(uid) => format!("it is a project's: change it with ProjectUid {uid}"),
        }))
    }
}
