//! Why something is not done.

/// Why something is not done; the words are MAAS's where it has some.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// What was asked for does not fit: which parameter (`__all__`: several together), and why.
    #[error("{field}: {words}")]
    Parameter {
        /// Parameter of MAAS's API.
        field: &'static str,
        /// What is wrong with it.
        words: String,
    },
    /// It can't be done to this as it is now.
    #[error("{0}")]
    State(String),
    /// MAAS has it, this does not.
    #[error("{0}")]
    NotSupported(String),
    /// There is none of this class, such as `Partition`.
    #[error("No {0} matches the given query.")]
    Missing(&'static str),
}

impl Refusal {
    /// A message about a parameter.
    pub fn parameter(field: &'static str, words: impl Into<String>) -> Self {
        Self::Parameter { field, words: words.into() }
    }

    pub(crate) fn all(words: impl Into<String>) -> Self {
        Self::parameter("__all__", words)
    }

    /// A value that is none of those there are, in Django's words.
    pub fn choice(field: &'static str, value: impl std::fmt::Display) -> Self {
        Self::parameter(field, format!("Select a valid choice. {value} is not one of the available choices."))
    }

    pub(crate) fn at_most(field: &'static str, limit: u64) -> Self {
        Self::parameter(field, format!("Ensure this value is less than or equal to {limit}."))
    }

    pub(crate) fn at_least(field: &'static str, limit: u64) -> Self {
        Self::parameter(field, format!("Ensure this value is greater than or equal to {limit}."))
    }
}
