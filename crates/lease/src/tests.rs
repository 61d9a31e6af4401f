//! Tests of leases over an in-memory barrier, with a manual clock.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::value::RawValue;
use strongroom_barrier::{Barrier, Batch, testing};
use strongroom_storage::memory::MemoryStorage;
use strongroom_types::clock::{BoxFuture, ManualClock};
use strongroom_types::{Clock, LeaseId, Timestamp, Ttl};
use tokio_util::sync::CancellationToken;

use crate::{
    ExpirationManager, ExpirationOptions, IrrevocableLease, Lease, LeaseKind, LeaseState,
    LeaseStore, NewLease, RevokeError, Revoker,
};

/// Records what it revoked, and fails as scripted.
#[derive(Default)]
struct ScriptedRevoker {
    revoked: Mutex<Vec<String>>,
    /// How often each lease fails before it succeeds; `u32::MAX` for always.
    failures: Mutex<HashMap<String, u32>>,
    never: Mutex<Option<String>>,
    panics: Mutex<bool>,
    /// Calls for leases under these paths never end.
    hangs: Mutex<Vec<&'static str>>,
}

#[async_trait]
impl Revoker for ScriptedRevoker {
    async fn revoke(&self, lease: &Lease) -> Result<(), RevokeError> {
        let id = lease.id.to_string();
        if self.hangs.lock().unwrap().iter().any(|path| id.starts_with(path)) {
            std::future::pending::<()>().await;
        }
        if *self.panics.lock().unwrap() {
            panic!("the engine has a bug");
        }
        if self.never.lock().unwrap().as_ref() == Some(&id) {
            return Err(RevokeError::Permanent("gone for good".to_owned()));
        }
        if let Some(left) = self.failures.lock().unwrap().get_mut(&id)
            && *left > 0
        {
            *left = left.saturating_sub(u32::from(*left != u32::MAX));
            return Err(RevokeError::Transient("service\nis down".to_owned()));
        }
        self.revoked.lock().unwrap().push(id);
        Ok(())
    }
}

struct LeaseFixture {
    barrier: Barrier,
    store: LeaseStore,
    manager: ExpirationManager,
    revoker: Arc<ScriptedRevoker>,
    clock: ManualClock,
}

impl LeaseFixture {
    async fn new() -> Self {
        let clock = ManualClock::default();
        let time: Arc<dyn Clock> = Arc::new(clock.clone());
        let barrier = testing::open_barrier(Arc::new(MemoryStorage::new()), time, |_, _| {}).await;
        let store = LeaseStore::new(barrier.view("lease/"));
        let revoker = Arc::new(ScriptedRevoker::default());
        let manager = new_manager(&store, &revoker, clock.clone());
        Self { barrier, store, manager, revoker, clock }
    }

    /// A lease `custom/<name>` of a token, with a lifetime in seconds.
    async fn add_lease(&self, name: &str, secs: u64) -> LeaseId {
        let id = self.write_lease(&format!("custom/{name}"), credential_kind(), secs).await;
        self.manager.notify_due(self.clock.now().plus(Duration::from_secs(secs)));
        id
    }

    /// A lease that the expiration manager isn't notified of.
    async fn write_lease(&self, id: &str, kind: LeaseKind, secs: u64) -> LeaseId {
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
        self.store.create(&mut batch, new);
        self.store.commit(batch).await.unwrap();
        id
    }

    /// Overwrites a key with a value that can't be decoded.
    async fn corrupt_record(&self, key: &str) {
        let mut batch = Batch::new();
        self.barrier.view("lease/").put(&mut batch, key, b"not a lease".to_vec());
        self.barrier.commit(batch).await.unwrap();
    }

    async fn state_of(&self, id: &LeaseId) -> Option<LeaseState> {
        self.store.get(id).await.unwrap().map(|found| found.lease.state.clone())
    }

    async fn all_keys(&self) -> Vec<String> {
        self.barrier.view("lease/").list_keys("", None, 1000).await.unwrap()
    }

