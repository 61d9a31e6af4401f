//! What a sealed server leaves in memory, and that clients can't prevent sealing or unsealing.

use std::sync::Arc;

use strongroom_barrier::SealConfig;
use strongroom_core::request::Verb;
use strongroom_storage::memory::MemoryStorage;
use strongroom_types::{ErrorKind, Namespace, RequestId, Secret};
use tokio_util::task::TaskTracker;

use super::TestCore;
use super::blocking_storage::BlockingStorage;
use super::fake_outside_system::OutsideBehavior;
use super::interleaving_storage::InterleavingStorage;
use super::test_core::make_core;
use super::test_core::new_request;

const ONE_SHARE: &str = r#"{"secret_shares":1,"secret_threshold":1}"#;

/// Returns a function that lists which parts of the current unsealed server are still in memory.
fn leaked_parts(bench: &TestCore) -> impl Fn() -> Vec<&'static str> + use<> {
    let core = bench.core.unsealed().unwrap();
    let barrier = core.barrier.watch_dropped();
    let (trees, table) =
        (core.tokens.revoker.downgrade(), Arc::downgrade(&core.mounts.engine_loader.table));
    let (ending, whole) = (Arc::downgrade(&core.leases.revoker), Arc::downgrade(&core));
    let (leases, tokens) = (Arc::downgrade(&core.leases), Arc::downgrade(&core.tokens));
    let (wrapping, unmounts) = (Arc::downgrade(&core.wrapping), Arc::downgrade(&core.unmounts));
    move || {
        let parts = [
            ("the lease service", leases.upgrade().is_some()),
            ("the token service", tokens.upgrade().is_some()),
            ("the wrapping service", wrapping.upgrade().is_some()),
            ("the unmount service", unmounts.upgrade().is_some()),
            ("the barrier", !barrier()),
            ("the token trees", trees.upgrade().is_some()),
            ("the mount table", table.upgrade().is_some()),
            ("the revoker of leases", ending.upgrade().is_some()),
            ("the unsealed server", whole.upgrade().is_some()),
        ];
        parts.into_iter().filter(|(_, is_left)| *is_left).map(|(name, _)| name).collect()
    }
}

