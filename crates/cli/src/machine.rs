//! Commands on machines.

mod console;
mod render;

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueEnum};
use jiff::{SignedDuration, Timestamp};
use maas_client::{Client, Constraints, Deploy, Erase, Machine, MachineFilter, Outputs, Release, Scripts};

use crate::{
    CliError, Format, Global, Session,
    ssh_key::{self, Added},
    wait::{Goal, follow},
};

/// Commands on machines. MACHINE is a host name, a fully qualified name or a system id.
#[derive(Debug, Subcommand)]
pub enum MachineCommand {
    /// Show machines
    List {
        /// Only in this state, such as ready or deployed; may be repeated
        #[arg(long)]
        status: Vec<String>,
        /// Only with this host name; may be repeated
        #[arg(long)]
        hostname: Vec<String>,
        /// Only in this pool; may be repeated
        #[arg(long)]
        pool: Vec<String>,
        /// Only in this zone; may be repeated
        #[arg(long)]
        zone: Vec<String>,
        /// Only with this tag; may be repeated, then all of them
        #[arg(long)]
        tag: Vec<String>,
    },
    /// Show one machine
    Show(Which),
    /// Take a free machine
    Allocate(Allocate),
    /// Write an operating system to a machine and start it
    Deploy(DeployArgs),
    /// Give a machine back
    Release(ReleaseArgs),
    /// Find out what is in a machine and test it
    Commission {
        /// The machine.
        #[command(flatten)]
        which: Which,
        /// Commissioning script by name or tag, instead of all of them; may be repeated; none: none
        #[arg(long, value_name = "NAME")]
        script: Vec<String>,
        /// Test by name or tag, instead of those tagged commissioning; may be repeated; none: none
        #[arg(long, value_name = "NAME")]
        test: Vec<String>,
        /// Follow it.
        #[command(flatten)]
        wait: Wait,
    },
    /// Test a machine; it is afterwards what it was before
    Test {
        /// The machine.
        #[command(flatten)]
        which: Which,
        /// Test by name or tag, instead of those tagged commissioning; may be repeated
        #[arg(long, value_name = "NAME")]
        test: Vec<String>,
        /// Follow it.
        #[command(flatten)]
        wait: Wait,
    },
    /// Make a machine usable although its tests failed
    OverrideFailedTests(Which),
    /// Start a system in a machine's memory, to look after it by SSH as root with your keys
    Rescue {
        /// The machine.
        #[command(flatten)]
        which: Which,
        /// Follow it.
        #[command(flatten)]
        wait: Wait,
    },
    /// End rescue mode; the machine is afterwards what it was before
    ExitRescue {
        /// The machine.
        #[command(flatten)]
        which: Which,
        /// Follow it.
        #[command(flatten)]
        wait: Wait,
    },
    /// Take a machine out of use
    MarkBroken {
        /// The machine.
        #[command(flatten)]
        which: Which,
        /// Why
        #[arg(default_value = "")]
        comment: String,
    },
    /// Take a broken machine into use again
    MarkFixed(Which),
    /// End what is under way
    Abort(Which),
    /// Make a machine refuse changes
    Lock(Which),
    /// Let a machine be changed again
    Unlock(Which),
    /// Switch a machine on or off, or ask whether it is on
    #[command(subcommand)]
    Power(PowerCommand),
    /// Show what happened to a machine
    Events {
        /// The machine.
        #[command(flatten)]
        which: Which,
        /// How many, the newest
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
    },
    /// Show what commissioning and tests came to
    Results {
        /// The machine.
        #[command(flatten)]
        which: Which,
        /// Show what this script printed last, instead of the list
        #[arg(long, value_name = "SCRIPT")]
        log: Option<String>,
    },
    /// Show what a machine wrote on its serial console
    Console {
        /// The machine.
        #[command(flatten)]
        which: Which,
        /// Go on with what it writes from now on, until Ctrl-C
        #[arg(long)]
        follow: bool,
    },
    /// Show what phases a machine went through, and how long each took
    Timeline(Which),
}

