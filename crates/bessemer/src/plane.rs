//! `bessemer plane`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;
use plane_server::SystemGateway;
use tokio::sync::{oneshot, watch};

#[derive(Debug, Subcommand)]
pub enum PlaneCommand {
    /// Run until told to stop
    Run {
        /// Configuration file (docs/plane.md)
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Say that the database was restored from a backup, before the plane is run on it: gateways take its orders then,
    /// although they have had newer ones
    Restored {
        /// Configuration file (docs/plane.md)
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Write the OpenAPI document of /v1
    Openapi,
}

pub async fn run(config: PathBuf, stop: watch::Receiver<bool>) -> Result<()> {
    let config = plane_server::Config::read(&config)?;
    let Some(gateway) = config.system_gateway.clone() else {
        return Ok(Box::pin(plane_server::run(config, None, stop)).await?);
    };
    let (carrier, streams) = tunnel::memory();
    let (give, code) = oneshot::channel();
    let system = SystemGateway { streams, code: (!crate::gateway::is_paired(&gateway)?).then_some(give) };
    let plane = async |ended| Ok(Box::pin(plane_server::run(config, Some(system), ended)).await?);
    let beside = |ended| Box::pin(crate::gateway::run_system(gateway, carrier, code, ended));
    crate::together(plane, beside, stop).await
}

pub async fn restored(config: PathBuf) -> Result<()> {
    let config = plane_server::Config::read(&config)?;
    let incarnation = plane_server::restored(&config).await?;
    println!(
        "incarnation {incarnation}: gateways take this plane's orders before all earlier ones; now: bessemer plane run"
    );
    Ok(())
}

pub fn openapi() -> Result<()> {
    println!("{}", serde_json::to_string_pretty(&plane_api::openapi())?);
    Ok(())
}
