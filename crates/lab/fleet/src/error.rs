//! What can go wrong in a fleet.

use std::io;

/// Why a fleet does not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// The options make no sense.
    #[error("fleet configuration: {0}")]
    Options(String),
    /// A system call or file operation failed.
    #[error("{doing}: {source}")]
    System {
        /// What was being done, to what.
        doing: String,
        /// What the system said.
        source: io::Error,
    },
    /// `ip` failed.
    #[error("`{command}` failed: {output}")]
    Tool {
        /// The command line.
        command: String,
        /// What it said.
        output: String,
    },
    /// Network namespaces want root.
    #[error("the fleet needs root: it makes a network namespace and a cable into it")]
    NotRoot,
    /// The BMCs have no certificate.
    #[error(transparent)]
    Certificates(#[from] bmc::CaError),
}

/// Says what was being done when an operation of the system failed.
pub(crate) trait Doing<T> {
    /// Adds `what` to an error.
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, FleetError>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, FleetError> {
        self.map_err(|source| FleetError::System { doing: what(), source: source.into() })
    }
}
