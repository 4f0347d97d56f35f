//! With the time of a stopped clock, which goes on when everybody waits.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tokio::time::sleep;

use super::*;

/// A BMC that notes what is asked of it, and when.
#[derive(Clone)]
struct Noted(Arc<Seen>);

struct Seen {
    began: Instant,
    /// Milliseconds and what.
    calls: Mutex<Vec<(u128, &'static str)>>,
    at_it: AtomicUsize,
    most: AtomicUsize,
    /// How often it says that it is on, once it was switched off.
    stubborn: AtomicUsize,
    /// How often it fails.
    failing: AtomicUsize,
    /// How long a call takes.
    takes: Duration,
    /// Calls that were given up on.
    ended: AtomicUsize,
}

impl Noted {
    fn new(takes: Duration) -> Self {
        let (at_it, most, stubborn, failing) = Default::default();
        let calls = Mutex::default();
        Self(Arc::new(Seen {
            began: Instant::now(),
            calls,
            at_it,
            most,
            stubborn,
            failing,
            takes,
            ended: AtomicUsize::new(0),
        }))
    }

    async fn call(&self, what: &'static str) -> Result<(), PowerError> {
        struct Ended<'a>(&'a Seen, bool);
        impl Drop for Ended<'_> {
            fn drop(&mut self) {
                self.0.at_it.fetch_sub(1, SeqCst);
                if !self.1 {
                    self.0.ended.fetch_add(1, SeqCst);
                }
            }
        }
        let seen = &self.0;
        seen.calls.lock().unwrap().push((seen.began.elapsed().as_millis(), what));
        let now = seen.at_it.fetch_add(1, SeqCst) + 1;
        seen.most.fetch_max(now, SeqCst);
        let mut guard = Ended(seen, false);
        sleep(seen.takes).await;
        guard.1 = true;
        drop(guard);
        let failing = seen.failing.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
        if failing { Err(PowerError::Credentials { address: "b".to_owned() }) } else { Ok(()) }
    }

    fn calls(&self) -> Vec<(u128, &'static str)> {
        self.0.calls.lock().unwrap().clone()
    }
}

#[async_trait::async_trait]
impl Bmc for Noted {
    fn address(&self) -> &'static str {
        "b"
    }
    async fn state(&self) -> Result<Power, PowerError> {
        self.call("state").await?;
        let on = self.0.stubborn.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
        Ok(if on { Power::On } else { Power::Off })
    }
    async fn boot_network(&self) -> Result<(), PowerError> {
        self.call("boot").await
    }
    async fn on(&self) -> Result<(), PowerError> {
        self.call("on").await
    }
    async fn off(&self) -> Result<(), PowerError> {
        self.call("off").await
    }
}

#[tokio::test(start_paused = true)]
async fn one_at_a_time_at_one_address_and_many_over_all() {
    let (turns, bmc) = (Turns::default(), Noted::new(Duration::from_secs(1)));
    let mut work = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let bmc = turns.at(bmc.clone());
        work.spawn(async move { bmc.on().await.unwrap() });
    }
    work.join_all().await;
    assert_eq!((bmc.0.most.load(SeqCst), bmc.calls().len()), (1, 10));

    let many = Noted::new(Duration::from_secs(1));
    let mut work = tokio::task::JoinSet::new();
    for n in 0..200 {
        let (turns, many) = (turns.clone(), many.clone());
        work.spawn(async move { turns.take(&format!("bmc-{n}"), many.on()).await.unwrap() });
    }
    work.join_all().await;
    assert_eq!((many.0.most.load(SeqCst), many.calls().len()), (AT_ONCE, 200));
}

#[tokio::test(start_paused = true)]
async fn off_is_asked_for_soon_and_then_less_often() {
    let (turns, bmc) = (Turns::default(), Noted::new(Duration::ZERO));
    bmc.0.stubborn.store(3, SeqCst);
    turns.at(bmc.clone()).off().await.unwrap();
    let calls = bmc.calls();
    let at: Vec<u128> = calls.iter().map(|(at, _)| at / 100).collect();
    assert_eq!(at, [0, 0, 5, 15, 35], "{calls:?}");
    assert!(calls.iter().skip(1).all(|(_, what)| *what == "state"));

    // One that never is off is not asked for ever, and that is no failure: the order was taken.
    bmc.0.stubborn.store(usize::MAX, SeqCst);
    let began = Instant::now();
    turns.at(bmc.clone()).off().await.unwrap();
    assert!(began.elapsed() <= CONFIRM);
    // Between two questions, others have their turn.
    let waiting = tokio::spawn({
        let bmc = turns.at(bmc.clone());
        async move { bmc.off().await }
    });
    tokio::task::yield_now().await;
    let began = Instant::now();
    turns.at(bmc).on().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1));
    waiting.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_that_failed_is_left_alone_longer_and_longer() {
    let (turns, bmc) = (Turns::default(), Noted::new(Duration::ZERO));
    bmc.0.failing.store(3, SeqCst);
    for _ in 0..3 {
        assert!(turns.at(bmc.clone()).on().await.is_err());
    }
    assert!(turns.take_if_free("b", async { Ok(()) }).await.is_none(), "it rests");
    turns.at(bmc.clone()).on().await.unwrap();
    turns.at(bmc.clone()).on().await.unwrap();
    let at: Vec<u128> = bmc.calls().iter().map(|(at, _)| at / 100).collect();
    assert_eq!(at, [0, 5, 15, 35, 35], "once it works it is not waited for");
    assert!(turns.take_if_free("b", async { Ok(()) }).await.is_some());
    // Others are not slowed down.
    let began = Instant::now();
    turns.take("other", async { Ok(()) }).await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn what_hangs_is_ended_and_what_nobody_waits_for_too() {
    let (turns, bmc) = (Turns::default(), Noted::new(Duration::from_hours(1)));
    let late = turns.at(bmc.clone()).on().await.unwrap_err();
    assert!(matches!(late, PowerError::Late { .. }), "{late}");
    assert_eq!((bmc.0.ended.load(SeqCst), bmc.0.at_it.load(SeqCst)), (1, 0));

    let work = tokio::spawn({
        let bmc = turns.at(bmc.clone());
        async move { bmc.on().await }
    });
    while bmc.calls().len() < 2 {
        sleep(Duration::from_secs(1)).await;
    }
    assert!(turns.take_if_free("b", async { Ok(()) }).await.is_none(), "somebody is at it");
    work.abort();
    assert!(work.await.unwrap_err().is_cancelled());
    assert_eq!((bmc.0.ended.load(SeqCst), bmc.0.at_it.load(SeqCst)), (2, 0));
    turns.take("b", async { Ok(()) }).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn whose_turn_does_not_come_is_told() {
    let (turns, bmc) = (Turns::default(), Noted::new(Duration::from_hours(1)));
    let mut work = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let bmc = turns.at(bmc.clone());
        work.spawn(async move { bmc.on().await.unwrap_err() });
    }
    let busy = work.join_all().await.into_iter().filter(|error| matches!(error, PowerError::Busy { .. }));
    assert!(busy.count() >= 10);
}

#[tokio::test(start_paused = true)]
async fn addresses_that_nobody_is_at_are_forgotten() {
    let turns = Turns::default();
    for n in 0..100 {
        turns.take(&n.to_string(), async { Ok(()) }).await.unwrap();
    }
    assert_eq!(turns.lines.lock().unwrap().len(), 1);
}
