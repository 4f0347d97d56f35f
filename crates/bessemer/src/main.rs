//! Bessemer: bare metal in, Kubernetes out. The binary that composes the roles.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

mod gateway;
mod plane;
mod provider;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use tokio::{
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use gateway::{EngineCommand, GatewayCommand};
use plane::PlaneCommand;
use provider::ProviderCommand;

/// Bare metal in, Kubernetes out.
#[derive(Debug, Parser)]
#[command(name = "bessemer", version, max_term_width = 100)]
struct Args {
    #[command(flatten)]
    global: cli::Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the services of a site: MAAS API, DHCP, TFTP, DNS, boot HTTP, metadata, images, power
    #[command(subcommand)]
    Region(RegionCommand),
    /// Run the portal and its API, /v1
    #[command(subcommand)]
    Plane(plane::PlaneCommand),
    /// Run the private cloud gateway of a site; list, invite and delete a plane's gateways
    #[command(subcommand)]
    Gateway(gateway::GatewayCommand),
    /// Run the Cluster API provider for MAAS
    #[command(subcommand)]
    Provider(provider::ProviderCommand),
    /// Run a rack without hardware
    #[command(subcommand)]
    Lab(LabCommand),
    #[command(flatten)]
    Client(cli::Command),
}

#[derive(Debug, Subcommand)]
enum RegionCommand {
    /// Run until told to stop
    Run {
        /// Configuration file (docs/region.md)
        #[arg(long)]
        config: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
enum LabCommand {
    /// Run until told to stop
    Run {
        /// Folder for everything the lab keeps
        #[arg(long)]
        dir: PathBuf,
        /// Configuration file
        #[arg(long)]
        config: PathBuf,
    },
    /// Show a running lab as JSON
    Status {
        /// The lab's folder
        #[arg(long)]
        dir: PathBuf,
    },
    /// Press a machine's power button
    Power {
        /// The lab's folder
        #[arg(long)]
        dir: PathBuf,
        /// Name of the machine in the lab
        machine: String,
        /// What to do
        #[arg(value_parser = power_action)]
        action: rack::PowerAction,
    },
    /// Show what a machine wrote on its serial console
    Console {
        /// The lab's folder
        #[arg(long)]
        dir: PathBuf,
        /// Name of the machine in the lab
        machine: String,
    },
    /// Switch everything off and end the lab
    Down {
        /// The lab's folder
        #[arg(long)]
        dir: PathBuf,
    },
    /// Remove what a killed lab left behind
    Clean {
        /// The lab's folder
        #[arg(long)]
        dir: PathBuf,
    },
}

fn main() -> ExitCode {
    // The lab starts this program anew as the first process of its machines.
    rack::init_if_asked();
    let args = Args::parse();
    let done = match args.command {
        Command::Client(command) => match runtime() {
            Ok(runtime) => return runtime.block_on(cli::run(args.global, command)),
            Err(error) => Err(error),
        },
        Command::Region(RegionCommand::Run { config }) => serve(|stop| region(config, stop)),
        Command::Gateway(GatewayCommand::Engine(EngineCommand::Run { config, kubeconfig })) => {
            serve(|stop| gateway::run(config, kubeconfig, stop))
        }
        Command::Gateway(GatewayCommand::Engine(EngineCommand::Status { config })) => {
            in_session(|session| gateway::engine_status(&config, args.global.output, session))
        }
        Command::Gateway(GatewayCommand::Run { config }) => serve(|stop| gateway::run_all(config, stop)),
        Command::Gateway(GatewayCommand::Pair { config, code }) => {
            runtime().and_then(|runtime| runtime.block_on(gateway::pair(&config, code)))
        }
        Command::Gateway(GatewayCommand::Status { config }) => {
            in_session(|session| gateway::status(&config, args.global.output, session))
        }
        Command::Gateway(GatewayCommand::Doctor { config }) => {
            in_session(|session| gateway::doctor(&config, args.global.output, session))
        }
        Command::Gateway(GatewayCommand::AtPlane(command)) => match runtime() {
            Ok(runtime) => return runtime.block_on(cli::run_gateway(args.global, command)),
            Err(error) => Err(error),
        },
        Command::Plane(PlaneCommand::Run { config }) => serve(|stop| plane::run(config, stop)),
        Command::Plane(PlaneCommand::Restored { config }) => {
            runtime().and_then(|runtime| runtime.block_on(plane::restored(config)))
        }
        Command::Plane(PlaneCommand::Openapi) => plane::openapi(),
        Command::Provider(ProviderCommand::Manifests) => provider::manifests(&mut std::io::stdout()),
        Command::Provider(ProviderCommand::Run(arguments)) => {
            serve(|stop| provider::run(arguments, args.global.ca.as_deref(), stop))
        }
        Command::Lab(LabCommand::Run { dir, config }) => run_lab(&dir, &config),
        Command::Lab(LabCommand::Status { dir }) => lab_status(&dir),
        Command::Lab(LabCommand::Power { dir, machine, action }) => {
            in_lab(&dir, async |lab| Ok(lab.power(&machine, action).await?))
        }
        Command::Lab(LabCommand::Console { dir, machine }) => {
            in_lab(&dir, async |lab| console(&lab, &machine).await)
        }
        Command::Lab(LabCommand::Down { dir }) => in_lab(&dir, async |lab| Ok(lab.shutdown().await?)),
        Command::Lab(LabCommand::Clean { dir }) => rack::clean(&dir).map_err(Into::into),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Shows something on the terminal.
fn in_session(show: impl FnOnce(&mut cli::Session<'_>) -> Result<()>) -> Result<()> {
    let (mut out, mut err, mut input) = (std::io::stdout(), std::io::stderr(), std::io::stdin());
    show(&mut cli::Session::of_process(&mut out, &mut err, &mut input))
}

async fn region(config: PathBuf, stop: watch::Receiver<bool>) -> Result<()> {
    let config = region::Config::read(&config)?;
    region::run(config, stop).await?;
    Ok(())
}

fn run_lab(dir: &Path, config: &Path) -> Result<()> {
    let text =
        std::fs::read_to_string(config).with_context(|| format!("cannot read {}", config.display()))?;
    let options = rack::Options::from_toml(&text, dir)?;
    log();
    runtime()?.block_on(rack::run(options))?;
    Ok(())
}

fn lab_status(dir: &Path) -> Result<()> {
    in_lab(dir, async |lab| {
        println!("{}", serde_json::to_string_pretty(&lab.status().await?)?);
        Ok(())
    })
}

/// Does something with the lab in a folder.
fn in_lab(dir: &Path, work: impl AsyncFnOnce(rack::LabClient) -> Result<()>) -> Result<()> {
    let lab = rack::LabClient::new(dir)?;
    runtime()?.block_on(work(lab))
}

async fn console(lab: &rack::LabClient, machine: &str) -> Result<()> {
    let status = lab.status().await?;
    let found = status.machines.iter().find(|m| m.name == machine).with_context(|| {
        let names: Vec<&str> = status.machines.iter().map(|m| m.name.as_str()).collect();
        format!("no machine is named {machine}; there are {}", names.join(", "))
    })?;
    let mut log = std::fs::File::open(&found.console_log)
        .with_context(|| format!("{machine} has not written anything yet; is it on?"))?;
    std::io::copy(&mut log, &mut std::io::stdout())?;
    Ok(())
}

fn power_action(text: &str) -> Result<rack::PowerAction, String> {
    match text {
        "on" => Ok(rack::PowerAction::On),
        "off" => Ok(rack::PowerAction::Off),
        "cycle" => Ok(rack::PowerAction::Cycle),
        _ => Err("on, off or cycle".to_owned()),
    }
}

/// Runs a service until SIGTERM or SIGINT.
fn serve<F: Future<Output = Result<()>>>(service: impl FnOnce(watch::Receiver<bool>) -> F) -> Result<()> {
    log();
    runtime()?.block_on(async {
        let (stop, stopped) = watch::channel(false);
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tokio::spawn(async move {
            tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
            tracing::info!("stopping");
            let _ = stop.send(true);
        });
        service(stopped).await
    })
}

/// Runs two services until both are told to stop, or one ends and so ends the other: half would only look like the
/// whole.
async fn together<A, B>(
    first: impl FnOnce(watch::Receiver<bool>) -> A,
    second: impl FnOnce(watch::Receiver<bool>) -> B,
    mut stop: watch::Receiver<bool>,
) -> Result<()>
where
    A: Future<Output = Result<()>>,
    B: Future<Output = Result<()>>,
{
    let (end, ended) = watch::channel(false);
    let ending = async |service: Result<()>| {
        end.send_replace(true);
        service
    };
    let both = async {
        let first = async { ending(first(ended.clone()).await).await };
        let second = async { ending(second(ended.clone()).await).await };
        let (first, second) = tokio::join!(first, second);
        first.and(second)
    };
    let mut both = std::pin::pin!(both);
    tokio::select! {
        done = &mut both => done,
        _ = stop.wait_for(|stop| *stop) => {
            end.send_replace(true);
            both.await
        }
    }
}

fn runtime() -> Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")
}

/// JSON lines on standard error; `RUST_LOG` chooses the level.
fn log() {
    // The Kubernetes client calls every health check of a process that still starts an error; those who ask tell
    // what matters.
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,kube_client::client::builder=off"));
    tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(std::io::stderr).init();
}
