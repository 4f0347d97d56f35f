//! Parts of lists: `limit`, `offset`, `continue`, `filters`, as Palette's clients send them.

use plane_client::v1::{List, ListMeta};
use serde::Serialize;
use serde_json::Value;

use crate::{
    call::Call,
    reply::{Answer, ApiError, Reply},
};

/// So many, where a client does not say.
const USUAL: usize = 50;

/// What a call may say of it: name, for people, type.
pub const PARAMETERS: [(&str, &str, &str); 4] = [
    ("limit", "So many at most; 0: all. 50 where it is not said.", "integer"),
    ("offset", "So many are left out before.", "integer"),
    ("continue", "As the last part's `listmeta.continue` says.", "string"),
    ("filters", "`field=value` or `field_in_a,b`, several joined by `AND`.", "string"),
];

/// The part of `all` that a call asks for.
pub fn part<T: Serialize>(call: &Call, all: Vec<T>) -> Answer {
    let mut items = Vec::with_capacity(all.len());
    let filters = filters(call.query("filters").unwrap_or_default())?;
    for item in all {
        let value = serde_json::to_value(item).unwrap_or_default();
        if filters.iter().all(|filter| filter.takes(&value)) {
            items.push(value);
        }
    }
    let limit = number(call, "limit")?.unwrap_or(USUAL);
    let offset = number(call, "continue")?.or(number(call, "offset")?).unwrap_or(0);
    let count = items.len();
    let end = if limit == 0 { count } else { offset.saturating_add(limit).min(count) };
    let next = if end < count { end.to_string() } else { String::new() };
    let items = items.drain(offset.min(end)..end).collect();
    Reply::of(&List::<Value> { items, listmeta: ListMeta { next, count, limit, offset } })
}

fn number(call: &Call, name: &str) -> Result<Option<usize>, ApiError> {
    let parse =
        |text: &str| text.parse().map_err(|_| ApiError::bad(format!("{name} is a number, not {text:?}")));
    call.query(name).map(parse).transpose()
}

/// One of `metadata.name=x` and `spec.cloudTypes_in_maas,all`.
#[derive(Debug, PartialEq, Eq)]
struct Filter {
    pointer: String,
    any_of: Vec<String>,
}

/// They are glued together by `AND`.
fn filters(text: &str) -> Result<Vec<Filter>, ApiError> {
    let one = |part: &str| {
        let (field, any_of) = match (part.split_once("_in_"), part.split_once('=')) {
            (_, Some((field, value))) if !field.contains("_in_") => (field, vec![value.to_owned()]),
            (Some((field, values)), _) => (field, values.split(',').map(str::to_owned).collect()),
            _ => return Err(ApiError::bad(format!("{part:?} is no filter: field=value or field_in_a,b"))),
        };
        Ok(Filter { pointer: format!("/{}", field.trim().replace('.', "/")), any_of })
    };
    text.split("AND").map(str::trim).filter(|part| !part.is_empty()).map(one).collect()
}

impl Filter {
    fn takes(&self, value: &Value) -> bool {
        let is = |value: &Value| match value {
            Value::String(text) => self.any_of.contains(text),
            other => self.any_of.contains(&other.to_string()),
        };
        match value.pointer(&self.pointer) {
            Some(Value::Array(items)) => items.iter().any(is),
            Some(value) => is(value),
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn filters_as_clients_send_them() {
        let all =
            filters("spec.name=kubernetes ANDspec.version=1.30.4 ANDspec.cloudTypes_in_maas,all").unwrap();
        let pack = json!({"spec": {"name": "kubernetes", "version": "1.30.4", "cloudTypes": ["all"]}});
        assert_eq!(all.len(), 3);
        assert!(all.iter().all(|filter| filter.takes(&pack)));
        assert!(!filters("spec.name=cni").unwrap()[0].takes(&pack));
        assert!(!filters("spec.none=cni").unwrap()[0].takes(&pack));
        assert!(filters("nonsense").is_err());
    }
}
