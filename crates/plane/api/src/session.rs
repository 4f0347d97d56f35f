//! Sessions: who has signed in by password.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::token::Token;

/// How long a session is good without being refreshed.
const LIFE: SignedDuration = SignedDuration::from_mins(15);
/// How long after the sign-in it can be refreshed.
const LONGEST: SignedDuration = SignedDuration::from_hours(8);

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The user.
    pub sub: String,
    /// The tenant.
    pub tenant: String,
    /// When the user gave the password, seconds since 1970.
    pub auth_time: i64,
    /// Its end, seconds since 1970.
    pub exp: i64,
}

impl Session {
    /// Of a user who has just signed in.
    pub fn begin(tenant: &str, user: &str, now: Timestamp) -> Self {
        let auth_time = now.as_second();
        Self { sub: user.to_owned(), tenant: tenant.to_owned(), auth_time, exp: (now + LIFE).as_second() }
    }

    /// The same session for another while; `None` where the password is to be given again.
    pub fn refreshed(&self, now: Timestamp) -> Option<Self> {
        let until = (now + LIFE).as_second().min(self.auth_time + LONGEST.as_secs());
        (until > now.as_second()).then(|| Self { exp: until, ..self.clone() })
    }
}

impl Token for Session {
    const AUDIENCE: Option<&'static str> = None;

    fn end(&self) -> i64 {
        self.exp
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::ToSpan as _;
    use proptest::prelude::*;
    use secrets::Secret;

    proptest! {
        #[test]
        fn is_read_by_its_plane_until_its_end(minutes in 0i64..40) {
            let (key, other, start) = (Secret::from("k"), Secret::from("o"), Timestamp::UNIX_EPOCH);
            let session = Session::begin("t", "u", start);
            let token = session.token(&key).unwrap();
            let now = start + minutes.minutes();
            prop_assert_eq!(Session::read(token.expose(), &key, now), (minutes < 15).then_some(session));
            prop_assert_eq!(Session::read(token.expose(), &other, now), None);
        }

        #[test]
        fn ends_hours_after_the_password_however_often_it_is_refreshed(steps in prop::collection::vec(1i64..15, 1..80)) {
            let mut now = Timestamp::UNIX_EPOCH;
            let mut session = Session::begin("t", "u", now);
            for step in steps {
                now += step.minutes();
                match session.refreshed(now) {
                    Some(next) => session = next,
                    None => prop_assert!(now.as_second() >= LONGEST.as_secs()),
                }
                prop_assert!(session.exp <= LONGEST.as_secs());
            }
        }
    }

    #[test]
    fn a_token_without_a_signature_is_none() {
        let session = Session::begin("t", "u", Timestamp::UNIX_EPOCH);
        let token = session.token(&Secret::from("k")).unwrap();
        let claims = token.expose().split('.').nth(1).unwrap();
        // {"alg":"none","typ":"JWT"}
        let forged = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{claims}.");
        assert_eq!(Session::read(&forged, &Secret::from("k"), Timestamp::UNIX_EPOCH), None);
    }
}
