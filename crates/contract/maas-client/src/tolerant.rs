//! Reading what differs between releases.

use serde::{Deserialize, Deserializer};

/// Takes null as the type's default.
pub fn null_is_default<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(from)?.unwrap_or_default())
}
