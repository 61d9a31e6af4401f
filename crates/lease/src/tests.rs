//! Leases over a barrier in memory, on a clock moved by hand.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::value::RawValue;
use strongroom_barrier::{Barrier, Batch, testing};
use strongroom_storage::memory::Memory;
use strongroom_types::clock::{BoxFuture, ManualClock};
use strongroom_types::{Clock, LeaseId, Timestamp, Ttl};
use tokio_util::sync::CancellationToken;

use crate::{
    Irrevocable, Keeper, KeeperOptions, Kind, Lease, LeaseStore, NewLease, RevokeError, Revoker,
    State,
};

/// Remembers what it revoked, and fails as it is told.
#[derive(Default)]
struct Hands {
    revoked: Mutex<Vec<String>>,
    /// How often each lease fails before it works; `u32::MAX` for always.
    failures: Mutex<HashMap<String, u32>>,
    never: Mutex<Option<String>>,
    panics: Mutex<bool>,
    /// Calls for leases under these paths never end.
    hangs: Mutex<Vec<&'static str>>,
}

#[async_trait]
impl Revoker for Hands {
    async fn revoke(&self, lease: &Lease) -> Result<(), RevokeError> {
        let id = lease.id.to_string();
        if self.hangs.lock().unwrap().iter().any(|path| id.starts_with(path)) {
            std::future::pending::<()>().await;
        }
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
        let time: Arc<dyn Clock> = Arc::new(clock.clone());
        let barrier = testing::open(Arc::new(Memory::new()), time, |_, _| {}).await;
        let store = LeaseStore::new(barrier.view("lease/"));
        let hands = Arc::new(Hands::default());
        let keeper = keeper(&store, &hands, clock.clone());
        Self { barrier, store, keeper, hands, clock }
    }

    /// A lease `custom/<name>` of a token, for some seconds.
    async fn lease(&self, name: &str, secs: u64) -> LeaseId {
        let id = self.write_lease(&format!("custom/{name}"), credential(), secs).await;
        self.keeper.expect(self.clock.now().plus(Duration::from_secs(secs)));
        id
    }

    /// A lease that nobody tells the keeper of.
    async fn write_lease(&self, id: &str, kind: Kind, secs: u64) -> LeaseId {
        let id = LeaseId::parse(id).unwrap();
        let mut batch = Batch::new();
        let new = NewLease {
            id: id.clone(),
            kind,
            token: Some("t".to_owned()),
            issued: self.clock.now(),
            ttl: Ttl::from_secs(secs),
            max_ttl: Ttl::ZERO,
            renewable: true,
        };
        self.store.add(&mut batch, new);
        self.store.commit(batch).await.unwrap();
        id
    }

