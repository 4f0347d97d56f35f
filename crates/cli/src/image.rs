//! Commands on operating-system images.

mod build;
mod source;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use maas_client::{BootResource, Client, sha256_of};

use crate::{
    CliError, Global, Session,
    progress::Progress,
    text::{bytes, table},
};

/// Commands on images.
#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// Show the images that can be deployed
    List,
    /// Give the region an image
    Upload(Upload),
    /// Remove an image
    Delete {
        /// Name, such as debian/bookworm, or number
        image: String,
    },
    /// Build an image on this machine; needs root
    Build {
        /// debian/bookworm, debian/trixie, or kubernetes: a node, custom/debian-12-kubernetes-VERSION (needs Go)
        name: String,
        /// Give it to the region as well
        #[arg(long)]
        upload: bool,
    },
}

/// Arguments of `upload`.
#[derive(Debug, Args)]
pub struct Upload {
    /// Folder with manifest.json, or a disk image or root file system
    #[arg(value_name = "DIR|FILE")]
    path: PathBuf,
    /// Name to deploy it by, such as debian/bookworm; a folder's manifest may say
    #[arg(long)]
    name: Option<String>,
    /// Name for people
    #[arg(long)]
    title: Option<String>,
    /// Architecture; a folder's manifest may say [default: amd64/generic]
    #[arg(long)]
    architecture: Option<String>,
    /// MAAS's file type, such as ddgz or tgz; else by the ending or the manifest
    #[arg(long)]
    filetype: Option<String>,
}

pub(crate) async fn run(
    session: &mut Session<'_>,
    global: &Global,
    command: ImageCommand,
) -> Result<(), CliError> {
    match command {
        ImageCommand::List => {
            let client = session.client(global)?;
            let images = read_all(&client).await?;
            session.show(global.output, &images, || list(&images))
        }
        ImageCommand::Upload(wanted) => {
            let client = session.client(global)?;
            upload(session, global, &client, &wanted).await
        }
        ImageCommand::Delete { image } => {
            let client = session.client(global)?;
            let images = client.boot_resources().await?;
            let found = find(&images, &image)?;
            client.delete_boot_resource(found.id).await?;
            session.remark(&format!("removed {} ({})", found.name, found.id))
        }
        ImageCommand::Build { name, upload: give } => {
            // Better to miss the region now than after a long build.
            let client = if give { Some(session.client(global)?) } else { None };
            let build::Built { name, folder } = build::image(session, &name).await?;
            let Some(client) = client else {
                let said = format!("built {name} in {}", folder.display());
                return session.show(
                    global.output,
                    &serde_json::json!({"name": name, "path": folder}),
                    || said,
                );
            };
            let wanted =
                Upload { path: folder, name: Some(name), title: None, architecture: None, filetype: None };
            upload(session, global, &client, &wanted).await
        }
    }
}

/// Lists hold no sets, and whether an uploaded image is whole is in them.
async fn read_all(client: &Client) -> Result<Vec<BootResource>, CliError> {
    let mut images = client.boot_resources().await?;
    for image in images.iter_mut().filter(|image| image.kind == "Uploaded") {
        *image = client.boot_resource(image.id).await?;
    }
    Ok(images)
}

async fn upload(
    session: &mut Session<'_>,
    global: &Global,
    client: &Client,
    wanted: &Upload,
) -> Result<(), CliError> {
    let source = source::open(wanted)?;
    let mut line = Progress::new(session.err, session.screen);
    let name = source.name.clone();
    let length = std::fs::metadata(&source.file).map_err(CliError::file(&source.file))?.len();
    let (sha256, size) = sha256_of(&source.file, |done| {
        show(&mut line, &name, "hashing", done, length);
    })
    .await
    .map_err(CliError::file(&source.file))?;
    source.check(&sha256, size)?;
    let file = source.file.clone();
    let image = client
        .upload_image(&source.into_new(sha256, size), &file, |at| {
            show(&mut line, &name, "uploading", at.sent, at.total);
        })
        .await;
    line.clear()?;
    let image = image?;
    let said = format!(
        "{} ({}) can be deployed: bessemer machine deploy MACHINE --image {}",
        image.name, image.id, image.name
    );
    session.show(global.output, &image, || said)
}

