//! Arguments that all commands share, and the tree of commands.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use secrets::Secret;

use crate::{
    AccountCommand, ClusterCommand, ContextCommand, ImageCommand, Login, MachineCommand, ProfileCommand,
    ProjectCommand, ScriptCommand, SshKeyCommand,
};

/// The client commands as a program of their own.
#[derive(Debug, Parser)]
#[command(name = "bessemer", about = "Bare metal in, Kubernetes out")]
pub struct Cli {
    /// Shared arguments.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Where the help shows what all commands share: after their own.
const GLOBAL: &str = "Global options";

/// Arguments that all client commands share.
#[derive(Debug, Clone, Default, Args)]
pub struct Global {
    /// Use this context instead of the current one, and instead of --url
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "NAME")]
    pub context: Option<String>,
    /// Use this region or plane instead of a context's
    #[arg(long, global = true, env = "BESSEMER_URL", help_heading = GLOBAL, value_name = "URL")]
    pub url: Option<String>,
    /// API key for --url
    #[arg(long, global = true, env = "BESSEMER_API_KEY", hide_env_values = true, help_heading = GLOBAL, value_name = "KEY")]
    pub api_key: Option<Secret>,
    /// PEM file of certificates to trust besides the system's
    #[arg(long, global = true, env = "BESSEMER_CA", help_heading = GLOBAL, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Id of a project of the plane, instead of the context's
    #[arg(long, global = true, env = "BESSEMER_PROJECT", help_heading = GLOBAL, value_name = "UID")]
    pub project: Option<String>,
    /// Form of the output
    #[arg(short, long, global = true, value_enum, default_value_t, help_heading = GLOBAL, value_name = "FORM")]
    pub output: Format,
}

/// Form of the output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Table,
    /// The objects as the region gave them
    Json,
    /// The same as YAML
    Yaml,
}

/// The client commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Remember a region or a plane with an API key under a name, and use it from now on
    Login(Login),
    /// List, choose and forget remembered regions and planes
    #[command(subcommand)]
    Context(ContextCommand),
    /// List, deploy and release machines
    #[command(subcommand)]
    Machine(MachineCommand),
    /// Say what a machine of a region or a cluster of a plane waits for, or why it failed
    Why {
        /// Host name, fully qualified name or system id of the machine; name or id of the cluster
        name: String,
    },
    /// List, build, upload and delete operating-system images
    #[command(subcommand)]
    Image(ImageCommand),
    /// List, make and choose projects of a plane
    #[command(subcommand)]
    Project(ProjectCommand),
    /// List, make and look into cloud accounts of a plane
    #[command(subcommand)]
    Account(AccountCommand),
    /// List, order, change and delete clusters of a plane
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Run kubectl in a cluster, through the plane, as who you are
    Kubectl {
        /// Name or id of the cluster
        cluster: String,
        /// What kubectl takes
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Show what happened to clusters, the latest last
    Events {
        /// Name or id of a cluster; without one, all of them
        cluster: Option<String>,
        /// How many at most; 0: all
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// List, make and publish cluster profiles of a plane
    #[command(subcommand)]
    Profile(ProfileCommand),
    /// Keep, list and forget scripts that machines run while they are commissioned and tested
    #[command(subcommand)]
    Script(ScriptCommand),
    /// Manage the SSH keys that your machines are deployed with
    #[command(subcommand)]
    SshKey(SshKeyCommand),
}
