//! Mounts that move to another path.

use strongroom_sdk::engine::Auth;
use strongroom_types::ErrorKind;

use super::Bench;
use super::held::Held;
use super::outside::Mood;
use crate::request::Verb;

async fn begin(bench: &Bench, from: &str, to: &str) -> String {
    let body = format!(r#"{{"from":"{from}","to":"{to}"}}"#);
    let got = bench.write("sys/remount", &body).await;
    assert!(got.warnings[0].starts_with("the mount is being moved"), "{:?}", got.warnings);
    got.text("migration_id")
}

/// Source, target and status of a move.
async fn status(bench: &Bench, id: &str) -> String {
    let got = bench.read(&format!("sys/remount/status/{id}")).await;
    assert_eq!(got.text("migration_id"), id);
    got.json("migration_info").to_owned()
}

fn moved(from: &str, to: &str, status: &str) -> String {
    format!(r#"{{"source_mount":"{from}","target_mount":"{to}","status":"{status}"}}"#)
}

#[tokio::test]
async fn a_moved_mount_keeps_its_data_and_loses_its_leases() {
    let mut bench = Bench::new().await.with_credentials().await;
    bench.read("out/creds/dev").await;
    assert_eq!(bench.outside.alive(), 1);
    let before = bench.read("sys/mounts/out").await;
    let id = begin(&bench, "out", "/far/away/").await;
    bench.settle().await;
    assert_eq!(status(&bench, &id).await, moved("out/", "far/away/", "success"));
    assert_eq!(bench.outside.alive(), 0, "its leases end first");
    assert_eq!(bench.fails(Verb::Read, "out/roles/dev", "").await.kind(), ErrorKind::NotFound);
    assert_eq!(bench.read("far/away/roles/dev").await.json("ttl"), "60");
    let after = bench.read("sys/mounts/far/away").await;
    assert_eq!(before.text("accessor"), after.text("accessor"));
    // What it issues from now on is found below the new path, and ends with it.
    let lease = bench.read("far/away/creds/dev").await.lease;
    assert!(lease.starts_with("far/away/creds/dev/"), "{lease}");
    bench.write("sys/mounts/out", r#"{"type":"kv"}"#).await;
    bench.restart().await;
    assert_eq!(status(&bench, &id).await, moved("out/", "far/away/", "success"));
    bench.read("far/away/creds/dev").await;
    bench.ok(Verb::Delete, "sys/mounts/far/away", "").await;
    assert_eq!(bench.outside.alive(), 0);
    let error = bench.fails(Verb::Read, &format!("sys/remount/status/{id}"), "").await;
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_move_that_cant_end_the_leases_leaves_the_mount_where_it_was() {
    let bench = Bench::new().await.with_credentials().await;
    bench.read("out/creds/dev").await;
    bench.outside.set(Mood::KeepsAll);
    let id = begin(&bench, "out", "away").await;
    bench.settle().await;
    assert_eq!(status(&bench, &id).await, moved("out/", "away/", "failure"));
    assert_eq!(bench.read("out/roles/dev").await.json("ttl"), "60");
    assert_eq!(bench.fails(Verb::Read, "away/roles/dev", "").await.kind(), ErrorKind::NotFound);
    // The path is free again.
    bench.write("sys/mounts/away", r#"{"type":"kv"}"#).await;
}

#[tokio::test]
async fn no_request_gets_in_while_a_mount_moves_and_the_target_is_taken() {
    let bench = Bench::new().await.with_credentials().await;
    bench.outside.set(Mood::Slow);
    let issue = bench.send(Verb::Read, "out/creds/dev", &bench.root, "");
    let others = async {
        bench.settle().await;
        let id = begin(&bench, "out", "away").await;
        bench.settle().await;
        assert_eq!(status(&bench, &id).await, moved("out/", "away/", "in-progress"));
        let late = bench.fails(Verb::Read, "out/roles/dev", "").await;
        assert_eq!(
            (late.to_string().as_str(), late.status()),
            ("the mount is being moved", Some(503))
        );
        for path in ["sys/mounts/away", "sys/mounts/away/x", "sys/mounts/out"] {
            let error = bench.fails(Verb::Write, path, r#"{"type":"kv"}"#).await;
            assert!(error.to_string().starts_with("path is already in use at"), "{error}");
        }
        let again = bench.fails(Verb::Write, "sys/remount", r#"{"from":"out","to":"b"}"#).await;
        assert!(again.to_string().contains("moved already"), "{again}");
        bench.outside.set(Mood::Well);
        bench.outside.go_on();
        bench.settle().await;
        assert_eq!(status(&bench, &id).await, moved("out/", "away/", "success"));
    };
    let (issued, ()) = tokio::join!(issue, others);
    // It was inside: it got its lease before the leases were ended.
    assert!(issued.is_ok(), "{issued:?}");
    assert_eq!(bench.outside.alive(), 0);
}

#[tokio::test]
async fn a_crash_at_any_step_of_a_move_leaves_it_going_on_or_not_begun() {
    // Held up: the first write; the end of the lease; the last write.
    for (step, part) in ["core/mounts/", "sys/lease/", "core/mounts/"].into_iter().enumerate() {
        let held = Held::default();
        let bench = Bench::over(std::sync::Arc::new(held.clone())).await;
        let mut bench = bench.with_credentials().await;
        bench.read("out/creds/dev").await;
        if step < 2 {
            held.hold(part);
        } else {
            bench.outside.set(Mood::SlowToEnd);
        }
        let body = r#"{"from":"out","to":"b"}"#;
        tokio::select! {
            answer = bench.send(Verb::Write, "sys/remount", &bench.root, body) => {
                assert!(step > 0 && answer.is_ok(), "{step}");
                bench.settle().await;
            }
            () = bench.settle() => assert_eq!(step, 0),
        }
        if step == 2 {
            held.hold(part);
            bench.outside.set(Mood::Well);
            bench.outside.go_on();
            bench.settle().await;
        }
        let open = bench.core.open().unwrap();
        let moving = open.mounts.table().all().filter(|m| m.entry.moving().is_some()).count();
        assert_eq!(moving, usize::from(step > 0), "{step}");
        bench.physical = std::sync::Arc::new(held.die());
        bench.restart().await;
        bench.settle().await;
        let place = if step == 0 { "out" } else { "b" };
        assert_eq!(bench.read(&format!("{place}/roles/dev")).await.json("ttl"), "60", "{step}");
        bench.read(&format!("{place}/creds/dev")).await;
        bench.ok(Verb::Delete, &format!("sys/mounts/{place}"), "").await;
        assert_eq!(bench.outside.alive(), 0, "{step}");
    }
}

#[tokio::test]
async fn a_moved_auth_method_ends_its_tokens() {
    let bench = Bench::new().await;
    bench.write("sys/auth/gate", r#"{"type":"door"}"#).await;
    bench.door().lets_in(Auth::new("bob"));
    let got = bench.ok_as("", Verb::Write, "auth/gate/login/bob", "").await;
    let token = got.auth.text("client_token").unwrap();
    let id = begin(&bench, "auth/gate", "auth/other").await;
    bench.settle().await;
    assert_eq!(status(&bench, &id).await, moved("auth/gate/", "auth/other/", "success"));
    bench.fails_as(&token, Verb::Read, "auth/token/lookup-self", "").await;
    let error = bench.fails_as("", Verb::Write, "auth/gate/login/bob", "").await;
    assert_eq!(error.kind(), ErrorKind::Denied);
    let got = bench.ok_as("", Verb::Write, "auth/other/login/bob", "").await;
    let token = got.auth.text("client_token").unwrap();
    let known = bench.ok_as(&token, Verb::Read, "auth/token/lookup-self", "").await;
    assert_eq!(known.text("display_name"), "other-bob");
    assert_eq!(bench.door().seen().mount.path, "auth/other/");
}

#[tokio::test]
async fn impossible_moves_are_refused_in_the_words_clients_know() {
    let bench = Bench::new().await;
    for path in ["a", "b/c"] {
        bench.write(&format!("sys/mounts/{path}"), r#"{"type":"kv"}"#).await;
    }
    bench.write("sys/auth/gate", r#"{"type":"door"}"#).await;
    for (from, to, text) in [
        ("nn", "x", "no matching mount at \"nn/\""),
        ("a", "b/c", "path already in use at \"b/c/\""),
        ("a", "b", "path already in use at \"b/c/\""),
        ("a", "a/x", "path already in use at \"a/\""),
        ("a", "a", "path already in use at \"a/\""),
        ("sys", "x", "cannot remount \"sys/\""),
        ("cubbyhole", "x", "cannot remount \"cubbyhole/\""),
        ("a", "sys/x", "cannot remount to destination sys/x/"),
        ("a", "identity", "cannot remount to destination identity/"),
        ("a", "auth/x", "cannot remount to destination auth/x/"),
        ("auth/token", "auth/y", "cannot remount \"auth/token/\""),
        ("auth/nn", "auth/y", "no matching mount at \"auth/nn/\""),
        ("auth/gate", "y", "cannot remount auth mount to non-auth mount \"y/\""),
        ("auth/gate", "auth/token/x", "path already in use at \"auth/token/\""),
        ("a", "", "both 'from' and 'to' path must be specified as a string"),
        (" a", "y", "'from' path cannot contain trailing whitespace"),
        ("a", "x/../sys", "relative paths not supported"),
    ] {
        let body = format!(r#"{{"from":"{from}","to":"{to}"}}"#);
        let error = bench.fails(Verb::Write, "sys/remount", &body).await;
        assert_eq!(error.to_string(), text, "{from} {to}");
    }
    let rules = r#"path "sys/remount" { capabilities = ["update"] }"#;
    let token = bench.token(rules, "").await;
    let error =
        bench.fails_as(&token, Verb::Write, "sys/remount", r#"{"from":"a","to":"x"}"#).await;
    assert_eq!(error.kind(), ErrorKind::Denied, "it needs sudo");
}
