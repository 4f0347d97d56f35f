//! When which machine wakes up: one queue for all of them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

/// A timer: when, of which machine, for which step.
type Timer = (Instant, u32, u32);

/// All timers.
#[derive(Debug, Default)]
pub struct Timers {
    queue: Mutex<BinaryHeap<Reverse<Timer>>>,
    changed: Notify,
}

impl Timers {
    /// Adds one.
    pub fn add(&self, at: Instant, machine: u32, step: u32) {
        let mut queue = self.lock();
        let first = queue.peek().is_none_or(|Reverse((next, ..))| at < *next);
        queue.push(Reverse((at, machine, step)));
        drop(queue);
        if first {
            self.changed.notify_one();
        }
    }

    /// The next one that has run down: its machine and step.
    pub async fn next(&self) -> (u32, u32) {
        loop {
            let next = self.lock().peek().map(|Reverse((at, ..))| *at);
            match next {
                Some(at) if at <= Instant::now() => {
                    if let Some(Reverse((_, machine, step))) = self.lock().pop() {
                        return (machine, step);
                    }
                }
                Some(at) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(at) => {}
                        () = self.changed.notified() => {}
                    }
                }
                None => self.changed.notified().await,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BinaryHeap<Reverse<Timer>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn in_the_order_of_time() {
        let (timers, now) = (Timers::default(), Instant::now());
        for (ms, machine) in [(30, 3), (10, 1), (20, 2)] {
            timers.add(now + Duration::from_millis(ms), machine, 0);
        }
        for machine in 1..=3 {
            assert_eq!(timers.next().await, (machine, 0));
        }
        assert!(now.elapsed() >= Duration::from_millis(30));
    }
}
