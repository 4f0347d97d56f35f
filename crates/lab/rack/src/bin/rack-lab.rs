//! A lab without the rest of the product: `rack-lab DIR CONFIG.toml`. Used by the crate's own tests.

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    rack::init_if_asked();
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(dir), Some(file)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: rack-lab DIR CONFIG.toml");
        return ExitCode::from(2);
    };
    let options = match std::fs::read_to_string(&file) {
        Ok(text) => rack::Options::from_toml(&text, &dir),
        Err(error) => {
            Err(rack::RackError::System { doing: format!("reading {}", file.display()), source: error })
        }
    };
    let outcome = options.and_then(|options| {
        let runtime = tokio::runtime::Runtime::new()
            .map_err(|source| rack::RackError::System { doing: "starting the runtime".into(), source })?;
        runtime.block_on(rack::run(options))
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rack-lab: {error}");
            ExitCode::FAILURE
        }
    }
}
