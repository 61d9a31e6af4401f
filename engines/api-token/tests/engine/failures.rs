//! Failures of the service or of the server: no token is left that would never be revoked.

use std::net::TcpListener;

use strongroom_engine_api_token::blueprint;
use strongroom_sdk::testing::{ErrorKind, Harness, TestHost, Transport, json};
use token_service::RunningService;

use super::{SERVICE_API_KEY, configure_engine, secs, start_configured_service, start_service};

/// Checks the undo of an intent, from when it is stale: the token is looked for and deleted, looked
/// for again, and the intent is removed.
async fn assert_undone(host: &TestHost, service: &RunningService, tokens_of_others: usize) {
    host.advance(secs(20)).await;
    host.run_periodic().await.unwrap();
    let gone = || async { service.stats().await.live == tokens_of_others };
    host.wait_until("the token is gone", gone).await;
    let looked = || async {
        let entry = host.open_intents().first().and_then(|key| host.stored_entry(key));
        entry.is_none_or(|e| String::from_utf8_lossy(&e.value).contains("\"looks\":1"))
    };
    host.wait_until("the first look is noted", looked).await;
    host.advance(secs(10)).await;
    host.wait_until("the matter rests", || async { host.open_intents().is_empty() }).await;
}

#[tokio::test]
async fn a_crash_before_the_services_answer_leaves_no_token() {
    Harness::run(blueprint(), |host| async move {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let slow = |config: &mut token_service::Config| {
            config.delay_after = secs(3);
            config.state = Some(state.clone());
        };
        let before = start_service(&host, slow).await;
        configure_engine(&host, &before.url()).await;
        let mut issuing = Box::pin(host.read("creds/ci"));
        let made = || async { before.stats().await.live == 1 };
        tokio::select! {
            got = &mut issuing => panic!("answered: {got:?}"),
            () = host.wait_until("the token is made", made) => {}
        }
        drop(issuing);
        host.reopen().await;
        drop(before);
        // The same service, without delays now.
        let after = start_service(&host, |config| config.state = Some(state.clone())).await;
        configure_engine(&host, &after.url()).await;
        assert_eq!((after.stats().await.live, host.open_intents().len()), (1, 1));
        assert_undone(&host, &after, 0).await;
        assert_eq!(after.stats().await.deleted, 1);
    })
    .await;
}

/// Vault and OpenBao have no intents: there the token of a server that crashes in between stays until
/// it ends by itself.
#[tokio::test]
async fn a_crash_between_answer_and_lease_leaves_only_the_tokens_of_others() {
    let with_intents = [Transport::Linked, Transport::Wire];
    Harness::run_on(&with_intents, blueprint(), |host| async move {
        let service = start_configured_service(&host).await;
        host.read("creds/ci").await.unwrap();
        host.crash_at_next_lease();
        host.read("creds/ci").await.unwrap_err();
        assert_eq!((service.stats().await.live, host.open_intents().len()), (2, 1));
        host.reopen().await;
        assert_undone(&host, &service, 1).await;
        assert_eq!(service.stats().await.deleted, 1);
    })
    .await;
}

#[tokio::test]
async fn an_unreachable_service_is_named_without_its_address() {
    Harness::run(blueprint(), |host| async move {
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        configure_engine(&host, &format!("http://{nobody}")).await;
        let error = host.read("creds/ci").await.unwrap_err();
        assert_eq!(
            (error.kind, error.message.as_str()),
            (ErrorKind::Internal, "token service: POST /tokens got no answer: could not connect")
        );
        // If the outcome is unknown, the token is looked for once the service is available again.
        assert_eq!(host.open_intents().len(), 1);
        let service = start_service(&host, |_| {}).await;
        configure_engine(&host, &service.url()).await;
        assert_undone(&host, &service, 0).await;
    })
    .await;
}

#[tokio::test]
async fn a_service_that_refuses_the_key_is_named_and_the_key_is_not() {
    Harness::run(blueprint(), |host| async move {
        let service = start_configured_service(&host).await;
        let got = host.read("creds/ci").await.unwrap();
        host.write("config", json!({ "api_key": "wrong-key" })).await.unwrap();
        let cases = [
            ("POST /tokens", host.read("creds/ci").await.map(|_| ())),
            (
                "POST /tokens/:id/renew",
                host.renew(&got.lease().id, strongroom_sdk::Ttl::ZERO).await.map(|_| ()),
            ),
            ("DELETE /tokens/:id", host.revoke(&got.lease().id).await),
        ];
        for (call, outcome) in cases {
            let error = outcome.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Internal);
            assert_eq!(error.message, format!("token service: {call} answered 401"));
        }
        assert_eq!(host.leases().len(), 1);
        host.write("config", json!({ "api_key": SERVICE_API_KEY })).await.unwrap();
        host.revoke(&got.lease().id).await.unwrap();
        assert_undone(&host, &service, 0).await;
    })
    .await;
}

#[tokio::test]
async fn a_full_service_leaves_no_intent() {
    Harness::run(blueprint(), |host| async move {
        let service = start_service(&host, |config| config.max_tokens = 0).await;
        configure_engine(&host, &service.url()).await;
        let error = host.read("creds/ci").await.unwrap_err();
        assert_eq!(error.message, "token service: POST /tokens answered 507");
        assert!(host.open_intents().is_empty(), "it said no, and nothing of the name is there");
    })
    .await;
}

#[tokio::test]
async fn a_timed_out_issue_leaves_an_intent() {
    Harness::run(blueprint(), |host| async move {
        let service = start_service(&host, |config| config.delay_before = secs(12)).await;
        configure_engine(&host, &service.url()).await;
        let issuing = host.read("creds/ci");
        let time = async {
            host.wait_until("it is asked", || async { !host.open_intents().is_empty() }).await;
            host.advance_during_calls(secs(10));
        };
        let (got, ()) = tokio::join!(issuing, time);
        let message = got.unwrap_err().message;
        assert!(
            message.starts_with("token service: issue token got no answer: timed out"),
            "{message}"
        );
        assert!(host.leases().is_empty());
        assert_eq!(host.open_intents().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn no_token_is_created_without_a_stored_intent() {
    Harness::run(blueprint(), |host| async move {
        let service = start_configured_service(&host).await;
        host.fail_writes_after(0);
        assert_eq!(host.read("creds/ci").await.unwrap_err().kind, ErrorKind::Internal);
        assert_eq!(service.stats().await.created, 0);
    })
    .await;
}
