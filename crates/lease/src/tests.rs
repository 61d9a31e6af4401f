//! Leases over a barrier in memory, on a clock moved by hand.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::value::RawValue;
use strongroom_barrier::seal::Initialisation;
use strongroom_barrier::{Barrier, Batch, Options, SealConfig, Unsealing};
use strongroom_crypto::SystemEntropy;
use strongroom_storage::memory::Memory;
use strongroom_types::clock::ManualClock;
use strongroom_types::{Clock, LeaseId, Timestamp, Ttl};
use tokio_util::sync::CancellationToken;

use crate::{
    Keeper, KeeperOptions, Kind, Lease, LeaseStore, NewLease, RevokeError, Revoker, State,
};

/// Remembers what it revoked, and fails as it is told.
#[derive(Default)]
struct Hands {
    revoked: Mutex<Vec<String>>,
    /// How often each lease fails before it works; `u32::MAX` for always.
    failures: Mutex<HashMap<String, u32>>,
    never: Mutex<Option<String>>,
    panics: Mutex<bool>,
}

#[async_trait]
impl Revoker for Hands {
    async fn revoke(&self, lease: &Lease) -> Result<(), RevokeError> {
        let id = lease.id.to_string();
        if *self.panics.lock().unwrap() {
            panic!("the engine has a bug");
        }
        if self.never.lock().unwrap().as_ref() == Some(&id) {
            return Err(RevokeError::Never("gone for good".to_owned()));
        }
        if let Some(left) = self.failures.lock().unwrap().get_mut(&id)
            && *left > 0
        {
            *left = left.saturating_sub(u32::from(*left != u32::MAX));
            return Err(RevokeError::Later("service\nis down".to_owned()));
        }
        self.revoked.lock().unwrap().push(id);
        Ok(())
    }
}

struct Bench {
    barrier: Barrier,
    store: LeaseStore,
    keeper: Keeper,
    hands: Arc<Hands>,
    clock: ManualClock,
}

impl Bench {
    async fn new() -> Self {
        let clock = ManualClock::default();
        let options = Options {
            physical: Arc::new(Memory::new()),
            entropy: Arc::new(SystemEntropy),
            clock: Arc::new(clock.clone()),
            cache_bytes: 1 << 20,
        };
        let config = SealConfig::new(1, 1).unwrap();
        let initialisation = Initialisation::prepare(options.clone(), config).unwrap();
        let share = initialisation.commit(Batch::new()).await.unwrap().pop().unwrap();
        let shares = Unsealing::new(config).add(share, &SystemEntropy).unwrap();
        let barrier = shares.open(options).await.unwrap().unwrap();
        let store = LeaseStore::new(barrier.view("lease/"));
        let hands = Arc::new(Hands::default());
        let (shared, time) = (hands.clone(), Arc::new(clock.clone()));
        let keeper = Keeper::new(store.clone(), shared, time, KeeperOptions::default());
        Self { barrier, store, keeper, hands, clock }
    }

    /// A lease `custom/<name>` of a token, for some seconds.
    async fn lease(&self, name: &str, secs: u64) -> LeaseId {
        let id = LeaseId::parse(&format!("custom/{name}")).unwrap();
        let mut batch = Batch::new();
        let new = NewLease {
            id: id.clone(),
            kind: Kind::Credential {
                mount: "m".to_owned(),
                path: "creds/dev".to_owned(),
                internal: RawValue::from_string("{\"id\":1}".to_owned()).unwrap(),
                data: None,
            },
            token: Some("t".to_owned()),
            issued: self.clock.now(),
            ttl: Ttl::from_secs(secs),
            max_ttl: Ttl::ZERO,
            renewable: true,
        };
        let lease = self.store.add(&mut batch, new);
        self.store.commit(batch).await.unwrap();
        self.keeper.expect(lease.expires);
        id
    }

    async fn state(&self, id: &LeaseId) -> Option<State> {
        self.store.get(id).await.unwrap().map(|found| found.lease.state.clone())
    }

    async fn all_keys(&self) -> Vec<String> {
        self.barrier.view("lease/").keys("", None, 1000).await.unwrap()
    }

    fn revoked(&self) -> Vec<String> {
        self.hands.revoked.lock().unwrap().clone()
    }

