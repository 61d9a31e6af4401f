//! Moving mounts to another path with `sys/remount`.

use strongroom_core::request::Verb;
use strongroom_engine::EngineAuth;
use strongroom_types::ErrorKind;

use super::TestCore;
use super::blocking_storage::BlockingStorage;
use super::fake_outside_system::OutsideBehavior;

async fn start_remount(bench: &TestCore, from: &str, to: &str) -> String {
    let body = format!(r#"{{"from":"{from}","to":"{to}"}}"#);
    let got = bench.write("sys/remount", &body).await;
    assert!(got.warnings[0].starts_with("the mount is being moved"), "{:?}", got.warnings);
    got.text("migration_id")
}

/// The source, target and status of a remount.
async fn remount_status(bench: &TestCore, id: &str) -> String {
    let got = bench.read(&format!("sys/remount/status/{id}")).await;
    assert_eq!(got.text("migration_id"), id);
    got.json("migration_info").to_owned()
}

fn migration_info(from: &str, to: &str, status: &str) -> String {
    format!(r#"{{"source_mount":"{from}","target_mount":"{to}","status":"{status}"}}"#)
}

#[tokio::test]
async fn a_moved_mount_keeps_its_data_and_loses_its_leases() {
    let mut bench = TestCore::new().await.with_credential_engine().await;
    bench.read("out/creds/dev").await;
    assert_eq!(bench.outside.live_credentials(), 1);
    let before = bench.read("sys/mounts/out").await;
    let id = start_remount(&bench, "out", "/far/away/").await;
    bench.run_until_idle().await;
    assert_eq!(remount_status(&bench, &id).await, migration_info("out/", "far/away/", "success"));
    assert_eq!(bench.outside.live_credentials(), 0, "its leases end first");
    assert_eq!(bench.fails(Verb::Read, "out/roles/dev", "").await.kind(), ErrorKind::NotFound);
    assert_eq!(bench.read("far/away/roles/dev").await.json("ttl"), "60");
    let after = bench.read("sys/mounts/far/away").await;
    assert_eq!(before.text("accessor"), after.text("accessor"));
    // New leases are below the new path, and are revoked with the mount.
    let lease = bench.read("far/away/creds/dev").await.lease_id;
    assert!(lease.starts_with("far/away/creds/dev/"), "{lease}");
    bench.write("sys/mounts/out", r#"{"type":"kv"}"#).await;
    bench.restart().await;
    assert_eq!(remount_status(&bench, &id).await, migration_info("out/", "far/away/", "success"));
    bench.read("far/away/creds/dev").await;
    bench.succeeds(Verb::Delete, "sys/mounts/far/away", "").await;
    assert_eq!(bench.outside.live_credentials(), 0);
    let error = bench.fails(Verb::Read, &format!("sys/remount/status/{id}"), "").await;
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_move_that_cant_end_the_leases_leaves_the_mount_where_it_was() {
    let bench = TestCore::new().await.with_credential_engine().await;
    bench.read("out/creds/dev").await;
    bench.outside.set_behavior(OutsideBehavior::RefusesRevoke);
    let id = start_remount(&bench, "out", "away").await;
    bench.run_until_idle().await;
    assert_eq!(remount_status(&bench, &id).await, migration_info("out/", "away/", "failure"));
    assert_eq!(bench.read("out/roles/dev").await.json("ttl"), "60");
    assert_eq!(bench.fails(Verb::Read, "away/roles/dev", "").await.kind(), ErrorKind::NotFound);
    // The path is free again.
    bench.write("sys/mounts/away", r#"{"type":"kv"}"#).await;
}

#[tokio::test]
async fn no_request_gets_in_while_a_mount_moves_and_the_target_is_taken() {
    let bench = TestCore::new().await.with_credential_engine().await;
    bench.outside.set_behavior(OutsideBehavior::SlowIssue);
    let issue = bench.send(Verb::Read, "out/creds/dev", &bench.root, "");
    let others = async {
        bench.run_until_idle().await;
        let id = start_remount(&bench, "out", "away").await;
        bench.run_until_idle().await;
        assert_eq!(
            remount_status(&bench, &id).await,
            migration_info("out/", "away/", "in-progress")
        );
        let late = bench.fails(Verb::Read, "out/roles/dev", "").await;
        assert_eq!(
            (late.to_string().as_str(), late.engine_status()),
            ("the mount is being moved", Some(503))
        );
        for path in ["sys/mounts/away", "sys/mounts/away/x", "sys/mounts/out"] {
            let error = bench.fails(Verb::Write, path, r#"{"type":"kv"}"#).await;
            assert!(error.to_string().starts_with("path is already in use at"), "{error}");
        }
        let again = bench.fails(Verb::Write, "sys/remount", r#"{"from":"out","to":"b"}"#).await;
        assert!(again.to_string().contains("moved already"), "{again}");
        bench.outside.set_behavior(OutsideBehavior::Works);
        bench.outside.unblock();
        bench.run_until_idle().await;
        assert_eq!(remount_status(&bench, &id).await, migration_info("out/", "away/", "success"));
    };
    let (issued, ()) = tokio::join!(issue, others);
    // The request was in progress, so its lease was written before the mount's leases were revoked.
    assert!(issued.is_ok(), "{issued:?}");
    assert_eq!(bench.outside.live_credentials(), 0);
}

#[tokio::test]
async fn a_crash_at_any_step_of_a_move_leaves_it_going_on_or_not_begun() {
    // Blocked in turn: the first write, the revocation of the lease, and the last write.
    for (step, part) in ["core/mounts/", "sys/lease/", "core/mounts/"].into_iter().enumerate() {
        let held = BlockingStorage::default();
        let bench = TestCore::with_storage(std::sync::Arc::new(held.clone())).await;
        let mut bench = bench.with_credential_engine().await;
        bench.read("out/creds/dev").await;
        if step < 2 {
            held.block_writes(part);
        } else {
            bench.outside.set_behavior(OutsideBehavior::SlowRevoke);
        }
        let body = r#"{"from":"out","to":"b"}"#;
        tokio::select! {
            answer = bench.send(Verb::Write, "sys/remount", &bench.root, body) => {
                assert!(step > 0 && answer.is_ok(), "{step}");
                bench.run_until_idle().await;
            }
            () = bench.run_until_idle() => assert_eq!(step, 0),
        }
        if step == 2 {
            held.block_writes(part);
            bench.outside.set_behavior(OutsideBehavior::Works);
            bench.outside.unblock();
            bench.run_until_idle().await;
        }
        let core = bench.core.unsealed().unwrap();
        let moving = core
            .mounts
            .table()
            .all_mounts()
            .filter(|m| m.entry.remount_in_progress().is_some())
            .count();
        assert_eq!(moving, usize::from(step > 0), "{step}");
        bench.physical = std::sync::Arc::new(held.simulate_crash());
        bench.restart().await;
        bench.run_until_idle().await;
        let place = if step == 0 { "out" } else { "b" };
        assert_eq!(bench.read(&format!("{place}/roles/dev")).await.json("ttl"), "60", "{step}");
        bench.read(&format!("{place}/creds/dev")).await;
        bench.succeeds(Verb::Delete, &format!("sys/mounts/{place}"), "").await;
        assert_eq!(bench.outside.live_credentials(), 0, "{step}");
    }
}

#[tokio::test]
async fn a_moved_auth_method_ends_its_tokens() {
    let bench = TestCore::new().await;
    bench.write("sys/auth/gate", r#"{"type":"door"}"#).await;
    bench.auth_method().set_login(EngineAuth::new("bob"));
    let got = bench.succeeds_as("", Verb::Write, "auth/gate/login/bob", "").await;
    let token = got.auth.text("client_token").unwrap();
    let id = start_remount(&bench, "auth/gate", "auth/other").await;
    bench.run_until_idle().await;
    assert_eq!(
        remount_status(&bench, &id).await,
        migration_info("auth/gate/", "auth/other/", "success")
    );
    bench.fails_as(&token, Verb::Read, "auth/token/lookup-self", "").await;
    let error = bench.fails_as("", Verb::Write, "auth/gate/login/bob", "").await;
    assert_eq!(error.kind(), ErrorKind::Denied);
    let got = bench.succeeds_as("", Verb::Write, "auth/other/login/bob", "").await;
    let token = got.auth.text("client_token").unwrap();
    let known = bench.succeeds_as(&token, Verb::Read, "auth/token/lookup-self", "").await;
    assert_eq!(known.text("display_name"), "other-bob");
    assert_eq!(bench.auth_method().last_request().mount.path, "auth/other/");
}

#[tokio::test]
async fn invalid_remounts_are_refused_with_the_reference_messages() {
    let bench = TestCore::new().await;
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
    let token = bench.token_with_policy(rules, "").await;
    let error =
        bench.fails_as(&token, Verb::Write, "sys/remount", r#"{"from":"a","to":"x"}"#).await;
    assert_eq!(error.kind(), ErrorKind::Denied, "it needs sudo");
}