/// Power commands.
#[derive(Debug, Subcommand)]
pub enum PowerCommand {
    /// Switch on
    On(Which),
    /// Switch off
    Off(Which),
    /// Ask the BMC
    Status(Which),
}

/// A machine.
#[derive(Debug, Args)]
pub struct Which {
    /// Host name, fully qualified name or system id
    machine: String,
}

/// Following what was started.
#[derive(Debug, Clone, Copy, Args)]
pub struct Wait {
    /// Follow it to its end; Ctrl-C stops following only
    #[arg(long)]
    wait: bool,
    /// How long to follow it, such as 90s or 1h30m
    #[arg(long, default_value = "45m", value_parser = duration, value_name = "TIME")]
    timeout: Duration,
}

/// Arguments of `allocate`.
#[derive(Debug, Args)]
pub struct Allocate {
    /// This very machine: host name or system id
    machine: Option<String>,
    /// Architecture, such as amd64
    #[arg(long)]
    arch: Option<String>,
    /// At least so many CPU threads
    #[arg(long, value_name = "COUNT")]
    cpu: Option<u64>,
    /// At least so many MiB of memory
    #[arg(long, value_name = "MIB")]
    memory: Option<u64>,
    /// With this tag; may be repeated, then all of them
    #[arg(long)]
    tag: Vec<String>,
    /// In this zone
    #[arg(long)]
    zone: Option<String>,
    /// In this pool
    #[arg(long)]
    pool: Option<String>,
    /// Note for the event log
    #[arg(long)]
    comment: Option<String>,
}

/// Arguments of `deploy`.
#[derive(Debug, Args)]
pub struct DeployArgs {
    /// The machine.
    #[command(flatten)]
    which: Which,
    /// Image, such as debian/bookworm; the region's default without
    #[arg(long, value_name = "NAME")]
    image: Option<String>,
    /// File for cloud-init
    #[arg(long, value_name = "FILE")]
    user_data: Option<PathBuf>,
    /// Public SSH key to add to your keys first; machines get all of your keys
    #[arg(long, value_name = "FILE")]
    ssh_key: Option<PathBuf>,
    /// Note for the event log
    #[arg(long)]
    comment: Option<String>,
    /// Follow it.
    #[command(flatten)]
    wait: Wait,
}

/// Arguments of `release`.
#[derive(Debug, Args)]
pub struct ReleaseArgs {
    /// The machine.
    #[command(flatten)]
    which: Which,
    /// What happens to the disks
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    erase: EraseArg,
    /// Note for the event log
    #[arg(long)]
    comment: Option<String>,
    /// Follow it.
    #[command(flatten)]
    wait: Wait,
}

/// What a release does to the disks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum EraseArg {
    /// Overwrite beginning and end of each disk and partition
    #[default]
    Quick,
    /// Overwrite every block
    Full,
    /// Leave them as they are, unless the region is set to erase
    None,
}

