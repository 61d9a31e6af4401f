//! Requests that are dropped on their way, and walks that meet obstacles.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::value::RawValue;
use strongroom_barrier::{Barrier, Batch, View, testing};
use strongroom_lease::{
    Keeper, KeeperOptions, Kind, Lease, LeaseStore, NewLease, RevokeError, Revoker, State,
};
use strongroom_sdk::engine::{Data, Leased};
use strongroom_storage::memory::Memory;
use strongroom_token::{Mark, NewToken, TokenKey, TokenStore};
use strongroom_types::clock::ManualClock;
use strongroom_types::{Clock, Fields, LeaseId, Ttl};
use tokio_util::sync::CancellationToken;

use super::trees::Trees;
use crate::cubbyhole::Cubbyholes;
use crate::tests::Bench;

async fn settle() {
    for _ in 0..300 {
        tokio::task::yield_now().await;
    }
}

/// Begins some work, and drops it at its first wait.
async fn begin(work: impl Future) {
    let mut work = Box::pin(work);
    let waits = std::future::poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx).is_pending())).await;
    assert!(waits, "it must wait for something");
    drop(work);
    settle().await;
}

fn leased(intent: Option<&str>) -> Leased {
    let object = Fields::new().to_object();
    let data = Data::new(object.clone());
    Leased {
        data,
        internal: object,
        ttl: Ttl::from_secs(10),
        max_ttl: Ttl::ZERO,
        renewable: true,
        intent: intent.map(str::to_owned),
        keep_data: false,
    }
}

#[tokio::test]
async fn a_credential_whose_request_is_dropped_has_its_lease_and_ends_on_time() {
    let bench = Bench::new().await.with_credentials().await;
    bench.settle().await;
    let open = bench.core.open().unwrap();
    let root = open.stores.tokens.look_up(&bench.root, open.clock().now()).await.unwrap().unwrap();
    let mounted = open.mounts.table().all().find(|m| m.info.path == "out/").cloned().unwrap();
    let inside = mounted.engine().unwrap().enter().await.unwrap();
    begin(open.register(&mounted, "out/creds/dev", &root, &leased(None), inside)).await;
    let ids = open.stores.leases.under("out/", None, 10).await.unwrap();
    assert_eq!(ids.len(), 1);
    bench.pass(10).await;
    let found = open.stores.leases.get(&ids[0]).await.unwrap().unwrap();
    // This one can't be revoked; that it was tried is what counts.
    assert!(matches!(found.lease.state, State::Revoking { attempts: 1, .. }), "{:?}", found.lease);
}

