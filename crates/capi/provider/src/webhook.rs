//! Validating webhooks: what cannot be changed once an object is made.

use std::{io, path::Path, sync::Arc, time::Duration};

use axum::{Json, Router, extract::Path as UrlPath, http::StatusCode, routing::post};
use capi_types::{GROUP, VERSION};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use kube::core::{
    DynamicObject,
    admission::{AdmissionRequest, AdmissionResponse, AdmissionReview, Operation},
};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde_json::Value;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tokio_rustls::TlsAcceptor;

/// Cluster API tries a changed template by a dry run with this annotation before it makes a new one.
const TOPOLOGY_DRY_RUN: &str = "topology.cluster.x-k8s.io/dry-run";

/// A client that has not finished its TLS handshake by then is dropped.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// What cannot be changed in a kind.
struct Rule {
    /// In lower case, as in the webhook's path.
    kind: &'static str,
    /// JSON pointers of the fields, and how they are called.
    fields: &'static [(&'static str, &'static str)],
}

/// Of each kind.
const RULES: [Rule; 3] = [
    Rule { kind: "maascluster", fields: &[("/spec/dnsDomain", "cluster DNS Domain")] },
    Rule {
        kind: "maasmachine",
        fields: &[
            ("/spec/image", "maas machine image"),
            ("/spec/minCPU", "maas machine minCPU"),
            ("/spec/minMemory", "maas machine minMemory"),
        ],
    },
    Rule {
        kind: "maasmachinetemplate",
        fields: &[
            ("/spec/template/spec/image", "maas machine template image"),
            ("/spec/template/spec/minCPU", "maas machine template minCPU"),
            ("/spec/template/spec/minMemory", "maas machine template minMemory"),
        ],
    },
];

/// Path of a kind's webhook.
pub(crate) fn path(kind: &str) -> String {
    format!("/validate-{}-{VERSION}-{kind}", GROUP.replace('.', "-"))
}

/// The webhooks' routes.
pub fn router() -> Router {
    Router::new().route("/{webhook}", post(review))
}

async fn review(
    UrlPath(webhook): UrlPath<String>,
    Json(review): Json<AdmissionReview<DynamicObject>>,
) -> Result<Json<AdmissionReview<DynamicObject>>, StatusCode> {
    let rule = RULES.iter().find(|rule| path(rule.kind).strip_prefix('/') == Some(&webhook));
    let rule = rule.ok_or(StatusCode::NOT_FOUND)?;
    let request: AdmissionRequest<DynamicObject> = review.try_into().map_err(|_| StatusCode::BAD_REQUEST)?;
    let mut answer = AdmissionResponse::from(&request);
    if let Some(words) = refusal(rule, &request) {
        answer = answer.deny(words);
        answer.result.code = 400;
        "BadRequest".clone_into(&mut answer.result.reason);
    }
    Ok(Json(answer.into_review()))
}

/// Why a change is refused, if it is.
fn refusal(rule: &Rule, request: &AdmissionRequest<DynamicObject>) -> Option<String> {
    if request.operation != Operation::Update {
        return None;
    }
    let (old, new) = (request.old_object.as_ref()?, request.object.as_ref()?);
    let tried = new.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(TOPOLOGY_DRY_RUN));
    // What is on its way out is only to lose its finalizers.
    if (request.dry_run && tried) || new.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let found = rule.fields.iter().find_map(|(pointer, name)| {
        // The pointer's first part is `spec`, which is a key of the object's data.
        let of = |object: &DynamicObject| object.data.pointer(pointer).cloned().unwrap_or(Value::Null);
        let (before, after) = (of(old), of(new));
        (before != after).then_some((name, before, after))
    });
    found.map(|(name, before, after)| match rule.kind {
        "maascluster" => format!("changing {name} not allowed"),
        _ => format!("{name} change is not allowed, old={}, new={}", plain(&before), plain(&after)),
    })
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Why webhooks cannot be served by TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read as PEM.
    #[error("{file} in the webhooks' certificate folder cannot be used: {source}")]
    File {
        /// Its name.
        file: &'static str,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// Key and certificate do not belong together, or cannot be used.
    #[error("tls.crt and tls.key cannot be used together: {0}")]
    Pair(#[from] rustls::Error),
}

/// The TLS configuration of a folder with `tls.crt` and `tls.key`.
pub(crate) fn tls(folder: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let certificates = CertificateDer::pem_file_iter(folder.join("tls.crt"))
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|source| TlsError::File { file: "tls.crt", source })?;
    let key = PrivateKeyDer::from_pem_file(folder.join("tls.key"))
        .map_err(|source| TlsError::File { file: "tls.key", source })?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, key)?;
    Ok(Arc::new(config))
}

