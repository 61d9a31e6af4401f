//! What is removed of expired secret ids and deleted roles, and when.

use std::time::Duration;

use strongroom_auth_approle::blueprint;
use strongroom_sdk::testing::{Harness, TestHost, json};
use tokio::test;

use crate::{issue, log_in, write_role};

const TIDY: &str = "tidy/secret-id";

async fn tidy(host: &TestHost) {
    let got = host.write(TIDY, json!({})).await.unwrap().raw.unwrap();
    assert_eq!(got.status, 202);
    let body: serde_json::Value = serde_json::from_slice(&got.body).unwrap();
    let warning = body.pointer("/warnings/0").unwrap().as_str().unwrap();
    assert!(warning.starts_with("Tidy operation"), "{warning}");
}

#[test]
async fn expired_secret_ids_are_removed_and_others_stay() {
    Harness::run(blueprint(), |host| async move {
        let role_id = write_role(&host, "web", json!({})).await;
        write_role(&host, "local", json!({ "local_secret_ids": true })).await;
        let forever = issue(&host, "web", json!({})).await;
        let later = issue(&host, "web", json!({ "ttl": "3h" })).await;
        issue(&host, "local", json!({})).await;
        let kept = host.stored_keys();
        for role in ["web", "local"] {
            for minutes in [1, 59, 61, 119] {
                issue(&host, role, json!({ "ttl": format!("{minutes}m") })).await;
            }
        }
        host.advance(Duration::from_secs(2 * 3600 + 1)).await;
        tidy(&host).await;
        let is_tidy = || async { host.stored_keys() == kept };
        host.wait_until("expired secret ids are removed", is_tidy).await;
        for secret_id in [forever, later] {
            log_in(&host, &role_id, &secret_id.secret_id).await.unwrap();
        }
    })
    .await;
}

#[test]
async fn the_periodic_task_removes_them_as_well() {
    Harness::run(blueprint(), |host| async move {
        write_role(&host, "web", json!({})).await;
        issue(&host, "web", json!({})).await;
        let kept = host.stored_keys();
        issue(&host, "web", json!({ "ttl": 60 })).await;
        host.advance(Duration::from_secs(61)).await;
        host.run_periodic().await.unwrap();
        let is_tidy = || async { host.stored_keys() == kept };
        host.wait_until("the expired secret id is removed", is_tidy).await;
    })
    .await;
}

#[test]
async fn a_deleted_role_leaves_nothing_in_the_end() {
    Harness::run(blueprint(), |host| async move {
        for local in [false, true] {
            let before = host.stored_keys();
            write_role(&host, "web", json!({ "local_secret_ids": local })).await;
            for n in 0..300 {
                let ttl = if n % 2 == 0 { json!({}) } else { json!({ "ttl": "10h" }) };
                issue(&host, "web", ttl).await;
            }
            host.largest_batch();
            host.delete("role/web").await.unwrap();
            tidy(&host).await;
            let note_is_left = || async { host.stored_keys().len() == before.len() + 1 };
            host.wait_until("the secret ids are removed", note_is_left).await;
            assert!(host.largest_batch() <= 3 * 128, "in pieces");
            // The note outlives requests that began before the role was deleted.
            host.advance(Duration::from_secs(3601)).await;
            // The first run may still be ending; then this starts none.
            let nothing_is_left = || async {
                tidy(&host).await;
                host.stored_keys() == before
            };
            host.wait_until("the note is removed", nothing_is_left).await;
        }
    })
    .await;
}
