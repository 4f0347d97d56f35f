//! HTTP pieces that every server here shares: health, metrics, and serving until told to stop.

use std::{
    collections::BTreeMap,
    fmt::Write,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{Router, extract::State, routing::get};
use tokio::{net::TcpListener, sync::watch};

/// Named numbers, shown at `/metrics` in Prometheus's text form; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Metrics(Arc<Mutex<BTreeMap<String, f64>>>);

impl Metrics {
    /// Adds to a counter. `name` may carry labels: `dhcp_replies_total{kind="ack"}`.
    pub fn add(&self, name: &str, amount: f64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(name.to_owned()).or_default() += amount;
    }

    /// Sets a gauge.
    pub fn set(&self, name: &str, value: f64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), value);
    }

    fn text(&self) -> String {
        let numbers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        numbers.iter().fold(String::new(), |mut out, (name, value)| {
            let _ = writeln!(out, "bessemer_{name} {value}");
            out
        })
    }
}

/// `/healthz` and `/metrics`.
pub fn upkeep(metrics: Metrics) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/metrics", get(|State(metrics): State<Metrics>| async move { metrics.text() }))
        .with_state(metrics)
}

/// Binds a TCP port, or says which one could not be had and what to do.
pub async fn bind(address: SocketAddr, what: &str) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|source| BindError { what: what.to_owned(), address, source })
}

/// A port that could not be had.
#[derive(Debug, thiserror::Error)]
#[error("{what} cannot listen on {address}: {source}; stop the other program or configure another port")]
pub struct BindError {
    /// Which service.
    pub what: String,
    /// Where.
    pub address: SocketAddr,
    /// Why.
    pub source: std::io::Error,
}

/// Serves until `stop` becomes true; open requests are finished.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    mut stop: watch::Receiver<bool>,
) -> std::io::Result<()> {
    axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(async move {
            let _ = stop.wait_for(|stop| *stop).await;
        })
        .await
}
