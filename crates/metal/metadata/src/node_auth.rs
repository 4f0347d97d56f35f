//! Who a request of an installed system is from: OAuth 1 PLAINTEXT with the credentials of its deployment.

use std::sync::Arc;

use axum::http::{HeaderMap, header};
use model::{Machine, Machines};
use oauth::Signed;
use store::Stored;

/// The machine whose credentials a request shows.
pub fn machine_of(machines: &Machines, headers: &HeaderMap) -> Option<Arc<Stored<Machine>>> {
    let signed = Signed::from_header(headers.get(header::AUTHORIZATION)?.to_str().ok()?)?;
    let shown = signed.plaintext()?;
    let machine = machines.by_token(shown.token)?;
    let kept = machine.value.credentials.as_ref()?;
    let right = secrets::constant_time_eq(&kept.consumer, shown.consumer)
        & secrets::constant_time_eq(kept.secret.expose(), shown.secret);
    right.then_some(machine)
}
