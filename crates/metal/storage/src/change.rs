//! Changing the storage of the machine that a path names.

use std::sync::Arc;

use api_call::{
    ApiError, Call,
    machine::{owns, visible},
};
use disks::{Refusal, Storage};
use lifecycle::Status;
use model::{ChangeError, Fresh, Machine};
use store::Stored;

/// Who may change something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Administrators.
    Admin,
    /// Whoever has the machine, and administrators.
    Owner,
}

/// Changes the storage of the machine that the first capture of the path names. `what` are MAAS's words for the
/// change: `format block device`.
///
/// # Errors
/// [`ApiError`]: not there, not allowed, locked, not Ready or Allocated, refused.
pub async fn change<T>(
    call: &Call,
    who: Who,
    what: &str,
    mut apply: impl FnMut(&mut Storage, &mut Fresh<'_>) -> Result<T, Refusal>,
) -> Result<(Arc<Stored<Machine>>, T), ApiError> {
    change_machine(call, what, |machine, ids| {
        let allowed = match who {
            Who::Admin => call.admin(),
            Who::Owner => owns(call, machine),
        };
        if !visible(call, machine) || !allowed {
            return Err(ApiError::Forbidden(String::new()));
        }
        if !matches!(machine.status, Status::Ready | Status::Allocated) {
            return Err(ApiError::Conflict(format!(
                "Cannot {what} because the machine is not Ready or Allocated."
            )));
        }
        apply(&mut machine.storage, ids).map_err(refused)
    })
    .await
}

/// Changes the machine that the first capture of the path names, unless it is locked.
pub async fn change_machine<T>(
    call: &Call,
    what: &str,
    mut apply: impl FnMut(&mut Machine, &mut Fresh<'_>) -> Result<T, ApiError>,
) -> Result<(Arc<Stored<Machine>>, T), ApiError> {
    let (by, action) = (format!("user:{}", call.user()), format!("machine.storage: {what}"));
    let machines = &call.state.machines;
    let mut done = None;
    let changed = machines
        .change(&by, &action, call.arg(0), |machine, batch| {
            if machine.locked {
                return Err(ApiError::Forbidden("This machine is locked.".to_owned()));
            }
            done = Some(apply(machine, &mut Fresh(machines))?);
            Ok(batch)
        })
        .await
        .map_err(|error| match error {
            ChangeError::NotFound => ApiError::NotFound("Machine".to_owned()),
            ChangeError::Refused(error) => error,
            ChangeError::Store(error) => error.into(),
        })?;
    let done = done.ok_or_else(|| ApiError::Conflict("others were faster".to_owned()))?;
    Ok((changed, done))
}

/// A refusal with MAAS's code.
pub fn refused(refusal: Refusal) -> ApiError {
    match refusal {
        Refusal::Parameter { field, words } => ApiError::field(field, words),
        Refusal::State(words) => ApiError::Bad(words),
        Refusal::NotSupported(words) => ApiError::NotImplemented(words),
        Refusal::Missing(class) => ApiError::NotFound(class.to_owned()),
    }
}