impl From<EraseArg> for Erase {
    fn from(how: EraseArg) -> Self {
        match how {
            EraseArg::Quick => Self::Quick,
            EraseArg::Full => Self::Full,
            EraseArg::None => Self::Default,
        }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed: SignedDuration =
        text.parse().map_err(|_| "not a time such as 90s, 45m or 1h30m".to_owned())?;
    parsed.try_into().map_err(|_| "a time must not be negative".to_owned())
}

pub(crate) async fn run(
    session: &mut Session<'_>,
    global: &Global,
    command: MachineCommand,
) -> Result<(), CliError> {
    use MachineCommand::{
        Abort, Allocate, Commission, Console, Deploy, Events, ExitRescue, List, Lock, MarkBroken, MarkFixed,
        OverrideFailedTests, Power, Release, Rescue, Results, Show, Test, Timeline, Unlock,
    };
    let client = session.client(global)?;
    let at = Place { session, client, format: global.output };
    match command {
        List { status, hostname, pool, zone, tag } => {
            let status = status.iter().map(|one| one.to_lowercase().replace([' ', '-'], "_")).collect();
            let filter =
                MachineFilter { status, hostname, pool, zone, tags: tag, ..MachineFilter::default() };
            let machines = at.client.machines(&filter).await?;
            at.session.show(at.format, &machines, || render::list(&machines))
        }
        Show(which) => {
            let machine = at.find(&which).await?;
            at.session.show(at.format, &machine, || render::machine(&machine))
        }
        Allocate(wanted) => at.allocate(wanted).await,
        Deploy(wanted) => at.deploy(wanted).await,
        Release(how) => at.release(how).await,
        Commission { which, script, test, wait } => {
            let machine = at.find(&which).await?;
            let scripts = Scripts { commissioning: script, testing: test };
            let started = at.client.commission(&machine.system_id, &scripts).await;
            at.started(started, &machine, Goal::Commissioned, wait).await
        }
        Test { which, test, wait } => {
            let machine = at.find(&which).await?;
            let scripts = Scripts { testing: test, ..Scripts::default() };
            let started = at.client.test(&machine.system_id, &scripts).await;
            at.started(started, &machine, Goal::Tested, wait).await
        }
        OverrideFailedTests(which) => at.change(&which, Change::Override).await,
        Rescue { which, wait } => {
            let machine = at.find(&which).await?;
            let started = at.client.rescue(&machine.system_id).await;
            at.started(started, &machine, Goal::Rescue, wait).await
        }
        ExitRescue { which, wait } => {
            let machine = at.find(&which).await?;
            let started = at.client.exit_rescue(&machine.system_id).await;
            at.started(started, &machine, Goal::Rescued, wait).await
        }
        MarkBroken { which, comment } => at.change(&which, Change::Broken(&comment)).await,
        MarkFixed(which) => at.change(&which, Change::Fixed).await,
        Abort(which) => at.change(&which, Change::Abort).await,
        Lock(which) => at.change(&which, Change::Lock).await,
        Unlock(which) => at.change(&which, Change::Unlock).await,
        Power(PowerCommand::On(which)) => at.change(&which, Change::PowerOn).await,
        Power(PowerCommand::Off(which)) => at.change(&which, Change::PowerOff).await,
        Power(PowerCommand::Status(which)) => at.power(&which).await,
        Events { which, limit } => {
            let machine = at.find(&which).await?;
            let events =
                at.client.events(&machine.system_id, limit).await.map_err(CliError::about(&which.machine))?;
            at.session.show(at.format, &events.events, || render::events(&events.events))
        }
        Results { which, log } => {
            let machine = at.find(&which).await?;
            let outputs = if log.is_some() { Outputs::Included } else { Outputs::LeftOut };
            let sets = at.client.results(&machine.system_id, outputs).await;
            let sets = sets.map_err(CliError::about(&which.machine))?;
            at.session.show(at.format, &sets, || match &log {
                None => render::results(&sets),
                Some(script) => render::log(&sets, script),
            })
        }
        Console { which, follow } => {
            let machine = at.find(&which).await?;
            console::show(at.session, &at.client, &machine, follow).await
        }
        Timeline(which) => at.timeline(&which).await,
    }
}

/// A change that needs no more than the machine.
#[derive(Debug, Clone, Copy)]
enum Change<'a> {
    Abort,
    Broken(&'a str),
    Fixed,
    Override,
    Lock,
    Unlock,
    PowerOn,
    PowerOff,
}

/// A session with its region.
struct Place<'s, 'a> {
    session: &'s mut Session<'a>,
    client: Client,
    format: Format,
}

impl Place<'_, '_> {
    async fn find(&self, which: &Which) -> Result<Machine, CliError> {
        Ok(self.client.find_machine(&which.machine).await?)
    }

    async fn allocate(self, wanted: Allocate) -> Result<(), CliError> {
        let system_id = match &wanted.machine {
            Some(name) => Some(self.client.find_machine(name).await?.system_id),
            None => None,
        };
        let constraints = Constraints {
            system_id,
            arch: wanted.arch,
            cpu_count: wanted.cpu,
            memory: wanted.memory,
            tags: wanted.tag,
            zone: wanted.zone,
            pool: wanted.pool,
            comment: wanted.comment,
            ..Constraints::default()
        };
        let machine = self.client.allocate(&constraints).await?;
        let said = format!("{} ({}) is yours", machine.hostname, machine.system_id);
        self.session.show(self.format, &machine, || said)
    }

