//! What can go wrong in a lab.

use std::io;
use std::path::PathBuf;

/// Why the lab, or one of its machines, could not do something.
#[derive(Debug, thiserror::Error)]
pub enum RackError {
    /// A system call or file operation failed.
    #[error("{doing}: {source}")]
    System {
        /// What was being done, to what.
        doing: String,
        /// What the system said.
        source: io::Error,
    },
    /// A program the lab uses failed.
    #[error("`{command}` failed: {output}")]
    Tool {
        /// The command line.
        command: String,
        /// What it said.
        output: String,
    },
    /// The options make no sense.
    #[error("lab configuration: {0}")]
    Options(String),
    /// Another lab holds the folder.
    #[error(
        "a lab is already running in {dir}; shut it down first (`bessemer lab down`), or use another folder"
    )]
    AlreadyRunning {
        /// The folder.
        dir: PathBuf,
    },
    /// Another folder's lab has the same name.
    #[error("a lab named `{name}` exists in another folder; choose another name, or clean that folder")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// Namespaces, bridges and loop devices want root.
    #[error("the lab needs root: it makes network namespaces, mounts and loop devices")]
    NotRoot,
    /// The BMCs have no certificates.
    #[error(transparent)]
    Certificates(#[from] bmc::CaError),
    /// A machine's firmware did not find anything to start.
    #[error("{0}")]
    Firmware(String),
}

/// Says what was being done when an operation of the system failed.
pub(crate) trait Doing<T> {
    /// Adds `what` to an error.
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, RackError>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, RackError> {
        self.map_err(|source| RackError::System { doing: what(), source: source.into() })
    }
}
