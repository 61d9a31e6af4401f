use strongroom_core::request::Verb;
use strongroom_types::ErrorKind;

use super::TestCore;
use super::test_core::ReportedMessages;

#[tokio::test]
async fn a_token_may_do_what_its_policies_say_and_no_more() {
    let bench = TestCore::new().await;
    bench.write("sys/mounts/kv", r#"{"type":"kv"}"#).await;
    bench.write("kv/a", r#"{"x":"1"}"#).await;
    let reader = bench.token_with_policy(r#"path "kv/*" { capabilities = ["read"] }"#, "").await;
    assert_eq!(bench.succeeds_as(&reader, Verb::Read, "kv/a", "").await.text("x"), "1");
    let error = bench.fails_as(&reader, Verb::Write, "kv/a", r#"{"x":"2"}"#).await;
    assert_eq!(error.messages(), ["permission denied (collected)"]);
    assert_eq!(bench.fails_as(&reader, Verb::List, "kv/", "").await.kind(), ErrorKind::Denied);
    let error = bench.fails_as("hvs.nosuch", Verb::Read, "kv/a", "").await;
    assert_eq!(error.messages(), ["permission denied"]);
}

#[tokio::test]
async fn creating_and_updating_are_two_rights() {
    let bench = TestCore::new().await;
    bench.write("sys/mounts/kv", r#"{"type":"kv"}"#).await;
    bench.write("kv/old", r#"{"x":"1"}"#).await;
    let creator = bench.token_with_policy(r#"path "kv/*" { capabilities = ["create"] }"#, "").await;
    let updater = bench.token_with_policy(r#"path "kv/*" { capabilities = ["update"] }"#, "").await;
    bench.succeeds_as(&creator, Verb::Write, "kv/new", r#"{"x":"1"}"#).await;
    assert_eq!(
        bench.fails_as(&creator, Verb::Write, "kv/old", r#"{"x":"2"}"#).await.kind(),
        ErrorKind::Denied
    );
    bench.succeeds_as(&updater, Verb::Write, "kv/old", r#"{"x":"2"}"#).await;
    assert_eq!(
        bench.fails_as(&updater, Verb::Write, "kv/newer", r#"{"x":"1"}"#).await.kind(),
        ErrorKind::Denied
    );
}

#[tokio::test]
async fn an_unknown_mount_is_revealed_only_to_who_may_use_the_path() {
    let bench = TestCore::new().await;
    let error = bench.fails(Verb::Read, "nope/x", "").await;
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.messages(), ["no handler for route \"nope/x\". route entry not found."]);
    let nobody = bench.token_with_policy(r#"path "kv/*" { capabilities = ["read"] }"#, "").await;
    assert_eq!(bench.fails_as(&nobody, Verb::Read, "nope/x", "").await.kind(), ErrorKind::Denied);
    assert_eq!(bench.fails_as("", Verb::Read, "nope/x", "").await.kind(), ErrorKind::Denied);
    assert_eq!(
        bench.fails_as(&nobody, Verb::Write, "nope/x", "{}").await.kind(),
        ErrorKind::Denied
    );
}

#[tokio::test]
async fn policies_are_kept_listed_and_seen_at_once() {
    let bench = TestCore::new().await;
    let text = r#"{"policy":"path \"kv/*\" { capabilities = [\"read\"] }"}"#;
    assert!(bench.write("sys/policies/acl/dev", text).await.warnings.is_empty());
    assert_eq!(bench.read("sys/policies/acl/dev").await.text("name"), "dev");
    assert_eq!(
        bench.read("sys/policy/dev").await.text("rules"),
        r#"path "kv/*" { capabilities = ["read"] }"#
    );
    let listed = bench.succeeds(Verb::List, "sys/policies/acl", "").await;
    assert_eq!(listed.json("keys"), r#"["default","dev","root"]"#);
    assert_eq!(bench.read("sys/policy").await.json("policies"), r#"["default","dev","root"]"#);
    let converted = bench.write("sys/policies/acl/Ops", text).await;
    assert_eq!(converted.warnings, ["policy name was converted to ops"]);
    assert_eq!(
        bench.fails(Verb::Read, "sys/policies/acl", "").await.kind(),
        ErrorKind::Unsupported
    );
    assert_eq!(
        bench.fails(Verb::Read, "sys/policies/acl/nope", "").await.kind(),
        ErrorKind::NotFound
    );
    let error = bench.fails(Verb::Write, "sys/policies/acl/ROOT", text).await;
    assert_eq!(error.to_string(), "cannot update \"root\" policy");
    bench.succeeds(Verb::Delete, "sys/policies/acl/dev", "").await;
    bench.succeeds(Verb::Delete, "sys/policies/acl/dev", "").await;
    assert_eq!(
        bench.fails(Verb::Read, "sys/policies/acl/dev", "").await.kind(),
        ErrorKind::NotFound
    );
}

#[tokio::test]
async fn capabilities_of_the_caller() {
    let bench = TestCore::new().await;
    let token =
        bench.token_with_policy(r#"path "kv/*" { capabilities = ["read", "list"] }"#, "").await;
    let one =
        bench.succeeds_as(&token, Verb::Write, "sys/capabilities-self", r#"{"path":"kv/a"}"#).await;
    assert_eq!(
        (one.json("kv/a"), one.json("capabilities")),
        (r#"["list","read"]"#, r#"["list","read"]"#)
    );
    let two = bench
        .succeeds_as(&token, Verb::Write, "sys/capabilities-self", r#"{"paths":["kv/a","x"]}"#)
        .await;
    assert_eq!((two.json("x"), two.json("capabilities")), (r#"["deny"]"#, ""));
    assert_eq!(
        bench.write("sys/capabilities-self", r#"{"paths":"x"}"#).await.json("x"),
        r#"["root"]"#
    );
    let error = bench.fails(Verb::Write, "sys/capabilities-self", "{}").await;
    assert_eq!(error.to_string(), "paths must be supplied");
}

#[tokio::test]
async fn capabilities_of_another_token() {
    let bench = TestCore::new().await;
    let token = bench.token_with_policy(r#"path "kv/*" { capabilities = ["read"] }"#, "").await;
    let body = format!(r#"{{"token":"{token}","paths":"kv/a"}}"#);
    let answer = bench.succeeds(Verb::Write, "sys/capabilities", &body).await;
    assert_eq!(answer.json("kv/a"), r#"["read"]"#);
    let shown = bench.succeeds(Verb::Write, "auth/token/lookup", &body).await;
    let body = format!(r#"{{"accessor":"{}","paths":["kv/a","x"]}}"#, shown.text("accessor"));
    let answer = bench.succeeds(Verb::Write, "sys/capabilities-accessor", &body).await;
    assert_eq!((answer.json("kv/a"), answer.json("x")), (r#"["read"]"#, r#"["deny"]"#));
    for (path, what) in [("sys/capabilities", "token"), ("sys/capabilities-accessor", "accessor")] {
        let unknown = r#"{"token":"hvs.none","accessor":"none","paths":"kv/a"}"#;
        let error = bench.fails(Verb::Write, path, unknown).await;
        assert_eq!(error.messages(), [format!("invalid {what} (collected)")]);
        // The default policy grants capabilities-self only.
        let error = bench.fails_as(&token, Verb::Write, path, unknown).await;
        assert_eq!(error.kind(), ErrorKind::Denied);
    }
}

#[tokio::test]
async fn cve_2025_5999_and_cve_2025_54996_no_other_spelling_walks_around_a_denial() {
    let bench = TestCore::new().await;
    bench
        .write("sys/policies/acl/prod", r#"{"policy":"path \"a\" { capabilities = [\"read\"] }"}"#)
        .await;
    bench.write("sys/mounts/kept", r#"{"type":"kv"}"#).await;
    let all = r#"capabilities = ["create", "read", "update", "delete", "list", "sudo"]"#;
    let rules = format!(
        r#"path "sys/policies/acl/*" {{ {all} }}
        path "sys/policies/acl/prod" {{ capabilities = ["deny"] }}
        path "sys/policy/*" {{ {all} }}
        path "sys/policy/prod" {{ capabilities = ["deny"] }}
        path "sys/mounts/*" {{ {all} }}
        path "sys/mounts/kept" {{ capabilities = ["deny"] }}"#
    );
    let token = bench.token_with_policy(&rules, "").await;
    for folder in ["sys/policies/acl", "sys/policy"] {
        for name in ["prod", "PROD", "Prod", "prod ", " prod", "prod\u{a0}"] {
            for verb in [Verb::Read, Verb::Write, Verb::Delete] {
                let body = if verb == Verb::Write { r#"{"policy":"path \"*\" {}"}"# } else { "" };
                let answer = bench.send(verb, &format!("{folder}/{name}"), &token, body).await;
                // Some aren't valid paths.
                let kind = answer.unwrap_err().kind();
                assert!(
                    matches!(kind, ErrorKind::Denied | ErrorKind::Invalid),
                    "{name:?} {verb:?}"
                );
            }
        }
    }
    let error = bench.fails_as(&token, Verb::Delete, "sys/mounts/kept/", "").await;
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(bench.read("sys/mounts").await.data.contains("kept/"));
    bench.read("sys/policies/acl/prod").await;
    bench
        .succeeds_as(&token, Verb::Write, "sys/policies/acl/Other", r#"{"policy":"path \"x\" {}"}"#)
        .await;
}

#[tokio::test]
async fn help_does_not_tell_what_is_mounted() {
    let bench = TestCore::new().await;
    bench.write("sys/mounts/kv", r#"{"type":"kv"}"#).await;
    let token = bench.token_with_policy(r#"path "other" { capabilities = ["read"] }"#, "").await;
    for path in ["kv/x", "nothing/x"] {
        let error = bench.fails_as(&token, Verb::Help, path, "").await;
        assert_eq!(error.kind(), ErrorKind::Denied, "{path}");
    }
    bench.succeeds(Verb::Help, "kv/x", "").await;
}

/// Sends every verb to every root path, with a token that may do everything but `sudo`. The next
/// test compares the table with Vault's list, as far as it is implemented.
#[tokio::test]
async fn cve_2023_0665_root_paths_need_sudo_with_every_verb() {
    let bench = TestCore::new().await;
    let ordinary = r#"capabilities = ["create", "read", "update", "patch", "delete", "list"]"#;
    let sudo = r#"capabilities = ["create", "read", "update", "patch", "delete", "list", "sudo"]"#;
    let rules = |granted: &str| format!(r#"path "*" {{ {granted} }}"#);
    // The default policy has more specific rules for some of these paths.
    let alone = r#","no_default_policy":true"#;
    let token = bench.token_with_policy(&rules(ordinary), alone).await;
    let sudo = bench.token_with_policy(&rules(sudo), alone).await;
    for pattern in crate::root_paths::ROOT_PATHS {
        let below = ["", "x", "x/y", "x/tune", "secret/x"].map(|rest| pattern.replace('*', rest));
        let paths = if pattern.ends_with('*') { below.as_slice() } else { &below[..1] };
        for path in paths {
            for verb in [Verb::Read, Verb::Write, Verb::Delete, Verb::Patch, Verb::List] {
                let path = if verb == Verb::List { path.trim_end_matches('/') } else { path };
                let exact = !pattern.ends_with('*');
                if path.is_empty() || (verb == Verb::List && exact) {
                    continue;
                }
                let error = bench.fails_as(&token, verb, path, r#"{"type":"irrevocable"}"#).await;
                assert_eq!(error.kind(), ErrorKind::Denied, "{verb:?} {path}");
                if matches!(*pattern, "sys/seal" | "sys/step-down") && verb == Verb::Write {
                    continue;
                }
                let allowed = bench.send(verb, path, &sudo, r#"{"type":"irrevocable"}"#).await;
                let denied = allowed.is_err_and(|error| error.kind() == ErrorKind::Denied);
                assert!(!denied, "{verb:?} {path} with sudo");
            }
        }
    }
    for (verb, path) in [(Verb::Read, "sys/plugins/catalog"), (Verb::Read, "sys/mounts")] {
        bench.succeeds_as(&token, verb, path, "").await;
    }
}

/// Each of Vault's root paths is either in the table or not implemented. When a path is
/// implemented, it moves from the second list into the table.
#[test]
fn cve_2023_0665_the_table_has_every_root_path_that_is_built() {
    const BUILT: &[&str] = &[
        "auth/token/accessors/*",
        "sys/auth/*",
        "sys/leases",
        "sys/leases/lookup/*",
        "sys/leases/revoke-force/*",
        "sys/leases/revoke-prefix/*",
        "sys/plugins/catalog/*",
        "sys/remount",
        "sys/revoke-force/*",
        "sys/revoke-prefix/*",
        "sys/seal",
        "sys/step-down",
    ];
    assert_eq!(crate::root_paths::ROOT_PATHS, BUILT);
    const NOT_BUILT: &[&str] = &[
        "sys/audit",
        "sys/audit/*",
        "sys/raw",
        "sys/raw/*",
        "sys/replication/primary/secondary-token",
        "sys/replication/performance/primary/secondary-token",
        "sys/replication/dr/primary/secondary-token",
        "sys/replication/reindex",
        "sys/replication/dr/reindex",
        "sys/replication/performance/reindex",
        "sys/rotate",
        "sys/rotate/root",
        "sys/config/cors",
        "sys/config/auditing/*",
        "sys/config/ui/headers/*",
        "sys/internal/inspect/*",
        "sys/internal/counters/activity/export",
        "sys/storage/raft/snapshot-auto/config/*",
    ];
    let sample = |pattern: &str| pattern.strip_prefix("sys/").unwrap().replace('*', "x");
    for pattern in NOT_BUILT {
        let path = sample(pattern);
        let known = crate::sys::ENDPOINTS.iter().flat_map(|group| group.iter()).any(|endpoint| {
            strongroom_schema::pattern::RoutePattern::new(endpoint.pattern)
                .match_path(&path)
                .is_some()
        });
        assert!(!known, "{pattern} is built: put it into the table of root paths");
    }
}

#[tokio::test]
async fn what_is_denied_of_an_auth_method_is_denied_by_its_other_path() {
    let bench = TestCore::new().await;
    let rules = r#"path "sys/mounts/*" { capabilities = ["read", "update"] }"#;
    let token = bench.token_with_policy(rules, "").await;
    bench.succeeds_as(&token, Verb::Read, "sys/mounts/auth/token/tune", "").await;
    let denial = r#"path "sys/auth/*" { capabilities = ["deny"] }"#;
    let token = bench.token_with_policy(&format!("{rules} {denial}"), "").await;
    for (verb, path) in [
        (Verb::Read, "sys/mounts/auth/token/tune"),
        (Verb::Write, "sys/mounts/auth/token/tune"),
        (Verb::Read, "sys/mounts/auth/token/"),
    ] {
        let error = bench.fails_as(&token, verb, path, r#"{"max_lease_ttl":"1h"}"#).await;
        assert_eq!(error.kind(), ErrorKind::Denied, "{verb:?} {path}");
    }
    bench.succeeds_as(&token, Verb::Read, "sys/mounts/sys/tune", "").await;
}

#[tokio::test]
async fn a_lease_in_the_body_does_not_stand_for_the_one_that_policies_judged() {
    let bench = TestCore::new().await.with_credential_engine().await;
    let lease = bench.read("out/creds/dev").await.lease_id;
    let rules = r#"path "sys/leases/revoke/allowed/*" { capabilities = ["update"] }"#;
    let token = bench.token_with_policy(rules, "").await;
    let body = format!(r#"{{"lease_id":"{lease}","sync":true}}"#);
    let error = bench.fails_as(&token, Verb::Write, "sys/leases/revoke/allowed/x", &body).await;
    assert_eq!(error.to_string(), "the path and lease_id name two different leases");
    let look = format!(r#"{{"lease_id":"{lease}"}}"#);
    bench.write("sys/leases/lookup", &look).await;
    // Giving the same lease in path and body is allowed.
    bench.write(&format!("sys/leases/revoke/{lease}"), &body).await;
    bench.fails(Verb::Write, "sys/leases/lookup", &look).await;
}
