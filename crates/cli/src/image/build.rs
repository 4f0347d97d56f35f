//! Building an image by the bundle.

use std::path::PathBuf;

use bundle::{
    BuildError, Cache,
    image::{Recipe, build},
};
use tokio::{
    sync::mpsc::{UnboundedSender, unbounded_channel},
    task::{JoinError, spawn_blocking},
};

use crate::{CliError, Session, progress::Progress};

/// Builds `os/series` into the user's cache, or finds it there, and answers its folder. Progress goes to the error
/// output. A build that was begun is not stopped by dropping this.
pub async fn image(session: &mut Session<'_>, name: &str) -> Result<PathBuf, CliError> {
    let recipe = recipe(name)?;
    let (said, mut hears) = unbounded_channel();
    let building = spawn_blocking(move || run(&recipe, &said));
    let mut line = Progress::new(session.err, session.screen);
    while let Some(text) = hears.recv().await {
        line.update(&format!("{name}  {text}"), &text)?;
    }
    line.clear()?;
    let built: Result<Result<PathBuf, BuildError>, JoinError> = building.await;
    built
        .map_err(|error| CliError::Build { reason: error.to_string() })?
        .map_err(|error| CliError::Build { reason: error.to_string() })
}

fn run(recipe: &Recipe, said: &UnboundedSender<String>) -> Result<PathBuf, BuildError> {
    build(&Cache::user(), recipe, &|text| {
        // Nobody listens any more where the command was stopped.
        let _unheard = said.send(text.to_owned());
    })
}

fn recipe(name: &str) -> Result<Recipe, CliError> {
    match name.split_once('/') {
        Some(("debian", series)) if !series.is_empty() && series.bytes().all(|byte| byte.is_ascii_lowercase()) => {
            Ok(Recipe::debian(series))
        }
        _ => Err(CliError::Image {
            what: format!("there is no recipe for '{name}'"),
            next: "bessemer image build debian/bookworm, or upload an image of your own: bessemer image upload FILE --name NAME"
                .to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_debian_can_be_built() {
        assert!(recipe("debian/bookworm").is_ok());
        for name in ["bookworm", "debian/", "ubuntu/noble", "debian/../x"] {
            let error = recipe(name).unwrap_err();
            assert!(error.next().contains("debian/bookworm"), "{name}");
        }
    }
}
