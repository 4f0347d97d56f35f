use std::{
    collections::HashSet,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use proptest::prelude::*;

use super::*;

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("the queue gave nothing for 30 s")
}

#[derive(Debug, Clone)]
enum Call {
    Add(u8, u64),
    Take(u64),
    Finish(u8),
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        3 => (0u8..6, 0u64..50).prop_map(|(key, at)| Call::Add(key, at)),
        2 => (0u64..60).prop_map(Call::Take),
        2 => (0u8..6).prop_map(Call::Finish),
    ]
}

proptest! {
    /// Against a model that is a plain list: nothing lost, nothing twice, nothing early, nothing while in work.
    #[test]
    fn state_is_like_its_model(calls in proptest::collection::vec(call(), 0..200)) {
        let start = Instant::now();
        let at = |milli: u64| start + Duration::from_millis(milli);
        let mut state = State { order: BTreeMap::new(), waiting: HashMap::new(), active: HashMap::new(), count: 0 };
        let mut model: HashMap<u8, u64> = HashMap::new();
        let mut active: HashSet<u8> = HashSet::new();
        for call in calls {
            match call {
                Call::Add(key, milli) => {
                    state.add(key, at(milli));
                    model.entry(key).and_modify(|due| *due = milli.min(*due)).or_insert(milli);
                }
                Call::Finish(key) => {
                    state.finish(&key);
                    active.remove(&key);
                }
                Call::Take(now) => {
                    let first = model.iter().filter(|(key, _)| !active.contains(key)).map(|(_, due)| *due).min();
                    match state.take(at(now)) {
                        Ok(key) => {
                            prop_assert!(active.insert(key));
                            let due = model.remove(&key);
                            prop_assert_eq!(due, first);
                            prop_assert!(due.is_some_and(|due| due <= now));
                        }
                        Err(next) => {
                            prop_assert_eq!(next, first.map(at));
                            prop_assert!(first.is_none_or(|due| due > now));
                        }
                    }
                }
            }
            prop_assert_eq!(state.order.len(), state.waiting.len());
        }
    }
}

#[tokio::test]
async fn keys_are_given_once_and_in_order() {
    let queue = Queue::new();
    for key in [1, 2, 1, 3, 2] {
        queue.add(key);
    }
    let taken = [within(queue.next()).await, within(queue.next()).await, within(queue.next()).await];
    assert_eq!(taken.iter().map(|work| **work).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(queue.is_empty());
}

#[tokio::test]
async fn what_is_added_in_work_comes_back_afterwards() {
    let queue = Queue::new();
    queue.add("machine");
    let work = within(queue.next()).await;
    queue.add("machine");
    queue.add("other");
    assert_eq!(*within(queue.next()).await, "other");
    assert!(queue.is_empty());
    drop(work);
    assert_eq!(*within(queue.next()).await, "machine");
}

#[tokio::test]
async fn an_earlier_time_wakes_a_worker_that_sleeps() {
    let queue = Queue::new();
    let start = Instant::now();
    queue.add_at("late", start + Duration::from_hours(1));
    let worker = tokio::spawn({
        let queue = queue.clone();
        async move { queue.next().await.key().to_owned() }
    });
    tokio::task::yield_now().await;
    queue.add_at("soon", start + Duration::from_millis(20));
    assert_eq!(within(worker).await.unwrap(), "soon");
    assert!(start.elapsed() >= Duration::from_millis(20));
}

#[tokio::test]
async fn a_cancelled_worker_loses_nothing() {
    let queue = Queue::new();
    assert!(tokio::time::timeout(Duration::from_millis(1), queue.next()).await.is_err());
    queue.add(7);
    assert_eq!(*within(queue.next()).await, 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_workers_never_meet_on_a_key() {
    const KEYS: usize = 8;
    const ROUNDS: usize = 400;
    let queue = Queue::<usize>::new();
    let busy: Arc<Vec<AtomicBool>> = Arc::new((0..KEYS).map(|_| AtomicBool::new(false)).collect());
    let done = Arc::new(AtomicUsize::new(0));
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let (queue, busy, done) = (queue.clone(), Arc::clone(&busy), Arc::clone(&done));
            tokio::spawn(async move {
                loop {
                    let work = queue.next().await;
                    assert!(!busy[*work].swap(true, Ordering::SeqCst), "key {} twice at once", *work);
                    tokio::task::yield_now().await;
                    if done.fetch_add(1, Ordering::SeqCst) < ROUNDS {
                        queue.add(*work);
                    }
                    busy[*work].store(false, Ordering::SeqCst);
                }
            })
        })
        .collect();
    (0..KEYS).for_each(|key| queue.add(key));
    within(async {
        while done.load(Ordering::SeqCst) < ROUNDS + KEYS {
            assert!(workers.iter().all(|worker| !worker.is_finished()));
            tokio::task::yield_now().await;
        }
    })
    .await;
    workers.iter().for_each(tokio::task::JoinHandle::abort);
}
