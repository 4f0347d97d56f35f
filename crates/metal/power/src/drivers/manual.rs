//! A person: told what to do by `bessemer why`, and believed.

use super::Power;
use crate::{Bmc, PowerError, types::Kind};

/// MAAS's `manual`: orders are left to people, questions have no answer.
#[derive(Debug, Clone, Copy)]
pub struct Manual;

#[async_trait::async_trait]
impl Bmc for Manual {
    fn address(&self) -> &'static str {
        ""
    }

    async fn state(&self) -> Result<Power, PowerError> {
        Err(PowerError::Unable { kind: Kind::Manual, what: "tell whether the machine is on" })
    }

    async fn boot_network(&self) -> Result<(), PowerError> {
        Ok(())
    }

    async fn on(&self) -> Result<(), PowerError> {
        Ok(())
    }

    async fn off(&self) -> Result<(), PowerError> {
        Ok(())
    }
}