    /// The leases in the due index.
    async fn due_ids(&self) -> Vec<LeaseId> {
        let mut all = Vec::new();
        let mut pages = self.store.due_pages(None);
        while let Some(entries) = pages.next_page().await.unwrap() {
            all.extend(entries.into_iter().map(|entry| entry.id));
        }
        all
    }

    fn revoked_ids(&self) -> Vec<String> {
        self.revoker.revoked.lock().unwrap().clone()
    }

    /// Advances the clock and lets all resulting work finish.
    async fn advance_secs(&self, secs: u64) {
        self.clock.advance(Duration::from_secs(secs));
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
    }

    /// Runs the expiration manager concurrently with a test.
    async fn with_manager_running(&self, test: impl Future<Output = ()>) {
        let stop = CancellationToken::new();
        let run = self.manager.run(stop.clone());
        let test = async {
            test.await;
            stop.cancel();
        };
        tokio::join!(run, test);
    }
}

fn new_manager(
    store: &LeaseStore,
    revoker: &Arc<ScriptedRevoker>,
    clock: impl Clock,
) -> ExpirationManager {
    ExpirationManager::new(
        store.clone(),
        revoker.clone(),
        Arc::new(clock),
        ExpirationOptions::default(),
    )
}

fn credential_kind() -> LeaseKind {
    LeaseKind::Credential {
        mount: "m".to_owned(),
        path: "creds/dev".to_owned(),
        internal: RawValue::from_string("{\"id\":1}".to_owned()).unwrap(),
        data: None,
        seal_wrap: false,
    }
}

#[tokio::test]
async fn a_lease_with_a_secret_stays_under_the_seal() {
    let bench = LeaseFixture::new().await;
    let LeaseKind::Credential { mount, path, internal, data, .. } = credential_kind() else {
        panic!()
    };
    let sealed = LeaseKind::Credential { mount, path, internal, data, seal_wrap: true };
    for (name, kind, wrapped) in [("a/s", sealed, true), ("a/p", credential_kind(), false)] {
        let id = bench.write_lease(name, kind, 60).await;
        let is_wrapped = async || {
            let entry = bench.barrier.view("lease/").get_uncached(&format!("id/{id}")).await;
            entry.unwrap().unwrap().seal_wrap
        };
        assert_eq!(is_wrapped().await, wrapped);
        let found = bench.store.get(&id).await.unwrap().unwrap();
        let renewed = Lease { renewable: false, ..(*found.lease).clone() };
        let mut batch = Batch::new();
        bench.store.update(&mut batch, &found, &renewed);
        bench.store.commit(batch).await.unwrap();
        assert_eq!(is_wrapped().await, wrapped, "after a change");
    }
}

/// A clock that is set back a second each time it is read.
#[derive(Clone, Debug)]
struct BackwardsClock(ManualClock, Arc<AtomicU64>);

impl Clock for BackwardsClock {
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
    let bench = LeaseFixture::new().await;
    let (a, b) = (bench.add_lease("a", 20).await, bench.add_lease("b", 10).await);
    let mut pages = bench.store.token_id_pages("t");
    assert_eq!(
        pages.next_page().await.unwrap().as_deref(),
        Some([a.clone(), b.clone()].as_slice())
    );
    assert_eq!(bench.store.ids_by_prefix("custom/", 10).await.unwrap(), [a.clone(), b.clone()]);
    let mut pages = bench.store.id_pages("custom/").with_page_size(1);
    assert_eq!(pages.next_page().await.unwrap().as_deref(), Some([a.clone()].as_slice()));
    assert_eq!(pages.next_page().await.unwrap().as_deref(), Some([b.clone()].as_slice()));
    assert_eq!(pages.next_page().await.unwrap(), None);
    assert_eq!(bench.store.list_children("", 10).await.unwrap(), ["custom/"]);
    assert_eq!(bench.store.list_children("custom/", 10).await.unwrap(), ["a", "b"]);
    assert_eq!(bench.due_ids().await, [b, a], "the earliest first");
}

