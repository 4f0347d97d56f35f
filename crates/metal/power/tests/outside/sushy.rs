//! sushy-tools' Redfish emulator with its fake driver, whose machines take seconds to do as they are told.

use std::{fs, net::SocketAddr, process::Command, time::Duration};

use axum::{Router, response::IntoResponse, routing::any};
use power::{Bmc, Power, PowerError, types::Kind};
use serde_json::Value;

use crate::support::{self, Running, answers, comes, tcp_port, word};

const UUID: &str = "27946b59-9e44-4fa7-8e91-f3527a1ef094";
/// bcrypt of "geheim", made by the environment's own package.
const HASH: &str = "import bcrypt; print('maas:' + bcrypt.hashpw(b'geheim', bcrypt.gensalt(4)).decode())";

fn bmc(address: &str, password: &str, node: &str) -> Box<dyn Bmc> {
    let parameters =
        [("power_address", address), ("power_user", "maas"), ("power_pass", password), ("node_id", node)];
    support::bmc(Kind::Redfish, &parameters)
}

#[tokio::test]
async fn on_off_state_boot_over_the_network_and_a_wrong_password() {
    let Some(python) = support::python() else { return };
    let (folder, port) = (tempfile::tempdir().unwrap(), tcp_port());
    let path = folder.path().display().to_string();
    let hashed = Command::new(&python).args(["-c", HASH]).output().unwrap();
    fs::write(folder.path().join("users"), hashed.stdout).unwrap();
    fs::write(
        folder.path().join("config"),
        format!(
            "SUSHY_EMULATOR_LISTEN_IP = '127.0.0.1'\nSUSHY_EMULATOR_LISTEN_PORT = {port}\n\
             SUSHY_EMULATOR_AUTH_FILE = '{path}/users'\nSUSHY_EMULATOR_STATE_DIR = '{path}'\n"
        ),
    )
    .unwrap();
    let emulator = python.with_file_name("sushy-emulator");
    let config = format!("{path}/config");
    let _running = Running::start(
        Command::new(emulator).args(["--config", &config, "--fake"]).env("TMPDIR", &path),
        &folder.path().join("output"),
    );
    let address = format!("http://127.0.0.1:{port}");
    let bmc = bmc_of(&address, "geheim");
    assert_eq!(answers(&*bmc).await, Power::Off);
    bmc.boot_network().await.unwrap();
    assert_eq!(boot_target(&address).await, "Pxe");
    comes(&*bmc, Power::On).await;
    bmc.boot_network().await.unwrap();
    comes(&*bmc, Power::On).await;
    bmc.on().await.unwrap();
    bmc.off().await.unwrap();
    comes(&*bmc, Power::Off).await;
    // As MAAS names it, and the only one that there is.
    assert_eq!(self::bmc(&address, "geheim", UUID).state().await, Ok(Power::Off));
    assert_eq!(self::bmc(&address, "geheim", "").state().await, Ok(Power::Off));
    assert_eq!(word(self::bmc(&address, "geheim", "none").state().await), "refused");
    assert_eq!(word(bmc_of(&address, "falsch").state().await), "credentials");
}

fn bmc_of(address: &str, password: &str) -> Box<dyn Bmc> {
    bmc(address, password, &format!("/redfish/v1/Systems/{UUID}"))
}

async fn boot_target(address: &str) -> String {
    let request = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{address}/redfish/v1/Systems/{UUID}");
    let answer = request.get(url).basic_auth("maas", Some("geheim")).send().await.unwrap();
    let system: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    system["Boot"]["BootSourceOverrideTarget"].as_str().unwrap().to_owned()
}

async fn serve(router: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

#[tokio::test]
async fn garbage_and_silence() {
    let garbage = serve(Router::new().fallback(any(async || "\u{0}<html>{{"))).await;
    let error = bmc(&format!("http://{garbage}"), "geheim", "1").state().await.unwrap_err();
    assert!(matches!(error, PowerError::Refused { .. }), "{error}");
    let flood = serve(Router::new().fallback(any(async || {
        let pieces = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b'x'; 1 << 20]));
        axum::body::Body::from_stream(pieces).into_response()
    })))
    .await;
    assert_eq!(word(bmc(&format!("http://{flood}"), "geheim", "1").state().await), "unreachable");
    let silent = serve(Router::new().fallback(any(async || {
        tokio::time::sleep(Duration::from_hours(1)).await;
    })))
    .await;
    assert_eq!(word(bmc(&format!("http://{silent}"), "geheim", "1").state().await), "unreachable");
}
