//! Server and plug-in killed between the steps of issuing a credential: intent, outside call,
//! creation, its answer, lease. The token service counts for itself and survives.
//!
//! After recovery each credential has a lease and each lease a credential.

use std::time::Duration;

use serde_json::json;
use strongroom_testkit::server::kill_process;
use strongroom_testkit::wait::{let_others_run, wait_until};
use strongroom_testkit::{ApiClient, ExternalTokenService, ServerFolder};
use tokio::task::JoinSet;

use crate::api_token_engine;

/// The outside service waits so long before it makes a token, and again before it answers.
const SERVICE_DELAY: Duration = Duration::from_millis(150);
/// Requests end after this time, so intents are stale soon after.
const LISTENER_SETTINGS: &str = "max_request_duration = \"3s\"";
const CONCURRENT_CALLS: usize = 3;
/// Longer than a request, the outside call and the time-out after it together.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(90);

#[tokio::test]
async fn a_killed_server_leaves_no_credential_without_a_lease() {
    let outside = ExternalTokenService::with_delays(SERVICE_DELAY, SERVICE_DELAY).await;
    let mut site = ServerFolder::new(LISTENER_SETTINGS);
    let (mut server, mut api) = site.start_unsealed().await;
    api_token_engine::enable_engine(&site, &api, &outside, "2s").await;
    for at in kill_delays() {
        let calls = request_credentials(&api);
        let_others_run(at).await;
        server.kill().await;
        calls.join_all().await;
        (server, api) = site.start_unsealed().await;
    }
    assert_no_orphans(&api, &outside).await;
    drop(server);
}

#[tokio::test]
async fn a_killed_plug_in_leaves_no_credential_without_a_lease() {
    let outside = ExternalTokenService::with_delays(SERVICE_DELAY, SERVICE_DELAY).await;
    let mut site = ServerFolder::new(LISTENER_SETTINGS);
    let (mut server, mut api) = site.start_unsealed().await;
    api_token_engine::enable_engine(&site, &api, &outside, "2s").await;
    for (round, at) in kill_delays().enumerate() {
        let calls = request_credentials(&api);
        let_others_run(at).await;
        server.child_processes().into_iter().for_each(kill_process);
        calls.join_all().await;
        wait_until("the plug-in answers again", RECOVERY_TIMEOUT, || async {
            (api.read("custom/config").await.status == 200).then_some(())
        })
        .await;
        // A plug-in that dies again and again is restarted ever later; a new server starts afresh.
        if round % 3 == 2 {
            assert_eq!(server.stop().await, Some(0));
            (server, api) = site.start_unsealed().await;
        }
    }
    assert_no_orphans(&api, &outside).await;
    drop(server);
}

/// From before the intent to after the lease.
fn kill_delays() -> impl Iterator<Item = Duration> {
    (0..12).map(|step| Duration::from_millis(2 + step * 32))
}

fn request_credentials(api: &ApiClient) -> JoinSet<()> {
    let mut calls = JoinSet::new();
    for _ in 0..CONCURRENT_CALLS {
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
async fn assert_no_orphans(api: &ApiClient, outside: &ExternalTokenService) {
    let created = outside.read_count("created").await;
    assert!(created >= 12, "only {created} credentials were made, which proves nothing");
    wait_until("no credential is without a lease", RECOVERY_TIMEOUT, || async {
        let leases = api_token_engine::list_leases(api).await.len() as u64;
        (outside.read_count("live").await == leases).then_some(())
    })
    .await;
    let body = json!({ "sync": true });
    api.write("sys/leases/revoke-prefix/custom/creds", body).await.assert_ok();
    assert_eq!(outside.read_count("live").await, 0);
    assert!(api_token_engine::list_leases(api).await.is_empty());
}
