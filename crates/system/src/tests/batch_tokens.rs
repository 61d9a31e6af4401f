use strongroom_core::request::Verb;
use strongroom_types::ErrorKind;

use super::TestCore;
use super::test_core::ReportedMessages;

const ALL: &str =
    r#"path "*" { capabilities = ["create", "read", "update", "delete", "list", "sudo"] }"#;

async fn create_batch_token(bench: &TestCore, parent: &str, more: &str) -> String {
    let body = format!(r#"{{"type":"batch"{more}}}"#);
    let got = bench.succeeds_as(parent, Verb::Write, "auth/token/create", &body).await;
    got.auth.text("client_token").unwrap()
}

#[tokio::test]
async fn a_batch_token_looks_as_clients_expect() {
    let bench = TestCore::new().await;
    let body = r#"{"type":"batch","policies":["default"],"ttl":"1h","meta":{"a":"b"},"display_name":"bb"}"#;
    let made = bench.write("auth/token/create", body).await;
    for (field, wanted) in [
        ("accessor", r#""""#),
        ("lease_duration", "3600"),
        ("renewable", "false"),
        ("token_type", r#""batch""#),
        ("orphan", "false"),
        ("num_uses", "0"),
        ("metadata", r#"{"a":"b"}"#),
    ] {
        assert_eq!(made.auth.get(field).unwrap().get(), wanted, "{field}");
    }
    let token = made.auth.text("client_token").unwrap();
    assert!(token.starts_with("hvb."));
    bench.advance_secs(1).await;
    for seen in [
        bench.succeeds_as(&token, Verb::Read, "auth/token/lookup-self", "").await,
        bench.write("auth/token/lookup", &format!(r#"{{"token":"{token}"}}"#)).await,
    ] {
        assert_eq!((seen.text("type"), seen.text("accessor")), ("batch".into(), String::new()));
        assert_eq!((seen.json("ttl"), seen.json("creation_ttl")), ("3599", "3600"));
        assert_eq!(
            (seen.text("id"), seen.text("display_name")),
            (token.clone(), "token-bb".into())
        );
    }
    let body = format!(r#"{{"token":"{token}","path":"auth/token/lookup-self"}}"#);
    assert_eq!(bench.write("sys/capabilities", &body).await.json("capabilities"), r#"["read"]"#);
    let orphan =
        bench.write("auth/token/create-orphan", r#"{"type":"batch","policies":["default"]}"#);
    assert_eq!(orphan.await.auth.get("orphan").unwrap().get(), "true");
}

#[tokio::test]
async fn a_batch_token_is_neither_renewed_nor_revoked_nor_a_parent() {
    let bench = TestCore::new().await;
    let parent = bench.token_with_policy(ALL, "").await;
    let token = create_batch_token(&bench, &parent, "").await;
    let named = format!(r#"{{"token":"{token}"}}"#);
    let cases = [
        ("renew", "batch tokens cannot be renewed"),
        ("revoke", "batch tokens cannot be revoked"),
        ("revoke-orphan", "batch tokens cannot be revoked"),
    ];
    for (path, text) in cases {
        let path = format!("auth/token/{path}");
        assert_eq!(bench.fails(Verb::Write, &path, &named).await.to_string(), text);
    }
    let own = [
        ("renew-self", "batch tokens cannot be renewed"),
        ("revoke-self", "batch tokens cannot be revoked"),
        ("create", "batch tokens cannot create more tokens"),
        ("create-orphan", "batch tokens cannot create more tokens"),
    ];
    for (path, text) in own {
        let path = format!("auth/token/{path}");
        let error = bench.fails_as(&token, Verb::Write, &path, "{}").await;
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Invalid, text));
    }
    let forged = format!(r#"{{"token":"{token}x"}}"#);
    bench.write("auth/token/revoke", &forged).await;
    let error = bench.fails(Verb::Write, "auth/token/renew", &forged).await;
    assert_eq!(error.to_string(), "token not found");
    let error = bench.fails(Verb::Write, "auth/token/lookup", &forged).await;
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Denied, "bad token"));
    // A batch token's accessor is empty and can't be looked up.
    let error = bench.fails(Verb::Write, "auth/token/lookup-accessor", r#"{"accessor":""}"#).await;
    assert_eq!(error.messages(), ["missing accessor (collected)"]);
    bench.succeeds_as(&token, Verb::Read, "auth/token/lookup-self", "").await;
}

#[tokio::test]
async fn what_needs_a_record_is_refused_for_a_batch_token() {
    let bench = TestCore::new().await;
    let cases = [
        (r#""num_uses":3"#, "batch tokens cannot have \"num_uses\" set"),
        (r#""period":"1h""#, "batch tokens cannot have \"period\" set"),
        (r#""explicit_max_ttl":"1h""#, "batch tokens cannot have \"explicit_max_ttl\" set"),
        (r#""policies":["p"],"id":"mine""#, "batch tokens cannot have \"id\" set"),
        (r#""policies":["root"]"#, "batch tokens cannot be root tokens"),
        (r#""ttl":"1h""#, "batch tokens cannot be root tokens"),
    ];
    for (more, text) in cases {
        let body = format!(r#"{{"type":"batch",{more}}}"#);
        let error = bench.fails(Verb::Write, "auth/token/create", &body).await;
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Invalid, text));
    }
    let meta = "x".repeat(10_000);
    let body = format!(r#"{{"type":"batch","policies":["p"],"meta":{{"a":"{meta}"}}}}"#);
    let error = bench.fails(Verb::Write, "auth/token/create", &body).await;
    assert!(error.to_string().contains("can't carry that much"), "{error}");
}

#[tokio::test]
async fn a_batch_token_and_what_it_leased_end_with_its_parent() {
    let bench = TestCore::new().await.with_credential_engine().await;
    let top = bench.token_with_policy(ALL, "").await;
    let made = bench.succeeds_as(&top, Verb::Write, "auth/token/create", "{}").await;
    let parent = made.auth.text("client_token").unwrap();
    let token = create_batch_token(&bench, &parent, "").await;
    bench.succeeds_as(&token, Verb::Read, "out/creds/dev", "").await;
    assert_eq!(bench.outside.live_credentials(), 1);
    bench.write("auth/token/revoke", &format!(r#"{{"token":"{top}"}}"#)).await;
    bench.run_until_idle().await;
    assert_eq!(bench.outside.live_credentials(), 0);
    for verb in [Verb::Read, Verb::Write] {
        let error = bench.fails_as(&token, verb, "auth/token/lookup-self", "").await;
        assert_eq!(error.messages(), ["permission denied"]);
    }
    let error = bench.fails_as(&token, Verb::Read, "out/creds/dev", "").await;
    assert_eq!(error.kind(), ErrorKind::Denied);
}

#[tokio::test]
async fn a_lease_never_outlives_the_batch_token_it_was_made_by() {
    let bench = TestCore::new().await.with_credential_engine().await;
    let parent = bench.token_with_policy(ALL, "").await;
    for orphan in ["", r#","no_parent":true"#] {
        let token = create_batch_token(&bench, &parent, &format!(r#","ttl":"90s"{orphan}"#)).await;
        bench.advance_secs(50).await;
        let leased = bench.succeeds_as(&token, Verb::Read, "out/creds/dev", "").await;
        assert_eq!(leased.ttl, 40, "the role gives 60");
        let body = format!(r#"{{"lease_id":"{}","increment":"10m"}}"#, leased.lease_id);
        bench.advance_secs(10).await;
        let renewed = bench.write("sys/leases/renew", &body).await;
        assert_eq!(renewed.ttl, 30);
        assert_eq!(bench.outside.live_credentials(), 1);
        bench.advance_secs(31).await;
        bench.run_until_idle().await;
        assert_eq!(bench.outside.live_credentials(), 0, "{orphan}");
        assert_eq!(
            bench.fails(Verb::Write, "sys/leases/renew", &body).await.to_string(),
            "lease not found"
        );
    }
}

#[tokio::test]
async fn a_batch_token_survives_the_restart_and_the_servers_own_are_refused_elsewhere() {
    let mut bench = TestCore::new().await;
    let elsewhere = TestCore::new().await;
    let body = r#"{"type":"batch","policies":["default"]}"#;
    let made = bench.write("auth/token/create-orphan", body).await;
    let token = made.auth.text("client_token").unwrap();
    bench.restart().await;
    bench.succeeds_as(&token, Verb::Read, "auth/token/lookup-self", "").await;
    let error = elsewhere.fails_as(&token, Verb::Read, "auth/token/lookup-self", "").await;
    assert_eq!(error.kind(), ErrorKind::Denied);
}
