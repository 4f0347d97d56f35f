//! What went wrong, and what to do next.

use std::{io, path::PathBuf};

use maas_client::{FindError, SetupError, UploadError};
use secrets::ApiKeyError;

/// Why a command failed. [`CliError::next`] says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Neither a context nor a URL.
    #[error("no region is chosen")]
    NoRegion,
    /// A URL without a key.
    #[error("there is no API key for {url}")]
    NoKey {
        /// The URL.
        url: String,
    },
    /// A context that does not exist.
    #[error("there is no context called '{name}'")]
    UnknownContext {
        /// Its name.
        name: String,
    },
    /// A region where a plane is needed, or the other way round.
    #[error("the context '{name}' is no {wanted}")]
    OtherKind {
        /// The context's name.
        name: String,
        /// What is needed.
        wanted: &'static str,
    },
    /// Nothing of this name at the plane.
    #[error("the plane has no {kind} {name}")]
    Unknown {
        /// Of what.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// The plane refused or did not answer.
    #[error(transparent)]
    Plane(#[from] plane_client::Error),
    /// The plane's client could not be set up.
    #[error(transparent)]
    PlaneSetup(#[from] plane_client::SetupError),
    /// A cluster is not as was waited for.
    #[error("the cluster {cluster} is still {state} after {waited}: {reason}")]
    ClusterWait {
        /// Its name.
        cluster: String,
        /// Its state.
        state: String,
        /// How long it was waited for.
        waited: String,
        /// What it waits for.
        reason: String,
    },
    /// kubectl could not be started.
    #[error("kubectl cannot be started: {0}")]
    NoKubectl(io::Error),
    /// kubectl has said what is wrong.
    #[error("kubectl ended with {0}")]
    Kubectl(u8),
    /// A person stopped waiting for a cluster.
    #[error("stopped waiting; the cluster {0} goes on")]
    ClusterInterrupted(String),
    /// A document is not what the command takes.
    #[error("{} is not what is taken here: {reason}", path.display())]
    Document {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A name that cannot be a file's.
    #[error("'{name}' cannot be the name of a context")]
    ContextName {
        /// The name.
        name: String,
    },
    /// Not an API key.
    #[error(transparent)]
    Key(#[from] ApiKeyError),
    /// A key that others can read.
    #[error("the API key in {} can be read by other users of this machine", path.display())]
    KeyExposed {
        /// The file.
        path: PathBuf,
    },
    /// The list of contexts cannot be understood.
    #[error("{} cannot be understood: {reason}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The client could not be set up.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The machine was not found.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The region refused or did not answer.
    #[error(transparent)]
    Api(#[from] maas_client::Error),
    /// The region refused something about a machine.
    #[error("{machine}: {source}")]
    Machine {
        /// The machine's name.
        machine: String,
        /// What the region said.
        source: maas_client::Error,
    },
    /// An image did not get there.
    #[error(transparent)]
    Upload(#[from] UploadError),
    /// Something about an image file.
    #[error("{what}")]
    Image {
        /// What is wrong.
        what: String,
        /// What to do.
        next: String,
    },
    /// An image could not be built.
    #[error("the image was not built: {reason}")]
    Build {
        /// What the build said.
        reason: String,
    },
    /// Not a public SSH key.
    #[error("{} holds no public SSH key", path.display())]
    SshKey {
        /// The file.
        path: PathBuf,
    },
    /// The region does not tell what machines write on their consoles.
    #[error("{machine}: this MAAS does not show serial consoles")]
    NoConsole {
        /// The machine's name.
        machine: String,
    },
    /// What was waited for went wrong.
    #[error("{machine}: {status}: {why}")]
    WaitFailed {
        /// The machine's name.
        machine: String,
        /// Its state.
        status: String,
        /// Why.
        why: String,
        /// What to do.
        next: String,
    },
    /// What was waited for took too long.
    #[error("{machine} is still {status} after {waited}: {reason}")]
    WaitTimeout {
        /// The machine's name.
        machine: String,
        /// Its state.
        status: String,
        /// How long it was waited for.
        waited: String,
        /// What it waits for.
        reason: String,
    },
    /// A person stopped waiting.
    #[error("stopped waiting; {machine} goes on, and is {status} now")]
    Interrupted {
        /// The machine's name.
        machine: String,
        /// Its state.
        status: String,
    },
    /// The output cannot be written.
    #[error("the output cannot be written: {0}")]
    Output(#[from] io::Error),
    /// An object cannot be shown in the form that was asked for.
    #[error("this cannot be shown in that form: {0}")]
    Form(String),
}

impl CliError {
    /// What to do next.
    pub fn next(&self) -> String {
        match self {
            Self::NoRegion => {
                "bessemer login NAME URL KEY, or set BESSEMER_URL and BESSEMER_API_KEY".to_owned()
            }
            Self::NoKey { .. } => {
                "set BESSEMER_API_KEY to consumer:token:secret, or log in: bessemer login NAME URL KEY"
                    .to_owned()
            }
            Self::UnknownContext { .. } => "bessemer context list shows them".to_owned(),
            Self::OtherKind { wanted, .. } => {
                format!("name a {wanted}'s with --context; bessemer context list shows them")
            }
            Self::Unknown { kind, .. } => format!("bessemer {kind} list shows them"),
            Self::ClusterWait { cluster, .. } | Self::ClusterInterrupted(cluster) => {
                format!("look again: bessemer cluster show {cluster}")
            }
            Self::NoKubectl(_) => "install kubectl, or name it in KUBECTL".to_owned(),
            Self::Kubectl(_) => String::new(),
            Self::Plane(error) => plane_advice(error),
            Self::ContextName { .. } => {
                "use letters, digits, '-', '_' and '.', beginning with a letter or a digit".to_owned()
            }
            Self::Key(_) => {
                "a region's start prints its key; `maas apikey --username NAME` prints a MAAS user's"
                    .to_owned()
            }
            Self::KeyExposed { path } => format!("chmod 600 {}, and think about a new key", path.display()),
            Self::Config { .. } => {
                "correct the file, or move it away and log in again: bessemer login NAME URL KEY".to_owned()
            }
            Self::File { .. } => "check the path, and that you may use it".to_owned(),
            Self::Setup(_) | Self::PlaneSetup(_) | Self::Document { .. } => {
                "correct it and try again".to_owned()
            }
            Self::Find(FindError::None { .. }) => "bessemer machine list shows the machines".to_owned(),
            Self::Find(FindError::Several { .. }) => "use the system id in parentheses".to_owned(),
            Self::Find(FindError::Api(error)) | Self::Api(error) | Self::Upload(UploadError::Api(error)) => {
                advice(error, None)
            }
            Self::Machine { machine, source } => advice(source, Some(machine)),
            Self::Upload(_) => {
                "look at the file, delete the incomplete image (bessemer image delete NAME) and upload again"
                    .to_owned()
            }
            Self::Image { next, .. } | Self::WaitFailed { next, .. } => next.clone(),
            Self::Build { .. } => "correct what it says and build again; finished steps are kept".to_owned(),
            Self::SshKey { .. } => {
                "give the file that ends in .pub; `ssh-keygen -t ed25519` makes a pair".to_owned()
            }
            Self::WaitTimeout { machine, .. } | Self::Interrupted { machine, .. } => {
                format!("look again: bessemer why {machine}; end it: bessemer machine abort {machine}")
            }
            Self::NoConsole { machine } => {
                format!("use the BMC's own console; bessemer machine events {machine} says what happened")
            }
            Self::Output(_) => "is the disk full?".to_owned(),
            Self::Form(_) => "use another form, such as -o json".to_owned(),
        }
    }

    /// The exit code: as shells have it for what was interrupted, else 1.
    pub fn code(&self) -> u8 {
        if matches!(self, Self::Interrupted { .. } | Self::ClusterInterrupted(_)) { 130 } else { 1 }
    }

    /// Adds the machine that it was about.
    pub(crate) fn about(machine: &str) -> impl FnOnce(maas_client::Error) -> Self + '_ {
        move |source| Self::Machine { machine: machine.to_owned(), source }
    }

    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}

fn plane_advice(error: &plane_client::Error) -> String {
    match (error, error.code()) {
        (plane_client::Error::Unreachable { .. }, _) => {
            "is the plane running, is the address right, and do you trust its certificate (--ca)?".to_owned()
        }
        (_, Some("Unauthorized")) => "log in with a valid key: bessemer login NAME URL KEY".to_owned(),
        (_, Some("GatewayUnavailable")) => "bessemer gateway list shows how the gateways stand".to_owned(),
        (_, Some("OperationForbidden")) => "ask an administrator of the tenant".to_owned(),
        (plane_client::Error::Odd { .. }, _) => {
            "is this a plane's URL? It looks like https://plane.example.com".to_owned()
        }
        _ => "correct it and try again".to_owned(),
    }
}

fn advice(error: &maas_client::Error, machine: Option<&str>) -> String {
    use maas_client::Error::{
        Conflict, Decode, Forbidden, Invalid, NoMatch, NotFound, Refused, Transport, Unauthorized,
        Unavailable,
    };
    match (error, machine) {
        (NoMatch { .. }, _) => {
            "bessemer machine list --status ready shows what is free; ask for less, or release a machine"
                .to_owned()
        }
        (Conflict { .. }, Some(machine)) => format!("bessemer why {machine} says what it is doing"),
        (Forbidden { .. }, Some(machine)) => format!(
            "bessemer machine show {machine} says whose it is and whether it is locked; ask its owner or an administrator, or unlock it: bessemer machine unlock {machine}"
        ),
        (Invalid { fields, .. }, _) if fields.contains_key("distro_series") => {
            "bessemer image list shows the images; upload one: bessemer image upload DIR".to_owned()
        }
        (Invalid { .. }, Some(machine)) => {
            format!("correct it and try again; bessemer machine show {machine} says how the machine stands")
        }
        (Invalid { .. } | Conflict { .. }, None) => "correct it and try again".to_owned(),
        (NotFound { .. }, _) => "it is gone, or never was; the list command shows what there is".to_owned(),
        (Unauthorized { .. }, _) => "log in with a valid key: bessemer login NAME URL KEY".to_owned(),
        (Forbidden { .. }, None) => {
            "ask an administrator, or use an administrator's key: bessemer login NAME URL KEY".to_owned()
        }
        (Unavailable { .. }, _) => {
            "try again in a moment; if it stays so, look at the region's log".to_owned()
        }
        (Refused { status: 501, .. }, _) => "the region cannot do it here; use the BMC itself".to_owned(),
        (Refused { .. }, _) => "look at the region's log".to_owned(),
        (Transport { .. }, _) => {
            "is the region running, and is the address right? bessemer context list shows it".to_owned()
        }
        (Decode { .. }, _) => "is this a region's URL? It looks like http://10.20.0.1:5240/MAAS".to_owned(),
    }
}
