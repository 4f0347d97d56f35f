//! Figures at `/metrics`, in Prometheus's text form.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Instant,
};

use axum::{
    Router,
    body::{Body, HttpBody},
    extract::{MatchedPath, Request, State},
    http::{Method, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::TryStreamExt;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, prometheus_text},
    metrics::{MetricType, counter::Counter, family::Family, gauge::ConstGauge, histogram::Histogram},
    registry::{Registry, Unit},
};

/// Upper bounds in seconds: from an answer out of memory to a machine's question that is held open, or an image.
const BOUNDS: [f64; 10] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 300.0];

/// What a process counts; cheap to clone, all clones are one.
///
/// Every name begins with `bessemer_`, but for `process_resident_memory_bytes`, which dashboards know by that name.
/// No label may have a value for each machine, address or user.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<RwLock<Registry>>,
    http: Http,
}

/// Set on a response by services with a route table of their own, which is finer than the router's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route(pub &'static str);

#[derive(Debug, Clone)]
struct Http {
    durations: Family<Answered, Histogram, fn() -> Histogram>,
    sent: Family<Sent, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    service: &'static str,
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Sent {
    service: &'static str,
    route: String,
}

impl Default for Metrics {
    fn default() -> Self {
        let http = Http {
            durations: Family::new_with_constructor(|| Histogram::new(BOUNDS)),
            sent: Family::default(),
        };
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Memory));
        let metrics = Self { registry: Arc::new(RwLock::new(registry)), http: http.clone() };
        metrics.register(|registry| {
            let help = "HTTP requests by service, route and status: how long until the answer began";
            registry.register_with_unit("http_request_duration", help, Unit::Seconds, http.durations);
            let help = "Bytes of HTTP bodies sent, by service and route";
            registry.register("http_response_bytes", help, http.sent);
        });
        metrics
    }
}

impl Metrics {
    /// Adds figures; their names get the prefix `bessemer_`.
    pub fn register(&self, add: impl FnOnce(&mut Registry)) {
        let mut registry = self.registry.write().unwrap_or_else(PoisonError::into_inner);
        add(registry.sub_registry_with_prefix("bessemer"));
    }

    /// Counts and times the requests to `router`, under the name of its service.
    pub fn count(&self, service: &'static str, router: Router) -> Router {
        router.layer(middleware::from_fn_with_state((service, self.http.clone()), count))
    }

    fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_text::encode(&mut text, &self.registry.read().unwrap_or_else(PoisonError::into_inner))?;
        Ok(text)
    }
}

/// `/healthz` and `/metrics`.
pub fn upkeep(metrics: Metrics) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/metrics", get(|State(metrics): State<Metrics>| async move { show(&metrics) }))
        .with_state(metrics)
}

fn show(metrics: &Metrics) -> Response {
    match metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus_text::CONTENT_TYPE)], text).into_response(),
        Err(error) => (axum::http::StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn count(
    State((service, http)): State<(&'static str, Http)>,
    matched: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let (began, method) = (Instant::now(), name(request.method()));
    let response = next.run(request).await;
    let route = match (response.extensions().get::<Route>(), matched) {
        (Some(Route(route)), _) => (*route).to_owned(),
        (None, Some(matched)) => matched.as_str().to_owned(),
        (None, None) => "none".to_owned(),
    };
    let sent = http.sent.get_or_create_owned(&Sent { service, route: route.clone() });
    let answered = Answered { service, method, route, status: response.status().as_u16() };
    http.durations.get_or_create(&answered).observe(began.elapsed().as_secs_f64());
    match response.body().size_hint().exact() {
        // In memory: it goes as a whole.
        Some(length) => {
            sent.inc_by(length);
            response
        }
        None => response.map(|body| {
            Body::from_stream(body.into_data_stream().inspect_ok(move |piece| {
                sent.inc_by(piece.len() as u64);
            }))
        }),
    }
}

/// Clients may make up methods; labels may not grow with that.
fn name(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        _ => "other",
    }
}

/// Resident memory of this process, read when it is asked for.
#[derive(Debug)]
struct Memory;

impl Collector for Memory {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(bytes) = resident() else { return Ok(()) };
        let (name, help) = ("process_resident_memory_bytes", "Resident memory size in bytes.");
        ConstGauge::new(bytes).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
    }
}

fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{body::to_bytes, http::StatusCode, routing::any};
    use tower::ServiceExt;

    async fn ask(app: &Router, path: &str) -> Response {
        let request = Request::get(path).body(Body::empty()).unwrap();
        app.clone().oneshot(request).await.unwrap()
    }

    #[tokio::test]
    async fn requests_are_counted_by_route_and_not_by_path() {
        let pieces = || Body::from_stream(futures_util::stream::iter([Ok::<_, fmt::Error>("ab"), Ok("c")]));
        let metrics = Metrics::default();
        let routes =
            Router::new().route("/boot/{token}", any(move || async move { Response::new(pieces()) })).route(
                "/api/{*rest}",
                any(|| async {
                    let mut response = StatusCode::CONFLICT.into_response();
                    response.extensions_mut().insert(Route("machines/{system_id}/"));
                    response
                }),
            );
        let app = metrics.count("boot", routes).merge(upkeep(metrics.clone()));
        for path in ["/boot/one", "/boot/two", "/api/machines/abc123/"] {
            to_bytes(ask(&app, path).await.into_body(), 100).await.unwrap();
        }
        let response = ask(&app, "/metrics").await;
        assert_eq!(response.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
        let text = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        let text = std::str::from_utf8(&text).unwrap();
        for line in [
            "# TYPE bessemer_http_request_duration_seconds histogram",
            "bessemer_http_request_duration_seconds_count{service=\"boot\",method=\"GET\",route=\"/boot/{token}\",status=\"200\"} 2",
            "bessemer_http_request_duration_seconds_count{service=\"boot\",method=\"GET\",route=\"machines/{system_id}/\",status=\"409\"} 1",
            "bessemer_http_response_bytes_total{service=\"boot\",route=\"/boot/{token}\"} 6",
            "# TYPE process_resident_memory_bytes gauge",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
        }
        assert!(!text.contains("abc123") && !text.contains("/boot/one"), "{text}");
    }
}
