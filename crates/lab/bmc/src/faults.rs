//! Misbehaviour on command.

use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

/// One way for a BMC to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Works.
    #[default]
    None,
    /// Answers 503 to everything.
    Refuse,
    /// Takes requests and never answers.
    Hang,
    /// Knows nobody: 401 whatever the credentials.
    WrongAuth,
    /// Says Off while the machine is on.
    Lying,
}

/// The switch for a BMC's fault; clones turn the same one.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<RwLock<Fault>>);

impl Faults {
    /// The fault in force.
    pub fn get(&self) -> Fault {
        *self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces it, from the next request on.
    pub fn set(&self, fault: Fault) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = fault;
    }
}