    /// Moves time and lets everything that follows from it happen.
    async fn pass(&self, secs: u64) {
        self.clock.advance(Duration::from_secs(secs));
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
    }

    /// Runs the keeper beside a test.
    async fn with_keeper(&self, test: impl Future<Output = ()>) {
        let stop = CancellationToken::new();
        let run = self.keeper.run(stop.clone());
        let test = async {
            test.await;
            stop.cancel();
        };
        tokio::join!(run, test);
    }
}

#[tokio::test]
async fn a_lease_is_found_by_id_token_path_and_due_time() {
    let bench = Bench::new().await;
    let (a, b) = (bench.lease("a", 20).await, bench.lease("b", 10).await);
    assert_eq!(bench.store.of_token("t", None, 10).await.unwrap(), [a.clone(), b.clone()]);
    assert_eq!(bench.store.under("custom/", None, 10).await.unwrap(), [a.clone(), b.clone()]);
    assert_eq!(bench.store.under("custom/", Some(&a), 10).await.unwrap(), std::slice::from_ref(&b));
    assert_eq!(bench.store.children("", 10).await.unwrap(), ["custom/"]);
    assert_eq!(bench.store.children("custom/", 10).await.unwrap(), ["a", "b"]);
    let due: Vec<_> = bench.store.due(None, 10).await.unwrap().into_iter().map(|d| d.id).collect();
    assert_eq!(due, [b, a], "the earliest first");
}

#[tokio::test]
async fn leases_end_on_time_and_leave_nothing_behind() {
    let bench = Bench::new().await;
    bench
        .with_keeper(async {
            bench.lease("late", 30).await;
            bench.lease("early", 10).await;
            bench.pass(9).await;
            assert!(bench.revoked().is_empty());
            bench.pass(1).await;
            assert_eq!(bench.revoked(), ["custom/early"]);
            bench.pass(20).await;
            assert_eq!(bench.revoked(), ["custom/early", "custom/late"]);
            assert!(bench.all_keys().await.is_empty());
        })
        .await;
}

#[tokio::test]
async fn a_lease_that_becomes_due_earlier_wakes_the_keeper() {
    let bench = Bench::new().await;
    bench
        .with_keeper(async {
            bench.lease("far", 1000).await;
            bench.pass(1).await;
            bench.lease("near", 5).await;
            bench.pass(5).await;
            assert_eq!(bench.revoked(), ["custom/near"]);
        })
        .await;
}

#[tokio::test]
async fn a_renewed_lease_lives_on() {
    let bench = Bench::new().await;
    bench
        .with_keeper(async {
            let id = bench.lease("a", 10).await;
            bench.pass(9).await;
            let found = bench.store.get(&id).await.unwrap().unwrap();
            let renewed = found.lease.renewed(bench.clock.now(), Ttl::from_secs(10));
            let mut batch = Batch::new();
            bench.store.replace(&mut batch, &found, &renewed);
            bench.store.commit(batch).await.unwrap();
            bench.pass(9).await;
            assert!(bench.revoked().is_empty());
            assert_eq!(bench.all_keys().await.len(), 3, "no index entry is left of the old time");
            bench.pass(1).await;
            assert_eq!(bench.revoked(), ["custom/a"]);
        })
        .await;
}

#[tokio::test]
async fn failures_are_tried_again_with_growing_pauses_then_kept() {
    let bench = Bench::new().await;
    bench.hands.failures.lock().unwrap().insert("custom/a".to_owned(), u32::MAX);
    bench
        .with_keeper(async {
            let id = bench.lease("a", 10).await;
            bench.pass(10).await;
            for (attempt, pause) in [(1, 10), (2, 20), (3, 40), (4, 80), (5, 160)] {
                let State::Revoking { attempts, next, error } = bench.state(&id).await.unwrap()
                else {
                    panic!("attempt {attempt}")
                };
                assert_eq!(
                    (attempts, next),
                    (attempt, bench.clock.now().plus(Duration::from_secs(pause)))
                );
                assert_eq!(error.as_deref(), Some("service is down"), "one line");
                bench.pass(pause).await;
            }
            let gave_up = State::Irrevocable { error: "service is down".to_owned() };
            assert_eq!(bench.state(&id).await, Some(gave_up));
            assert_eq!(bench.store.irrevocable(None, 10).await.unwrap(), std::slice::from_ref(&id));
            bench.pass(100_000).await;
            assert!(bench.state(&id).await.is_some(), "kept, not dropped");
            // An operator may ask again, and then it works.
            bench.hands.failures.lock().unwrap().clear();
            assert_eq!(bench.keeper.revoke(&id).await.unwrap(), Ok(()));
            assert!(bench.all_keys().await.is_empty());
        })
        .await;
}

