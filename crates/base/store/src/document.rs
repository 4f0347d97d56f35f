//! Typed documents and how stored ones are read.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// A typed document kind.
pub trait Document: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// Name of the kind, such as `machine`.
    const KIND: &'static str;
    /// Schema version that this build writes.
    const SCHEMA: u32 = 1;
    /// Lifts a stored JSON value from an older schema to the next one; called repeatedly up to [`Self::SCHEMA`].
    ///
    /// # Errors
    /// A sentence, where the value cannot be lifted.
    fn upcast(from: u32, _value: Value) -> Result<Value, String> {
        Err(format!("no upcaster from schema {from}"))
    }
}

/// A document as stored.
#[derive(Debug, Clone)]
pub struct Stored<T> {
    /// Id within scope and kind.
    pub id: String,
    /// Version of this document, from 1; it goes on counting if a deleted document is created again.
    pub version: u64,
    /// Store-wide revision of the batch that wrote it.
    pub revision: u64,
    /// The document.
    pub value: T,
}

/// Reads a body that was written at `schema`, lifting it step by step where that is older.
pub(crate) fn decode<T: Document>(schema: u32, body: &str) -> Result<T, String> {
    let explain = |error: serde_json::Error| error.to_string();
    if schema == T::SCHEMA {
        return serde_json::from_str(body).map_err(explain);
    }
    if schema > T::SCHEMA {
        return Err(format!("it has schema {schema}, newer than {} of this build; upgrade it", T::SCHEMA));
    }
    let stored = serde_json::from_str(body).map_err(explain)?;
    let lifted = (schema..T::SCHEMA).try_fold(stored, |value, from| T::upcast(from, value))?;
    serde_json::from_value(lifted).map_err(explain)
}