/// Answers by HTTPS until told to stop.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    mut stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let (acceptor, router) = (TlsAcceptor::from(tls), router());
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted?.0,
            Some(_) = connections.join_next() => continue,
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        };
        let (acceptor, service) = (acceptor.clone(), TowerToHyperService::new(router.clone()));
        connections.spawn(async move {
            match tokio::time::timeout(HANDSHAKE_LIMIT, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => {
                    let server = auto::Builder::new(TokioExecutor::new());
                    if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
                        tracing::debug!(%error, "a webhook's connection ended");
                    }
                }
                Ok(Err(error)) => tracing::debug!(%error, "a webhook's TLS handshake failed"),
                Err(_) => tracing::debug!("a webhook's TLS handshake took too long"),
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{body::Body, http::Request};
    use serde_json::json;
    use tower::ServiceExt;

    async fn ask(kind: &str, old: Value, new: Value, dry_run: bool) -> (bool, String) {
        let body = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {
                "uid": "u", "operation": "UPDATE", "dryRun": dry_run, "name": "x", "namespace": "n", "userInfo": {},
                "kind": { "group": GROUP, "version": VERSION, "kind": kind },
                "resource": { "group": GROUP, "version": VERSION, "resource": format!("{kind}s") },
                "oldObject": old, "object": new,
            },
        });
        let request = Request::post(path(&kind.to_lowercase())).header("content-type", "application/json");
        let answer = router().oneshot(request.body(Body::from(body.to_string())).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200);
        let bytes = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        let review: Value = serde_json::from_slice(&bytes).unwrap();
        let response = &review["response"];
        assert_eq!(response["uid"], "u");
        (
            response["allowed"].as_bool().unwrap(),
            response["status"]["message"].as_str().unwrap_or_default().to_owned(),
        )
    }

    fn object(kind: &str, spec: &Value) -> Value {
        json!({ "apiVersion": format!("{GROUP}/{VERSION}"), "kind": kind, "metadata": { "name": "x" }, "spec": spec })
    }

    #[tokio::test]
    async fn what_cannot_change_does_not() {
        let machine = |image: &str, cpu: u32, tags: &[&str]| json!({ "image": image, "minCPU": cpu, "minMemory": 1, "tags": tags });
        let template = |spec: Value| json!({ "template": { "spec": spec } });
        for (kind, old, new, words) in [
            (
                "MaasCluster",
                json!({ "dnsDomain": "a" }),
                json!({ "dnsDomain": "b" }),
                "changing cluster DNS Domain not allowed",
            ),
            (
                "MaasMachine",
                machine("a", 1, &[]),
                machine("b", 1, &[]),
                "maas machine image change is not allowed, old=a, new=b",
            ),
            (
                "MaasMachine",
                machine("a", 1, &[]),
                machine("a", 2, &[]),
                "maas machine minCPU change is not allowed, old=1, new=2",
            ),
            ("MaasMachine", machine("a", 1, &[]), machine("a", 1, &["x"]), ""),
            ("MaasMachine", json!({}), json!({}), ""),
            (
                "MaasMachineTemplate",
                template(machine("a", 1, &[])),
                template(machine("b", 1, &[])),
                "maas machine template image change is not allowed, old=a, new=b",
            ),
        ] {
            let (allowed, said) = ask(kind, object(kind, &old), object(kind, &new), false).await;
            assert_eq!((allowed, said.as_str()), (words.is_empty(), words), "{kind}");
        }
    }

    #[tokio::test]
    async fn cluster_api_may_try_a_template_by_a_dry_run() {
        let kind = "MaasMachineTemplate";
        let body =
            |image: &str| json!({ "template": { "spec": { "image": image, "minCPU": 1, "minMemory": 1 } } });
        let mut new = object(kind, &body("b"));
        new["metadata"]["annotations"] = json!({ TOPOLOGY_DRY_RUN: "" });
        assert!(ask(kind, object(kind, &body("a")), new.clone(), true).await.0);
        assert!(!ask(kind, object(kind, &body("a")), new, false).await.0);
        assert!(!ask(kind, object(kind, &body("a")), object(kind, &body("b")), true).await.0);
    }
}
