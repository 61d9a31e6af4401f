use std::sync::Arc;

use strongroom_core::request::Verb;
use strongroom_core::storage_views::CUBBYHOLES as CUBBYHOLE_VIEW;
use strongroom_storage::memory::MemoryStorage;
use strongroom_storage::testing::FaultyStorage;
use strongroom_types::ErrorKind;

use super::TestCore;
use super::interleaving_storage::InterleavingStorage;
use super::test_core::ReportedMessages;

/// The storage keys of all cubbyholes.
pub(super) async fn stored_keys(bench: &TestCore) -> Vec<String> {
    let core = bench.core.unsealed().unwrap();
    core.barrier.view(CUBBYHOLE_VIEW).list_keys("", None, 10_000).await.unwrap()
}

#[tokio::test]
async fn a_cubbyhole_keeps_objects_as_they_are_written() {
    let bench = TestCore::new().await;
    let token = bench.token_with_policy(r#"path "nothing" { capabilities = ["read"] }"#, "").await;
    let object = r#"{"n":1.10,"big":12345678901234567890,"path":"mine","token":"x","ttl":5}"#;
    bench.succeeds_as(&token, Verb::Write, "cubbyhole/a", object).await;
    bench.succeeds_as(&token, Verb::Write, "cubbyhole/d/e", r#"{"x":1}"#).await;
    let got = bench.succeeds_as(&token, Verb::Read, "cubbyhole/a", "").await;
    assert_eq!((got.json("n"), got.json("big")), ("1.10", "12345678901234567890"));
    assert_eq!((got.text("path"), got.text("token"), got.ttl), ("mine".into(), "x".into(), 0));
    let list = async |path: &str, query: &str| {
        let got = bench.succeeds_as(&token, Verb::List, path, query).await;
        got.json("keys").to_owned()
    };
    assert_eq!(list("cubbyhole/", "").await, r#"["a","d/"]"#);
    assert_eq!(list("cubbyhole/d", "").await, r#"["e"]"#);
    assert_eq!(list("cubbyhole/", r#"{"after":"a"}"#).await, r#"["d/"]"#);
    assert_eq!(list("cubbyhole/", r#"{"limit":"1"}"#).await, r#"["a"]"#);
    for _ in 0..2 {
        bench.succeeds_as(&token, Verb::Delete, "cubbyhole/a", "").await;
    }
    for (verb, path) in [
        (Verb::Read, "cubbyhole/a"),
        (Verb::Read, "cubbyhole/"),
        (Verb::Read, "cubbyhole/d"),
        (Verb::Read, "cubbyhole/d/"),
        (Verb::List, "cubbyhole/none"),
    ] {
        let error = bench.fails_as(&token, verb, path, "").await;
        assert_eq!((error.kind(), error.messages().len()), (ErrorKind::NotFound, 0), "{path}");
    }
}

#[tokio::test]
async fn bad_writes_are_refused() {
    let bench = TestCore::new().await;
    for body in ["", "{}"] {
        let error = bench.fails(Verb::Write, "cubbyhole/a", body).await;
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (ErrorKind::Invalid, "missing data fields")
        );
    }
    for path in ["cubbyhole/", "cubbyhole/a/"] {
        let error = bench.fails(Verb::Write, path, r#"{"a":1}"#).await;
        assert_eq!(error.to_string(), "cannot write to a path ending in '/'");
    }
    let error = bench.fails(Verb::Patch, "cubbyhole/a", r#"{"a":1}"#).await;
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let long = format!("cubbyhole/{}", "x".repeat(4080));
    let error = bench.fails(Verb::Write, &long, r#"{"a":1}"#).await;
    assert_ne!(error.kind(), ErrorKind::Internal, "{error}");
}

#[tokio::test]
async fn no_token_can_access_the_cubbyhole_of_another() {
    let bench = TestCore::new().await;
    let one = bench.token_with_policy(r#"path "a" { capabilities = ["read"] }"#, "").await;
    let two = bench.token_with_policy(r#"path "b" { capabilities = ["read"] }"#, "").await;
    bench.succeeds_as(&one, Verb::Write, "cubbyhole/a", r#"{"x":"one"}"#).await;
    let key = bench.core.unsealed().unwrap().tokens.store.key_of(&one);
    for token in [&two, &bench.root] {
        for path in ["cubbyhole/a".to_owned(), format!("cubbyhole/{key}/own/a")] {
            let error = bench.fails_as(token, Verb::Read, &path, "").await;
            assert_eq!(error.kind(), ErrorKind::NotFound);
        }
        assert_eq!(
            bench.fails_as(token, Verb::List, "cubbyhole/", "").await.kind(),
            ErrorKind::NotFound
        );
        bench.succeeds_as(token, Verb::Delete, "cubbyhole/a", "").await;
    }
    bench.succeeds_as(&two, Verb::Write, "cubbyhole/a", r#"{"x":"two"}"#).await;
    assert_eq!(bench.succeeds_as(&one, Verb::Read, "cubbyhole/a", "").await.text("x"), "one");
    assert_eq!(bench.fails_as("", Verb::Read, "cubbyhole/a", "").await.kind(), ErrorKind::Denied);
}

#[tokio::test]
async fn creates_and_updates_are_distinguished() {
    let bench = TestCore::with_storage(Arc::new(InterleavingStorage::default())).await;
    let policy = |rights: &str| format!("path \"cubbyhole/*\" {{ capabilities = [{rights}] }}");
    let none = r#","no_default_policy":true"#;
    let creates = bench.token_with_policy(&policy(r#""create""#), none).await;
    bench.succeeds_as(&creates, Verb::Write, "cubbyhole/a", r#"{"x":1}"#).await;
    let error = bench.fails_as(&creates, Verb::Write, "cubbyhole/a", r#"{"x":2}"#).await;
    assert_eq!(error.kind(), ErrorKind::Denied);
    // Nor can two concurrent creates.
    let twice = (0..2).map(|n| {
        let (bench, creates, body) = (&bench, &creates, format!("{{\"x\":{n}}}"));
        async move { bench.send(Verb::Write, "cubbyhole/b", creates, &body).await }
    });
    let done = futures_util::future::join_all(twice).await;
    assert_eq!(done.iter().filter(|done| done.is_ok()).count(), 1, "{done:?}");
    let updates = bench.token_with_policy(&policy(r#""update", "read""#), none).await;
    let error = bench.fails_as(&updates, Verb::Write, "cubbyhole/a", r#"{"x":2}"#).await;
    assert_eq!(error.kind(), ErrorKind::Denied);
}

#[tokio::test]
async fn the_mount_is_shown_and_stays() {
    let bench = TestCore::new().await;
    let all = bench.read("sys/mounts").await;
    let shown = all.json("cubbyhole/");
    assert!(
        shown.contains(r#""local":true"#) && shown.contains(r#""type":"cubbyhole""#),
        "{shown}"
    );
    let token = bench.token_with_policy(r#"path "nothing" { capabilities = ["read"] }"#, "").await;
    let reached = bench.succeeds_as(&token, Verb::Read, "sys/internal/ui/mounts", "").await;
    assert!(reached.json("secret").contains("cubbyhole/"));
    let error = bench.fails(Verb::Delete, "sys/mounts/cubbyhole", "").await;
    assert_eq!(error.to_string(), "cannot unmount \"cubbyhole/\"");
    for path in ["sys/mounts/cubbyhole", "sys/mounts/cubbyhole/x"] {
        bench.fails(Verb::Write, path, r#"{"type":"kv"}"#).await;
    }
    for body in [r#"{"default_lease_ttl":"1h"}"#, r#"{"description":"mine"}"#] {
        let error = bench.fails(Verb::Write, "sys/mounts/cubbyhole/tune", body).await;
        assert!(error.to_string().starts_with("cannot tune parameter de"), "{error}");
    }
    let help = bench.succeeds(Verb::Help, "cubbyhole/a", "").await;
    assert!(help.text("help").contains("deleted with the token"));
}

#[tokio::test]
async fn a_cubbyhole_is_deleted_with_its_token() {
    let bench = TestCore::new().await;
    let write = async |token: &str| {
        bench.succeeds_as(token, Verb::Write, "cubbyhole/a", r#"{"x":1}"#).await;
        bench.succeeds_as(token, Verb::Write, "cubbyhole/b/c", r#"{"x":1}"#).await;
    };
    let revoked =
        bench.token_with_policy(r#"path "auth/*" { capabilities = ["update"] }"#, "").await;
    write(&revoked).await;
    let child = bench.succeeds_as(&revoked, Verb::Write, "auth/token/create", "{}").await;
    write(&child.auth.text("client_token").unwrap()).await;
    assert_eq!(stored_keys(&bench).await.len(), 4);
    bench.write("auth/token/revoke", &format!(r#"{{"token":"{revoked}"}}"#)).await;
    assert_eq!(stored_keys(&bench).await, Vec::<String>::new());

    let expired =
        bench.token_with_policy(r#"path "b" { capabilities = ["read"] }"#, r#","ttl":"30s""#).await;
    write(&expired).await;
    bench.run_until_idle().await;
    bench.advance_secs(30).await;
    assert_eq!(stored_keys(&bench).await, Vec::<String>::new());

    let spent = bench
        .token_with_policy(r#"path "c" { capabilities = ["read"] }"#, r#","num_uses":4"#)
        .await;
    write(&spent).await;
    assert_eq!(bench.succeeds_as(&spent, Verb::Read, "cubbyhole/a", "").await.json("x"), "1");
    // A token's last use can read, but not write what would be deleted right away.
    let error = bench.fails_as(&spent, Verb::Write, "cubbyhole/d", r#"{"x":1}"#).await;
    assert_eq!(error.kind(), ErrorKind::Invalid);
    bench.run_until_idle().await;
    assert_eq!(stored_keys(&bench).await, Vec::<String>::new());

    let orphaning = bench.token_with_policy(r#"path "d" { capabilities = ["read"] }"#, "").await;
    write(&orphaning).await;
    bench.write("auth/token/revoke-orphan", &format!(r#"{{"token":"{orphaning}"}}"#)).await;
    assert_eq!(stored_keys(&bench).await, Vec::<String>::new());
}

#[tokio::test]
async fn writes_to_the_cubbyhole_of_a_token_being_revoked_fail() {
    let bench = TestCore::new().await;
    let token = bench.token_with_policy(r#"path "a" { capabilities = ["read"] }"#, "").await;
    let core = bench.core.unsealed().unwrap();
    let found = core.tokens.store.look_up(&token, core.clock().now()).await.unwrap().unwrap();
    // A write authorized before the mark that commits after it.
    let mut batch = strongroom_barrier::Batch::new();
    core.tokens.store.require_not_revoking(&mut batch, &found.key);
    let object = strongroom_types::RawObject::empty();
    core.cubbyholes.put(&mut batch, &found.key, "a", &object);
    core.tokens
        .store
        .mark_for_revocation(&found.key, strongroom_token::RevocationMark::Tree)
        .await
        .unwrap();
    let refused = core.barrier.commit(batch).await.unwrap_err();
    assert!(core.tokens.store.is_gone_or_revoking(&found.key, &refused));
    assert_eq!(stored_keys(&bench).await, Vec::<String>::new());
}

/// Interrupts a revocation at each storage operation in turn. After the restart it is resumed, and
/// leaves neither the token nor entries of its cubbyhole.
#[tokio::test]
async fn a_crash_at_any_step_of_a_revocation_leaves_nothing() {
    let mut steps = 0;
    for step in 1.. {
        let store = Arc::new(FaultyStorage::new(MemoryStorage::new()));
        let plan = store.fault_plan();
        let mut bench = TestCore::with_storage(store).await;
        let token = bench.token_with_policy(r#"path "a" { capabilities = ["read"] }"#, "").await;
        // More than one page of entries.
        for n in 0..130 {
            bench.succeeds_as(&token, Verb::Write, &format!("cubbyhole/{n}"), r#"{"x":1}"#).await;
        }
        bench.run_until_idle().await;
        let before = plan.operation_count();
        plan.fail_from(step, strongroom_storage::Error::Io("the power is gone".to_owned()));
        let body = format!(r#"{{"token":"{token}"}}"#);
        let root = bench.root.clone();
        let revoke = bench.send(Verb::Write, "auth/token/revoke", &root, &body);
        // After a fault the revocation waits for the clock, which stands still here.
        let mut revoke = Box::pin(revoke);
        for _ in 0..300 {
            if futures_util::poll!(revoke.as_mut()).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(revoke);
        bench.run_until_idle().await;
        let all = plan.operation_count() - before < step;
        // The process is gone, with everything it had in memory.
        bench.core.unsealed().unwrap().barrier.close();
        plan.clear_fault();
        bench.restart().await;
        bench.run_until_idle().await;
        let left = stored_keys(&bench).await;
        let core = bench.core.unsealed().unwrap();
        let found = core.tokens.store.find_by_key(&core.tokens.store.key_of(&token)).await.unwrap();
        match found {
            // The mark wasn't written: token and cubbyhole are intact.
            Some(_) if core.tokens.store.marked_count() == 0 => assert_eq!(left.len(), 130),
            Some(_) => panic!("the revocation did not go on after step {step}"),
            None => assert_eq!(left, Vec::<String>::new(), "after step {step}"),
        }
        if all {
            steps = step;
            break;
        }
    }
    assert!(steps > 8, "a revocation of two pages has more than {steps} steps");
}
