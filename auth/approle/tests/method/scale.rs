//! What requests cost when a role has many secret ids, in storage operations.

use strongroom_auth_approle::blueprint;
use strongroom_sdk::testing::{Harness, TestHost, Transport, json};

use crate::{issue, log_in, look_up, write_role};

/// The storage reads and writes of a request.
async fn cost<T>(host: &TestHost, request: impl Future<Output = T>) -> (usize, usize) {
    let before = (host.storage_reads(), host.storage_writes());
    request.await;
    (host.storage_reads() - before.0, host.storage_writes() - before.1)
}

/// Issues `count` secret ids of one role, and checks that requests cost what they cost with one.
async fn check_costs_with(count: usize) {
    Harness::run_one(blueprint(), Transport::Linked, |host| async move {
        let role_id = write_role(&host, "web", json!({})).await;
        let (first, counted) = (
            issue(&host, "web", json!({})).await,
            issue(&host, "web", json!({ "num_uses": 1000, "ttl": "700h" })).await,
        );
        let by_accessor = json!({ "secret_id_accessor": first.accessor });
        let costs = async || {
            [
                cost(&host, async { log_in(&host, &role_id, &first.secret_id).await.unwrap() })
                    .await,
                cost(&host, async { log_in(&host, &role_id, &counted.secret_id).await.unwrap() })
                    .await,
                cost(&host, async { look_up(&host, "web", &first.secret_id).await.unwrap() }).await,
                cost(&host, host.write("role/web/secret-id-accessor/lookup", &by_accessor)).await,
                cost(&host, issue(&host, "web", json!({}))).await,
                cost(&host, issue(&host, "web", json!({ "ttl": "1h" }))).await,
            ]
        };
        let expected = [(2, 0), (3, 1), (1, 0), (2, 0), (2, 1), (2, 1)];
        assert_eq!(costs().await, expected, "with few");
        for _ in 0..count {
            issue(&host, "web", json!({})).await;
        }
        assert_eq!(costs().await, expected, "with {count} more");
        // A page of accessors reads no entries.
        let page = cost(&host, host.list_page("role/web/secret-id", json!({ "limit": 10 }))).await;
        assert_eq!(page, (0, 0));
        // The role is deleted in one batch, however many secret ids it has.
        assert_eq!(cost(&host, host.delete("role/web")).await.1, 1);
        assert!(log_in(&host, &role_id, &first.secret_id).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn requests_cost_the_same_however_many_secret_ids_there_are() {
    check_costs_with(2000).await;
}

/// Takes some ten minutes without optimisation, and a gigabyte; run it with `--ignored`.
#[tokio::test]
#[ignore = "takes minutes: make test-long"]
async fn requests_cost_the_same_with_a_million_secret_ids() {
    check_costs_with(1_000_000).await;
}
