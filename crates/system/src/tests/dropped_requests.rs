//! Tests of requests that are dropped halfway, and of token revocations that meet failing or
//! hanging engines and storage.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::value::RawValue;
use strongroom_barrier::{Barrier, Batch, View, testing};
use strongroom_core::cubbyhole_store::CubbyholeStore;
use strongroom_core::leases::token_revoker::TokenRevoker;
use strongroom_engine::{DataResponse, LeasedResponse};
use strongroom_lease::{
    ExpirationManager, ExpirationOptions, Lease, LeaseKind, LeaseState, LeaseStore, NewLease,
    RevokeError, Revoker,
};
use strongroom_storage::memory::MemoryStorage;
use strongroom_token::{NewToken, RevocationMark, TokenKey, TokenLifetime, TokenStore};
use strongroom_types::clock::ManualClock;
use strongroom_types::{Clock, Fields, LeaseId, Ttl};
use tokio_util::sync::CancellationToken;

use crate::tests::TestCore;

async fn run_until_idle() {
    for _ in 0..300 {
        tokio::task::yield_now().await;
    }
}

/// Polls `work` once, which must leave it pending, and drops it. Then lets detached tasks run.
async fn start_and_drop(work: impl Future) {
    let mut work = Box::pin(work);
    let waits = std::future::poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx).is_pending())).await;
    assert!(waits, "it must wait for something");
    drop(work);
    run_until_idle().await;
}

fn leased_credential(intent: Option<&str>) -> LeasedResponse {
    let object = Fields::new().to_object();
    let data = DataResponse::new(object.clone());
    LeasedResponse {
        data,
        internal: object,
        ttl: Ttl::from_secs(10),
        max_ttl: Ttl::ZERO,
        renewable: true,
        intent: intent.map(str::to_owned),
        keep_data: false,
        seal_wrap: false,
    }
}

#[tokio::test]
async fn a_credential_whose_request_is_dropped_is_leased_and_expires() {
    let bench = TestCore::new().await.with_credential_engine().await;
    bench.run_until_idle().await;
    let core = bench.core.unsealed().unwrap();
    let root = core.tokens.store.look_up(&bench.root, core.clock().now()).await.unwrap().unwrap();
    let mounted =
        core.mounts.table().all_mounts().find(|m| m.info.path == "out/").cloned().unwrap();
    let inside = mounted.engine_handle().unwrap().acquire().await.unwrap();
    start_and_drop(core.leases.create(
        &mounted,
        "out/creds/dev",
        &root,
        &leased_credential(None),
        inside,
    ))
    .await;
    let ids = core.leases.store.ids_by_prefix("out/", 10).await.unwrap();
    assert_eq!(ids.len(), 1);
    bench.advance_secs(10).await;
    let found = core.leases.store.get(&ids[0]).await.unwrap().unwrap();
    // The engine can't revoke this made-up credential; what counts is that it was tried.
    assert!(
        matches!(found.lease.state, LeaseState::Revoking { attempts: 1, .. }),
        "{:?}",
        found.lease
    );
}

