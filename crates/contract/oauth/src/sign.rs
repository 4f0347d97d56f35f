//! Signing.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrets::ApiKey;

/// What percent-encoding leaves as it is (RFC 3986, unreserved).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The value of an `Authorization` header, signed PLAINTEXT; `seconds` since the epoch, `nonce` never used before.
pub fn authorization(key: &ApiKey, seconds: u64, nonce: &str) -> String {
    format!(
        "OAuth oauth_version=\"1.0\", oauth_signature_method=\"PLAINTEXT\", oauth_consumer_key=\"{}\", \
         oauth_token=\"{}\", oauth_signature=\"%26{}\", oauth_nonce=\"{}\", oauth_timestamp=\"{seconds}\"",
        escape(&key.consumer),
        escape(&key.token),
        escape(key.secret.expose()),
        escape(nonce),
    )
}

/// Percent-encodes.
pub(crate) fn escape(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Nonces, Signed, Subject};
    use proptest::prelude::*;

    #[test]
    fn has_every_part() {
        let key = "con:tok:sec".parse().unwrap();
        assert_eq!(
            authorization(&key, 7, "n"),
            "OAuth oauth_version=\"1.0\", oauth_signature_method=\"PLAINTEXT\", oauth_consumer_key=\"con\", \
             oauth_token=\"tok\", oauth_signature=\"%26sec\", oauth_nonce=\"n\", oauth_timestamp=\"7\""
        );
    }

    proptest! {
        #[test]
        fn what_is_signed_is_accepted(key in "[^:]{1,20}:[^:]{1,20}:[^:]{1,20}", nonce in "\\PC{1,20}") {
            let Ok(key) = key.parse::<ApiKey>() else { return Ok(()) };
            let signed = Signed::from_header(&authorization(&key, 1000, &nonce)).unwrap();
            prop_assert_eq!((signed.consumer(), signed.token()), (Ok(key.consumer.as_str()), Ok(key.token.as_str())));
            let subject = Subject { method: "GET", host: "h", path: "/", sent: &[] };
            prop_assert_eq!(signed.verify(key.secret.expose(), &subject, &Nonces::default(), 1000), Ok(()));
            prop_assert_eq!(signed.plaintext().unwrap().secret, key.secret.expose());
        }
    }
}