#[tokio::test]
async fn leases_end_on_time_and_leave_nothing_behind() {
    let bench = LeaseFixture::new().await;
    bench
        .with_manager_running(async {
            bench.add_lease("late", 30).await;
            bench.add_lease("early", 10).await;
            bench.advance_secs(9).await;
            assert!(bench.revoked_ids().is_empty());
            bench.advance_secs(1).await;
            assert_eq!(bench.revoked_ids(), ["custom/early"]);
            bench.advance_secs(20).await;
            assert_eq!(bench.revoked_ids(), ["custom/early", "custom/late"]);
            assert!(bench.all_keys().await.is_empty());
        })
        .await;
}

#[tokio::test]
async fn a_lease_that_becomes_due_earlier_wakes_the_manager() {
    let bench = LeaseFixture::new().await;
    bench
        .with_manager_running(async {
            bench.add_lease("far", 1000).await;
            bench.advance_secs(1).await;
            bench.add_lease("near", 5).await;
            bench.advance_secs(5).await;
            assert_eq!(bench.revoked_ids(), ["custom/near"]);
        })
        .await;
}

#[tokio::test]
async fn a_renewed_lease_lives_on() {
    let bench = LeaseFixture::new().await;
    bench
        .with_manager_running(async {
            let id = bench.add_lease("a", 10).await;
            bench.advance_secs(9).await;
            let found = bench.store.get(&id).await.unwrap().unwrap();
            let (now, ttl) = (bench.clock.now(), Ttl::from_secs(10));
            let renewed = found.lease.after_renewal(now, ttl, now.plus(ttl.as_duration()));
            let mut batch = Batch::new();
            bench.store.update(&mut batch, &found, &renewed);
            bench.store.commit(batch).await.unwrap();
            bench.advance_secs(9).await;
            assert!(bench.revoked_ids().is_empty());
            assert_eq!(bench.all_keys().await.len(), 3, "no index entry is left of the old time");
            bench.advance_secs(1).await;
            assert_eq!(bench.revoked_ids(), ["custom/a"]);
        })
        .await;
}

#[tokio::test]
async fn failures_are_retried_with_backoff_then_irrevocable() {
    let bench = LeaseFixture::new().await;
    bench.revoker.failures.lock().unwrap().insert("custom/a".to_owned(), u32::MAX);
    bench
        .with_manager_running(async {
            let id = bench.add_lease("a", 10).await;
            bench.advance_secs(10).await;
            for (attempt, pause) in [(1, 10), (2, 20), (3, 40), (4, 80), (5, 160)] {
                let LeaseState::Revoking { attempts, next, error } =
                    bench.state_of(&id).await.unwrap()
                else {
                    panic!("attempt {attempt}")
                };
                assert_eq!(
                    (attempts, next),
                    (attempt, bench.clock.now().plus(Duration::from_secs(pause)))
                );
                assert_eq!(error.as_deref(), Some("service is down"), "one line");
                bench.advance_secs(pause).await;
            }
            let gave_up = LeaseState::Irrevocable { error: "service is down".to_owned() };
            assert_eq!(bench.state_of(&id).await, Some(gave_up));
            assert_eq!(bench.store.irrevocable_ids(10).await.unwrap(), std::slice::from_ref(&id));
            bench.advance_secs(100_000).await;
            assert!(bench.state_of(&id).await.is_some(), "kept, not dropped");
            // An operator may revoke it again, and then it succeeds.
            bench.revoker.failures.lock().unwrap().clear();
            assert_eq!(bench.manager.revoke(&id).await.unwrap(), Ok(()));
            assert!(bench.all_keys().await.is_empty());
        })
        .await;
}

#[tokio::test]
async fn a_permanent_failure_is_not_retried() {
    let bench = LeaseFixture::new().await;
    *bench.revoker.never.lock().unwrap() = Some("custom/a".to_owned());
    let id = bench.add_lease("a", 10).await;
    let outcome = bench.manager.revoke(&id).await.unwrap();
    assert_eq!(outcome, Err(RevokeError::Permanent("gone for good".to_owned())));
    assert!(matches!(bench.state_of(&id).await, Some(LeaseState::Irrevocable { .. })));
}

