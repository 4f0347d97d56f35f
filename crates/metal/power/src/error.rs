//! Why power was not switched.

use std::time::Duration;

use crate::types::{Kind, Program};

/// Why a BMC did not do what it was told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PowerError {
    /// No answer, or no trust in who answers.
    #[error("BMC {address} does not answer: {why}; check its address, its network and its certificate")]
    Unreachable {
        /// Which BMC.
        address: String,
        /// What went wrong.
        why: String,
    },
    /// It did not finish in time.
    #[error(
        "BMC {address} did not finish within {limit:?}; check whether it answers others, and restart it if not"
    )]
    Late {
        /// Which BMC.
        address: String,
        /// How long it had.
        limit: Duration,
    },
    /// Others are before us for too long.
    #[error("BMC {address} is still busy with other operations after {limit:?}; try again later")]
    Busy {
        /// Which BMC.
        address: String,
        /// How long this operation waited for its turn.
        limit: Duration,
    },
    /// It does not know the user or the password.
    #[error("BMC {address} refused the user name or password; set power_user and power_pass anew")]
    Credentials {
        /// Which BMC.
        address: String,
    },
    /// It answered, but not as it should.
    #[error("BMC {address} refused {what}: {why}")]
    Refused {
        /// Which BMC.
        address: String,
        /// The request.
        what: String,
        /// Its answer, shortened.
        why: String,
    },
    /// A parameter is none that a driver can work with.
    #[error("{name} cannot be used: {why}")]
    Parameter {
        /// Which.
        name: &'static str,
        /// What it should be.
        why: String,
    },
    /// The program that the driver runs is not there.
    #[error("{} is not installed on the region; install the package {}", program.name, program.package)]
    Missing {
        /// Which program.
        program: Program,
    },
    /// The power type can't do this.
    #[error("power type {} cannot {what}", kind.row().name)]
    Unable {
        /// Which type.
        kind: Kind,
        /// What it was to do.
        what: &'static str,
    },
}

impl PowerError {
    /// Whether it came from the BMC, or from the way there: then it is left alone for a while.
    pub const fn is_of_the_bmc(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Late { .. }
            | Self::Credentials { .. }
            | Self::Refused { .. } => true,
            Self::Busy { .. } | Self::Parameter { .. } | Self::Missing { .. } | Self::Unable { .. } => false,
        }
    }

    /// One word for figures.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::Late { .. } => "late",
            Self::Busy { .. } => "busy",
            Self::Credentials { .. } => "credentials",
            Self::Refused { .. } => "refused",
            Self::Parameter { .. } => "parameter",
            Self::Missing { .. } => "missing program",
            Self::Unable { .. } => "unable",
        }
    }
}

/// The first characters of what somebody answered, on one line.
pub fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().filter(|letter| !letter.is_control()).take(200).collect()
}

/// An error with its causes, which reqwest leaves out.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
