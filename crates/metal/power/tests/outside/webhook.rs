//! A webhook as somebody writes one, on an HTTP server of its own.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use power::{Bmc, Power, types::Kind};

use crate::support::{bmc, word};

/// Whether it is on, and what it was told.
type Seen = Arc<Mutex<(bool, Vec<String>)>>;

async fn serve(authorization: &'static str) -> (SocketAddr, Seen) {
    let seen = Seen::default();
    let switch = |what: &'static str, on: bool| {
        let seen = seen.clone();
        post(async move |headers: HeaderMap| {
            if headers.get("authorization").and_then(|value| value.to_str().ok()) != Some(authorization) {
                return StatusCode::UNAUTHORIZED;
            }
            let mut seen = seen.lock().unwrap();
            seen.0 = on;
            seen.1.push(what.to_owned());
            StatusCode::OK
        })
    };
    let asked = seen.clone();
    let router = Router::new()
        .route("/vm/on", switch("on", true))
        .route("/vm/off", switch("off", false))
        .route(
            "/vm/state",
            get(async move || {
                if asked.lock().unwrap().0 {
                    "{\"status\": \"running\"}"
                } else {
                    "{\"status\": \"stopped\"}"
                }
            }),
        )
        .route("/vm/odd", get(async || "{\"status\": \"on fire\"}"))
        .route("/vm/flood", get(async || vec![b'x'; 4 << 20]));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, seen)
}

fn hook(address: SocketAddr, state: &str, more: &[(&str, &str)]) -> Box<dyn Bmc> {
    let uri = |name: &str| format!("http://{address}/vm/{name}");
    let (on, off, query) = (uri("on"), uri("off"), uri(state));
    let mut parameters = vec![
        ("power_on_uri", on.as_str()),
        ("power_off_uri", off.as_str()),
        ("power_query_uri", query.as_str()),
    ];
    parameters.extend(more);
    bmc(Kind::Webhook, &parameters)
}

#[tokio::test]
async fn on_off_and_state_by_a_token_or_a_password() {
    let (address, seen) = serve("Bearer zeichen").await;
    let token =
        hook(address, "state", &[("power_token", "zeichen"), ("power_user", "u"), ("power_pass", "p")]);
    assert_eq!(token.state().await, Ok(Power::Off));
    token.boot_network().await.unwrap();
    assert_eq!(token.state().await, Ok(Power::On));
    token.boot_network().await.unwrap();
    token.off().await.unwrap();
    assert_eq!(seen.lock().unwrap().1, ["on", "off", "on", "off"]);
    assert_eq!(word(hook(address, "state", &[]).on().await), "credentials");

    let (address, seen) = serve("Basic bWFhczpnZWhlaW0=").await;
    let basic = hook(address, "state", &[("power_user", "maas"), ("power_pass", "geheim")]);
    basic.on().await.unwrap();
    assert_eq!(seen.lock().unwrap().1, ["on"]);
}

#[tokio::test]
async fn states_by_expressions_of_ones_own_and_what_is_none() {
    let (address, _) = serve("").await;
    assert_eq!(word(hook(address, "odd", &[]).state().await), "refused");
    assert_eq!(hook(address, "odd", &[("power_on_regex", "on f.re")]).state().await, Ok(Power::On));
    assert_eq!(hook(address, "odd", &[("power_off_regex", "(?i)FIRE")]).state().await, Ok(Power::Off));
    assert_eq!(word(hook(address, "flood", &[]).state().await), "refused");
    assert_eq!(word(hook(address, "none", &[]).state().await), "refused");
    let nobody = SocketAddr::from(([127, 0, 0, 1], crate::support::tcp_port()));
    assert_eq!(word(hook(nobody, "state", &[]).state().await), "unreachable");
}
