//! Gateways: Palette calls their records overlords.

use jiff::{SignedDuration, Timestamp};
use sealing::SealingPublic;
use secrets::Secret;
use serde::{Deserialize, Serialize};
use store::Document;
use tunnel::Fingerprint;

use crate::{Meta, key::sha256};

/// How long a pairing code is good.
pub const CODE_LIFE: SignedDuration = SignedDuration::from_hours(1);

/// A gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlord {
    /// Name and labels.
    pub meta: Meta,
    /// Beside the plane itself.
    #[serde(default)]
    pub system: bool,
    /// How it was, or is to be, paired.
    pub pairing: Pairing,
    /// The newest epoch that was here: an older start of the gateway is not let in.
    #[serde(default)]
    pub epoch: u64,
    /// The key that secrets for the site are sealed to, as the gateway told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealing_key: Option<SealingPublic>,
    /// What it reported last of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub software: Option<String>,
    /// When it was last connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Timestamp>,
}

/// To which replica of the plane a gateway is connected, where there are several; kept under the gateway's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// Where the replica is reached by the others.
    pub replica: String,
    /// From where the gateway came, for people.
    pub peer: String,
    /// Since when.
    pub since: Timestamp,
}

impl Document for Presence {
    const KIND: &'static str = "presence";
}

/// How a gateway was paired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Pairing {
    /// A code was given out; its secret is known by its SHA-256 only.
    Waiting {
        /// SHA-256 of the secret, hex.
        code: String,
        /// Until when.
        until: Timestamp,
    },
    /// By the gateway with this key; the code is kept so that a lost answer can be asked for again.
    Paired {
        /// SHA-256 of the secret, hex.
        code: String,
        /// SHA-256 of its public key, hex.
        key: String,
        /// When.
        at: Timestamp,
    },
}

impl Document for Overlord {
    const KIND: &'static str = "overlord";
}

impl Overlord {
    /// A gateway that is to be paired by this secret.
    pub fn waiting(name: &str, secret: &Secret, now: Timestamp) -> Self {
        Self {
            meta: Meta::new(name, now),
            system: false,
            pairing: Pairing::Waiting { code: Pairing::code_of(secret), until: now + CODE_LIFE },
            epoch: 0,
            sealing_key: None,
            software: None,
            seen: None,
        }
    }

    /// Whether a gateway with this key may come in, and with which epoch at least.
    pub fn is_paired_with(&self, key: Fingerprint) -> bool {
        matches!(&self.pairing, Pairing::Paired { key: paired, .. } if *paired == key.to_string())
    }
}

/// What becomes of a pairing attempt; pure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    /// The gateway is paired by it.
    Pairs(Pairing),
    /// It is paired already, by the same key.
    Again,
    /// The code was good until then.
    Expired(Timestamp),
    /// Another gateway used it.
    Used,
}

impl Pairing {
    /// What is kept of a pairing code's secret: its SHA-256, hex.
    pub fn code_of(secret: &Secret) -> String {
        sha256(secret.expose())
    }

    /// What is kept of the code it was, or is to be, paired by.
    pub fn code(&self) -> &str {
        match self {
            Self::Waiting { code, .. } | Self::Paired { code, .. } => code,
        }
    }

    /// What becomes of an attempt by this gateway's code with a key.
    pub fn attempt(&self, key: Fingerprint, now: Timestamp) -> Attempt {
        match self {
            Self::Waiting { until, .. } if now > *until => Attempt::Expired(*until),
            Self::Waiting { code, .. } => {
                Attempt::Pairs(Self::Paired { code: code.clone(), key: key.to_string(), at: now })
            }
            Self::Paired { key: paired, .. } if *paired == key.to_string() => Attempt::Again,
            Self::Paired { .. } => Attempt::Used,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// However often and by whom it is tried: only one key is ever paired, and only in time.
        #[test]
        fn a_code_pairs_one_key_in_time(tries in prop::collection::vec((0u8..3, 0i64..7200), 1..12)) {
            let start = Timestamp::UNIX_EPOCH;
            let mut gateway = Overlord::waiting("g", &Secret::from("s"), start);
            let mut paired = None;
            for (number, second) in tries {
                let (key, now) = (Fingerprint([number; 32]), start + SignedDuration::from_secs(second));
                match gateway.pairing.attempt(key, now) {
                    Attempt::Pairs(pairing) => {
                        prop_assert!(paired.is_none() && second <= 3600);
                        gateway.pairing = pairing;
                        paired = Some(number);
                    }
                    Attempt::Again => prop_assert_eq!(paired, Some(number)),
                    Attempt::Used => prop_assert!(paired.is_some_and(|by| by != number)),
                    Attempt::Expired(_) => prop_assert!(paired.is_none() && second > 3600),
                }
                prop_assert_eq!(gateway.is_paired_with(key), paired == Some(number));
            }
        }
    }
}
