use strongroom_core::request::Verb;
use strongroom_types::ErrorKind;

use super::TestCore;
use super::test_core::ReportedMessages;

#[tokio::test]
async fn kv_returns_json_values_unchanged() {
    let bench = TestCore::new().await;
    bench.write("sys/mounts/team/kv/", r#"{"type":"kv","description":"d"}"#).await;
    let body = r#"{"n":12345678901234567890,"d":1.10,"e":1e3,"o":{"b":[1,null]},"s":"<&>"}"#;
    bench.write("team/kv/a/b", body).await;
    let got = bench.read("team/kv/a/b").await;
    assert_eq!(
        (got.json("n"), got.json("d"), got.json("e")),
        ("12345678901234567890", "1.10", "1e3")
    );
    assert_eq!(
        (got.json("o"), got.ttl, got.lease_id.as_str()),
        (r#"{"b":[1,null]}"#, 2_764_800, "")
    );
    bench.write("team/kv/short", r#"{"x":"1","ttl":"30m"}"#).await;
    assert_eq!(bench.read("team/kv/short").await.ttl, 1800);
    assert_eq!(bench.succeeds(Verb::List, "team/kv", "").await.json("keys"), r#"["a/","short"]"#);
    assert_eq!(bench.succeeds(Verb::List, "team/kv/a", "").await.json("keys"), r#"["b"]"#);
    assert_eq!(bench.fails(Verb::List, "team/kv/zz", "").await.kind(), ErrorKind::NotFound);
    bench.succeeds(Verb::Delete, "team/kv/a/b", "").await;
    bench.succeeds(Verb::Delete, "team/kv/a/b", "").await;
    assert!(bench.fails(Verb::Read, "team/kv/a/b", "").await.messages().is_empty());
    assert_eq!(
        bench.fails(Verb::Write, "team/kv/x", "{}").await.to_string(),
        "missing data fields"
    );
    let error = bench.fails(Verb::Write, "team/kv/x/", r#"{"a":1}"#).await;
    assert_eq!(error.to_string(), "cannot write to a path ending in '/'");
}

#[tokio::test]
async fn mounts_are_shown_tuned_and_survive_a_restart() {
    let mut bench = TestCore::new().await;
    let body = r#"{"type":"kv","description":"mine","config":{"default_lease_ttl":"1h","max_lease_ttl":"2h","plugin_name":""}}"#;
    bench.write("sys/mounts/kv", body).await;
    let listed = bench.read("sys/mounts").await;
    let kv = listed.json("kv/");
    for part in [
        r#""type":"kv""#,
        r#""description":"mine""#,
        r#""default_lease_ttl":3600"#,
        r#""accessor":"kv_"#,
        r#""running_plugin_version":"v"#,
    ] {
        assert!(kv.contains(part), "{kv}");
    }
    assert!(listed.data.contains("sys/"));
    assert_eq!(bench.read("sys/mounts/kv/tune").await.json("max_lease_ttl"), "7200");
    bench.write("sys/mounts/kv/tune", r#"{"max_lease_ttl":"3h","description":"ours"}"#).await;
    bench.restart().await;
    let tuned = bench.read("sys/mounts/kv/tune").await;
    assert_eq!(
        (tuned.json("max_lease_ttl"), tuned.text("description")),
        ("10800", "ours".to_owned())
    );
    let error =
        bench.fails(Verb::Write, "sys/mounts/kv/tune", r#"{"default_lease_ttl":"9h"}"#).await;
    assert!(
        error.to_string().contains("would be less than backend default lease TTL of 32400"),
        "{error}"
    );
}

#[tokio::test]
async fn invalid_mounts_are_refused_with_the_reference_messages() {
    let bench = TestCore::new().await;
    bench.write("sys/mounts/a/b", r#"{"type":"kv"}"#).await;
    let cases = [
        ("sys/mounts/a/b", r#"{"type":"kv"}"#, "path is already in use at a/b/"),
        ("sys/mounts/a", r#"{"type":"kv"}"#, "path is already in use at a/b/"),
        ("sys/mounts/a/b/c", r#"{"type":"kv"}"#, "path is already in use at a/b/"),
        ("sys/mounts/x", r#"{"type":"nosuch"}"#, "plugin not found in the catalog: nosuch"),
        ("sys/mounts/sys", r#"{"type":"kv"}"#, "cannot mount \"sys/\""),
        (
            "sys/mounts/x",
            r#"{"type":"kv","options":{"version":"3"}}"#,
            "invalid version provided: must be 1 or 2",
        ),
        (
            "sys/mounts/x",
            r#"{"type":"generic","options":{"version":"2"}}"#,
            "secrets engine \"generic\" does not allow setting a version",
        ),
        (
            "sys/mounts/x",
            r#"{"type":"kv","config":{"allowed_managed_keys":["a"]}}"#,
            "the mount setting \"allowed_managed_keys\" is not supported by this server",
        ),
        (
            "sys/mounts/x",
            r#"{"type":"kv","config":{"zz":"a"}}"#,
            "the mount setting \"zz\" is not supported by this server",
        ),
        (
            "sys/mounts/x",
            r#"{"type":"kv","config":{"default_lease_ttl":"zz"}}"#,
            "unable to parse default TTL: time: invalid duration: write it as 90 or 1h30m",
        ),
        (
            "sys/mounts/x",
            r#"{"type":"kv","config":{"default_lease_ttl":"9000h"}}"#,
            "given default lease TTL greater than system max lease TTL of 2764800",
        ),
        (
            "sys/mounts/x",
            r#"{"type":"kv","config":{"listing_visibility":"zz"}}"#,
            "invalid listing_visibility: must be unauth, hidden or empty",
        ),
        (
            "sys/mounts/x",
            r#"{"type":"kv","config":{"token_type":"service"}}"#,
            "'token_type' can only be modified on auth mounts",
        ),
        ("sys/mounts/x", r#"{"type":"system"}"#, "mount type of \"system\" is not mountable"),
        ("sys/mounts/auth/x", r#"{"type":"door"}"#, "cannot mount \"auth/x/\""),
        ("sys/auth/x", r#"{"type":"kv"}"#, "plugin not found in the catalog: kv"),
        ("sys/auth/x", "{}", "backend type must be specified as a string"),
        ("sys/auth/token", r#"{"type":"door"}"#, "path is already in use at token/"),
        ("sys/auth/token/x", r#"{"type":"door"}"#, "path is already in use at token/"),
        ("sys/auth/x", r#"{"type":"token"}"#, "token credential backend cannot be instantiated"),
        (
            "sys/auth/x",
            r#"{"type":"door","config":{"token_type":"zz"}}"#,
            "invalid value for 'token_type'",
        ),
        (
            "sys/auth/x",
            r#"{"type":"door","config":{"user_lockout_config":{"lockout_threshold":"3"}}}"#,
            "tuning of user lockout configuration for auth type \"door\" not allowed",
        ),
        (
            "sys/mounts/x",
            r#"{"type":"kv","config":{"default_lease_ttl":"2h","max_lease_ttl":"1h"}}"#,
            "given default lease TTL greater than given max lease TTL",
        ),
    ];
    for (path, body, text) in cases {
        assert_eq!(bench.fails(Verb::Write, path, body).await.to_string(), text, "{path}");
    }
    assert_eq!(
        bench.fails(Verb::Read, "sys/mounts/zzz", "").await.to_string(),
        "No secret engine mount at zzz/"
    );
}

#[tokio::test]
async fn removing_a_mount_removes_its_data_and_ends_its_leases() {
    let bench = TestCore::new().await.with_credential_engine().await;
    bench.read("out/creds/dev").await;
    assert_eq!(bench.outside.live_credentials(), 1);
    bench.succeeds(Verb::Delete, "sys/mounts/out", "").await;
    assert_eq!(bench.outside.live_credentials(), 0);
    assert_eq!(bench.fails(Verb::Read, "out/config", "").await.kind(), ErrorKind::NotFound);
    bench.write("sys/mounts/out", r#"{"type":"outside"}"#).await;
    assert_eq!(bench.fails(Verb::Read, "out/config", "").await.kind(), ErrorKind::NotFound);
    bench.succeeds(Verb::Delete, "sys/mounts/nothing", "").await;
    let error = bench.fails(Verb::Delete, "sys/mounts/sys", "").await;
    assert_eq!(error.to_string(), "cannot unmount \"sys/\"");
}

#[tokio::test]
async fn internal_ui_mounts_lists_reachable_mounts() {
    let bench = TestCore::new().await;
    bench.write("sys/mounts/kv", r#"{"type":"kv"}"#).await;
    bench
        .write("sys/mounts/open", r#"{"type":"kv","config":{"listing_visibility":"unauth"}}"#)
        .await;
    let token =
        bench.token_with_policy(r#"path "kv/team/*" { capabilities = ["read"] }"#, "").await;
    let one = bench.succeeds_as(&token, Verb::Read, "sys/internal/ui/mounts/kv/team/x", "").await;
    assert_eq!((one.text("path"), one.text("type")), ("kv/".to_owned(), "kv".to_owned()));
    let error = bench.fails_as(&token, Verb::Read, "sys/internal/ui/mounts/open/x", "").await;
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.to_string().starts_with("preflight capability check returned 403"), "{error}");
    let all = bench.succeeds_as("", Verb::Read, "sys/internal/ui/mounts", "").await;
    assert!(all.json("secret").contains("open/") && !all.json("secret").contains("kv/"));
    assert!(!all.json("secret").contains("accessor"));
    let mine = bench.succeeds_as(&token, Verb::Read, "sys/internal/ui/mounts", "").await;
    let secret = mine.json("secret");
    assert!(secret.contains(r#""kv/":{"accessor""#), "{secret}");
    let reduced = r#""open/":{"type":"kv","description":"","options":{}},"#;
    assert!(secret.contains(reduced), "no more than everybody: {secret}");
    let bad = bench.fails_as("bad", Verb::Read, "sys/internal/ui/mounts", "").await;
    assert_eq!(bad.to_string(), "permission denied");
}

#[tokio::test]
async fn unknown_fields_are_named_where_there_is_an_answer() {
    let bench = TestCore::new().await.with_credential_engine().await;
    // Engines built on documents know their fields and warn about others, where the same engines of
    // other servers don't.
    let got = bench.write("out/roles/x", r#"{"ttl":1,"junk":2}"#).await;
    assert_eq!(got.warnings, ["Endpoint ignored these unrecognized parameters: [junk]"]);
    let got = bench.write("sys/capabilities-self", r#"{"paths":"x","junk":1,"b":2}"#).await;
    assert_eq!(got.warnings, ["Endpoint ignored these unrecognized parameters: [b junk]"]);
}

#[tokio::test]
async fn tuning_ignores_empty_values() {
    let bench = TestCore::new().await;
    bench.write("sys/mounts/kv", r#"{"type":"kv"}"#).await;
    bench.write("sys/mounts/kv/tune", r#"{"default_lease_ttl":"30m"}"#).await;
    let body = r#"{"default_lease_ttl":"","max_lease_ttl":"","description":"new"}"#;
    bench.write("sys/mounts/kv/tune", body).await;
    let tuned = bench.read("sys/mounts/kv/tune").await;
    assert_eq!((tuned.json("default_lease_ttl"), &*tuned.text("description")), ("1800", "new"));
    bench.write("sys/mounts/kv/tune", r#"{"default_lease_ttl":"system"}"#).await;
    assert_ne!(bench.read("sys/mounts/kv/tune").await.json("default_lease_ttl"), "1800");
    let own = bench.fails(Verb::Write, "sys/mounts/sys/tune", r#"{"max_lease_ttl":"1h"}"#).await;
    assert_eq!(own.to_string(), "cannot tune parameter max_lease_ttl of sys/");
}

#[tokio::test]
async fn every_setting_is_kept_and_shown_where_it_is_set() {
    let mut bench = TestCore::new().await;
    bench.write("sys/auth/gate", r#"{"type":"door","config":{"token_type":"service"}}"#).await;
    let config =
        async |bench: &TestCore| bench.read("sys/auth/gate").await.json("config").to_owned();
    assert_eq!(
        config(&bench).await,
        r#"{"default_lease_ttl":0,"max_lease_ttl":0,"force_no_cache":false,"token_type":"service"}"#
    );
    let body = r#"{"audit_non_hmac_request_keys":["a","b"],"audit_non_hmac_response_keys":"c,d",
        "passthrough_request_headers":["X-Foo"],"allowed_response_headers":["X-Bar"],
        "listing_visibility":"unauth","options":{"a":"b","c":"d"},"force_no_cache":true}"#;
    bench.write("sys/mounts/auth/gate/tune", body).await;
    bench.restart().await;
    let shown = config(&bench).await;
    let tuned = bench.read("sys/auth/gate/tune").await;
    for (name, value) in [
        ("audit_non_hmac_request_keys", r#"["a","b"]"#),
        ("audit_non_hmac_response_keys", r#"["c","d"]"#),
        ("passthrough_request_headers", r#"["X-Foo"]"#),
        ("allowed_response_headers", r#"["X-Bar"]"#),
        ("listing_visibility", r#""unauth""#),
        ("force_no_cache", "true"),
        ("token_type", r#""service""#),
    ] {
        assert!(shown.contains(&format!("\"{name}\":{value}")), "{name}: {shown}");
        assert_eq!(tuned.json(name), value);
    }
    assert_eq!(tuned.json("options"), r#"{"a":"b","c":"d"}"#);
    let core = bench.succeeds_as("", Verb::Read, "sys/internal/ui/mounts", "").await;
    assert!(core.json("auth").contains("gate/"));
    let body = r#"{"audit_non_hmac_request_keys":"","passthrough_request_headers":[],
        "listing_visibility":"hidden","options":{"a":""},"token_type":""}"#;
    bench.write("sys/auth/gate/tune", body).await;
    let tuned = bench.read("sys/auth/gate/tune").await;
    assert_eq!(
        (tuned.json("options"), tuned.json("token_type")),
        (r#"{"c":"d"}"#, r#""default-service""#)
    );
    assert!(!tuned.data.contains("audit_non_hmac_request_keys"));
    assert!(!tuned.data.contains("passthrough_request_headers"));
    let core = bench.succeeds_as("", Verb::Read, "sys/internal/ui/mounts", "").await;
    assert!(!core.json("auth").contains("gate/"));
}

#[tokio::test]
async fn tuning_to_system_resets_a_ttl() {
    let bench = TestCore::new().await;
    bench.write("sys/mounts/kv", r#"{"type":"kv"}"#).await;
    let tune = async |body: &str| {
        bench.write("sys/mounts/kv/tune", body).await;
        let got = bench.read("sys/mounts/kv").await;
        got.json("config").split(",\"force").next().unwrap().to_owned()
    };
    let set = r#"{"default_lease_ttl":"1h","max_lease_ttl":7200}"#;
    let is_set = r#"{"default_lease_ttl":3600,"max_lease_ttl":7200"#;
    let none = r#"{"default_lease_ttl":0,"max_lease_ttl":0"#;
    assert_eq!(tune(set).await, is_set);
    assert_eq!(tune(r#"{"default_lease_ttl":"","max_lease_ttl":""}"#).await, is_set);
    assert_eq!(tune(r#"{"default_lease_ttl":"system","max_lease_ttl":"system"}"#).await, none);
    assert_eq!(tune(set).await, is_set);
    assert_eq!(tune(r#"{"default_lease_ttl":-1,"max_lease_ttl":"-1"}"#).await, none);
    for body in [r#"{"max_lease_ttl":"-5m"}"#, r#"{"max_lease_ttl":"zz"}"#] {
        let error = bench.fails(Verb::Write, "sys/mounts/kv/tune", body).await;
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
}

#[tokio::test]
async fn the_servers_own_mounts_are_tuned_and_stay_what_they_are() {
    let mut bench = TestCore::new().await;
    let body = r#"{"default_lease_ttl":"30m","max_lease_ttl":"1h","description":"ours"}"#;
    bench.write("sys/auth/token/tune", body).await;
    bench.restart().await;
    let tuned = bench.read("sys/auth/token/tune").await;
    assert_eq!(
        (tuned.json("max_lease_ttl"), tuned.text("description")),
        ("3600", "ours".to_owned())
    );
    let made = bench.write("auth/token/create", r#"{"policies":["default"]}"#).await;
    assert_eq!(made.auth.get("lease_duration").unwrap().get(), "1800");
    let error =
        bench.fails(Verb::Write, "sys/auth/token/tune", r#"{"token_type":"service"}"#).await;
    assert!(error.to_string().contains("cannot be set for 'token'"), "{error}");
    for (name, value) in [("description", "\"x\""), ("passthrough_request_headers", "\"x\"")] {
        let body = format!("{{\"{name}\":{value}}}");
        let error = bench.fails(Verb::Write, "sys/mounts/sys/tune", &body).await;
        assert_eq!(error.to_string(), format!("cannot tune parameter {name} of sys/"));
    }
    let error = bench.fails(Verb::Delete, "sys/auth/token", "").await;
    assert_eq!(error.to_string(), "token credential backend cannot be disabled");
    let sys = bench.read("sys/mounts/sys").await;
    assert_eq!((sys.json("seal_wrap"), sys.text("type")), ("true", "system".to_owned()));
    assert!(sys.json("config").ends_with(r#""passthrough_request_headers":["Accept"]}"#));
    assert_eq!(sys.text("running_plugin_version"), "v2.0.0+builtin");
    assert!(!sys.data.contains("deprecation_status"));
}

#[tokio::test]
async fn auth_methods_have_their_own_paths_and_need_sudo_there() {
    let bench = TestCore::new().await;
    bench.write("sys/auth/gate", r#"{"type":"door","description":"d"}"#).await;
    let listed = bench.read("sys/auth").await;
    assert!(listed.json("gate/").contains("\"accessor\":\"auth_door_"), "{}", listed.json("gate/"));
    assert_eq!(bench.read("sys/mounts/auth/gate").await.text("description"), "d");
    for (path, text) in [
        ("sys/auth/zz", "No auth engine at zz/"),
        ("sys/auth/zz/tune", "cannot fetch sysview for path \"auth/zz/\""),
        ("sys/mounts/auth/zz", "No secret engine mount at auth/zz/"),
    ] {
        assert_eq!(bench.fails(Verb::Read, path, "").await.to_string(), text);
    }
    let error = bench.fails(Verb::Write, "sys/auth/zz/tune", "{}").await;
    assert_eq!(error.to_string(), "tune of path \"auth/zz/\" failed: no mount entry found");
    bench.succeeds(Verb::Delete, "sys/auth/zz", "").await;
    let all = r#"path "sys/*" { capabilities = ["create","read","update","delete"] }"#;
    let token = bench.token_with_policy(all, "").await;
    for verb in [Verb::Read, Verb::Write, Verb::Delete] {
        let error = bench.fails_as(&token, verb, "sys/auth/gate", "{}").await;
        assert_eq!(error.kind(), ErrorKind::Denied);
    }
    // `sys/mounts/auth/` can't be used to bypass that.
    let error = bench.fails_as(&token, Verb::Delete, "sys/mounts/auth/gate", "").await;
    assert_eq!(error.to_string(), "cannot unmount \"auth/gate/\"");
    assert_eq!(bench.read("sys/internal/ui/mounts/auth/gate/x").await.text("path"), "gate/");
    bench.succeeds(Verb::Delete, "sys/auth/gate", "").await;
    assert!(!bench.read("sys/auth").await.data.contains("gate/"));
}

#[tokio::test]
async fn resultant_acl_shows_the_tokens_rules() {
    let bench = TestCore::new().await;
    assert_eq!(bench.read("sys/internal/ui/resultant-acl").await.json("root"), "true");
    let rules = r#"
        path "kv/a" { capabilities = ["read"] }
        path "kv/d" { capabilities = ["deny"] }
        path "kv/b/*" { capabilities = ["list", "create"] }
        path "kv/+/c" { capabilities = ["update"] }
        path "kv/+/c*" { capabilities = ["update"] }
    "#;
    let token = bench.token_with_policy(rules, r#","no_default_policy":true"#).await;
    let path = "sys/internal/ui/resultant-acl";
    assert_eq!(bench.fails_as(&token, Verb::Read, path, "").await.kind(), ErrorKind::Denied);
    let token = bench.token_with_policy(rules, "").await;
    let got = bench.succeeds_as(&token, Verb::Read, path, "").await;
    let (exact, globs) = (got.json("exact_paths"), got.json("glob_paths"));
    assert!(exact.contains(r#""kv/a":{"capabilities":["read"]}"#), "{exact}");
    assert!(exact.contains(r#""kv/d":{"capabilities":["deny"]}"#), "{exact}");
    assert!(globs.contains(r#""kv/b/":{"capabilities":["create","list"]}"#), "{globs}");
    assert!(!globs.contains('+') && !exact.contains('+'));
    bench.succeeds_as(&token, Verb::Read, "sys/internal/ui/namespaces", "").await;
    let error = bench.fails_as("", Verb::Read, "sys/internal/ui/namespaces", "").await;
    assert_eq!(error.kind(), ErrorKind::Denied);
}