#[tokio::test]
async fn revocation_is_recorded_before_it_is_attempted() {
    let bench = LeaseFixture::new().await;
    bench.revoker.failures.lock().unwrap().insert("custom/a".to_owned(), 1);
    let id = bench.add_lease("a", 1000).await;
    assert!(bench.manager.revoke(&id).await.unwrap().is_err());
    assert!(matches!(bench.state_of(&id).await, Some(LeaseState::Revoking { attempts: 1, .. })));
    let found = bench.store.get(&id).await.unwrap().unwrap();
    assert!(!found.lease.is_alive(bench.clock.now()), "it can't be renewed any more");
    bench
        .with_manager_running(async {
            bench.advance_secs(10).await;
            assert_eq!(bench.revoked_ids(), ["custom/a"]);
        })
        .await;
    let unknown = LeaseId::parse("custom/unknown").unwrap();
    assert_eq!(bench.manager.revoke(&unknown).await.unwrap(), Ok(()));
}

#[tokio::test]
async fn forcing_removes_whatever_the_engine_says() {
    let bench = LeaseFixture::new().await;
    bench.revoker.failures.lock().unwrap().insert("custom/a".to_owned(), u32::MAX);
    let id = bench.add_lease("a", 1000).await;
    assert!(bench.manager.revoke_force(&id).await.unwrap().is_err());
    assert!(bench.all_keys().await.is_empty());
}

#[tokio::test]
async fn a_panicking_engine_is_a_failure_like_any_other() {
    let bench = LeaseFixture::new().await;
    *bench.revoker.panics.lock().unwrap() = true;
    let id = bench.add_lease("a", 10).await;
    assert!(bench.manager.revoke(&id).await.unwrap().is_err());
    *bench.revoker.panics.lock().unwrap() = false;
    assert_eq!(bench.manager.revoke(&id).await.unwrap(), Ok(()));
    assert_eq!(bench.manager.in_flight_count(), 0);
}

#[tokio::test]
async fn all_due_leases_are_revoked_despite_low_concurrency() {
    let bench = LeaseFixture::new().await;
    bench
        .with_manager_running(async {
            for n in 0..700 {
                bench.add_lease(&format!("n{n}"), 10).await;
            }
            bench.advance_secs(10).await;
            for _ in 0..5_000 {
                tokio::task::yield_now().await;
            }
            assert_eq!(bench.revoked_ids().len(), 700);
            assert!(bench.all_keys().await.is_empty());
        })
        .await;
}

#[tokio::test]
async fn marked_leases_are_revoked_by_the_manager() {
    let bench = LeaseFixture::new().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(bench.add_lease(&format!("n{n}"), 1000).await);
    }
    bench.manager.mark_all_for_revocation(&ids).await.unwrap();
    assert!(matches!(
        bench.state_of(&ids[0]).await,
        Some(LeaseState::Revoking { attempts: 0, .. })
    ));
    bench
        .with_manager_running(async {
            bench.advance_secs(0).await;
            assert_eq!(bench.revoked_ids().len(), 5);
        })
        .await;
}

#[tokio::test]
async fn an_index_entry_without_its_lease_is_removed() {
    let bench = LeaseFixture::new().await;
    let id = LeaseId::parse("custom/ghost").unwrap();
    let mut batch = Batch::new();
    let key = crate::store::due_key(Timestamp::from_secs(1), &id);
    bench.barrier.view("lease/").put(&mut batch, &key, Vec::new());
    bench.barrier.commit(batch).await.unwrap();
    bench
        .with_manager_running(async {
            bench.advance_secs(1).await;
            assert!(bench.all_keys().await.is_empty());
        })
        .await;
}

