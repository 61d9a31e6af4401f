//! Documents, lists, leases and intents of an engine, linked in and behind the plug-in protocol.

use std::time::Duration;

use super::fake_system::{Behavior, FakeSystem};
use strongroom_sdk::engine::{Existence, Operation};
use strongroom_sdk::testing::{ErrorKind, Harness, TestHost, Transport, json};
use strongroom_sdk::{
    Blueprint, Context, Document, Error, FreeForm, Input, Response, ResponseData, Secret, Ttl,
};
use tokio_util::task::TaskTracker;

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Configures the engine of [`FakeSystem`] and writes a role.
async fn configure(host: &TestHost) {
    host.write("config", json!({ "password": "p" })).await.unwrap();
    host.write("roles/dev", json!({ "ttl": 60, "max_ttl": 600 })).await.unwrap();
}

/// Runs a body on all three transports, each with an outside system of its own.
async fn run_on_all_transports<F, Fut>(body: F)
where
    F: Fn(TestHost, FakeSystem) -> Fut,
    Fut: Future<Output = ()>,
{
    for way in [Transport::Linked, Transport::Wire, Transport::Foreign] {
        let outside = FakeSystem::default();
        Harness::run_one(outside.key_blueprint(), way, |host| body(host, outside.clone())).await;
    }
}

#[tokio::test]
async fn documents_are_written_merged_shown_listed_and_deleted() {
    Harness::run(FakeSystem::default().key_blueprint(), |host| async move {
        assert_eq!(host.exists("roles/dev").await, Ok(Existence::Absent));
        assert_eq!(host.read("roles/dev").await.unwrap_err().kind, ErrorKind::NotFound);
        assert_eq!(host.list("roles/").await.unwrap_err().kind, ErrorKind::NotFound);
        host.write("roles/dev", json!({ "ttl": "2m" })).await.unwrap();
        host.write("roles/ops", json!({})).await.unwrap();
        assert_eq!(host.exists("roles/dev").await, Ok(Existence::Exists));
        host.write("roles/dev", json!({ "max_ttl": "1h", "ttl": null })).await.unwrap();
        assert_eq!(
            host.read("roles/dev").await.unwrap().data_json(),
            r#"{"max_ttl":3600,"ttl":120}"#
        );
        assert_eq!(host.list("roles").await.unwrap(), ["dev", "ops"]);
        host.delete("roles/dev").await.unwrap();
        host.delete("roles/dev").await.unwrap();
        assert_eq!(host.list("roles/").await.unwrap(), ["ops"]);
    })
    .await;
}

