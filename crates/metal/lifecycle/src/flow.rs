//! What has happened to a machine since it entered its present state.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What has happened since the machine entered its present state; a new state starts a new flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// When the state was entered.
    pub since: Timestamp,
    /// When the BMC confirmed the power step that the state begins with.
    pub powered: Option<Timestamp>,
    /// Power attempts that failed in a row.
    pub power_failures: u32,
    /// Why the last power attempt failed.
    pub power_error: Option<String>,
    /// Not before then is power tried again.
    pub power_retry: Option<Timestamp>,
    /// First DHCP request.
    pub dhcp: Option<Timestamp>,
    /// First boot configuration fetched.
    pub config: Option<Timestamp>,
    /// The ephemeral system was fetched.
    pub system: Option<Timestamp>,
    /// The agent said hello.
    pub hello: Option<Timestamp>,
    /// Last sign of progress from the agent or the installed system.
    pub progress: Option<Timestamp>,
    /// The state's task is done: tests passed, disk written, disks erased.
    pub done: Option<Timestamp>,
    /// The installed system fetched its user-data.
    pub user_data: Option<Timestamp>,
    /// The machine itself reported a failure.
    pub failure: Option<String>,
    /// Somebody gave up what was under way: nothing is, and the machine is to be off.
    #[serde(default)]
    pub stop: Option<Timestamp>,
}

/// Something the region saw a machine do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// A DHCP request.
    Dhcp,
    /// A boot configuration was fetched.
    Config,
    /// Kernel or initrd was fetched.
    System,
    /// The agent said hello.
    Hello,
    /// The agent or cloud-init reported progress.
    Progress,
    /// The task is done.
    Done,
    /// User-data was fetched by the installed system.
    UserData,
}

impl Flow {
    /// A flow that begins now.
    pub const fn start(now: Timestamp) -> Self {
        Self {
            since: now,
            powered: None,
            power_failures: 0,
            power_error: None,
            power_retry: None,
            dhcp: None,
            config: None,
            system: None,
            hello: None,
            progress: None,
            done: None,
            user_data: None,
            failure: None,
            stop: None,
        }
    }

    /// Notes a signal; the first of its kind counts, except for progress, where the last does. Answers whether
    /// anything changed.
    pub fn note(&mut self, signal: Signal, now: Timestamp) -> bool {
        let slot = match signal {
            Signal::Dhcp => &mut self.dhcp,
            Signal::Config => &mut self.config,
            Signal::System => &mut self.system,
            Signal::Hello => &mut self.hello,
            Signal::Progress => {
                self.progress = Some(now);
                return true;
            }
            Signal::Done => &mut self.done,
            Signal::UserData => &mut self.user_data,
        };
        if slot.is_some() {
            return false;
        }
        *slot = Some(now);
        true
    }

    /// The last sign of life in this flow.
    pub fn last_sign(&self) -> Timestamp {
        [
            self.powered,
            self.dhcp,
            self.config,
            self.system,
            self.hello,
            self.progress,
            self.done,
            self.user_data,
        ]
        .into_iter()
        .flatten()
        .fold(self.since, Timestamp::max)
    }
}
