//! TLS to PostgreSQL: a real server with a certificate of our own CA, and one of another.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use crate::support::{Note, SCOPE, postgres::Server, within};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use store::{Batch, Store};

/// A CA in `ca.pem` of the folder; with `server`, a certificate of its for 127.0.0.1.
fn ca(folder: &Path, server: Option<&Path>) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    fs::write(folder.join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    let Some(server) = server else { return };
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    fs::write(server.join("server.pem"), params.signed_by(&key, &issuer).unwrap().pem()).unwrap();
    let path = server.join("server.key");
    fs::write(&path, key.serialize_pem()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_by_tls() {
    let (ours, others) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    ca(others.path(), None);
    let port = free_port();
    let settings = |folder: &Path| {
        ca(ours.path(), Some(folder));
        let file = |name: &str| folder.join(name).display().to_string();
        vec![
            "listen_addresses=127.0.0.1".to_owned(),
            "ssl=on".to_owned(),
            format!("ssl_cert_file={}", file("server.pem")),
            format!("ssl_key_file={}", file("server.key")),
        ]
    };
    let Some(server) = Server::start_with(port, settings).await else { return };
    let url = format!("postgres://postgres@127.0.0.1:{port}/postgres?sslmode=require");
    let store = within(Store::open_postgres(&url, Some(&ours.path().join("ca.pem")))).await.unwrap();
    store.commit(Batch::new("t", "t").create(SCOPE, "n", &Note::new("x"))).await.unwrap();
    let encrypted =
        "DO $$ BEGIN ASSERT (SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                     WHERE application_name = 'bessemer'); END $$";
    server.execute(encrypted).await.unwrap();

    let error = within(Store::open_postgres(&url, Some(&others.path().join("ca.pem"))))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("by TLS") && error.contains("certificate"), "{error}");
    // The machine's own CAs do not know it either.
    within(Store::open_postgres(&url, None)).await.unwrap_err();
}
