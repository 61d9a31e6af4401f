//! What is left if a write fails or the process dies at any point.

use strongroom_auth_approle::blueprint;
use strongroom_sdk::testing::{Harness, TestHost, json};
use tokio::test;

use crate::{issue, log_in, look_up, write_role};

/// More than any request here writes.
const MAX_WRITES: usize = 8;

/// Makes the writes of `request` fail after `count` of them, as if the process died there, and opens
/// the engine again. Returns whether no write failed.
async fn crash_after<T>(host: &TestHost, count: usize, request: impl Future<Output = T>) -> bool {
    let failed = host.failed_writes();
    host.fail_writes_after(count);
    request.await;
    host.repair_storage();
    host.reopen().await;
    host.failed_writes() == failed
}

#[test]
async fn a_secret_id_that_was_not_acknowledged_is_usable_only_if_it_is_listed() {
    Harness::run(blueprint(), |host| async move {
        let role_id = write_role(&host, "web", json!({})).await;
        for count in 0..MAX_WRITES {
            let chosen = format!("chosen-{count}");
            let fields = json!({ "secret_id": chosen, "ttl": "1h" });
            let request = host.write("role/web/custom-secret-id", fields);
            let is_whole = crash_after(&host, count, request).await;
            let works = log_in(&host, &role_id, &chosen).await.is_ok();
            assert_eq!(works, is_whole, "{count} writes");
            let found = look_up(&host, "web", &chosen).await;
            assert_eq!(found.is_some(), works);
            if let Some(found) = found {
                let accessor = found.text("secret_id_accessor");
                assert!(host.list("role/web/secret-id").await.unwrap().contains(&accessor));
            }
        }
    })
    .await;
}

#[test]
async fn a_use_is_never_used_twice() {
    Harness::run(blueprint(), |host| async move {
        let role_id = write_role(&host, "web", json!({})).await;
        for count in 0..MAX_WRITES {
            let issued = issue(&host, "web", json!({ "num_uses": 1, "ttl": "1h" })).await;
            let mut accepted = 0;
            let login = async {
                accepted += usize::from(log_in(&host, &role_id, &issued.secret_id).await.is_ok());
            };
            crash_after(&host, count, login).await;
            for _ in 0..2 {
                accepted += usize::from(log_in(&host, &role_id, &issued.secret_id).await.is_ok());
            }
            assert!(accepted <= 1, "{count} writes");
        }
    })
    .await;
}

#[test]
async fn a_destroyed_secret_id_is_useless_whatever_is_left_of_it() {
    Harness::run(blueprint(), |host| async move {
        let role_id = write_role(&host, "web", json!({})).await;
        for count in 1..MAX_WRITES {
            let issued = issue(&host, "web", json!({ "ttl": "1h" })).await;
            let body = json!({ "secret_id_accessor": issued.accessor });
            let destroy = "role/web/secret-id-accessor/destroy";
            crash_after(&host, count, host.write(destroy, &body)).await;
            assert!(log_in(&host, &role_id, &issued.secret_id).await.is_err(), "{count} writes");
            // A second attempt removes what is left.
            let _ = host.write(destroy, &body).await;
            let listed = host.list("role/web/secret-id").await.unwrap_or_default();
            assert!(!listed.contains(&issued.accessor), "{count} writes");
        }
    })
    .await;
}

#[test]
async fn a_role_is_there_with_its_role_id_or_not_at_all() {
    Harness::run(blueprint(), |host| async move {
        for count in 0..MAX_WRITES {
            let fields = json!({ "role_id": "fixed" });
            let is_whole = crash_after(&host, count, host.write("role/web", fields)).await;
            assert_eq!(host.read("role/web").await.is_ok(), is_whole, "{count} writes");
            // What a crash left behind doesn't take the role id from another role.
            if !is_whole {
                let role_id = write_role(&host, "other", json!({ "role_id": "fixed" })).await;
                let issued = issue(&host, "other", json!({})).await;
                log_in(&host, &role_id, &issued.secret_id).await.unwrap();
                host.delete("role/other").await.unwrap();
            }
            host.delete("role/web").await.unwrap();
        }
    })
    .await;
}

#[test]
async fn a_changed_role_id_works_or_the_old_one_does() {
    Harness::run(blueprint(), |host| async move {
        for count in 0..MAX_WRITES {
            write_role(&host, "web", json!({ "role_id": "old" })).await;
            let issued = issue(&host, "web", json!({})).await;
            let change = host.write("role/web/role-id", json!({ "role_id": "new" }));
            crash_after(&host, count, change).await;
            let works = async |role_id| log_in(&host, role_id, &issued.secret_id).await.is_ok();
            assert!(works("old").await != works("new").await, "{count} writes");
            host.delete("role/web").await.unwrap();
        }
    })
    .await;
}

#[test]
async fn the_secret_ids_of_a_deleted_role_are_useless_whatever_is_left() {
    Harness::run(blueprint(), |host| async move {
        for count in 0..MAX_WRITES {
            write_role(&host, "web", json!({ "role_id": "fixed" })).await;
            let issued = issue(&host, "web", json!({})).await;
            crash_after(&host, count, host.delete("role/web")).await;
            // The removal of what a deleted role left doesn't touch a role that is still there.
            host.run_periodic().await.unwrap();
            host.write("tidy/secret-id", json!({})).await.unwrap();
            let is_left = host.read("role/web").await.is_ok();
            let works = log_in(&host, "fixed", &issued.secret_id).await.is_ok();
            assert_eq!(works, is_left, "{count} writes");
            host.delete("role/web").await.unwrap();
            assert!(log_in(&host, "fixed", &issued.secret_id).await.is_err());
        }
    })
    .await;
}
