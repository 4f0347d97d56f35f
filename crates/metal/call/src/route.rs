//! The table of routes: resources with their paths and operations. Dispatch and `describe/` read it.

use std::{future::Future, pin::Pin};

pub use http::Method;

use crate::{call::Call, reply::Answer};

/// What a handler returns.
pub type Handling = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// Who may call an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody.
    Anonymous,
    /// Any user.
    User,
    /// Administrators.
    Admin,
}

/// One operation of a resource.
#[derive(Debug, Clone)]
pub struct Op {
    /// HTTP method.
    pub method: Method,
    /// MAAS's `op`; absent for create, read, update and delete.
    pub op: Option<&'static str>,
    /// Name in `describe/`: the op, or `create`, `read`, `update`, `delete`.
    pub name: &'static str,
    /// Who may call it.
    pub access: Access,
    /// For people.
    pub doc: &'static str,
    /// Does it.
    pub handler: fn(Call) -> Handling,
}

/// A resource.
#[derive(Debug, Clone)]
pub struct Resource {
    /// Name in `describe/`, such as `MachinesHandler`.
    pub name: &'static str,
    /// Path below `/MAAS/api/2.0/`, such as `machines/{system_id}/`.
    pub path: &'static str,
    /// Names of the captures.
    pub params: &'static [&'static str],
    /// What can be done with it.
    pub ops: Vec<Op>,
}

/// An operation without a name of its own: `restful!(GET, User, "What it does.", handler)`.
#[macro_export]
macro_rules! restful {
    (GET, $access:ident, $doc:expr, $handler:path) => {
        $crate::route::restful!(@ GET, "read", $access, $doc, $handler)
    };
    (POST, $access:ident, $doc:expr, $handler:path) => {
        $crate::route::restful!(@ POST, "create", $access, $doc, $handler)
    };
    (PUT, $access:ident, $doc:expr, $handler:path) => {
        $crate::route::restful!(@ PUT, "update", $access, $doc, $handler)
    };
    (DELETE, $access:ident, $doc:expr, $handler:path) => {
        $crate::route::restful!(@ DELETE, "delete", $access, $doc, $handler)
    };
    (@ $method:ident, $name:literal, $access:ident, $doc:expr, $handler:path) => {
        $crate::route::Op {
            method: $crate::route::Method::$method,
            op: None,
            name: $name,
            access: $crate::route::Access::$access,
            doc: $doc,
            handler: |call| Box::pin($handler(call)),
        }
    };
}
pub use restful;

/// A named operation: `named!(POST, "allocate", User, "What it does.", handler)`.
#[macro_export]
macro_rules! named {
    ($method:ident, $op:literal, $access:ident, $doc:expr, $handler:path) => {
        $crate::route::Op {
            method: $crate::route::Method::$method,
            op: Some($op),
            name: $op,
            access: $crate::route::Access::$access,
            doc: $doc,
            handler: |call| Box::pin($handler(call)),
        }
    };
}
pub use named;

/// Makes one segment of a subnet's CIDR, whose slash clients send as it is (`subnets/cidr:10.0.0.0/24/`).
pub fn join_cidr(segments: &mut Vec<String>) {
    if let [first, network, length] = segments.as_slice()
        && first == "subnets"
        && network.contains('.')
        && length.parse::<u8>().is_ok()
    {
        let joined = format!("{network}/{length}");
        segments.truncate(1);
        segments.push(joined);
    }
}

/// Finds the resource of a path (its segments, percent-decoded), with the captures.
///
/// Where several match, the one with most literal segments does.
pub fn find<'t>(table: &'t [Resource], segments: &[String]) -> Option<(&'t Resource, Vec<String>)> {
    table
        .iter()
        .filter_map(|resource| Some((resource, captures(resource.path, segments)?)))
        .min_by_key(|(_, captured)| captured.len())
}

fn captures(pattern: &str, segments: &[String]) -> Option<Vec<String>> {
    let mut wanted = pattern.split('/').filter(|part| !part.is_empty());
    let mut captured = Vec::new();
    for segment in segments {
        let part = wanted.next()?;
        if part.starts_with('{') {
            captured.push(segment.clone());
        } else if part != segment {
            return None;
        }
    }
    wanted.next().is_none().then_some(captured)
}