#[tokio::test]
async fn a_credential_that_gets_no_lease_is_taken_back_when_its_request_is_dropped() {
    let bench = Bench::new().await.with_credentials().await;
    bench.settle().await;
    let open = bench.core.open().unwrap();
    let token = bench.token(r#"path "x" { capabilities = ["read"] }"#, "").await;
    let token = open.stores.tokens.look_up(&token, open.clock().now()).await.unwrap().unwrap();
    open.stores.tokens.mark(&token.key, Mark::Tree).await.unwrap();
    let mounted = open.mounts.table().all().find(|m| m.info.path == "out/").cloned().unwrap();
    let inside = mounted.engine().unwrap().enter().await.unwrap();
    begin(open.register(&mounted, "out/creds/dev", &token, &leased(None), inside)).await;
    // The engine refused it, so the keeper goes on with it.
    let ids = open.stores.leases.under("out/", None, 10).await.unwrap();
    let found = open.stores.leases.get(&ids[0]).await.unwrap().unwrap();
    assert!(!found.lease.is_alive(open.clock().now()) && found.lease.token.is_none());
}

#[tokio::test]
async fn a_lease_whose_renewal_is_dropped_ends_when_it_says() {
    let bench = Bench::new().await.with_credentials().await;
    bench.write("out/roles/dev", r#"{"ttl":300,"max_ttl":600}"#).await;
    let got = bench.read("out/creds/dev").await;
    bench.settle().await;
    let open = bench.core.open().unwrap();
    let id = LeaseId::parse(&got.lease).unwrap();
    begin(open.renew_lease(&id, Ttl::from_secs(5))).await;
    let found = open.stores.leases.get(&id).await.unwrap().unwrap();
    assert_eq!(found.lease.ttl, Ttl::from_secs(5));
    bench.pass(5).await;
    assert_eq!(bench.outside.alive(), 0);
}

/// Remembers what it revoked; never ends with leases under `hang/`, and counts them.
#[derive(Default)]
struct Hands(Mutex<Vec<String>>, AtomicUsize);

#[async_trait]
impl Revoker for Hands {
    async fn revoke(&self, lease: &Lease) -> Result<(), RevokeError> {
        if lease.id.as_str().starts_with("hang/") {
            self.1.fetch_add(1, Ordering::SeqCst);
            std::future::pending::<()>().await;
        }
        self.0.lock().unwrap().push(lease.id.to_string());
        Ok(())
    }
}

/// Trees, and nothing else of a core.
struct Grove {
    barrier: Barrier,
    tokens: TokenStore,
    leases: LeaseStore,
    trees: Trees,
    hands: Arc<Hands>,
    clock: ManualClock,
}

impl Grove {
    async fn new() -> Self {
        let clock = ManualClock::default();
        let time: Arc<dyn Clock> = Arc::new(clock.clone());
        let barrier = testing::open(Arc::new(Memory::new()), time, |barrier, batch| {
            TokenStore::initialise(barrier.view("token/"), batch);
        })
        .await;
        let tokens =
            TokenStore::load(barrier.view("token/"), TokenStore::CACHE_BYTES).await.unwrap();
        let leases = LeaseStore::new(barrier.view("lease/"));
        let (hands, time) = (Arc::new(Hands::default()), Arc::new(clock.clone()));
        let options = KeeperOptions::default();
        let keeper = Keeper::new(leases.clone(), hands.clone(), time.clone(), options);
        let cubbyholes = Cubbyholes::new(barrier.view("cubbyhole/"));
        let trees = Trees::new(tokens.clone(), leases.clone(), cubbyholes, keeper, time);
        Self { barrier, tokens, leases, trees, hands, clock }
    }

    /// A token with one lease, which may be under a path of choice.
    async fn token(&self, lease: &str) -> TokenKey {
        let new = NewToken {
            id: None,
            parent: None,
            policies: Vec::new(),
            path: "auth/token/create".to_owned(),
            display_name: "token".to_owned(),
            meta: None,
            ttl: Ttl::ZERO,
            renewable: true,
            period: Ttl::ZERO,
            explicit_max_ttl: Ttl::ZERO,
            num_uses: 0,
            role: None,
            bound_cidrs: Vec::new(),
        };
        let mut batch = Batch::new();
        let key = self.tokens.create(&mut batch, new, self.clock.now()).key;
        self.add_lease(&mut batch, &key, lease);
        self.barrier.commit(batch).await.unwrap();
        key
    }

    fn add_lease(&self, batch: &mut Batch, token: &TokenKey, id: &str) {
        let lease = NewLease {
            id: LeaseId::parse(id).unwrap(),
            kind: Kind::Credential {
                mount: "m".to_owned(),
                path: "x".to_owned(),
                internal: RawValue::NULL.to_owned(),
                data: None,
            },
            token: Some(token.as_str().to_owned()),
            issued: self.clock.now(),
            ttl: Ttl::from_secs(100_000),
            max_ttl: Ttl::ZERO,
            renewable: true,
        };
        self.leases.add(batch, lease);
    }

    /// As many tokens as there are walkers, with leases under a path.
    async fn eight(&self, path: &str) -> Vec<TokenKey> {
        let mut keys = Vec::new();
        for n in 0..8 {
            keys.push(self.token(&format!("{path}/x/{n}")).await);
        }
        keys
    }

    async fn spoil(&self, view: View, key: &str) {
        let mut batch = Batch::new();
        view.put(&mut batch, key, b"not a record".to_vec());
        view.commit(batch).await.unwrap();
    }

    async fn mark(&self, keys: &[TokenKey]) {
        for key in keys {
            self.trees.mark(key, Mark::Tree).await.unwrap();
        }
    }

    async fn is_gone(&self, key: &TokenKey) -> bool {
        let keys = self.barrier.view("token/id/").keys(key.as_str(), None, 1).await.unwrap();
        keys.is_empty()
    }

    async fn pass(&self, secs: u64) {
        self.clock.advance(Duration::from_secs(secs));
        settle().await;
    }

    /// Walks beside a test.
    async fn with_walkers(&self, test: impl Future<Output = ()>) {
        let stop = CancellationToken::new();
        let test = async {
            settle().await;
            test.await;
            stop.cancel();
        };
        tokio::join!(self.trees.run(stop.clone()), test);
    }
}

#[tokio::test]
async fn leases_nobody_can_read_hold_up_no_walk() {
    let grove = Grove::new().await;
    let bad = grove.eight("bad").await;
    for n in 0..8 {
        grove.spoil(grove.barrier.view("lease/"), &format!("id/bad/x/{n}")).await;
    }
    let good = grove.token("good/x/1").await;
    grove.mark(&bad).await;
    grove.mark(std::slice::from_ref(&good)).await;
    grove
        .with_walkers(async {
            settle().await;
            assert_eq!(*grove.hands.0.lock().unwrap(), ["good/x/1"]);
            assert!(grove.is_gone(&good).await && grove.is_gone(&bad[7]).await);
            assert_eq!(grove.leases.irrevocable_with_errors(10).await.unwrap().len(), 8);
        })
        .await;
}

#[tokio::test]
async fn walkers_that_start_late_overtake_no_last_use() {
    let grove = Grove::new().await;
    let (left, spent) = (grove.token("left/x").await, grove.token("spent/x").await);
    // An earlier life of the server left this one.
    grove.tokens.mark(&left, Mark::Tree).await.unwrap();
    grove.trees.take_up();
    // This one's last use is being answered, and its walk comes after that.
    grove.tokens.mark(&spent, Mark::Tree).await.unwrap();
    grove
        .with_walkers(async {
            settle().await;
            assert!(grove.is_gone(&left).await && !grove.is_gone(&spent).await);
        })
        .await;
}

#[tokio::test]
async fn an_engine_that_hangs_holds_up_no_walk_for_long() {
    let grove = Grove::new().await;
    let hanging = grove.eight("hang").await;
    let good = grove.token("good/x/1").await;
    grove.mark(&hanging).await;
    grove.mark(std::slice::from_ref(&good)).await;
    grove
        .with_walkers(async {
            assert!(!grove.is_gone(&good).await);
            grove.pass(10).await;
            assert!(grove.is_gone(&good).await && grove.is_gone(&hanging[0]).await);
            let left = grove.leases.under("hang/", None, 10).await.unwrap();
            assert_eq!(left.len(), 8, "these are the keeper's now");
            let found = grove.leases.get(&left[0]).await.unwrap().unwrap();
            assert!(matches!(found.lease.state, State::Revoking { .. }));
        })
        .await;
}

#[tokio::test]
async fn an_engine_that_hangs_is_not_called_more_and_more_by_walks() {
    let grove = Grove::new().await;
    let mut keys = Vec::new();
    for n in 0..24 {
        let key = grove.token(&format!("hang/{n}/0")).await;
        let mut batch = Batch::new();
        for m in 1..20 {
            grove.add_lease(&mut batch, &key, &format!("hang/{n}/{m}"));
        }
        grove.barrier.commit(batch).await.unwrap();
        keys.push(key);
    }
    grove.mark(&keys).await;
    grove
        .with_walkers(async {
            for _ in 0..4 {
                grove.pass(10).await;
            }
            for key in &keys {
                assert!(grove.is_gone(key).await);
            }
            // No call has come to its end, or would leave room for another.
            assert_eq!(grove.hands.1.load(Ordering::SeqCst), 128);
        })
        .await;
}

#[tokio::test]
async fn a_walk_that_cannot_go_on_makes_room_and_is_taken_up_later() {
    let grove = Grove::new().await;
    let bad = grove.eight("x").await;
    let good = grove.token("good/x/1").await;
    let view = grove.barrier.view("token/");
    let record = format!("id/{}", bad[0]);
    let before = view.get(&record).await.unwrap().unwrap().value;
    for key in &bad {
        grove.spoil(view.clone(), &format!("id/{key}")).await;
    }
    grove.mark(&bad).await;
    grove.mark(std::slice::from_ref(&good)).await;
    grove
        .with_walkers(async {
            for _ in 0..3 {
                grove.pass(1).await;
            }
            assert!(grove.is_gone(&good).await);
            let mut batch = Batch::new();
            view.put(&mut batch, &record, before.to_vec());
            view.commit(batch).await.unwrap();
            grove.pass(60).await;
            assert!(grove.is_gone(&bad[0]).await);
            assert!(!grove.is_gone(&bad[1]).await);
        })
        .await;
}

#[tokio::test]
async fn a_revocation_whose_request_is_dropped_is_walked_to_its_end() {
    let grove = Grove::new().await;
    let key = grove.token("good/x/1").await;
    grove
        .with_walkers(async {
            begin(grove.trees.mark(&key, Mark::Tree)).await;
            assert!(grove.is_gone(&key).await);
        })
        .await;
}

#[tokio::test]
async fn a_mark_whose_walk_nobody_queued_is_found() {
    let grove = Grove::new().await;
    let key = grove.token("good/x/1").await;
    grove
        .with_walkers(async {
            grove.tokens.mark(&key, Mark::Tree).await.unwrap();
            grove.pass(60).await;
            assert!(!grove.is_gone(&key).await, "its request may go on");
            grove.pass(60).await;
            assert!(grove.is_gone(&key).await);
        })
        .await;
}
