//! The lab's own program, started anew: keepers of processes, and the first steps inside a machine.
//!
//! A lab starts a *keeper* for each machine and each program. The keeper enters the network namespace, starts
//! what it keeps as its only child and waits. Its standard input is a pipe from the lab: when that closes, because
//! the lab says so or is dead, the keeper kills the child; when the keeper itself is killed, the child's
//! parent-death signal does. A child that is PID 1 of a PID namespace takes everything in it along, so nothing of
//! a machine survives the lab.

mod cgroup;
mod fakes;
mod keeper;
mod root;

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::firmware::Board;

pub(crate) use cgroup::remove as remove_cgroups;
pub(crate) use keeper::ASK_TO_STOP;

/// How a lab tells its own program, started anew, what to be.
const VARIABLE: &str = "BESSEMER_LAB_INIT";

/// What a program started by the lab is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Role {
    /// Keeps a child.
    Keeper(Keeper),
    /// Becomes a program that dies with its keeper.
    Program(Vec<String>),
    /// Becomes PID 1 of a machine.
    Machine(root::Machine),
}

/// What a keeper keeps.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Keeper {
    /// The network namespace's file.
    pub netns: PathBuf,
    /// The child.
    pub work: Work,
}

/// The child of a keeper.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Work {
    /// A program.
    Program(Vec<String>),
    /// A namespace machine: firmware first, then what that found.
    Machine {
        /// What its firmware sees.
        board: Board,
        /// Its control group, below the top of every hierarchy, such as `bsm-lab/node-1`.
        cgroup: String,
        /// Where its root file system is mounted, in its own mount namespace.
        root: PathBuf,
    },
}

/// How what a keeper kept has ended; its own exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The machine restarts through its firmware.
    Restart,
    /// It has switched itself off; a program has ended without error.
    PowerOff,
    /// Any other end.
    Crash,
    /// The lab cut its power.
    Cut,
}

impl Ended {
    /// The keeper's exit code.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Restart => 40,
            Self::PowerOff => 41,
            Self::Crash => 42,
            Self::Cut => 43,
        }
    }

    /// What a keeper's exit code says; a keeper that was killed has crashed.
    pub(crate) fn from_code(code: Option<i32>) -> Self {
        [Self::Restart, Self::PowerOff, Self::Cut]
            .into_iter()
            .find(|ended| code == Some(i32::from(ended.code())))
            .unwrap_or(Self::Crash)
    }
}

/// Does the work of a process that the lab started from its own program, and never returns; returns at once in
/// every other process. To be called first in `main`, before any thread is started.
pub fn init_if_asked() {
    let Some(text) = std::env::var_os(VARIABLE) else { return };
    let ended = match parse(&text) {
        Ok(Role::Keeper(keeper)) => keeper::keep(&keeper),
        Ok(Role::Program(words)) => keeper::become_program(&words),
        Ok(Role::Machine(machine)) => root::become_init(&machine),
        Err(error) => {
            println!("lab: {VARIABLE} is for the lab alone: {error}");
            Ended::Crash
        }
    };
    std::process::exit(i32::from(ended.code()));
}

fn parse(text: &OsStr) -> Result<Role, serde_json::Error> {
    serde_json::from_slice(text.as_encoded_bytes())
}

/// A command that runs `program`, this program, in `role`.
pub(crate) fn command(program: &std::path::Path, role: &Role) -> Result<Command, serde_json::Error> {
    let mut command = Command::new(program);
    command.arg("lab-init").env(VARIABLE, serde_json::to_string(role)?);
    Ok(command)
}
