//! What handlers that change documents share.

use model::{Device, Machine, SCOPE};
use store::{Batch, CommitError, Document, Stored};

use crate::{
    call::Call,
    reply::{ApiError, Faults},
};

/// How often a change is decided again when others were faster.
const TRIES: usize = 64;

/// Decides and writes a change; where somebody wrote meanwhile, decides again on what is there now.
///
/// # Errors
/// What `decide` refuses; [`ApiError::Conflict`] if others are always faster; [`ApiError::Unavailable`].
pub async fn edit<T>(
    call: &Call,
    action: &'static str,
    mut decide: impl FnMut(Batch) -> Result<(Batch, T), ApiError>,
) -> Result<T, ApiError> {
    let mut last = None;
    for _ in 0..TRIES {
        let (batch, decided) = decide(Batch::new(format!("user:{}", call.user()), action))?;
        match call.store().commit(batch).await {
            Ok(_) => return Ok(decided),
            Err(error @ CommitError::Backend(_)) => return Err(error.into()),
            Err(error) => last = Some(error),
        }
    }
    Err(last.map_or_else(|| ApiError::Conflict("others were faster".to_owned()), ApiError::from))
}

/// The document that the `n`th capture of the path numbers.
///
/// # Errors
/// [`ApiError::NotFound`] with `class`.
pub fn numbered<T: Document>(
    call: &Call,
    n: usize,
    class: &str,
) -> Result<std::sync::Arc<Stored<T>>, ApiError> {
    call.arg(n)
        .parse::<u64>()
        .ok()
        .and_then(|number| call.store().get::<T>(SCOPE, &number.to_string()))
        .ok_or_else(|| ApiError::NotFound(class.to_owned()))
}

/// A parameter that must be there; says so in `faults` and answers an empty text if not.
pub fn required<'c>(call: &'c Call, faults: &mut Faults, name: &str) -> &'c str {
    let value = call.param(name).unwrap_or_default().trim();
    if value.is_empty() {
        faults.add(name, "This field is required.");
    }
    value
}

/// Refuses a parameter whose value is another than the one there is: better than taking it and not doing it.
pub fn only(call: &Call, faults: &mut Faults, name: &str, supported: &[&str]) {
    if let Some(value) = call.param(name)
        && !value.is_empty()
        && !supported.iter().any(|one| one.eq_ignore_ascii_case(value))
    {
        faults.add(name, format!("This region supports only {}.", supported.join(" or ")));
    }
}

/// Checks a name of a zone, pool, fabric, space: letters, digits, `_`, then also `-` and blanks.
pub fn check_name(faults: &mut Faults, field: &str, name: &str) {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let good = name.chars().all(|c| word(c) || c == '-' || c == ' ');
    if !name.is_empty() && (!good || !name.starts_with(word) || name.chars().count() > 256) {
        faults.add(field, "Enter a valid value.");
    }
}

/// Reserved-for-administrators where MAAS answers with no words.
///
/// # Errors
/// [`ApiError::Forbidden`].
pub fn admin_only(call: &Call) -> Result<(), ApiError> {
    if call.admin() { Ok(()) } else { Err(ApiError::Forbidden(String::new())) }
}

/// Adds to the batch the change of every device that `change` changes.
pub fn change_devices(call: &Call, mut batch: Batch, change: impl Fn(&mut Device)) -> Batch {
    for seen in call.store().list::<Device>(SCOPE) {
        let mut device = seen.value.clone();
        change(&mut device);
        if device != seen.value {
            device.updated = jiff::Timestamp::now();
            batch = batch.update(SCOPE, &seen.id, seen.version, &device);
        }
    }
    batch
}

/// Adds to the batch the change of every machine that `change` changes.
pub fn change_machines(call: &Call, mut batch: Batch, change: impl Fn(&mut Machine)) -> Batch {
    for seen in call.state.machines.all() {
        let mut machine = seen.value.clone();
        change(&mut machine);
        if machine != seen.value {
            machine.updated = jiff::Timestamp::now();
            batch = batch.update(SCOPE, &seen.id, seen.version, &machine);
        }
    }
    batch
}
