//! Loopback ports that lead into the site.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::RackError;
use crate::error::Doing as _;
use crate::netns;
use crate::tool;

/// A machine or region that has not accepted by then is not there.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Finds where a connection goes, each time anew: a machine's address comes from DHCP. May block.
pub(crate) type Resolve = Arc<dyn Fn() -> Result<Vec<SocketAddr>, RackError> + Send + Sync>;

/// Listens on a loopback port; 0 chooses one.
pub(crate) async fn listen(port: u16) -> Result<(TcpListener, SocketAddr), RackError> {
    let doing = || format!("listening on 127.0.0.1:{port}");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.doing(doing)?;
    let address = listener.local_addr().doing(doing)?;
    Ok((listener, address))
}

/// Forwards every connection into the namespace `netns`, until dropped.
pub(crate) async fn serve(listener: TcpListener, netns: String, resolve: Resolve) {
    let mut connections = JoinSet::new();
    loop {
        let outer = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors, most likely: some will come back.
                    tracing::warn!(%error, "accepting a forwarded connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            Some(_) = connections.join_next() => continue,
        };
        let (netns, resolve) = (netns.clone(), Arc::clone(&resolve));
        connections.spawn(async move {
            if let Err(error) = carry(outer, netns, resolve).await {
                tracing::debug!(%error, "forwarded connection");
            }
        });
    }
}

async fn carry(mut outer: TcpStream, netns: String, resolve: Resolve) -> Result<(), RackError> {
    let inner = tool::blocking(move || {
        let targets = resolve()?;
        netns::connect(&netns, targets, CONNECT_LIMIT).doing(|| format!("connecting in {netns}"))
    })
    .await?;
    let mut inner = TcpStream::from_std(inner).doing(|| "forwarding".into())?;
    tokio::io::copy_bidirectional(&mut outer, &mut inner).await.doing(|| "forwarding".into())?;
    Ok(())
}
