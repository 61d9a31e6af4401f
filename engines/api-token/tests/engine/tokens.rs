//! Configuration, roles, tokens and their leases.

use strongroom_engine_api_token::blueprint;
use strongroom_sdk::Ttl;
use strongroom_sdk::testing::{ErrorKind, Harness, TestHost, Transport, json};
use token_service::RunningService;

use super::{SERVICE_API_KEY, secs, start_configured_service, start_service};

/// What the service returns at `/self` for this token.
async fn whoami(service: &RunningService, token: &str) -> Result<serde_json::Value, u16> {
    let url = format!("{}/self", service.url());
    let answer = reqwest::Client::new().get(url).bearer_auth(token).send().await.unwrap();
    if answer.status().is_success() {
        Ok(answer.json().await.unwrap())
    } else {
        Err(answer.status().as_u16())
    }
}

async fn delete_outside(service: &RunningService, id: &str) {
    let url = format!("{}/tokens/{id}", service.url());
    let answer =
        reqwest::Client::new().delete(url).bearer_auth(SERVICE_API_KEY).send().await.unwrap();
    assert_eq!(answer.status(), 204);
}

#[tokio::test]
async fn the_configuration_is_kept_and_the_key_never_shown() {
    Harness::run(blueprint(), |host| async move {
        let config =
            json!({ "api_endpoint": "http://127.0.0.1:8090/", "api_key": SERVICE_API_KEY });
        host.write("config", config).await.unwrap();
        let got = host.read("config").await.unwrap();
        assert_eq!(
            got.data_json(),
            r#"{"api_endpoint":"http://127.0.0.1:8090","request_timeout":10}"#
        );
        assert!(host.stored_entry("config").unwrap().seal_wrap);
        // An update keeps the fields it doesn't contain, including the key.
        host.write("config", json!({ "request_timeout": "3s" })).await.unwrap();
        let stored = host.stored_entry("config").unwrap().value;
        assert!(String::from_utf8_lossy(&stored).contains(SERVICE_API_KEY));
        host.delete("config").await.unwrap();
        assert_eq!(host.read("config").await.unwrap_err().kind, ErrorKind::NotFound);
    })
    .await;
}

#[tokio::test]
async fn a_configuration_that_cant_work_is_refused() {
    Harness::run(blueprint(), |host| async move {
        let cases = [
            (json!({ "api_endpoint": "http://h" }), "missing required field \"api_key\""),
            (json!({ "api_key": SERVICE_API_KEY }), "missing required field \"api_endpoint\""),
            (
                json!({ "api_endpoint": "http://u:pw@h", "api_key": SERVICE_API_KEY }),
                "error converting input for field \"api_endpoint\": expected a URL such as \
                 https://api.example.com",
            ),
            (
                json!({ "api_endpoint": "http://h", "api_key": SERVICE_API_KEY, "request_timeout": 0 }),
                "request_timeout must be from 1s to 5m",
            ),
            (
                json!({ "api_endpoint": "http://h", "api_key": SERVICE_API_KEY, "request_timeout": "6m" }),
                "request_timeout must be from 1s to 5m",
            ),
        ];
        for (body, text) in cases {
            let error = host.write("config", body).await.unwrap_err();
            assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Invalid, text));
        }
        assert!(host.stored_keys().is_empty());
    })
    .await;
}