    /// Writes what nobody can read where a key is.
    async fn spoil(&self, key: &str) {
        let mut batch = Batch::new();
        self.barrier.view("lease/").put(&mut batch, key, b"not a lease".to_vec());
        self.barrier.commit(batch).await.unwrap();
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

fn keeper(store: &LeaseStore, hands: &Arc<Hands>, clock: impl Clock) -> Keeper {
    Keeper::new(store.clone(), hands.clone(), Arc::new(clock), KeeperOptions::default())
}

fn credential() -> Kind {
    Kind::Credential {
        mount: "m".to_owned(),
        path: "creds/dev".to_owned(),
        internal: RawValue::from_string("{\"id\":1}".to_owned()).unwrap(),
        data: None,
    }
}

/// A clock that is set back a second whenever somebody looks at it.
#[derive(Clone, Debug)]
struct Backwards(ManualClock, Arc<AtomicU64>);

impl Clock for Backwards {
    fn now(&self) -> Timestamp {
        let back = self.1.fetch_add(1, Ordering::SeqCst);
        self.0.now().minus(Duration::from_secs(back))
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'static, ()> {
        self.0.sleep_until(at)
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

#[tokio::test]
async fn a_record_nobody_can_read_is_set_aside_and_the_others_end() {
    let bench = Bench::new().await;
    bench
        .with_keeper(async {
            let bad = bench.lease("bad", 10).await;
            bench.lease("good", 10).await;
            bench.lease("later", 20).await;
            bench.spoil("id/custom/bad").await;
            bench.pass(10).await;
            bench.pass(10).await;
            assert_eq!(bench.revoked(), ["custom/good", "custom/later"]);
            let shown = bench.store.irrevocable_with_errors(10).await.unwrap();
            let error = "the lease's record can't be read".to_owned();
            assert_eq!(shown, [Irrevocable { id: bad, error }]);
            assert!(bench.store.due(None, 10).await.unwrap().is_empty(), "nobody tries it again");
            assert!(bench.all_keys().await.contains(&"id/custom/bad".to_owned()), "it is kept");
        })
        .await;
}

#[tokio::test]
async fn a_record_nobody_can_read_is_no_obstacle_to_an_order_and_can_be_forced() {
    let bench = Bench::new().await;
    let (bad, good) = (bench.lease("bad", 1000).await, bench.lease("good", 1000).await);
    bench.spoil("id/custom/bad").await;
    bench.keeper.order_all(&[bad.clone(), good.clone()]).await.unwrap();
    assert!(matches!(bench.state(&good).await, Some(State::Revoking { .. })));
    assert!(matches!(bench.keeper.revoke(&bad).await.unwrap(), Err(RevokeError::Never(_))));
    assert_eq!(bench.store.irrevocable(None, 10).await.unwrap(), std::slice::from_ref(&bad));
    assert!(bench.keeper.force(&bad).await.unwrap().is_err());
    assert_eq!(bench.store.under("", None, 10).await.unwrap(), [good]);
    assert!(bench.store.irrevocable(None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_key_that_says_nothing_does_not_end_the_index() {
    let bench = Bench::new().await;
    let (a, b) = (bench.lease("a", 10).await, bench.lease("b", 20).await);
    for key in ["due/!", "due/0/", "id/!\u{7f}"] {
        bench.spoil(key).await;
    }
    let due: Vec<_> = bench.store.due(None, 1).await.unwrap().into_iter().map(|d| d.id).collect();
    assert_eq!(due, std::slice::from_ref(&a), "one was asked for, and one is there");
    assert_eq!(bench.store.due(None, 3).await.unwrap().len(), 2);
    assert_eq!(bench.store.under("", None, 1).await.unwrap(), std::slice::from_ref(&a));
    assert_eq!(bench.store.under("", Some(&a), 1).await.unwrap(), [b]);
}

#[tokio::test]
async fn a_lease_nobody_told_of_is_found_within_a_minute() {
    let bench = Bench::new().await;
    bench
        .with_keeper(async {
            bench.pass(0).await;
            bench.write_lease("custom/a", credential(), 10).await;
            bench.pass(59).await;
            bench.pass(1).await;
            assert_eq!(bench.revoked(), ["custom/a"]);
        })
        .await;
}

#[tokio::test]
async fn an_engine_that_hangs_holds_up_its_own_leases_only() {
    let bench = Bench::new().await;
    *bench.hands.hangs.lock().unwrap() = vec!["custom/"];
    bench
        .with_keeper(async {
            for n in 0..100 {
                bench.lease(&format!("n{n}"), 10).await;
            }
            for n in 0..20 {
                bench.write_lease(&format!("other/n{n}"), credential(), 11).await;
            }
            let key = "f".repeat(64);
            bench.write_lease("auth/token/create/h", Kind::Token { key, login: None }, 11).await;
            bench.pass(11).await;
            assert_eq!(bench.revoked().len(), 21, "all the others");
            assert_eq!(bench.keeper.under_way(), 16, "a quarter of the slots");
            // It comes round: everything ends, as fast as its share allows.
            bench.hands.hangs.lock().unwrap().clear();
            for _ in 0..4 {
                bench.pass(60).await;
            }
            assert_eq!(bench.revoked().len(), 121);
            assert!(bench.all_keys().await.is_empty());
        })
        .await;
}

#[tokio::test]
async fn what_is_ordered_while_its_lane_is_behind_is_not_forgotten() {
    let bench = Bench::new().await;
    *bench.hands.hangs.lock().unwrap() = vec!["custom/"];
    bench
        .with_keeper(async {
            for n in 0..20 {
                bench.lease(&format!("n{n}"), 10).await;
            }
            let ordered = bench.lease("ordered", 1000).await;
            bench.pass(10).await;
            bench.pass(5).await;
            bench.keeper.order_all(std::slice::from_ref(&ordered)).await.unwrap();
            bench.pass(0).await;
            bench.hands.hangs.lock().unwrap().clear();
            // The calls that hang are given up, and the lane goes on.
            bench.pass(55).await;
            assert_eq!(bench.revoked().len(), 5, "four that waited, and the one that was ordered");
            assert!(bench.state(&ordered).await.is_none());
        })
        .await;
}

#[tokio::test]
async fn a_clock_set_back_does_not_put_off_what_was_ordered() {
    let bench = Bench::new().await;
    let backwards = || Backwards(bench.clock.clone(), Arc::default());
    let (a, b) = (bench.lease("a", 1000).await, bench.lease("b", 1000).await);
    let asked = keeper(&bench.store, &bench.hands, backwards());
    assert_eq!(asked.revoke(&a).await.unwrap(), Ok(()));
    assert_eq!(bench.revoked(), ["custom/a"], "it was tried, not only answered");
    assert!(bench.state(&a).await.is_none());
    bench.keeper.order_all(std::slice::from_ref(&b)).await.unwrap();
    let behind = ManualClock::at(bench.clock.now().minus(Duration::from_secs(3600)));
    let later = keeper(&bench.store, &bench.hands, behind);
    let stop = CancellationToken::new();
    let ended = async {
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        stop.cancel();
    };
    tokio::join!(later.run(stop.clone()), ended);
    assert_eq!(bench.revoked(), ["custom/a", "custom/b"]);
}

#[tokio::test]
async fn an_attempt_that_was_asked_for_is_made_before_the_next_one_is_due() {
    let bench = Bench::new().await;
    bench.hands.failures.lock().unwrap().insert("custom/a".to_owned(), 2);
    let id = bench.lease("a", 1000).await;
    assert!(bench.keeper.revoke(&id).await.unwrap().is_err());
    // As it is for whoever ordered while another attempt was failing.
    assert!(matches!(bench.state(&id).await, Some(State::Revoking { attempts: 1, .. })));
    let patience = async {
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
    };
    let outcome = tokio::select! {
        outcome = bench.keeper.attempt(&id) => Some(outcome),
        () = patience => None,
    };
    assert!(outcome.unwrap().is_err(), "tried, and failed again");
    assert!(matches!(bench.state(&id).await, Some(State::Revoking { attempts: 2, .. })));
}

#[tokio::test]
async fn the_mount_of_a_lease_is_read_from_its_id() {
    let bench = Bench::new().await;
    for (id, mount) in [
        ("db/creds/dev/x", "db/"),
        ("team/db/creds/dev/x", "team/db/"),
        ("creds/dev/x", "creds/dev/"),
        ("mycreds/dev/x", "mycreds/dev/"),
        ("odd/x", "odd/"),
    ] {
        let id = bench.write_lease(id, credential(), 10).await;
        let found = bench.store.get(&id).await.unwrap().unwrap();
        assert_eq!(found.lease.mount_prefix(), mount, "{id}");
    }
}
