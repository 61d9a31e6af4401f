//! Version 2: many clients that use the same secret.

use futures_util::future::join_all;
use strongroom_sdk::testing::json;

use crate::on_every_transport;

#[tokio::test]
async fn of_many_writers_that_replace_the_same_version_one_wins() {
    on_every_transport(|host| async move {
        for round in 0..10 {
            let writers = (0..16).map(|n| {
                let body = json!({ "data": { "n": n }, "options": { "cas": round } });
                let host = host.clone();
                async move { host.write("data/a", body).await.is_ok() }
            });
            let won: Vec<usize> = join_all(writers)
                .await
                .into_iter()
                .enumerate()
                .filter_map(|(n, won)| won.then_some(n))
                .collect();
            assert_eq!(won.len(), 1, "round {round}");
            let got = host.read("data/a").await.unwrap();
            assert_eq!(got.field_json("data"), json!({ "n": won[0] }).to_string());
            assert!(got.field_json("metadata").contains(&format!("\"version\":{}", round + 1)));
        }
    })
    .await;
}

#[tokio::test]
async fn no_write_and_no_patch_gets_lost() {
    on_every_transport(|host| async move {
        host.write("config", r#"{"max_versions":1000}"#).await.unwrap();
        host.write("data/a", r#"{"data":{}}"#).await.unwrap();
        let patches = (0..60).map(|n| {
            let (host, name) = (host.clone(), format!("n{n}"));
            async move { host.patch("data/a", json!({ "data": { name: n } })).await.unwrap() }
        });
        let versions = join_all(patches).await;
        let mut numbers: Vec<u64> =
            versions.iter().map(|got| got.field_json("version").parse().unwrap()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (2..=61).collect::<Vec<u64>>());
        let got = host.read("data/a").await.unwrap();
        let data: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(got.field_json("data")).unwrap();
        assert_eq!(data.len(), 60);
    })
    .await;
}

#[tokio::test]
async fn readers_see_whole_versions_while_others_write() {
    on_every_transport(|host| async move {
        let large = "y".repeat(20_000);
        host.write("config", r#"{"max_versions":1}"#).await.unwrap();
        host.write("data/a", json!({ "data": { "n": large } })).await.unwrap();
        let writers = (0..30).map(|n| {
            let (host, large) = (host.clone(), large.clone());
            async move {
                let data = if n % 2 == 0 { json!({ "n": n }) } else { json!({ "n": large }) };
                host.write("data/a", json!({ "data": data })).await.map(|_| ())
            }
        });
        let readers = (0..30).map(|_| {
            let host = host.clone();
            async move { host.read("data/a").await.map(|_| ()) }
        });
        let (written, read) =
            futures_util::future::join(join_all(writers), join_all(readers)).await;
        assert!(written.iter().all(Result::is_ok), "{written:?}");
        assert!(read.iter().all(Result::is_ok), "{read:?}");
    })
    .await;
}

/// A mount has no stored settings until they are first written. If every write read them from
/// storage, all writes would wait for reads of the same key, one after another.
#[tokio::test]
async fn many_writes_look_once_for_settings_that_are_not_there() {
    const WRITES: usize = 64;
    on_every_transport(|host| async move {
        let before = host.storage_reads();
        let writes = (0..WRITES).map(|n| {
            let (host, body) = (host.clone(), json!({ "data": { "n": n } }));
            async move { host.write(&format!("data/{n}"), body).await.is_ok() }
        });
        assert!(join_all(writes).await.into_iter().all(|written| written));
        // Each write reads its own entry twice: for the existence check, and to change it.
        let reads = host.storage_reads() - before;
        assert!((WRITES..=2 * WRITES + 1).contains(&reads), "{reads} reads for {WRITES} writes");
        // Settings take effect as soon as they are written.
        host.write("config", r#"{"cas_required":true}"#).await.unwrap();
        assert!(host.write("data/new", json!({ "data": { "n": 1 } })).await.is_err());
    })
    .await;
}
