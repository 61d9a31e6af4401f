//! Which refused requests are logged, that no secret is, and that text from engines is printable.

use std::sync::{Arc, Mutex, Once};

use strongroom_core::request::Verb;
use strongroom_engine::EngineError;
use strongroom_types::ErrorKind;
use tracing::subscriber::DefaultGuard;

use super::TestCore;

/// Captures the log of this thread while the guard is alive.
#[derive(Clone, Default)]
struct CapturedLog(Arc<Mutex<Vec<u8>>>);

impl CapturedLog {
    fn capture() -> (Self, DefaultGuard) {
        // While one subscriber always exists, other threads that start and stop capturing can't
        // make `tracing` skip the lines of this one for a moment.
        static ALWAYS_INTERESTED: Once = Once::new();
        ALWAYS_INTERESTED.call_once(|| {
            let discards = tracing_subscriber::fmt().with_writer(std::io::sink).finish();
            tracing::subscriber::set_global_default(discards).unwrap();
        });
        let log = Self::default();
        let to = log.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || to.clone()).finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// The captured lines that contain `text`.
    fn lines_with(&self, text: &str) -> Vec<String> {
        self.text().lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
    }
}

impl std::io::Write for CapturedLog {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The accessor as the log shows it.
fn accessor_field(accessor: &str) -> String {
    let hash = strongroom_crypto::digest::sha256(accessor.as_bytes());
    format!("accessor_sha256=\"{}\"", &data_encoding::HEXLOWER.encode(&hash)[..16])
}

const INVALID_TOKEN: &str = "a request without a valid token was refused";
const DENIED: &str = "a request was denied";

#[tokio::test]
async fn sr_2026_17_requests_without_a_valid_token_are_logged_without_it() {
    let bench = TestCore::new().await;
    let (log, _listening) = CapturedLog::capture();
    let bad = "hvs.notAtokenOfThisServerAtAll";
    let sent = bench.send_from("192.0.2.7", Verb::Read, "sys/mounts", bad).await;
    assert_eq!(sent.unwrap_err().kind(), ErrorKind::Denied);
    bench.fails_as("", Verb::Read, &format!("secret/{bad}"), "").await;
    let lines = log.lines_with(INVALID_TOKEN);
    assert_eq!(lines.len(), 2, "{}", log.text());
    assert!(
        lines[0].contains("192.0.2.7") && lines[0].contains("path=\"sys/mounts\""),
        "{lines:?}"
    );
    assert!(lines[0].contains("request_id=\"") && !lines[0].contains("request_id=\"\""));
    assert!(lines[1].contains("no token was sent"), "{lines:?}");
    // A failed unwrap is logged, since it can mean that somebody else unwrapped the response.
    let body = format!(r#"{{"token":"{bad}"}}"#);
    bench.fails_as("", Verb::Write, "sys/wrapping/unwrap", &body).await;
    let lines = log.lines_with("wrapping token is not valid");
    assert!(lines[0].contains("path=\"sys/wrapping/unwrap\""), "{}", log.text());
    assert!(!log.text().contains(bad), "{}", log.text());
}

#[tokio::test]
async fn sr_2026_17_denials_are_logged_with_who_and_what() {
    let bench = TestCore::new().await;
    let policy = r#"path "kv/*" { capabilities = ["read"] }"#;
    let token = bench.token_with_policy(policy, r#","display_name":"ci""#).await;
    let looked_up = bench.succeeds_as(&token, Verb::Read, "auth/token/lookup-self", "").await;
    let (log, _listening) = CapturedLog::capture();
    for (verb, path) in [
        (Verb::Read, "sys/mounts"),
        (Verb::Write, "kv/a"),
        (Verb::Write, "sys/seal"),
        (Verb::Help, "sys/mounts"),
    ] {
        let error = bench.fails_as(&token, verb, path, r#"{"x":"1"}"#).await;
        assert_eq!(error.kind(), ErrorKind::Denied, "{verb:?} {path}");
        let lines = log.lines_with(DENIED);
        let line = lines.last().unwrap();
        assert!(line.contains(&format!("path=\"{path}\"")), "{line}");
        assert!(line.contains(&accessor_field(&looked_up.text("accessor"))), "{line}");
        assert!(!line.contains(&looked_up.text("accessor")), "{line}");
        assert!(line.contains("token-ci"), "{line}");
    }
    assert_eq!(log.lines_with(DENIED).len(), 4, "each once: {}", log.text());
    assert!(!log.text().contains(&token), "{}", log.text());
}

#[tokio::test]
async fn sr_2026_17_a_seal_names_who_asked_for_it() {
    let bench = TestCore::new().await;
    let accessor = bench.read("auth/token/lookup-self").await.text("accessor");
    let (log, _listening) = CapturedLog::capture();
    bench.send_from("192.0.2.9", Verb::Write, "sys/seal", &bench.root).await.unwrap();
    bench.run_until_idle().await;
    let lines = log.lines_with("the seal was requested");
    assert_eq!(lines.len(), 1, "{}", log.text());
    assert!(lines[0].contains("192.0.2.9"), "{lines:?}");
    assert!(lines[0].contains(&accessor_field(&accessor)), "{lines:?}");
    assert!(lines[0].contains("display_name=\"root\""), "{lines:?}");
    assert!(!log.text().contains(&bench.root));
}

#[tokio::test]
async fn sr_2026_17_wrong_key_shares_and_refused_initialisations_are_logged_without_them() {
    let bench = TestCore::new().await;
    bench.write("sys/seal", "").await;
    bench.run_until_idle().await;
    let (log, _listening) = CapturedLog::capture();
    let share = "ab".repeat(32);
    for key in [share.as_str(), "zz!nohex", "abcd"] {
        let body = format!(r#"{{"key":"{key}"}}"#);
        bench.fails_as("", Verb::Write, "sys/unseal", &body).await;
    }
    let lines = log.lines_with("an attempt to unseal failed");
    assert_eq!(lines.len(), 3, "{}", log.text());
    assert!(lines[0].contains(" WARN ") && lines[0].contains("invalid key"), "{lines:?}");
    let body = r#"{"secret_shares":1,"secret_threshold":1}"#;
    bench.fails_as("", Verb::Write, "sys/init", body).await;
    let lines = log.lines_with("an initialisation was refused");
    assert!(lines[0].contains("already initialized"), "{}", log.text());
    for secret in [share.as_str(), "zz!nohex", "abcd"] {
        assert!(!log.text().contains(secret), "{}", log.text());
    }
}

#[tokio::test]
async fn sr_2026_17_many_refusals_are_counted_not_logged() {
    let bench = TestCore::new().await;
    let (log, _listening) = CapturedLog::capture();
    for _ in 0..1000 {
        bench.fails_as("", Verb::Read, "sys/mounts", "").await;
    }
    assert_eq!(log.lines_with(INVALID_TOKEN).len(), 20, "{}", log.text());
    // Other kinds of refusals are still logged.
    let token = bench.token_with_policy(r#"path "kv/*" { capabilities = ["read"] }"#, "").await;
    bench.fails_as(&token, Verb::Read, "sys/mounts", "").await;
    assert_eq!(log.lines_with(DENIED).len(), 1);
    bench.advance_secs(61).await;
    let left_out = log.lines_with("more of these were not logged");
    assert_eq!(left_out.len(), 1, "{}", log.text());
    assert!(left_out[0].contains("left_out=980") && left_out[0].contains(INVALID_TOKEN));
    bench.fails_as("", Verb::Read, "sys/mounts", "").await;
    assert_eq!(log.lines_with("no token was sent").len(), 21, "logged again");
}

const FORGED: &str = "boom\n2026-11-29T00:00:00Z  INFO core: FORGED\u{1b}[31m\u{2028}next\r\nlast";

fn is_plain(text: &str) -> bool {
    text.chars().all(strongroom_types::path::is_printable)
}

#[tokio::test]
async fn sr_2026_06_an_engines_errors_are_printable_and_bounded_in_answers() {
    let bench = TestCore::new().await;
    bench.write("sys/auth/door", r#"{"type":"door"}"#).await;
    let long = format!("{FORGED}{}", "x".repeat(1 << 20));
    for error in [
        EngineError::user(long.as_str()),
        EngineError::internal(long.as_str()),
        EngineError::Coded { status: 418, message: long.clone() },
        EngineError::Unavailable { message: long.clone(), delivered: true },
    ] {
        bench.auth_method().fail_with(error);
        let error = bench.fails_as("", Verb::Write, "auth/door/login/x", "").await;
        let text = error.to_string();
        assert!(is_plain(&text), "{text:?}");
        assert!(text.starts_with("boom 2026") && text.len() < 5000, "{} bytes", text.len());
    }
}

#[tokio::test]
async fn sr_2026_06_what_failed_revocations_say_is_printable_wherever_it_is_shown() {
    let bench = TestCore::new().await;
    bench.write("sys/auth/door", r#"{"type":"door"}"#).await;
    bench.write("sys/mounts/engine", r#"{"type":"door-engine"}"#).await;
    bench.auth_method().issue_leases();
    let lease = bench.read("engine/inside/x").await.lease_id;
    bench.auth_method().fail_with(EngineError::internal(FORGED));
    let body = format!(r#"{{"lease_id":"{lease}","sync":true}}"#);
    let error = bench.fails(Verb::Write, "sys/leases/revoke", &body).await;
    assert!(error.to_string().contains("FORGED"), "{error}");
    assert!(is_plain(&error.to_string()), "{:?}", error.to_string());
    let unmounted = bench.fails(Verb::Delete, "sys/mounts/engine", "").await;
    assert!(is_plain(&unmounted.to_string()), "{:?}", unmounted.to_string());
}

#[test]
fn sr_2026_06_warnings_of_engines_are_bounded_in_number_and_length() {
    let many = vec![format!("{FORGED}{}", "x".repeat(1 << 16)); 1000];
    let shown = strongroom_core::error::sanitise_warnings(&many);
    assert_eq!(shown.len(), 64);
    assert!(shown.iter().all(|warning| is_plain(warning) && warning.len() < 5000));
}

#[tokio::test]
async fn sr_2026_06_a_version_that_a_plug_in_reports_is_printable() {
    let bench = TestCore::new().await;
    *bench.plugins.plugin_version.lock().unwrap() = "v1.0.0\u{1b}[31m\nFORGED";
    let sha256 = "ab".repeat(32);
    let body = format!(r#"{{"command":"kv","sha256":"{sha256}"}}"#);
    let error = bench.fails(Verb::Write, "sys/plugins/catalog/secret/kv", &body).await;
    assert!(is_plain(&error.to_string()), "{:?}", error.to_string());
}
