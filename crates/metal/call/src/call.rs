//! What a handler gets: the region's state, who calls, and what was sent.

use std::sync::Arc;

use bytes::Bytes;
use model::{Machines, ops::Actor};
use oauth::Nonces;
use tokio::sync::Semaphore;

use crate::params::Params;

/// What every call may use.
pub struct State {
    /// Machines, and through them the store.
    pub machines: Machines,
    /// Images.
    pub images: images::Images,
    /// Power of machines.
    pub power: Arc<dyn PowerControl>,
    /// What the region says of itself.
    pub settings: Settings,
    /// OAuth nonces seen lately.
    pub nonces: Nonces,
    /// Places for those who hash passwords: each takes 19 MiB and a core.
    pub hashing: Arc<Semaphore>,
}

/// Passwords that are hashed at a time.
const HASHED_AT_ONCE: usize = 2;

impl State {
    /// State over these parts, before the first call.
    pub fn new(
        machines: Machines,
        images: images::Images,
        power: Arc<dyn PowerControl>,
        settings: Settings,
    ) -> Self {
        let hashing = Arc::new(Semaphore::new(HASHED_AT_ONCE));
        Self { machines, images, power, settings, nonces: Nonces::default(), hashing }
    }

    /// The store.
    pub const fn store(&self) -> &store::Store {
        self.machines.store()
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// What the region says of itself.
#[derive(Debug, Clone)]
pub struct Settings {
    /// MAAS's `maas_name`.
    pub maas_name: String,
    /// The MAAS version whose API this is.
    pub version: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { maas_name: "bessemer".to_owned(), version: "3.7.3".to_owned() }
    }
}

/// Asks and switches the power of machines; the region implements it over BMCs.
#[async_trait::async_trait]
pub trait PowerControl: Send + Sync {
    /// `on`, `off` or `unknown`.
    ///
    /// # Errors
    /// A sentence, where the BMC cannot be asked.
    async fn query(&self, system_id: &str) -> Result<String, String>;
    /// Switches.
    ///
    /// # Errors
    /// A sentence, where the BMC did not do it.
    async fn switch(&self, system_id: &str, to: lifecycle::Power) -> Result<(), String>;
    /// Lines of the serial console from number `skip` on. `None`: the BMC keeps none.
    ///
    /// # Errors
    /// A sentence, where the BMC cannot be asked.
    async fn console(&self, _system_id: &str, _skip: usize) -> Result<Option<ConsoleLines>, String> {
        Ok(None)
    }
}

/// A stretch of a machine's serial console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsoleLines {
    /// Number of the first of `lines`.
    pub first: usize,
    /// The lines, as the machine wrote them.
    pub lines: Vec<String>,
    /// How many there were until now.
    pub total: usize,
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Name of the user.
    pub user: String,
    /// May change what belongs to others.
    pub admin: bool,
}

/// One call of the API.
#[derive(Debug, Clone)]
pub struct Call {
    /// The region's state.
    pub state: Arc<State>,
    /// Who calls; absent: anonymous.
    pub caller: Option<Caller>,
    /// The path's `{captures}` in order, percent-decoded.
    pub path: Vec<String>,
    /// Parameters of the query.
    pub query: Params,
    /// Parameters of the body: form, multipart or JSON.
    pub form: Params,
    /// The body as it came where it is not parameters; else empty.
    pub body: Bytes,
    /// `scheme://host` of the request.
    pub base: String,
    /// Name of the operation, as in `describe/`.
    pub op: &'static str,
}

impl Call {
    /// The `n`th capture of the path; empty if there is none.
    pub fn arg(&self, n: usize) -> &str {
        self.path.get(n).map_or("", String::as_str)
    }

    /// A parameter of the body, or else of the query.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.form.get(name).or_else(|| self.query.get(name))
    }

    /// Every value of a parameter: the body's, or else the query's.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let sent = self.form.all(name);
        if sent.is_empty() { self.query.all(name) } else { sent }
    }

    /// A yes-or-no parameter in any of MAAS's spellings; `false` if absent or something else.
    pub fn flag(&self, name: &str) -> bool {
        self.param(name).is_some_and(is_true)
    }

    /// Whether the caller is an administrator.
    pub fn admin(&self) -> bool {
        self.caller.as_ref().is_some_and(|caller| caller.admin)
    }

    /// Name of the calling user; empty if anonymous.
    pub fn user(&self) -> &str {
        self.caller.as_ref().map_or("", |caller| &caller.user)
    }

    /// The caller as the model's operations want it.
    pub fn actor(&self) -> Actor {
        Actor { user: self.user().to_owned(), admin: self.admin() }
    }

    /// The store.
    pub fn store(&self) -> &store::Store {
        self.state.store()
    }
}

/// Whether a text means yes, as MAAS reads it.
pub fn is_true(text: &str) -> bool {
    ["1", "true", "on", "yes", "y", "t"].iter().any(|yes| text.trim().eq_ignore_ascii_case(yes))
}

/// Pieces between blanks and commas.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty())
}

/// A MAC address as documents have it: lower case with colons; `None` if it is none.
pub fn mac(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_lowercase().replace('-', ":");
    let parts: Vec<&str> = text.split(':').collect();
    let good = parts.len() == 6
        && parts.iter().all(|part| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit()));
    good.then_some(text)
}

/// Bytes as MAAS reads them: a number, or one with a decimal suffix.
pub fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let (digits, factor) = match text.chars().last()? {
        'K' | 'k' => (text.get(..text.len() - 1)?, 1_000),
        'M' | 'm' => (text.get(..text.len() - 1)?, 1_000_000),
        'G' | 'g' => (text.get(..text.len() - 1)?, 1_000_000_000),
        'T' | 't' => (text.get(..text.len() - 1)?, 1_000_000_000_000_u64),
        _ => (text, 1),
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}
