//! The table of routes.

use std::{future::Future, pin::Pin};

pub use http::Method;
use schemars::{Schema, SchemaGenerator};

use crate::{call::Call, reply::Answer};

/// What a handler returns.
pub type Handling = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// A type's JSON schema.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// Things that somebody may be allowed to do something with; named as in Palette's permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// API keys.
    ApiKey,
    /// Audits.
    Audit,
    /// Cloud accounts.
    CloudAccount,
    /// Clusters.
    Cluster,
    /// Cluster profiles.
    ClusterProfile,
    /// Gateways.
    PrivateGateway,
    /// Projects.
    Project,
    /// Users.
    User,
}

/// What somebody may be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// See that it is there.
    List,
    /// See it.
    Get,
    /// Make it.
    Create,
    /// Change it.
    Update,
    /// Delete it.
    Delete,
}

/// What a caller must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody at all.
    Anyone,
    /// Anybody who is signed in, for what is the caller's own.
    SignedIn,
    /// Somebody who may do this, in the project of the request.
    InProject(Resource, Verb),
    /// Somebody who may do this in the tenant, whatever the project of the request.
    InTenant(Resource, Verb),
}

/// In which form something is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Once, as JSON.
    Json,
    /// Again and again, as server-sent events of JSON.
    Events,
}

/// One route.
#[derive(Debug, Clone)]
pub struct Route {
    /// HTTP method.
    pub method: Method,
    /// Path with captures, such as `/v1/overlords/{uid}`. Compared without regard to case, as Palette's clients need.
    pub path: &'static str,
    /// What a caller must be.
    pub access: Access,
    /// For people.
    pub doc: &'static str,
    /// What it takes.
    pub body: Option<SchemaOf>,
    /// Status of its success; exact, because generated clients take every other one for an error.
    pub status: u16,
    /// What it answers.
    pub answer: Option<SchemaOf>,
    /// In which form.
    pub form: Form,
    /// Does it.
    pub(crate) handler: fn(Call) -> Handling,
}

/// A row of the table:
/// `route!(POST "/v1/projects", InTenant(Project, Create), "Makes one.", projects::create, takes v1::Project, 201: v1::Uid)`.
macro_rules! route {
    ($method:ident $path:literal, $access:expr, $doc:literal, $handler:path, $(takes $body:ty,)? $status:literal $(: $answer:ty)? $(, $form:ident)?) => {
        $crate::route::Route {
            method: $crate::route::Method::$method,
            path: $path,
            access: $access,
            doc: $doc,
            body: $crate::route::route!(@schema $($body)?),
            status: $status,
            answer: $crate::route::route!(@schema $($answer)?),
            form: $crate::route::route!(@form $($form)?),
            handler: |call| Box::pin(async move { $handler(call).await }),
        }
    };
    (@form) => { $crate::route::Form::Json };
    (@form events) => { $crate::route::Form::Events };
    (@schema) => { None };
    (@schema $of:ty) => { Some(|generator: &mut schemars::SchemaGenerator| generator.subschema_for::<$of>()) };
}
pub(crate) use route;

impl Resource {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::ApiKey,
        Self::Audit,
        Self::CloudAccount,
        Self::Cluster,
        Self::ClusterProfile,
        Self::PrivateGateway,
        Self::Project,
        Self::User,
    ];

    /// As in Palette's permissions.
    pub fn name(self) -> &'static str {
        match self {
            Self::ApiKey => "apiKey",
            Self::Audit => "audit",
            Self::CloudAccount => "cloudaccount",
            Self::Cluster => "cluster",
            Self::ClusterProfile => "clusterProfile",
            Self::PrivateGateway => "privateGateway",
            Self::Project => "project",
            Self::User => "user",
        }
    }
}

impl Verb {
    /// As in Palette's permissions.
    pub fn name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Get => "get",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    /// Whether who may only look may do it.
    pub fn only_looks(self) -> bool {
        matches!(self, Self::List | Self::Get)
    }
}

/// The captures of a path's segments (percent-decoded) by a pattern; `None` where it does not match.
pub fn captures(pattern: &str, segments: &[String]) -> Option<Vec<String>> {
    let mut wanted = pattern.split('/').filter(|part| !part.is_empty());
    let mut captured = Vec::new();
    for segment in segments {
        let part = wanted.next()?;
        if part.starts_with('{') {
            captured.push(segment.clone());
        } else if !part.eq_ignore_ascii_case(segment) {
            return None;
        }
    }
    wanted.next().is_none().then_some(captured)
}

/// The routes of a path, with the captures; those with most literal segments.
pub fn find<'t>(table: &'t [Route], segments: &[String]) -> Vec<(&'t Route, Vec<String>)> {
    let mut found: Vec<_> =
        table.iter().filter_map(|route| Some((route, captures(route.path, segments)?))).collect();
    let fewest = found.iter().map(|(_, captured)| captured.len()).min();
    found.retain(|(_, captured)| Some(captured.len()) == fewest);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &str) -> Vec<String> {
        path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }

    #[test]
    fn case_matters_in_captures_only() {
        let pattern = "/v1/spectroclusters/{uid}/assets/adminKubeconfig";
        assert_eq!(
            captures(pattern, &at("/V1/spectroClusters/aB/assets/adminkubeconfig")),
            Some(vec!["aB".to_owned()])
        );
        assert_eq!(captures(pattern, &at("/v1/spectroclusters/aB/assets")), None);
        assert_eq!(captures("/v1/a", &at("/v1/a/b")), None);
    }
}
