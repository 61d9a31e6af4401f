use strongroom_core::request::Verb;
use strongroom_types::ErrorKind;

use super::TestCore;
use super::test_core::TestResponse;

#[tokio::test]
async fn sealing_refuses_everything_and_unsealing_brings_it_back() {
    let bench = TestCore::new().await;
    bench.write("sys/mounts/kv", r#"{"type":"kv"}"#).await;
    bench.write("kv/a", r#"{"x":"1"}"#).await;
    assert_eq!(bench.read("sys/seal-status").await.json("sealed"), "false");
    bench.write("sys/seal", "").await;
    assert_eq!(bench.read("sys/seal-status").await.json("sealed"), "true");
    let error = bench.fails(Verb::Read, "kv/a", "").await;
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Sealed, "Vault is sealed"));
    bench.run_until_idle().await;
    bench.unseal().await;
    assert_eq!(bench.read("kv/a").await.text("x"), "1");
}

#[tokio::test]
async fn sealing_needs_sudo_on_sys_seal() {
    let bench = TestCore::new().await;
    let update =
        bench.token_with_policy(r#"path "sys/seal" { capabilities = ["update"] }"#, "").await;
    assert_eq!(
        bench.fails_as(&update, Verb::Write, "sys/seal", "").await.kind(),
        ErrorKind::Denied
    );
    assert_eq!(bench.fails_as("", Verb::Write, "sys/seal", "").await.kind(), ErrorKind::Denied);
    let sudo = bench
        .token_with_policy(r#"path "sys/seal" { capabilities = ["update", "sudo"] }"#, "")
        .await;
    bench.succeeds_as(&sudo, Verb::Write, "sys/seal", "").await;
    assert!(bench.core.is_sealed());
}

#[tokio::test]
async fn key_status_reports_term_and_encryptions() {
    let bench = TestCore::new().await;
    let before = bench.read("sys/key-status").await;
    assert_eq!(before.json("term"), "1");
    assert!(before.text("install_time").ends_with('Z'));
    bench.write("sys/mounts/kv", r#"{"type":"kv"}"#).await;
    let after = bench.read("sys/key-status").await;
    assert_eq!(after.text("install_time"), before.text("install_time"));
    let count = |answer: &TestResponse| answer.json("encryptions").parse::<u64>().unwrap();
    assert!(count(&after) > count(&before));
    let stranger = bench.token_with_policy(r#"path "kv/*" { capabilities = ["read"] }"#, "").await;
    let error = bench.fails_as(&stranger, Verb::Read, "sys/key-status", "").await;
    assert_eq!(error.kind(), ErrorKind::Denied);
}

#[tokio::test]
async fn a_single_node_stays_when_it_steps_down_and_only_sudo_may_ask() {
    let bench = TestCore::new().await;
    let update =
        bench.token_with_policy(r#"path "sys/step-down" { capabilities = ["update"] }"#, "").await;
    for token in ["", update.as_str()] {
        let error = bench.fails_as(token, Verb::Write, "sys/step-down", "").await;
        assert_eq!(error.kind(), ErrorKind::Denied);
    }
    bench.write("sys/step-down", "").await;
    assert!(!bench.core.is_sealed());
}

#[tokio::test]
async fn status_answers_in_every_state() {
    let bench = TestCore::new().await;
    let status = bench.succeeds_as("", Verb::Read, "sys/seal-status", "").await;
    assert_eq!((status.json("t"), status.json("n"), status.json("progress")), ("1", "1", "0"));
    assert_eq!(status.text("version"), "2.0.0");
    assert!(status.text("cluster_name").starts_with("vault-cluster-"));
    assert_eq!(bench.succeeds_as("", Verb::Read, "sys/init", "").await.json("initialized"), "true");
    let error = bench
        .fails_as("", Verb::Write, "sys/init", r#"{"secret_shares":1,"secret_threshold":1}"#)
        .await;
    assert_eq!(error.to_string(), "Vault is already initialized");
    let leader = bench.succeeds_as("", Verb::Read, "sys/leader", "").await;
    assert_eq!((leader.json("ha_enabled"), leader.json("is_self")), ("false", "false"));
    // Go clients parse this as a time, so it must not be empty.
    assert_eq!(leader.text("active_time"), "0001-01-01T00:00:00Z");
}

#[tokio::test]
async fn unsealing_names_what_is_wrong_with_a_key() {
    let bench = TestCore::new().await;
    bench.write("sys/seal", "").await;
    bench.run_until_idle().await;
    let send = |body: &'static str| bench.fails_as("", Verb::Write, "sys/unseal", body);
    assert!(send("{}").await.to_string().starts_with("'key' must be specified in request body"));
    assert!(send(r#"{"key":"zz"}"#).await.to_string().contains("valid hex or base64"));
    let wrong = format!(r#"{{"key":"{}"}}"#, "ab".repeat(32));
    let error = bench.fails_as("", Verb::Write, "sys/unseal", &wrong).await;
    assert!(error.to_string().contains("invalid key"), "{error}");
    bench.succeeds_as("", Verb::Write, "sys/unseal", r#"{"Reset":true}"#).await;
    bench.unseal().await;
    let error = bench.fails_as("", Verb::Write, "sys/unseal", r#"{"reset":true}"#).await;
    assert_eq!(error.to_string(), "vault is unsealed");
}

#[tokio::test]
async fn sealing_or_unsealing_twice_is_no_error() {
    let bench = TestCore::new().await;
    let key = "aa".repeat(33);
    let body = format!(r#"{{"key":"{key}","reset":false,"migrate":false}}"#);
    assert_eq!(
        bench.succeeds_as("", Verb::Write, "sys/unseal", &body).await.json("sealed"),
        "false"
    );
    bench.write("sys/seal", "").await;
    bench.succeeds_as("", Verb::Write, "sys/seal", "").await;
    assert!(bench.core.is_sealed());
}