#[tokio::test]
async fn what_can_never_be_revoked_is_not_tried_again() {
    let bench = Bench::new().await;
    *bench.hands.never.lock().unwrap() = Some("custom/a".to_owned());
    let id = bench.lease("a", 10).await;
    let outcome = bench.keeper.revoke(&id).await.unwrap();
    assert_eq!(outcome, Err(RevokeError::Never("gone for good".to_owned())));
    assert!(matches!(bench.state(&id).await, Some(State::Irrevocable { .. })));
}

#[tokio::test]
async fn revoking_by_hand_is_noted_before_it_is_tried() {
    let bench = Bench::new().await;
    bench.hands.failures.lock().unwrap().insert("custom/a".to_owned(), 1);
    let id = bench.lease("a", 1000).await;
    assert!(bench.keeper.revoke(&id).await.unwrap().is_err());
    assert!(matches!(bench.state(&id).await, Some(State::Revoking { attempts: 1, .. })));
    let found = bench.store.get(&id).await.unwrap().unwrap();
    assert!(!found.lease.is_alive(bench.clock.now()), "it can't be renewed any more");
    bench
        .with_keeper(async {
            bench.pass(10).await;
            assert_eq!(bench.revoked(), ["custom/a"]);
        })
        .await;
    let unknown = LeaseId::parse("custom/unknown").unwrap();
    assert_eq!(bench.keeper.revoke(&unknown).await.unwrap(), Ok(()));
}

#[tokio::test]
async fn forcing_removes_whatever_the_engine_says() {
    let bench = Bench::new().await;
    bench.hands.failures.lock().unwrap().insert("custom/a".to_owned(), u32::MAX);
    let id = bench.lease("a", 1000).await;
    assert!(bench.keeper.force(&id).await.unwrap().is_err());
    assert!(bench.all_keys().await.is_empty());
}

#[tokio::test]
async fn a_panicking_engine_is_a_failure_like_any_other() {
    let bench = Bench::new().await;
    *bench.hands.panics.lock().unwrap() = true;
    let id = bench.lease("a", 10).await;
    assert!(bench.keeper.revoke(&id).await.unwrap().is_err());
    *bench.hands.panics.lock().unwrap() = false;
    assert_eq!(bench.keeper.revoke(&id).await.unwrap(), Ok(()));
    assert_eq!(bench.keeper.under_way(), 0);
}

#[tokio::test]
async fn many_are_ended_however_few_fit_at_once() {
    let bench = Bench::new().await;
    bench
        .with_keeper(async {
            for n in 0..700 {
                bench.lease(&format!("n{n}"), 10).await;
            }
            bench.pass(10).await;
            for _ in 0..5_000 {
                tokio::task::yield_now().await;
            }
            assert_eq!(bench.revoked().len(), 700);
            assert!(bench.all_keys().await.is_empty());
        })
        .await;
}

#[tokio::test]
async fn ordered_leases_are_ended_by_the_keeper() {
    let bench = Bench::new().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(bench.lease(&format!("n{n}"), 1000).await);
    }
    bench.keeper.order_all(&ids).await.unwrap();
    assert!(matches!(bench.state(&ids[0]).await, Some(State::Revoking { attempts: 0, .. })));
    bench
        .with_keeper(async {
            bench.pass(0).await;
            assert_eq!(bench.revoked().len(), 5);
        })
        .await;
}

#[tokio::test]
async fn an_index_entry_without_its_lease_is_removed() {
    let bench = Bench::new().await;
    let id = LeaseId::parse("custom/ghost").unwrap();
    let mut batch = Batch::new();
    let key = crate::store::due_key(Timestamp::from_secs(1), &id);
    bench.barrier.view("lease/").put(&mut batch, &key, Vec::new());
    bench.barrier.commit(batch).await.unwrap();
    bench
        .with_keeper(async {
            bench.pass(1).await;
            assert!(bench.all_keys().await.is_empty());
        })
        .await;
}
