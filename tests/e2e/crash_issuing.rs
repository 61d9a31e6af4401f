//! Server and plug-in killed between the steps of issuing a credential: intent, outside call,
//! creation, its answer, lease. The token service counts for itself and survives.
//!
//! After recovery each credential has a lease and each lease a credential.

use std::time::Duration;

use serde_json::json;
use strongroom_testkit::server::kill;
use strongroom_testkit::wait::{let_run, until};
use strongroom_testkit::{Api, Outside, Site};
use tokio::task::JoinSet;

use crate::engine;

/// The outside service waits so long before it makes a token, and again before it answers.
const DELAY: Duration = Duration::from_millis(150);
/// Requests end after this time, so intents are stale soon after.
const SETTINGS: &str = "max_request_duration = \"3s\"";
const CALLS: usize = 3;
/// Longer than a request, the outside call and the time-out after it together.
const RECOVERY: Duration = Duration::from_secs(90);

#[tokio::test]
async fn a_killed_server_leaves_no_credential_without_a_lease() {
    let outside = Outside::with_delays(DELAY, DELAY).await;
    let mut site = Site::new(SETTINGS);
    let (mut server, mut api) = site.open().await;
    engine::enable(&site, &api, &outside, "2s").await;
    for at in moments() {
        let calls = issue(&api);
        let_run(at).await;
        server.kill().await;
        calls.join_all().await;
        (server, api) = site.open().await;
    }
    agree(&api, &outside).await;
    drop(server);
}

#[tokio::test]
async fn a_killed_plug_in_leaves_no_credential_without_a_lease() {
    let outside = Outside::with_delays(DELAY, DELAY).await;
    let mut site = Site::new(SETTINGS);
    let (mut server, mut api) = site.open().await;
    engine::enable(&site, &api, &outside, "2s").await;
    for (round, at) in moments().enumerate() {
        let calls = issue(&api);
        let_run(at).await;
        server.children().into_iter().for_each(kill);
        calls.join_all().await;
        until("the plug-in answers again", RECOVERY, || async {
            (api.read("custom/config").await.status == 200).then_some(())
        })
        .await;
        // A plug-in that dies again and again is restarted ever later; a new server starts afresh.
        if round % 3 == 2 {
            assert_eq!(server.stop().await, Some(0));
            (server, api) = site.open().await;
        }
    }
    agree(&api, &outside).await;
    drop(server);
}

/// From before the intent to after the lease.
fn moments() -> impl Iterator<Item = Duration> {
    (0..12).map(|step| Duration::from_millis(2 + step * 32))
}

fn issue(api: &Api) -> JoinSet<()> {
    let mut calls = JoinSet::new();
    for _ in 0..CALLS {
        let api = api.clone();
        calls.spawn(async move {
            // It may fail: that is what is tried out.
            let _ = api.send("GET", "custom/creds/dev", None).await;
        });
    }
    calls
}

/// Waits until what the service knows and what has a lease are the same, and then that a revocation
/// of all leases leaves nothing outside.
async fn agree(api: &Api, outside: &Outside) {
    let created = outside.count("created").await;
    assert!(created >= 12, "only {created} credentials were made, which proves nothing");
    until("no credential is without a lease", RECOVERY, || async {
        let leases = engine::leases(api).await.len() as u64;
        (outside.count("live").await == leases).then_some(())
    })
    .await;
    let body = json!({ "sync": true });
    api.write("sys/leases/revoke-prefix/custom/creds", body).await.ok();
    assert_eq!(outside.count("live").await, 0);
    assert!(engine::leases(api).await.is_empty());
}
