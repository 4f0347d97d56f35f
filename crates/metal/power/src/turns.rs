//! Turns at BMCs, whatever their drivers: one operation at a time at one address, a bounded number over all, a
//! deadline for each, and a rest for a BMC that failed. Who gives up on an operation ends it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lifecycle::Power;
use tokio::{
    sync::{Mutex as Turn, Semaphore},
    time::{Instant, sleep_until, timeout, timeout_at},
};

use crate::{Bmc, ConsoleLines, PowerError, drivers::goes_off, pace};

/// Operations under way at once, over all BMCs.
const AT_ONCE: usize = 64;
/// How long an operation may take once it is its turn.
const LIMIT: Duration = Duration::from_secs(25);
/// How long it may wait for its turn.
const PATIENCE: Duration = Duration::from_mins(2);
/// How long a BMC that was told to switch off is asked whether it did.
const CONFIRM: Duration = Duration::from_secs(15);

/// The turns of all BMCs; cheap to clone, all clones are one.
#[derive(Debug, Clone)]
pub struct Turns {
    places: Arc<Semaphore>,
    lines: Arc<Mutex<HashMap<String, Line>>>,
}

/// Who is at a BMC, and those that wait.
type Line = Arc<Turn<Record>>;

/// How a BMC did lately.
#[derive(Debug, Default)]
struct Record {
    /// Failures in a row.
    failures: u32,
    /// It is left alone until then.
    rests: Option<Instant>,
}

impl Default for Turns {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(AT_ONCE)), lines: Arc::default() }
    }
}

impl Turns {
    /// A driver whose operations take turns.
    pub fn at(&self, bmc: impl Bmc + 'static) -> Box<dyn Bmc> {
        Box::new(InTurn { inner: bmc, turns: self.clone() })
    }

    /// Does something at the BMC of this address when it is its turn.
    ///
    /// # Errors
    /// Those of `work`; [`PowerError::Late`] where it does not end, [`PowerError::Busy`] where the turn does not
    /// come.
    pub async fn take<T>(
        &self,
        address: &str,
        work: impl Future<Output = Result<T, PowerError>>,
    ) -> Result<T, PowerError> {
        let busy = |_| PowerError::Busy { address: address.to_owned(), limit: PATIENCE };
        let until = Instant::now() + PATIENCE;
        let line = self.line(address);
        let mut record = timeout_at(until, line.lock()).await.map_err(busy)?;
        if let Some(rests) = record.rests {
            sleep_until(rests).await;
        }
        self.now(address, &mut record, until, work).await
    }

    /// Does something at a BMC only if nobody else is at it and it does not rest; `None` if not.
    pub async fn take_if_free<T>(
        &self,
        address: &str,
        work: impl Future<Output = Result<T, PowerError>>,
    ) -> Option<Result<T, PowerError>> {
        let line = self.line(address);
        let mut record = line.try_lock().ok()?;
        if record.rests.is_some_and(|rests| rests > Instant::now()) {
            return None;
        }
        Some(self.now(address, &mut record, Instant::now() + PATIENCE, work).await)
    }

    async fn now<T>(
        &self,
        address: &str,
        record: &mut Record,
        until: Instant,
        work: impl Future<Output = Result<T, PowerError>>,
    ) -> Result<T, PowerError> {
        let place = timeout_at(until, self.places.acquire()).await;
        let Ok(Ok(_place)) = place else {
            return Err(PowerError::Busy { address: address.to_owned(), limit: PATIENCE });
        };
        let late = |_| Err(PowerError::Late { address: address.to_owned(), limit: LIMIT });
        let done = timeout(LIMIT, work).await.unwrap_or_else(late);
        let failed = done.as_ref().is_err_and(PowerError::is_of_the_bmc);
        record.failures = if failed { record.failures.saturating_add(1) } else { 0 };
        record.rests = failed.then(|| Instant::now() + pace::back_off(record.failures));
        done
    }

    fn line(&self, address: &str) -> Line {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get(address) {
            return line.clone();
        }
        // Room for a new one: those that nobody is at, and that have nothing to remember, are not missed.
        lines.retain(|_, line| {
            Arc::strong_count(line) > 1 || line.try_lock().is_ok_and(|record| record.failures > 0)
        });
        lines.entry(address.to_owned()).or_default().clone()
    }
}

/// A driver that takes turns.
struct InTurn<B> {
    inner: B,
    turns: Turns,
}

#[async_trait::async_trait]
impl<B: Bmc> Bmc for InTurn<B> {
    fn address(&self) -> &str {
        self.inner.address()
    }

    async fn state(&self) -> Result<Power, PowerError> {
        self.turns.take(self.address(), self.inner.state()).await
    }

    async fn boot_network(&self) -> Result<(), PowerError> {
        self.turns.take(self.address(), self.inner.boot_network()).await
    }

    async fn on(&self) -> Result<(), PowerError> {
        self.turns.take(self.address(), self.inner.on()).await
    }

    /// Comes back when the BMC confirms, or at last after [`CONFIRM`]; others have their turns in between.
    async fn off(&self) -> Result<(), PowerError> {
        self.turns.take(self.address(), self.inner.off()).await?;
        // Not knowing is the caller's to deal with: the order itself was taken.
        let _ = goes_off(self, CONFIRM).await;
        Ok(())
    }

    async fn console(&self, skip: usize) -> Result<Option<ConsoleLines>, PowerError> {
        self.turns.take(self.address(), self.inner.console(skip)).await
    }
}

#[cfg(test)]
mod tests;
