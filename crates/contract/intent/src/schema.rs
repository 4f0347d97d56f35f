//! Versions of the document: reading an older one, refusing a newer one.

use serde::Deserialize;
use serde_json::Value;

use crate::model::Intent;

/// The current `schemaVersion`. It rises with every field that is added, renamed or dropped.
pub const SCHEMA: u32 = 2;

/// Lifts a document by one schema version.
type Upcast = fn(Value) -> Result<Value, String>;

/// From schema 1 to 2, from 2 to 3, and so on up to [`SCHEMA`].
const UPCASTS: [Upcast; SCHEMA as usize - 1] = [
    // Layers may be charts; they were manifests before.
    Ok,
];

/// Why a document is no intent.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// No JSON, or not of the schema's form.
    #[error("the cluster intent cannot be read: {0}")]
    Form(#[from] serde_json::Error),
    /// Written for a newer version of this program.
    #[error(
        "the cluster intent has schemaVersion {found}, the newest known here is {SCHEMA}: upgrade the gateway first"
    )]
    Newer {
        /// The document's version.
        found: u32,
    },
    /// No version that ever was.
    #[error("the cluster intent has schemaVersion {found}; versions begin with 1")]
    Unknown {
        /// The document's version.
        found: u32,
    },
    /// An older document that cannot be lifted.
    #[error("the cluster intent of schemaVersion {from} cannot be lifted to the next: {reason}")]
    Upcast {
        /// Version at which lifting stopped.
        from: u32,
        /// Why.
        reason: String,
    },
}

impl Intent {
    /// Reads an intent of this or an older schema; an older one comes back in the current form.
    ///
    /// # Errors
    /// See [`SchemaError`]. What an intent may say beyond its form is [`Intent::check`]'s matter.
    pub fn from_json(text: &str) -> Result<Self, SchemaError> {
        let Version { schema_version: found } = serde_json::from_str(text)?;
        if found == SCHEMA {
            // From the text, not from a `Value`: errors then name line and column.
            return Ok(serde_json::from_str(text)?);
        }
        let mut lifted = lift(found, serde_json::from_str(text)?, &UPCASTS)?;
        if let Some(version) = lifted.get_mut("schemaVersion") {
            *version = SCHEMA.into();
        }
        Ok(serde_json::from_value(lifted)?)
    }
}

#[derive(Deserialize)]
struct Version {
    #[serde(rename = "schemaVersion")]
    schema_version: u32,
}

/// Applies the upcasts from version `found` on; `upcasts[0]` lifts version 1.
fn lift(found: u32, document: Value, upcasts: &[Upcast]) -> Result<Value, SchemaError> {
    let skip = found.checked_sub(1).ok_or(SchemaError::Unknown { found })? as usize;
    let steps = upcasts.get(skip..).ok_or(SchemaError::Newer { found })?;
    (found..).zip(steps).try_fold(document, |document, (from, upcast)| {
        upcast(document).map_err(|reason| SchemaError::Upcast { from, reason })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn add(mut document: Value) -> Result<Value, String> {
        document["n"] = (document["n"].as_u64().ok_or("no n")? + 1).into();
        Ok(document)
    }

    #[test]
    fn each_version_goes_through_the_steps_that_it_lacks() {
        let lifted = |from| lift(from, json!({ "n": 0 }), &[add, add]).map(|value| value["n"].clone());
        assert_eq!(lifted(1).unwrap(), 2);
        assert_eq!(lifted(2).unwrap(), 1);
        assert_eq!(lifted(3).unwrap(), 0);
        assert!(matches!(lifted(4), Err(SchemaError::Newer { found: 4 })));
        assert!(matches!(lifted(0), Err(SchemaError::Unknown { found: 0 })));
        assert!(matches!(lift(2, json!({}), &[add, add]), Err(SchemaError::Upcast { from: 2, .. })));
    }

    #[test]
    fn newer_and_misspelt_documents_are_refused_with_words() {
        let text = |document: Value| Intent::from_json(&document.to_string()).unwrap_err().to_string();
        assert!(text(json!({ "schemaVersion": SCHEMA + 1 })).contains("upgrade the gateway first"));
        assert!(text(json!({ "schemaVersion": SCHEMA, "nmae": "a" })).contains("unknown field `nmae`"));
        assert!(text(json!({})).contains("missing field `schemaVersion`"));
    }
}
