//! OAuth 1.0 with the PLAINTEXT signature, as MAAS wants it: the consumer's secret is empty.

use form_urlencoded::byte_serialize;
use secrets::ApiKey;

/// The value of the Authorization header; `seconds` since the epoch, `nonce` never used before.
pub fn authorization(key: &ApiKey, seconds: u64, nonce: &str) -> String {
    let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    format!(
        "OAuth oauth_version=\"1.0\", oauth_signature_method=\"PLAINTEXT\", oauth_consumer_key=\"{}\", \
         oauth_token=\"{}\", oauth_signature=\"%26{}\", oauth_nonce=\"{nonce}\", oauth_timestamp=\"{seconds}\"",
        encode(&key.consumer),
        encode(&key.token),
        encode(key.secret.expose()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_every_part() {
        let key = "con:tok:sec".parse().unwrap();
        assert_eq!(
            authorization(&key, 7, "n"),
            "OAuth oauth_version=\"1.0\", oauth_signature_method=\"PLAINTEXT\", oauth_consumer_key=\"con\", \
             oauth_token=\"tok\", oauth_signature=\"%26sec\", oauth_nonce=\"n\", oauth_timestamp=\"7\""
        );
    }
}
