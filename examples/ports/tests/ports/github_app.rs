//! Tokens of a GitHub App's installation.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use serde_json::Value;
use strongroom_example_ports::github_app::blueprint;
use strongroom_fakes::rsa::FakeRsaKey;
use strongroom_fakes::serve::ReceivedRequest;
use strongroom_sdk::testing::{Harness, TestHost, json};
use strongroom_sdk::{Clock, Operation, Timestamp, Ttl, contract};

use crate::fake_system::{
    Behavior, FakeSystem, bearer_token, json_body, path_after, unreachable_url,
};

/// GitHub, as far as one app with the id 7 and the installation 42 see it.
struct GitHubState {
    clock: Arc<dyn Clock>,
    /// When each token ends.
    tokens: BTreeMap<String, Timestamp>,
    issued: usize,
    /// How long tokens live.
    life: Duration,
    last_scope: Value,
}

/// The key of the app, and another one.
static KEY: LazyLock<FakeRsaKey> = LazyLock::new(|| FakeRsaKey::generate().unwrap());
static OTHER_KEY: LazyLock<FakeRsaKey> = LazyLock::new(|| FakeRsaKey::generate().unwrap());

impl GitHubState {
    /// Whether a JWT is signed with the app's key, names the app and is valid now, for no more than
    /// ten minutes.
    fn is_app(&self, jwt: &str) -> bool {
        let Some((message, signature)) = jwt.rsplit_once('.') else { return false };
        let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap_or_default();
        let Some((header, claims)) = message.split_once('.') else { return false };
        let decode = |part: &str| -> Value {
            let json = BASE64URL_NOPAD.decode(part.as_bytes()).unwrap_or_default();
            serde_json::from_slice(&json).unwrap_or_default()
        };
        let (header, claims) = (decode(header), decode(claims));
        let (now, begin, end) =
            (self.clock.now().as_secs(), claims["iat"].as_i64(), claims["exp"].as_i64());
        let (begin, end) = (begin.unwrap_or(i64::MAX), end.unwrap_or(0));
        KEY.has_signed(message.as_bytes(), &signature)
            && header["alg"] == "RS256"
            && claims["iss"] == "7"
            && begin <= now
            && now < end
            && end - begin <= 600
    }

    fn live_tokens(&self) -> usize {
        let now = self.clock.now();
        self.tokens.values().filter(|end| **end > now).count()
    }
}

fn answer(state: &mut GitHubState, request: &ReceivedRequest) -> (u16, Value) {
    let bearer = bearer_token(request);
    if request.method == "DELETE" && request.path == "/installation/token" {
        let now = state.clock.now();
        return match state.tokens.remove(bearer).filter(|end| *end > now) {
            Some(_) => (204, Value::Null),
            None => (401, json!({ "message": "Bad credentials" })),
        };
    }
    let path = path_after(request, "/app/installations/42/");
    if request.method != "POST" || path != Some("access_tokens") {
        return (404, json!({ "message": "Not Found" }));
    }
    if !state.is_app(bearer) {
        return (401, json!({ "message": "A JSON web token could not be decoded" }));
    }
    state.last_scope = json_body(request);
    state.issued += 1;
    let token = format!("ghs_{}", state.issued);
    let ends = state.clock.now().plus(state.life);
    state.tokens.insert(token.clone(), ends);
    let permissions = state.last_scope["permissions"].clone();
    let permissions =
        if permissions.is_null() { json!({ "contents": "write" }) } else { permissions };
    let body = json!({
        "token": token,
        "expires_at": ends.to_rfc3339(),
        "permissions": permissions,
        "repository_selection": "selected",
    });
    (201, body)
}

async fn start_github(host: &TestHost) -> FakeSystem<GitHubState> {
    let state = GitHubState {
        clock: Arc::new(host.clock()),
        tokens: BTreeMap::new(),
        issued: 0,
        life: Duration::from_secs(3600),
        last_scope: Value::Null,
    };
    let github = FakeSystem::start(state, answer).await;
    configure(host, &github.url(), KEY.private_pem()).await;
    github
}

async fn configure(host: &TestHost, url: &str, key: &str) {
    let body = json!({
        "app_id": 7, "installation_id": 42, "private_key": key, "base_url": url,
    });
    host.write("config", body).await.unwrap();
}

async fn run(body: impl AsyncFn(TestHost)) {
    Harness::run(blueprint(), |host| body(host)).await;
}

