//! Kubeconfig files.

use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::json;

use crate::EngineError;
use crate::files::{self, Readers};
use crate::pki::Files;

/// How a kubeconfig holds certificates and key.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Hold<'a> {
    /// By the names of their files, which client-go reads again when they change.
    ByName {
        /// The authority's certificate.
        authority: &'a Path,
    },
    /// As data, so that the file is good anywhere.
    AsData {
        /// The authority's certificate, PEM.
        authority: &'a str,
    },
}

/// Writes a kubeconfig for `user` that only its owner can read.
pub(crate) fn write(
    path: &Path,
    server: &str,
    user: &str,
    client: &Files,
    hold: Hold<'_>,
) -> Result<(), EngineError> {
    let (cluster, identity) = match hold {
        Hold::ByName { authority } => (
            json!({"server": server, "certificate-authority": authority}),
            json!({"client-certificate": client.certificate, "client-key": client.key}),
        ),
        Hold::AsData { authority } => {
            let data = |path: &Path| {
                std::fs::read(path).map(|pem| BASE64.encode(pem)).map_err(files::io("read", path))
            };
            (
                json!({"server": server, "certificate-authority-data": BASE64.encode(authority)}),
                json!({
                    "client-certificate-data": data(&client.certificate)?,
                    "client-key-data": data(&client.key)?,
                }),
            )
        }
    };
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "engine", "cluster": cluster}],
        "users": [{"name": user, "user": identity}],
        "contexts": [{"name": "engine", "context": {"cluster": "engine", "user": user}}],
        "current-context": "engine",
    });
    // YAML is a superset of JSON; people expect to see YAML.
    let text = serde_yaml_ng::to_string(&config).unwrap_or_else(|_| config.to_string());
    files::write(path, text.as_bytes(), Readers::Owner)
}
