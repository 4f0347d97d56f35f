//! Every machine's BMC behind one HTTPS server: `https://ADDRESS/NAME/redfish/v1`, in its vendor's dialect.
//!
//! The service itself is the lab's ([`bmc::Bmc`]), made for the one request and gone with it: a machine at rest costs
//! nothing here.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use bmc::{Bmc, BootOverride, Credentials, Faults, Identity, MachineError, PowerState, Reset};
use serde_json::json;
use tower::ServiceExt as _;

use crate::board::Board;
use crate::fleet::Fleet;
use crate::vendor::{Case, Dialect, Done};

/// Where the lab's own service has its one system.
const SYSTEM: &str = "/redfish/v1/Systems/1";
/// Largest answer.
const ANSWER_LIMIT: usize = 1 << 20;

/// The machines' BMCs.
pub fn router(fleet: Arc<Fleet>) -> Router {
    Router::new().fallback(serve).with_state(fleet)
}

/// A machine as its BMC sees it.
struct Seat {
    fleet: Arc<Fleet>,
    number: u32,
}

#[async_trait::async_trait]
impl bmc::Machine for Seat {
    async fn power_state(&self) -> PowerState {
        self.fleet.machine(self.number).map_or(PowerState::Off, |machine| machine.look(|life| life.power()))
    }

    async fn reset(&self, reset: Reset) -> Result<(), MachineError> {
        self.fleet.reset(self.number, reset);
        Ok(())
    }

    async fn boot_override(&self) -> BootOverride {
        let machine = self.fleet.machine(self.number);
        machine.map(|machine| machine.look(|life| life.boot_override())).unwrap_or_default()
    }

    async fn set_boot_override(&self, wanted: BootOverride) -> Result<(), MachineError> {
        if let Some(machine) = self.fleet.machine(self.number) {
            machine.look(|life| life.set_boot_override(wanted));
        }
        Ok(())
    }
}

async fn serve(State(fleet): State<Arc<Fleet>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let Some((machine, rest)) = path
        .strip_prefix('/')
        .and_then(|path| path.split_once('/'))
        .and_then(|(name, rest)| Some((fleet.named(name)?, format!("/{rest}"))))
    else {
        return (StatusCode::NOT_FOUND, "no machine has this name\n").into_response();
    };
    let board = machine.board.clone();
    let dialect = &board.model().dialect;
    let fault = fleet.bmc_fault(&board);
    tokio::time::sleep(pace(&board, fleet.options.compression)).await;
    let Some(request) = dialect.ask(request, &rest) else {
        return (StatusCode::BAD_REQUEST, "not a path\n").into_response();
    };
    let change = request.method() != Method::GET;
    let faults = Faults::default();
    faults.set(fault);
    let credentials = Credentials {
        username: fleet.options.bmc.username.clone(),
        password: fleet.options.bmc.password.clone(),
    };
    let seat = Seat { fleet: fleet.clone(), number: board.number };
    let service = Bmc::new(Arc::new(seat), identity(&board), credentials, faults).router();
    match service.oneshot(request).await {
        Ok(answer) if change => dialect.changed(answer),
        Ok(answer) => dialect.answer(answer, &board).await,
        Err(never) => match never {},
    }
}

/// How long a BMC takes: its own time is shortened as its machine's, but never to less than a twentieth.
fn pace(board: &Board, compression: f64) -> Duration {
    board.bmc_answer().div_f64(compression.clamp(1.0, 20.0))
}

fn identity(board: &Board) -> Identity {
    let model = board.model();
    Identity {
        uuid: board.uuid(),
        name: board.name.clone(),
        manufacturer: model.vendor.to_owned(),
        model: model.product.to_owned(),
        serial: board.serial(),
    }
}

impl Dialect {
    /// A request in the lab's words; `None` where its path makes no URI.
    fn ask(&self, request: Request, path: &str) -> Option<Request> {
        let own = format!("/redfish/v1/Systems/{}", self.system);
        let path = match path.strip_prefix(&own) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("{SYSTEM}{rest}"),
            _ => path.to_owned(),
        };
        let (mut parts, body) = request.into_parts();
        let target = parts.uri.query().map_or_else(|| path.clone(), |query| format!("{path}?{query}"));
        parts.uri = target.parse::<Uri>().ok()?;
        Some(Request::from_parts(parts, body))
    }

    /// An answer in the vendor's words.
    async fn answer(&self, answer: Response, board: &Board) -> Response {
        let (mut parts, body) = answer.into_parts();
        let Ok(bytes) = to_bytes(body, ANSWER_LIMIT).await else {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        };
        let mut text = String::from_utf8_lossy(&bytes).into_owned();
        if self.system != "1" {
            text = text.replace(SYSTEM, &format!("/redfish/v1/Systems/{}", self.system));
        }
        if self.uuid == Case::Upper {
            let uuid = board.uuid().to_string();
            text = text.replace(&uuid, &uuid.to_uppercase());
        }
        parts.headers.remove(header::CONTENT_LENGTH);
        Response::from_parts(parts, Body::from(text))
    }

    /// The answer to a change.
    fn changed(&self, answer: Response) -> Response {
        match (answer.status(), self.done) {
            (StatusCode::NO_CONTENT, Done::Message) => {
                let message = json!({"error": {
                    "code": "Base.1.4.GeneralError",
                    "message": "See @Message.ExtendedInfo for more information.",
                    "@Message.ExtendedInfo": [{"MessageId": "Base.1.4.Success"}],
                }});
                axum::Json(message).into_response()
            }
            (StatusCode::NO_CONTENT, Done::Accepted) => StatusCode::ACCEPTED.into_response(),
            _ => answer,
        }
    }
}
