//! The limits on concurrent requests, and the requests they don't apply to.

use std::net::IpAddr;
use std::sync::Arc;
use std::task::Poll;

use strongroom_core::request::{CoreResponse, Verb};
use strongroom_core::{AdmissionLimits, Error};
use strongroom_storage::memory::MemoryStorage;
use strongroom_telemetry::names;
use strongroom_types::clock::BoxFuture;
use strongroom_types::{ErrorKind, Secret};

use super::TestCore;
use super::blocking_storage::BlockingStorage;
use super::test_core::ReportedMessages;
use super::test_counters::TestCounters;

const LIMITS: AdmissionLimits = AdmissionLimits {
    requests: 20,
    per_mount: 4,
    unauthenticated: 6,
    unauthenticated_per_mount: 2,
};

/// A server with low request limits, an auth method and two secrets engines.
async fn core_with_small_limits() -> TestCore {
    let bench = TestCore::with_limits(Arc::new(MemoryStorage::new()), LIMITS).await;
    bench.write("sys/auth/gate", r#"{"type":"door"}"#).await;
    bench.write("sys/auth/other", r#"{"type":"door"}"#).await;
    bench.write("sys/mounts/hung", r#"{"type":"door-engine"}"#).await;
    bench.write("sys/mounts/kv", r#"{"type":"kv"}"#).await;
    bench.write("kv/a", r#"{"x":"1"}"#).await;
    bench
}

type PendingRequest<'b> = BoxFuture<'b, Result<CoreResponse, Error>>;

/// Starts requests to an engine that hangs, and polls each once.
async fn start_hanging_requests<'b>(
    bench: &'b TestCore,
    path: &'b str,
    token: &'b str,
    n: usize,
) -> Vec<PendingRequest<'b>> {
    bench.auth_method().block_logins(true);
    let mut all: Vec<PendingRequest<'b>> = Vec::new();
    for _ in 0..n {
        let mut one: PendingRequest<'b> = Box::pin(bench.send(Verb::Write, path, token, ""));
        assert!(futures_util::poll!(&mut one).is_pending(), "{path}");
        bench.run_until_idle().await;
        all.push(one);
    }
    all
}

/// The error of a request that must be refused at once rather than wait for a hanging engine.
async fn refused_immediately(bench: &TestCore, path: &str, token: &str) -> Error {
    let mut asked: PendingRequest<'_> = Box::pin(bench.send(Verb::Write, path, token, ""));
    let mut answer = futures_util::poll!(&mut asked);
    if answer.is_pending() {
        bench.run_until_idle().await;
        answer = futures_util::poll!(&mut asked);
    }
    match answer {
        Poll::Ready(answer) => answer.unwrap_err(),
        Poll::Pending => panic!("{path} hangs as well"),
    }
}

#[tokio::test]
async fn sr_2026_03_a_hung_mount_affects_only_itself() {
    let bench = core_with_small_limits().await;
    let hung = start_hanging_requests(&bench, "hung/inside/a", &bench.root, LIMITS.per_mount).await;
    let full = bench.fails(Verb::Read, "hung/b", "").await;
    assert_eq!((full.kind(), full.retry_after_secs()), (ErrorKind::Unavailable, Some(1)));
    assert_eq!(bench.read("kv/a").await.text("x"), "1");
    for path in ["sys/health", "sys/seal-status", "sys/leader"] {
        bench.succeeds_as("", Verb::Read, path, "").await;
    }
    bench.succeeds_as("", Verb::Read, "sys/init", "").await;
    // The clients disconnect, but the requests still occupy the engine.
    drop(hung);
    bench.run_until_idle().await;
    assert_eq!(bench.fails(Verb::Read, "hung/b", "").await.kind(), ErrorKind::Unavailable);
    for _ in 0..LIMITS.per_mount {
        bench.auth_method().unblock();
        bench.run_until_idle().await;
    }
    bench.read("hung/b").await;
}

#[tokio::test]
async fn sr_2026_03_a_full_server_still_seals_and_unseals() {
    let bench = core_with_small_limits().await;
    let mut all =
        start_hanging_requests(&bench, "hung/inside/a", &bench.root, LIMITS.per_mount).await;
    bench.write("sys/mounts/hung2", r#"{"type":"door-engine"}"#).await;
    for n in 3..=5 {
        bench.write(&format!("sys/mounts/hung{n}"), r#"{"type":"door-engine"}"#).await;
    }
    for path in ["hung2/inside/a", "hung3/inside/a", "hung4/inside/a", "hung5/inside/a"] {
        all.extend(start_hanging_requests(&bench, path, &bench.root, LIMITS.per_mount).await);
    }
    let full = bench.fails(Verb::Read, "kv/a", "").await;
    assert_eq!((full.kind(), full.retry_after_secs()), (ErrorKind::Unavailable, Some(1)));
    bench.succeeds_as("", Verb::Read, "sys/health", "").await;
    bench.write("sys/step-down", "").await;
    bench.write("sys/seal", "").await;
    assert!(bench.core.is_sealed());
    drop(all);
}

#[tokio::test]
async fn sr_2026_03_logins_that_hang_keep_nobody_else_out() {
    let bench = core_with_small_limits().await;
    let most = LIMITS.unauthenticated_per_mount;
    let hung = start_hanging_requests(&bench, "auth/gate/login/bob", "", most).await;
    let full = refused_immediately(&bench, "auth/gate/login/eve", "").await;
    assert_eq!((full.kind(), full.retry_after_secs()), (ErrorKind::Limited, Some(1)));
    // Logins ignore tokens, and so does their limit.
    let full = refused_immediately(&bench, "auth/gate/login/eve", &bench.root).await;
    assert_eq!(full.kind(), ErrorKind::Limited);
    // A request with a valid token is admitted to the same mount; one with an invalid token is
    // denied.
    bench.read("auth/gate/settings").await;
    let stranger = bench.fails_as("hvs.none", Verb::Read, "auth/gate/settings", "").await;
    assert_eq!(stranger.kind(), ErrorKind::Denied);
    // Another auth method still responds; it has no users.
    bench.auth_method().block_logins(false);
    let error = bench.fails_as("", Verb::Write, "auth/other/login/bob", "").await;
    assert_eq!(error.to_string(), "who are you?");
    drop(hung);
}

#[tokio::test]
async fn sr_2026_03_all_requests_without_a_token_have_a_limit() {
    let bench = core_with_small_limits().await;
    bench.write("sys/auth/third", r#"{"type":"door"}"#).await;
    let mut all = Vec::new();
    for path in ["auth/gate/login/a", "auth/other/login/a", "auth/third/login/a"] {
        all.extend(
            start_hanging_requests(&bench, path, "", LIMITS.unauthenticated_per_mount).await,
        );
    }
    let full = bench.fails_as("", Verb::Read, "sys/wrapping/lookup", "").await;
    assert_eq!(full.kind(), ErrorKind::Limited);
    assert_eq!(bench.read("kv/a").await.text("x"), "1");
    drop(all);
}

#[tokio::test]
async fn a_refusal_does_not_tell_whether_a_mount_is_there() {
    let bench = core_with_small_limits().await;
    let mut refusals = Vec::new();
    for path in ["kv/a", "nothing/a", "auth/gate/x", "auth/nothing/x"] {
        let mut held = Vec::new();
        for _ in 0..LIMITS.unauthenticated_per_mount {
            held.push(bench.admit(path, "hvs.none").await.unwrap());
        }
        let with_none = bench.admit(path, "").await.unwrap_err();
        let with_wrong = bench.admit(path, "hvs.none").await.unwrap_err();
        assert_eq!(with_none.kind(), ErrorKind::Limited, "{path}");
        assert_eq!(with_wrong.kind(), ErrorKind::Denied, "{path}");
        refusals.push((with_none.messages(), with_wrong.messages()));
        // Filling one prefix doesn't fill another, whether mounted or not.
        for other in ["kv/b", "nothing/b", "auth/gate/y", "auth/nothing/y", "more/x"] {
            if path.rsplit_once('/').map(|it| it.0) != other.rsplit_once('/').map(|it| it.0) {
                drop(bench.admit(other, "").await.unwrap());
            }
        }
    }
    refusals.dedup();
    assert_eq!(refusals.len(), 1, "{refusals:?}");
}

#[tokio::test]
async fn a_token_counts_as_valid_once_it_was_looked_up() {
    let bench = core_with_small_limits().await;
    let mut permits = Vec::new();
    for _ in 0..LIMITS.per_mount {
        let mut permit = bench.admit("kv/a", &bench.root).await.unwrap();
        let root = Secret::from_text(&bench.root);
        bench.core.authenticate_early(&mut permit, Some(&root), None).await.unwrap();
        assert!(!permit.lacks_valid_token());
        permits.push(permit);
    }
    assert_eq!(bench.admit("kv/a", &bench.root).await.unwrap_err().kind(), ErrorKind::Unavailable);
    permits.clear();
    let mut permit = bench.admit("kv/a", "hvs.none").await.unwrap();
    for token in [None, Some(Secret::from_text("hvs.none"))] {
        let error =
            bench.core.authenticate_early(&mut permit, token.as_ref(), None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
    }
    assert!(permit.lacks_valid_token());
}

#[tokio::test]
async fn a_change_of_a_mount_keeps_its_request_count() {
    let bench = core_with_small_limits().await;
    let hung = start_hanging_requests(&bench, "hung/inside/a", &bench.root, LIMITS.per_mount).await;
    bench.write("sys/mounts/hung/tune", r#"{"description":"still hung"}"#).await;
    assert_eq!(bench.fails(Verb::Read, "hung/b", "").await.kind(), ErrorKind::Unavailable);
    drop(hung);
}

/// Token look-ups are slow, and anybody can cause them.
#[tokio::test]
async fn sr_2026_03_tokens_that_are_looked_up_take_no_place_of_the_mount() {
    let held = BlockingStorage::default();
    let bench = TestCore::with_limits(Arc::new(held.clone()), LIMITS).await;
    bench.write("sys/mounts/kv", r#"{"type":"kv"}"#).await;
    // This loads the caches.
    bench.write("kv/a", r#"{"x":"1"}"#).await;
    let mut strangers = Vec::new();
    for _ in 0..LIMITS.unauthenticated_per_mount {
        strangers.push(bench.admit("kv/a", "hvs.none").await.unwrap());
    }
    held.block_reads("token/id/");
    let names: Vec<String> = (0..8).map(|n| format!("hvs.none{n}")).collect();
    let mut flood: Vec<_> = names.iter().map(|name| Box::pin(bench.admit("kv/a", name))).collect();
    for one in &mut flood {
        assert!(futures_util::poll!(one).is_pending());
    }
    for _ in 0..2 {
        strangers.push(bench.admit("kv/a", &bench.root).await.unwrap());
    }
    // The mount's limit applies to them as well.
    let full = bench.admit("kv/a", &bench.root).await.unwrap_err();
    assert_eq!((full.kind(), full.retry_after_secs()), (ErrorKind::Unavailable, Some(1)));
    held.unblock();
    for one in flood {
        assert_eq!(one.await.unwrap_err().kind(), ErrorKind::Denied);
    }
    drop(strangers);
    assert!(bench.admit("kv/a", &bench.root).await.is_ok());
}

/// A stolen token used from outside its CIDRs must not take a place meant for valid tokens.
#[tokio::test]
async fn a_token_outside_its_cidrs_counts_as_unauthenticated() {
    let bench = core_with_small_limits().await;
    bench.write("auth/token/roles/near", r#"{"token_bound_cidrs":["10.1.0.0/16"]}"#).await;
    let made = bench.write("auth/token/create/near", r#"{"policies":["default"]}"#).await;
    let stolen = made.auth.text("client_token").unwrap();
    let at = |address: &str| Some(address.parse::<IpAddr>().unwrap());
    let mut strangers = Vec::new();
    for _ in 0..LIMITS.unauthenticated_per_mount {
        strangers.push(bench.admit("kv/a", "").await.unwrap());
    }
    for elsewhere in [at("10.2.0.1"), None] {
        let refused = bench.admit_from(elsewhere, "kv/a", &stolen).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Denied);
    }
    assert!(bench.admit_from(at("10.1.2.3"), "kv/a", &stolen).await.is_ok());
    strangers.clear();
    // Nor may it have a large body buffered.
    let token = Secret::from_text(&stolen);
    let mut permit = bench.admit_from(at("10.2.0.1"), "kv/a", &stolen).await.unwrap();
    let early = bench.core.authenticate_early(&mut permit, Some(&token), at("10.2.0.1")).await;
    assert_eq!(early.unwrap_err().kind(), ErrorKind::Denied);
    assert!(permit.lacks_valid_token());
    let early = bench.core.authenticate_early(&mut permit, Some(&token), at("10.1.2.3")).await;
    assert!(early.is_ok() && !permit.lacks_valid_token());
}

#[tokio::test]
async fn sr_2026_03_refusals_are_counted_by_mount_and_limit() {
    let counters = TestCounters::default();
    let _recorded = metrics::set_default_local_recorder(&counters);
    let bench = core_with_small_limits().await;
    let permit = async |path, token| bench.admit(path, token).await;
    let authenticated = async |path| {
        let mut permit = permit(path, &bench.root).await.unwrap();
        let root = Secret::from_text(&bench.root);
        bench.core.authenticate_early(&mut permit, Some(&root), None).await.unwrap();
        permit
    };
    let mut held = Vec::new();
    // One mount is at its own limit, another at the limit for unauthenticated requests.
    for _ in 0..LIMITS.per_mount {
        held.push(authenticated("kv/a").await);
    }
    for _ in 0..LIMITS.unauthenticated_per_mount {
        held.push(permit("auth/gate/login/bob", "").await.unwrap());
        held.push(permit("nothing/a", "").await.unwrap());
    }
    for _ in 0..3 {
        assert!(permit("kv/a", &bench.root).await.is_err());
    }
    for _ in 0..2 {
        assert!(permit("auth/gate/login/bob", "").await.is_err());
    }
    assert!(permit("nothing/a", "").await.is_err());
    let expected = |labels: &str, count: u64| (labels.to_owned(), count);
    assert_eq!(
        counters.nonzero_counts(names::REQUESTS_REFUSED),
        [
            expected("{limit=mount,mount=kv/}", 3),
            expected("{limit=unauthenticated,mount=auth/gate/}", 2),
            expected("{limit=unauthenticated,mount=unknown}", 1),
        ]
    );
    // The global limit is reached last.
    for path in ["hung/a", "auth/other/x", "sys/mounts"] {
        for _ in 0..LIMITS.per_mount {
            held.push(authenticated(path).await);
        }
    }
    assert_eq!(held.len(), LIMITS.requests);
    assert!(permit("sys/mounts", &bench.root).await.is_err());
    let refused = counters.nonzero_counts(names::REQUESTS_REFUSED);
    assert!(refused.contains(&expected("{limit=server,mount=sys/}", 1)), "{refused:?}");
}
