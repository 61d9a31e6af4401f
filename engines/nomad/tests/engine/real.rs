//! The same with a real Nomad, given by `NOMAD_ADDR` and `NOMAD_TOKEN`, a management token of a
//! disposable server. It has its own clock, so nothing here waits for an expiry.

use strongroom_engine_nomad::blueprint;
use strongroom_sdk::Ttl;
use strongroom_sdk::testing::{Harness, TestHost, json};

use super::secs;

struct RealNomad {
    url: String,
    token: String,
}

impl RealNomad {
    fn from_env() -> Option<Self> {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Some(Self { url: set("NOMAD_ADDR")?, token: set("NOMAD_TOKEN")? })
    }

    async fn get(&self, path: &str, token: &str) -> (u16, serde_json::Value) {
        let call = reqwest::Client::new().get(format!("{}{path}", self.url));
        let answer = call.header("X-Nomad-Token", token).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or_default())
    }

    /// The names of the tokens that this test created.
    async fn test_token_names(&self) -> Vec<String> {
        let (_, list) = self.get("/v1/acl/tokens", &self.token).await;
        let names = list.as_array().unwrap().iter().map(|t| t["Name"].as_str().unwrap().to_owned());
        names.filter(|name| name.starts_with("strongroom-real-")).collect()
    }
}

#[tokio::test]
async fn a_real_nomad_issues_renews_revokes_and_is_cleaned_up() {
    let test = "a_real_nomad_issues_renews_revokes_and_is_cleaned_up";
    if RealNomad::from_env().is_none() {
        println!("SKIPPED {test}: NOMAD_ADDR and NOMAD_TOKEN name no server");
        return;
    }
    Harness::run(blueprint(), |host| async move {
        let real = RealNomad::from_env().unwrap();
        let access = json!({ "address": real.url, "token": real.token });
        host.write("config/access", access).await.unwrap();
        check_issue_renew_revoke(&host, &real).await;
        check_expiration_limits(&host, &real).await;
        check_undo_by_name(&host, &real).await;
        check_refused_token(&host, &real).await;
        assert_eq!(real.test_token_names().await, Vec::<String>::new());
    })
    .await;
}

async fn check_issue_renew_revoke(host: &TestHost, real: &RealNomad) {
    let role = json!({ "policies": "readonly", "ttl": "1m", "max_ttl": "10m" });
    host.write("role/real-ci", role).await.unwrap();
    let got = host.read("creds/real-ci").await.unwrap();
    let (accessor, secret) = (got.text("accessor_id"), got.text("secret_id"));
    let (status, own) = real.get("/v1/acl/token/self", &secret).await;
    assert_eq!((status, own["AccessorID"].as_str()), (200, Some(accessor.as_str())));
    assert_eq!((&own["ExpirationTTL"], &own["Policies"]), (&json!("10m0s"), &json!(["readonly"])));
    assert_eq!((&own["Type"], &own["Global"]), (&json!("client"), &json!(false)));
    assert!(got.warnings.is_empty() && !got.lease().stored_data().contains(&secret));
    host.renew(&got.lease().id, Ttl::ZERO).await.unwrap();
    host.revoke(&got.lease().id).await.unwrap();
    assert_eq!(real.get("/v1/acl/token/self", &secret).await.0, 403);
    host.revoke_credential(got.lease()).await.unwrap();
    assert!(
        host.renew_credential(got.lease()).await.unwrap_err().message.contains("gone from Nomad")
    );
}

async fn check_expiration_limits(host: &TestHost, real: &RealNomad) {
    host.write("role/real-admin", json!({ "type": "management", "global": true })).await.unwrap();
    let got = host.read("creds/real-admin").await.unwrap();
    assert_eq!(got.warnings.len(), 1, "{:?}", got.warnings);
    assert_eq!(got.lease().max_ttl, Ttl::from_secs(86_400), "with Nomad's own default");
    let (_, own) = real.get("/v1/acl/token/self", &got.text("secret_id")).await;
    assert_eq!((&own["ExpirationTTL"], &own["Type"]), (&json!("24h0m0s"), &json!("management")));
    host.revoke(&got.lease().id).await.unwrap();
    let short = json!({ "policies": "readonly", "ttl": "10s", "max_ttl": "30s" });
    host.write("role/real-short", short).await.unwrap();
    let got = host.read("creds/real-short").await.unwrap();
    let (_, own) = real.get("/v1/acl/token/self", &got.text("secret_id")).await;
    assert!(own["ExpirationTime"].is_null() && got.warnings.is_empty());
    host.revoke(&got.lease().id).await.unwrap();
}

async fn check_undo_by_name(host: &TestHost, real: &RealNomad) {
    host.crash_at_next_lease();
    host.read("creds/real-ci").await.unwrap_err();
    host.reopen().await;
    assert_eq!(real.test_token_names().await.len(), 1);
    host.clock().advance(secs(30));
    host.run_periodic().await.unwrap();
    host.wait_until("it is undone", || async { real.test_token_names().await.is_empty() }).await;
}

async fn check_refused_token(host: &TestHost, real: &RealNomad) {
    let nobody = "11111111-f5f1-6f29-b4b4-9a5fa948757a";
    host.write("config/access", json!({ "token": nobody })).await.unwrap();
    let error = host.read("creds/real-ci").await.unwrap_err();
    assert_eq!(error.message, "nomad: POST /v1/acl/token answered 403");
    host.write("config/access", json!({ "token": real.token })).await.unwrap();
}
