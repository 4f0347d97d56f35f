//! MAAS's numbered choices, each with its number and its names.

use serde::{Deserialize, Serialize};

/// When a script runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// While a machine is commissioned.
    Commissioning,
    /// While a machine is tested, also at the end of commissioning.
    Testing,
    /// While a machine is given back.
    Release,
    /// While a machine is deployed.
    Deployment,
}

/// What a script is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hardware {
    /// The machine as a whole.
    #[default]
    Node,
    /// Processors.
    Cpu,
    /// Memory.
    Memory,
    /// Disks.
    Storage,
    /// Network interfaces.
    Network,
    /// Graphics processors.
    Gpu,
}

/// Beside what a script may run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Parallel {
    /// Alone.
    #[default]
    Disabled,
    /// Beside itself with other arguments.
    Instance,
    /// Beside any that may, too.
    Any,
}

/// A choice that clients name by number, word or title.
pub trait Choice: Copy + PartialEq + 'static {
    /// Number, word, and title in answers.
    const TABLE: &'static [(Self, u8, &'static str, &'static str)];

    /// MAAS's number.
    fn number(self) -> u8 {
        Self::row(self).1
    }

    /// MAAS's word.
    fn word(self) -> &'static str {
        Self::row(self).2
    }

    /// MAAS's title.
    fn title(self) -> &'static str {
        Self::row(self).3
    }

    /// The choice that a number or word names.
    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        Self::TABLE
            .iter()
            .find(|(_, number, word, _)| word.eq_ignore_ascii_case(text) || text.parse() == Ok(*number))
            .map(|row| row.0)
    }

    /// The row of a choice: each has one, tests see to it.
    #[doc(hidden)]
    fn row(self) -> (Self, u8, &'static str, &'static str) {
        Self::TABLE.iter().find(|row| row.0 == self).copied().unwrap_or((self, 0, "", ""))
    }
}

impl Choice for Kind {
    const TABLE: &'static [(Self, u8, &'static str, &'static str)] = &[
        (Self::Commissioning, 0, "commissioning", "Commissioning script"),
        (Self::Testing, 2, "testing", "Testing script"),
        (Self::Release, 3, "release", "Release script"),
        (Self::Deployment, 4, "deployment", "Deployment script"),
    ];
}

impl Choice for Hardware {
    const TABLE: &'static [(Self, u8, &'static str, &'static str)] = &[
        (Self::Node, 0, "node", "Node"),
        (Self::Cpu, 1, "cpu", "CPU"),
        (Self::Memory, 2, "memory", "Memory"),
        (Self::Storage, 3, "storage", "Storage"),
        (Self::Network, 4, "network", "Network"),
        (Self::Gpu, 5, "gpu", "GPU"),
    ];
}

impl Choice for Parallel {
    const TABLE: &'static [(Self, u8, &'static str, &'static str)] = &[
        (Self::Disabled, 0, "disabled", "Disabled"),
        (Self::Instance, 1, "instance", "Run along other instances of this script"),
        (Self::Any, 2, "any", "Run along any other script"),
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_lead_back<T: Choice + std::fmt::Debug>() {
        for (choice, number, word, _) in T::TABLE {
            assert_eq!(T::read(word), Some(*choice));
            assert_eq!(T::read(&word.to_uppercase()), Some(*choice));
            assert_eq!(T::read(&number.to_string()), Some(*choice));
            assert_eq!(choice.number(), *number);
        }
        assert_eq!(T::read("neither"), None);
    }

    #[test]
    fn numbers_and_words_lead_back() {
        all_lead_back::<Kind>();
        all_lead_back::<Hardware>();
        all_lead_back::<Parallel>();
    }
}
