//! Attempts to misuse response wrapping.

use std::sync::Arc;

use futures_util::future::join_all;
use strongroom_core::request::{CoreResponse, Verb};
use strongroom_storage::memory::MemoryStorage;
use strongroom_storage::testing::FaultyStorage;
use strongroom_types::ErrorKind;

use super::TestCore;
use super::cubbyhole::stored_keys;
use super::interleaving_storage::InterleavingStorage;
use super::test_core::into_test_response;
use super::wrapping::{
    NOT_VALID, create_wrapping_token, lookup_wrapping_token, send_wrapped, token_body,
    try_send_wrapped, unwrap_as, unwrap_own, wrap_info, wrap_request,
};

const CALLERS: usize = 100;

#[tokio::test]
async fn of_a_hundred_who_unwrap_exactly_one_gets_the_secret() {
    race_unwraps(&TestCore::with_storage(Arc::new(InterleavingStorage::default())).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_hundred_on_several_threads_exactly_one_gets_the_secret() {
    race_unwraps(&TestCore::new().await).await;
}

async fn race_unwraps(bench: &TestCore) {
    for how in 0..5 {
        let token = create_wrapping_token(bench).await;
        // Each request is a task of its own.
        let calls = (0..CALLERS).map(|n| {
            let token = &token;
            async move {
                // Unwrap with the token itself, unwrap by another token, read `cubbyhole/response`,
                // rewrap; the last round mixes all four.
                match if how == 4 { n % 4 } else { how } {
                    0 => unwrap_own(bench, token).await,
                    1 => unwrap_as(bench, &bench.root, token).await,
                    2 => bench.send(Verb::Read, "cubbyhole/response", token, "").await,
                    _ => {
                        let body = token_body(token);
                        bench.send(Verb::Write, "sys/wrapping/rewrap", &bench.root, &body).await
                    }
                }
            }
        });
        let answers = join_all(calls).await;
        let given = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(given, 1, "way {how}");
        for error in answers.iter().filter_map(|answer| answer.as_ref().err()) {
            let denied = error.kind() == ErrorKind::Denied && how >= 2;
            assert!(denied || error.to_string() == NOT_VALID, "way {how}: {error}");
        }
    }
}

#[tokio::test]
async fn any_other_request_consumes_a_wrapping_token() {
    let bench = TestCore::new().await;
    bench.write("sys/mounts/kv", r#"{"type":"kv"}"#).await;
    bench.write("kv/a", r#"{"x":1}"#).await;
    for (verb, path) in [
        (Verb::Read, "auth/token/lookup-self"),
        (Verb::Write, "auth/token/renew-self"),
        (Verb::Write, "auth/token/revoke-self"),
        (Verb::Write, "auth/token/create"),
        (Verb::Write, "auth/token/create-orphan"),
        (Verb::Read, "kv/a"),
        (Verb::Write, "kv/a"),
        (Verb::Read, "cubbyhole/x"),
        (Verb::List, "cubbyhole/"),
        (Verb::Write, "cubbyhole/x"),
        (Verb::Write, "cubbyhole/response"),
        (Verb::Delete, "cubbyhole/response"),
        (Verb::Write, "sys/wrapping/wrap"),
        (Verb::Write, "sys/wrapping/rewrap"),
        (Verb::Read, "sys/wrapping/unwrap"),
        (Verb::Write, "sys/capabilities-self"),
        (Verb::Read, "nowhere/x"),
        (Verb::Help, "sys/mounts"),
    ] {
        let token = create_wrapping_token(&bench).await;
        let error = bench.fails_as(&token, verb, path, r#"{"a":1,"paths":"a"}"#).await;
        assert_eq!(error.kind(), ErrorKind::Denied, "{verb:?} {path}: {error}");
        let gone = unwrap_own(&bench, &token).await.unwrap_err();
        assert_eq!(gone.to_string(), NOT_VALID, "{verb:?} {path}");
    }
    bench.run_until_idle().await;
    assert_eq!(stored_keys(&bench).await, Vec::<String>::new());
}

#[tokio::test]
async fn lookup_does_not_consume_a_wrapping_token() {
    let bench = TestCore::new().await;
    let token = create_wrapping_token(&bench).await;
    for (verb, client, body) in [
        (Verb::Write, "", token_body(&token)),
        (Verb::Write, bench.root.as_str(), token_body(&token)),
        (Verb::Write, token.as_str(), String::new()),
        (Verb::Read, token.as_str(), String::new()),
        (Verb::Read, "", token_body(&token)),
    ] {
        bench.succeeds_as(client, verb, "sys/wrapping/lookup", &body).await;
    }
    // Other unauthenticated paths don't consume it either.
    bench.succeeds_as(&token, Verb::Read, "sys/internal/ui/mounts", "").await;
    assert_eq!(into_test_response(unwrap_own(&bench, &token).await.unwrap()).text("a"), "b");
}

#[tokio::test]
async fn cve_2025_5999_no_token_is_given_the_policy_of_wrapping_tokens() {
    let bench = TestCore::new().await;
    for name in ["response-wrapping", " Response-Wrapping", "RESPONSE-WRAPPING\\t"] {
        for path in ["auth/token/create", "auth/token/create-orphan"] {
            for body in [
                format!(r#"{{"policies":["{name}"]}}"#),
                format!(r#"{{"policies":["default","{name}"],"no_default_policy":true}}"#),
            ] {
                let error = bench.fails(Verb::Write, path, &body).await;
                assert_eq!(error.to_string(), "cannot assign policy \"response-wrapping\"");
            }
        }
        let path = format!("sys/policies/acl/{name}").replace("\\t", "\t");
        if !name.contains('\\') {
            bench.fails(Verb::Write, &path, r#"{"policy":"path \"a\" {}"}"#).await;
            bench.fails(Verb::Delete, &path, "").await;
        }
    }
    assert_eq!(
        bench.succeeds(Verb::List, "sys/policies/acl", "").await.json("keys"),
        r#"["default","root"]"#
    );
    let shown = bench.read("sys/policies/acl/response-wrapping").await.text("policy");
    assert!(shown.contains("sys/wrapping/unwrap"));
}

#[tokio::test]
async fn a_token_that_wraps_nothing_is_no_wrapping_token() {
    let bench = TestCore::new().await;
    let token = bench.token_with_policy(r#"path "a" { capabilities = ["read"] }"#, "").await;
    // A token may write entries into its own cubbyhole that look like a wrapped response.
    for path in
        ["cubbyhole/response", "cubbyhole/wrapinfo", "cubbyhole/wrapped/info", "cubbyhole/info"]
    {
        bench
            .succeeds_as(
                &token,
                Verb::Write,
                path,
                r#"{"response":"{}","v":1,"creation_path":"x"}"#,
            )
            .await;
    }
    for client in ["", &bench.root, &token] {
        for named in [&token, &bench.root] {
            let error = lookup_wrapping_token(&bench, named).await.unwrap_err();
            assert_eq!(error.to_string(), NOT_VALID);
            let error = unwrap_as(&bench, client, named).await.unwrap_err();
            assert_eq!(error.to_string(), NOT_VALID);
        }
    }
    assert_eq!(unwrap_own(&bench, &token).await.unwrap_err().to_string(), NOT_VALID);
    assert_eq!(
        bench.succeeds_as(&token, Verb::Read, "cubbyhole/response", "").await.text("response"),
        "{}"
    );
    // The policy alone isn't enough, should a token ever have got it.
    let core = bench.core.unsealed().unwrap();
    let found = core.tokens.store.look_up(&token, core.clock().now()).await.unwrap().unwrap();
    let policies = vec![strongroom_types::PolicyName::response_wrapping()];
    let mut forged = (*found.token).clone();
    (forged.policies, forged.uses_left) = (policies, Some(1));
    let mut batch = strongroom_barrier::Batch::new();
    core.tokens.store.update(&mut batch, &found, &forged);
    core.barrier.commit(batch).await.unwrap();
    assert_eq!(lookup_wrapping_token(&bench, &token).await.unwrap_err().to_string(), NOT_VALID);
    assert_eq!(unwrap_own(&bench, &token).await.unwrap_err().to_string(), NOT_VALID);
}

#[tokio::test]
async fn unwrapping_with_a_wrapping_token_consumes_both() {
    let bench = TestCore::new().await;
    let (client, named) =
        (create_wrapping_token(&bench).await, create_wrapping_token(&bench).await);
    // Naming the client's own token in the body counts as one token.
    let itself = create_wrapping_token(&bench).await;
    assert_eq!(
        into_test_response(unwrap_as(&bench, &itself, &itself).await.unwrap()).text("a"),
        "b"
    );
    assert_eq!(unwrap_as(&bench, &itself, &itself).await.unwrap_err().to_string(), NOT_VALID);
    assert_eq!(
        into_test_response(unwrap_as(&bench, &client, &named).await.unwrap()).text("a"),
        "b"
    );
    for token in [&client, &named] {
        assert_eq!(lookup_wrapping_token(&bench, token).await.unwrap_err().to_string(), NOT_VALID);
    }
    // A valid token in the body doesn't authenticate the client, whose token is used up.
    let third = create_wrapping_token(&bench).await;
    assert_eq!(unwrap_as(&bench, &client, &third).await.unwrap_err().kind(), ErrorKind::Denied);
    assert!(lookup_wrapping_token(&bench, &third).await.is_ok());
}

#[tokio::test]
async fn unauthenticated_requests_cannot_wrap() {
    let bench = TestCore::new().await;
    let token = create_wrapping_token(&bench).await;
    let before = stored_keys(&bench).await.len();
    for (client, path, sent) in [
        ("", "sys/internal/ui/mounts", String::new()),
        ("", "sys/wrapping/lookup", token_body(&token)),
        // The look-up doesn't consume the token, so it could be repeated without limit.
        (token.as_str(), "sys/wrapping/lookup", String::new()),
    ] {
        let error = try_send_wrapped(&bench, client, Verb::Read, path, &sent).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{path}: {error}");
    }
    let unknown =
        try_send_wrapped(&bench, "unknown", Verb::Read, "sys/internal/ui/mounts", "").await;
    assert_eq!(unknown.unwrap_err().kind(), ErrorKind::Denied);
    let few = bench
        .token_with_policy(r#"path "a" { capabilities = ["read"] }"#, r#","num_uses":1"#)
        .await;
    let refused = try_send_wrapped(&bench, &few, Verb::Read, "sys/internal/ui/mounts", "").await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(stored_keys(&bench).await.len(), before);
    // A request with a token may.
    wrap_info(
        try_send_wrapped(&bench, &bench.root, Verb::Read, "sys/internal/ui/mounts", "")
            .await
            .unwrap(),
    );
    assert!(lookup_wrapping_token(&bench, &token).await.is_ok());
}

#[tokio::test]
async fn a_token_being_revoked_cannot_wrap() {
    let bench = TestCore::new().await;
    let token = bench.token_with_policy(r#"path "a" { capabilities = ["read"] }"#, "").await;
    let core = bench.core.unsealed().unwrap();
    let (order, key) = wrap_request(&bench, &token).await;
    core.tokens
        .store
        .mark_for_revocation(&key, strongroom_token::RevocationMark::Tree)
        .await
        .unwrap();
    let answer = crate::endpoint::data_response(strongroom_types::RawObject::empty());
    let refused = order.wrap_response(&core.wrapping, answer).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Denied);
    assert_eq!(stored_keys(&bench).await, Vec::<String>::new());
}

#[tokio::test]
async fn revoking_a_wrapping_token_ends_what_it_wraps() {
    let bench = TestCore::new().await;
    let info =
        send_wrapped(&bench, &bench.root, Verb::Write, "sys/wrapping/wrap", r#"{"a":"b"}"#).await;
    assert_eq!(stored_keys(&bench).await.len(), 2);
    let by_accessor = format!(r#"{{"accessor":"{}"}}"#, info.accessor);
    bench.write("auth/token/revoke-accessor", &by_accessor).await;
    assert_eq!(
        unwrap_own(&bench, info.token.expose_secret()).await.unwrap_err().to_string(),
        NOT_VALID
    );
    assert_eq!(stored_keys(&bench).await, Vec::<String>::new());
}

#[tokio::test]
async fn unmounting_revokes_responses_wrapped_by_the_mount() {
    let bench = TestCore::new().await;
    bench.write("sys/mounts/kv", r#"{"type":"kv"}"#).await;
    bench.write("kv/a", r#"{"x":1}"#).await;
    let info = send_wrapped(&bench, &bench.root, Verb::Read, "kv/a", "").await;
    bench.succeeds(Verb::Delete, "sys/mounts/kv", "").await;
    let gone = unwrap_own(&bench, info.token.expose_secret()).await.unwrap_err();
    assert_eq!(gone.to_string(), NOT_VALID);
    bench.run_until_idle().await;
    assert_eq!(stored_keys(&bench).await, Vec::<String>::new());
}

/// Crashes at every storage operation in turn while somebody unwraps. The secret is returned before
/// or after, or lost; never twice, and never left behind.
#[tokio::test]
async fn a_crash_while_unwrapping_gives_the_secret_once_at_most() {
    for by_another in [false, true] {
        let mut done = false;
        for step in 1.. {
            let store = Arc::new(FaultyStorage::new(MemoryStorage::new()));
            let plan = store.fault_plan();
            let mut bench = TestCore::with_storage(store).await;
            let token = create_wrapping_token(&bench).await;
            bench.run_until_idle().await;
            plan.fail_from(step, strongroom_storage::Error::Io("the power is gone".to_owned()));
            let answer = if by_another {
                unwrap_as(&bench, &bench.root, &token).await
            } else {
                unwrap_own(&bench, &token).await
            };
            bench.core.unsealed().unwrap().barrier.close();
            plan.clear_fault();
            bench.restart().await;
            let again = unwrap_own(&bench, &token).await;
            assert!(!(answer.is_ok() && again.is_ok()), "given twice at step {step}");
            bench.run_until_idle().await;
            assert_eq!(
                stored_keys(&bench).await,
                Vec::<String>::new(),
                "left behind at step {step}"
            );
            if answer.is_ok() {
                done = step > 2;
                break;
            }
        }
        assert!(done);
    }
}

#[tokio::test]
async fn rewrapping_cut_off_leaves_one_of_the_two_tokens() {
    for commit in [false, true] {
        let store = Arc::new(FaultyStorage::new(MemoryStorage::new()));
        let plan = store.fault_plan();
        let bench = TestCore::with_storage(store).await;
        let (path, hour) = ("sys/wrapping/wrap", [("x-vault-wrap-ttl", "1h")]);
        let sent = bench.send_with(Verb::Write, path, &bench.root, r#"{"a":"b"}"#, &hour).await;
        let token = wrap_info(sent.unwrap()).token.expose_secret().clone();
        bench.run_until_idle().await;
        let fault = strongroom_storage::Error::Io("gone for a moment".to_owned());
        if commit {
            plan.fail_after_commit(1, fault);
        } else {
            plan.fail_before_commit(1, fault);
        }
        let body = token_body(&token);
        bench.fails(Verb::Write, "sys/wrapping/rewrap", &body).await;
        plan.clear_fault();
        // The periodic scan finds an uncertain mark in its second round.
        bench.advance_secs(60).await;
        bench.advance_secs(60).await;
        // One wrapped response remains, which is two entries, under the old or the new token.
        assert_eq!(stored_keys(&bench).await.len(), 2);
        assert_eq!(unwrap_own(&bench, &token).await.is_ok(), !commit);
    }
}

#[tokio::test]
async fn nothing_prints_a_wrapping_token_or_what_it_wraps() {
    let bench = TestCore::new().await;
    let body = r#"{"password":"hunter2"}"#;
    let answer =
        try_send_wrapped(&bench, &bench.root, Verb::Write, "sys/wrapping/wrap", body).await;
    let answer = answer.unwrap();
    let printed = format!("{answer:?}");
    let CoreResponse::Envelope(envelope) = answer else { panic!() };
    let token = envelope.wrap_info.unwrap().token.expose_secret().clone();
    assert!(!printed.contains(&token) && !printed.contains("hunter2"), "{printed}");
    let printed = format!("{:?}", unwrap_own(&bench, &token).await.unwrap());
    assert!(!printed.contains("hunter2"), "{printed}");
    // Nor does the token appear in storage keys.
    let again = create_wrapping_token(&bench).await;
    assert!(stored_keys(&bench).await.iter().all(|key| !key.contains(&again)));
}
