//! A connection that listens.

use std::{future::poll_fn, net::IpAddr, sync::Arc, time::Duration};

use tokio::sync::Notify;
use tokio_postgres::{
    AsyncMessage, Client, Config,
    config::{Host, SslMode},
};

use crate::CommitError;

use super::{sql::explain, tls::Tls};

/// A connection is given up when the server has not answered at the network level for so long.
const SILENCE: Duration = Duration::from_secs(30);

/// A process that stalls inside a transaction loses it, and with it the commit lock, after this long.
const SESSION: &str = "
    SET synchronous_commit = on;
    SET idle_in_transaction_session_timeout = '30s';
    SET lock_timeout = '60s';
    LISTEN bessemer_store;
";

/// Reads the URL. Unless its `sslmode` says otherwise, plain text is for this machine only.
pub(super) fn config(url: &str) -> Result<Config, CommitError> {
    // The URL is not repeated: it may hold a password.
    let mut config: Config = url.parse().map_err(|error| {
        CommitError::Backend(format!("the PostgreSQL URL cannot be read: {}", explain(&error)))
    })?;
    if config.get_ssl_mode() == SslMode::Prefer {
        let mode = if is_local(&config) { SslMode::Disable } else { SslMode::Require };
        config.ssl_mode(mode);
    }
    config.tcp_user_timeout(SILENCE).keepalives_idle(SILENCE);
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(SILENCE / 3);
    }
    if config.get_application_name().is_none() {
        config.application_name("bessemer");
    }
    Ok(config)
}

/// Whether what is said stays on this machine.
fn is_local(config: &Config) -> bool {
    let named = config.get_hosts().iter().all(|host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback()),
    });
    // Where there are addresses, they count, and the names are only for certificates.
    let addresses = config.get_hostaddrs();
    if addresses.is_empty() { named } else { addresses.iter().all(IpAddr::is_loopback) }
}

pub(super) struct Link {
    pub(super) client: Client,
}

impl Link {
    /// Connects; `woken` hears of each notification, and of the end of the connection.
    pub(super) async fn connect(
        config: &Config,
        tls: &Tls,
        woken: &Arc<Notify>,
    ) -> Result<Self, CommitError> {
        let hint = match config.get_ssl_mode() {
            SslMode::Require => " (by TLS; sslmode=disable in its URL asks for plain text)",
            _ => "",
        };
        let failed =
            |error| CommitError::Backend(format!("cannot connect to PostgreSQL{hint}: {}", explain(&error)));
        let (client, mut connection) = config.connect(tls.clone()).await.map_err(failed)?;
        let woken = Arc::clone(woken);
        // Ends with the client.
        tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
                if let AsyncMessage::Notification(_) = message {
                    woken.notify_one();
                }
            }
            woken.notify_one();
        });
        client.batch_execute(SESSION).await.map_err(failed)?;
        Ok(Self { client })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_leaves_the_machine_only_if_asked_for() {
        for (url, mode) in [
            ("postgres://u@10.0.0.5/x", SslMode::Require),
            ("postgres://u@db.example/x", SslMode::Require),
            ("postgres://u@127.0.0.1,10.0.0.5/x", SslMode::Require),
            ("postgres://u@10.0.0.5/x?sslmode=prefer", SslMode::Require),
            ("host=localhost hostaddr=10.0.0.5 user=u", SslMode::Require),
            ("postgres://u@10.0.0.5/x?sslmode=disable", SslMode::Disable),
            ("postgres://u@localhost/x", SslMode::Disable),
            ("postgres://u@[::1]/x", SslMode::Disable),
            ("host=/run/postgresql user=u", SslMode::Disable),
            ("postgres://u@localhost/x?sslmode=require", SslMode::Require),
        ] {
            assert_eq!(config(url).unwrap().get_ssl_mode(), mode, "{url}");
        }
    }
}
