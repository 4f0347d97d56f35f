//! `bessemer provider`: the Cluster API provider for MAAS as a process.

use std::{
    io::Write,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use provider::{Options, Webhooks};
use secrets::ApiKey;
use tokio::sync::watch;

/// The variable with the URL of the MAAS.
pub const MAAS_ENDPOINT: &str = "MAAS_ENDPOINT";
/// The variable with the API key.
pub const MAAS_API_KEY: &str = "MAAS_API_KEY";

#[derive(Debug, Subcommand)]
pub enum ProviderCommand {
    /// Run until told to stop; `MAAS_ENDPOINT` and `MAAS_API_KEY` say which MAAS has the machines, where no Secret
    /// `maas-credentials` of a namespace does
    Run(Run),
    /// Print definitions, role and webhook configuration of the provider as YAML; webhooks are reached by the Service
    /// `capmaas-webhook-service` in `capmaas-system`
    Manifests,
}

#[derive(Debug, Args)]
pub struct Run {
    /// The management cluster; without it, as `KUBECONFIG` or the Pod's service account say
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Only objects of this namespace
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// Serve webhooks here by HTTPS
    #[arg(long, value_name = "PORT", requires = "webhook_cert_dir")]
    webhook_port: Option<u16>,
    /// Address of the webhooks
    #[arg(long, value_name = "IP", default_value_t = Ipv4Addr::LOCALHOST.into())]
    webhook_host: IpAddr,
    /// Folder with the webhooks' `tls.crt` and `tls.key`
    #[arg(long, value_name = "FOLDER", requires = "webhook_port")]
    webhook_cert_dir: Option<PathBuf>,
    /// Serve `/healthz` and `/readyz` here by HTTP
    #[arg(long, value_name = "IP:PORT")]
    health_addr: Option<SocketAddr>,
}

/// Runs the provider; `ca` is a PEM file of certificates to trust besides the system's.
pub async fn run(arguments: Run, ca: Option<&Path>, stop: watch::Receiver<bool>) -> Result<()> {
    let address = |port| SocketAddr::new(arguments.webhook_host, port);
    let webhooks = arguments.webhook_port.map(address).zip(arguments.webhook_cert_dir);
    let read = |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let maas_options = maas_client::Options { ca: ca.map(read).transpose()?, ..Default::default() };
    let options = Options {
        maas: maas(&maas_options)?,
        maas_options,
        kube: provider::connect(arguments.kubeconfig.as_deref()).await?,
        namespace: arguments.namespace,
        webhooks: webhooks.map(|(address, certificates)| Webhooks { address, certificates }),
        health: arguments.health_addr,
    };
    Ok(provider::run(options, stop).await?)
}

/// A client of the MAAS that the environment names, where it names one.
fn maas(options: &maas_client::Options) -> Result<Option<maas_client::Client>> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let (url, key) = match (variable(MAAS_ENDPOINT), variable(MAAS_API_KEY)) {
        (None, None) => return Ok(None),
        (Some(url), Some(key)) => (url, key),
        (Some(_), None) => bail!("set {MAAS_API_KEY} too, such as consumer:token:secret"),
        (None, Some(_)) => bail!("set {MAAS_ENDPOINT} too, such as http://10.20.0.1:5240/MAAS"),
    };
    let key: ApiKey = key.parse().context(MAAS_API_KEY)?;
    Ok(Some(maas_client::Client::new(&url, key, options)?))
}

/// Writes everything to apply to a management cluster in which the provider runs, as YAML documents.
pub fn manifests(out: &mut impl Write) -> Result<()> {
    for document in provider::manifests(&provider::Reach::Service)? {
        write!(out, "---\n{}", serde_yaml_ng::to_string(&document)?)?;
    }
    Ok(())
}
