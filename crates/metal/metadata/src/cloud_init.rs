//! MAAS's metadata service, as cloud-init's MAAS data source reads it
//! (<https://docs.cloud-init.io/en/latest/reference/datasources/maas.html>).

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::any,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use lifecycle::{Signal, Status};
use model::{Domain, Level, Machine, Machines, SCOPE};
use serde::Deserialize;
use store::Stored;

use crate::node_auth::machine_of;

/// Versions that are served.
const VERSIONS: [&str; 2] = ["latest", "2012-03-01"];
/// Largest message of the status webhook; it may carry log files.
const BODY_LIMIT: usize = 8 << 20;

/// The metadata service.
#[derive(Debug, Clone)]
pub struct CloudInit {
    /// The machines.
    pub machines: Machines,
}

/// A message of the status webhook.
#[derive(Debug, Deserialize)]
struct StatusMessage {
    event_type: String,
    #[serde(default)]
    origin: String,
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    result: Option<String>,
}

impl CloudInit {
    /// The routes below `/MAAS/metadata`.
    pub fn router(self) -> Router {
        Router::new()
            .route("/MAAS/metadata/{*path}", any(handle))
            .layer(DefaultBodyLimit::max(BODY_LIMIT))
            .with_state(Arc::new(self))
    }

    fn meta_data(&self, machine: &Stored<Machine>, key: &str) -> Option<String> {
        let value = &machine.value;
        match key {
            "" => Some("instance-id\nlocal-hostname\npublic-keys\nvendor-data\nx509".to_owned()),
            "instance-id" => Some(machine.id.clone()),
            "local-hostname" => {
                let domain = self.machines.store().get::<Domain>(SCOPE, &value.domain.to_string());
                Some(format!(
                    "{}.{}",
                    value.hostname,
                    domain.map_or("maas".to_owned(), |d| d.value.name.clone())
                ))
            }
            "public-keys" => Some(self.machines.keys_of(value).join("\n")),
            "vendor-data" => Some("cloud-init: |\n  #cloud-config\n  {}\n".to_owned()),
            "x509" => Some(String::new()),
            _ => None,
        }
    }

    /// User-data; fetching it says that the installed system is up (MAAS: Deploying → Deployed).
    async fn user_data(&self, machine: &Stored<Machine>) -> Response {
        if machine.value.status == Status::Deploying && !machine.value.netboot {
            let noted = self.machines.signal(&machine.id, Signal::UserData, Timestamp::now()).await;
            if let Err(error) = noted {
                tracing::warn!(%error, system_id = machine.id, "user-data fetch not recorded");
                return (StatusCode::SERVICE_UNAVAILABLE, "try again\n").into_response();
            }
        }
        match &machine.value.user_data {
            Some(data) => decoded(data.expose()).into_response(),
            None => not_found(),
        }
    }

    async fn status(&self, machine: &Stored<Machine>, body: &[u8]) -> Response {
        let Ok(message) = serde_json::from_slice::<StatusMessage>(body) else {
            return (StatusCode::BAD_REQUEST, "not a status message\n").into_response();
        };
        let now = Timestamp::now();
        let top_level = !message.name.contains('/');
        let failed = message.event_type == "finish" && message.result.as_deref() == Some("FAIL");
        let last = message.event_type == "finish" && message.name == "modules-final";
        let noted = self
            .machines
            .change::<std::convert::Infallible>(
                "cloud-init",
                "machine.status",
                &machine.id,
                |machine, batch| {
                    if top_level && machine.status == Status::Deploying {
                        machine.note(Signal::Progress, now);
                    }
                    if top_level && matches!(machine.status, Status::Deploying | Status::Deployed) {
                        machine.timeline.note(format!("{}: {}", message.name, message.description));
                    }
                    if failed && top_level && machine.status == Status::Deploying {
                        machine.flow.failure = Some(format!("cloud-init: {} failed", message.name));
                    }
                    // It may hold secrets, and the machine has it now.
                    let has_it = machine.status == Status::Deployed
                        || machine.status == Status::Deploying && machine.flow.user_data.is_some();
                    if last && !failed && has_it {
                        machine.user_data = None;
                        machine.timeline.finish(now, "modules-final");
                    }
                    Ok(batch)
                },
            )
            .await;
        if top_level || failed {
            let level = if failed { Level::Error } else { Level::Debug };
            let text = format!("{} {}: {}", message.event_type, message.name, message.description);
            self.machines.event(level, &machine.id, &format!("Node {}", message.origin), &text, None).await;
        }
        match noted {
            Ok(_) => StatusCode::NO_CONTENT.into_response(),
            Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
        }
    }
}

async fn handle(
    State(service): State<Arc<CloudInit>>,
    method: Method,
    headers: HeaderMap,
    Path(path): Path<String>,
    body: Bytes,
) -> Response {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let Some(machine) = machine_of(&service.machines, &headers) else {
        return (
            StatusCode::UNAUTHORIZED,
            [(header::CONTENT_TYPE, "text/plain")],
            "Authorization Error: Invalid API key.",
        )
            .into_response();
    };
    match (method, parts.as_slice()) {
        (Method::POST, ["status", id]) if *id == machine.id => service.status(&machine, &body).await,
        (Method::GET, [version, rest @ ..]) if VERSIONS.contains(version) => match rest {
            [] => "meta-data\nuser-data\n".into_response(),
            ["meta-data"] => text(service.meta_data(&machine, "")),
            ["meta-data", key] => text(service.meta_data(&machine, key)),
            ["user-data"] => service.user_data(&machine).await,
            ["maas-scripts"] => StatusCode::NO_CONTENT.into_response(),
            _ => not_found(),
        },
        // MAAS's signal and netboot ops: the agent of ours reports elsewhere, an installed system has nothing to say.
        (Method::POST, [version]) if VERSIONS.contains(version) => "OK".into_response(),
        _ => not_found(),
    }
}

fn text(value: Option<String>) -> Response {
    value.map_or_else(not_found, IntoResponse::into_response)
}

fn not_found() -> Response {
    (StatusCode::NOT_FOUND, "not found\n").into_response()
}

/// User-data as it was meant: decoded where it is base64 (MAAS).
fn decoded(data: &str) -> Vec<u8> {
    let squeezed: String = data.split_whitespace().collect();
    match BASE64_STANDARD.decode(&squeezed) {
        Ok(bytes) if !squeezed.is_empty() => bytes,
        _ => data.as_bytes().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::decoded;
    use base64::{Engine, prelude::BASE64_STANDARD};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn base64_comes_out_as_it_went_in(data in proptest::collection::vec(any::<u8>(), 1..200)) {
            prop_assert_eq!(decoded(&BASE64_STANDARD.encode(&data)), data);
        }
    }

    #[test]
    fn plain_text_stays_plain() {
        assert_eq!(decoded("#cloud-config\n{}"), b"#cloud-config\n{}");
    }
}
