//! The web console: built by npm into the cache, laid where the program's build looks for it, tried with a browser.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result, ensure};
use bundle::{Cache, Key};
use tokio::process::Command;

use crate::{
    plane::{NAME, Plane},
    roles::ADMIN,
    shell,
    site::Site,
};

/// Raise it when this module's code changes what comes out.
const RECIPE: u32 = 1;
/// What a build of the console is made of, in its folder.
const SOURCES: [&str; 7] =
    ["index.html", "package.json", "package-lock.json", "public", "src", "tsconfig.json", "vite.config.ts"];
/// Types of the plane's API come from it.
const OPENAPI: &str = "docs/openapi.json";
/// Written by a build, and no source of it.
const GENERATED: &str = "schema.d.ts";
/// Says of which cache entry what lies in `dist` is.
const LAID: &str = ".laid";
/// The lock file by which `node_modules` was installed.
const INSTALLED: &str = "node_modules/.installed-by";

/// Builds the console if the cache does not have it, and lays it into `console/dist`.
pub fn build() -> Result<()> {
    let folder = folder();
    let key = key(&folder)?;
    let entry = Cache::user().entry(&key, |entry| {
        install()?;
        npm(&["run", "--silent", "check"])?;
        let out = entry.join("dist");
        let out = out.to_str().context("the cache's path is not UTF-8")?;
        npm(&["run", "--silent", "build", "--", "--logLevel", "warn", "--emptyOutDir", "--outDir", out])
    })?;
    let (dist, laid) = (folder.join("dist"), folder.join(LAID));
    let is = key.folder();
    if dist.join("index.html").exists() && fs::read_to_string(&laid).is_ok_and(|laid| laid == is) {
        return Ok(());
    }
    match fs::remove_dir_all(&dist) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    copy(&entry.join("dist"), &dist)?;
    Ok(fs::write(laid, is)?)
}

fn folder() -> PathBuf {
    shell::root().join("console")
}

fn key(folder: &Path) -> Result<Key> {
    let mut files = vec![shell::root().join(OPENAPI)];
    for source in SOURCES {
        list(&folder.join(source), &mut files)?;
    }
    files.sort();
    let node = shell::output("node", &["--version"])?;
    let mut key = Key::new("console", RECIPE).with("node", node);
    for file in files {
        let name = file.strip_prefix(shell::root())?.display().to_string();
        key = key.with(&name, fs::read(&file)?);
    }
    Ok(key)
}

fn list(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if !path.is_dir() {
        if path.file_name() != Some(OsStr::new(GENERATED)) {
            files.push(path.to_owned());
        }
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        list(&entry?.path(), files)?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Installs what the lock file names, where it is not installed.
pub fn install() -> Result<()> {
    let (lock, installed) = (folder().join("package-lock.json"), folder().join(INSTALLED));
    let wanted = fs::read(lock)?;
    if fs::read(&installed).is_ok_and(|by| by == wanted) {
        return Ok(());
    }
    npm(&["ci", "--no-audit", "--no-fund", "--loglevel", "error"])?;
    Ok(fs::write(installed, wanted)?)
}

fn npm(args: &[&str]) -> Result<()> {
    let folder = folder();
    let folder = folder.to_str().context("the project's path is not UTF-8")?;
    shell::run("npm", &[&["--prefix", folder], args].concat())
}

/// Signs in with a browser, and watches the lab's cluster until it is Ready.
pub async fn watch(site: &Site, plane: &Plane) -> Result<()> {
    // The browser verifies the plane's certificate: its user's database of authorities has the plane's own.
    let home = tempfile::tempdir()?;
    trust(home.path(), &plane.ca)?;
    let password = fs::read_to_string(site.dir.join("plane.password"))?;
    let status = Command::new("npm")
        .args(["exec", "playwright", "--", "test"])
        .current_dir(folder())
        .env("HOME", home.path())
        .env("PLANE", &plane.url)
        .env("EMAIL", ADMIN)
        .env("PASSWORD", password.trim())
        .env("CLUSTER", NAME)
        .stdin(Stdio::null())
        .stdout(io::stderr())
        .kill_on_drop(true)
        .status()
        .await
        .context("cannot start npm")?;
    ensure!(status.success(), "the browser's test failed with {status}");
    Ok(())
}

/// Makes an authority one that the browser of this home trusts.
fn trust(home: &Path, ca: &Path) -> Result<()> {
    let database = home.join(".pki/nssdb");
    fs::create_dir_all(&database)?;
    let database = format!("sql:{}", database.display());
    let ca = ca.display().to_string();
    shell::output("certutil", &["-d", &database, "-N", "--empty-password"])?;
    shell::output("certutil", &["-d", &database, "-A", "-t", "C,,", "-n", "plane", "-i", &ca])?;
    Ok(())
}
