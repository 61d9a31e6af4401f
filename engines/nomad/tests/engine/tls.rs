//! Certificates of server and client.

use std::sync::Arc;

use strongroom_engine_nomad::blueprint;
use strongroom_fakes::nomad::{FakeNomad, Options};
use strongroom_fakes::tls::FakeAuthority;
use strongroom_sdk::testing::{ErrorKind, Harness, json};

#[tokio::test]
async fn mutual_tls_uses_the_configured_certificates() {
    Harness::run(blueprint(), |host| async move {
        let authority = FakeAuthority::new().unwrap();
        let tls = Some(authority.server_config().unwrap());
        let clock = Arc::new(host.clock());
        let nomad = FakeNomad::start(Options { tls, clock, ..Options::default() }).await.unwrap();
        let mine = authority.issue_certificate("strongroom").unwrap();
        let token = nomad.bootstrap().unwrap();
        let access = json!({
            "address": nomad.url(), "token": token, "ca_cert": authority.cert_pem(),
            "client_cert": mine.cert, "client_key": mine.key,
        });
        host.write("config/access", access).await.unwrap();
        host.write("role/ci", json!({ "policies": "p", "max_ttl": "1h" })).await.unwrap();
        let shown = host.read("config/access").await.unwrap();
        assert_eq!(shown.text("ca_cert"), authority.cert_pem());
        assert!(!shown.data_json().contains("PRIVATE KEY") && !shown.data_json().contains(&token));
        let got = host.read("creds/ci").await.unwrap();
        assert!(nomad.accepts(&got.text("secret_id")));
        host.revoke(&got.lease().id).await.unwrap();

        // A certificate of another authority is refused on either side; a change takes effect at
        // once.
        let other = FakeAuthority::new().unwrap();
        let theirs = other.issue_certificate("strongroom").unwrap();
        let same_key = other.reissue_certificate("strongroom", &mine).unwrap();
        let cases = [
            json!({ "client_cert": same_key.cert }),
            json!({ "ca_cert": other.cert_pem() }),
            json!({ "ca_cert": authority.cert_pem(), "client_cert": theirs.cert, "client_key": theirs.key }),
            json!({ "client_cert": "", "client_key": "" }),
            json!({ "ca_cert": "" }),
        ];
        for change in cases {
            host.write("config/access", &change).await.unwrap();
            let error = host.read("creds/ci").await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Internal);
            assert!(error.message.starts_with("nomad: POST /v1/acl/token got no answer: "), "{error}");
        }
        assert!(nomad.tokens().is_empty());
        let back = json!({
            "ca_cert": authority.cert_pem(), "client_cert": mine.cert, "client_key": mine.key,
        });
        host.write("config/access", back).await.unwrap();
        host.read("creds/ci").await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_mismatched_key_is_refused_and_not_quoted() {
    Harness::run(blueprint(), |host| async move {
        let authority = FakeAuthority::new().unwrap();
        let (one, two) =
            (authority.issue_certificate("a").unwrap(), authority.issue_certificate("b").unwrap());
        let access = json!({
            "address": "https://127.0.0.1:4646", "token": "t",
            "client_cert": one.cert, "client_key": two.key,
        });
        let error = host.write("config/access", access).await.unwrap_err();
        assert_eq!(
            (error.kind, error.message.as_str()),
            (ErrorKind::Invalid, "client_key is not the key of client_cert")
        );
        assert!(host.stored_keys().is_empty());
    })
    .await;
}
