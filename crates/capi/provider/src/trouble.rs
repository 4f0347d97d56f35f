//! What to make of MAAS's refusals and silences.

use jiff::SignedDuration;
use maas_client::Error;

use crate::conditions::Verdict;

/// Why something could not be done now: said in a condition, and tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Reason of the condition.
    pub reason: &'static str,
    /// Its sentence.
    pub message: String,
    /// When it is tried again.
    pub retry: SignedDuration,
    /// What became of the request.
    pub fate: Fate,
}

/// What became of a request that was not answered well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It was refused, or never sent: nothing has changed.
    Refused,
    /// Nobody can tell: it may have been carried out, or still be.
    Unknown,
}

impl Trouble {
    /// Something else than MAAS stands in the way.
    pub fn of(reason: &'static str, message: impl Into<String>, retry: SignedDuration) -> Self {
        Self { reason, message: message.into(), retry, fate: Fate::Refused }
    }

    /// As a condition of what could not be done.
    pub fn verdict(&self) -> Verdict {
        Verdict::no(self.reason, self.message.clone())
    }

    /// As a condition of what could not even be looked at: what was true may still be.
    pub fn in_the_dark(&self) -> Verdict {
        Verdict::unknown(self.reason, self.message.clone())
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        let (reason, advice, seconds, fate) = match &error {
            Error::Unauthorized { .. } => {
                ("MaasUnauthorized", "; give the provider a valid MAAS_API_KEY", 60, Fate::Refused)
            }
            Error::Forbidden { .. } => {
                ("MaasForbidden", "; give the key's user that permission", 60, Fate::Refused)
            }
            Error::NotFound { .. } => ("MaasNotFound", "", 30, Fate::Refused),
            Error::NoMatch { .. } => ("NoMatchingMachine", "", 30, Fate::Refused),
            Error::Conflict { .. } => ("MaasConflict", "", 10, Fate::Refused),
            Error::Invalid { .. } => ("MaasInvalid", "", 60, Fate::Refused),
            Error::Transport { source, .. } if source.is_connect() => {
                ("MaasUnavailable", "; is MAAS_ENDPOINT right, and the region up?", 10, Fate::Refused)
            }
            Error::Transport { .. } | Error::Unavailable { .. } => ("MaasUnavailable", "", 10, Fate::Unknown),
            Error::Refused { .. } | Error::Decode { .. } => ("MaasFailed", "", 30, Fate::Unknown),
        };
        Self { reason, message: format!("{error}{advice}"), retry: SignedDuration::from_secs(seconds), fate }
    }
}
