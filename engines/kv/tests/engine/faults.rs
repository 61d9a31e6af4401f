//! Version 2: storage faults in the middle of a change.

use strongroom_engine_kv::versioned_blueprint;
use strongroom_sdk::testing::{Harness, TestHost, Transport, json};

use crate::versioned::storage_contains;

/// Everything a client can see of a mount with one secret.
async fn observable_state(host: &TestHost) -> Vec<String> {
    let mut seen = vec![format!("{:?}", host.read("metadata/a").await.map(|got| got.data_json()))];
    for version in 0..=6 {
        let body = json!({ "version": version });
        let got = host.send(strongroom_sdk::engine::Operation::Read, "data/a", body).await;
        seen.push(format!("{:?}", got.map(|got| got.data_json())));
    }
    seen
}

/// Runs `action` on a secret of four versions, with a fault at each of its writes in turn. The
/// state must then be that before or that after the action, and the action must succeed when
/// repeated.
async fn with_fault_at_each_write<F, Fut>(action: F)
where
    F: Fn(TestHost) -> Fut,
    Fut: Future<Output = bool>,
{
    for way in [Transport::Linked, Transport::Wire] {
        let mut done = false;
        for fault in 0..10 {
            Harness::run_one(versioned_blueprint(), way, async |host: TestHost| {
                host.write("config", r#"{"max_versions":4}"#).await.unwrap();
                for n in 0..4 {
                    let size = if n % 2 == 0 { 10 } else { 20_000 };
                    let data = json!({ "n": n, "x": "y".repeat(size) });
                    host.write("data/a", json!({ "data": data })).await.unwrap();
                }
                let before = observable_state(&host).await;
                host.fail_writes_after(fault);
                let finished = action(host.clone()).await;
                host.repair_storage();
                host.reopen().await;
                let after = observable_state(&host).await;
                if finished {
                    assert_ne!(before, after);
                    done = true;
                } else {
                    assert_eq!(before, after, "{way} {fault}: something half done is seen");
                    assert!(action(host.clone()).await, "it can't be done any more");
                }
            })
            .await;
            if done {
                assert!(fault > 0, "it writes nothing");
                break;
            }
        }
        assert!(done);
    }
}

#[tokio::test]
async fn a_write_is_atomic() {
    with_fault_at_each_write(async |host: TestHost| {
        host.write("data/a", r#"{"data":{}}"#).await.is_ok()
    })
    .await;
    let large = json!({ "data": { "x": "y".repeat(30_000) } });
    with_fault_at_each_write(|host| {
        let large = large.clone();
        async move { host.write("data/a", large).await.is_ok() }
    })
    .await;
}

#[tokio::test]
async fn patch_delete_and_destroy_are_atomic() {
    with_fault_at_each_write(async |host: TestHost| {
        host.patch("data/a", r#"{"data":{"z":1}}"#).await.is_ok()
    })
    .await;
    with_fault_at_each_write(async |host: TestHost| host.delete("data/a").await.is_ok()).await;
    with_fault_at_each_write(async |host: TestHost| host.delete("metadata/a").await.is_ok()).await;
    with_fault_at_each_write(async |host: TestHost| {
        host.write("destroy/a", r#"{"versions":[1,2,4]}"#).await.is_ok()
    })
    .await;
    with_fault_at_each_write(async |host: TestHost| {
        host.write("metadata/a", r#"{"custom_metadata":{"a":"b"}}"#).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn under_a_server_without_batches_nothing_that_was_there_is_lost() {
    for fault in 0..5 {
        Harness::run_one(versioned_blueprint(), Transport::Foreign, async |host: TestHost| {
            host.write("data/a", r#"{"data":{"n":1}}"#).await.unwrap();
            host.write("data/a", r#"{"data":{"n":2}}"#).await.unwrap();
            host.fail_writes_after(fault);
            let large = json!({ "data": { "x": "y".repeat(30_000) } });
            let _ = host.write("data/a", &large).await;
            host.repair_storage();
            host.reopen().await;
            let one = json!({ "version": 1 });
            let read = strongroom_sdk::engine::Operation::Read;
            assert_eq!(
                host.send(read, "data/a", one).await.unwrap().field_json("data"),
                r#"{"n":1}"#
            );
            host.read("data/a").await.unwrap();
            host.write("data/a", &large).await.unwrap();
            // Data is removed before its version is marked as destroyed.
            host.fail_writes_after(fault);
            let destroyed = host.write("destroy/a", r#"{"versions":[1]}"#).await.is_ok();
            host.repair_storage();
            if !destroyed {
                host.write("destroy/a", r#"{"versions":[1]}"#).await.unwrap();
            }
            assert!(!storage_contains(&host, r#"{"n":1}"#));
        })
        .await;
    }
}

#[tokio::test]
async fn pruning_goes_on_after_a_crash() {
    for way in [Transport::Linked, Transport::Wire] {
        Harness::run_one(versioned_blueprint(), way, async |host: TestHost| {
            host.write("config", r#"{"max_versions":600}"#).await.unwrap();
            for n in 0..600 {
                host.write("data/a", json!({ "data": { "n": n } })).await.unwrap();
            }
            host.write("config", r#"{"max_versions":1}"#).await.unwrap();
            // The write itself has happened, but not the rest of the pruning.
            host.fail_writes_after(2);
            let _ = host.write("data/a", r#"{"data":{"last":1}}"#).await;
            host.repair_storage();
            host.reopen().await;
            assert!(host.stored_keys().len() > 50);
            assert_eq!(host.read("data/a").await.unwrap().field_json("data"), r#"{"last":1}"#);
            host.write("data/a", r#"{"data":{"last":2}}"#).await.unwrap();
            assert_eq!(host.stored_keys().len(), 2);
        })
        .await;
    }
}
