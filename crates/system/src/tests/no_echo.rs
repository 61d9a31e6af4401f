//! No error or warning repeats a value that a client sent.

use std::collections::BTreeSet;

use strongroom_core::request::{CoreResponse, Verb};

use super::TestCore;
use super::test_core::ReportedMessages;
use crate::endpoint::ApiEndpoint;

/// Stands for a secret put into the wrong field. Tests also send it in upper case, since some
/// fields are folded.
const MARKER: &str = "s3cr3tmark";

/// Fields that name existing or possible objects: responses repeat the name, after validating that
/// the text can be one.
const ECHOED_FIELDS: [(&str, &str); 12] = [
    ("policies", "names of policies, checked by `PolicyName`"),
    ("allowed_policies", "names of policies"),
    ("type", "the name of a plug-in"),
    ("plugin_name", "the name of a plug-in"),
    ("plugin", "the name of a plug-in"),
    ("mounts", "paths of mounts"),
    ("from", "the path of a mount"),
    ("to", "the path of a mount"),
    ("path", "paths whose capabilities are asked"),
    ("paths", "paths whose capabilities are asked"),
    ("lease_id", "the id of a lease, which is no secret"),
    ("url_lease_id", "the id of a lease, which is no secret"),
];

/// Values that no field accepts, and values that some fields do.
fn malformed_values() -> Vec<String> {
    let object = format!(r#"{{"zz":"{MARKER}"}}"#);
    vec![
        format!(r#""{MARKER}""#),
        format!(r#""{} ""#, MARKER.to_uppercase()),
        format!(r#"["{MARKER}"]"#),
        format!(r#""{MARKER},{MARKER}=1""#),
        format!(r#"[["{MARKER}"]]"#),
        format!(r#"[{object}]"#),
        object,
        format!(r#""-{MARKER}""#),
        format!(r#""{MARKER}h""#),
        format!(r#""1{MARKER}/8""#),
        format!(r#""../{MARKER}\n""#),
        format!(r#""path \"x\" {{ capabilities = [\"{MARKER}\"] }}""#),
        format!(r#""path \"x\" {{ allowed_parameters = \"{MARKER}\" }}""#),
        format!(r#""path \"{MARKER}/+*\" {{}}""#),
        format!(r#""path \"{MARKER}/{{{{identity.entity.id}}}}\" {{}}""#),
        format!(r#""length = \"{MARKER}\"""#),
        format!(r#""rule \"charset\" {{ charset = 5 {MARKER} }}""#),
    ]
}

fn contains_marker(text: &str) -> bool {
    text.to_lowercase().contains(MARKER)
}

/// Covers all fields of the core's own endpoints, whatever their types.
#[tokio::test]
async fn cve_2025_4166_and_cve_2026_115358_no_value_is_repeated_by_the_servers_own_endpoints() {
    let bench = TestCore::new().await;
    let groups = [("sys/", crate::sys::ENDPOINTS), ("auth/token/", crate::auth_token::ENDPOINTS)];
    let mut tried = BTreeSet::new();
    for (prefix, groups) in groups {
        for endpoint in groups.iter().flat_map(|group| group.iter()) {
            let ends_it = matches!(endpoint.pattern, "seal" | "step-down" | "revoke-self");
            if !ends_it {
                assert_no_echo(&bench, prefix, endpoint, &mut tried).await;
            }
        }
    }
    for field in ["ttl", "policies", "token_bound_cidrs", "policy", "version", "increment", "meta"]
    {
        assert!(tried.contains(field), "{field} was not tried");
    }
}

async fn assert_no_echo(
    bench: &TestCore,
    prefix: &str,
    endpoint: &ApiEndpoint,
    tried: &mut BTreeSet<&'static str>,
) {
    let captured = endpoint.pattern.split('/').map(|segment| match segment {
        "{type}" => "secret",
        capture if capture.starts_with('{') => "x",
        literal => literal,
    });
    let path = format!("{prefix}{}", captured.collect::<Vec<_>>().join("/"));
    let handlers = &endpoint.handlers;
    let verbs = [
        (Verb::Read, handlers.read),
        (Verb::Write, handlers.write),
        (Verb::Delete, handlers.delete),
        (Verb::List, handlers.list),
    ];
    for (verb, _) in verbs.iter().filter(|(_, handler)| handler.is_some()) {
        for spec in endpoint.fields.iter().flat_map(|specs| specs.iter()) {
            let names_things = ECHOED_FIELDS.iter().any(|(name, _)| *name == spec.name);
            for form in malformed_values() {
                tried.insert(spec.name);
                let body = format!(r#"{{"{}":{form}}}"#, spec.name);
                let said = match bench.send(*verb, &path, &bench.root, &body).await {
                    // Metrics respond in plain text or JSON without an envelope.
                    Ok(CoreResponse::WithoutEnvelope { body, .. }) => {
                        vec![String::from_utf8(body).unwrap()]
                    }
                    Ok(answer) => super::test_core::into_test_response(answer).warnings,
                    Err(error) => {
                        let kind = error.kind();
                        assert_ne!(
                            kind,
                            strongroom_types::ErrorKind::Internal,
                            "{verb:?} {path} {body}: bad input is not an internal error: {error}"
                        );
                        reported_texts(&error)
                    }
                };
                let repeats = said.iter().any(|text| contains_marker(text));
                assert!(!repeats || names_things, "{verb:?} {path} {body}: {said:?}");
            }
        }
    }
}

/// The texts of an error that reach a client, and what the log says of it.
fn reported_texts(error: &strongroom_core::Error) -> Vec<String> {
    let mut texts = error.messages();
    texts.push(strongroom_types::chain(error).to_string());
    texts
}

/// Covers settings of existing mounts, and those nested in `config` and `options` of a new one. The
/// test of all fields only uses mounts that don't exist, and no nested fields.
#[tokio::test]
async fn cve_2025_4166_no_setting_of_a_mount_is_repeated() {
    let bench = TestCore::new().await;
    bench.write("sys/mounts/kv", r#"{"type":"kv"}"#).await;
    bench.write("sys/auth/door", r#"{"type":"door"}"#).await;
    let endpoints = crate::sys::ENDPOINTS.iter().flat_map(|group| group.iter());
    let mut tried = BTreeSet::new();
    for endpoint in endpoints {
        let (mount, class) = match endpoint.pattern {
            "mounts/{path..}/tune" => ("mounts/kv", "kv"),
            "auth/{path..}/tune" => ("auth/door", "door"),
            _ => continue,
        };
        let settings = endpoint.fields.iter().flat_map(|specs| specs.iter().map(|it| it.name));
        let is_value = |name: &&str| ECHOED_FIELDS.iter().all(|(named, _)| named != name);
        for name in settings.filter(is_value).chain(["version"]) {
            tried.insert(name);
            for form in malformed_values() {
                let within = if name == "version" { "options" } else { "config" };
                let new = format!(r#"{{"type":"{class}","{within}":{{"{name}":{form}}}}}"#);
                let tuned = match within {
                    "options" => format!(r#"{{"options":{{"{name}":{form}}}}}"#),
                    _ => format!(r#"{{"{name}":{form}}}"#),
                };
                for (path, body) in
                    [(format!("sys/{mount}-new"), new), (format!("sys/{mount}/tune"), tuned)]
                {
                    let said = match bench.send(Verb::Write, &path, &bench.root, &body).await {
                        Ok(answer) => super::test_core::into_test_response(answer).warnings,
                        Err(error) => reported_texts(&error),
                    };
                    assert!(
                        !said.iter().any(|text| contains_marker(text)),
                        "{path} {body}: {said:?}"
                    );
                }
            }
        }
    }
    for name in ["default_lease_ttl", "listing_visibility", "token_type", "version"] {
        assert!(tried.contains(name), "{name} was not tried");
    }
}

#[tokio::test]
async fn cve_2025_4166_no_header_is_repeated() {
    let bench = TestCore::new().await;
    for header in ["x-vault-wrap-ttl", "x-vault-namespace", "x-vault-mfa", "x-vault-wrap-format"] {
        for value in
            [MARKER.to_owned(), format!("-{MARKER}"), format!("1{MARKER}"), format!("{MARKER}s")]
        {
            let headers = [(header, value.as_str())];
            let asked = bench.send_with(Verb::Read, "sys/mounts", &bench.root, "", &headers).await;
            if let Err(error) = asked {
                assert!(
                    !reported_texts(&error).iter().any(|text| contains_marker(text)),
                    "{header}: {error}"
                );
            }
        }
    }
}
