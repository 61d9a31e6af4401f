//! Tokens and their leases.

use strongroom_sdk::Ttl;
use strongroom_sdk::engine::Operation;
use strongroom_sdk::testing::{ErrorKind, TestError, Transport, json};

use super::{on_every_transport, secs, start_configured_nomad};

#[tokio::test]
async fn a_missing_config_or_role_is_an_error() {
    on_every_transport(|host| async move {
        let said = |error: TestError| (error.kind, error.message);
        let invalid = |text: &str| (ErrorKind::Invalid, text.to_owned());
        assert_eq!(
            said(host.read("creds/x").await.unwrap_err()),
            invalid("configure the engine first: write custom/config/access")
        );
        let nomad = start_configured_nomad(&host).await;
        assert_eq!(said(host.read("creds/x").await.unwrap_err()), invalid("role \"x\" not found"));
        assert!(nomad.requests().is_empty() && host.open_intents().is_empty());
        for operation in [Operation::Create, Operation::Update, Operation::Delete] {
            let refused = host.send(operation, "creds/ci", "{}").await.unwrap_err();
            assert_eq!(refused.message, "unsupported operation", "{operation}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_token_is_of_its_role_and_its_lease_knows_the_accessor_only() {
    on_every_transport(|host| async move {
        let nomad = start_configured_nomad(&host).await;
        let got = host.read("creds/ci").await.unwrap();
        let token = nomad.tokens().pop().unwrap();
        let secret = got.text("secret_id");
        assert!(nomad.accepts(&secret) && got.text("accessor_id") == token.accessor);
        assert_eq!((got.data.len(), got.warnings.as_slice()), (2, [].as_slice()));
        assert!(token.name.starts_with("strongroom-ci-token-test-"), "{}", token.name);
        assert_eq!(token.policies, ["readonly", "deploy"]);
        assert_eq!((token.kind.as_str(), token.global), ("client", false));
        let lease = got.lease();
        assert_eq!((lease.ttl, lease.renewable), (Ttl::from_secs(60), true));
        assert!(lease.stored_data().contains(&token.accessor));
        // A foreign server stores the response with the lease, whatever the engine does.
        assert!(!lease.stored_data().contains(&secret) || host.transport() == Transport::Foreign);
        let stored = host.stored_keys();
        let stored = stored.iter().filter_map(|key| host.stored_entry(key));
        let leaks = |value: &[u8]| String::from_utf8_lossy(value).contains(&secret);
        assert!(!stored.into_iter().any(|stored| leaks(&stored.value)));
        assert!(host.open_intents().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_role_may_ask_for_management_tokens_in_all_regions() {
    on_every_transport(|host| async move {
        let nomad = start_configured_nomad(&host).await;
        host.write("role/admin", json!({ "type": "management", "global": true })).await.unwrap();
        host.read("creds/admin").await.unwrap();
        let token = nomad.tokens().pop().unwrap();
        assert_eq!((token.kind.as_str(), token.global), ("management", true));
        assert!(token.policies.is_empty());
    })
    .await;
}

#[tokio::test]
async fn two_tokens_differ_in_everything_and_end_apart() {
    on_every_transport(|host| async move {
        let nomad = start_configured_nomad(&host).await;
        let (one, two) =
            (host.read("creds/ci").await.unwrap(), host.read("creds/ci").await.unwrap());
        let secrets = (one.text("secret_id"), two.text("secret_id"));
        let tokens = nomad.tokens();
        assert_ne!(secrets.0, secrets.1);
        assert_ne!(tokens[0].name, tokens[1].name);
        host.revoke(&one.lease().id).await.unwrap();
        assert!(!nomad.accepts(&secrets.0) && nomad.accepts(&secrets.1));
        // A repeated revocation finds no token, and succeeds.
        host.revoke_credential(one.lease()).await.unwrap();
        assert_eq!(nomad.tokens().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn tokens_end_with_their_leases() {
    on_every_transport(|host| async move {
        let nomad = start_configured_nomad(&host).await;
        let secret = host.read("creds/ci").await.unwrap().text("secret_id");
        host.advance(secs(59)).await;
        assert!(nomad.accepts(&secret));
        host.reopen().await;
        host.advance(secs(1)).await;
        // The tokens were deleted and didn't just expire.
        assert!(nomad.tokens().is_empty() && host.leases().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_token_that_is_gone_cant_be_renewed_and_counts_as_revoked() {
    on_every_transport(|host| async move {
        let nomad = start_configured_nomad(&host).await;
        let got = host.read("creds/ci").await.unwrap();
        nomad.delete_token(&got.text("accessor_id"));
        let error = host.renew(&got.lease().id, Ttl::ZERO).await.unwrap_err();
        assert_eq!(
            (error.kind, error.message.as_str()),
            (ErrorKind::Invalid, "the token no longer exists in nomad; revoke the lease")
        );
        host.revoke(&got.lease().id).await.unwrap();
        assert!(host.leases().is_empty());
    })
    .await;
}

/// A renewal checks that the token exists without receiving its secret again.
#[tokio::test]
async fn a_renewal_never_reads_the_token() {
    on_every_transport(|host| async move {
        let nomad = start_configured_nomad(&host).await;
        let got = host.read("creds/ci").await.unwrap();
        host.renew(&got.lease().id, Ttl::ZERO).await.unwrap();
        let asked = nomad.requests();
        let accessor = got.text("accessor_id");
        assert_eq!(
            asked,
            ["POST /v1/acl/token".to_owned(), format!("GET /v1/acl/tokens?prefix={accessor}")]
        );
    })
    .await;
}

#[tokio::test]
async fn truncated_names_are_still_found_for_undo() {
    on_every_transport(|host| async move {
        let nomad = start_configured_nomad(&host).await;
        let long = "a-role-with-a-name-that-is-much-too-long-for-old-versions-of-nomad";
        host.write(&format!("role/{long}"), json!({ "policies": "p" })).await.unwrap();
        for limit in [0, 64, 26] {
            host.write("config/access", json!({ "max_token_name_length": limit })).await.unwrap();
            let got = host.read(&format!("creds/{long}")).await.unwrap();
            let name = nomad.tokens().pop().unwrap().name;
            let unique = name.rsplit('-').next().unwrap();
            assert_eq!(unique.len(), 26, "{name}");
            assert!(limit == 0 || name.len() <= limit, "{name}");
            assert!(limit == 26 || name.starts_with("strongroom-a-role-with-"), "{name}");
            host.revoke(&got.lease().id).await.unwrap();
        }
        // Created under one limit, lost, and cleaned up under another.
        host.write("config/access", json!({ "max_token_name_length": 40 })).await.unwrap();
        host.read("creds/ci").await.unwrap();
        if host.transport() == Transport::Foreign {
            return;
        }
        host.crash_at_next_lease();
        host.read(&format!("creds/{long}")).await.unwrap_err();
        host.reopen().await;
        assert_eq!(nomad.tokens().len(), 2);
        host.write("config/access", json!({ "max_token_name_length": 0 })).await.unwrap();
        host.advance(secs(30)).await;
        host.run_periodic().await.unwrap();
        host.wait_until("it is undone", || async { nomad.tokens().len() == 1 }).await;
        assert!(nomad.tokens()[0].name.starts_with("strongroom-ci-"));
    })
    .await;
}

#[tokio::test]
async fn a_change_of_address_and_token_is_used_at_once() {
    on_every_transport(|host| async move {
        let old = start_configured_nomad(&host).await;
        host.read("creds/ci").await.unwrap();
        let new = start_configured_nomad(&host).await;
        host.read("creds/ci").await.unwrap();
        assert_eq!((old.tokens().len(), new.tokens().len()), (1, 1));
    })
    .await;
}