#[tokio::test]
async fn secrets_are_stored_under_the_seal_and_never_shown() {
    Harness::run(FakeSystem::default().key_blueprint(), |host| async move {
        host.write("config", json!({ "password": "hunter2" })).await.unwrap();
        assert_eq!(host.read("config").await.unwrap().data_json(), "{}");
        let stored = host.stored_entry("config").unwrap();
        assert!(stored.seal_wrap && stored.value.windows(7).any(|part| part == b"hunter2"));
        assert!(!format!("{stored:?}").contains("hunter2"));
        let error = host.write("config", json!({ "password": ["hunter2"] })).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid);
        assert!(!error.message.contains("hunter2"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn unknown_fields_and_captured_ones_are_warned_of() {
    Harness::run(FakeSystem::default().key_blueprint(), |host| async move {
        let body = json!({ "name": "x", "tll": 1 });
        let got = host.send(Operation::Read, "roles/dev", &body).await;
        assert_eq!(got.unwrap_err().kind, ErrorKind::NotFound);
        host.write("roles/dev", json!({})).await.unwrap();
        let got = host.send(Operation::Read, "roles/dev", body).await.unwrap();
        assert_eq!(got.warnings.len(), 2, "{:?}", got.warnings);
    })
    .await;
}

/// On every response that can carry a warning: a misspelt field of a role would be noticed much
/// later.
#[tokio::test]
async fn misspelt_fields_are_warned_of() {
    run_on_all_transports(|host, _| async move {
        configure(&host).await;
        let ignored = |names: &str| {
            vec![format!("Endpoint ignored these unrecognized parameters: [{names}]")]
        };
        let got = host.write("roles/dev", json!({ "ttl": "1m", "max_tll": "1h" })).await.unwrap();
        assert_eq!(got.warnings, ignored("max_tll"));
        let got = host.write("roles/new", json!({ "tll": 1, "max_tll": 1 })).await.unwrap();
        assert_eq!(got.warnings, ignored("max_tll tll"));
        let got = host.write("roles/new", json!({ "ttl": 60, "name": "new" })).await.unwrap();
        assert!(got.warnings.is_empty(), "{:?}", got.warnings);
        let asked = json!({ "ttl": "10m" });
        let got = host.send(Operation::Read, "creds/dev", asked).await.unwrap();
        assert_eq!(got.warnings, ignored("ttl"));
        assert!(got.lease.is_some());
        let asked = json!({ "lmit": 1, "after": "dev" });
        let got = host.send(Operation::List, "roles/", asked).await.unwrap();
        assert_eq!(got.warnings, ignored("lmit"));
        assert_eq!(got.field_json("keys"), r#"["new"]"#);
    })
    .await;
}

#[tokio::test]
async fn writes_of_another_node_are_seen_after_invalidation() {
    Harness::run(FakeSystem::default().key_blueprint(), |host| async move {
        host.write("roles/dev", json!({ "ttl": 60 })).await.unwrap();
        assert_eq!(host.read("roles/dev").await.unwrap().field_json("ttl"), "60");
        host.write_entry("roles/dev", json!({ "ttl": 70, "max_ttl": 0 })).await;
        assert_eq!(host.read("roles/dev").await.unwrap().field_json("ttl"), "70");
    })
    .await;
}

/// A marker left by a request.
#[derive(Document)]
#[document(path = "mark")]
struct MarkerDocument {}

async fn write_marker_late(context: Context, (): ()) -> Result<Response, Error> {
    context.clock().sleep_until(context.now().plus(secs(5))).await;
    context.documents().put(&[], &MarkerDocument {}).await?;
    Ok(Response::no_content())
}

#[tokio::test]
async fn nothing_of_an_instance_that_crashed_reaches_storage() {
    let engine = Blueprint::new("late", "1.0.0").internal_document::<MarkerDocument>().write(
        "late",
        "Leaves a mark.",
        write_marker_late,
    );
    Harness::run(engine, |host| async move {
        let mut late = Box::pin(host.write("late", "{}"));
        let begins = async {
            for _ in 0..20 {
                host.read("mark").await.unwrap_err();
            }
        };
        tokio::select! {
            biased;
            got = &mut late => panic!("answered: {got:?}"),
            () = begins => {}
        }
        host.crash().await;
        host.clock().advance(secs(5));
        late.await.unwrap_err();
        assert!(host.stored_keys().is_empty());
    })
    .await;
}

#[tokio::test]
async fn failing_storage_is_an_internal_error_and_loses_nothing() {
    Harness::run(FakeSystem::default().key_blueprint(), |host| async move {
        host.write("roles/dev", json!({ "ttl": 60 })).await.unwrap();
        host.fail_writes_after(0);
        let error = host.write("roles/dev", json!({ "ttl": 70 })).await.unwrap_err();
        let text = "injected fault: writes fail after those that were allowed";
        assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Internal, text));
        host.fail_storage();
        assert_eq!(host.read("roles/ops").await.unwrap_err().kind, ErrorKind::Internal);
        host.repair_storage();
        assert_eq!(host.read("roles/dev").await.unwrap().field_json("ttl"), "60");
    })
    .await;
}

#[tokio::test]
async fn free_form_documents_keep_their_digits_and_say_when_to_look_again() {
    let engine = Blueprint::new("notes", "1.0.0").free_form(
        "{path..}",
        "A note.",
        FreeForm::new().refresh_from(&["ttl"]),
    );
    Harness::run(engine, |host| async move {
        let body = r#"{"n":12345678901234567890.10,"ttl":"90s"}"#;
        host.write("a/b", body).await.unwrap();
        let got = host.read("a/b").await.unwrap();
        assert_eq!((got.data_json().as_str(), got.refresh), (body, Some(Ttl::from_secs(90))));
        host.write("a/c", r#"{"x":1}"#).await.unwrap();
        host.tune(Ttl::from_secs(7), Ttl::from_secs(70));
        assert_eq!(host.read("a/c").await.unwrap().refresh, Some(Ttl::from_secs(7)));
        assert_eq!(host.list("a").await.unwrap(), ["b", "c"]);
        assert_eq!(host.list("").await.unwrap(), ["a/"]);
    })
    .await;
}

#[tokio::test]
async fn a_credential_is_leased_renewed_and_revoked() {
    run_on_all_transports(|host, outside| async move {
        configure(&host).await;
        let got = host.read("creds/dev").await.unwrap();
        assert_eq!((got.text("key"), outside.live_key_count()), ("s3cr3t".to_owned(), 1));
        assert!(host.open_intents().is_empty());
        let lease = got.lease();
        assert_eq!((lease.ttl, lease.max_ttl), (Ttl::from_secs(60), Ttl::from_secs(600)));
        assert!(lease.renewable && lease.stored_data().contains("strongroom-dev-token-test-"));
        host.advance(secs(30)).await;
        let renewed = host.renew(&lease.id, Ttl::from_secs(3600)).await.unwrap();
        assert_eq!(renewed.ttl, Ttl::from_secs(570), "the role's maximum counts from the issue");
        host.revoke(&lease.id).await.unwrap();
        assert_eq!((outside.live_key_count(), host.leases().len()), (0, 0));
        assert_eq!(host.renew(&lease.id, Ttl::ZERO).await.unwrap_err().message, "lease not found");
    })
    .await;
}

#[tokio::test]
async fn role_lifetimes_default_to_engine_then_mount() {
    run_on_all_transports(|host, _| async move {
        configure(&host).await;
        host.write("roles/open", json!({ "ttl": 0 })).await.unwrap();
        let lease_of = async |role: &str| {
            let got = host.read(&format!("creds/{role}")).await.unwrap();
            (got.lease().ttl.as_secs(), got.lease().max_ttl.as_secs())
        };
        let days = 32 * 24 * 3600;
        assert_eq!(lease_of("open").await, (days, 0));
        host.write("usual", json!({ "ttl": "5m", "max_ttl": "20m" })).await.unwrap();
        assert_eq!(lease_of("open").await, (300, 1200));
        assert_eq!(lease_of("dev").await, (60, 600), "the role's own come first");
        let got = host.read("creds/open").await.unwrap();
        host.write("usual", json!({ "ttl": "7m" })).await.unwrap();
        assert_eq!(host.renew(&got.lease().id, Ttl::ZERO).await.unwrap().ttl.as_secs(), 420);
        host.delete("usual").await.unwrap();
        assert_eq!(lease_of("open").await, (days, 0));
    })
    .await;
}

#[tokio::test]
async fn no_renewal_outlives_the_outside_systems_own_end() {
    run_on_all_transports(|host, outside| async move {
        configure(&host).await;
        outside.keys_end_within(Ttl::from_secs(90));
        // Issuing takes two seconds, which count for the outside system but not for the lease.
        let clock = host.clock();
        outside.on_next_issue(move || clock.advance(secs(2)));
        let got = host.read("creds/dev").await.unwrap();
        assert_eq!(got.warnings, ["keys end after 1m30s"]);
        let lease = got.lease();
        assert_eq!((lease.ttl.as_secs(), lease.max_ttl.as_secs()), (60, 88));
        // A role with longer lifetimes doesn't extend the outside system's expiry.
        host.write("roles/dev", json!({ "ttl": "1h", "max_ttl": "2h" })).await.unwrap();
        host.advance(secs(30)).await;
        let renewed = host.renew(&lease.id, Ttl::from_secs(3600)).await.unwrap();
        assert_eq!((renewed.ttl.as_secs(), renewed.max_ttl.as_secs()), (58, 88));
        host.advance(secs(57)).await;
        assert_eq!(host.renew(&lease.id, Ttl::ZERO).await.unwrap().ttl.as_secs(), 1);
        host.advance(secs(1)).await;
        assert_eq!((outside.live_key_count(), host.leases().len()), (0, 0));
        // A shorter expiry shortens the lease from the start.
        outside.keys_end_within(Ttl::from_secs(45));
        let got = host.read("creds/dev").await.unwrap();
        assert_eq!((got.lease().ttl.as_secs(), got.lease().max_ttl.as_secs()), (45, 45));
        assert!(
            !got.lease().stored_data().contains("s3cr3t") || host.transport() == Transport::Foreign
        );
    })
    .await;
}

/// Under other servers the response data is stored with the lease, since they can't tell engines of
/// this SDK from others. Elsewhere only the receipt is stored.
#[tokio::test]
async fn the_lease_keeps_the_receipt_and_not_the_secret() {
    for way in [Transport::Linked, Transport::Wire] {
        Harness::run_one(FakeSystem::default().key_blueprint(), way, |host| async move {
            configure(&host).await;
            let got = host.read("creds/dev").await.unwrap();
            let kept = got.lease().stored_data();
            assert!(kept.contains("secret_type") && !kept.contains("s3cr3t"), "{kept}");
        })
        .await;
    }
}

#[tokio::test]
async fn leases_end_on_time_also_in_a_new_instance() {
    run_on_all_transports(|host, outside| async move {
        configure(&host).await;
        host.read("creds/dev").await.unwrap();
        host.advance(secs(59)).await;
        assert_eq!(outside.live_key_count(), 1);
        host.reopen().await;
        host.advance(secs(1)).await;
        assert_eq!((outside.live_key_count(), host.leases().len()), (0, 0));
    })
    .await;
}

#[tokio::test]
async fn a_lease_stays_until_its_revocation_succeeds() {
    run_on_all_transports(|host, outside| async move {
        configure(&host).await;
        let got = host.read("creds/dev").await.unwrap();
        outside.set_behavior(Behavior::RefusesRevoke);
        let error = host.revoke(&got.lease().id).await.unwrap_err();
        assert_eq!(error.message, "outside: remove answered 503");
        host.advance(secs(60)).await;
        assert_eq!((outside.live_key_count(), host.leases().len()), (1, 1));
        outside.set_behavior(Behavior::Normal);
        host.advance(secs(10)).await;
        assert_eq!((outside.live_key_count(), host.leases().len()), (0, 0));
    })
    .await;
}

#[tokio::test]
async fn a_refused_issue_leaves_no_intent() {
    run_on_all_transports(|host, outside| async move {
        configure(&host).await;
        outside.set_behavior(Behavior::RefusesIssue);
        let error = host.read("creds/dev").await.unwrap_err();
        assert_eq!(error.message, "outside: make answered 500");
        assert_eq!((outside.live_key_count(), host.open_intents().len()), (0, 0));
    })
    .await;
}

/// Whether the undoing begins only with a periodic call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum UndoTrigger {
    PeriodicCall,
    InstanceOpen,
}

/// Nothing is undone until the call can no longer be running; then undo runs twice, one time-out
/// apart.
async fn assert_undone(host: &TestHost, outside: &FakeSystem, begun: UndoTrigger) {
    assert_eq!((outside.live_key_count(), host.open_intents().len()), (1, 1));
    host.advance(secs(19)).await;
    if begun == UndoTrigger::PeriodicCall {
        host.run_periodic().await.unwrap();
    }
    let_background_tasks_run(host).await;
    assert_eq!((outside.live_key_count(), outside.undo_count()), (1, 0));
    host.advance(secs(1)).await;
    host.wait_until("the credential is undone", || async { outside.undo_count() == 1 }).await;
    assert_eq!(outside.live_key_count(), 0);
    host.wait_until("that is noted", || async { recorded_undo_attempts(host) == 1 }).await;
    host.advance(secs(9)).await;
    if begun == UndoTrigger::PeriodicCall {
        host.run_periodic().await.unwrap();
    }
    let_background_tasks_run(host).await;
    assert_eq!(outside.undo_count(), 1);
    host.advance(secs(1)).await;
    host.wait_until("the matter rests", || async { host.open_intents().is_empty() }).await;
    assert_eq!(outside.undo_count(), 2);
}

/// Gives background tasks time to do what they must not do.
async fn let_background_tasks_run(host: &TestHost) {
    for _ in 0..20 {
        host.read("config").await.unwrap();
    }
}

fn recorded_undo_attempts(host: &TestHost) -> usize {
    let looked = |key: &String| {
        host.stored_entry(key)
            .is_some_and(|entry| String::from_utf8_lossy(&entry.value).contains("\"looks\":1"))
    };
    host.open_intents().iter().filter(|key| looked(key)).count()
}

#[tokio::test]
async fn a_lost_answer_is_undone() {
    run_on_all_transports(|host, outside| async move {
        configure(&host).await;
        outside.set_behavior(Behavior::NoResponse);
        host.read("creds/dev").await.unwrap_err();
        outside.set_behavior(Behavior::Normal);
        assert_undone(&host, &outside, UndoTrigger::PeriodicCall).await;
    })
    .await;
}

#[tokio::test]
async fn a_crash_in_the_outside_call_is_undone_by_the_next_instance() {
    run_on_all_transports(|host, outside| async move {
        configure(&host).await;
        outside.set_behavior(Behavior::NeverResponds);
        let mut issuing = Box::pin(host.read("creds/dev"));
        tokio::select! {
            got = &mut issuing => panic!("answered: {got:?}"),
            () = host.wait_until("it is made", || async { outside.live_key_count() == 1 }) => {}
        }
        drop(issuing);
        host.reopen().await;
        outside.set_behavior(Behavior::Normal);
        assert_undone(&host, &outside, UndoTrigger::InstanceOpen).await;
    })
    .await;
}

/// Texts of TLS and HTTP/2 belong into the log.
#[tokio::test]
async fn errors_of_a_dead_plugin_hide_transport_details() {
    let outside = FakeSystem::default();
    Harness::run_one(outside.key_blueprint(), Transport::Wire, |host| async move {
        configure(&host).await;
        outside.set_behavior(Behavior::NeverResponds);
        let dies = async {
            host.wait_until("it is made", || async { outside.live_key_count() == 1 }).await;
            host.crash().await;
        };
        let (got, ()) = tokio::join!(host.read("creds/dev"), dies);
        assert_eq!(
            got.unwrap_err().message,
            "the plug-in ended while it answered: whether it did what was asked is not known"
        );
        host.reopen().await;
    })
    .await;
}

/// Under other servers this gap remains.
#[tokio::test]
async fn a_crash_between_answer_and_lease_is_undone() {
    for way in [Transport::Linked, Transport::Wire] {
        let outside = FakeSystem::default();
        Harness::run_one(outside.key_blueprint(), way, |host| async move {
            configure(&host).await;
            host.crash_at_next_lease();
            host.read("creds/dev").await.unwrap_err();
            host.reopen().await;
            assert_undone(&host, &outside, UndoTrigger::InstanceOpen).await;
        })
        .await;
    }
}

#[tokio::test]
async fn nothing_is_made_outside_when_the_intent_cant_be_stored() {
    run_on_all_transports(|host, outside| async move {
        configure(&host).await;
        host.fail_writes_after(0);
        assert_eq!(host.read("creds/dev").await.unwrap_err().kind, ErrorKind::Internal);
        assert_eq!((outside.live_key_count(), outside.issue_count()), (0, 0));
    })
    .await;
}

/// Otherwise the rollback could search for the credential before it is issued.
#[tokio::test]
async fn issue_is_not_called_after_the_intent_deadline() {
    run_on_all_transports(|host, outside| async move {
        configure(&host).await;
        host.slow_writes(secs(11));
        let error = host.read("creds/dev").await.unwrap_err();
        assert!(
            error.message.starts_with("outside: issue key got no answer: timed out"),
            "{error}"
        );
        assert_eq!((outside.issue_count(), host.open_intents().len()), (0, 1));
    })
    .await;
}

#[tokio::test]
async fn no_lease_after_the_intent_was_claimed() {
    run_on_all_transports(|host, outside| async move {
        configure(&host).await;
        outside.set_behavior(Behavior::NeverResponds);
        let mut issuing = Box::pin(host.read("creds/dev"));
        tokio::select! {
            got = &mut issuing => panic!("answered: {got:?}"),
            () = host.wait_until("it is made", || async { outside.live_key_count() == 1 }) => {}
        }
        // The call's time-out ends it; the key it issued is found later.
        host.advance_during_calls(secs(10));
        let error = issuing.await.unwrap_err();
        assert!(
            error.message.starts_with("outside: issue key got no answer: timed out"),
            "{error}"
        );
        assert!(host.leases().is_empty());
        outside.set_behavior(Behavior::Normal);
        host.run_periodic().await.unwrap();
        host.advance_during_calls(secs(10));
        host.wait_until("the credential is undone", || async { outside.live_key_count() == 0 })
            .await;
    })
    .await;
}

/// Another server can't detect that the intent was claimed, so the engine must.
#[tokio::test]
async fn a_late_credential_is_refused_on_foreign_hosts() {
    type Delay = fn(&TestHost);
    let delays: [Delay; 2] = [
        |host| host.clock().advance(secs(20)),
        // Here the removal of the intent takes so long.
        |host| host.slow_writes(secs(20)),
    ];
    for delay in delays {
        let outside = FakeSystem::default();
        Harness::run_one(outside.key_blueprint(), Transport::Foreign, |host| async move {
            configure(&host).await;
            outside.on_next_issue({
                let host = host.clone();
                move || delay(&host)
            });
            let error = host.read("creds/dev").await.unwrap_err();
            assert_eq!(error.message, "issuing took too long; the credential is undone");
            host.repair_storage();
            assert_eq!((host.leases().len(), host.open_intents().len()), (0, 1));
            host.run_periodic().await.unwrap();
            host.wait_until("it is undone", || async { outside.live_key_count() == 0 }).await;
        })
        .await;
    }
}

#[tokio::test]
async fn an_undo_that_fails_is_tried_again_and_one_that_panics_harms_nobody_else() {
    run_on_all_transports(|host, outside| async move {
        configure(&host).await;
        outside.set_behavior(Behavior::NoResponse);
        host.read("creds/dev").await.unwrap_err();
        host.read("creds/dev").await.unwrap_err();
        assert_eq!((outside.live_key_count(), host.open_intents().len()), (2, 2));
        outside.set_behavior(Behavior::PanicsInUndo);
        host.advance(secs(20)).await;
        host.run_periodic().await.unwrap();
        host.wait_until("one is undone", || async { outside.live_key_count() == 1 }).await;
        outside.set_behavior(Behavior::RefusesRevoke);
        host.wait_until("the sweep is over", || async {
            host.run_periodic().await.unwrap();
            outside.refusal_count() > 0
        })
        .await;
        assert_eq!(outside.live_key_count(), 1);
        outside.set_behavior(Behavior::Normal);
        host.wait_until("the other one is undone", || async {
            host.run_periodic().await.unwrap();
            outside.live_key_count() == 0
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn unreadable_intents_are_skipped() {
    run_on_all_transports(|host, outside| async move {
        configure(&host).await;
        let folder = if host.transport() == Transport::Foreign { "wal" } else { "undo" };
        let strange = format!("{folder}/0");
        host.write_entry(&strange, r#"{"type":"key","data":{"UserName":"x"},"created_at":1}"#)
            .await;
        // More names than one list request returns.
        for number in 0..1000 {
            host.write_entry(&format!("{folder}/{number:04}"), "{}").await;
        }
        outside.set_behavior(Behavior::NoResponse);
        host.read("creds/dev").await.unwrap_err();
        outside.set_behavior(Behavior::Normal);
        host.advance(secs(20)).await;
        host.run_periodic().await.unwrap();
        host.wait_until("the credential is undone", || async { outside.live_key_count() == 0 })
            .await;
        assert!(host.stored_entry(&strange).is_some());
    })
    .await;
}

#[derive(Input)]
struct NamedPolicyInput {
    /// A password policy.
    policy: String,
}

#[derive(ResponseData)]
struct PasswordResponse {
    password: Secret<String>,
}

async fn make_password(context: Context, which: NamedPolicyInput) -> Result<Response, Error> {
    let password = context.system().generate_password(&which.policy).await?;
    Ok(Response::unleased_secret(&PasswordResponse { password }))
}

#[tokio::test]
async fn an_engine_asks_the_server_for_passwords() {
    let blueprint =
        Blueprint::new("asking", "1.0.0").read("password/{policy}", "A password.", make_password);
    Harness::run(blueprint, |host| async move {
        let made = host.read("password/known").await.unwrap();
        assert_eq!(made.data_json(), r#"{"password":"correct horse"}"#);
        let error = host.read("password/other").await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Internal);
    })
    .await;
}

#[tokio::test]
async fn the_clock_does_not_pass_the_time_limits_of_calls_by_accident() {
    Harness::run(FakeSystem::default().key_blueprint(), |host| async move {
        host.write("roles/dev", json!({ "ttl": 60 })).await.unwrap();
        assert!(host.calls_in_progress().is_empty());
        let mut read = Box::pin(host.read("roles/dev"));
        // Polled once: the call has begun, and is not finished.
        let begun = std::future::poll_fn(|context| {
            std::task::Poll::Ready(read.as_mut().poll(context).is_pending())
        });
        if !begun.await {
            // An engine that is linked in has answered at once.
            return;
        }
        assert_eq!(host.calls_in_progress(), ["read roles/dev"]);
        let advanced = TaskTracker::new()
            .spawn({
                let host = host.clone();
                async move { host.advance(secs(60)).await }
            })
            .await;
        let message = *advanced.unwrap_err().into_panic().downcast::<String>().unwrap();
        assert!(message.contains("in progress: read roles/dev; await them"), "{message}");
        host.advance_during_calls(secs(1));
        read.await.unwrap();
        assert!(host.calls_in_progress().is_empty());
        host.advance(secs(60)).await;
    })
    .await;
}
