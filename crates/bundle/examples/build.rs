//! Builds into the user's cache: `ephemeral AGENT`, `components`, or a Debian series.
#![allow(clippy::print_stdout)]

use std::path::Path;

use bundle::{Cache, components, ephemeral, image};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let progress = |line: &str| println!("{line}");
    let built = match words.as_slice() {
        ["ephemeral"] => ephemeral::build(&Cache::user(), &bundle::agent_binary(Path::new("."))?, &progress)?,
        ["ephemeral", agent] => ephemeral::build(&Cache::user(), Path::new(agent), &progress)?,
        ["components"] => components::build(&Cache::user(), &progress)?.folder().to_owned(),
        [series] => image::build(&Cache::user(), &image::Recipe::debian(series), &progress)?,
        _ => return Err("usage: build ephemeral [AGENT] | components | bookworm | trixie".into()),
    };
    println!("{}", built.display());
    Ok(())
}