    async fn deploy(self, wanted: DeployArgs) -> Result<(), CliError> {
        let user_data = match &wanted.user_data {
            Some(path) => Some(std::fs::read(path).map_err(CliError::file(path))?),
            None => None,
        };
        let machine = self.find(&wanted.which).await?;
        if let Some(path) = &wanted.ssh_key
            && ssh_key::ensure(&self.client, path).await? == Added::Now
        {
            self.session.remark(&format!("added {} to your SSH keys", path.display()))?;
        }
        let deploy =
            Deploy { distro_series: wanted.image, user_data, comment: wanted.comment, agent_name: None };
        let started = self.client.deploy(&machine.system_id, &deploy).await;
        self.started(started, &machine, Goal::Deployed, wanted.wait).await
    }

    async fn release(self, how: ReleaseArgs) -> Result<(), CliError> {
        let machine = self.find(&how.which).await?;
        let release = Release { erase: how.erase.into(), comment: how.comment };
        let started = self.client.release(&machine.system_id, &release).await;
        self.started(started, &machine, Goal::Released, how.wait).await
    }

    /// Follows what was started, if that was asked for, and shows where the machine is then.
    async fn started(
        self,
        started: Result<Machine, maas_client::Error>,
        machine: &Machine,
        goal: Goal,
        wait: Wait,
    ) -> Result<(), CliError> {
        let begun = Timestamp::now();
        let mut machine = started.map_err(CliError::about(&machine.hostname))?;
        let said = if wait.wait {
            machine = follow(self.session, &self.client, &machine, goal, wait.timeout).await?;
            render::arrived(&machine, begun, Timestamp::now())
        } else {
            render::under_way(&machine)
        };
        self.session.show(self.format, &machine, || said)
    }

    async fn change(self, which: &Which, change: Change<'_>) -> Result<(), CliError> {
        let machine = self.find(which).await?;
        let id = machine.system_id.as_str();
        let (changed, said) = match change {
            Change::Abort => (self.client.abort(id).await, "stopped what was under way"),
            Change::Broken(why) => (self.client.mark_broken(id, why).await, "is marked as broken"),
            Change::Fixed => (self.client.mark_fixed(id).await, "is marked as fixed"),
            Change::Override => (self.client.override_failed_testing(id).await, "may be used again"),
            Change::Lock => (self.client.lock(id).await, "is locked"),
            Change::Unlock => (self.client.unlock(id).await, "is unlocked"),
            Change::PowerOn => (self.client.power_on(id).await, "is being switched on"),
            Change::PowerOff => (self.client.power_off(id).await, "is being switched off"),
        };
        let changed = changed.map_err(CliError::about(&machine.hostname))?;
        let said = format!("{} {said}; it is {}", changed.hostname, changed.status_name);
        self.session.show(self.format, &changed, || said)
    }

    async fn power(self, which: &Which) -> Result<(), CliError> {
        let machine = self.find(which).await?;
        let state =
            self.client.power_query(&machine.system_id).await.map_err(CliError::about(&machine.hostname))?;
        let object =
            serde_json::json!({"system_id": machine.system_id, "hostname": machine.hostname, "state": state});
        self.session.show(self.format, &object, || format!("{} is {state}", machine.hostname))
    }

    async fn timeline(self, which: &Which) -> Result<(), CliError> {
        let machine = self.find(which).await?;
        let why = self.client.why(&machine.system_id).await.map_err(CliError::about(&machine.hostname))?;
        let (now, zone) = (Timestamp::now(), self.session.zone.clone());
        let phases = why.as_ref().map(|why| why.timeline.clone()).unwrap_or_default();
        self.session.show(self.format, &phases, || match why {
            Some(_) => render::timeline(&phases, now, &zone),
            None => format!(
                "This MAAS keeps no timelines; bessemer machine events {} says what happened.",
                which.machine
            ),
        })
    }
}
