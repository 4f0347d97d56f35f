//! The HTTP service on port 5248.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Path, Request, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
};
use jiff::Timestamp;
use lifecycle::Signal;
use model::{BootAttempt, Device, Lease, Level, Machines, Purpose, SCOPE};
use store::{Batch, CommitError};
use tower::ServiceExt;
use tower_http::services::ServeFile;

use crate::script;

/// What the boot service serves from.
#[derive(Debug, Clone)]
pub struct Boot {
    /// The machines.
    pub machines: Machines,
    /// The images.
    pub images: images::Images,
    /// Folder with `vmlinuz`, `initrd` and, if there is one, `system.squashfs` of the ephemeral system.
    pub ephemeral: PathBuf,
    /// This service's URL where a request does not tell, such as `http://10.20.0.1:5248`.
    pub base: String,
}

/// A MAC address as firmware writes it (any case, colons or dashes), in lower case with colons.
pub fn mac_of(text: &str) -> Option<String> {
    let mac = text.to_ascii_lowercase().replace('-', ":");
    let parts: Vec<&str> = mac.split(':').collect();
    let fine =
        parts.len() == 6 && parts.iter().all(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()));
    fine.then_some(mac)
}

impl Boot {
    /// The routes.
    pub fn router(self) -> Router {
        Router::new()
            .route("/ipxe.cfg", get(chain))
            .route("/{file}", get(configuration))
            .route("/boot/{token}/{file}", get(ephemeral))
            .route("/images/{token}/{sha256}", get(image))
            .with_state(Arc::new(self))
    }

    /// The configuration of one MAC address, with a new boot attempt where it loads the ephemeral system.
    async fn configure(&self, mac: &str, from: IpAddr, base: &str) -> Result<String, CommitError> {
        let machine = self.machines.by_mac(mac);
        let purpose = match (&machine, Device::by_mac(self.machines.store(), mac)) {
            // Nobody manages it: it starts what it has.
            (None, Some(_)) => Purpose::Local,
            _ => script::purpose(machine.as_ref().map(|m| &m.value)),
        };
        let now = Timestamp::now();
        let store = self.machines.store();
        let token = secrets::random_token(32);
        loop {
            let attempt = BootAttempt {
                token: token.clone(),
                address: from,
                system_id: machine.as_ref().map(|m| m.id.clone()),
                purpose,
                started: now,
            };
            let batch = Batch::new("region:boot", "boot.attempt").claim(SCOPE, "boot_token", &token, mac);
            let batch = match store.get::<BootAttempt>(SCOPE, mac) {
                Some(old) => batch.unclaim(SCOPE, "boot_token", &old.value.token, mac).update(
                    SCOPE,
                    mac,
                    old.version,
                    &attempt,
                ),
                None => batch.create(SCOPE, mac, &attempt),
            };
            match store.commit(batch).await {
                Err(CommitError::Conflict { .. }) => {}
                done => break done.map(|_| ())?,
            }
        }
        if let Some(machine) = &machine {
            self.machines.signal(&machine.id, Signal::Config, now).await?;
            let text = format!("boot configuration: {purpose:?}");
            self.machines.event(Level::Debug, &machine.id, "Performing PXE boot", &text, None).await;
        }
        tracing::info!(mac, %from, ?purpose, "boot configuration");
        Ok(script::render(purpose, base, mac, &token))
    }

    /// Whether `mac` may ask from `from`: what it boots holds the keys to its data, so where the region gave it an
    /// address, it must be that one.
    fn is_address_of(&self, mac: &str, from: IpAddr) -> bool {
        let now = Timestamp::now();
        let is_held = |lease: &Lease| lease.mac == mac && lease.state == "bound" && lease.expires > now;
        // Nearly always; without it every boot would look at all leases.
        if self.machines.store().get::<Lease>(SCOPE, &from.to_string()).is_some_and(|l| is_held(&l.value)) {
            return true;
        }
        let machine = self.machines.by_mac(mac);
        let nics = machine.iter().flat_map(|machine| &machine.value.nics).filter(|nic| nic.mac == mac);
        let links = nics.flat_map(|nic| &nic.links).filter_map(|link| link.ip);
        let leases = self.machines.store().list::<Lease>(SCOPE);
        let dynamic = leases.iter().map(|lease| &lease.value).filter(|lease| is_held(lease));
        let mut given = links.chain(dynamic.map(|lease| lease.ip)).peekable();
        given.peek().is_none() || given.any(|ip| IpAddr::V4(ip) == from)
    }
}

async fn chain(State(boot): State<Arc<Boot>>, headers: HeaderMap) -> String {
    script::chain(&http_base::sent_to(&headers, &boot.base))
}

async fn configuration(
    State(boot): State<Arc<Boot>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Path(file): Path<String>,
) -> Response {
    let Some(mac) = file.strip_prefix("ipxe.cfg-").and_then(mac_of) else {
        return (StatusCode::NOT_FOUND, "no such boot file\n").into_response();
    };
    if !boot.is_address_of(&mac, from.ip()) {
        tracing::warn!(mac, from = %from.ip(), "boot configuration refused: this address is another's");
        return (StatusCode::FORBIDDEN, "this is not the address that the region gave to this interface\n")
            .into_response();
    }
    let base = http_base::sent_to(&headers, &boot.base);
    match boot.configure(&mac, from.ip(), &base).await {
        Ok(script) => script.into_response(),
        Err(error) => {
            tracing::warn!(%error, mac, "boot configuration not recorded");
            (StatusCode::SERVICE_UNAVAILABLE, "try again\n").into_response()
        }
    }
}

async fn ephemeral(
    State(boot): State<Arc<Boot>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Path((token, file)): Path<(String, String)>,
    request: Request,
) -> Response {
    let Some(attempt) = boot.machines.attempt(&token, from.ip()) else { return foreign() };
    if !matches!(file.as_str(), "vmlinuz" | "initrd" | "system.squashfs") {
        return (StatusCode::NOT_FOUND, "no such boot file\n").into_response();
    }
    // The larger system comes after the hello: it is no step of a boot.
    if let Some(system_id) = attempt.value.system_id.as_ref().filter(|_| file != "system.squashfs") {
        let _ = boot.machines.signal(system_id, Signal::System, Timestamp::now()).await;
    }
    send(boot.ephemeral.join(file), request).await
}

async fn image(
    State(boot): State<Arc<Boot>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Path((token, sha256)): Path<(String, String)>,
    request: Request,
) -> Response {
    if boot.machines.attempt(&token, from.ip()).is_none() {
        return foreign();
    }
    match boot.images.path(&sha256) {
        Some(path) => send(path, request).await,
        None => (StatusCode::NOT_FOUND, "no such image\n").into_response(),
    }
}

fn foreign() -> Response {
    (StatusCode::FORBIDDEN, "this token is not of a current boot of this machine; restart it\n")
        .into_response()
}

async fn send(path: PathBuf, request: Request) -> Response {
    match ServeFile::new(path).oneshot(request).await {
        Ok(response) => response.map(Body::new),
        Err(never) => match never {},
    }
}
