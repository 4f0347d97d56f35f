//! `bessemer gateway`: the link to the plane; the engine with our provider, and the registry beside it.

mod config;

use std::{
    path::{Path, PathBuf},
    pin::pin,
    str::FromStr,
    time::Duration,
};

use anyhow::{Context, Result};
use clap::Subcommand;
use cli::{Format, Session, text};
use engine::{Phase, ProcessStatus, ProviderConfig, Status};
use jiff::Timestamp;
use secrets::ApiKey;
use site::{Finding, Home, PairError, Verdict};
use tokio::sync::{oneshot, watch};
use tunnel::{DialError, LinkState, Memory, PairingCode};

use config::{Config, Maas, Plane};

/// How often a file that is awaited is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Pause before a plane that could not be reached for pairing is dialled again.
const DIAL_AGAIN: Duration = Duration::from_secs(2);

#[derive(Debug, Subcommand)]
pub enum GatewayCommand {
    /// Pair this gateway with its plane, by a code that the plane gives out
    Pair {
        /// Configuration file (docs/gateway.md)
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// The code; asked for where it is not given, so that it stays out of the shell's history
        #[arg(long, env = "BESSEMER_PAIRING_CODE", hide_env_values = true)]
        code: Option<PairingCode>,
    },
    /// Run until told to stop: the link to the plane, and the engine where the configuration has one
    Run {
        /// Configuration file (docs/gateway.md)
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Show how the link to the plane stands
    Status {
        /// The running gateway's configuration file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Check everything that the gateway needs, and say what to do; ends with 1 where something is in its way
    Doctor {
        /// The gateway's configuration file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// The Kubernetes API that carries the Cluster API objects of a site, and what works on it
    #[command(subcommand)]
    Engine(EngineCommand),
    #[command(flatten)]
    AtPlane(cli::GatewayCommand),
}

#[derive(Debug, Subcommand)]
pub enum EngineCommand {
    /// Run until told to stop
    Run {
        /// Configuration file (docs/engine.md)
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Use this Kubernetes, which has Cluster API, instead of one of its own
        #[arg(long, value_name = "FILE")]
        kubeconfig: Option<PathBuf>,
    },
    /// Show what runs
    Status {
        /// The running engine's configuration file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}

/// Pairs a gateway.
pub async fn pair(config: &Path, code: Option<PairingCode>) -> Result<()> {
    let config = Config::read(config, None)?;
    let plane = config.plane()?;
    let code = match code {
        Some(code) => code,
        None => asked()?,
    };
    let uid = site::pair(&config.home()?, &plane.ways()?, &code).await?;
    println!("paired with the plane at {} as gateway {uid}; now: bessemer gateway run", plane.address);
    Ok(())
}

fn asked() -> Result<PairingCode> {
    eprint!("pairing code: ");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).context("cannot read the pairing code")?;
    Ok(line.parse()?)
}

/// Runs a gateway: the link to its plane, and the engine where it has one.
pub async fn run_all(path: PathBuf, stop: watch::Receiver<bool>) -> Result<()> {
    let config = Config::read(&path, None)?;
    let (home, plane) = (config.home()?, config.plane()?);
    let mut told = stop.clone();
    let link = async {
        if let Some(file) = &plane.pairing_code_file
            && home.enrolment()?.is_none()
            && !pair_by_file(&home, plane, file, &mut told).await?
        {
            return Ok(());
        }
        let ways = plane.ways()?;
        site::run(&home, &ways, config.clusters(), stop.clone()).await.context("the link to the plane")
    };
    Box::pin(beside_engine(&config, link, stop.clone())).await
}

/// Runs the system private gateway: the same beside the plane of this process, paired by a code that the plane gives.
pub async fn run_system(
    path: PathBuf,
    carrier: Memory,
    code: oneshot::Receiver<PairingCode>,
    stop: watch::Receiver<bool>,
) -> Result<()> {
    let config = Config::read(&path, None)?;
    anyhow::ensure!(
        config.plane.is_none(),
        "{}: the system private gateway has the plane of its own process: leave [plane] out",
        path.display()
    );
    let (home, plane) = (config.home()?, site::Plane::in_memory(carrier));
    let link = async {
        if home.enrolment()?.is_none() {
            let code = code.await.context("the plane gave no pairing code")?;
            site::pair(&home, &plane, &code).await?;
        }
        site::run(&home, &plane, config.clusters(), stop.clone()).await.context("the link to the plane")
    };
    Box::pin(beside_engine(&config, link, stop.clone())).await
}

/// Whether the gateway of a configuration is paired.
pub fn is_paired(path: &Path) -> Result<bool> {
    Ok(Config::read(path, None)?.home()?.enrolment()?.is_some())
}

/// A link with the engine beside it, where there is one.
async fn beside_engine(
    config: &Config,
    link: impl Future<Output = Result<()>>,
    stop: watch::Receiver<bool>,
) -> Result<()> {
    if !config.has_engine() {
        return link.await;
    }
    let link = async |mut ended: watch::Receiver<bool>| {
        tokio::select! {
            done = link => done,
            _ = ended.wait_for(|ended| *ended) => Ok(()),
        }
    };
    crate::together(|ended| run_engine(config, true, ended), link, stop).await
}

/// Pairs a gateway by the code in a file, once that is there and the plane answers; false where it is to stop before.
async fn pair_by_file(
    home: &Home,
    plane: &Plane,
    file: &Path,
    stop: &mut watch::Receiver<bool>,
) -> Result<bool> {
    loop {
        let Some(code) = awaited::<PairingCode>(file, "pairing code", stop).await? else { return Ok(false) };
        match site::pair(home, &plane.ways()?, &code).await {
            Ok(uid) => {
                tracing::info!(gateway = uid, plane = %plane.address, "paired");
                std::fs::remove_file(file).with_context(|| format!("cannot remove {}", file.display()))?;
                return Ok(true);
            }
            Err(PairError::Dial(DialError::Unreachable(why))) => {
                tracing::warn!(why = why.join("; "), "the plane cannot be reached: trying again");
            }
            Err(error) => return Err(error).with_context(|| format!("the code in {}", file.display())),
        }
        tokio::select! {
            () = tokio::time::sleep(DIAL_AGAIN) => {}
            _ = stop.wait_for(|stop| *stop) => return Ok(false),
        }
    }
}

/// Shows how a gateway's link to its plane stands.
pub fn status(config: &Path, form: Format, session: &mut Session<'_>) -> Result<()> {
    let config = Config::read(config, None)?;
    let status =
        site::status(&config.home()?)?.context("no gateway has run here; start it: bessemer gateway run")?;
    let (zone, now) = (session.zone.clone(), Timestamp::now());
    let at = |moment: Timestamp| text::clock(moment, now, &zone);
    let (link, more) = match &status.link {
        LinkState::Connecting => ("connecting".to_owned(), String::new()),
        LinkState::Connected { since, carrier } => {
            (format!("connected since {}", at(*since)), carrier.clone())
        }
        LinkState::Down { since, reason, retry_at } => {
            (format!("down since {}, tried again at {}", at(*since), at(*retry_at)), reason.clone())
        }
    };
    let alive = Path::new("/proc").join(status.pid.to_string()).exists();
    let process =
        if alive { status.pid.to_string() } else { "none: start it with bessemer gateway run".to_owned() };
    Ok(session.show(form, &status, || {
        text::fields(&[
            ("plane", status.plane.clone()),
            ("gateway", status.gateway.clone()),
            ("tenant", status.tenant.clone()),
            ("process", process.clone()),
            ("link", link.clone()),
            ("", more.clone()),
        ])
    })?)
}

/// Checks a gateway and its engine.
pub fn doctor(config: &Path, form: Format, session: &mut Session<'_>) -> Result<()> {
    let config = Config::read(config, None)?;
    let (home, plane) = (config.home()?, config.plane()?);
    let mut findings = crate::runtime()?.block_on(site::doctor(&home, &plane.ways()?));
    findings.extend(engine_findings(&config));
    session.show(form, &findings, || {
        let row = |finding: &Finding| {
            let verdict = match finding.verdict {
                Verdict::Good => "good",
                Verdict::Odd => "odd",
                Verdict::Bad => "BAD",
            };
            [finding.check.clone(), verdict.to_owned(), text::clean(&finding.message)]
        };
        text::table(["check", "", ""], findings.iter().map(row).collect(), "")
    })?;
    let bad = findings.iter().filter(|finding| finding.verdict == Verdict::Bad).count();
    anyhow::ensure!(bad == 0, "{bad} of {} checks found something in the gateway's way", findings.len());
    Ok(())
}

fn engine_findings(config: &Config) -> Vec<Finding> {
    const CHECK: &str = "engine";
    if !config.has_engine() {
        return vec![Finding::odd(
            CHECK,
            "there is none: clusters cannot be made; give the configuration a bundle",
        )];
    }
    let bundle = config.bundle.as_ref().filter(|bundle| !bundle.join("manifest.json").is_file());
    let mut findings: Vec<Finding> = bundle
        .map(|bundle| {
            Finding::bad("bundle", format!("{} is no bundle: it has no manifest.json", bundle.display()))
        })
        .into_iter()
        .collect();
    findings.push(match engine::status(&config.data) {
        Ok(Some(status)) if status.phase == Phase::Ready => {
            let again = status.processes.iter().filter(|process| process.restarts > 0);
            let again: Vec<String> =
                again.map(|process| format!("{} ({} times)", process.name, process.restarts)).collect();
            if again.is_empty() {
                Finding::good(CHECK, format!("{} is ready", status.server))
            } else {
                Finding::odd(
                    CHECK,
                    format!("{} is ready; started again: {}", status.server, again.join(", ")),
                )
            }
        }
        Ok(Some(status)) => {
            let trouble = status
                .trouble
                .unwrap_or_else(|| "it is not ready: bessemer gateway engine status".to_owned());
            Finding::bad(CHECK, trouble)
        }
        Ok(None) => Finding::odd(CHECK, "it has not run yet: bessemer gateway run"),
        Err(error) => Finding::bad(CHECK, error.to_string()),
    });
    findings
}

/// Runs an engine and what goes with it.
pub async fn run(config: PathBuf, kubeconfig: Option<PathBuf>, stop: watch::Receiver<bool>) -> Result<()> {
    let config = Config::read(&config, kubeconfig)?;
    let ordered = config.plane.is_some();
    run_engine(&config, ordered, stop).await
}

/// The same; clusters that a plane orders bring the key of their MAAS along.
async fn run_engine(config: &Config, ordered: bool, mut stop: watch::Receiver<bool>) -> Result<()> {
    let provider = match &config.maas {
        Some(maas) => match awaited(&maas.api_key_file, "API key of the MAAS", &mut stop).await? {
            Some(key) => Some(provider(Some((maas, &key)))?),
            None => return Ok(()),
        },
        None if ordered => Some(provider(None)?),
        None => None,
    };
    let engine = config.engine(provider)?;
    // Before the engine: both may make the authority.
    let registry = registry(config, &engine.authority()).await?;

    let (end, ended) = watch::channel(false);
    let beside = async {
        let done = tokio::select! {
            done = registry => done,
            _ = stop.wait_for(|stop| *stop) => Ok(()),
        };
        end.send_replace(true);
        done
    };
    let mut engine = pin!(engine::run(engine, ended));
    tokio::select! {
        done = &mut engine => Ok(done?),
        // Its processes end in order, whatever became of the registry.
        done = beside => engine.await.map_err(Into::into).and(done),
    }
}

/// A secret in a file, awaited while there is none; `None` where the gateway is to stop before.
async fn awaited<T>(file: &Path, what: &str, stop: &mut watch::Receiver<bool>) -> Result<Option<T>>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    let mut awaited = false;
    loop {
        match std::fs::read_to_string(file) {
            // An empty one is still being written.
            Ok(text) if !text.is_empty() => {
                return Ok(Some(text.trim().parse().with_context(|| file.display().to_string())?));
            }
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot read {}", file.display()));
            }
            _ => {}
        }
        if !std::mem::replace(&mut awaited, true) {
            tracing::info!(file = %file.display(), "waiting for the {what}");
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = stop.wait_for(|stop| *stop) => return Ok(None),
        }
    }
}

/// Our provider, run by this program; with the MAAS of clusters that do not name theirs.
fn provider(maas: Option<(&Maas, &ApiKey)>) -> Result<ProviderConfig> {
    let mut arguments = vec!["provider".into(), "run".into()];
    let mut environment = Vec::new();
    if let Some((maas, key)) = maas {
        if let Some(ca) = &maas.ca_file {
            // The provider runs in another folder.
            arguments.extend(["--ca".into(), std::path::absolute(ca)?.into_os_string()]);
        }
        environment.push((crate::provider::MAAS_ENDPOINT.to_owned(), maas.url.clone()));
        environment.push((crate::provider::MAAS_API_KEY.to_owned(), key.expose()));
    }
    Ok(ProviderConfig {
        program: std::env::current_exe().context("cannot find this program")?,
        arguments,
        environment,
        // The engine puts its own URLs in the place of the Service.
        manifests: provider::manifests(&provider::Reach::Service)?,
        version: concat!("v", env!("CARGO_PKG_VERSION")).to_owned(),
    })
}

/// The registry, bound and ready to be served; one that never ends where none is wanted.
async fn registry(config: &Config, authority: &Path) -> Result<impl Future<Output = Result<()>> + use<>> {
    let ready = match (&config.registry, &config.bundle) {
        (Some(registry), Some(bundle)) => {
            let (layout, address) = (bundle.join("oci"), registry.listen);
            let images = tokio::task::spawn_blocking(move || registry::Registry::open(&layout)).await??;
            let tls = engine::server_tls(&config.data, "registry", address.ip())?;
            let listener = http_base::bind(address, "the registry").await?;
            tracing::info!(%address, authority = %authority.display(), "the registry listens");
            Some((listener, tls, images))
        }
        _ => None,
    };
    Ok(async {
        match ready {
            Some((listener, tls, images)) => {
                registry::serve(listener, Some(tls), images).await.context("the registry ended")
            }
            None => std::future::pending().await,
        }
    })
}

/// Shows what the engine of a configuration file tells of itself.
pub fn engine_status(config: &Path, form: Format, session: &mut Session<'_>) -> Result<()> {
    let data = Config::read(config, None)?.data;
    let status = engine::status(&data)?.with_context(|| {
        format!("no engine has run on {}; start one: bessemer gateway engine run", data.display())
    })?;
    let (zone, now) = (session.zone.clone(), Timestamp::now());
    let at = |moment: Option<Timestamp>| moment.map(|at| text::clock(at, now, &zone)).unwrap_or_default();
    Ok(session.show(form, &status, || table(&status, &at))?)
}

fn table(status: &Status, at: &dyn Fn(Option<Timestamp>) -> String) -> String {
    let phase = match status.phase {
        Phase::Starting => "starting",
        Phase::Ready => "ready",
        Phase::Stopping => "stopping",
        Phase::Stopped => "stopped",
    };
    let about = text::fields(&[
        ("phase", phase.to_owned()),
        ("server", status.server.clone()),
        ("bundle", status.bundle.iter().flat_map(|digest| digest.chars().take(12)).collect()),
        ("started", at(Some(status.since))),
        ("ready", at(status.ready)),
        ("trouble", status.trouble.clone().unwrap_or_default()),
    ]);
    let row = |process: &ProcessStatus| {
        let (state, since) = match (process.pid, process.ready) {
            (None, _) => ("down", None),
            (Some(_), None) => ("starting", process.started),
            (Some(_), Some(ready)) => ("ready", Some(ready)),
        };
        [
            process.name.clone(),
            state.to_owned(),
            at(since),
            process.pid.map(|pid| pid.to_string()).unwrap_or_default(),
            process.restarts.to_string(),
            process.last_exit.as_ref().map(|exit| exit.how.clone()).unwrap_or_default(),
        ]
    };
    let headers = ["process", "state", "since", "pid", "restarts", "last exit"];
    let rows = status.processes.iter().map(row).collect();
    format!("{about}\n\n{}", text::table(headers, rows, "It runs no processes."))
}
