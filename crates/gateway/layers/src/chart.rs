//! Helm charts, by helm itself.

use std::{
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use secrets::Secret;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::{process::Command, time::timeout};

/// How long a chart's hooks may take.
const HOOKS: &str = "4m";
/// How long helm may take.
const LONGEST: Duration = Duration::from_mins(5);
/// Revisions of a release that are kept.
const REVISIONS: &str = "3";

/// A chart to be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chart {
    /// The archive, a gzipped tar.
    pub archive: PathBuf,
    /// SHA-256 of the archive, hex.
    pub digest: String,
    /// Name of the release.
    pub release: String,
    /// Its namespace; made where it is not there.
    pub namespace: String,
    /// YAML.
    pub values: String,
}

/// A chart that was installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
}

/// The program, with the way into a cluster.
#[derive(Debug, Clone)]
pub struct Helm {
    /// The program.
    pub program: PathBuf,
    /// Kubeconfig with an administrator's credentials.
    pub kubeconfig: Secret,
}

/// Why helm did not do what it was to.
#[derive(Debug, thiserror::Error)]
pub enum HelmError {
    /// It could not be run.
    #[error("helm cannot be run: {0}")]
    Run(#[from] io::Error),
    /// It took too long.
    #[error("helm did not end within {LONGEST:?}")]
    Late,
    /// It said so.
    #[error("helm: {0}")]
    Said(String),
}

impl Helm {
    /// Installs a chart, or brings its release to what the chart says now; the manifest of what it installed.
    pub(crate) async fn install(&self, chart: &Chart, release: &Release) -> Result<String, HelmError> {
        let work = Work::new(self)?;
        self.mend(&work, release).await?;
        let values = work.file("values.yaml", &chart.values)?;
        let upgrade: [&Path; 6] = [
            "upgrade".as_ref(),
            "--install".as_ref(),
            release.name.as_ref(),
            &chart.archive,
            "--values".as_ref(),
            &values,
        ];
        let mut command = self.command(&work, release);
        command.args(upgrade).args(["--create-namespace", "--history-max", REVISIONS, "--timeout", HOOKS]);
        run(command).await?;
        let mut command = self.command(&work, release);
        command.args(["get", "manifest", &release.name]);
        run(command).await
    }

    /// Takes a release away, where it is there.
    pub(crate) async fn uninstall(&self, release: &Release) -> Result<(), HelmError> {
        let work = Work::new(self)?;
        let mut command = self.command(&work, release);
        command.args(["uninstall", &release.name, "--ignore-not-found", "--timeout", HOOKS]);
        run(command).await.map(drop)
    }

    /// A helm that was killed leaves a release on which no other one may work.
    async fn mend(&self, work: &Work, release: &Release) -> Result<(), HelmError> {
        let mut command = self.command(work, release);
        command.args(["status", &release.name, "--output", "json"]);
        let said = match run(command).await {
            Ok(said) => said,
            Err(HelmError::Said(why)) if why.contains("not found") => return Ok(()),
            Err(error) => return Err(error),
        };
        let there: Value = serde_json::from_str(&said).map_err(|error| HelmError::Said(error.to_string()))?;
        let status = there.pointer("/info/status").and_then(Value::as_str).unwrap_or_default();
        let first = there.pointer("/version").and_then(Value::as_u64) == Some(1);
        let mut command = self.command(work, release);
        match status {
            "pending-upgrade" | "pending-rollback" => command.args(["rollback", &release.name]),
            "pending-install" | "uninstalling" => command.args(["uninstall", &release.name]),
            // There is nothing that one could go back to.
            "failed" if first => command.args(["uninstall", &release.name]),
            _ => return Ok(()),
        };
        command.args(["--timeout", HOOKS]);
        tracing::info!(release = release.name, status, "a release is mended");
        run(command).await.map(drop)
    }

    fn command(&self, work: &Work, release: &Release) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .env("HOME", work.folder.path())
            .env("KUBECONFIG", &work.kubeconfig)
            .args(["--namespace", &release.namespace])
            .current_dir(work.folder.path());
        command
    }
}

/// A folder for one piece of work; gone with it, credentials and all.
struct Work {
    folder: tempfile::TempDir,
    kubeconfig: PathBuf,
}

impl Work {
    /// Nobody else may look into it: temporary folders are made so.
    fn new(helm: &Helm) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let kubeconfig = folder.path().join("kubeconfig");
        std::fs::write(&kubeconfig, helm.kubeconfig.expose())?;
        Ok(Self { folder, kubeconfig })
    }

    fn file(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text)?;
        Ok(path)
    }
}

async fn run(mut command: Command) -> Result<String, HelmError> {
    let running =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let done = timeout(LONGEST, running.output()).await.map_err(|_| HelmError::Late)??;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    let said = said.trim().trim_start_matches("Error: ");
    Err(HelmError::Said(if said.is_empty() { done.status.to_string() } else { said.to_owned() }))
}
