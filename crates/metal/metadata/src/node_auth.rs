//! Who a request of an installed system is from: OAuth 1 PLAINTEXT with the credentials of its deployment.

use std::sync::Arc;

use axum::http::{HeaderMap, header};
use model::{Machine, Machines};
use store::Stored;

/// The machine whose credentials a request shows.
pub fn machine_of(machines: &Machines, headers: &HeaderMap) -> Option<Arc<Stored<Machine>>> {
    let header = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let shown = parse(header)?;
    let machine = machines.by_token(&shown.token)?;
    let kept = machine.value.credentials.as_ref()?;
    let right = secrets::constant_time_eq(&kept.consumer, &shown.consumer)
        & secrets::constant_time_eq(kept.secret.expose(), &shown.secret);
    right.then_some(machine)
}

struct Shown {
    consumer: String,
    token: String,
    secret: String,
}

/// Reads `OAuth oauth_consumer_key="…", oauth_token="…", oauth_signature="%26…"`, quoted or not.
fn parse(header: &str) -> Option<Shown> {
    let pairs = header.strip_prefix("OAuth ")?;
    let value = |key: &str| {
        pairs
            .split(',')
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(k, _)| *k == key)
            .map(|(_, v)| decode(v.trim().trim_matches('"')))
    };
    if !value("oauth_signature_method").is_none_or(|method| method.eq_ignore_ascii_case("PLAINTEXT")) {
        return None;
    }
    let signature = value("oauth_signature")?;
    Some(Shown {
        consumer: value("oauth_consumer_key")?,
        token: value("oauth_token")?,
        secret: signature.split_once('&')?.1.to_owned(),
    })
}

fn decode(text: &str) -> String {
    // A form decoder turns `+` into a space, which percent-encoding does not.
    form_urlencoded::parse(format!("v={}", text.replace('+', "%2B").replace('&', "%26")).as_bytes())
        .next()
        .map_or_else(String::new, |(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn cloud_init_signs_like_this() {
        let shown = parse(
            "OAuth oauth_nonce=\"1\", oauth_timestamp=\"2\", oauth_version=\"1.0\", \
             oauth_signature_method=\"PLAINTEXT\", oauth_consumer_key=\"c\", oauth_token=\"t\", oauth_signature=\"%26s\"",
        )
        .unwrap();
        assert_eq!((shown.consumer.as_str(), shown.token.as_str(), shown.secret.as_str()), ("c", "t", "s"));
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(header in ".*") {
            let _ = parse(&format!("OAuth {header}"));
        }
    }
}
