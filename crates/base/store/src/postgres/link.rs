//! A connection that listens.

use std::{future::poll_fn, sync::Arc, time::Duration};

use tokio::sync::Notify;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, config::SslMode};

use crate::CommitError;

use super::sql::explain;

/// A connection is given up when the server has not answered at the network level for so long.
const SILENCE: Duration = Duration::from_secs(30);

/// A process that stalls inside a transaction loses it, and with it the commit lock, after this long.
const SESSION: &str = "
    SET synchronous_commit = on;
    SET idle_in_transaction_session_timeout = '30s';
    SET lock_timeout = '60s';
    LISTEN bessemer_store;
";

/// Reads the URL and refuses what we cannot keep.
pub(super) fn config(url: &str) -> Result<Config, CommitError> {
    // The URL is not repeated: it may hold a password.
    let mut config: Config = url.parse().map_err(|error| {
        CommitError::Backend(format!("the PostgreSQL URL cannot be read: {}", explain(&error)))
    })?;
    if config.get_ssl_mode() == SslMode::Require {
        return Err(CommitError::Backend(
            "the PostgreSQL URL asks for TLS (sslmode=require), which this build does not speak to PostgreSQL; \
             use a Unix socket or a private network with sslmode=disable"
                .to_owned(),
        ));
    }
    config.ssl_mode(SslMode::Disable);
    config.tcp_user_timeout(SILENCE).keepalives_idle(SILENCE);
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(SILENCE / 3);
    }
    if config.get_application_name().is_none() {
        config.application_name("bessemer");
    }
    Ok(config)
}

pub(super) struct Link {
    pub(super) client: Client,
}

impl Link {
    /// Connects; `woken` hears of each notification, and of the end of the connection.
    pub(super) async fn connect(config: &Config, woken: &Arc<Notify>) -> Result<Self, CommitError> {
        let failed =
            |error| CommitError::Backend(format!("cannot connect to PostgreSQL: {}", explain(&error)));
        let (client, mut connection) = config.connect(NoTls).await.map_err(failed)?;
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
