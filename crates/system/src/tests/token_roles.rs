use strongroom_core::request::Verb;
use strongroom_types::ErrorKind;

use super::TestCore;
use super::test_core::ReportedMessages;

const ALL: &str = r#"path "*" { capabilities = ["create", "read", "update", "delete", "list"] }"#;

impl TestCore {
    async fn write_role(&self, name: &str, body: &str) -> Vec<String> {
        self.write(&format!("auth/token/roles/{name}"), body).await.warnings
    }

    /// Creates a token by a role and returns its id.
    async fn token_by_role(&self, name: &str, body: &str) -> String {
        let path = format!("auth/token/create/{name}");
        self.write(&path, body).await.auth.text("client_token").unwrap()
    }

    async fn lookup_token(&self, token: &str) -> super::test_core::TestResponse {
        self.write("auth/token/lookup", &format!(r#"{{"token":"{token}"}}"#)).await
    }
}

#[tokio::test]
async fn a_role_reads_back_as_clients_expect() {
    let bench = TestCore::new().await;
    assert!(bench.write_role("plain", r#"{"allowed_policies":"p1,P2"}"#).await.is_empty());
    let shown = bench.read("auth/token/roles/plain").await.data.to_object();
    assert_eq!(
        std::str::from_utf8(shown.as_bytes()).unwrap(),
        concat!(
            r#"{"allowed_entity_aliases":null,"allowed_policies":["p1","p2"],"allowed_policies_glob":[],"#,
            r#""disallowed_policies":[],"disallowed_policies_glob":[],"explicit_max_ttl":0,"name":"plain","#,
            r#""orphan":false,"path_suffix":"","period":0,"renewable":true,"token_explicit_max_ttl":0,"#,
            r#""token_no_default_policy":false,"token_period":0,"token_type":"default-service"}"#
        )
    );
    let full = r#"{"orphan":true,"renewable":false,"path_suffix":"foo","token_bound_cidrs":["127.0.0.1/32","10.0.0.0/8"],
        "token_explicit_max_ttl":"2h","token_period":"1h","token_no_default_policy":true,"token_num_uses":5,"token_type":"service"}"#;
    bench.write_role("full", full).await;
    let shown = bench.read("auth/token/roles/full").await;
    assert_eq!(shown.json("token_bound_cidrs"), r#"["127.0.0.1","10.0.0.0/8"]"#);
    assert_eq!((shown.json("token_num_uses"), shown.json("token_period")), ("5", "3600"));
    assert!(!shown.data.contains("bound_cidrs"));
    // Fields that aren't given keep their values.
    bench.write_role("full", r#"{"orphan":false,"token_bound_cidrs":[]}"#).await;
    let shown = bench.read("auth/token/roles/full").await;
    assert_eq!((shown.json("orphan"), shown.json("renewable")), ("false", "false"));
    assert!(!shown.data.contains("token_bound_cidrs"));
    assert_eq!(
        bench.succeeds(Verb::List, "auth/token/roles", "").await.json("keys"),
        r#"["full","plain"]"#
    );
    for _ in 0..2 {
        bench.succeeds(Verb::Delete, "auth/token/roles/full", "").await;
    }
    let missing = bench.fails(Verb::Read, "auth/token/roles/full", "").await;
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    let error = bench.fails(Verb::Write, "auth/token/create/full", "{}").await;
    assert_eq!(error.to_string(), "unknown role full");
}

#[tokio::test]
async fn older_names_of_a_roles_fields_are_taken_and_shown() {
    let bench = TestCore::new().await;
    let old = r#"{"period":"1h","explicit_max_ttl":"3h","bound_cidrs":"127.0.0.1/32"}"#;
    bench.write_role("old", old).await;
    let shown = bench.read("auth/token/roles/old").await;
    assert_eq!((shown.json("period"), shown.json("token_period")), ("3600", "3600"));
    assert_eq!(
        (shown.json("explicit_max_ttl"), shown.json("token_explicit_max_ttl")),
        ("10800", "10800")
    );
    assert_eq!(
        (shown.json("bound_cidrs"), shown.json("token_bound_cidrs")),
        (r#"["127.0.0.1"]"#, r#"["127.0.0.1"]"#)
    );
    bench.write_role("old", r#"{"token_explicit_max_ttl":"1h"}"#).await;
    let shown = bench.read("auth/token/roles/old").await;
    assert_eq!(
        (shown.json("explicit_max_ttl"), shown.json("token_explicit_max_ttl")),
        ("0", "3600")
    );
    let warned = bench.write_role("both", r#"{"period":"1h","token_period":"2h"}"#).await;
    assert_eq!(
        warned,
        [
            "Both 'token_period' and deprecated 'period' value supplied, ignoring the deprecated value"
        ]
    );
    assert_eq!(bench.read("auth/token/roles/both").await.json("token_period"), "7200");
    let warned = bench.write_role("long", r#"{"token_explicit_max_ttl":"1000h"}"#).await.join("");
    assert!(warned.starts_with("Given explicit max TTL of 3600000 is greater than system/mount allowed value of 2764800 seconds"));
}

#[tokio::test]
async fn a_role_that_cannot_be_honoured_is_refused() {
    let bench = TestCore::new().await;
    let suffix = "given role path suffix contains invalid characters; must match \\w[\\w-.]+\\w";
    let batch = "'token_type' cannot be 'batch' when role is set to generate ";
    let cases = [
        (r#"{"token_type":"foo"}"#, "invalid 'token_type' value: use service, batch, default-service or default-batch".to_owned()),
        (r#"{"path_suffix":"../x"}"#, suffix.to_owned()),
        (r#"{"path_suffix":"a/b"}"#, suffix.to_owned()),
        (r#"{"path_suffix":"..."}"#, suffix.to_owned()),
        (r#"{"path_suffix":"a"}"#, suffix.to_owned()),
        (r#"{"path_suffix":"ab\u0000c"}"#, suffix.to_owned()),
        (r#"{"path_suffix":"ab\n"}"#, suffix.to_owned()),
        (
            r#"{"token_bound_cidrs":["10.0.0.0/8","x"]}"#,
            "error parsing role fields: error parsing address: entry 2 is neither an IPv4 or IPv6 address \
             nor a network".to_owned(),
        ),
        (r#"{"token_num_uses":-1}"#, "error parsing role fields: 'token_num_uses' cannot be negative".to_owned()),
        (r#"{"token_type":"batch"}"#, format!("{batch}non-orphan tokens")),
        (r#"{"token_type":"batch","orphan":true}"#, format!("{batch}renewable tokens")),
        (r#"{"token_type":"batch","orphan":true,"token_period":"1h"}"#, format!("{batch}periodic tokens")),
        (
            r#"{"token_type":"batch","orphan":true,"renewable":false,"token_explicit_max_ttl":"1h"}"#,
            format!("{batch}tokens with an explicit max TTL"),
        ),
        (
            r#"{"token_type":"batch","orphan":true,"renewable":false,"token_num_uses":1}"#,
            format!("{batch}tokens with limited use count"),
        ),
        (
            r#"{"allowed_entity_aliases":["a"]}"#,
            "\"allowed_entity_aliases\" is not supported by this server".to_owned(),
        ),
    ];
    for (body, text) in cases {
        let error = bench.fails(Verb::Write, "auth/token/roles/bad", body).await;
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::Invalid, text), "{body}");
    }
    assert_eq!(
        bench.fails(Verb::Read, "auth/token/roles/bad", "").await.kind(),
        ErrorKind::NotFound
    );
    bench.write_role("fine", r#"{"allowed_entity_aliases":[],"path_suffix":"a..b"}"#).await;
    let error = bench.fails(Verb::Write, "auth/token/create/fine", r#"{"entity_alias":"x"}"#).await;
    assert_eq!(error.to_string(), "invalid 'entity_alias' value");
}

#[tokio::test]
async fn a_role_sets_the_properties_of_its_tokens() {
    let bench = TestCore::new().await;
    let body = r#"{"orphan":true,"renewable":false,"path_suffix":"foo","token_num_uses":5,"token_no_default_policy":true}"#;
    bench.write_role("strict", body).await;
    let maker = bench.token_with_policy(ALL, "").await;
    let made = bench
        .succeeds_as(&maker, Verb::Write, "auth/token/create/strict", r#"{"num_uses":9}"#)
        .await;
    assert_eq!(made.auth.get("num_uses").unwrap().get(), "5", "the lesser");
    assert_eq!(
        (made.auth.get("orphan").unwrap().get(), made.auth.get("renewable").unwrap().get()),
        ("true", "false")
    );
    let seen = bench.lookup_token(&made.auth.text("client_token").unwrap()).await;
    assert_eq!(
        (seen.text("path"), seen.text("role")),
        ("auth/token/create/strict/foo".into(), "strict".into())
    );
    assert!(!seen.json("policies").contains("default"));
    let leases =
        bench.succeeds(Verb::List, "sys/leases/lookup/auth/token/create/strict/foo", "").await;
    assert!(leases.json("keys").contains("\"h"));
    // Operators revoke the tokens of a role by lease prefix.
    bench.write("sys/leases/revoke-prefix/auth/token/create/strict", r#"{"sync":true}"#).await;
    bench.run_until_idle().await;
    let gone = format!(r#"{{"token":"{}"}}"#, made.auth.text("client_token").unwrap());
    assert_eq!(bench.fails(Verb::Write, "auth/token/lookup", &gone).await.to_string(), "bad token");
}

#[tokio::test]
async fn a_roles_type_counts_unless_it_is_a_default() {
    let bench = TestCore::new().await;
    bench.write_role("service", r#"{"token_type":"service"}"#).await;
    bench.write_role("batch", r#"{"token_type":"batch","orphan":true,"renewable":false}"#).await;
    bench.write_role("dservice", r#"{"token_type":"default-service"}"#).await;
    bench.write_role("dbatch", r#"{"token_type":"default-batch"}"#).await;
    let cases = [
        ("service", "", "hvs."),
        ("service", "batch", "hvs."),
        ("batch", "", "hvb."),
        ("batch", "service", "hvb."),
        ("dservice", "", "hvs."),
        ("dservice", "batch", "hvb."),
        ("dbatch", "", "hvb."),
        ("dbatch", "service", "hvs."),
    ];
    for (role, asked, prefix) in cases {
        let body = format!(r#"{{"policies":["p"],"type":"{asked}"}}"#);
        assert!(bench.token_by_role(role, &body).await.starts_with(prefix), "{role} {asked}");
    }
    // Batch tokens have no record, but are still restricted by the role.
    bench
        .write_role(
            "limits",
            r#"{"token_type":"default-batch","token_explicit_max_ttl":"1h","token_period":"2h"}"#,
        )
        .await;
    let made = bench.write("auth/token/create/limits", r#"{"policies":["p"]}"#).await;
    assert_eq!(made.auth.get("lease_duration").unwrap().get(), "3600");
    bench.write_role("uses", r#"{"token_type":"default-batch","token_num_uses":3}"#).await;
    let error = bench.fails(Verb::Write, "auth/token/create/uses", r#"{"policies":["p"]}"#).await;
    assert_eq!(error.to_string(), "batch tokens cannot have \"num_uses\" set");
}

#[tokio::test]
async fn a_role_limits_the_policies_of_its_tokens() {
    let bench = TestCore::new().await;
    let maker = bench.token_with_policy(ALL, "").await;
    let root = "root tokens may not be created without parent token being root";
    for role in [
        r#"{"allowed_policies":"root"}"#,
        r#"{"allowed_policies":[" ROOT "]}"#,
        r#"{"allowed_policies_glob":"*"}"#,
        r#"{"disallowed_policies":"p1"}"#,
    ] {
        bench
            .write_role(
                "wide",
                r#"{"allowed_policies":[],"allowed_policies_glob":[],"disallowed_policies":[]}"#,
            )
            .await;
        bench.write_role("wide", role).await;
        for asked in ["root", "Root", " ROOT", "root\t"] {
            let body = serde_json::json!({ "policies": [asked] }).to_string();
            let error = bench.fails_as(&maker, Verb::Write, "auth/token/create/wide", &body).await;
            assert_eq!(error.to_string(), root, "{role} {asked:?}");
        }
    }
    for (body, what) in [
        (r#"{"policies":["p2"],"period":"1h"}"#, "create periodic token"),
        (r#"{"policies":["p2"],"id":"mine"}"#, "specify token id"),
    ] {
        let error = bench.fails_as(&maker, Verb::Write, "auth/token/create/wide", body).await;
        assert_eq!(error.to_string(), format!("root or sudo privileges required to {what}"));
    }
    // A list of blank entries doesn't inherit the creator's policies.
    for blank in [r#"[""]"#, r#"[" ", ""]"#, r#"",""#, r#""""#] {
        let body = format!(r#"{{"policies":{blank}}}"#);
        let made = bench.write("auth/token/create", &body).await;
        assert_eq!(made.auth.get("policies").unwrap().get(), r#"["default"]"#, "{blank}");
    }
    for none in ["null", "[]", "[ ]"] {
        let made = bench.write("auth/token/create", &format!(r#"{{"policies":{none}}}"#)).await;
        assert_eq!(made.auth.get("policies").unwrap().get(), r#"["root"]"#, "{none}");
    }
}

#[tokio::test]
async fn renewals_follow_the_current_role_and_the_original_request() {
    let bench = TestCore::new().await;
    let renew = async |token: &str| {
        let body = format!(r#"{{"token":"{token}","increment":"9h"}}"#);
        bench.write("auth/token/renew", &body).await
    };
    let ttl = |got: &super::test_core::TestResponse| {
        got.auth.get("lease_duration").unwrap().get().to_owned()
    };
    bench.write_role("r", r#"{"token_period":"30m","token_explicit_max_ttl":"2h"}"#).await;
    let body = r#"{"policies":["p"],"period":"20m","explicit_max_ttl":"1h"}"#;
    let made = bench.write("auth/token/create/r", body).await;
    assert_eq!(
        made.warnings[..2],
        [
            "Explicit max TTL specified both during creation call and in role; using the lesser value of 3600 seconds",
            "Period specified both during creation call and in role; using the lesser value of 1200 seconds",
        ]
    );
    let asked = made.auth.text("client_token").unwrap();
    let plain = bench.token_by_role("r", r#"{"policies":["p"]}"#).await;
    assert_eq!(
        (ttl(&renew(&asked).await), ttl(&renew(&plain).await)),
        ("1200".into(), "1800".into())
    );
    bench.write_role("r", r#"{"token_period":"10m"}"#).await;
    assert_eq!(
        (ttl(&renew(&asked).await), ttl(&renew(&plain).await)),
        ("600".into(), "600".into())
    );
    // What was requested at creation stays the limit, even if the role is relaxed.
    bench.write_role("r", r#"{"token_period":"0","token_explicit_max_ttl":"500h"}"#).await;
    renew(&asked).await;
    renew(&plain).await;
    for _ in 0..3 {
        bench.advance_secs(1190).await;
        assert!(renew(&asked).await.auth.text("client_token").is_some());
        renew(&plain).await;
    }
    bench.advance_secs(31).await;
    assert_eq!(bench.lookup_token(&plain).await.text("role"), "r");
    let gone = format!(r#"{{"token":"{asked}"}}"#);
    assert_eq!(bench.fails(Verb::Write, "auth/token/lookup", &gone).await.to_string(), "bad token");
    bench.succeeds(Verb::Delete, "auth/token/roles/r", "").await;
    let error =
        bench.fails(Verb::Write, "auth/token/renew", &format!(r#"{{"token":"{plain}"}}"#)).await;
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert_eq!(
        error.to_string(),
        "failed to renew entry: original token role \"r\" could not be found, not renewing"
    );
}

#[tokio::test]
async fn a_bound_token_works_from_its_networks_only() {
    let bench = TestCore::new().await;
    bench
        .write_role(
            "bound",
            r#"{"token_bound_cidrs":["10.0.0.0/8","2001:db8::/32"],"token_num_uses":4}"#,
        )
        .await;
    let token = bench.token_by_role("bound", r#"{"policies":["default"]}"#).await;
    let lookup = "auth/token/lookup-self";
    for address in ["11.0.0.1", "127.0.0.1", "::1", "::ffff:11.0.0.1", "2001:db9::1", "::10.0.0.1"]
    {
        let error = bench.send_from(address, Verb::Read, lookup, &token).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.messages()),
            (ErrorKind::Denied, vec!["permission denied".to_owned()])
        );
    }
    // A request over a Unix socket has no address, so it is in no network.
    assert_eq!(bench.fails_as(&token, Verb::Read, lookup, "").await.kind(), ErrorKind::Denied);
    // On an unauthenticated path it is treated like an invalid token.
    assert!(
        bench.send_from("11.0.0.1", Verb::Read, "sys/internal/ui/mounts", &token).await.is_err()
    );
    let seen = bench.lookup_token(&token).await;
    assert_eq!(seen.json("num_uses"), "4", "whoever is elsewhere uses nothing up");
    assert_eq!(seen.json("bound_cidrs"), r#"["10.0.0.0/8","2001:db8::/32"]"#);
    for address in ["10.1.2.3", "::ffff:10.1.2.3", "2001:db8:7::1"] {
        bench.send_from(address, Verb::Read, lookup, &token).await.unwrap();
    }
    bench.write_role("bound", r#"{"token_num_uses":0,"token_type":"default-batch"}"#).await;
    let batch = bench.token_by_role("bound", r#"{"policies":["default"]}"#).await;
    bench.send_from("10.1.2.3", Verb::Read, lookup, &batch).await.unwrap();
    assert!(bench.send_from("11.1.2.3", Verb::Read, lookup, &batch).await.is_err());
    assert!(bench.send(Verb::Read, lookup, &batch, "").await.is_err());
}

#[tokio::test]
async fn tidy_is_accepted_and_runs_in_the_background() {
    let bench = TestCore::new().await;
    let core = bench.core.unsealed().unwrap();
    let view = core.barrier.view("sys/token/");
    let gone = core.tokens.store.key_of("hvs.gone");
    let mut batch = strongroom_barrier::Batch::new();
    view.put_json(
        &mut batch,
        "accessor/left",
        &serde_json::json!({ "accessor": "a", "token": gone }),
    );
    view.commit(batch).await.unwrap();
    let answer = bench.send(Verb::Write, "auth/token/tidy", &bench.root, "").await.unwrap();
    let strongroom_core::request::CoreResponse::Envelope(envelope) = answer else {
        panic!("no envelope")
    };
    assert!(envelope.accepted);
    assert!(envelope.warnings[0].starts_with("the tidy operation was started"));
    bench.run_until_idle().await;
    assert!(view.get_uncached("accessor/left").await.unwrap().is_none());
    let _turn = core.tokens.store.try_start_tidy().unwrap();
    let warnings = bench.write("auth/token/tidy", "").await.warnings;
    assert_eq!(warnings, ["a tidy operation is already running"]);
}

#[tokio::test]
async fn revoke_orphan_does_not_revive_children_of_a_revoked_token() {
    let bench = TestCore::new().await;
    let top = bench.token_with_policy(ALL, "").await;
    let child = |parent: String| {
        let bench = &bench;
        async move {
            let made = bench.succeeds_as(&parent, Verb::Write, "auth/token/create", "{}").await;
            made.auth.text("client_token").unwrap()
        }
    };
    let middle = child(top.clone()).await;
    let leaf = child(middle.clone()).await;
    let core = bench.core.unsealed().unwrap();
    // Marked, but not revoked yet.
    let key = core.tokens.store.key_of(&top);
    core.tokens
        .store
        .mark_for_revocation(&key, strongroom_token::RevocationMark::Tree)
        .await
        .unwrap();
    let body = format!(r#"{{"token":"{middle}"}}"#);
    let error = bench.fails(Verb::Write, "auth/token/revoke-orphan", &body).await;
    assert_eq!(error.to_string(), "token to revoke not found");
    assert!(bench.send(Verb::Read, "auth/token/lookup-self", &leaf, "").await.is_err());
}