#[tokio::test]
async fn an_unleased_credential_is_revoked_when_its_request_is_dropped() {
    let bench = TestCore::new().await.with_credential_engine().await;
    bench.run_until_idle().await;
    let core = bench.core.unsealed().unwrap();
    let token = bench.token_with_policy(r#"path "x" { capabilities = ["read"] }"#, "").await;
    let token = core.tokens.store.look_up(&token, core.clock().now()).await.unwrap().unwrap();
    core.tokens.store.mark_for_revocation(&token.key, RevocationMark::Tree).await.unwrap();
    let mounted =
        core.mounts.table().all_mounts().find(|m| m.info.path == "out/").cloned().unwrap();
    let inside = mounted.engine_handle().unwrap().acquire().await.unwrap();
    start_and_drop(core.leases.create(
        &mounted,
        "out/creds/dev",
        &token,
        &leased_credential(None),
        inside,
    ))
    .await;
    // The engine refused to revoke it, so the expiration manager retries.
    let ids = core.leases.store.ids_by_prefix("out/", 10).await.unwrap();
    let found = core.leases.store.get(&ids[0]).await.unwrap().unwrap();
    assert!(!found.lease.is_alive(core.clock().now()) && found.lease.token.is_none());
}

#[tokio::test]
async fn a_lease_whose_renewal_is_dropped_expires_on_time() {
    let bench = TestCore::new().await.with_credential_engine().await;
    bench.write("out/roles/dev", r#"{"ttl":300,"max_ttl":600}"#).await;
    let got = bench.read("out/creds/dev").await;
    bench.run_until_idle().await;
    let core = bench.core.unsealed().unwrap();
    let id = LeaseId::parse(&got.lease_id).unwrap();
    start_and_drop(core.leases.renew(&id, Ttl::from_secs(5))).await;
    let found = core.leases.store.get(&id).await.unwrap().unwrap();
    assert_eq!(found.lease.ttl, Ttl::from_secs(5));
    bench.advance_secs(5).await;
    assert_eq!(bench.outside.live_credentials(), 0);
}

/// Records the leases it revoked. Hangs on leases under `hang/`, and counts those calls.
#[derive(Default)]
struct RecordingRevoker(Mutex<Vec<String>>, AtomicUsize);

#[async_trait]
impl Revoker for RecordingRevoker {
    async fn revoke(&self, lease: &Lease) -> Result<(), RevokeError> {
        if lease.id.as_str().starts_with("hang/") {
            self.1.fetch_add(1, Ordering::SeqCst);
            std::future::pending::<()>().await;
        }
        self.0.lock().unwrap().push(lease.id.to_string());
        Ok(())
    }
}

/// A token revoker with its stores, without the rest of a core.
struct RevocationFixture {
    barrier: Barrier,
    tokens: TokenStore,
    leases: LeaseStore,
    token_revoker: TokenRevoker,
    lease_revoker: Arc<RecordingRevoker>,
    clock: ManualClock,
}

impl RevocationFixture {
    async fn new() -> Self {
        let clock = ManualClock::default();
        let time: Arc<dyn Clock> = Arc::new(clock.clone());
        let barrier =
            testing::open_barrier(Arc::new(MemoryStorage::new()), time, |barrier, batch| {
                TokenStore::initialise(barrier.view("token/"), batch);
            })
            .await;
        let tokens =
            TokenStore::load(barrier.view("token/"), TokenStore::CACHE_BYTES).await.unwrap();
        let leases = LeaseStore::new(barrier.view("lease/"));
        let (revoker, time) = (Arc::new(RecordingRevoker::default()), Arc::new(clock.clone()));
        let options = ExpirationOptions::default();
        let expiration =
            ExpirationManager::new(leases.clone(), revoker.clone(), time.clone(), options);
        let cubbyholes = CubbyholeStore::new(barrier.view("cubbyhole/"));
        let trees = TokenRevoker::new(tokens.clone(), leases.clone(), cubbyholes, expiration, time);
        Self { barrier, tokens, leases, token_revoker: trees, lease_revoker: revoker, clock }
    }

    /// Creates a token that owns one lease with the given id.
    async fn create_token(&self, lease: &str) -> TokenKey {
        let lifetime = TokenLifetime::of_ttl(Ttl::ZERO);
        let (path, name) = ("auth/token/create".to_owned(), "token".to_owned());
        let new = NewToken::orphan(path, name, Vec::new(), lifetime);
        let mut batch = Batch::new();
        let key = self.tokens.create(&mut batch, new, self.clock.now()).key;
        self.add_lease(&mut batch, &key, lease);
        self.barrier.commit(batch).await.unwrap();
        key
    }

    fn add_lease(&self, batch: &mut Batch, token: &TokenKey, id: &str) {
        let lease = NewLease {
            id: LeaseId::parse(id).unwrap(),
            kind: LeaseKind::Credential {
                mount: "m".to_owned(),
                path: "x".to_owned(),
                internal: RawValue::NULL.to_owned(),
                data: None,
                seal_wrap: false,
            },
            token: Some(token.as_str().to_owned()),
            issued: self.clock.now(),
            ttl: Ttl::from_secs(100_000),
            max_ttl: Ttl::ZERO,
            renewable: true,
        };
        self.leases.create(batch, lease);
    }

    /// Creates as many tokens as the revoker has workers, each with a lease under `path`.
    async fn create_eight_tokens(&self, path: &str) -> Vec<TokenKey> {
        let mut keys = Vec::new();
        for n in 0..8 {
            keys.push(self.create_token(&format!("{path}/x/{n}")).await);
        }
        keys
    }

    async fn corrupt_record(&self, view: View, key: &str) {
        let mut batch = Batch::new();
        view.put(&mut batch, key, b"not a record".to_vec());
        view.commit(batch).await.unwrap();
    }

    async fn begin_revocations(&self, keys: &[TokenKey]) {
        for key in keys {
            self.token_revoker.begin_revocation(key, RevocationMark::Tree).await.unwrap();
        }
    }

    async fn is_removed(&self, key: &TokenKey) -> bool {
        let keys = self.barrier.view("token/id/").list_keys(key.as_str(), None, 1).await.unwrap();
        keys.is_empty()
    }

    async fn advance_secs(&self, secs: u64) {
        self.clock.advance(Duration::from_secs(secs));
        run_until_idle().await;
    }

    /// Runs the revoker's workers while `test` runs.
    async fn with_workers(&self, test: impl Future<Output = ()>) {
        let stop = CancellationToken::new();
        let test = async {
            run_until_idle().await;
            test.await;
            stop.cancel();
        };
        tokio::join!(self.token_revoker.run(stop.clone()), test);
    }
}

#[tokio::test]
async fn unreadable_leases_do_not_block_revocation() {
    let grove = RevocationFixture::new().await;
    let bad = grove.create_eight_tokens("bad").await;
    for n in 0..8 {
        grove.corrupt_record(grove.barrier.view("lease/"), &format!("id/bad/x/{n}")).await;
    }
    let good = grove.create_token("good/x/1").await;
    grove.begin_revocations(&bad).await;
    grove.begin_revocations(std::slice::from_ref(&good)).await;
    grove
        .with_workers(async {
            run_until_idle().await;
            assert_eq!(*grove.lease_revoker.0.lock().unwrap(), ["good/x/1"]);
            assert!(grove.is_removed(&good).await && grove.is_removed(&bad[7]).await);
            assert_eq!(grove.leases.irrevocable_leases(10).await.unwrap().len(), 8);
        })
        .await;
}

#[tokio::test]
async fn late_workers_do_not_revoke_tokens_in_their_last_use() {
    let grove = RevocationFixture::new().await;
    let (left, spent) = (grove.create_token("left/x").await, grove.create_token("spent/x").await);
    // This mark is left over from before a restart.
    grove.tokens.mark_for_revocation(&left, RevocationMark::Tree).await.unwrap();
    grove.token_revoker.resume_pending();
    // This token's last use is still in progress; its revocation must wait for that.
    grove.tokens.mark_for_revocation(&spent, RevocationMark::Tree).await.unwrap();
    grove
        .with_workers(async {
            run_until_idle().await;
            assert!(grove.is_removed(&left).await && !grove.is_removed(&spent).await);
        })
        .await;
}

#[tokio::test]
async fn a_hanging_engine_delays_revocation_only_briefly() {
    let grove = RevocationFixture::new().await;
    let hanging = grove.create_eight_tokens("hang").await;
    let good = grove.create_token("good/x/1").await;
    grove.begin_revocations(&hanging).await;
    grove.begin_revocations(std::slice::from_ref(&good)).await;
    grove
        .with_workers(async {
            assert!(!grove.is_removed(&good).await);
            grove.advance_secs(10).await;
            assert!(grove.is_removed(&good).await && grove.is_removed(&hanging[0]).await);
            let left = grove.leases.ids_by_prefix("hang/", 10).await.unwrap();
            assert_eq!(left.len(), 8, "these are the keeper's now");
            let found = grove.leases.get(&left[0]).await.unwrap().unwrap();
            assert!(matches!(found.lease.state, LeaseState::Revoking { .. }));
        })
        .await;
}

#[tokio::test]
async fn a_hanging_engine_gets_a_bounded_number_of_calls() {
    let grove = RevocationFixture::new().await;
    let mut keys = Vec::new();
    for n in 0..24 {
        let key = grove.create_token(&format!("hang/{n}/0")).await;
        let mut batch = Batch::new();
        for m in 1..20 {
            grove.add_lease(&mut batch, &key, &format!("hang/{n}/{m}"));
        }
        grove.barrier.commit(batch).await.unwrap();
        keys.push(key);
    }
    grove.begin_revocations(&keys).await;
    grove
        .with_workers(async {
            for _ in 0..4 {
                grove.advance_secs(10).await;
            }
            for key in &keys {
                assert!(grove.is_removed(key).await);
            }
            // Every call still hangs, or it would have released a permit for another.
            assert_eq!(grove.lease_revoker.1.load(Ordering::SeqCst), 128);
        })
        .await;
}

#[tokio::test]
async fn a_stalled_revocation_makes_room_and_is_resumed() {
    let grove = RevocationFixture::new().await;
    let bad = grove.create_eight_tokens("x").await;
    let good = grove.create_token("good/x/1").await;
    let view = grove.barrier.view("token/");
    let record = format!("id/{}", bad[0]);
    let before = view.get(&record).await.unwrap().unwrap().value;
    for key in &bad {
        grove.corrupt_record(view.clone(), &format!("id/{key}")).await;
    }
    grove.begin_revocations(&bad).await;
    grove.begin_revocations(std::slice::from_ref(&good)).await;
    grove
        .with_workers(async {
            for _ in 0..3 {
                grove.advance_secs(1).await;
            }
            assert!(grove.is_removed(&good).await);
            let mut batch = Batch::new();
            view.put(&mut batch, &record, before.to_vec());
            view.commit(batch).await.unwrap();
            grove.advance_secs(60).await;
            assert!(grove.is_removed(&bad[0]).await);
            assert!(!grove.is_removed(&bad[1]).await);
        })
        .await;
}

#[tokio::test]
async fn a_revocation_whose_request_is_dropped_completes() {
    let grove = RevocationFixture::new().await;
    let key = grove.create_token("good/x/1").await;
    grove
        .with_workers(async {
            start_and_drop(grove.token_revoker.begin_revocation(&key, RevocationMark::Tree)).await;
            assert!(grove.is_removed(&key).await);
        })
        .await;
}

#[tokio::test]
async fn a_marked_token_that_was_never_queued_is_revoked() {
    let grove = RevocationFixture::new().await;
    let key = grove.create_token("good/x/1").await;
    grove
        .with_workers(async {
            grove.tokens.mark_for_revocation(&key, RevocationMark::Tree).await.unwrap();
            grove.advance_secs(60).await;
            assert!(!grove.is_removed(&key).await, "its request may go on");
            grove.advance_secs(60).await;
            assert!(grove.is_removed(&key).await);
        })
        .await;
}
