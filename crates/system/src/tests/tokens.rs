use strongroom_core::request::Verb;
use strongroom_types::{ErrorKind, LeaseId};

use super::TestCore;
use super::blocking_storage::BlockingStorage;
use super::test_core::ReportedMessages;

const ALL: &str = r#"path "*" { capabilities = ["create", "read", "update", "delete", "list"] }"#;

async fn create_child(bench: &TestCore, parent: &str, body: &str) -> (String, String) {
    let got = bench.succeeds_as(parent, Verb::Write, "auth/token/create", body).await;
    (got.auth.text("client_token").unwrap(), got.auth.text("accessor").unwrap())
}

async fn is_valid(bench: &TestCore, token: &str) -> bool {
    bench.send(Verb::Read, "auth/token/lookup-self", token, "").await.is_ok()
}

#[tokio::test]
async fn a_new_token_looks_as_clients_expect() {
    let bench = TestCore::new().await;
    let body = r#"{"policies":["default","P9"],"ttl":"1h","display_name":"Foo Bar","meta":{"a":"b"},"num_uses":7}"#;
    let got = bench.write("auth/token/create", body).await;
    assert_eq!(got.warnings, ["Policy \"p9\" does not exist"]);
    assert_eq!(got.auth.get("policies").unwrap().get(), r#"["default","p9"]"#);
    assert_eq!(got.auth.get("lease_duration").unwrap().get(), "3600");
    let token = got.auth.text("client_token").unwrap();
    assert!(token.starts_with("hvs.") && token.len() == 28);
    let seen = bench.succeeds_as(&token, Verb::Read, "auth/token/lookup-self", "").await;
    assert_eq!(seen.text("id"), token);
    assert_eq!(
        (seen.text("display_name"), seen.text("path")),
        ("token-Foo-Bar".into(), "auth/token/create".into())
    );
    assert_eq!(
        (seen.json("num_uses"), seen.json("ttl"), seen.json("orphan")),
        ("6", "3600", "false")
    );
    let root = bench.read("auth/token/lookup-self").await;
    assert_eq!(
        (root.json("expire_time"), root.json("ttl"), root.text("path")),
        ("null", "0", "auth/token/root".into())
    );
}

#[tokio::test]
async fn revoking_a_token_ends_its_tree_and_their_credentials() {
    let bench = TestCore::new().await.with_credential_engine().await;
    let parent = bench.token_with_policy(ALL, "").await;
    let (child_token, _) = create_child(&bench, &parent, "{}").await;
    let (grandchild, _) = create_child(&bench, &child_token, "{}").await;
    let (orphan, _) = {
        let got = bench.succeeds_as(&parent, Verb::Write, "auth/token/create-orphan", "{}").await;
        (got.auth.text("client_token").unwrap(), ())
    };
    for token in [&parent, &child_token, &grandchild, &orphan] {
        bench.succeeds_as(token, Verb::Read, "out/creds/dev", "").await;
    }
    assert_eq!(bench.outside.live_credentials(), 4);
    bench.write("auth/token/revoke", &format!(r#"{{"token":"{parent}"}}"#)).await;
    for token in [&parent, &child_token, &grandchild] {
        assert!(!is_valid(&bench, token).await);
    }
    assert!(is_valid(&bench, &orphan).await);
    assert_eq!(bench.outside.live_credentials(), 1);
    // Only the orphan and the root token are left.
    assert_eq!(
        bench
            .succeeds(Verb::List, "auth/token/accessors", "")
            .await
            .json("keys")
            .matches(',')
            .count(),
        1
    );
}

#[tokio::test]
async fn children_of_an_orphaning_revocation_live_on() {
    let bench = TestCore::new().await;
    let parent = bench.token_with_policy(ALL, "").await;
    let (child_token, _) = create_child(&bench, &parent, "{}").await;
    let body = format!(r#"{{"token":"{parent}"}}"#);
    let plain = bench.fails_as(&child_token, Verb::Write, "auth/token/revoke-orphan", &body).await;
    assert_eq!(plain.to_string(), "root or sudo privileges required to revoke and orphan");
    bench.write("auth/token/revoke-orphan", &body).await;
    assert!(!is_valid(&bench, &parent).await && is_valid(&bench, &child_token).await);
    let seen = bench.succeeds_as(&child_token, Verb::Read, "auth/token/lookup-self", "").await;
    assert_eq!(seen.json("orphan"), "true");
    let error = bench.fails(Verb::Write, "auth/token/revoke-orphan", &body).await;
    assert_eq!(error.to_string(), "token to revoke not found");
}

#[tokio::test]
async fn a_revocation_cut_off_in_its_middle_goes_on_after_the_restart() {
    let mut bench = TestCore::new().await.with_credential_engine().await;
    let parent = bench.token_with_policy(ALL, "").await;
    let (child_token, _) = create_child(&bench, &parent, "{}").await;
    bench.succeeds_as(&child_token, Verb::Read, "out/creds/dev", "").await;
    // The process crashed after writing the mark.
    let core = bench.core.unsealed().unwrap();
    let key = core.tokens.store.key_of(&parent);
    core.tokens
        .store
        .mark_for_revocation(&key, strongroom_token::RevocationMark::Tree)
        .await
        .unwrap();
    drop(core);
    assert!(!is_valid(&bench, &child_token).await, "refused at once");
    bench.restart().await;
    assert!(!is_valid(&bench, &child_token).await, "and after the restart");
    bench.run_until_idle().await;
    assert_eq!(bench.outside.live_credentials(), 0);
    assert_eq!(bench.core.unsealed().unwrap().tokens.store.marked_count(), 0);
}

#[tokio::test]
async fn tokens_expire_and_take_their_credentials_along() {
    let bench = TestCore::new().await.with_credential_engine().await;
    let token = bench.token_with_policy(ALL, r#","ttl":"30s""#).await;
    bench.succeeds_as(&token, Verb::Read, "out/creds/dev", "").await;
    bench.run_until_idle().await;
    bench.advance_secs(29).await;
    assert!(is_valid(&bench, &token).await);
    bench.advance_secs(1).await;
    assert!(!is_valid(&bench, &token).await);
    bench.run_until_idle().await;
    assert_eq!(bench.outside.live_credentials(), 0);
}

#[tokio::test]
async fn renewals_follow_the_rules() {
    let bench = TestCore::new().await;
    let token = bench.token_with_policy(ALL, r#","ttl":"1m","explicit_max_ttl":"3m""#).await;
    let renew =
        |body: &'static str| bench.succeeds_as(&token, Verb::Write, "auth/token/renew-self", body);
    bench.advance_secs(30).await;
    assert_eq!(renew("{}").await.auth.get("lease_duration").unwrap().get(), "60");
    assert_eq!(renew(r#"{"increment":10}"#).await.auth.get("lease_duration").unwrap().get(), "10");
    let capped = renew(r#"{"increment":"1h"}"#).await;
    assert_eq!(capped.auth.get("lease_duration").unwrap().get(), "150");
    assert_eq!(capped.warnings.len(), 1);
    bench.advance_secs(149).await;
    assert!(is_valid(&bench, &token).await);
    bench.advance_secs(1).await;
    assert!(!is_valid(&bench, &token).await);
    let error = bench.fails(Verb::Write, "auth/token/renew-self", "").await;
    assert_eq!(error.to_string(), "lease is not renewable");
}

#[tokio::test]
async fn periodic_tokens_live_as_long_as_they_are_renewed() {
    let bench = TestCore::new().await;
    let token = bench.token_with_policy(ALL, r#","period":"1m""#).await;
    for _ in 0..10 {
        bench.advance_secs(50).await;
        let got = bench
            .succeeds_as(&token, Verb::Write, "auth/token/renew-self", r#"{"increment":"9h"}"#)
            .await;
        assert_eq!(got.auth.get("lease_duration").unwrap().get(), "60");
    }
    bench.advance_secs(60).await;
    assert!(!is_valid(&bench, &token).await);
}

#[tokio::test]
async fn the_last_use_ends_a_token_and_issues_no_credential() {
    let bench = TestCore::new().await.with_credential_engine().await;
    let token = bench.token_with_policy(ALL, r#","num_uses":2"#).await;
    bench.succeeds_as(&token, Verb::Read, "out/roles/dev", "").await;
    let error = bench.fails_as(&token, Verb::Read, "out/creds/dev", "").await;
    assert!(error.to_string().contains("immediately revoked"), "{error}");
    bench.run_until_idle().await;
    assert_eq!(bench.outside.live_credentials(), 0);
    assert!(!is_valid(&bench, &token).await);
    let limited = bench.token_with_policy(ALL, r#","num_uses":5"#).await;
    let error = bench.fails_as(&limited, Verb::Write, "auth/token/create", "{}").await;
    assert_eq!(error.to_string(), "restricted use token cannot generate child tokens");
}

#[tokio::test]
async fn child_tokens_gain_no_privileges() {
    let bench = TestCore::new().await;
    let token = bench.token_with_policy(ALL, "").await;
    let cases = [
        (r#"{"policies":["root"]}"#, "child policies must be subset of parent"),
        (r#"{"policies":["other"]}"#, "child policies must be subset of parent"),
        (r#"{"no_parent":true}"#, "root or sudo privileges required to create orphan token"),
        (r#"{"period":"1h"}"#, "root or sudo privileges required to create periodic token"),
        (r#"{"id":"mine"}"#, "root or sudo privileges required to specify token id"),
        (r#"{"num_uses":-1}"#, "number of uses cannot be negative"),
        (r#"{"num_uses":4294967296}"#, "number of uses is too large"),
        (r#"{"type":"zz"}"#, "invalid 'token_type' value"),
        (
            r#"{"entity_alias":"a"}"#,
            "'entity_alias' is only allowed in combination with token role",
        ),
    ];
    for (body, text) in cases {
        let error = bench.fails_as(&token, Verb::Write, "auth/token/create", body).await;
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Invalid, text));
    }
    let error = bench.fails(Verb::Write, "auth/token/create", r#"{"id":"hvs.x"}"#).await;
    assert_eq!(error.to_string(), "custom token ID cannot have the 'hvs.' prefix");
    let error = bench.fails(Verb::Write, "auth/token/create", r#"{"id":"a.b"}"#).await;
    assert_eq!(error.to_string(), "custom token ID cannot have a '.' in the value");
    bench.write("auth/token/create", r#"{"id":"mine"}"#).await;
    let error = bench.fails(Verb::Write, "auth/token/create", r#"{"id":"mine"}"#).await;
    assert_eq!(error.to_string(), "cannot create a token with a duplicate ID");
}

#[tokio::test]
async fn accessors_look_up_renew_and_revoke() {
    let bench = TestCore::new().await;
    let (token, accessor) =
        create_child(&bench, &bench.root, r#"{"ttl":"1h","policies":["default"]}"#).await;
    let body = format!(r#"{{"accessor":"{accessor}"}}"#);
    let seen = bench.write("auth/token/lookup-accessor", &body).await;
    assert_eq!((seen.text("id"), seen.text("accessor")), (String::new(), accessor));
    let renewed = bench.write("auth/token/renew-accessor", &body).await;
    assert_eq!(renewed.auth.text("client_token").unwrap(), "");
    bench.write("auth/token/revoke-accessor", &body).await;
    assert!(!is_valid(&bench, &token).await);
    let again = bench.write("auth/token/revoke-accessor", &body).await;
    assert_eq!(again.warnings, ["No token found with this accessor"]);
    let error = bench.fails(Verb::Write, "auth/token/lookup-accessor", &body).await;
    assert_eq!(error.messages(), ["invalid accessor (collected)"]);
    let error =
        bench.fails(Verb::Write, "auth/token/lookup", &format!(r#"{{"token":"{token}"}}"#)).await;
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Denied, "bad token"));
    bench.write("auth/token/revoke", r#"{"token":"hvs.unknown"}"#).await;
    // An empty token counts as absent: the caller's own is used, where that makes sense.
    let own = bench.write("auth/token/lookup", r#"{"token":""}"#).await;
    assert_eq!(own.text("path"), "auth/token/root");
    for path in ["renew", "revoke", "revoke-orphan"] {
        let path = format!("auth/token/{path}");
        for body in [r#"{"token":""}"#, "{}"] {
            let error = bench.fails(Verb::Write, &path, body).await;
            assert_eq!(error.to_string(), "missing token ID", "{path}");
        }
    }
}

#[tokio::test]
async fn renewing_at_once_is_not_capped() {
    let bench = TestCore::new().await;
    let body = r#"{"policies":["default"],"ttl":"768h"}"#;
    let token = bench.write("auth/token/create", body).await.auth.text("client_token").unwrap();
    bench.clock.advance(std::time::Duration::from_millis(3));
    let renewed = bench.succeeds_as(&token, Verb::Write, "auth/token/renew-self", "{}").await;
    assert_eq!(renewed.auth.get("lease_duration").unwrap().get(), "2764800");
    assert!(renewed.warnings.is_empty(), "{:?}", renewed.warnings);
    let error = bench.fails(Verb::Write, "auth/token/create/nope", "{}").await;
    assert_eq!(error.to_string(), "unknown role nope");
}

#[tokio::test]
async fn a_tree_of_tokens_is_not_deeper_than_its_bound() {
    let bench = TestCore::new().await;
    let mut token = bench.root.clone();
    let deepest = loop {
        let body = r#"{"policies":["root"]}"#;
        match bench.send(Verb::Write, "auth/token/create", &token, body).await {
            Ok(_) => {
                let answer =
                    bench.succeeds_as(&token, Verb::Write, "auth/token/create", body).await;
                token = answer.auth.text("client_token").unwrap();
            }
            Err(error) => break error,
        }
    };
    assert_eq!(deepest.kind(), ErrorKind::Invalid);
    assert!(deepest.to_string().contains("more than 128 tokens above it"), "{deepest}");
}

#[tokio::test]
async fn revocation_retries_at_once_when_a_lease_changes() {
    let held = BlockingStorage::default();
    let bench = TestCore::with_storage(std::sync::Arc::new(held.clone())).await;
    let token = bench.token_with_policy(ALL, "").await;
    let core = bench.core.unsealed().unwrap();
    held.block_writes("accessor/");
    let revoking = bench.send(Verb::Write, "auth/token/revoke-self", &token, "");
    let meanwhile = async {
        bench.run_until_idle().await;
        let (tokens, leases) = (&core.tokens.store, &core.leases.store);
        let found = tokens.find_by_key(&tokens.key_of(&token)).await.unwrap().unwrap();
        let id = LeaseId::parse(&found.token.lease_id(&found.key)).unwrap();
        let lease = leases.get(&id).await.unwrap().unwrap();
        let mut batch = strongroom_barrier::Batch::new();
        leases.update(&mut batch, &lease, &lease.lease);
        leases.commit(batch).await.unwrap();
        held.unblock();
    };
    let mut revoking = std::pin::pin!(revoking);
    tokio::select! {
        revoked = &mut revoking => panic!("it is held up: {revoked:?}"),
        () = meanwhile => {}
    }
    tokio::select! {
        revoked = revoking => drop(revoked.unwrap()),
        () = bench.run_until_idle() => panic!("the walk waits for time to pass"),
    }
    assert!(
        core.tokens.store.find_by_key(&core.tokens.store.key_of(&token)).await.unwrap().is_none()
    );
}
