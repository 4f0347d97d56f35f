//! A fleet without the rest of the product: `fleet-lab DIR [--config FILE] [--machines N] …`.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use fleet_lab::{FleetError, Options, Ready};

/// Thousands of machines that boot from a region. Prints one line of JSON once they can be switched on.
#[derive(Debug, Parser)]
#[command(name = "fleet-lab")]
struct Args {
    /// Folder for the BMCs' authority and the region's `[[bmc]]` tables.
    dir: PathBuf,
    /// TOML file with options; what is given here beside it counts.
    #[arg(long)]
    config: Option<PathBuf>,
    /// How many machines.
    #[arg(long)]
    machines: Option<u32>,
    /// The same number, the same fleet.
    #[arg(long)]
    seed: Option<u64>,
    /// By how much the machines' own times are shortened.
    #[arg(long)]
    compression: Option<f64>,
    /// Where the admin API listens.
    #[arg(long)]
    admin: Option<SocketAddr>,
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let args = Args::parse();
    let ended = options(&args).and_then(|options| fleet_lab::run(options, &args.dir, tell));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fleet-lab: {error}");
            ExitCode::FAILURE
        }
    }
}

fn options(args: &Args) -> Result<Options, FleetError> {
    let mut options = match &args.config {
        None => Options::default(),
        Some(file) => {
            let text = std::fs::read_to_string(file).map_err(|source| FleetError::System {
                doing: format!("reading {}", file.display()),
                source,
            })?;
            Options::from_toml(&text)?
        }
    };
    options.machines = args.machines.unwrap_or(options.machines);
    options.seed = args.seed.unwrap_or(options.seed);
    options.compression = args.compression.unwrap_or(options.compression);
    options.admin = args.admin.unwrap_or(options.admin);
    Ok(options)
}

fn tell(ready: &Ready) {
    // Whoever does not listen does not want to know.
    if let Ok(line) = serde_json::to_string(ready) {
        let _ = writeln!(std::io::stdout(), "{line}");
    }
}