/// A progress line that cannot be written is no reason to give up.
fn show(line: &mut Progress<'_>, name: &str, what: &str, done: u64, total: u64) {
    let percent = u128::from(done) * 100 / u128::from(total.max(1));
    let text = format!("{name}  {what} {percent} %, {} of {}", bytes(done), bytes(total));
    let _unwritable = line.update(&text, &format!("{what} {}", percent / 10));
}

fn find<'a>(images: &'a [BootResource], wanted: &str) -> Result<&'a BootResource, CliError> {
    let found: Vec<&BootResource> =
        images.iter().filter(|image| image.name == wanted || image.id.to_string() == wanted).collect();
    match found.as_slice() {
        [one] => Ok(one),
        [] => Err(CliError::Image {
            what: format!("there is no image '{wanted}'"),
            next: "bessemer image list shows them".to_owned(),
        }),
        several => {
            let ids: Vec<String> =
                several.iter().map(|image| format!("{} ({})", image.id, image.architecture)).collect();
            Err(CliError::Image {
                what: format!("'{wanted}' is the name of several images: {}", ids.join(", ")),
                next: "use the number".to_owned(),
            })
        }
    }
}

fn list(images: &[BootResource]) -> String {
    let rows = images.iter().map(|image| {
        let newest = image.sets.values().next_back();
        let state = match newest {
            Some(set) if set.complete => "complete",
            Some(_) => "incomplete",
            None => "",
        };
        let size: u64 = newest.map(|set| set.files.values().map(|file| file.size).sum()).unwrap_or_default();
        [
            image.name.clone(),
            image.id.to_string(),
            image.architecture.clone(),
            image.kind.clone(),
            if size == 0 { String::new() } else { bytes(size) },
            state.to_owned(),
            image.title.clone(),
        ]
    });
    table(
        ["name", "id", "architecture", "type", "size", "state", "title"],
        rows.collect(),
        "There are no images; bessemer image build debian/bookworm --upload makes one.",
    )
}

/// Where an image's manifest is.
fn manifest_of(folder: &Path) -> PathBuf {
    folder.join("manifest.json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn images() -> Vec<BootResource> {
        serde_json::from_value(json!([
            {"id": 1, "name": "debian/bookworm", "architecture": "amd64/generic", "type": "Uploaded", "title": "Debian 12",
             "sets": {"20261101": {"complete": true, "files": {}},
                      "20261122": {"complete": false, "files": {"root-dd": {"size": 314_572_800}}}}},
            {"id": 2, "name": "ubuntu/noble", "architecture": "amd64/ga-24.04", "type": "Synced"},
            {"id": 3, "name": "ubuntu/noble", "architecture": "arm64/ga-24.04", "type": "Synced"},
        ]))
        .unwrap()
    }

    #[test]
    fn images_in_a_list() {
        assert_eq!(
            list(&images()),
            "\
NAME             ID  ARCHITECTURE    TYPE      SIZE     STATE       TITLE
debian/bookworm  1   amd64/generic   Uploaded  300 MiB  incomplete  Debian 12
ubuntu/noble     2   amd64/ga-24.04  Synced    -        -           -
ubuntu/noble     3   arm64/ga-24.04  Synced    -        -           -"
        );
    }

    #[test]
    fn images_are_found_by_name_and_number() {
        let images = images();
        assert_eq!(find(&images, "debian/bookworm").unwrap().id, 1);
        assert_eq!(find(&images, "3").unwrap().architecture, "arm64/ga-24.04");
        let error = find(&images, "ubuntu/noble").unwrap_err().to_string();
        assert!(error.ends_with("2 (amd64/ga-24.04), 3 (arm64/ga-24.04)"), "{error}");
        assert!(find(&images, "nosuch").is_err());
    }
}
