//! Building an image by the bundle.

use std::path::PathBuf;

use bundle::{
    BuildError, Cache, components,
    image::{Recipe, build},
};
use tokio::{
    sync::mpsc::{UnboundedSender, unbounded_channel},
    task::{JoinError, spawn_blocking},
};

use crate::{CliError, Session, progress::Progress};

/// An image that was built.
pub struct Built {
    /// `os/series`.
    pub name: String,
    /// Its folder in the user's cache.
    pub folder: PathBuf,
}

/// What can be built.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    /// Debian of a series.
    Debian(String),
    /// A node of Kubernetes.
    Kubernetes,
}

/// Builds an image into the user's cache, or finds it there. Progress goes to the error output. A build that was
/// begun is not stopped by dropping this.
pub async fn image(session: &mut Session<'_>, name: &str) -> Result<Built, CliError> {
    let wanted = wanted(name)?;
    let (said, mut hears) = unbounded_channel();
    let building = spawn_blocking(move || run(&wanted, &said));
    let mut line = Progress::new(session.err, session.screen);
    while let Some(text) = hears.recv().await {
        line.update(&format!("{name}  {text}"), &text)?;
    }
    line.clear()?;
    let built: Result<Result<Built, BuildError>, JoinError> = building.await;
    built
        .map_err(|error| CliError::Build { reason: error.to_string() })?
        .map_err(|error| CliError::Build { reason: error.to_string() })
}

fn run(wanted: &Wanted, said: &UnboundedSender<String>) -> Result<Built, BuildError> {
    let cache = Cache::user();
    let progress = |text: &str| {
        // Nobody listens any more where the command was stopped.
        let _unheard = said.send(text.to_owned());
    };
    let recipe = match wanted {
        Wanted::Debian(series) => Recipe::debian(series),
        Wanted::Kubernetes => Recipe::node(&components::build(&cache, &progress)?),
    };
    let (os, series) = recipe.name();
    Ok(Built { name: format!("{os}/{series}"), folder: build(&cache, &recipe, &progress)? })
}

fn wanted(name: &str) -> Result<Wanted, CliError> {
    match name.split_once('/') {
        None if name == "kubernetes" => Ok(Wanted::Kubernetes),
        Some(("debian", series)) if !series.is_empty() && series.bytes().all(|byte| byte.is_ascii_lowercase()) => {
            Ok(Wanted::Debian(series.to_owned()))
        }
        _ => Err(CliError::Image {
            what: format!("there is no recipe for '{name}'; there are debian/bookworm, debian/trixie and kubernetes"),
            next: "bessemer image build debian/bookworm, or upload an image of your own: bessemer image upload FILE --name NAME"
                .to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_a_recipe_can_be_built() {
        assert_eq!(wanted("debian/bookworm").unwrap(), Wanted::Debian("bookworm".to_owned()));
        assert_eq!(wanted("kubernetes").unwrap(), Wanted::Kubernetes);
        for name in ["bookworm", "debian/", "ubuntu/noble", "debian/../x"] {
            let error = wanted(name).unwrap_err();
            assert!(error.next().contains("debian/bookworm"), "{name}");
        }
    }
}
