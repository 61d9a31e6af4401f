//! Tokens of Artifactory's users, and the rotation of the administrator's token.

use std::collections::BTreeMap;

use serde_json::Value;
use strongroom_example_ports::artifactory::blueprint;
use strongroom_fakes::serve::ReceivedRequest;
use strongroom_sdk::testing::{Harness, TestHost, Transport, json};
use strongroom_sdk::{Ttl, contract};

use crate::fake_system::{
    Behavior, FakeSystem, bearer_token, json_body, path_after, unreachable_url,
};

/// A token of the fake.
#[derive(Clone, Debug)]
struct Token {
    id: String,
    username: String,
    scope: String,
    description: String,
    expires_in: u64,
}

/// The access tokens of an Artifactory server, by the token itself.
#[derive(Default)]
struct ArtifactoryState {
    tokens: BTreeMap<String, Token>,
    created: usize,
    /// Whether the operator's token can't be revoked.
    keeps_admin: bool,
}

const ADMIN: &str = "admin-token-of-the-operator";
const ADMIN_SCOPE: &str = "applied-permissions/admin";

impl ArtifactoryState {
    fn with_admin() -> Self {
        let admin = Token {
            id: "id-0".to_owned(),
            username: "admin".to_owned(),
            scope: ADMIN_SCOPE.to_owned(),
            description: String::new(),
            expires_in: 0,
        };
        Self { tokens: [(ADMIN.to_owned(), admin)].into(), created: 0, keeps_admin: false }
    }

    fn tokens_of_users(&self) -> Vec<Token> {
        self.tokens.values().filter(|token| token.scope != ADMIN_SCOPE).cloned().collect()
    }

    fn admin_tokens(&self) -> Vec<String> {
        let is_admin = |(_, token): &(&String, &Token)| token.scope == ADMIN_SCOPE;
        self.tokens.iter().filter(is_admin).map(|(token, _)| token.clone()).collect()
    }
}

fn answer(state: &mut ArtifactoryState, request: &ReceivedRequest) -> (u16, Value) {
    let show = |token: &Token| json!({ "token_id": token.id, "description": token.description });
    let Some(caller) = state.tokens.get(bearer_token(request)).cloned() else {
        return (401, json!({ "errors": [] }));
    };
    if caller.scope != ADMIN_SCOPE {
        return (403, json!({ "errors": [] }));
    }
    let Some(path) = path_after(request, "/access/api/v1/tokens") else {
        return (404, json!({ "errors": [] }));
    };
    match (request.method.as_str(), path) {
        ("GET", "/me") => (200, show(&caller)),
        ("GET", "") => {
            let tokens: Vec<Value> = state.tokens.values().map(show).collect();
            (200, json!({ "tokens": tokens }))
        }
        ("POST", "") => {
            let body = json_body(request);
            let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
            state.created += 1;
            let token = Token {
                id: format!("id-{}", state.created),
                username: text("username"),
                scope: text("scope"),
                description: text("description"),
                expires_in: body["expires_in"].as_u64().unwrap_or_default(),
            };
            let secret = format!("s3cret-{}", state.created);
            let id = token.id.clone();
            state.tokens.insert(secret.clone(), token);
            (200, json!({ "access_token": secret, "token_id": id }))
        }
        ("DELETE", id) => {
            let id = id.trim_start_matches('/');
            if state.keeps_admin && id == "id-0" {
                return (200, Value::Null);
            }
            let before = state.tokens.len();
            state.tokens.retain(|_, token| token.id != id);
            let is_found = state.tokens.len() < before;
            if is_found { (200, Value::Null) } else { (404, json!({ "errors": [] })) }
        }
        _ => (404, json!({ "errors": [] })),
    }
}

async fn start_artifactory(host: &TestHost) -> FakeSystem<ArtifactoryState> {
    let artifactory = FakeSystem::start(ArtifactoryState::with_admin(), answer).await;
    let config = json!({ "url": artifactory.url(), "access_token": ADMIN });
    host.write("config/admin", config).await.unwrap();
    let usual = json!({ "scope": "read deploy", "default_ttl": "10m", "max_ttl": "1h" });
    host.write("config/user_token", usual).await.unwrap();
    artifactory
}

async fn run(body: impl AsyncFn(TestHost)) {
    Harness::run(blueprint(), |host| body(host)).await;
}

/// Whether the engine's stored configuration has the only administrator's token that is left, once
/// replaced ones are revoked.
async fn assert_knows_only_admin_token(host: &TestHost, fake: &FakeSystem<ArtifactoryState>) {
    host.advance(std::time::Duration::from_secs(61)).await;
    host.run_periodic().await.unwrap();
    let is_alone = || async { fake.lock().admin_tokens().len() == 1 };
    host.wait_until("replaced tokens are revoked", is_alone).await;
    let is_stored = || async {
        let stored = host.stored_entry("config/admin").unwrap();
        let text = String::from_utf8_lossy(&stored.value).into_owned();
        let admin = fake.lock().admin_tokens().pop().unwrap();
        text.contains(&format!("\"{admin}\"")) && text.contains("\"retired_ids\":[]")
    };
    host.wait_until("the configuration has the only token", is_stored).await;
    host.read("user_token/ann").await.unwrap();
}

