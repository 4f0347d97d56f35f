//! What is wrong with a gateway, for `bessemer gateway doctor`: each check says what to do.

use std::{path::Path, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::Serialize;
use tokio::time::timeout;
use tunnel::{Carrier, Enrolment, LinkState};

use crate::{Home, Plane, SOFTWARE, status};

/// How long a way to the plane may take to open.
const DIAL: Duration = Duration::from_secs(10);

/// The outcome of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was checked.
    pub check: String,
    /// How it is.
    pub verdict: Verdict,
    /// What was found, and what to do.
    pub message: String,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Good,
    /// It works, or will; look at it all the same.
    Odd,
    /// It keeps the gateway from its work.
    Bad,
}

impl Finding {
    /// As it should be.
    pub fn good(check: &str, message: impl Into<String>) -> Self {
        Self { check: check.to_owned(), verdict: Verdict::Good, message: message.into() }
    }

    /// To be looked at.
    pub fn odd(check: &str, message: impl Into<String>) -> Self {
        Self { check: check.to_owned(), verdict: Verdict::Odd, message: message.into() }
    }

    /// In the way.
    pub fn bad(check: &str, message: impl Into<String>) -> Self {
        Self { check: check.to_owned(), verdict: Verdict::Bad, message: message.into() }
    }
}

/// Checks pairing, the ways to the plane, the plane's word, and whether the gateway runs.
pub async fn doctor(home: &Home, plane: &Plane) -> Vec<Finding> {
    let mut findings = Vec::new();
    let enrolment = home.enrolment();
    findings.push(match &enrolment {
        Ok(Some(enrolment)) => paired(enrolment),
        Ok(None) => {
            Finding::bad("pairing", "it is not paired: ask the plane for a code, then: bessemer gateway pair")
        }
        Err(error) => Finding::bad("pairing", error.to_string()),
    });
    findings.extend(ways(&plane.carriers).await);
    if let Ok(Some(enrolment)) = enrolment {
        findings.push(word(&plane.carriers, &enrolment, home).await);
    }
    findings.push(process(home));
    findings
}

fn paired(enrolment: &Enrolment) -> Finding {
    let who = format!("it is gateway {} of tenant {}", enrolment.identity.gateway, enrolment.identity.tenant);
    match enrolment.renew_at() {
        Ok(at) => Finding::good("pairing", format!("{who}; its certificate is renewed from {at:.0} on")),
        Err(error) => Finding::bad(
            "pairing",
            format!("{who}, and its certificate cannot be read: {error}; pair it again"),
        ),
    }
}

/// Every way to the plane's port; one that is open is enough.
async fn ways(carriers: &[Arc<dyn Carrier>]) -> Vec<Finding> {
    let mut tried = Vec::new();
    for carrier in carriers {
        let way = carrier.describe();
        let opened = timeout(DIAL, carrier.dial()).await;
        tried.push(match opened {
            Ok(Ok(_)) => Ok(way),
            Ok(Err(error)) => Err(format!("{way}: {error}")),
            Err(_) => Err(format!("{way}: nothing answers within {DIAL:?}; does a firewall drop it?")),
        });
    }
    let open = tried.iter().any(Result::is_ok);
    let shown = tried.into_iter().map(|tried| match tried {
        Ok(way) => Finding::good("way to the plane", format!("{way} is open")),
        Err(why) if open => Finding::odd("way to the plane", why),
        Err(why) => Finding::bad("way to the plane", why),
    });
    shown.collect()
}

/// Whether the plane takes the gateway: a renewal needs all that a connection does.
async fn word(carriers: &[Arc<dyn Carrier>], enrolment: &Enrolment, home: &Home) -> Finding {
    let key = match home.key() {
        Ok(key) => key,
        Err(error) => return Finding::bad("the plane's word", error.to_string()),
    };
    match tunnel::renew(carriers, enrolment, &key, SOFTWARE).await {
        Ok(_) => Finding::good("the plane's word", "the plane knows the gateway and lets it in"),
        Err(error) => Finding::bad("the plane's word", error.to_string()),
    }
}

fn process(home: &Home) -> Finding {
    const CHECK: &str = "process";
    let start = "start it: bessemer gateway run";
    match status(home) {
        Ok(Some(status)) if Path::new("/proc").join(status.pid.to_string()).exists() => match status.link {
            LinkState::Connected { since, carrier } => {
                let so_long = Timestamp::now().duration_since(since);
                Finding::good(
                    CHECK,
                    format!("process {} is connected by {carrier} for {so_long:#}", status.pid),
                )
            }
            LinkState::Connecting => Finding::odd(CHECK, format!("process {} is connecting", status.pid)),
            LinkState::Down { reason, .. } => {
                Finding::bad(CHECK, format!("process {} is not connected: {reason}", status.pid))
            }
        },
        Ok(_) => Finding::odd(CHECK, format!("it does not run: {start}")),
        Err(error) => Finding::bad(CHECK, error.to_string()),
    }
}
