use std::time::Duration;

use strongroom_core::request::Verb;
use strongroom_engine::intent::INTENT_FOLDER;
use strongroom_types::{Clock, ErrorKind, MountKind};

use super::TestCore;
use super::fake_auth_method::PeriodicBehavior;
use super::fake_outside_system::OutsideBehavior;
use super::test_core::{ReportedMessages, new_request};

async fn intent_count(bench: &TestCore) -> usize {
    let keys = bench.physical.scan("logical/", None, 1000).await.unwrap();
    keys.iter().filter(|key| key.contains("/intent/") || key.contains("/undo/")).count()
}

#[tokio::test]
async fn a_credential_is_issued_renewed_and_revoked() {
    let bench = TestCore::new().await.with_credential_engine().await;
    let got = bench.read("out/creds/dev").await;
    assert!(got.lease_id.starts_with("out/creds/dev/"), "{}", got.lease_id);
    assert_eq!((got.text("key"), got.ttl), ("s3cr3t".to_owned(), 60));
    assert_eq!((bench.outside.live_credentials(), intent_count(&bench).await), (1, 0));
    let lease = format!(r#"{{"lease_id":"{}"}}"#, got.lease_id);
    bench.advance_secs(30).await;
    let seen = bench.write("sys/leases/lookup", &lease).await;
    assert_eq!(
        (seen.json("ttl"), seen.json("renewable"), seen.json("last_renewal")),
        ("30", "true", "null")
    );
    let renewed = bench.write("sys/leases/renew", &lease).await;
    assert_eq!((renewed.ttl, renewed.warnings), (60, vec!["the key is the same".to_owned()]));
    bench.write("sys/leases/revoke", &lease).await;
    assert_eq!(bench.outside.live_credentials(), 0);
    assert_eq!(
        bench.fails(Verb::Write, "sys/leases/lookup", &lease).await.to_string(),
        "invalid lease"
    );
    assert_eq!(
        bench.fails(Verb::Write, "sys/leases/renew", &lease).await.to_string(),
        "lease not found"
    );
    bench.write("sys/leases/revoke", &lease).await;
}

#[tokio::test]
async fn the_secret_is_not_in_the_lease_record() {
    let bench = TestCore::new().await.with_credential_engine().await;
    let got = bench.read("out/creds/dev").await;
    let core = bench.core.unsealed().unwrap();
    let id = strongroom_types::LeaseId::parse(&got.lease_id).unwrap();
    let found = core.leases.store.get(&id).await.unwrap().unwrap();
    let kept = serde_json::to_string(&*found.lease).unwrap();
    assert!(kept.contains("secret_type") && !kept.contains("s3cr3t"), "{kept}");
    let shown = format!("{:?}", found.lease);
    assert!(!shown.contains("secret_type"), "the engine's data may be secret: {shown}");
}

#[tokio::test]
async fn leases_end_on_time_also_after_a_restart() {
    let mut bench = TestCore::new().await.with_credential_engine().await;
    bench.read("out/creds/dev").await;
    bench.read("out/creds/dev").await;
    bench.run_until_idle().await;
    bench.advance_secs(59).await;
    assert_eq!(bench.outside.live_credentials(), 2);
    bench.restart().await;
    bench.run_until_idle().await;
    assert_eq!(bench.outside.live_credentials(), 2);
    bench.advance_secs(1).await;
    assert_eq!(bench.outside.live_credentials(), 0);
}

#[tokio::test]
async fn renewals_end_at_the_roles_maximum() {
    let bench = TestCore::new().await.with_credential_engine().await;
    let got = bench.read("out/creds/dev").await;
    let lease = format!(r#"{{"lease_id":"{}","increment":"1h"}}"#, got.lease_id);
    let renewed = bench.write("sys/leases/renew", &lease).await;
    assert_eq!((renewed.ttl, renewed.warnings.len()), (600, 2));
    bench.run_until_idle().await;
    bench.advance_secs(599).await;
    assert_eq!(bench.write("sys/leases/renew", &lease).await.ttl, 1);
    bench.advance_secs(1).await;
    assert_eq!(bench.outside.live_credentials(), 0);
}

#[tokio::test]
async fn missing_config_and_roles_are_user_errors() {
    let bench = TestCore::new().await;
    bench.write("sys/mounts/out", r#"{"type":"outside"}"#).await;
    let error = bench.fails(Verb::Read, "out/creds/dev", "").await;
    assert_eq!(error.messages(), ["configure the engine first: write out/config"]);
    bench.write("out/config", r#"{"password":"p"}"#).await;
    let error = bench.fails(Verb::Read, "out/creds/dev", "").await;
    assert_eq!(
        (error.kind(), error.messages()),
        (ErrorKind::Invalid, vec!["role \"dev\" not found".to_owned()])
    );
    assert_eq!(
        bench.fails(Verb::Write, "out/config", r#"{"password":""}"#).await.kind(),
        ErrorKind::Invalid
    );
    let error = bench.fails(Verb::Write, "out/roles/x", r#"{"ttl":"hunter2"}"#).await;
    assert!(
        error.to_string().contains("\"ttl\"") && !error.to_string().contains("hunter2"),
        "{error}"
    );
    assert_eq!(bench.read("out/config").await.json("password"), "");
    assert_eq!(
        bench.fails(Verb::Read, "out/nope", "").await.messages(),
        ["unsupported path (collected)"]
    );
    assert_eq!(
        bench.fails(Verb::Write, "out/creds/dev", "{}").await.kind(),
        ErrorKind::Unsupported
    );
}

#[tokio::test]
async fn a_refused_issue_leaves_no_intent() {
    let bench = TestCore::new().await.with_credential_engine().await;
    bench.outside.set_behavior(OutsideBehavior::RefusesIssue);
    let error = bench.fails(Verb::Read, "out/creds/dev", "").await;
    assert_eq!(error.to_string(), "outside: make answered 500");
    assert_eq!((bench.outside.live_credentials(), intent_count(&bench).await), (0, 0));
}

#[tokio::test]
async fn a_credential_whose_answer_was_lost_is_found_and_undone() {
    let bench = TestCore::new().await.with_credential_engine().await;
    bench.outside.set_behavior(OutsideBehavior::NoResponse);
    bench.fails(Verb::Read, "out/creds/dev", "").await;
    assert_eq!((bench.outside.live_credentials(), intent_count(&bench).await), (1, 1));
    bench.outside.set_behavior(OutsideBehavior::Works);
    bench.run_until_idle().await;
    // Not while the call could still be running: the engine's timeout plus the outside system's.
    bench.advance_secs(19).await;
    assert_eq!(bench.outside.live_credentials(), 1);
    bench.advance_secs(41).await;
    assert_eq!(
        (bench.outside.live_credentials(), intent_count(&bench).await),
        (0, 1),
        "it is looked for once more"
    );
    bench.advance_secs(60).await;
    assert_eq!(intent_count(&bench).await, 0);
}

#[tokio::test]
async fn a_crash_between_the_outside_call_and_the_lease_leaves_no_orphan() {
    let mut bench = TestCore::new().await.with_credential_engine().await;
    bench.outside.set_behavior(OutsideBehavior::SlowIssue);
    let core = bench.core.clone();
    let root = bench.root.clone();
    let tasks = tokio_util::task::TaskTracker::new();
    let request = tasks.spawn(async move {
        let request = new_request(&core, Verb::Read, "out/creds/dev", &root);
        super::test_core::admit_and_handle(&core, request).await
    });
    bench.run_until_idle().await;
    assert_eq!((bench.outside.live_credentials(), intent_count(&bench).await), (1, 1));
    // A crash: no task of the process continues.
    request.abort();
    bench.outside.set_behavior(OutsideBehavior::Works);
    bench.restart().await;
    bench.advance_secs(20).await;
    bench.run_until_idle().await;
    assert_eq!(bench.outside.live_credentials(), 0);
    bench.advance_secs(60).await;
    assert_eq!(intent_count(&bench).await, 0);
}

#[tokio::test]
async fn an_answer_that_comes_after_the_intent_was_claimed_gets_no_lease() {
    let bench = TestCore::new().await.with_credential_engine().await;
    bench.read("out/creds/dev").await;
    bench.outside.set_behavior(OutsideBehavior::SlowIssue);
    let late = bench.send(Verb::Read, "out/creds/dev", &bench.root, "");
    let meanwhile = async {
        bench.run_until_idle().await;
        // Somebody claims the intent, simulated by deleting it below the barrier.
        let keys = bench.physical.scan("logical/", None, 1000).await.unwrap();
        let key = keys.into_iter().find(|key| key.contains("/intent/")).unwrap();
        let change = strongroom_storage::PhysicalChange::Delete { key };
        let batch =
            strongroom_storage::PhysicalBatch { changes: vec![change], ..Default::default() };
        bench.physical.commit(batch).await.unwrap();
        bench.outside.unblock();
    };
    let (answer, ()) = tokio::join!(late, meanwhile);
    assert!(answer.unwrap_err().to_string().contains("the credential was revoked"));
    assert_eq!(bench.outside.live_credentials(), 1, "only the first one, which has its lease");
}

#[tokio::test]
async fn failed_revocations_are_retried_then_irrevocable() {
    let bench = TestCore::new().await.with_credential_engine().await;
    let got = bench.read("out/creds/dev").await;
    bench.outside.set_behavior(OutsideBehavior::RefusesRevoke);
    let lease = format!(r#"{{"lease_id":"{}"}}"#, got.lease_id);
    bench.write("sys/leases/revoke", &lease).await;
    let sync = format!(r#"{{"lease_id":"{}","sync":true}}"#, got.lease_id);
    let error = bench.fails(Verb::Write, "sys/leases/revoke", &sync).await;
    assert!(error.to_string().contains("outside: remove answered 503"), "{error}");
    for _ in 0..6 {
        bench.advance_secs(400).await;
    }
    let kept = bench.send_query("sys/leases", &[("type", "irrevocable")]).await;
    assert_eq!(kept.json("lease_count"), "1");
    assert!(kept.json("leases").contains("answered 503"));
    let counted = bench.send_query("sys/leases/count", &[("type", "irrevocable")]).await;
    let counted = (counted.json("lease_count"), counted.json("counts"));
    assert_eq!(counted, ("1", r#"{"out/":1}"#));
    let error = bench.fails(Verb::Delete, "sys/mounts/out", "").await;
    assert!(error.to_string().contains("failed to revoke"), "{error}");
    let way_out = "\"lease revoke -force -prefix out\"";
    assert!(error.to_string().contains(way_out), "{error}");
    bench.write("sys/leases/revoke-force/out", "").await;
    assert_eq!(
        bench.fails(Verb::List, "sys/leases/lookup/out", "").await.kind(),
        ErrorKind::NotFound
    );
    bench.succeeds(Verb::Delete, "sys/mounts/out", "").await;
}

#[tokio::test]
async fn lease_prefixes_match_whole_segments() {
    let bench = TestCore::new().await.with_credential_engine().await;
    bench.write("out/roles/dev-b", "{}").await;
    bench.read("out/creds/dev").await;
    bench.read("out/creds/dev-b").await;
    let listed = bench.succeeds(Verb::List, "sys/leases/lookup/out/creds", "").await;
    assert_eq!(listed.json("keys"), r#"["dev-b/","dev/"]"#);
    bench.write("sys/leases/revoke-prefix/out/creds/dev", r#"{"sync":true}"#).await;
    assert_eq!(bench.outside.live_credentials(), 1);
    let error = bench.fails(Verb::Write, "sys/leases/revoke-prefix/out/", "").await;
    assert_eq!(error.to_string(), "cannot write to a path ending in '/'");
}

#[tokio::test]
async fn cve_2026_42186_unmounting_waits_for_credentials_being_issued() {
    let bench = TestCore::new().await.with_credential_engine().await;
    bench.outside.set_behavior(OutsideBehavior::SlowIssue);
    let issue = bench.send(Verb::Read, "out/creds/dev", &bench.root, "");
    let others = async {
        bench.run_until_idle().await;
        let disable = bench.send(Verb::Delete, "sys/mounts/out", &bench.root, "");
        let meanwhile = async {
            bench.run_until_idle().await;
            let late = bench.fails(Verb::Read, "out/roles/dev", "").await;
            assert_eq!(late.to_string(), "the mount is being removed");
            bench.outside.set_behavior(OutsideBehavior::Works);
            bench.outside.unblock();
        };
        tokio::join!(disable, meanwhile).0.unwrap();
    };
    let (issued, ()) = tokio::join!(issue, others);
    // The lease was written before the mount's leases were revoked, so it was revoked with them.
    assert!(issued.is_ok(), "{issued:?}");
    assert_eq!((bench.outside.live_credentials(), intent_count(&bench).await), (0, 0));
    assert!(!bench.read("sys/mounts").await.data.contains("out/"));
}

#[tokio::test]
async fn cve_2026_42186_unmounting_first_undoes_pending_intents() {
    let bench = TestCore::new().await.with_credential_engine().await;
    bench.outside.set_behavior(OutsideBehavior::NoResponse);
    bench.fails(Verb::Read, "out/creds/dev", "").await;
    bench.outside.set_behavior(OutsideBehavior::RefusesRevoke);
    assert_eq!(bench.outside.live_credentials(), 1);
    let disable = bench.send(Verb::Delete, "sys/mounts/out", &bench.root, "");
    let time = async {
        for _ in 0..40 {
            bench.run_until_idle().await;
            bench.advance_secs(1).await;
        }
    };
    let (answer, ()) = tokio::join!(disable, time);
    let message = answer.unwrap_err().to_string();
    assert!(message.contains("still being undone"), "{message}");
    assert!(bench.read("sys/mounts").await.data.contains("out/"), "it stays until then");
    bench.outside.set_behavior(OutsideBehavior::Works);
    for _ in 0..300 {
        bench.advance_secs(1).await;
    }
    assert_eq!((bench.outside.live_credentials(), intent_count(&bench).await), (0, 0));
    assert!(!bench.read("sys/mounts").await.data.contains("out/"));
}

/// A plug-in's periodic function may fail for as long as its outside system is down.
#[tokio::test]
async fn a_mount_whose_periodic_work_fails_or_hangs_is_removed_once_nothing_is_left() {
    for (does, expected_reason) in [
        (PeriodicBehavior::Fails, "the administrator's password is wrong"),
        (PeriodicBehavior::Hangs, "it did not answer in time"),
    ] {
        let bench = TestCore::new().await;
        bench.write("sys/mounts/door", r#"{"type":"door-engine"}"#).await;
        leave_an_intent(&bench, "door").await;
        bench.auth_method().set_periodic(does);
        let disable = bench.send(Verb::Delete, "sys/mounts/door", &bench.root, "");
        let time = async {
            for _ in 0..40 {
                bench.run_until_idle().await;
                bench.advance_secs(1).await;
            }
        };
        let error = tokio::join!(disable, time).0.unwrap_err();
        let message = error.to_string();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{message}");
        assert!(
            message.contains("still being undone") && message.contains(expected_reason),
            "{message}"
        );
        assert!(message.contains("\"lease revoke -force -prefix door\""), "{message}");
        if does == PeriodicBehavior::Fails {
            assert!(bench.auth_method().periodic_calls() > 20, "it goes on asking");
        }
        // Giving up the intents works although the periodic function still fails.
        bench.write("sys/leases/revoke-force/door", "").await;
        assert_eq!(intent_count(&bench).await, 0);
        for _ in 0..600 {
            bench.advance_secs(1).await;
        }
        assert!(!bench.read("sys/mounts").await.data.contains("door/"), "{expected_reason}");
    }
}

/// Timeouts use the monotonic clock, which can't be set.
#[tokio::test]
async fn setting_the_clock_back_prolongs_no_wait() {
    let bench = TestCore::new().await;
    bench.write("sys/mounts/door", r#"{"type":"door-engine"}"#).await;
    leave_an_intent(&bench, "door").await;
    bench.auth_method().set_periodic(PeriodicBehavior::Hangs);
    let disable = bench.send(Verb::Delete, "sys/mounts/door", &bench.root, "");
    let time = async {
        bench.run_until_idle().await;
        bench.clock.set_time(bench.clock.now().minus(Duration::from_secs(86_400)));
        for _ in 0..40 {
            bench.run_until_idle().await;
            bench.advance_secs(1).await;
        }
    };
    let outcome = tokio::select! {
        biased;
        outcome = disable => outcome,
        () = time => panic!("it waits for the day to come again"),
    };
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Unavailable);
}

/// Leaves an intent in an engine's storage, as a failed request does.
async fn leave_an_intent(bench: &TestCore, mount: &str) {
    let core = bench.core.unsealed().unwrap();
    let table = core.mounts.table();
    let mounted = table.get(MountKind::Secret, &format!("{mount}/")).unwrap();
    let view = core.barrier.view(&mounted.entry.storage_prefix());
    let mut batch = strongroom_barrier::Batch::new();
    let key = format!("{INTENT_FOLDER}7f5c0d0e-0000-4000-8000-000000000001");
    view.put(&mut batch, &key, b"{}".to_vec());
    view.commit(batch).await.unwrap();
}

#[tokio::test]
async fn revoke_force_abandons_pending_intents() {
    let bench = TestCore::new().await.with_credential_engine().await;
    bench.outside.set_behavior(OutsideBehavior::NoResponse);
    bench.fails(Verb::Read, "out/creds/dev", "").await;
    // The outside system is gone for good.
    bench.outside.set_behavior(OutsideBehavior::RefusesRevoke);
    let disable = bench.send(Verb::Delete, "sys/mounts/out", &bench.root, "");
    let time = async {
        for _ in 0..40 {
            bench.run_until_idle().await;
            bench.advance_secs(1).await;
        }
    };
    let message = tokio::join!(disable, time).0.unwrap_err().to_string();
    assert!(message.contains("(sys/leases/revoke-force/out) abandons them"), "{message}");
    assert_eq!(intent_count(&bench).await, 1);
    bench.write("sys/leases/revoke-force/other", "").await;
    assert_eq!(intent_count(&bench).await, 1, "only those of the mount that was named");
    bench.write("sys/leases/revoke-force/out", "").await;
    for _ in 0..300 {
        bench.advance_secs(1).await;
    }
    assert_eq!(intent_count(&bench).await, 0);
    assert!(!bench.read("sys/mounts").await.data.contains("out/"));
}

#[tokio::test]
async fn leases_are_listed_from_the_first_folder_on() {
    let bench = TestCore::new().await.with_credential_engine().await;
    bench.read("out/creds/dev").await;
    assert_eq!(
        bench.succeeds(Verb::List, "sys/leases/lookup", "").await.json("keys"),
        r#"["out/"]"#
    );
    let rules = r#"path "sys/leases/lookup" { capabilities = ["list", "update"] }
        path "sys/leases/lookup/" { capabilities = ["list", "update"] }"#;
    let token = bench.token_with_policy(rules, "").await;
    let error = bench.fails_as(&token, Verb::List, "sys/leases/lookup", "").await;
    assert_eq!(error.kind(), ErrorKind::Denied, "it needs sudo");
}

#[tokio::test]
async fn the_last_use_revokes_the_token_if_its_request_is_dropped() {
    let bench = TestCore::new().await.with_credential_engine().await;
    let rules = r#"path "out/*" { capabilities = ["read"] }"#;
    let token = bench.token_with_policy(rules, r#","num_uses":2"#).await;
    bench.succeeds_as(&token, Verb::Read, "out/creds/dev", "").await;
    bench.outside.set_behavior(OutsideBehavior::SlowIssue);
    let request = new_request(&bench.core, Verb::Read, "out/creds/dev", &token);
    let admitted = strongroom_core::pipeline::admit::admit(request).unwrap();
    let mut permit = bench.admit("out/creds/dev", &token).await.unwrap();
    let last = strongroom_core::pipeline::run_unsealed(
        bench.core.unsealed().unwrap(),
        &mut permit,
        admitted,
    );
    // Dropped inside the engine, as when the server times a request out.
    tokio::select! {
        answer = last => panic!("it can't have ended: {answer:?}"),
        () = bench.run_until_idle() => assert_eq!(bench.outside.live_credentials(), 2),
    }
    bench.outside.set_behavior(OutsideBehavior::Works);
    bench.run_until_idle().await;
    assert_eq!(
        bench.outside.live_credentials(),
        1,
        "only the one being issued is left, to its intent"
    );
    bench.advance_secs(60).await;
    bench.advance_secs(60).await;
    assert_eq!((bench.outside.live_credentials(), intent_count(&bench).await), (0, 0));
}
