//! What a BMC controls.

use serde::{Deserialize, Serialize};

/// Power state of a machine, in Redfish's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PowerState {
    /// Drawing power.
    On,
    /// Not drawing power.
    Off,
}

/// What `ComputerSystem.Reset` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reset {
    /// Switch on; nothing happens if it is on.
    On,
    /// Cut the power.
    ForceOff,
    /// Ask the operating system to switch off.
    GracefulShutdown,
    /// Cut the power and switch on again.
    ForceRestart,
}

impl Reset {
    /// Every value, as listed under `ResetType@Redfish.AllowableValues`.
    pub const ALL: [Self; 4] = [Self::On, Self::ForceOff, Self::GracefulShutdown, Self::ForceRestart];
}

/// How long a boot override holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum OverrideMode {
    /// No override.
    #[default]
    Disabled,
    /// For the next start only.
    Once,
    /// Until it is changed.
    Continuous,
}

/// Where a machine starts from instead of its own order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum BootTarget {
    /// The machine's own order.
    #[default]
    None,
    /// The network.
    Pxe,
    /// The first disk.
    Hdd,
}

/// A boot override.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BootOverride {
    /// How long it holds.
    pub mode: OverrideMode,
    /// What it names.
    pub target: BootTarget,
}

impl BootOverride {
    /// What the machine starts from now.
    pub fn effective(self) -> BootTarget {
        if self.mode == OverrideMode::Disabled { BootTarget::None } else { self.target }
    }

    /// What is left of the override once a start has used it.
    #[must_use]
    pub fn after_start(self) -> Self {
        if self.mode == OverrideMode::Once { Self::default() } else { self }
    }
}

/// Why a machine did not obey.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MachineError(pub String);

/// A stretch of what a machine wrote on its serial line.
///
/// Lines have numbers from 0 on, which they keep when older ones are forgotten.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConsoleLines {
    /// Number of the first of `lines`: where lines were forgotten, larger than what was asked for.
    pub first: usize,
    /// The lines, without their ends.
    pub lines: Vec<String>,
    /// How many lines there were until now, with those that are forgotten.
    pub total: usize,
}

/// A machine as its BMC sees it.
#[async_trait::async_trait]
pub trait Machine: Send + Sync + 'static {
    /// Whether it is on.
    async fn power_state(&self) -> PowerState;
    /// Does what `reset` says; returns when the machine has begun to (for [`Reset::ForceOff`]: when it is off).
    async fn reset(&self, reset: Reset) -> Result<(), MachineError>;
    /// The override as it stands.
    async fn boot_override(&self) -> BootOverride;
    /// Replaces the override.
    async fn set_boot_override(&self, wanted: BootOverride) -> Result<(), MachineError>;
    /// At most `top` finished lines of the serial console from number `skip` on. `None`: the BMC has no
    /// `HostLogger`.
    async fn console(&self, _skip: usize, _top: usize) -> Result<Option<ConsoleLines>, MachineError> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_is_used_up_and_continuous_stays() {
        let once = BootOverride { mode: OverrideMode::Once, target: BootTarget::Pxe };
        assert_eq!(once.effective(), BootTarget::Pxe);
        assert_eq!(once.after_start(), BootOverride::default());
        let always = BootOverride { mode: OverrideMode::Continuous, ..once };
        assert_eq!(always.after_start(), always);
        let disabled = BootOverride { mode: OverrideMode::Disabled, ..once };
        assert_eq!(disabled.effective(), BootTarget::None);
    }
}
