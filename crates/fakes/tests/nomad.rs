//! Checks that the fake Nomad responds like Nomad. With `NOMAD_ADDR` and `NOMAD_TOKEN` (a
//! management token of a disposable server) the same cases run against a real one.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may be blunt")]

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use strongroom_fakes::nomad::{FakeNomad, NomadBehavior, NomadVersion, Options};
use strongroom_fakes::tls::FakeAuthority;
use strongroom_types::Ttl;
use strongroom_types::clock::ManualClock;
use strongroom_types::entropy::SeededEntropy;

/// A client of the fake, or of a real Nomad.
struct NomadTestClient {
    url: String,
    token: String,
}

struct ReceivedResponse {
    status: u16,
    text: String,
    next_token: Option<String>,
}

impl ReceivedResponse {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

impl NomadTestClient {
    async fn request(&self, method: Method, path: &str, body: Option<Value>) -> ReceivedResponse {
        let mut call = Client::new().request(method, format!("{}{path}", self.url));
        if !self.token.is_empty() {
            call = call.header("X-Nomad-Token", &self.token);
        }
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let answer = call.body(body).send().await.unwrap();
        let next = answer.headers().get("X-Nomad-NextToken");
        let next = next.map(|next| next.to_str().unwrap().to_owned());
        let status = answer.status().as_u16();
        ReceivedResponse { status, text: answer.text().await.unwrap(), next_token: next }
    }

    async fn get(&self, path: &str) -> ReceivedResponse {
        self.request(Method::GET, path, None).await
    }

    async fn create_token(&self, body: Value) -> ReceivedResponse {
        self.request(Method::POST, "/v1/acl/token", Some(body)).await
    }

    async fn delete_token(&self, accessor: &str) -> ReceivedResponse {
        self.request(Method::DELETE, &format!("/v1/acl/token/{accessor}"), None).await
    }

