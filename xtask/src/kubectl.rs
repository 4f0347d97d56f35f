//! Kubernetes by its own client, which the bundle has.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// kubectl with a kubeconfig.
#[derive(Debug, Clone)]
pub struct Kubectl {
    program: PathBuf,
    /// The kubeconfig.
    pub config: PathBuf,
}

impl Kubectl {
    /// kubectl of a bundle.
    pub fn new(bundle: &bundle::components::Bundle, config: &Path) -> Result<Self> {
        Ok(Self { program: bundle.program("kubectl")?, config: config.to_owned() })
    }

    /// What it prints; an error with its words where it fails.
    pub fn run(&self, words: &[&str]) -> Result<String> {
        self.run_with(words, None)
    }

    /// The same with something on its standard input.
    pub fn run_with(&self, words: &[&str], input: Option<&str>) -> Result<String> {
        let out = self.output(words, input)?;
        if !out.status.success() {
            bail!("kubectl {}: {}", words.join(" "), String::from_utf8_lossy(&out.stderr).trim());
        }
        Ok(String::from_utf8(out.stdout)?)
    }

    /// What it prints, as JSON; null where it prints nothing.
    pub fn json(&self, words: &[&str]) -> Result<Value> {
        let text = self.run(&[words, &["-o", "json"]].concat())?;
        if text.trim().is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_str(&text)?) }
    }

    /// The items of a list.
    pub fn items(&self, words: &[&str]) -> Result<Vec<Value>> {
        match self.json(words)?.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => Ok(items),
            _ => Ok(Vec::new()),
        }
    }

    fn output(&self, words: &[&str], input: Option<&str>) -> Result<Output> {
        let mut command = Command::new(&self.program);
        // Nothing of the user's own: neither the configuration nor the cache of what an API serves.
        let cache = self.config.with_extension("cache");
        command.arg("--kubeconfig").arg(&self.config).arg("--cache-dir").arg(cache);
        command.arg("--request-timeout=30s").args(words);
        command.env_remove("KUBECONFIG").stdout(Stdio::piped()).stderr(Stdio::piped());
        command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
        let mut child = command.spawn().context("cannot start kubectl")?;
        if let (Some(text), Some(mut stdin)) = (input, child.stdin.take()) {
            stdin.write_all(text.as_bytes())?;
        }
        Ok(child.wait_with_output()?)
    }
}
