//! The one question and its answer before HTTP/2: JSON, each with its length in four bytes before it.
//!
//! Unknown keys are ignored on both sides, so that a newer one may say more.

use std::time::Duration;

use jiff::Timestamp;
use secrets::Secret;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::timeout,
};

use crate::Enrolment;

/// Versions of what comes after the hello, oldest first.
pub const VERSIONS: &[u32] = &[1];
/// Neither side waits longer for the other.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// No message is longer.
pub const LIMIT: u32 = 64 * 1024;

/// What a gateway says first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hello {
    /// Versions that it speaks.
    pub versions: Vec<u32>,
    /// Name and version of the program, for people.
    pub software: String,
    /// What it wants.
    pub ask: Ask,
}

/// What a gateway wants.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Ask {
    /// To be paired, by the secret of its code; repeated with the same key it gets the same answer.
    Pair {
        /// Of the pairing code.
        code: Secret,
        /// Certificate request, PEM.
        request: String,
    },
    /// Another certificate, for the key that it has or a new one.
    Renew {
        /// Certificate request, PEM.
        request: String,
    },
    /// To take commands on this connection.
    Command {
        /// Counts up with each start of the gateway.
        epoch: u64,
    },
    /// To report on this connection.
    Report {
        /// As for commands.
        epoch: u64,
    },
}

/// What the plane answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Answer {
    /// The version that both go on with.
    pub version: u32,
    /// Name and version of the program, for people.
    pub software: String,
    /// The plane's clock.
    pub now: Timestamp,
    /// Counts up when the plane was restored from a backup: intents are ordered by it first.
    pub incarnation: u64,
    /// The answer itself.
    pub reply: Reply,
}

/// The answer itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Reply {
    /// Paired or renewed.
    Enrolled(Box<Enrolment>),
    /// The connection is open; HTTP/2 follows.
    Welcome,
    /// No.
    Refused(Refusal),
}

/// Why a plane says no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{reason}")]
pub struct Refusal {
    /// For programs.
    pub code: RefusalCode,
    /// For people: what happened, and what to do.
    pub reason: String,
    /// Seconds after which another attempt makes sense; never where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
}

/// Kinds of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalCode {
    /// No pairing code is like this one, or it is another plane's.
    CodeUnknown,
    /// Another gateway was paired by this code.
    CodeUsed,
    /// The code was good until some time ago.
    CodeExpired,
    /// The gateway has no certificate, or one for something else.
    NotPaired,
    /// The certificate has ended: renew it.
    Expired,
    /// The gateway's record is gone or its pairing was reset: pair again.
    Revoked,
    /// A gateway with a newer epoch was here.
    Fenced,
    /// No version in common.
    Version,
    /// What it said makes no sense.
    Invalid,
    /// The plane cannot now.
    Busy,
    /// One that this build does not know.
    #[serde(other)]
    Unknown,
}

impl Refusal {
    /// A refusal for good.
    pub fn new(code: RefusalCode, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into(), retry_after: None }
    }

    /// A refusal that ends by itself: the plane is busy.
    pub fn later(reason: impl Into<String>, after: Duration) -> Self {
        Self { code: RefusalCode::Busy, reason: reason.into(), retry_after: Some(after.as_secs().max(1)) }
    }
}

/// The newest version that both speak.
pub fn common(theirs: &[u32]) -> Option<u32> {
    VERSIONS.iter().rev().find(|version| theirs.contains(version)).copied()
}

/// Why a message was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum HelloError {
    /// The other side said nothing in time.
    #[error("no hello in {DEADLINE:?}")]
    Late,
    /// The connection failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Longer than [`LIMIT`].
    #[error("a hello of {0} bytes is too long")]
    Long(u32),
    /// Not what was expected.
    #[error("the hello cannot be read: {0}")]
    Json(#[from] serde_json::Error),
}

/// Reads one message.
///
/// # Errors
/// [`HelloError`]
pub async fn read<T: DeserializeOwned>(stream: &mut (impl AsyncRead + Unpin)) -> Result<T, HelloError> {
    let read = async {
        let length = stream.read_u32().await?;
        if length > LIMIT {
            return Err(HelloError::Long(length));
        }
        let mut bytes = vec![0; length as usize];
        stream.read_exact(&mut bytes).await?;
        Ok(serde_json::from_slice(&bytes)?)
    };
    timeout(DEADLINE, read).await.map_err(|_| HelloError::Late)?
}

/// Writes one message.
///
/// # Errors
/// [`HelloError`]
pub async fn write(
    stream: &mut (impl AsyncWrite + Unpin),
    message: &impl Serialize,
) -> Result<(), HelloError> {
    let bytes = serde_json::to_vec(message)?;
    let length = u32::try_from(bytes.len()).ok().filter(|length| *length <= LIMIT);
    let length = length.ok_or(HelloError::Long(u32::MAX))?;
    let write = async {
        stream.write_u32(length).await?;
        stream.write_all(&bytes).await?;
        Ok(stream.flush().await?)
    };
    timeout(DEADLINE, write).await.map_err(|_| HelloError::Late)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reading(bytes: &[u8]) -> Result<Hello, HelloError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(read(&mut &*bytes))
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(reading(&bytes).is_err());
        }

        #[test]
        fn what_is_too_long_is_not_waited_for(length in LIMIT + 1..) {
            prop_assert!(matches!(reading(&length.to_be_bytes()), Err(HelloError::Long(_))));
        }
    }

    #[test]
    fn newer_ones_may_say_more() {
        let text =
            br#"{"versions":[1,9],"software":"s","later":1,"ask":{"kind":"command","epoch":3,"more":{}}}"#;
        let mut bytes = u32::try_from(text.len()).unwrap().to_be_bytes().to_vec();
        bytes.extend_from_slice(text);
        let hello = reading(&bytes).unwrap();
        assert!(matches!(hello.ask, Ask::Command { epoch: 3 }));
        assert_eq!((common(&hello.versions), common(&[7])), (Some(1), None));
        let refusal: Refusal = serde_json::from_str(r#"{"code":"invented-later","reason":"so"}"#).unwrap();
        assert_eq!(refusal.code, RefusalCode::Unknown);
    }
}
