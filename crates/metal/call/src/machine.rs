//! The machine that a call is about: who may see it, who may change it, how it is answered.

use std::sync::Arc;

use bytes::Bytes;
use model::Machine;
use render::Embedded;
use store::Stored;

use crate::{
    call::Call,
    reply::{ApiError, Reply},
};

/// The machine that the first capture of the path names.
///
/// # Errors
/// [`ApiError::NotFound`]; [`ApiError::Forbidden`] if it is somebody else's.
pub fn load(call: &Call) -> Result<Arc<Stored<Machine>>, ApiError> {
    let machine =
        call.state.machines.get(call.arg(0)).ok_or_else(|| ApiError::NotFound("Machine".to_owned()))?;
    if visible(call, &machine.value) { Ok(machine) } else { Err(ApiError::Forbidden(String::new())) }
}

/// The machine, if the caller may change it: it has it, or is an administrator.
///
/// # Errors
/// As [`load`].
pub fn load_own(call: &Call) -> Result<Arc<Stored<Machine>>, ApiError> {
    let machine = load(call)?;
    if owns(call, &machine.value) { Ok(machine) } else { Err(ApiError::Forbidden(String::new())) }
}

/// The machine, if the caller is an administrator.
///
/// # Errors
/// As [`load`].
pub fn load_as_admin(call: &Call) -> Result<Arc<Stored<Machine>>, ApiError> {
    let machine = load(call)?;
    if call.admin() { Ok(machine) } else { Err(ApiError::Forbidden(String::new())) }
}

/// Users see machines that are free or theirs.
pub fn visible(call: &Call, machine: &Machine) -> bool {
    call.admin() || machine.owner.as_deref().is_none_or(|owner| owner == call.user())
}

/// Whether the caller has the machine, or is an administrator.
pub fn owns(call: &Call, machine: &Machine) -> bool {
    call.admin() || machine.owner.as_deref() == Some(call.user())
}

/// The machine as an answer.
pub fn shown(call: &Call, machine: &Stored<Machine>) -> Reply {
    Reply::RawJson(Bytes::from(text(call, machine)))
}

/// The machine as JSON text.
pub fn text(call: &Call, machine: &Stored<Machine>) -> Vec<u8> {
    let mut text = Vec::new();
    match render::machine(&mut text, &machine.id, &machine.value, &Embedded::of(call.store())) {
        Ok(()) => text,
        Err(_) => b"null".to_vec(),
    }
}
