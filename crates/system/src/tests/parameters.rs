use strongroom_core::request::Verb;
use strongroom_types::ErrorKind;

use super::TestCore;
use super::test_core::ReportedMessages;

const ALL: &str = r#"capabilities = ["create", "read", "update", "patch", "delete", "list"]"#;

/// Whether policies allow the request.
async fn is_allowed(bench: &TestCore, token: &str, verb: Verb, path: &str, body: &str) -> bool {
    match bench.send(verb, path, token, body).await {
        Ok(_) => true,
        Err(error) => {
            let denied = error.kind() == ErrorKind::Denied;
            if denied {
                assert_eq!(error.messages(), ["permission denied (collected)"]);
            }
            !denied
        }
    }
}

#[tokio::test]
async fn conditions_hold_for_engines_whether_they_create_or_update() {
    let bench = TestCore::new().await;
    bench.write("sys/mounts/kv", r#"{"type":"kv"}"#).await;
    let rule = format!(
        r#"path "kv/*" {{ {ALL} allowed_parameters = {{ "ttl" = ["1h", "2*"], "note" = [] }}
           denied_parameters = {{ "note" = ["bad*"] }} required_parameters = ["ttl"] }}"#
    );
    let token = bench.token_with_policy(&rule, "").await;
    for _ in 0..2 {
        assert!(
            is_allowed(&bench, &token, Verb::Write, "kv/a", r#"{"ttl":"1h","note":"x"}"#).await
        );
        assert!(is_allowed(&bench, &token, Verb::Write, "kv/a", r#"{"ttl":"2h"}"#).await);
        for body in [
            r#"{"ttl":"3h"}"#,
            r#"{"note":"x"}"#,
            r#"{"ttl":"1h","note":"badly"}"#,
            r#"{"ttl":"1h","NOTE":"badly"}"#,
            r#"{"ttl":"1h","other":1}"#,
            r#"{"ttl":"3h","ttl":"1h","ttl":"3h"}"#,
            "{}",
        ] {
            assert!(!is_allowed(&bench, &token, Verb::Write, "kv/a", body).await, "{body}");
            assert!(!is_allowed(&bench, &token, Verb::Write, "kv/new", body).await, "{body}");
        }
    }
    // Of duplicate keys the last counts, both for policies and for the engine.
    assert!(is_allowed(&bench, &token, Verb::Write, "kv/a", r#"{"ttl":"3h","ttl":"1h"}"#).await);
    assert_eq!(bench.read("kv/a").await.text("ttl"), "1h");
    assert!(!is_allowed(&bench, &token, Verb::Read, "kv/a", "").await);
    assert!(is_allowed(&bench, &token, Verb::Read, "kv/a", r#"{"ttl":"1h"}"#).await);
    assert!(is_allowed(&bench, &token, Verb::List, "kv/", "").await);
    assert!(is_allowed(&bench, &token, Verb::Delete, "kv/a", "").await);
}

#[tokio::test]
async fn conditions_hold_for_the_servers_own_paths_however_they_are_spelled() {
    let bench = TestCore::new().await;
    let rule = format!(
        r#"path "auth/token/create" {{ {ALL} denied_parameters = {{ "policies" = ["root", "admin*"], "no_parent" = [] }} }}
           path "sys/policies/acl/*" {{ {ALL} }}
           path "sys/policies/acl/dev" {{ {ALL} required_parameters = ["reason"] }}"#
    );
    let token = bench.token_with_policy(&rule, "").await;
    for body in [
        r#"{"policies":["admin"]}"#,
        r#"{"policies":"administrators"}"#,
        r#"{"policies":["default","root"]}"#,
        r#"{"no_parent":false}"#,
        r#"{"NO_PARENT":true}"#,
    ] {
        assert!(
            !is_allowed(&bench, &token, Verb::Write, "auth/token/create", body).await,
            "{body}"
        );
    }
    assert!(is_allowed(&bench, &token, Verb::Write, "auth/token/create", r#"{"ttl":"1h"}"#).await);
    let text = r#"{"policy":"path \"x\" {}"}"#;
    for name in ["dev", "DEV", "dev ", " Dev"] {
        assert!(
            !is_allowed(&bench, &token, Verb::Write, &format!("sys/policies/acl/{name}"), text)
                .await,
            "{name:?}"
        );
    }
    let reasoned = r#"{"policy":"path \"x\" {}","reason":"because"}"#;
    assert!(is_allowed(&bench, &token, Verb::Write, "sys/policies/acl/dev", reasoned).await);
    assert!(is_allowed(&bench, &token, Verb::Write, "sys/policies/acl/other", text).await);
}

/// Policy conditions see the values of `policies` as the handler does: list entries, split at
/// commas, trimmed and lower-cased. With `sudo` the token may choose any policy but the denied
/// ones.
#[tokio::test]
async fn vault_1_21_a_denied_policy_is_found_in_every_spelling() {
    let bench = TestCore::new().await;
    let rule = r#"path "auth/token/create" { capabilities = ["create", "update", "sudo"]
        denied_parameters = { "policies" = ["admin*"] } }"#;
    let token = bench.token_with_policy(rule, "").await;
    for policies in [
        r#""admin-x""#,
        r#""dev,admin-x""#,
        r#"["admin-x"]"#,
        r#"" admin-x""#,
        r#"["dev","admin-x"]"#,
        r#""ADMIN-x""#,
        r#"["Admin-x"]"#,
        r#"["dev"," aDMIN "]"#,
        r#""dev, admin""#,
    ] {
        let body = format!(r#"{{"policies":{policies}}}"#);
        assert!(
            !is_allowed(&bench, &token, Verb::Write, "auth/token/create", &body).await,
            "{body}"
        );
    }
    for policies in [r#""dev""#, r#""dev,ops""#, r#"["dev","administer"]"#, r#""x-admin""#] {
        let body = format!(r#"{{"policies":{policies}}}"#);
        let allowed = !policies.contains("administer");
        assert_eq!(
            is_allowed(&bench, &token, Verb::Write, "auth/token/create", &body).await,
            allowed,
            "{body}"
        );
    }
}

#[tokio::test]
async fn vault_1_21_conditions_on_token_roles_hold_in_every_spelling() {
    let bench = TestCore::new().await;
    let path = "auth/token/roles/r";
    let rule = |conditions: &str| {
        format!(
            r#"path "auth/token/roles/*" {{ capabilities = ["create", "update"] {conditions} }}"#
        )
    };
    let denied = rule(r#"denied_parameters = { "allowed_policies" = ["admin"] }"#);
    let token = bench.token_with_policy(&denied, "").await;
    for policies in [r#""dev,admin""#, r#"" admin""#, r#""ADMIN""#, r#"["dev","Admin "]"#] {
        let body = format!(r#"{{"allowed_policies":{policies}}}"#);
        assert!(!is_allowed(&bench, &token, Verb::Write, path, &body).await, "{body}");
    }
    assert!(
        is_allowed(&bench, &token, Verb::Write, path, r#"{"allowed_policies":"dev,ops"}"#).await
    );
    let allowed = rule(r#"allowed_parameters = { "allowed_policies" = ["team-*"] }"#);
    let token = bench.token_with_policy(&allowed, "").await;
    for policies in [r#""team-a,admin""#, r#"["team-a","admin"]"#, r#""admin,team-a""#, r#""""#] {
        let body = format!(r#"{{"allowed_policies":{policies}}}"#);
        assert!(!is_allowed(&bench, &token, Verb::Write, path, &body).await, "{body}");
    }
    for policies in [r#""team-a,team-b""#, r#"["TEAM-a"]"#, r#"" team-a ""#] {
        let body = format!(r#"{{"allowed_policies":{policies}}}"#);
        assert!(is_allowed(&bench, &token, Verb::Write, path, &body).await, "{body}");
    }
}

#[tokio::test]
async fn conditions_hold_for_legacy_names_of_fields() {
    let bench = TestCore::new().await;
    let rules = r#"
        path "auth/token/roles/*" { capabilities = ["create", "update"]
            denied_parameters = { "token_period" = ["24h"], "token_bound_cidrs" = [] }
            required_parameters = ["token_explicit_max_ttl"] }
        path "auth/token/create" { capabilities = ["create", "update"]
            allowed_parameters = { "*" = [], "ttl" = ["1h"] } }
        path "sys/policies/acl/*" { capabilities = ["create", "update"]
            denied_parameters = { "policy" = [] } }"#;
    let token = bench.token_with_policy(rules, "").await;
    for (path, body, wanted) in [
        ("auth/token/roles/r", r#"{"explicit_max_ttl":"1h"}"#, true),
        ("auth/token/roles/r", r#"{"explicit_max_ttl":null}"#, false),
        ("auth/token/roles/r", "{}", false),
        ("auth/token/roles/r", r#"{"explicit_max_ttl":"1h","period":86400}"#, false),
        ("auth/token/roles/r", r#"{"explicit_max_ttl":"1h","token_period":"1d"}"#, false),
        ("auth/token/roles/r", r#"{"explicit_max_ttl":"1h","period":"1h"}"#, true),
        ("auth/token/roles/r", r#"{"explicit_max_ttl":"1h","bound_cidrs":"10.0.0.0/8"}"#, false),
        ("auth/token/create", r#"{"ttl":"1h"}"#, true),
        ("auth/token/create", r#"{"lease":"60m"}"#, true),
        ("auth/token/create", r#"{"lease":"2h"}"#, false),
        ("auth/token/create", r#"{"ttl":"1h","lease":"2h"}"#, false),
        ("sys/policies/acl/x", r#"{"rules":"path \"a\" {}"}"#, false),
    ] {
        assert_eq!(
            is_allowed(&bench, &token, Verb::Write, path, body).await,
            wanted,
            "{path} {body}"
        );
    }
}

/// Policy conditions apply to what handlers make of a field: they take versions with or without
/// `v`, digests in any case, arguments inside the command, and a new mount's plug-in name and
/// version also from `config`.
#[tokio::test]
async fn conditions_hold_for_what_handlers_of_plugins_and_mounts_make_of_a_text() {
    let bench = TestCore::new().await;
    let rules = r#"
        path "sys/mounts/denied" { capabilities = ["create", "update"]
            denied_parameters = { "type" = ["door-engine"], "plugin_version" = ["v9.9.9"] } }
        path "sys/mounts/allowed" { capabilities = ["create", "update"]
            allowed_parameters = { "type" = ["kv"], "*" = [] } }
        path "sys/plugins/catalog/*" { capabilities = ["create", "update", "sudo"]
            denied_parameters = { "sha256" = ["AB*"], "version" = ["v1.0.0"], "command" = ["evil"] } }"#;
    let token = bench.token_with_policy(rules, "").await;
    let config = |inner: &str| format!(r#"{{"type":"plugin","config":{{{inner}}}}}"#);
    let auth_method = r#""plugin_name":"door-engine""#;
    for (path, body, wanted) in [
        ("sys/mounts/denied", r#"{"type":"door-engine"}"#.to_owned(), false),
        ("sys/mounts/denied", config(auth_method), false),
        ("sys/mounts/denied", r#"{"type":"kv","plugin_version":"9.9.9"}"#.to_owned(), false),
        ("sys/mounts/denied", config(r#""plugin_name":"kv","plugin_version":"9.9.9""#), false),
        ("sys/mounts/denied", config(r#""plugin_name":"kv""#), true),
        ("sys/mounts/allowed", format!(r#"{{"config":{{{auth_method}}}}}"#), false),
        ("sys/mounts/allowed", r#"{"config":{"plugin_name":"kv"}}"#.to_owned(), true),
        ("sys/plugins/catalog/secret/x", r#"{"command":"x","sha256":"ab00"}"#.to_owned(), false),
        ("sys/plugins/catalog/secret/x", r#"{"command":"x","sha_256":" aB00"}"#.to_owned(), false),
        ("sys/plugins/catalog/secret/x", r#"{"command":"x","version":"1.0.0"}"#.to_owned(), false),
        ("sys/plugins/catalog/secret/x", r#"{"command":"evil -x"}"#.to_owned(), false),
        ("sys/plugins/catalog/secret/x", r#"{"command":" evil"}"#.to_owned(), false),
        ("sys/plugins/catalog/secret/x", r#"{"command":"fine","sha256":"00"}"#.to_owned(), true),
    ] {
        assert_eq!(
            is_allowed(&bench, &token, Verb::Write, path, &body).await,
            wanted,
            "{path} {body}"
        );
    }
}

/// The types `kv`, `kv-v1`, `kv-v2` and `generic` name two kinds of mount, which `options` can
/// select as well.
#[tokio::test]
async fn vault_1_21_a_kv_mount_is_judged_under_each_name_of_its_type() {
    let bench = TestCore::new().await;
    let rule = |path: &str, conditions: &str| {
        format!(
            r#"path "sys/mounts/{path}" {{ capabilities = ["create", "update"] {conditions} }}
               "#
        )
    };
    let rules = [
        rule("no-kv", r#"denied_parameters = { "type" = ["kv"] }"#),
        rule("no-v1", r#"denied_parameters = { "type" = ["kv-v1"] }"#),
        rule("no-v2", r#"denied_parameters = { "type" = ["kv-v2"] }"#),
        rule("no-2", r#"denied_parameters = { "options" = ["version=2"] }"#),
        rule("only-1", r#"allowed_parameters = { "type" = [], "options" = ["version=1"] }"#),
        rule("only-v2", r#"allowed_parameters = { "type" = ["kv-v2"], "options" = [] }"#),
    ];
    let token = bench.token_with_policy(&rules.concat(), "").await;
    let kv = |version: &str| format!(r#"{{"type":"kv","options":{{"version":"{version}"}}}}"#);
    let plain = |name: &str| format!(r#"{{"type":"{name}"}}"#);
    let text = r#"{"type":"kv","options":"version=2"}"#.to_owned();
    let inner = r#"{"type":"plugin","config":{"plugin_name":"kv-v2"}}"#.to_owned();
    for (path, body, wanted) in [
        ("no-kv", plain("kv-v1"), false),
        ("no-kv", plain("kv-v2"), false),
        ("no-kv", plain("generic"), false),
        ("no-kv", r#"{"plugin_name":"generic"}"#.to_owned(), false),
        ("no-kv", inner.clone(), false),
        ("no-kv", plain("outside"), true),
        ("no-v1", plain("kv"), false),
        ("no-v1", kv("1"), false),
        ("no-v1", plain("generic"), false),
        ("no-v1", kv("2"), true),
        ("no-v1", plain("kv-v2"), true),
        ("no-v2", kv("2"), false),
        ("no-v2", text, false),
        ("no-v2", inner, false),
        ("no-v2", plain("kv"), true),
        ("no-v2", plain("kv-v1"), true),
        ("no-2", plain("kv-v2"), false),
        ("no-2", plain("kv-v1"), true),
        ("no-2", plain("kv"), true),
        ("only-1", plain("kv-v2"), false),
        ("only-1", plain("kv-v1"), true),
        ("only-1", plain("kv"), true),
        ("only-v2", plain("kv-v2"), true),
        ("only-v2", plain("kv-v1"), false),
        ("only-v2", kv("2"), false),
    ] {
        let whole = format!("sys/mounts/{path}");
        assert_eq!(
            is_allowed(&bench, &token, Verb::Write, &whole, &body).await,
            wanted,
            "{path} {body}"
        );
        bench.succeeds(Verb::Delete, &whole, "").await;
    }
}

/// Arguments of a plug-in can be given in `command`, and a policy's text can be in base64.
#[tokio::test]
async fn vault_1_21_arguments_in_a_command_and_policies_in_base64_are_judged() {
    let bench = TestCore::new().await;
    let rules = r#"
        path "sys/plugins/catalog/secret/args" { capabilities = ["create", "update", "sudo"]
            denied_parameters = { "args" = ["-evil"] } }
        path "sys/plugins/catalog/secret/line" { capabilities = ["create", "update", "sudo"]
            denied_parameters = { "command" = ["x -evil"] } }
        path "sys/plugins/catalog/secret/some" { capabilities = ["create", "update", "sudo"]
            allowed_parameters = { "command" = [], "args" = ["-fine"] } }
        path "sys/policies/acl/*" { capabilities = ["create", "update"]
            denied_parameters = { "policy" = ["*sudo*"] } }
        path "sys/policy/*" { capabilities = ["create", "update"]
            allowed_parameters = { "policy" = ["path*"], "rules" = ["path*", "c*"] } }
        path "sys/policies/password/*" { capabilities = ["create", "update"]
            denied_parameters = { "policy" = ["*length = 5*"] } }"#;
    let token = bench.token_with_policy(rules, "").await;
    let encoded = |field: &str, text: &str| {
        let text = data_encoding::BASE64.encode(text.as_bytes());
        format!(r#"{{"{field}":"{text}"}}"#)
    };
    let sudo = r#"path "a" { capabilities = ["sudo"] }"#;
    let read = r#"path "a" { capabilities = ["read"] }"#;
    let comment = "# c\npath \"a\" {}";
    for (path, body, wanted) in [
        ("sys/plugins/catalog/secret/args", r#"{"command":"x -evil"}"#.to_owned(), false),
        ("sys/plugins/catalog/secret/args", r#"{"command":"x a\t-evil b"}"#.to_owned(), false),
        ("sys/plugins/catalog/secret/args", r#"{"command":"x","args":"-evil"}"#.to_owned(), false),
        ("sys/plugins/catalog/secret/args", r#"{"command":"-evil"}"#.to_owned(), true),
        ("sys/plugins/catalog/secret/args", r#"{"command":"x -fine"}"#.to_owned(), true),
        ("sys/plugins/catalog/secret/line", r#"{"command":"x  -evil"}"#.to_owned(), false),
        (
            "sys/plugins/catalog/secret/line",
            r#"{"command":"x","args":["-evil"]}"#.to_owned(),
            false,
        ),
        ("sys/plugins/catalog/secret/line", r#"{"command":"x","args":["-fine"]}"#.to_owned(), true),
        ("sys/plugins/catalog/secret/some", r#"{"command":"x -evil"}"#.to_owned(), false),
        ("sys/plugins/catalog/secret/some", r#"{"command":"x -fine"}"#.to_owned(), true),
        ("sys/plugins/catalog/secret/some", r#"{"command":"x","args":"-fine"}"#.to_owned(), true),
        ("sys/plugins/catalog/secret/some", r#"{"command":"x"}"#.to_owned(), true),
        ("sys/policies/acl/x", encoded("policy", sudo), false),
        ("sys/policies/acl/x", encoded("rules", sudo), false),
        ("sys/policies/acl/x", encoded("policy", read), true),
        ("sys/policy/x", encoded("policy", read), false),
        ("sys/policy/x", encoded("rules", comment), false),
        ("sys/policies/password/x", encoded("policy", "length = 5\nrule \"charset\" {}"), false),
        ("sys/policies/password/x", encoded("policy", "length = 9"), true),
    ] {
        assert_eq!(
            is_allowed(&bench, &token, Verb::Write, path, &body).await,
            wanted,
            "{path} {body}"
        );
    }
}

/// `door-engine` doesn't declare how it reads its fields: it may split or fold values, or not.
#[tokio::test]
async fn vault_1_21_values_of_plug_ins_are_judged_in_every_way_they_might_be_read() {
    let bench = TestCore::new().await;
    bench.write("sys/mounts/plug", r#"{"type":"door-engine"}"#).await;
    let rule = |conditions: &str| {
        format!(r#"path "plug/*" {{ capabilities = ["create", "update"] {conditions} }}"#)
    };
    let denied =
        bench.token_with_policy(&rule(r#"denied_parameters = { "p" = ["admin"] }"#), "").await;
    let allowed =
        bench.token_with_policy(&rule(r#"allowed_parameters = { "p" = ["team-*"] }"#), "").await;
    for (value, by_denial, by_allowance) in [
        (r#""team-a""#, true, true),
        (r#"["team-a","team-b"]"#, true, true),
        (r#""team-a,team-b""#, true, false),
        (r#""team-a,admin""#, false, false),
        (r#"["team-a","Admin"]"#, false, false),
        (r#"{"x":[" ADMIN"]}"#, false, false),
    ] {
        let body = format!(r#"{{"p":{value}}}"#);
        assert_eq!(
            is_allowed(&bench, &denied, Verb::Write, "plug/a", &body).await,
            by_denial,
            "{body}"
        );
        assert_eq!(
            is_allowed(&bench, &allowed, Verb::Write, "plug/a", &body).await,
            by_allowance,
            "{body}"
        );
    }
}

#[tokio::test]
async fn conditions_hold_for_legacy_names_that_an_engine_declares() {
    let bench = TestCore::new().await.with_credential_engine().await;
    for (condition, named) in [
        (r#"denied_parameters = { "ttl" = ["24h"] }"#, "ttl"),
        (r#"denied_parameters = { "lease" = ["24h"] }"#, "lease"),
        (r#"allowed_parameters = { "*" = [], "ttl" = ["1h"] }"#, "ttl, restricted"),
    ] {
        let rule = format!(r#"path "out/roles/*" {{ {ALL} {condition} }}"#);
        let token = bench.token_with_policy(&rule, "").await;
        for sent in ["ttl", "lease"] {
            for (value, expected) in [("86400", false), (r#""1440m""#, false), ("3600", true)] {
                let body = format!(r#"{{"{sent}":{value}}}"#);
                let allowed = is_allowed(&bench, &token, Verb::Write, "out/roles/x", &body).await;
                assert_eq!(allowed, expected, "{named}: {body}");
            }
        }
    }
}

#[tokio::test]
async fn where_answers_must_be_wrapped_an_unwrapped_request_is_denied() {
    let bench = TestCore::new().await.with_credential_engine().await;
    let rule = format!(
        r#"path "out/creds/*" {{ {ALL} min_wrapping_ttl = "1m" max_wrapping_ttl = "5m" }}"#
    );
    let token = bench.token_with_policy(&rule, "").await;
    assert!(!is_allowed(&bench, &token, Verb::Read, "out/creds/dev", "").await);
    assert_eq!(bench.outside.live_credentials(), 0, "the engine was never asked");
    for verb in [Verb::List, Verb::Delete, Verb::Write] {
        assert!(!is_allowed(&bench, &token, verb, "out/creds/dev", "").await, "{verb:?}");
    }
    let shown = bench
        .succeeds_as(&token, Verb::Write, "sys/capabilities-self", r#"{"path":"out/creds/dev"}"#)
        .await;
    assert!(
        shown.json("capabilities").contains("read"),
        "what is granted, whatever is asked beside it"
    );
}

#[tokio::test]
async fn capabilities_match_the_authorization_of_requests() {
    let bench = TestCore::new().await;
    let rules = r#"
        path "kv/team" { capabilities = ["list"] }
        path "kv/t2/" { capabilities = ["list"] }
        path "kv/t3/*" { capabilities = ["read", "list"] }
        path "kv/deny" { capabilities = ["deny"] }
        path "kv/sudo" { capabilities = ["sudo"] }
        path "kv/none" { capabilities = [] }"#;
    let token = bench.token_with_policy(rules, "").await;
    let paths = "kv/team,kv/team/,kv/t2,kv/t2/,kv/t3,kv/t3/,/kv/t3/a,kv/deny,kv/sudo,kv/none,zz";
    let named = format!(r#"{{"token":"{token}"}}"#);
    let accessor = bench.write("auth/token/lookup", &named).await.text("accessor");
    for list in [format!("{paths:?}"), format!("[\"{}\"]", paths.replace(',', "\",\""))] {
        for field in ["paths", "path"] {
            let own = format!(r#"{{"{field}":{list}}}"#);
            let of_token = format!(r#"{{"token":"{token}","{field}":{list}}}"#);
            let of_accessor = format!(r#"{{"accessor":"{accessor}","{field}":{list}}}"#);
            for shown in [
                bench.succeeds_as(&token, Verb::Write, "sys/capabilities-self", &own).await,
                bench.write("sys/capabilities", &of_token).await,
                bench.write("sys/capabilities-accessor", &of_accessor).await,
            ] {
                for (path, wanted) in [
                    ("kv/team", r#"["list"]"#),
                    ("kv/team/", r#"["list"]"#),
                    ("kv/t2", r#"["deny"]"#),
                    ("kv/t2/", r#"["list"]"#),
                    ("kv/t3", r#"["deny"]"#),
                    ("kv/t3/", r#"["list","read"]"#),
                    ("/kv/t3/a", r#"["list","read"]"#),
                    ("kv/deny", r#"["deny"]"#),
                    ("kv/sudo", r#"["sudo"]"#),
                    ("kv/none", r#"["deny"]"#),
                    ("zz", r#"["deny"]"#),
                ] {
                    assert_eq!(shown.json(path), wanted, "{path}");
                }
                assert!(!shown.data.contains("capabilities"));
            }
        }
    }
    let error = bench.fails(Verb::Write, "sys/capabilities-accessor", r#"{"path":"a"}"#).await;
    assert_eq!(error.messages(), ["missing accessor"]);
}
