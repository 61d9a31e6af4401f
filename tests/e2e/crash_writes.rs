//! The server killed under load: nothing that was acknowledged is lost, nothing is half done.
//!
//! `STRONGROOM_CRASH_ROUNDS` sets how often it is killed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use strongroom_testkit::wait::let_others_run;
use strongroom_testkit::{ApiClient, ServerFolder};
use tokio::task::JoinSet;

const WRITERS: usize = 8;
const KEYS: u64 = 5;

/// For each key the last value that was acknowledged and the last that was sent.
#[derive(Clone, Copy, Debug, Default)]
struct WriteProgress {
    acknowledged: u64,
    sent: u64,
}

type WriteLedger = Arc<Mutex<BTreeMap<String, WriteProgress>>>;

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_the_server_is_killed() {
    let rounds = std::env::var("STRONGROOM_CRASH_ROUNDS").ok().and_then(|it| it.parse().ok());
    let rounds: u64 = rounds.unwrap_or(200);
    let mut site = ServerFolder::new("");
    let ledger = WriteLedger::default();
    let mut written = 0;
    for round in 0..rounds {
        let (server, api) = site.start_unsealed().await;
        if round == 0 {
            api.write("sys/mounts/kv", json!({ "type": "kv" })).await.assert_ok();
        }
        check_acknowledged_writes(&api, &ledger).await;
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            writers.spawn(write_until_killed(api.clone(), ledger.clone(), writer));
        }
        writers.spawn(create_tokens_until_killed(api.clone()));
        // Somewhere in the first commits, or in the middle of many.
        let_others_run(Duration::from_millis(5 + (round * 7919) % 60)).await;
        server.kill().await;
        while let Some(ended) = writers.join_next().await {
            written += ended.unwrap();
        }
    }
    let (_server, api) = site.start_unsealed().await;
    check_acknowledged_writes(&api, &ledger).await;
    assert!(written > rounds, "only {written} writes in {rounds} rounds prove nothing");
}

/// Writes ever higher numbers until the server is gone. Gives how many it acknowledged.
async fn write_until_killed(api: ApiClient, ledger: WriteLedger, writer: usize) -> u64 {
    let mut count = 0;
    for n in 0.. {
        let key = format!("{writer}-{}", n % KEYS);
        let next = {
            let mut ledger = ledger.lock().unwrap();
            let known = ledger.entry(key.clone()).or_default();
            known.sent += 1;
            known.sent
        };
        match api.send("PUT", &format!("kv/{key}"), Some(json!({ "n": next }))).await {
            Ok(answer) => assert_eq!(answer.status, 204, "{answer:?}"),
            Err(_) => break,
        }
        ledger.lock().unwrap().get_mut(&key).unwrap().acknowledged = next;
        count += 1;
    }
    count
}

/// A token is several entries in one batch: record, accessor, place below its parent, expiry.
async fn create_tokens_until_killed(api: ApiClient) -> u64 {
    let body = json!({ "policies": ["default"], "ttl": "1h" });
    while api.send("POST", "auth/token/create", Some(body.clone())).await.is_ok() {}
    0
}

async fn check_acknowledged_writes(api: &ApiClient, ledger: &WriteLedger) {
    let known = ledger.lock().unwrap().clone();
    for (key, WriteProgress { acknowledged, sent }) in known {
        let found = api.read(&format!("kv/{key}")).await.data_field("n").as_u64().unwrap_or(0);
        assert!(
            (acknowledged..=sent).contains(&found),
            "{key} holds {found}; {acknowledged} was acknowledged and {sent} sent"
        );
        // What was in doubt is settled now; a later start must not take it back.
        ledger.lock().unwrap().get_mut(&key).unwrap().acknowledged = found;
    }
    let accessors = api.list("auth/token/accessors").await.assert_ok().list_keys();
    for accessor in accessors.iter().rev().take(20) {
        let body = json!({ "accessor": accessor });
        let found = api.write("auth/token/lookup-accessor", body).await;
        assert_eq!(found.status, 200, "half a token: {found:?}");
    }
}
