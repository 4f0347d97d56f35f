//! Pairing, and being connected.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::{sync::watch, task::JoinSet};
use tunnel::{Commands, DialError, Dialler, NoTargets, PairingCode, Targets, Verifier};

use crate::{Clusters, Engine, Home, HomeError, Plane, SOFTWARE, Status, router};

/// Why a gateway was not paired.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// What it keeps.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The plane.
    #[error(transparent)]
    Dial(#[from] DialError),
}

/// Why a gateway does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// What it keeps.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// Not yet.
    #[error("the gateway is not paired: ask the plane for a code, then: bessemer gateway pair")]
    NotPaired,
    /// What pairing gave cannot be used.
    #[error("what pairing gave cannot be used: {0}; pair the gateway again")]
    Grants(String),
}

/// Pairs the gateway of a folder; with the same code it may be repeated. Answers the plane's id of it.
///
/// # Errors
/// [`PairError`]
pub async fn pair(home: &Home, plane: &Plane, code: &PairingCode) -> Result<String, PairError> {
    let enrolment = tunnel::pair(&plane.carriers, code, &home.key()?, SOFTWARE).await?;
    home.keep(&enrolment)?;
    Ok(enrolment.identity.gateway)
}

/// Keeps the gateway connected until it is to stop.
///
/// # Errors
/// [`RunError`], before it dials; afterwards it goes on whatever happens.
pub async fn run(
    home: &Home,
    plane: &Plane,
    engine: Option<Engine>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), RunError> {
    let enrolment = home.enrolment()?.ok_or(RunError::NotPaired)?;
    let verifier = Verifier::new(enrolment.identity.clone(), &enrolment.grants)
        .map_err(|error| RunError::Grants(error.to_string()))?;
    let (key, clusters) = (home.sealing_key()?, engine.map(Clusters::new));
    let targets: Arc<dyn Targets> = match clusters.clone() {
        Some(clusters) => Arc::new(clusters),
        None => Arc::new(NoTargets),
    };
    let commands = Commands::new(Arc::new(verifier), router(key.clone(), clusters.clone()), targets);
    let carriers = plane.carriers.clone();
    let identity = enrolment.identity.clone();
    let dialler = Dialler::new(carriers, SOFTWARE.to_owned(), home.count_start()?, home.key()?, enrolment);
    let keeper = home.clone();
    let mut running = dialler.start(commands, move |renewed| {
        if let Err(error) = keeper.keep(renewed) {
            tracing::error!(%error, "the renewed certificate could not be kept");
        }
    });
    let mut tasks = JoinSet::new();
    if let Some(clusters) = clusters {
        tasks.spawn(clusters.reconcile(key, running.reports.clone()));
    }
    let since = Timestamp::now();
    loop {
        let status = Status {
            pid: std::process::id(),
            since,
            plane: plane.name.clone(),
            gateway: identity.gateway.clone(),
            tenant: identity.tenant.clone(),
            link: running.state.borrow_and_update().clone(),
        };
        if let Err(error) = status.keep(home) {
            tracing::error!(%error, "the gateway's status could not be written");
        }
        tokio::select! {
            changed = running.state.changed() => if changed.is_err() { return Ok(()) },
            Some(ended) = tasks.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "clusters are no longer looked at: restart the gateway");
                }
            }
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        }
    }
}