#[tokio::test]
async fn roles_are_kept_and_listed() {
    Harness::run(blueprint(), |host| async move {
        host.write("roles/b", json!({ "permissions": ["read"] })).await.unwrap();
        host.write("roles/a", json!({ "permissions": "x,y", "ttl": "1h30m" })).await.unwrap();
        assert_eq!(host.list("roles/").await.unwrap(), ["a", "b"]);
        let shown = host.read("roles/b").await.unwrap().data_json();
        assert_eq!(shown, r#"{"max_ttl":0,"permissions":["read"],"ttl":3600}"#);
        host.write("roles/a", json!({ "max_ttl": "2h" })).await.unwrap();
        let shown = host.read("roles/a").await.unwrap().data_json();
        assert_eq!(shown, r#"{"max_ttl":7200,"permissions":["x","y"],"ttl":5400}"#);
        let error = host.write("roles/a", json!({ "max_ttl": "1h" })).await.unwrap_err();
        assert_eq!(error.message, "ttl must not be longer than max_ttl");
        host.delete("roles/a").await.unwrap();
        assert_eq!(host.list("roles").await.unwrap(), ["b"]);
    })
    .await;
}

#[tokio::test]
async fn a_missing_config_or_role_is_an_error() {
    Harness::run(blueprint(), |host| async move {
        let said = |error: strongroom_sdk::testing::TestError| (error.kind, error.message);
        let invalid = |text: &str| (ErrorKind::Invalid, text.to_owned());
        assert_eq!(
            said(host.read("creds/x").await.unwrap_err()),
            invalid("configure the engine first: write custom/config")
        );
        let service = start_configured_service(&host).await;
        assert_eq!(said(host.read("creds/x").await.unwrap_err()), invalid("role \"x\" not found"));
        assert_eq!((service.stats().await.created, host.open_intents().len()), (0, 0));
    })
    .await;
}

#[tokio::test]
async fn a_token_does_what_its_role_says_and_its_lease_knows_its_id_only() {
    Harness::run(blueprint(), |host| async move {
        let service = start_configured_service(&host).await;
        let got = host.read("creds/ci").await.unwrap();
        let token = got.text("token");
        assert_eq!(got.field_json("permissions"), r#"["read","write"]"#);
        let me = whoami(&service, &token).await.unwrap();
        assert_eq!(me["permissions"], json!(["read", "write"]));
        assert!(me["name"].as_str().unwrap().starts_with("strongroom-ci-token-test-"), "{me}");
        // The maximum lifetime and not the lease's, so that a renewal may fail to reach the
        // service.
        assert_eq!(me["expires_at"], "2030-01-01T00:10:00Z");

        let lease = got.lease();
        assert_eq!((lease.ttl, lease.renewable), (Ttl::from_secs(60), true));
        let (id, kept) = (me["id"].as_str().unwrap(), lease.stored_data());
        assert!(kept.contains(id) && !kept.contains(SERVICE_API_KEY), "{kept}");
        // Vault and OpenBao store the response of a plug-in with the lease.
        let keeps_responses = host.transport() == Transport::Foreign;
        assert_eq!(kept.contains(&token), keeps_responses, "{kept}");
        assert!(!got.data_json().contains(SERVICE_API_KEY));
        assert!(host.open_intents().is_empty());
    })
    .await;
}

#[tokio::test]
async fn two_tokens_differ_in_everything() {
    Harness::run(blueprint(), |host| async move {
        let service = start_configured_service(&host).await;
        let (one, two) =
            (host.read("creds/ci").await.unwrap(), host.read("creds/ci").await.unwrap());
        assert_ne!(one.text("token"), two.text("token"));
        host.revoke(&one.lease().id).await.unwrap();
        assert_eq!(whoami(&service, &one.text("token")).await.unwrap_err(), 401);
        assert!(whoami(&service, &two.text("token")).await.is_ok());
    })
    .await;
}

#[tokio::test]
async fn a_renewed_token_lives_on_until_its_longest_lifetime() {
    Harness::run(blueprint(), |host| async move {
        let service = start_configured_service(&host).await;
        let got = host.read("creds/ci").await.unwrap();
        let (id, token) = (&got.lease().id, got.text("token"));
        for round in 1..=10_u64 {
            host.advance(secs(59)).await;
            let renewed = host.renew(id, Ttl::ZERO).await.unwrap();
            let left = 600 - 59 * round;
            assert_eq!(renewed.ttl, Ttl::from_secs(left.min(60)), "{round}");
            assert_eq!(service.stats().await.renewed, round);
            let me = whoami(&service, &token).await.unwrap();
            assert_eq!(me["expires_at"], "2030-01-01T00:10:00Z", "{round}");
        }
        host.advance(secs(10)).await;
        assert_eq!(whoami(&service, &token).await.unwrap_err(), 401);
        assert!(host.leases().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_token_that_is_gone_cant_be_renewed_and_counts_as_revoked() {
    Harness::run(blueprint(), |host| async move {
        let service = start_configured_service(&host).await;
        let got = host.read("creds/ci").await.unwrap();
        let me = whoami(&service, &got.text("token")).await.unwrap();
        delete_outside(&service, me["id"].as_str().unwrap()).await;
        let error = host.renew(&got.lease().id, Ttl::ZERO).await.unwrap_err();
        assert_eq!(
            (error.kind, error.message.as_str()),
            (
                ErrorKind::Invalid,
                "the token no longer exists in the token service; revoke the lease"
            )
        );
        host.revoke(&got.lease().id).await.unwrap();
        assert!(host.leases().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_revocation_can_be_repeated() {
    Harness::run(blueprint(), |host| async move {
        let service = start_configured_service(&host).await;
        let got = host.read("creds/ci").await.unwrap();
        host.revoke_credential(got.lease()).await.unwrap();
        assert_eq!(whoami(&service, &got.text("token")).await.unwrap_err(), 401);
        host.revoke_credential(got.lease()).await.unwrap();
        host.revoke(&got.lease().id).await.unwrap();
        assert_eq!(service.stats().await.deleted, 1);
    })
    .await;
}

#[tokio::test]
async fn tokens_end_with_their_leases() {
    Harness::run(blueprint(), |host| async move {
        let service = start_configured_service(&host).await;
        let got = host.read("creds/ci").await.unwrap();
        host.advance(secs(59)).await;
        assert!(whoami(&service, &got.text("token")).await.is_ok());
        host.reopen().await;
        host.advance(secs(1)).await;
        assert_eq!(whoami(&service, &got.text("token")).await.unwrap_err(), 401);
        // The token was deleted and didn't just expire.
        assert_eq!(service.stats().await.deleted, 1);
    })
    .await;
}

#[tokio::test]
async fn role_lifetimes_are_capped_by_the_mount() {
    async fn lease_and_expiry(
        host: &TestHost,
        service: &RunningService,
        role: &str,
    ) -> (u64, String) {
        let got = host.read(&format!("creds/{role}")).await.unwrap();
        let me = whoami(service, &got.text("token")).await.unwrap();
        (got.lease().ttl.as_secs(), me["expires_at"].as_str().unwrap().to_owned())
    }
    Harness::run(blueprint(), |host| async move {
        let service = start_configured_service(&host).await;
        host.tune(Ttl::from_secs(120), Ttl::from_secs(300));
        host.write("roles/open", json!({ "ttl": 0 })).await.unwrap();
        host.write("roles/long", json!({ "ttl": "1h", "max_ttl": "2h" })).await.unwrap();
        let at = |time: &str| format!("2030-01-01T00:{time}Z");
        assert_eq!(lease_and_expiry(&host, &service, "ci").await, (60, at("05:00")));
        assert_eq!(lease_and_expiry(&host, &service, "open").await, (120, at("05:00")));
        assert_eq!(lease_and_expiry(&host, &service, "long").await, (300, at("05:00")));
    })
    .await;
}

/// The service would take 0 for an hour.
#[tokio::test]
async fn a_ttl_below_a_second_is_not_sent_as_zero() {
    Harness::run(blueprint(), |host| async move {
        let service = start_configured_service(&host).await;
        host.write("roles/ci", json!({ "ttl": 2, "max_ttl": 2 })).await.unwrap();
        let got = host.read("creds/ci").await.unwrap();
        host.clock().advance(std::time::Duration::from_millis(1500));
        host.renew_credential(got.lease()).await.unwrap();
        let me = whoami(&service, &got.text("token")).await.unwrap();
        assert_eq!(me["expires_at"], "2030-01-01T00:00:02.5Z");
    })
    .await;
}

#[tokio::test]
async fn a_changed_key_is_used_at_once() {
    Harness::run(blueprint(), |host| async move {
        let old = start_configured_service(&host).await;
        host.read("creds/ci").await.unwrap();
        let new = start_service(&host, |config| {
            config.api_key = strongroom_sdk::Secret::from_text("another-key");
        })
        .await;
        let config = json!({ "api_endpoint": new.url(), "api_key": "another-key" });
        host.write("config", config).await.unwrap();
        host.read("creds/ci").await.unwrap();
        assert_eq!((old.stats().await.created, new.stats().await.created), (1, 1));
    })
    .await;
}
