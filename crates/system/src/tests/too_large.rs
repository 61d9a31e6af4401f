//! Data larger than the storage accepts is a client error on every path.

use strongroom_core::Error;
use strongroom_core::request::Verb;
use strongroom_types::ErrorKind;

use super::TestCore;

/// Whether the HTTP server would respond with status 413.
fn is_too_large(error: &Error) -> bool {
    error.engine_status() == Some(413)
        || (error.engine_status().is_none() && error.kind() == ErrorKind::TooLarge)
}

#[tokio::test]
async fn w21_what_the_store_does_not_take_is_too_large_on_every_way() {
    let bench = TestCore::new().await;
    bench.write("sys/mounts/kv", r#"{"type":"kv"}"#).await;
    bench.write("sys/mounts/kv2", r#"{"type":"kv","options":{"version":"2"}}"#).await;
    bench.write("sys/mounts/out", r#"{"type":"outside"}"#).await;
    let large = "x".repeat(3 << 20);
    let field = |name: &str| format!(r#"{{"{name}":"{large}"}}"#);
    let rules = format!("# {large}\\npath \\\"a\\\" {{ capabilities = [\\\"read\\\"] }}");
    let mut wrong = Vec::new();
    for (path, body) in [
        ("kv/a", field("v")),
        ("kv2/data/a", format!(r#"{{"data":{}}}"#, field("v"))),
        ("out/config", field("password")),
        ("cubbyhole/a", field("v")),
        ("sys/wrapping/wrap", field("v")),
        ("sys/policies/acl/a", format!(r#"{{"policy":"{rules}"}}"#)),
        ("sys/policy/a", format!(r#"{{"policy":"{rules}"}}"#)),
        ("sys/policies/password/a", format!(r##"{{"policy":"# {large}"}}"##)),
        ("auth/token/create", format!(r#"{{"meta":{}}}"#, field("v"))),
        ("sys/mounts/more", format!(r#"{{"type":"kv","description":"{large}"}}"#)),
        ("sys/auth/more", format!(r#"{{"type":"door","description":"{large}"}}"#)),
        ("sys/mounts/kv/tune", field("description")),
    ] {
        let headers = [("x-vault-wrap-ttl", "60")];
        let headers = if path == "sys/wrapping/wrap" { &headers[..] } else { &[] };
        let answer = bench.send_with(Verb::Write, path, &bench.root, &body, headers).await;
        let wrong_answer = match answer {
            Ok(_) => Some("it was taken".to_owned()),
            Err(error) => {
                let text = error.to_string();
                let fits = text.len() < 300 && !text.contains("logical/");
                let refused = is_too_large(&error) && fits;
                (!refused).then(|| format!("{:?} {text:.200}", error.kind()))
            }
        };
        wrong.extend(wrong_answer.map(|answer| format!("{path}: {answer}")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