/// A server with everything that could hold references: engines, credentials and tokens.
async fn busy_server() -> TestCore {
    let bench = TestCore::new().await.with_credential_engine().await;
    bench.write("sys/mounts/kv", r#"{"type":"kv"}"#).await;
    bench.write("sys/auth/door", r#"{"type":"door"}"#).await;
    issue_and_revoke(&bench).await;
    bench
}

async fn issue_and_revoke(bench: &TestCore) {
    bench.write("kv/a", r#"{"x":"1"}"#).await;
    bench.read("kv/a").await;
    bench.read("out/creds/dev").await;
    let child = bench.write("auth/token/create", r#"{"ttl":"60s"}"#).await;
    let child = child.auth.text("client_token").unwrap();
    bench.succeeds_as(&child, Verb::Read, "out/creds/dev", "").await;
    bench.succeeds_as(&child, Verb::Write, "auth/token/revoke-self", "").await;
}

#[tokio::test]
async fn sr_2026_01_nothing_of_an_unsealed_server_outlives_the_seal() {
    let bench = busy_server().await;
    let left = leaked_parts(&bench);
    assert_eq!(left().len(), 9, "all of it is there while unsealed");
    bench.write("sys/seal", "").await;
    bench.run_until_idle().await;
    assert_eq!(left(), [""; 0]);
}

/// The seal at process exit, which no request triggers.
#[tokio::test]
async fn sr_2026_01_nothing_outlives_a_seal_that_no_request_asked_for() {
    let bench = busy_server().await;
    let left = leaked_parts(&bench);
    bench.core.seal().await.unwrap();
    bench.run_until_idle().await;
    assert_eq!(left(), [""; 0]);
}

#[tokio::test]
async fn sr_2026_01_fifty_seals_leave_as_much_in_memory_as_one() {
    let bench = busy_server().await;
    let mut left = Vec::new();
    for _ in 0..50 {
        left.push(leaked_parts(&bench));
        issue_and_revoke(&bench).await;
        bench.write("sys/seal", "").await;
        bench.run_until_idle().await;
        bench.unseal().await;
    }
    let left: Vec<_> = left.iter().flat_map(|left| left()).collect();
    assert_eq!(left, [""; 0]);
}

/// A hanging request keeps its references to the server, but the keys are cleared.
#[tokio::test]
async fn sr_2026_01_what_hangs_keeps_no_key_no_token_and_no_mount() {
    let bench = busy_server().await;
    bench.outside.set_behavior(OutsideBehavior::SlowIssue);
    let (core, root) = (bench.core.clone(), bench.root.clone());
    let hanging = TaskTracker::new().spawn(async move {
        let request = new_request(&core, Verb::Read, "out/creds/dev", &root);
        super::test_core::admit_and_handle(&core, request).await
    });
    bench.run_until_idle().await;
    let open = bench.core.unsealed().unwrap();
    let root_token = open.tokens.store.key_of(&bench.root);
    bench.write("sys/seal", "").await;
    bench.run_until_idle().await;
    assert!(!open.barrier.is_closed(), "it waits for the request");
    bench.advance_secs(11).await;
    bench.advance_secs(21).await;
    assert!(open.barrier.is_closed());
    assert_eq!(open.barrier.cached_entries(), 0);
    assert_eq!(open.mounts.table().all_mounts().count(), 0);
    assert_ne!(open.tokens.store.key_of(&bench.root), root_token, "the salt is still there");
    bench.unseal().await;
    bench.outside.unblock();
    assert!(hanging.await.unwrap().is_err());
    assert_eq!(bench.read("kv/a").await.text("x"), "1");
}

/// A reference to an engine keeps it in memory, but not the documents it has cached.
#[tokio::test]
async fn sr_2026_01_an_engine_that_is_still_held_answers_nothing_from_memory() {
    let bench = busy_server().await;
    let core = bench.core.unsealed().unwrap();
    let table = core.mounts.table();
    let (mounted, _) = table.longest_match("out/config").unwrap();
    let held = mounted.engine_handle().unwrap().current_instance().unwrap();
    let read_config = || async {
        let request = strongroom_engine::EngineRequest {
            id: RequestId::parse("read").unwrap(),
            operation: strongroom_engine::Operation::Read,
            path: "config".to_owned(),
            fields: strongroom_types::Fields::new(),
            raw_body: None,
            mount: mounted.info.clone(),
            caller: strongroom_engine::CallerInfo::default(),
            connection: None,
            headers: std::collections::BTreeMap::new(),
            wrap_ttl: None,
            lease: None,
            auth: None,
            namespace: Namespace::Root,
            deadline: core.clock().now(),
        };
        held.engine.handle(request).await
    };
    assert!(read_config().await.is_ok());
    bench.write("sys/seal", "").await;
    bench.run_until_idle().await;
    assert!(core.barrier.is_closed());
    let answer = read_config().await;
    assert!(answer.is_err(), "it still has the configuration: {answer:?}");
}

/// The keys are cleared even if sealing is interrupted.
#[tokio::test]
async fn sr_2026_01_the_keys_go_however_the_closing_ends() {
    let bench = busy_server().await;
    let core = bench.core.unsealed().unwrap();
    drop(core.clear_keys_on_drop());
    assert!(core.barrier.is_closed());
    bench.core.seal().await.unwrap();
}

#[tokio::test]
async fn cve_2026_55776_an_engine_that_panics_when_it_is_closed_stops_no_seal() {
    let bench = busy_server().await;
    bench.auth_method().panic_on_close();
    let left = leaked_parts(&bench);
    bench.core.seal().await.unwrap();
    bench.run_until_idle().await;
    assert!(bench.core.is_sealed());
    assert_eq!(left(), [""; 0]);
    bench.unseal().await;
    assert_eq!(bench.read("kv/a").await.text("x"), "1");
}

/// Initialisation requests need no token, so anyone can send any number of them.
#[tokio::test]
async fn sr_2026_02_no_number_of_initialisations_holds_up_a_seal() {
    let held = BlockingStorage::default();
    let bench = TestCore::with_storage(Arc::new(held.clone())).await;
    // If each request read the storage, it would block here while holding a permit.
    held.block_reads("core/seal-config");
    let flood: Vec<_> =
        (0..64).map(|_| TaskTracker::new().spawn(anonymous_init(bench.core.clone()))).collect();
    bench.run_until_idle().await;
    bench.write("sys/seal", "").await;
    bench.run_until_idle().await;
    assert!(bench.core.is_sealed());
    assert!(
        flood.iter().all(tokio::task::JoinHandle::is_finished),
        "an answer waits for the store"
    );
    for answer in flood {
        assert_eq!(answer.await.unwrap(), "Vault is already initialized");
    }
}

async fn anonymous_init(core: strongroom_core::Core) -> String {
    let limits = strongroom_types::fields::JsonLimits::default();
    let request = new_request(&core, Verb::Write, "sys/init", "");
    let fields = strongroom_types::Fields::parse(ONE_SHARE.as_bytes(), &limits).unwrap();
    let request = strongroom_core::CoreRequest { fields, ..request };
    super::test_core::admit_and_handle(&core, request).await.unwrap_err().to_string()
}

#[tokio::test]
async fn sr_2026_02_with_sixteen_turns_taken_sealing_and_unsealing_work() {
    let bench = TestCore::new().await;
    let taken: Vec<_> = (0..16)
        .map(|_| {
            let turns = bench.core.initialise_queue().clone();
            TaskTracker::new().spawn(async move { turns.run(std::future::pending::<()>()).await })
        })
        .collect();
    bench.run_until_idle().await;
    assert!(bench.core.initialise_queue().run(async {}).await.is_err(), "the queue is full");
    let mut sealing = Box::pin(bench.core.seal());
    let _ = futures_util::poll!(&mut sealing);
    bench.run_until_idle().await;
    assert!(bench.core.is_sealed());
    sealing.await.unwrap();
    bench.unseal().await;
    assert!(!bench.core.is_sealed());
    taken.iter().for_each(tokio::task::JoinHandle::abort);
}

/// Wrong key shares arrive continuously, and each is tried.
#[tokio::test]
async fn sr_2026_02_wrong_key_shares_keep_no_right_one_out() {
    let bench = TestCore::with_storage(Arc::new(InterleavingStorage::default())).await;
    bench.write("sys/seal", "").await;
    bench.run_until_idle().await;
    let flood: Vec<_> = (0..200_u8)
        .map(|n| {
            let core = bench.core.clone();
            TaskTracker::new().spawn(async move { core.unseal(Secret::new(vec![n; 32])).await })
        })
        .collect();
    tokio::task::yield_now().await;
    bench.unseal().await;
    assert!(!bench.core.is_sealed());
    for answer in flood {
        // Requests after the right share found the server unsealed.
        if let Err(error) = answer.await.unwrap() {
            assert!(error.to_string().starts_with("invalid key"), "{error}");
        }
    }
    bench.write("sys/seal", "").await;
    bench.run_until_idle().await;
    assert!(bench.core.is_sealed());
}

/// Logins that hang need no token.
#[tokio::test]
async fn sr_2026_02_a_login_that_hangs_holds_up_no_seal() {
    let bench = busy_server().await;
    bench.auth_method().block_logins(true);
    let core = bench.core.clone();
    let hanging = TaskTracker::new().spawn(async move {
        // A login may carry a token, valid or not.
        let request = new_request(&core, Verb::Write, "auth/door/login/x", "hvs.notAtoken");
        super::test_core::admit_and_handle(&core, request).await
    });
    bench.run_until_idle().await;
    let open = bench.core.unsealed().unwrap();
    assert_eq!(open.requests.len(), 1, "it hangs");
    bench.write("sys/seal", "").await;
    bench.run_until_idle().await;
    assert!(open.barrier.is_closed(), "the seal waits for the login");
    bench.auth_method().unblock();
    assert!(hanging.await.unwrap().is_err());
}

/// A request that timed out was dropped. Its credential still has to get a lease or be revoked,
/// which needs the engine and the barrier.
#[tokio::test]
async fn a_seal_waits_for_what_a_dropped_request_left_to_be_finished() {
    let bench = busy_server().await;
    let core = bench.core.unsealed().unwrap();
    let (go_on, held) = tokio::sync::oneshot::channel::<()>();
    {
        let work = async move {
            let _ = held.await;
            Ok(())
        };
        let mut given_up = Box::pin(core.detached.run(work));
        let begun =
            std::future::poll_fn(|cx| std::task::Poll::Ready(given_up.as_mut().poll(cx))).await;
        assert!(begun.is_pending());
    }
    bench.write("sys/seal", "").await;
    bench.run_until_idle().await;
    assert!(bench.core.is_sealed());
    assert!(!core.barrier.is_closed(), "the seal does not wait for the work");
    go_on.send(()).unwrap();
    bench.run_until_idle().await;
    assert!(core.barrier.is_closed());
}

#[tokio::test]
async fn sr_2026_02_status_and_seal_are_answered_while_everything_else_is_refused() {
    let mut bench = busy_server().await;
    bench.settings.admission.requests = 2;
    bench.restart().await;
    bench.run_until_idle().await;
    bench.outside.set_behavior(OutsideBehavior::SlowIssue);
    let hang = || {
        let (core, root) = (bench.core.clone(), bench.root.clone());
        TaskTracker::new().spawn(async move {
            let request = new_request(&core, Verb::Read, "out/creds/dev", &root);
            super::test_core::admit_and_handle(&core, request).await
        })
    };
    let hanging = [hang(), hang()];
    bench.run_until_idle().await;
    assert_eq!(bench.fails(Verb::Read, "kv/a", "").await.kind(), ErrorKind::Unavailable);
    for path in ["sys/health", "sys/seal-status", "sys/leader"] {
        bench.succeeds_as("", Verb::Read, path, "").await;
    }
    let key = format!(r#"{{"key":"{}"}}"#, "ab".repeat(32));
    bench.succeeds_as("", Verb::Write, "sys/unseal", &key).await;
    bench.write("sys/step-down", "").await;
    bench.write("sys/seal", "").await;
    assert!(bench.core.is_sealed());
    hanging.iter().for_each(tokio::task::JoinHandle::abort);
}

/// While unsealing is in progress the keys are in memory, so a seal request must not succeed.
#[tokio::test]
async fn a_seal_is_not_said_to_be_done_while_the_server_is_being_unsealed() {
    let held = BlockingStorage::default();
    let bench = TestCore::with_storage(Arc::new(held.clone())).await;
    bench.write("sys/seal", "").await;
    bench.run_until_idle().await;
    bench.write("sys/seal", "").await;
    held.block_reads("core/cluster");
    let (core, share) = (bench.core.clone(), bench.key_share());
    let unsealing = TaskTracker::new().spawn(async move { core.unseal(share).await });
    bench.run_until_idle().await;
    assert!(bench.core.is_sealed(), "it is still being opened");
    let error = bench.fails(Verb::Write, "sys/seal", "").await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    held.unblock();
    unsealing.await.unwrap().unwrap();
    bench.write("sys/seal", "").await;
    bench.run_until_idle().await;
    assert!(bench.core.is_sealed());
}

/// A seal request that was dropped doesn't prevent the next one.
#[tokio::test]
async fn sr_2026_02_a_seal_that_was_asked_for_and_given_up_can_be_asked_for_again() {
    let bench = TestCore::new().await;
    let core = bench.core.unsealed().unwrap();
    {
        let mut given_up = Box::pin(core.seal_request.request());
        let _ = std::future::poll_fn(|cx| std::task::Poll::Ready(given_up.as_mut().poll(cx))).await;
    }
    core.seal_request.request().await;
    assert!(bench.core.is_sealed());
}

/// Reads hang, as on a store whose disk has failed.
#[tokio::test]
async fn a_server_that_is_to_end_waits_for_no_unsealing() {
    for hangs_at in ["core/key-ring", "core/cluster", "core/mounts/"] {
        let held = BlockingStorage::default();
        let bench = TestCore::with_storage(Arc::new(held.clone())).await;
        bench.write("sys/mounts/kv", r#"{"type":"kv"}"#).await;
        bench.write("sys/seal", "").await;
        bench.run_until_idle().await;
        held.block_reads(hangs_at);
        let (core, share) = (bench.core.clone(), bench.key_share());
        let unsealing = TaskTracker::new().spawn(async move { core.unseal(share).await });
        bench.run_until_idle().await;
        assert!(!unsealing.is_finished(), "{hangs_at} is not read");
        let mut ending = Box::pin(bench.core.shut_down());
        assert!(futures_util::poll!(&mut ending).is_pending());
        bench.run_until_idle().await;
        assert!(futures_util::poll!(&mut ending).is_ready(), "{hangs_at}: it waits for the store");
        let error = unsealing.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Sealed);
        assert!(bench.core.is_sealed());
        // A later share doesn't unseal it either.
        held.unblock();
        assert!(bench.core.unseal(bench.key_share()).await.is_err());
        assert!(bench.core.is_sealed());
    }
}

#[tokio::test]
async fn cve_2026_55776_a_panic_in_the_servers_own_handlers_is_an_answer_and_nothing_more() {
    let held = BlockingStorage::default();
    let bench = TestCore::with_storage(Arc::new(held.clone())).await;
    bench.write("sys/mounts/kv", r#"{"type":"kv"}"#).await;
    held.panic_at(Some("password-policy"));
    for _ in 0..20 {
        let error = bench.fails(Verb::Read, "sys/policies/password/x", "").await;
        assert_eq!(error.kind(), ErrorKind::Internal);
    }
    held.panic_at(Some("core/mounts/"));
    for _ in 0..20 {
        let error = bench.fails(Verb::Write, "sys/mounts/other", r#"{"type":"kv"}"#).await;
        assert_eq!(error.kind(), ErrorKind::Internal, "{error}");
    }
    held.panic_at(None);
    bench.write("sys/mounts/other", r#"{"type":"kv"}"#).await;
    bench.write("other/a", r#"{"x":"1"}"#).await;
    let error = bench.fails(Verb::Read, "sys/policies/password/x", "").await;
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn cve_2026_55776_a_panic_with_a_turn_taken_gives_the_turn_back() {
    let bench = TestCore::with_storage(Arc::new(MemoryStorage::new())).await;
    let held = BlockingStorage::default();
    let physical: Arc<dyn strongroom_storage::Physical> = Arc::new(held.clone());
    let core = make_core(&physical, &bench.clock, &bench.plugins, &bench.settings);
    let config = SealConfig::new(1, 1).unwrap();
    // More attempts than there are permits; each commit is made while holding one.
    held.panic_at(Some("core/root-key"));
    for _ in 0..20 {
        assert!(core.initialise(config, None).await.is_err());
    }
    held.panic_at(None);
    let share = core.initialise(config, None).await.unwrap().shares.pop().unwrap();
    let share = || Secret::new(share.expose_secret().clone());
    // Unsealing writes the key ring.
    held.panic_at(Some("core/key-ring"));
    for _ in 0..20 {
        assert_eq!(core.unseal(share()).await.unwrap_err().kind(), ErrorKind::Internal);
    }
    held.panic_at(None);
    core.unseal(share()).await.unwrap();
    assert!(!core.is_sealed());
    core.seal().await.unwrap();
    assert!(core.is_sealed());
}
