//! Everything secret that the processes need: written at each start, and again before certificates end.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use jiff::Timestamp;
use rand::RngCore as _;
use serde_json::json;

use crate::EngineError;
use crate::files::{self, Readers};
use crate::kubeconfig::{self, Hold};
use crate::layout::Layout;
use crate::manifests::{MAAS, MODULES, user};
use crate::pki::{self, Authority, For};

/// The address of the `kubernetes` service, the first of kube-apiserver's default range.
const SERVICE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

/// Writes keys, certificates and kubeconfigs. What is there keeps its key.
pub(crate) fn write(layout: &Layout, api: SocketAddr, now: Timestamp) -> Result<Authority, EngineError> {
    let authority = Authority::open(&layout.pki(), now)?;
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];
    let addresses = [loopback, api.ip(), SERVICE];
    authority.issue("kube-apiserver", For::Server { addresses: &addresses, names: &names })?;
    let local = For::Server { addresses: &[loopback], names: &["localhost"] };
    authority.issue("kube-controller-manager-server", local)?;
    let tokens = pki::key(&layout.pki().join("service-accounts.key"))?;
    files::write(
        &layout.pki().join("service-accounts.pub"),
        tokens.public_key_pem().as_bytes(),
        Readers::All,
    )?;
    let server = server(api);
    let client = |name: &str, user: &str| {
        let files = authority.issue(name, For::Client { user, group: None })?;
        let hold = Hold::ByName { authority: &authority.path() };
        kubeconfig::write(&layout.user(name), &server, user, &files, hold)
    };
    client("kube-controller-manager", "system:kube-controller-manager")?;
    for module in MODULES.iter().chain([&MAAS]) {
        client(module.manager, &user(module))?;
        authority.issue_in(&layout.webhooks(module.manager), "tls", local)?;
    }
    let admin = For::Client { user: "bessemer:admin", group: Some("system:masters") };
    let files = authority.issue("admin", admin)?;
    let hold = Hold::AsData { authority: authority.pem() };
    kubeconfig::write(&layout.admin(), &server, "bessemer:admin", &files, hold)?;
    encryption(layout)?;
    Ok(authority)
}

/// URL by which everything here reaches the API.
pub(crate) fn server(api: SocketAddr) -> String {
    if api.ip().is_unspecified() {
        format!("https://127.0.0.1:{}", api.port())
    } else {
        format!("https://{api}")
    }
}

/// The key that Secrets are encrypted with in etcd, made once.
fn encryption(layout: &Layout) -> Result<(), EngineError> {
    let path = layout.encryption();
    if files::read_if_there(&path)?.is_some() {
        return Ok(());
    }
    let mut key = [0; 32];
    rand::rng().fill_bytes(&mut key);
    let config = json!({
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [{
            "resources": ["secrets"],
            "providers": [{"secretbox": {"keys": [{"name": "key1", "secret": BASE64.encode(key)}]}}],
        }],
    });
    files::write(&path, config.to_string().as_bytes(), Readers::Owner)
}