    fn with_token(&self, token: &str) -> Self {
        Self { url: self.url.clone(), token: token.to_owned() }
    }
}

async fn start_bootstrapped(options: Options) -> (FakeNomad, NomadTestClient) {
    let nomad = FakeNomad::start(options).await.unwrap();
    let token = nomad.bootstrap().unwrap();
    let caller = NomadTestClient { url: nomad.url(), token };
    (nomad, caller)
}

/// Options with a clock that stands still.
fn manual_clock_options() -> (ManualClock, Options) {
    let clock = ManualClock::default();
    let entropy = Arc::new(SeededEntropy::new(7));
    (clock.clone(), Options { clock: Arc::new(clock), entropy, ..Options::default() })
}

#[tokio::test]
async fn answers_in_nomads_words() {
    let (_nomad, caller) = start_bootstrapped(Options::default()).await;
    check_statuses_and_texts(&caller).await;
}

#[tokio::test]
async fn nomad_itself_answers_in_these_words() {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let (Some(url), Some(token)) = (set("NOMAD_ADDR"), set("NOMAD_TOKEN")) else {
        println!(
            "SKIPPED nomad_itself_answers_in_these_words: NOMAD_ADDR and NOMAD_TOKEN name no server"
        );
        return;
    };
    check_statuses_and_texts(&NomadTestClient { url, token }).await;
}

/// Statuses, texts and formats, all recorded from a server of version 2.0.
async fn check_statuses_and_texts(caller: &NomadTestClient) {
    const NOBODY: &str = "11111111-f5f1-6f29-b4b4-9a5fa948757a";
    let wrong = |fault: &str| format!("token 0 invalid: 1 error occurred:\n\t* {fault}\n\n");
    let client =
        |ttl: &str| json!({"Name": "a", "Type": "client", "Policies": ["p"], "ExpirationTTL": ttl});
    let refusals = [
        (
            client("768h"),
            wrong("expiration time cannot be more than 24h0m0s in the future (was 768h0m0s)"),
        ),
        (client("30s"), wrong("expiration time cannot be less than 1m0s in the future (was 30s)")),
        (client("zz"), "time: invalid duration \"zz\"".to_owned()),
        (client("60"), "time: missing unit in duration \"60\"".to_owned()),
        (
            client("-30s"),
            "token 0 invalid: 3 errors occurred:\n\t* token expiration TTL '-30s' should not be \
             negative\n\t* expiration time cannot be before create time\n\t* expiration time \
             cannot be less than 1m0s in the future (was -30s)\n\n"
                .to_owned(),
        ),
        (json!({"Type": "client"}), wrong("client token missing policies or roles")),
        (
            json!({"Type": "management", "Policies": ["p"]}),
            wrong("management token cannot be associated with policies or roles"),
        ),
        (
            json!({"Type": "other", "Policies": ["p"]}),
            wrong("token type must be client or management"),
        ),
        (json!({"Name": "x".repeat(257), "Type": "management"}), wrong("token name too long")),
        (
            json!({"AccessorID": NOBODY, "Type": "management"}),
            format!("cannot find token {NOBODY}"),
        ),
    ];
    for (body, text) in refusals {
        let heard = caller.create_token(body.clone()).await;
        assert_eq!((heard.status, heard.text), (400, text), "{body}");
    }

    // A policy needn't exist, and fractions of a second don't matter.
    let made = caller.create_token(client("90s")).await;
    let token = made.json();
    assert_eq!(made.status, 200);
    assert_eq!((&token["ExpirationTTL"], &token["Global"]), (&json!("1m30s"), &json!(false)));
    assert!(token["ExpirationTime"].is_string() && token["Roles"].is_null());
    let (accessor, secret) =
        (token["AccessorID"].as_str().unwrap(), token["SecretID"].as_str().unwrap());
    let own = caller.with_token(secret);
    let path = format!("/v1/acl/token/{accessor}");
    assert_eq!(own.get(&path).await.json()["SecretID"], secret);
    assert_eq!(own.get("/v1/acl/token/self").await.json()["AccessorID"], accessor);
    assert_eq!(caller.get(&path).await.json()["SecretID"], secret);

    // Lists contain no secrets.
    let listed = caller.get(&format!("/v1/acl/tokens?prefix={accessor}")).await.json();
    assert_eq!((&listed[0]["Name"], listed.as_array().unwrap().len()), (&json!("a"), 1));
    assert!(listed[0]["SecretID"].is_null() && listed[0]["ExpirationTime"].is_string());
    let none = caller.get("/v1/acl/tokens?filter=Name%20contains%20%22no-such-name%22").await;
    assert_eq!((none.status, none.text.as_str()), (200, "[]"));

    // Callers without a management token.
    for other in [
        own.with_token(""),
        own.with_token(NOBODY),
        own.with_token("nonsense"),
        own.with_token(secret),
    ] {
        for heard in [
            other.create_token(client("90s")).await,
            other.delete_token(accessor).await,
            other.get("/v1/acl/tokens").await,
        ] {
            assert_eq!((heard.status, heard.text.as_str()), (403, "Permission denied"));
        }
    }
    let heard = own.with_token("nonsense").get("/v1/acl/token/self").await;
    assert_eq!(heard.status, 500);
    assert!(heard.text.starts_with("failed to parse signed token"), "{}", heard.text);
    assert_eq!(own.with_token(NOBODY).get("/v1/acl/token/self").await.status, 403);
    let heard = own.with_token("").get("/v1/acl/token/self").await;
    assert_eq!(heard.json()["AccessorID"], "anonymous");

    // Deleting twice, and deleting a token that never existed.
    let heard = caller.delete_token(accessor).await;
    assert_eq!((heard.status, heard.text.as_str()), (200, ""));
    for accessor in [accessor, NOBODY] {
        let heard = caller.delete_token(accessor).await;
        let text = format!("Cannot delete nonexistent tokens: {accessor}");
        assert_eq!((heard.status, heard.text), (400, text));
    }
    let heard = caller.get(&path).await;
    assert_eq!((heard.status, heard.text.as_str()), (404, "ACL token not found"));
    let heard = caller.delete_token("").await;
    assert_eq!((heard.status, heard.text.as_str()), (400, "Missing Token Accessor"));

    // Pages, and a filter over them.
    let mut accessors = Vec::new();
    for name in ["page-1-of-NAME", "page-2-of-NAME", "page-3-of-NAME"] {
        let made = caller.create_token(json!({"Name": name, "Type": "management"})).await.json();
        accessors.push(made["AccessorID"].as_str().unwrap().to_owned());
    }
    let filter = "/v1/acl/tokens?per_page=2&filter=Name%20contains%20%22-of-NAME%22";
    let first = caller.get(filter).await;
    assert_eq!(first.json().as_array().unwrap().len(), 2);
    let next = first.next_token.unwrap();
    let second = caller.get(&format!("{filter}&next_token={next}")).await;
    assert_eq!(second.json()[0]["AccessorID"], accessors[2]);
    assert_eq!((second.json().as_array().unwrap().len(), second.next_token), (1, None));
    let named = caller.get("/v1/acl/tokens?filter=Name%20%3D%3D%20%22page-2-of-NAME%22").await;
    assert_eq!(named.json()[0]["AccessorID"], accessors[1]);
    for accessor in accessors {
        assert_eq!(caller.delete_token(&accessor).await.status, 200);
    }
    let heard = caller.get("/v1/acl/tokens?filter=nonsense").await;
    assert_eq!(heard.status, 400);
    assert!(heard.text.starts_with("failed to create result paginator"), "{}", heard.text);

    // Policies.
    let rules =
        json!({"Name": "fake-test", "Rules": "namespace \"default\" { policy = \"read\" }"});
    let at = "/v1/acl/policy/fake-test";
    assert_eq!(caller.request(Method::POST, at, Some(rules.clone())).await.status, 200);
    assert_eq!(caller.get(at).await.json()["Name"], "fake-test");
    let policies = caller.get("/v1/acl/policies").await.json();
    assert!(policies.as_array().unwrap().iter().any(|policy| policy["Name"] == "fake-test"));
    let heard = caller.request(Method::POST, "/v1/acl/policy/other", Some(rules)).await;
    let text = "ACL policy name does not match request path";
    assert_eq!((heard.status, heard.text.as_str()), (400, text));
    for _ in 0..2 {
        assert_eq!(caller.request(Method::DELETE, at, None).await.status, 200);
    }
    let heard = caller.get(at).await;
    assert_eq!((heard.status, heard.text.as_str()), (404, "ACL policy not found"));

    // Methods and paths.
    for (method, path) in [(Method::POST, "/v1/acl/tokens"), (Method::GET, "/v1/acl/token")] {
        let heard = caller.request(method, path, Some(json!({}))).await;
        assert_eq!((heard.status, heard.text.as_str()), (405, "Invalid method"), "{path}");
    }
    assert_eq!(caller.get("/v1/no-such-thing").await.status, 404);
    let heard = caller.request(Method::POST, "/v1/acl/token", None).await;
    assert_eq!((heard.status, heard.text.as_str()), (400, "Request body is empty"));
    let heard = caller.request(Method::POST, "/v1/acl/bootstrap", None).await;
    assert_eq!(heard.status, 400);
    assert!(heard.text.starts_with("ACL bootstrap already done (reset index: "), "{}", heard.text);
    assert!(caller.get("/v1/status/leader").await.json().is_string());
}

#[tokio::test]
async fn bootstraps_once_with_the_given_secret() {
    let nomad = FakeNomad::start(Options::default()).await.unwrap();
    let anyone = NomadTestClient { url: nomad.url(), token: String::new() };
    let secret = "2b778dd9-f5f1-6f29-b4b4-9a5fa948757a";
    let bootstrap = async |secret: &str| {
        let body = json!({ "BootstrapSecret": secret });
        anyone.request(Method::POST, "/v1/acl/bootstrap", Some(body)).await
    };
    let heard = bootstrap("no-uuid").await;
    assert_eq!((heard.status, heard.text.as_str()), (400, "invalid acl token"));
    let made = bootstrap(secret).await.json();
    assert_eq!((&made["SecretID"], &made["Type"]), (&json!(secret), &json!("management")));
    let heard = bootstrap(secret).await;
    assert_eq!(heard.text, "ACL bootstrap already done (reset index: 8)");
    assert_eq!(nomad.bootstrap(), None);
    assert!(nomad.tokens().is_empty() && nomad.accepts(secret));
}

#[tokio::test]
async fn tokens_expire_by_the_clock_and_stay_listed() {
    let (clock, options) = manual_clock_options();
    let (nomad, caller) = start_bootstrapped(options).await;
    let wish = json!({"Name": "a", "Type": "client", "Policies": ["p"], "ExpirationTTL": "1m"});
    let made = caller.create_token(wish).await.json();
    assert_eq!(made["ExpirationTime"], "2030-01-01T00:01:00Z");
    let secret = made["SecretID"].as_str().unwrap();
    clock.advance(Duration::from_secs(60));
    assert!(nomad.accepts(secret));
    clock.advance(Duration::from_secs(1));
    assert!(!nomad.accepts(secret));
    let heard = caller.with_token(secret).get("/v1/acl/token/self").await;
    assert_eq!((heard.status, heard.text.as_str()), (500, "ACL token expired"));
    assert_eq!(caller.with_token(secret).get("/v1/acl/tokens").await.status, 403);
    assert_eq!(caller.get("/v1/acl/tokens").await.json().as_array().unwrap().len(), 2);
    assert_eq!(nomad.tokens()[0].expiration_ttl, Ttl::from_secs(60));
    assert_eq!(caller.delete_token(made["AccessorID"].as_str().unwrap()).await.status, 200);
}

#[tokio::test]
async fn an_old_version_ignores_expiration_and_filters() {
    let (_nomad, caller) =
        start_bootstrapped(Options { version: NomadVersion::BeforeExpiry, ..Options::default() })
            .await;
    let wish = json!({"Name": "a", "Type": "management", "ExpirationTTL": "9999h"});
    let made = caller.create_token(wish).await.json();
    assert!(made["ExpirationTime"].is_null());
    let all = caller.get("/v1/acl/tokens?per_page=1&filter=Name%20contains%20%22zz%22").await;
    assert_eq!((all.json().as_array().unwrap().len(), all.next_token), (2, None));
}

#[tokio::test]
async fn without_acls_there_are_no_tokens() {
    let nomad =
        FakeNomad::start(Options { acl_enabled: false, ..Options::default() }).await.unwrap();
    let anyone = NomadTestClient { url: nomad.url(), token: String::new() };
    let heard = anyone.create_token(json!({"Type": "management"})).await;
    assert_eq!((heard.status, heard.text.as_str()), (400, "ACL support disabled"));
}

#[tokio::test]
async fn behaviors_change_responses_but_not_always_state() {
    let (clock, options) = manual_clock_options();
    let (nomad, caller) = start_bootstrapped(options).await;
    let wish = || json!({"Name": "a", "Type": "management"});
    nomad.set_behavior(NomadBehavior::NoLeader);
    let heard = caller.create_token(wish()).await;
    assert_eq!((heard.status, heard.text.as_str()), (500, "No cluster leader"));
    nomad.set_behavior(NomadBehavior::RateLimited);
    assert_eq!(caller.create_token(wish()).await.status, 429);
    assert!(nomad.tokens().is_empty());
    nomad.set_behavior(NomadBehavior::LosesLeader);
    assert_eq!(caller.create_token(wish()).await.status, 500);
    assert_eq!((nomad.tokens().len(), caller.get("/v1/acl/tokens").await.status), (1, 200));
    nomad.set_behavior(NomadBehavior::DropsResponse);
    let mute = Client::new().get(format!("{}/v1/acl/tokens", nomad.url())).send().await;
    assert!(mute.unwrap_err().is_request());
    nomad.set_behavior(NomadBehavior::Slow(Duration::from_secs(5)));
    let mut slow = Box::pin(caller.create_token(wish()));
    tokio::select! {
        _ = &mut slow => panic!("the clock stands still"),
        () = async { while nomad.tokens().len() < 2 { tokio::task::yield_now().await } } => {}
    }
    clock.advance(Duration::from_secs(5));
    assert_eq!(slow.await.status, 200);
    nomad.set_behavior(NomadBehavior::Normal);
    assert_eq!(caller.create_token(wish()).await.status, 200);
    assert_eq!(nomad.requests().last().unwrap(), "POST /v1/acl/token");
    let url = nomad.url();
    drop(nomad);
    assert!(Client::new().get(url).send().await.unwrap_err().is_connect());
}

#[tokio::test]
async fn tls_requires_a_client_certificate() {
    let authority = FakeAuthority::new().unwrap();
    let tls = Some(authority.server_config().unwrap());
    let nomad = FakeNomad::start(Options { tls, ..Options::default() }).await.unwrap();
    let trusting = || {
        let ca = reqwest::Certificate::from_pem(authority.cert_pem().as_bytes()).unwrap();
        Client::builder().tls_certs_only([ca])
    };
    let leader = format!("{}/v1/status/leader", nomad.url());
    assert!(nomad.url().starts_with("https://127.0.0.1:"));
    assert!(trusting().build().unwrap().get(&leader).send().await.is_err());
    let certified = authority.issue_certificate("engine").unwrap();
    let pem = format!("{}{}", certified.cert, certified.key);
    let identity = reqwest::Identity::from_pem(pem.as_bytes()).unwrap();
    let known = trusting().identity(identity).build().unwrap();
    assert_eq!(known.get(&leader).send().await.unwrap().status(), StatusCode::OK);
}