#[tokio::test]
async fn an_unreadable_lease_becomes_irrevocable_and_stops_no_other() {
    let bench = LeaseFixture::new().await;
    bench
        .with_manager_running(async {
            let bad = bench.add_lease("bad", 10).await;
            bench.add_lease("good", 10).await;
            bench.add_lease("later", 20).await;
            bench.corrupt_record("id/custom/bad").await;
            bench.advance_secs(10).await;
            bench.advance_secs(10).await;
            assert_eq!(bench.revoked_ids(), ["custom/good", "custom/later"]);
            let shown = bench.store.irrevocable_leases(10).await.unwrap();
            let error = "the lease's record can't be read".to_owned();
            assert_eq!(shown, [IrrevocableLease { id: bad, error }]);
            assert!(bench.due_ids().await.is_empty(), "nobody tries it again");
            assert!(bench.all_keys().await.contains(&"id/custom/bad".to_owned()), "it is kept");
        })
        .await;
}

#[tokio::test]
async fn an_unreadable_lease_can_be_marked_and_force_revoked() {
    let bench = LeaseFixture::new().await;
    let (bad, good) = (bench.add_lease("bad", 1000).await, bench.add_lease("good", 1000).await);
    bench.corrupt_record("id/custom/bad").await;
    bench.manager.mark_all_for_revocation(&[bad.clone(), good.clone()]).await.unwrap();
    assert!(matches!(bench.state_of(&good).await, Some(LeaseState::Revoking { .. })));
    assert!(matches!(bench.manager.revoke(&bad).await.unwrap(), Err(RevokeError::Permanent(_))));
    assert_eq!(bench.store.irrevocable_ids(10).await.unwrap(), std::slice::from_ref(&bad));
    assert!(bench.manager.revoke_force(&bad).await.unwrap().is_err());
    assert_eq!(bench.store.ids_by_prefix("", 10).await.unwrap(), [good]);
    assert!(bench.store.irrevocable_ids(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_unparsable_key_does_not_end_the_index_scan() {
    let bench = LeaseFixture::new().await;
    let (a, b) = (bench.add_lease("a", 10).await, bench.add_lease("b", 20).await);
    for key in ["due/!", "due/0/", "id/!\u{7f}"] {
        bench.corrupt_record(key).await;
    }
    assert_eq!(bench.due_ids().await, [a.clone(), b.clone()]);
    assert_eq!(bench.store.ids_by_prefix("", 1).await.unwrap(), std::slice::from_ref(&a));
    let mut pages = bench.store.id_pages("").with_page_size(1);
    let mut found = Vec::new();
    while let Some(page) = pages.next_page().await.unwrap() {
        found.extend(page);
    }
    assert_eq!(found, [a, b]);
}

#[tokio::test]
async fn a_lease_without_notification_is_found_within_a_minute() {
    let bench = LeaseFixture::new().await;
    bench
        .with_manager_running(async {
            bench.advance_secs(0).await;
            bench.write_lease("custom/a", credential_kind(), 10).await;
            bench.advance_secs(59).await;
            bench.advance_secs(1).await;
            assert_eq!(bench.revoked_ids(), ["custom/a"]);
        })
        .await;
}

#[tokio::test]
async fn an_engine_that_hangs_holds_up_its_own_leases_only() {
    let bench = LeaseFixture::new().await;
    *bench.revoker.hangs.lock().unwrap() = vec!["custom/"];
    bench
        .with_manager_running(async {
            for n in 0..100 {
                bench.add_lease(&format!("n{n}"), 10).await;
            }
            for n in 0..20 {
                bench.write_lease(&format!("other/n{n}"), credential_kind(), 11).await;
            }
            let key = "f".repeat(64);
            bench
                .write_lease("auth/token/create/h", LeaseKind::Token { key, login: None }, 11)
                .await;
            bench.advance_secs(11).await;
            assert_eq!(bench.revoked_ids().len(), 21, "all the others");
            assert_eq!(bench.manager.in_flight_count(), 16, "a quarter of the slots");
            // Once the engine responds again, all leases are revoked, as fast as the mount's limit
            // allows.
            bench.revoker.hangs.lock().unwrap().clear();
            for _ in 0..4 {
                bench.advance_secs(60).await;
            }
            assert_eq!(bench.revoked_ids().len(), 121);
            assert!(bench.all_keys().await.is_empty());
        })
        .await;
}

#[tokio::test]
async fn a_lease_marked_during_a_backlog_is_revoked() {
    let bench = LeaseFixture::new().await;
    *bench.revoker.hangs.lock().unwrap() = vec!["custom/"];
    bench
        .with_manager_running(async {
            for n in 0..20 {
                bench.add_lease(&format!("n{n}"), 10).await;
            }
            let ordered = bench.add_lease("ordered", 1000).await;
            bench.advance_secs(10).await;
            bench.advance_secs(5).await;
            bench.manager.mark_all_for_revocation(std::slice::from_ref(&ordered)).await.unwrap();
            bench.advance_secs(0).await;
            bench.revoker.hangs.lock().unwrap().clear();
            // The calls that hang time out, and the mount's other leases follow.
            bench.advance_secs(55).await;
            assert_eq!(
                bench.revoked_ids().len(),
                5,
                "four that waited, and the one that was ordered"
            );
            assert!(bench.state_of(&ordered).await.is_none());
        })
        .await;
}

#[tokio::test]
async fn a_clock_set_back_does_not_delay_a_marked_revocation() {
    let bench = LeaseFixture::new().await;
    let backwards = || BackwardsClock(bench.clock.clone(), Arc::default());
    let (a, b) = (bench.add_lease("a", 1000).await, bench.add_lease("b", 1000).await);
    let asked = new_manager(&bench.store, &bench.revoker, backwards());
    assert_eq!(asked.revoke(&a).await.unwrap(), Ok(()));
    assert_eq!(bench.revoked_ids(), ["custom/a"], "it was tried, not only answered");
    assert!(bench.state_of(&a).await.is_none());
    bench.manager.mark_all_for_revocation(std::slice::from_ref(&b)).await.unwrap();
    let behind = ManualClock::starting_at(bench.clock.now().minus(Duration::from_secs(3600)));
    let later = new_manager(&bench.store, &bench.revoker, behind);
    let stop = CancellationToken::new();
    let ended = async {
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        stop.cancel();
    };
    tokio::join!(later.run(stop.clone()), ended);
    assert_eq!(bench.revoked_ids(), ["custom/a", "custom/b"]);
}

#[tokio::test]
async fn a_requested_attempt_does_not_wait_for_the_backoff() {
    let bench = LeaseFixture::new().await;
    bench.revoker.failures.lock().unwrap().insert("custom/a".to_owned(), 2);
    let id = bench.add_lease("a", 1000).await;
    assert!(bench.manager.revoke(&id).await.unwrap().is_err());
    // The state when a revocation is requested while another attempt is failing.
    assert!(matches!(bench.state_of(&id).await, Some(LeaseState::Revoking { attempts: 1, .. })));
    let patience = async {
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
    };
    let outcome = tokio::select! {
        outcome = bench.manager.attempt_revocation(&id) => Some(outcome),
        () = patience => None,
    };
    assert!(outcome.unwrap().is_err(), "tried, and failed again");
    assert!(matches!(bench.state_of(&id).await, Some(LeaseState::Revoking { attempts: 2, .. })));
}

#[tokio::test]
async fn the_mount_of_a_lease_is_read_from_its_id() {
    let bench = LeaseFixture::new().await;
    for (id, mount) in [
        ("db/creds/dev/x", "db/"),
        ("team/db/creds/dev/x", "team/db/"),
        ("creds/dev/x", "creds/dev/"),
        ("mycreds/dev/x", "mycreds/dev/"),
        ("odd/x", "odd/"),
    ] {
        let id = bench.write_lease(id, credential_kind(), 10).await;
        let found = bench.store.get(&id).await.unwrap().unwrap();
        assert_eq!(found.lease.mount_prefix(), mount, "{id}");
    }
}
