//! The serial console as a log, as BMCs with `OpenBMC` serve it: `LogServices/HostLogger`.

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::redfish::{answer, failure, link, missing};
use crate::{Bmc, ConsoleLines};

/// The system's log services.
pub(crate) const SERVICES: &str = "/redfish/v1/Systems/1/LogServices";
const LOGGER: &str = "/redfish/v1/Systems/1/LogServices/HostLogger";
const ENTRIES: &str = "/redfish/v1/Systems/1/LogServices/HostLogger/Entries";

/// Entries of one page at most.
const PAGE: usize = 1000;

pub(crate) fn routes() -> Router<Bmc> {
    Router::new().route(SERVICES, get(services)).route(LOGGER, get(logger)).route(ENTRIES, get(entries))
}

/// A part of a collection, as DSP0266 asks for it.
#[derive(Deserialize)]
struct Part {
    #[serde(rename = "$skip", default)]
    skip: usize,
    #[serde(rename = "$top", default = "page")]
    top: usize,
}

const fn page() -> usize {
    PAGE
}

async fn services(State(bmc): State<Bmc>) -> Response {
    let members = match console(&bmc, 0, 0).await {
        Ok(_) => vec![link(LOGGER)],
        Err(_) => vec![],
    };
    answer(&json!({
        "@odata.id": SERVICES,
        "@odata.type": "#LogServiceCollection.LogServiceCollection",
        "Name": "System log services",
        "Members@odata.count": members.len(),
        "Members": members,
    }))
}

async fn logger(State(bmc): State<Bmc>) -> Response {
    if let Err(refused) = console(&bmc, 0, 0).await {
        return *refused;
    }
    answer(&json!({
        "@odata.id": LOGGER,
        "@odata.type": "#LogService.v1_1_0.LogService",
        "Id": "HostLogger",
        "Name": "Host logger service",
        "Description": "What the host writes on its serial console",
        "ServiceEnabled": true,
        "Entries": link(ENTRIES),
    }))
}

async fn entries(State(bmc): State<Bmc>, part: Result<Query<Part>, QueryRejection>) -> Response {
    let Query(part) = match part {
        Ok(part) => part,
        Err(error) => {
            let code = "Base.1.0.QueryParameterValueFormatError";
            return failure(StatusCode::BAD_REQUEST, code, &error.body_text());
        }
    };
    match console(&bmc, part.skip, part.top.min(PAGE)).await {
        Ok(found) => answer(&collection(part.skip, &found)),
        Err(refused) => *refused,
    }
}

/// The lines, or the answer that there are none.
async fn console(bmc: &Bmc, skip: usize, top: usize) -> Result<ConsoleLines, Box<Response>> {
    match bmc.machine.console(skip, top).await {
        Ok(Some(found)) => Ok(found),
        Ok(None) => Err(Box::new(missing())),
        Err(error) => {
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            Err(Box::new(failure(status, "Base.1.0.GeneralError", &error.to_string())))
        }
    }
}

fn collection(skip: usize, found: &ConsoleLines) -> Value {
    let end = found.first + found.lines.len();
    let members: Vec<Value> = (found.first..).zip(&found.lines).map(|(id, line)| entry(id, line)).collect();
    let mut body = json!({
        "@odata.id": ENTRIES,
        "@odata.type": "#LogEntryCollection.LogEntryCollection",
        "Name": "HostLogger entries",
        "Members@odata.count": found.total,
        "Members": members,
    });
    if end > skip
        && end < found.total
        && let Some(body) = body.as_object_mut()
    {
        body.insert("Members@odata.nextLink".to_owned(), json!(format!("{ENTRIES}?$skip={end}")));
    }
    body
}

fn entry(id: usize, line: &str) -> Value {
    json!({
        "@odata.id": format!("{ENTRIES}/{id}"),
        "@odata.type": "#LogEntry.v1_4_0.LogEntry",
        "Id": id.to_string(),
        "Name": "Host logger entry",
        "EntryType": "Oem",
        "OemRecordFormat": "Host console line",
        "Severity": "OK",
        "Message": line,
    })
}
