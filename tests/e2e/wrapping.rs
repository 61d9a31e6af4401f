//! Response wrapping over HTTP: one token, a hundred clients, one secret.

use serde_json::json;
use strongroom_testkit::{ApiClient, ServerFolder};
use tokio::task::JoinSet;

const CLIENTS: usize = 100;
const SECRET: &str = "correct horse battery staple";

#[tokio::test]
async fn only_one_client_can_unwrap() {
    let mut site = ServerFolder::new("");
    let (server, api) = site.start_unsealed().await;
    let mut tokens = Vec::new();
    for by_another in [false, true] {
        let token = wrap_secret(&api).await;
        let (client, body) = match by_another {
            false => (api.as_token(&token), json!({})),
            true => (api.clone(), json!({ "token": token })),
        };
        let mut calls = JoinSet::new();
        for _ in 0..CLIENTS {
            let (client, body) = (client.clone(), body.clone());
            calls.spawn(async move { client.write("sys/wrapping/unwrap", body).await });
        }
        let answers = calls.join_all().await;
        let given: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
        assert_eq!(given.len(), 1, "{answers:?}");
        assert_eq!(given[0].data_field("secret"), SECRET);
        let refused = answers.iter().filter(|answer| answer.status == 400).count();
        assert_eq!(refused, CLIENTS - 1, "{answers:?}");
        tokens.push(token);
    }
    // What is wrapped outlives the server, and is given once over all its lives.
    tokens.push(wrap_secret(&api).await);
    server.kill().await;
    let (server, api) = site.start_unsealed().await;
    let client = api.as_token(&tokens[2]);
    let answer = client.write("sys/wrapping/unwrap", json!({})).await.assert_ok();
    assert_eq!(answer.data_field("secret"), SECRET);
    server.kill().await;
    let (_server, api) = site.start_unsealed().await;
    for token in &tokens {
        let again = api.as_token(token).write("sys/wrapping/unwrap", json!({})).await;
        assert_eq!(again.status, 400, "{again:?}");
    }
    let log = site.read_log();
    assert!(!log.contains(SECRET) && tokens.iter().all(|token| !log.contains(token)), "{log}");
}

async fn wrap_secret(api: &ApiClient) -> String {
    let wrapping = api.with_header("X-Vault-Wrap-TTL", "5m");
    let answer = wrapping.write("sys/wrapping/wrap", json!({ "secret": SECRET })).await.assert_ok();
    assert!(answer.body["data"].is_null() && answer.body["request_id"] == "", "{answer:?}");
    assert_eq!(answer.body["wrap_info"]["ttl"], 300);
    answer.text_at("wrap_info/token")
}