#[tokio::test]
async fn a_token_has_the_parameters_of_a_write_or_of_a_read() {
    run(async |host| {
        let github = start_github(&host).await;
        let body = json!({ "repositories": "web,api", "permissions": { "contents": "read" } });
        let written = host.write("token", body).await.unwrap();
        assert_eq!(written.text("token"), "ghs_1");
        assert_eq!(written.field_json("permissions"), r#"{"contents":"read"}"#);
        assert_eq!(
            github.lock().last_scope,
            json!({ "repositories": ["web", "api"], "permissions": { "contents": "read" } })
        );
        assert_eq!(written.lease().ttl, Ttl::from_secs(3600));
        let query = json!({ "repository_ids": "12,13" });
        host.send(Operation::Read, "token", query).await.unwrap();
        assert_eq!(github.lock().last_scope, json!({ "repository_ids": [12, 13] }));
        host.read("token").await.unwrap();
        assert_eq!(github.lock().last_scope, json!({}));
        assert_eq!(github.lock().live_tokens(), 3);
    })
    .await;
}

#[tokio::test]
async fn a_permission_set_is_used_and_listed_at_both_paths() {
    run(async |host| {
        let github = start_github(&host).await;
        let set = json!({ "repositories": "web", "permissions": "contents=read" });
        host.write("permissionset/ci", set).await.unwrap();
        assert_eq!(host.list("permissionset").await.unwrap(), ["ci"]);
        assert_eq!(host.list("permissionsets").await.unwrap(), ["ci"]);
        for operation in [Operation::Read, Operation::Update] {
            host.send(operation, "token/ci", json!({})).await.unwrap();
            assert_eq!(
                github.lock().last_scope,
                json!({ "repositories": ["web"], "permissions": { "contents": "read" } })
            );
        }
        let missing = host.read("token/nightly").await.unwrap_err();
        assert_eq!(missing.message, "permissionset \"nightly\" not found");
    })
    .await;
}

#[tokio::test]
async fn a_token_is_revoked_with_itself_and_is_stored_with_the_lease_only() {
    run(async |host| {
        let github = start_github(&host).await;
        let lease = host.read("token").await.unwrap().lease().clone();
        assert!(lease.seal_wrap && lease.stored_data().contains("ghs_1"));
        for key in host.stored_keys() {
            let entry = host.stored_entry(&key).unwrap();
            assert!(!String::from_utf8_lossy(&entry.value).contains("ghs_1"), "{key}");
        }
        host.revoke(&lease.id).await.unwrap();
        assert_eq!(github.lock().live_tokens(), 0);
        host.revoke_credential(&lease).await.unwrap();
        assert!(host.read("config").await.unwrap().data_json().contains("installation_id"));
        assert!(!host.read("config").await.unwrap().data_json().contains("PRIVATE"));
    })
    .await;
}

#[tokio::test]
async fn a_lease_ends_when_github_ends_the_token() {
    run(async |host| {
        let github = start_github(&host).await;
        github.lock().life = Duration::from_secs(600);
        assert_eq!(host.read("token").await.unwrap().lease().ttl, Ttl::from_secs(600));
        github.lock().life = Duration::from_secs(7200);
        let longest = host.read("token").await.unwrap();
        assert_eq!(longest.lease().max_ttl, Ttl::from_secs(3600), "as the engine declares");
    })
    .await;
}

#[tokio::test]
async fn a_lost_response_leaves_a_token_that_ends_by_itself() {
    run(async |host| {
        let github = start_github(&host).await;
        github.set_behavior(Behavior::LosesResponse);
        let lost = host.read("token").await.unwrap_err();
        assert!(lost.message.contains("got no answer"), "{}", lost.message);
        assert_eq!((github.lock().live_tokens(), host.leases().len()), (1, 0));
        assert!(host.open_intents().is_empty(), "nothing could find it");
        host.advance(Duration::from_secs(3600)).await;
        assert_eq!(github.lock().live_tokens(), 0);
        github.set_behavior(Behavior::Normal);
        let lease = host.read("token").await.unwrap().lease().clone();
        github.set_behavior(Behavior::LosesResponse);
        assert!(host.revoke(&lease.id).await.is_err());
        github.set_behavior(Behavior::Normal);
        host.revoke(&lease.id).await.unwrap();
        assert_eq!(host.leases().len(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_crash_before_the_lease_leaves_a_token_that_ends_by_itself() {
    run(async |host| {
        let github = start_github(&host).await;
        host.crash_at_next_lease();
        assert!(host.read("token").await.is_err());
        host.reopen().await;
        assert_eq!((github.lock().live_tokens(), host.open_intents().len()), (1, 0));
        host.advance(Duration::from_secs(3600)).await;
        assert_eq!(github.lock().live_tokens(), 0);
        // Nothing is written to issue a token, so there is no other place to crash at.
        let writes = host.storage_writes();
        host.read("token").await.unwrap();
        assert_eq!(host.storage_writes(), writes);
    })
    .await;
}

#[tokio::test]
async fn github_refusing_or_not_reachable_is_an_error_without_the_key() {
    run(async |host| {
        let github = start_github(&host).await;
        for (behavior, text) in [
            (Behavior::Refuses(422), "answered 422"),
            (Behavior::Refuses(503), "answered 503"),
            (Behavior::LosesRequest, "got no answer"),
        ] {
            github.set_behavior(behavior);
            let error = host.read("token").await.unwrap_err();
            assert!(error.message.contains(text), "{}", error.message);
            assert!(!error.message.contains("PRIVATE"), "{}", error.message);
        }
        configure(&host, &unreachable_url(), KEY.private_pem()).await;
        let error = host.read("token").await.unwrap_err();
        assert!(error.message.contains("could not connect"), "{}", error.message);
        github.set_behavior(Behavior::Normal);
        configure(&host, &github.url(), OTHER_KEY.private_pem()).await;
        let error = host.read("token").await.unwrap_err();
        assert!(error.message.contains("answered 401"), "{}", error.message);
        for bad in ["no key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            let error = host.write("config", json!({ "private_key": bad })).await.unwrap_err();
            let text = "the private key is no RSA key of 2048 bits or more in PEM";
            assert_eq!(error.message, text);
        }
        assert_eq!(github.lock().issued, 0);
    })
    .await;
}

#[tokio::test]
async fn keeps_to_the_contract() {
    let config = json!({
        "app_id": 7,
        "installation_id": 42,
        "private_key": KEY.private_pem(),
        "base_url": "http://127.0.0.1:1",
    });
    let config = config.to_string();
    let set = r#"{"repositories":["web"],"permissions":{"contents":"read"}}"#;
    let documents = [("config", config.as_str()), ("permissionset/ci", set)];
    contract::check(blueprint(), &documents).await;
}
