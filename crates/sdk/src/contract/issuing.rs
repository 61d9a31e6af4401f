//! The check that no failure leaves a credential which nobody would revoke.

use crate::testing::{TestHost, Transport};

/// Checks that a credential exists in the outside system only as long as a lease or an intent of it
/// does, whatever fails. A read of `path` issues a credential of an engine that is configured
/// already; `count` counts the credentials that the outside system has now. Use it in a test that
/// runs with each transport:
///
/// ```
/// # use strongroom_sdk::{Blueprint, contract};
/// # use strongroom_sdk::testing::{Harness, TestHost};
/// # async fn test(engine: Blueprint, count_users: impl AsyncFn() -> usize) {
/// Harness::run(engine, async |host| {
///     // Configure the engine, and then:
///     contract::check_issuing(&host, "creds/dev", &count_users).await;
/// })
/// .await;
/// # }
/// ```
///
/// The server dies as soon as the credential exists, which may be in the middle of several calls;
/// before it writes the lease (not under a foreign server, which may lose the credential there); and
/// after each write to storage, whose next write fails. Each time the engine is opened again and
/// completes what was interrupted. At the end the credential is revoked, and its revocation repeated.
///
/// # Panics
///
/// If a credential is left without a lease, if a lease or an intent is left at the end, or if the
/// engine can't issue although nothing fails.
pub async fn check_issuing(host: &TestHost, path: &str, count: impl AsyncFn() -> usize) {
    let before = count().await;
    ensure!(host.leases().is_empty(), "there are leases before the check");
    die_when_the_credential_exists(host, path, before, &count).await;
    if host.transport() != Transport::Foreign {
        host.crash_at_next_lease();
        let outcome = host.read(path).await;
        ensure!(outcome.is_err(), "the server answered although it died before the lease");
        ensure!(
            !host.open_intents().is_empty(),
            "no intent is left of a credential without a lease"
        );
        host.reopen().await;
        host.settle_intents().await;
        nothing_is_left(host, before, &count, "a crash before the lease").await;
    }
    let issue = async || host.read(path).await;
    let issued = host
        .fail_at_each_write(issue, async |writes| {
            let (live, leases) = (count().await - before, host.leases().len());
            ensure!(live == leases, "after {writes} writes: {live} credentials, {leases} leases");
        })
        .await;
    let lease = issued.lease();
    for _ in 0..2 {
        if let Err(error) = host.revoke_credential(lease).await {
            panic!("a revocation failed: {error}");
        }
    }
    if let Err(error) = host.revoke(&lease.id).await {
        panic!("a repeated revocation failed: {error}");
    }
    nothing_is_left(host, before, &count, "the revocation").await;
}

/// Lets the server die as soon as the outside system has the credential. If the engine answers
/// first, the credential has a lease already, and is revoked.
async fn die_when_the_credential_exists(
    host: &TestHost,
    path: &str,
    before: usize,
    count: &impl AsyncFn() -> usize,
) {
    let answer = tokio::select! {
        answer = host.read(path) => Some(answer),
        () = host.wait_until("a credential is issued", async || count().await > before) => None,
    };
    host.reopen().await;
    match answer {
        Some(Ok(issued)) => {
            if let Err(error) = host.revoke(&issued.lease().id).await {
                panic!("a revocation failed: {error}");
            }
        }
        Some(Err(error)) => panic!("a credential can't be issued: {error}"),
        None => host.settle_intents().await,
    }
    nothing_is_left(host, before, count, "a crash while the credential was created").await;
}

async fn nothing_is_left(
    host: &TestHost,
    before: usize,
    count: &impl AsyncFn() -> usize,
    event: &str,
) {
    let live = count().await;
    ensure!(live == before, "{event} left {} credentials", live.saturating_sub(before));
    ensure!(host.leases().is_empty(), "{event} left a lease");
    ensure!(host.open_intents().is_empty(), "{event} left an intent");
}
