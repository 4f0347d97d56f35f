//! Time for machines (SNTP, RFC 4330): enough for a clock without a battery to find the right day.
//!
//! The server tells its own clock and claims no more than that: the stratum comes from the configuration.

use std::{convert::Infallible, time::Duration};

use jiff::Timestamp;
use tokio::net::UdpSocket;

/// The port of NTP.
pub const PORT: u16 = 123;
/// Stratum of a server whose clock follows nobody in particular.
pub const LOCAL_STRATUM: u8 = 10;
/// From 1900 to 1970.
const EPOCH: i64 = 2_208_988_800;
const LEN: usize = 48;
/// 2^-20 s, about a microsecond.
const PRECISION: i8 = -20;

/// A time as NTP writes it: seconds since 1900 and a binary fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NtpTime(pub u64);

impl From<Timestamp> for NtpTime {
    fn from(time: Timestamp) -> Self {
        let nanos = time.as_nanosecond() + i128::from(EPOCH) * 1_000_000_000;
        // Modulo 2^32 seconds: after 2036 NTP counts from 0 again.
        let seconds = nanos.div_euclid(1_000_000_000).cast_unsigned() as u32;
        let fraction = (nanos.rem_euclid(1_000_000_000).cast_unsigned() << 32) / 1_000_000_000;
        Self(u64::from(seconds) << 32 | fraction as u64)
    }
}

/// The answer to a client's packet; `None` for anything that is not a client's question.
pub fn answer(packet: &[u8], received: NtpTime, now: NtpTime, stratum: u8) -> Option<[u8; LEN]> {
    let question = packet.first_chunk::<LEN>()?;
    let [first, _, poll, ..] = *question;
    let (version, mode) = (first >> 3 & 7, first & 7);
    // RFC 1305's servers take mode 0 of version 1 for a question, too; nobody sends it any more.
    if mode != 3 || !(1..=4).contains(&version) {
        return None;
    }
    let origin = question.last_chunk::<8>()?;
    let mut answer = Vec::with_capacity(LEN);
    answer.extend_from_slice(&[version << 3 | 4, stratum, poll, PRECISION.to_be_bytes()[0]]);
    answer.extend_from_slice(&[0; 4]); // root delay
    answer.extend_from_slice(&[0, 0, 0, 64]); // root dispersion: 1 ms
    answer.extend_from_slice(b"LOCL");
    answer.extend_from_slice(&received.0.to_be_bytes()); // when the clock was set: just now
    answer.extend_from_slice(origin);
    answer.extend_from_slice(&received.0.to_be_bytes());
    answer.extend_from_slice(&now.0.to_be_bytes());
    answer.try_into().ok()
}

/// Serves until it is dropped.
pub async fn run(socket: UdpSocket, stratum: u8) -> Infallible {
    let mut buffer = [0; 512];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((len, client)) => {
                let received = Timestamp::now().into();
                let question = buffer.get(..len).unwrap_or_default();
                let Some(reply) = answer(question, received, Timestamp::now().into(), stratum) else {
                    continue;
                };
                if let Err(error) = socket.send_to(&reply, client).await {
                    tracing::debug!(%client, %error, "cannot send the time");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot receive NTP packets");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    fn question() -> [u8; LEN] {
        let mut packet = [0; LEN];
        packet[0] = 4 << 3 | 3;
        packet[2] = 6;
        packet[40..].copy_from_slice(b"cookie!!");
        packet
    }

    #[test]
    fn times_are_copied_and_told() {
        let (received, now) = (NtpTime(5 << 32), NtpTime(6 << 32));
        let answer = answer(&question(), received, now, LOCAL_STRATUM).unwrap();
        assert_eq!(answer[..3], [4 << 3 | 4, 10, 6]);
        assert_eq!(&answer[24..32], b"cookie!!");
        assert_eq!(answer[32..40], received.0.to_be_bytes());
        assert_eq!(answer[40..], now.0.to_be_bytes());
    }

    #[test]
    fn seconds_and_fraction() {
        let half = Timestamp::new(0, 500_000_000).unwrap();
        assert_eq!(NtpTime::from(half).0, 2_208_988_800 << 32 | 1 << 31);
        let next_era = Timestamp::from_second(2_085_978_496).unwrap();
        assert_eq!(NtpTime::from(next_era).0, 0);
    }

    proptest! {
        /// Only questions are answered, so that servers never talk to each other.
        #[test]
        fn any_bytes(bytes in vec(any::<u8>(), 0..100)) {
            if let Some(reply) = answer(&bytes, NtpTime(1), NtpTime(2), 10) {
                prop_assert_eq!(bytes[0] & 7, 3);
                prop_assert_eq!(answer(&reply, NtpTime(1), NtpTime(2), 10), None);
            }
        }
    }
}
