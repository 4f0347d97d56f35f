//! cargo xtask: up, down, test, bench, e2e, fuzz.

mod bench;
mod cluster;
mod console;
mod e2e;
mod fuzz;
mod host;
mod kubectl;
mod narrate;
mod packages;
mod plane;
mod roles;
mod shell;
mod site;
mod test;
mod tools;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Work on Bessemer's own workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", max_term_width = 100)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bring up a rack of two machines with a region and a gateway, and a plane far away; order a cluster there.
    Up {
        /// What the machines are made of.
        #[arg(long, value_enum, default_value = "auto")]
        machines: site::Machines,
        /// Form of what is printed at the end.
        #[arg(long, value_enum, default_value = "text")]
        output: narrate::Output,
    },
    /// Take the rack down and leave nothing behind.
    Down,
    /// Run every check.
    Test {
        /// Leave the lab out.
        #[arg(long)]
        fast: bool,
    },
    /// Run one of the longer tests.
    E2e {
        /// Which.
        #[arg(value_enum)]
        name: e2e::Name,
        /// What the machines are made of.
        #[arg(long, value_enum, default_value = "namespace")]
        machines: site::Machines,
        /// How often, where the test repeats something.
        #[arg(long, default_value_t = 3)]
        times: u32,
        /// Where the test draws lots: the same number, the same lots.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Measure.
    Bench {
        /// What.
        #[arg(value_enum)]
        name: bench::Name,
        /// What the machines are made of, where there are any; for `fleet`, how many (1000).
        #[arg(long, default_value = "namespace")]
        machines: bench::Rack,
        /// Form of the figures.
        #[arg(long, value_enum, default_value = "text")]
        output: narrate::Output,
        /// Fail where a figure falls short.
        #[arg(long)]
        check: bool,
    },
    /// Let a fuzzer look for inputs that harm a parser.
    Fuzz {
        /// Which parser; without, all of them one after the other.
        target: Option<String>,
        /// How long, for each.
        #[arg(long, default_value_t = 60)]
        seconds: u32,
    },
    /// Build the web console; the program that is built after that has it.
    Console,
    /// Build what the lab boots (kernel, agent, images) and what clusters run into the cache, and say where it is.
    Bundle,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match args.command {
        Command::Up { machines, output } => up::up(machines, output),
        Command::Down => up::down(),
        Command::Test { fast } => test::run(if fast { test::Extent::Fast } else { test::Extent::Whole }),
        Command::E2e { name, machines, times, seed } => e2e::run(name, machines, times, seed),
        Command::Bench { name, machines, output, check } => bench::run(name, machines, output, check),
        Command::Fuzz { target, seconds } => fuzz::run(target.as_deref(), seconds),
        Command::Console => console::build(),
        Command::Bundle => site::Bundle::build().map(|bundle| bundle.print()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