#[tokio::test]
async fn a_user_has_the_usual_scope_or_one_of_its_own_and_no_case() {
    run(async |host| {
        let artifactory = start_artifactory(&host).await;
        let own = json!({ "scope": "deploy admin-of-repo", "default_ttl": "5m" });
        host.write("config/user_token/Bob@Example.com", own).await.unwrap();
        assert_eq!(host.list("config/user_token").await.unwrap(), ["bob@example.com"]);
        let bob = host.read("user_token/BOB@example.com").await.unwrap();
        assert_eq!(bob.text("scope"), "deploy admin-of-repo");
        assert_eq!(bob.text("username"), "bob@example.com");
        assert_eq!(bob.lease().ttl, Ttl::from_secs(300));
        let ann = host.write("user_token/ann", json!({})).await.unwrap();
        assert_eq!(
            (ann.text("scope"), ann.lease().ttl),
            ("read deploy".into(), Ttl::from_secs(600))
        );
        assert_eq!(ann.lease().max_ttl, Ttl::from_secs(3600));
        let tokens = artifactory.lock().tokens_of_users();
        assert_eq!(tokens.len(), 2);
        assert!(tokens.iter().any(|it| it.username == "ann" && it.expires_in == 3600));
        let is_stored = bob.lease().stored_data().contains("s3cret");
        assert_eq!(is_stored, host.transport() == Transport::Foreign, "as Vault stores it");
        host.revoke(&bob.lease().id).await.unwrap();
        host.revoke(&ann.lease().id).await.unwrap();
        assert!(artifactory.lock().tokens_of_users().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_client_chooses_scope_and_lifetime_within_those_of_the_user() {
    run(async |host| {
        let artifactory = start_artifactory(&host).await;
        let asked = json!({ "scope": "deploy", "ttl": "1m", "max_ttl": "2m" });
        let got = host.write("user_token/ann", asked).await.unwrap();
        assert_eq!(got.text("scope"), "deploy");
        let lease = got.lease();
        assert_eq!((lease.ttl, lease.max_ttl), (Ttl::from_secs(60), Ttl::from_secs(120)));
        assert_eq!(artifactory.lock().tokens_of_users()[0].expires_in, 120);
        let longer = host.write("user_token/ann", json!({ "max_ttl": "9h" })).await.unwrap();
        assert_eq!(longer.lease().max_ttl, Ttl::from_secs(3600));
        assert!(longer.warnings.iter().any(|it| it.contains("max_ttl")), "{:?}", longer.warnings);
        let other = json!({ "scope": "deploy applied-permissions/admin" });
        let refused = host.write("user_token/ann", other).await.unwrap_err();
        assert_eq!(refused.status, Some(403));
        assert_eq!(artifactory.lock().tokens_of_users().len(), 2);
        assert!(host.open_intents().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_configuration_is_verified_when_it_is_written() {
    run(async |host| {
        let artifactory = FakeSystem::start(ArtifactoryState::with_admin(), answer).await;
        let wrong = json!({ "url": artifactory.url(), "access_token": "wrong" });
        let refused = host.write("config/admin", wrong).await.unwrap_err();
        assert_eq!(refused.message, "Artifactory rejects the access token");
        let nobody = json!({ "url": unreachable_url(), "access_token": ADMIN });
        let failed = host.write("config/admin", nobody).await.unwrap_err();
        assert!(failed.message.contains("could not connect"), "{}", failed.message);
        assert!(host.read("config/admin").await.is_err(), "nothing was stored");
        let right = json!({ "url": artifactory.url(), "access_token": ADMIN });
        host.write("config/admin", right).await.unwrap();
        let shown = host.read("config/admin").await.unwrap();
        assert_eq!(shown.text("admin_token_id"), "id-0");
        assert!(!shown.data_json().contains(ADMIN));
    })
    .await;
}

#[tokio::test]
async fn deleting_the_configuration_revokes_the_administrators_token() {
    run(async |host| {
        let artifactory = start_artifactory(&host).await;
        artifactory.set_behavior(Behavior::Refuses(500));
        assert!(host.delete("config/admin").await.is_err());
        assert!(host.read("config/admin").await.is_ok(), "it stays until the token is revoked");
        // The token is revoked, and the engine can't delete the document.
        artifactory.set_behavior(Behavior::Normal);
        host.fail_writes_after(0);
        assert!(host.delete("config/admin").await.is_err());
        host.repair_storage();
        assert!(artifactory.lock().tokens.is_empty());
        host.delete("config/admin").await.unwrap();
        assert!(host.read("config/admin").await.is_err());
    })
    .await;
}

#[tokio::test]
async fn a_rotation_replaces_the_token_and_revokes_the_earlier_one() {
    run(async |host| {
        let artifactory = start_artifactory(&host).await;
        host.write("config/rotate", json!({})).await.unwrap();
        host.read("user_token/ann").await.unwrap();
        assert_knows_only_admin_token(&host, &artifactory).await;
        assert!(!artifactory.lock().tokens.contains_key(ADMIN));
        let stored = host.stored_entry("config/admin").unwrap();
        assert!(stored.seal_wrap);
    })
    .await;
}

#[tokio::test]
async fn a_rotation_that_artifactory_refuses_changes_nothing() {
    run(async |host| {
        let artifactory = start_artifactory(&host).await;
        artifactory.set_behavior(Behavior::Refuses(400));
        let refused = host.write("config/rotate", json!({})).await.unwrap_err();
        assert!(refused.message.contains("answered 400"), "{}", refused.message);
        artifactory.set_behavior(Behavior::Normal);
        assert_eq!(artifactory.lock().admin_tokens(), [ADMIN]);
        host.write("config/rotate", json!({})).await.unwrap();
        assert_knows_only_admin_token(&host, &artifactory).await;
    })
    .await;
}

#[tokio::test]
async fn a_rotation_whose_response_is_lost_leaves_no_token_that_nobody_knows() {
    run(async |host| {
        let artifactory = start_artifactory(&host).await;
        for behavior in [Behavior::LosesResponse, Behavior::LosesRequest] {
            artifactory.set_behavior(behavior);
            assert!(host.write("config/rotate", json!({})).await.is_err());
            artifactory.set_behavior(Behavior::Normal);
            host.settle_intents().await;
            assert_knows_only_admin_token(&host, &artifactory).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_crash_at_any_write_of_a_rotation_leaves_one_token_that_the_engine_knows() {
    run(async |host| {
        let artifactory = start_artifactory(&host).await;
        for writes in 0.. {
            host.fail_writes_after(writes);
            let rotated = host.write("config/rotate", json!({})).await;
            host.repair_storage();
            host.crash().await;
            host.reopen().await;
            host.settle_intents().await;
            assert_knows_only_admin_token(&host, &artifactory).await;
            if rotated.is_ok() {
                assert!(writes >= 2, "the plan and the configuration are written");
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_token_whose_response_is_lost_is_revoked_by_its_description() {
    run(async |host| {
        let artifactory = start_artifactory(&host).await;
        host.read("user_token/bob").await.unwrap();
        for behavior in [Behavior::LosesResponse, Behavior::LosesRequest] {
            artifactory.set_behavior(behavior);
            assert!(host.read("user_token/ann").await.is_err());
            artifactory.set_behavior(Behavior::Normal);
            host.settle_intents().await;
            let left = artifactory.lock().tokens_of_users();
            assert_eq!(left.len(), 1, "{left:?}");
            assert_eq!(left[0].username, "bob");
        }
    })
    .await;
}

#[tokio::test]
async fn a_crash_at_any_write_of_issuing_leaves_no_token_without_a_lease() {
    run(async |host| {
        let artifactory = start_artifactory(&host).await;
        for writes in 0.. {
            host.fail_writes_after(writes);
            let issued = host.read("user_token/ann").await;
            host.repair_storage();
            host.crash().await;
            host.reopen().await;
            host.settle_intents().await;
            let left = artifactory.lock().tokens_of_users().len();
            assert_eq!(left, host.leases().len(), "after {writes} writes");
            if issued.is_ok() {
                assert!(writes >= 1, "the intent is written");
                break;
            }
        }
        if host.transport() != Transport::Foreign {
            host.crash_at_next_lease();
            host.read("user_token/ann").await.unwrap_err();
            host.reopen().await;
            host.settle_intents().await;
            assert_eq!(artifactory.lock().tokens_of_users().len(), host.leases().len());
        }
    })
    .await;
}

#[tokio::test]
async fn keeps_to_the_contract() {
    // The contract deletes the configuration and writes it again.
    let state = ArtifactoryState { keeps_admin: true, ..ArtifactoryState::with_admin() };
    let artifactory = FakeSystem::start(state, answer).await;
    let config = json!({ "url": artifactory.url(), "access_token": ADMIN }).to_string();
    let usual = r#"{"scope":"read","default_ttl":"10m","max_ttl":"1h"}"#;
    let documents = [
        ("config/admin", config.as_str()),
        ("config/user_token", usual),
        ("config/user_token/ann@example.com", usual),
    ];
    contract::check(blueprint(), &documents).await;
}
