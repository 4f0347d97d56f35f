//! How a running gateway stands, for `bessemer gateway status`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tunnel::LinkState;

use crate::{Home, HomeError};

const FILE: &str = "status.json";

/// How a running gateway stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its process.
    pub pid: u32,
    /// When it started.
    pub since: Timestamp,
    /// Where it finds its plane.
    pub plane: String,
    /// The plane's id of it.
    pub gateway: String,
    /// Its tenant.
    pub tenant: String,
    /// The link to the plane.
    pub link: LinkState,
}

/// What the gateway of a folder wrote last; none where it never ran.
///
/// # Errors
/// [`HomeError`]
pub fn status(home: &Home) -> Result<Option<Status>, HomeError> {
    let text = home.read(FILE)?;
    text.map(|text| serde_json::from_str(&text).map_err(|error| home.broken(FILE, &error))).transpose()
}

impl Status {
    /// Writes it down.
    pub(crate) fn keep(&self, home: &Home) -> Result<(), HomeError> {
        let text = serde_json::to_string_pretty(self).map_err(|error| home.broken(FILE, &error))?;
        home.write(FILE, &text)
    }
}
