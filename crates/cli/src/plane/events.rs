//! Events, and why a cluster is as it is.

use jiff::Timestamp;
use plane_client::v1;

use super::{client, cluster};
use crate::{
    CliError, Global, Session,
    text::{clean, clock, table},
};

/// Shows what happened: to one cluster, or to all of them.
pub async fn run(
    session: &mut Session<'_>,
    global: &Global,
    of: Option<&str>,
    limit: u32,
) -> Result<(), CliError> {
    let client = client(session, global)?;
    let path = match of {
        Some(name) => format!("/v1/events/components/spectrocluster/{}", cluster::find(&client, name).await?),
        None => "/v1/events/components".to_owned(),
    };
    let mut all: v1::List<v1::Event> = client.get(&format!("{path}?limit={limit}")).await?;
    // The latest stands last, where one looks.
    all.items.reverse();
    let (zone, now) = (session.zone.clone(), Timestamp::now());
    session.show(global.output, &all.items, || {
        let row = |event: &v1::Event| {
            let at = event.metadata.creation_timestamp;
            [
                at.map(|at| clock(at, now, &zone)).unwrap_or_default(),
                event.involved_object.name.clone(),
                event.severity.clone(),
                event.reason.clone(),
                clean(&event.message),
                event.source.component.clone(),
            ]
        };
        let headers = ["time", "cluster", "", "reason", "", "by"];
        table(headers, all.items.iter().map(row).collect(), "Nothing has happened yet.")
    })
}
