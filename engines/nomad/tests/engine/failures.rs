//! Failures of Nomad or of the server: no token is left that would never be revoked.

use std::net::TcpListener;

use strongroom_engine_nomad::blueprint;
use strongroom_fakes::nomad::{FakeNomad, NomadBehavior, NomadVersion};
use strongroom_sdk::Ttl;
use strongroom_sdk::testing::{ErrorKind, Harness, TestHost, Transport, json};

use super::{
    configure_engine, on_every_transport, secs, start_configured_nomad, start_configured_nomad_with,
};

/// The transports of hosts that write the lease and delete the intent together.
const WITH_INTENTS: [Transport; 2] = [Transport::Linked, Transport::Wire];

/// Checks the undo of an intent, from when it is stale: the token is looked for and deleted, looked
/// for again, and the intent is removed.
async fn assert_undone(host: &TestHost, nomad: &FakeNomad, tokens_of_others: usize) {
    host.advance(secs(30)).await;
    host.run_periodic().await.unwrap();
    let gone = || async { nomad.tokens().len() == tokens_of_others };
    host.wait_until("the token is gone", gone).await;
    let looked = || async {
        let entry = host.open_intents().first().and_then(|key| host.stored_entry(key));
        entry.is_none_or(|e| String::from_utf8_lossy(&e.value).contains("\"looks\":1"))
    };
    host.wait_until("the first look is noted", looked).await;
    host.advance(secs(10)).await;
    host.wait_until("the matter rests", || async { host.open_intents().is_empty() }).await;
    assert_eq!(nomad.tokens().len(), tokens_of_others);
}

#[tokio::test]
async fn a_crash_before_nomads_answer_leaves_no_token() {
    on_every_transport(|host| async move {
        let nomad = start_configured_nomad(&host).await;
        nomad.set_behavior(NomadBehavior::Slow(secs(3)));
        let mut issuing = Box::pin(host.read("creds/ci"));
        tokio::select! {
            got = &mut issuing => panic!("answered: {got:?}"),
            () = host.wait_until("the token is made", || async { nomad.tokens().len() == 1 }) => {}
        }
        drop(issuing);
        host.reopen().await;
        nomad.set_behavior(NomadBehavior::Normal);
        assert_eq!((nomad.tokens().len(), host.open_intents().len()), (1, 1));
        assert_undone(&host, &nomad, 0).await;
    })
    .await;
}

/// A foreign server has no intents: what happens between response and lease is up to it.
#[tokio::test]
async fn a_crash_between_answer_and_lease_leaves_only_the_tokens_of_others() {
    Harness::run_on(&WITH_INTENTS, blueprint(), |host| async move {
        let nomad = start_configured_nomad(&host).await;
        host.write("role/ci", json!({ "ttl": "10m" })).await.unwrap();
        host.read("creds/ci").await.unwrap();
        host.crash_at_next_lease();
        host.read("creds/ci").await.unwrap_err();
        assert_eq!((nomad.tokens().len(), host.open_intents().len()), (2, 1));
        host.reopen().await;
        assert_undone(&host, &nomad, 1).await;
    })
    .await;
}

/// Also with a version that can't filter lists and returns everybody's tokens.
#[tokio::test]
async fn an_undo_without_filters_deletes_only_its_own() {
    Harness::run_on(&WITH_INTENTS, blueprint(), |host| async move {
        let nomad = start_configured_nomad_with(&host, |options| {
            options.version = NomadVersion::BeforeExpiry;
        })
        .await;
        host.write("role/ci", json!({ "ttl": "10m" })).await.unwrap();
        host.read("creds/ci").await.unwrap();
        host.crash_at_next_lease();
        host.read("creds/ci").await.unwrap_err();
        host.reopen().await;
        assert_undone(&host, &nomad, 1).await;
    })
    .await;
}

#[tokio::test]
async fn no_token_is_created_without_a_stored_intent() {
    on_every_transport(|host| async move {
        let nomad = start_configured_nomad(&host).await;
        host.fail_writes_after(0);
        assert_eq!(host.read("creds/ci").await.unwrap_err().kind, ErrorKind::Internal);
        assert!(nomad.requests().is_empty());
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_is_lost_is_undone() {
    on_every_transport(|host| async move {
        let nomad = start_configured_nomad(&host).await;
        for (mood, text) in [
            (
                NomadBehavior::DropsResponse,
                "nomad: POST /v1/acl/token got no answer: the connection failed",
            ),
            // Nomad responds with status 500 but has created the token.
            (NomadBehavior::LosesLeader, "nomad: POST /v1/acl/token answered 500"),
        ] {
            nomad.set_behavior(mood);
            let error = host.read("creds/ci").await.unwrap_err();
            assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Internal, text));
            nomad.set_behavior(NomadBehavior::Normal);
            assert_eq!((nomad.tokens().len(), host.open_intents().len()), (1, 1), "{mood:?}");
            assert_undone(&host, &nomad, 0).await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_unreachable_nomad_is_named_without_its_address() {
    on_every_transport(|host| async move {
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        configure_engine(&host, &format!("http://{nobody}"), "s3cr3t-token").await;
        let error = host.read("creds/ci").await.unwrap_err();
        assert_eq!(
            (error.kind, error.message.as_str()),
            (ErrorKind::Internal, "nomad: POST /v1/acl/token got no answer: could not connect")
        );
        // If the outcome is unknown, the token is looked for once Nomad is available again.
        assert_eq!(host.open_intents().len(), 1);
        let nomad = start_configured_nomad(&host).await;
        assert_undone(&host, &nomad, 0).await;
    })
    .await;
}

#[tokio::test]
async fn a_nomad_that_refuses_the_token_is_named_and_the_token_is_not() {
    on_every_transport(|host| async move {
        let nomad = start_configured_nomad(&host).await;
        let got = host.read("creds/ci").await.unwrap();
        let good =
            String::from_utf8(host.stored_entry("config/access").unwrap().value.to_vec()).unwrap();
        // Neither an unknown token nor a client token may do this.
        for bad in ["11111111-f5f1-6f29-b4b4-9a5fa948757a".to_owned(), got.text("secret_id")] {
            host.write("config/access", json!({ "token": bad })).await.unwrap();
            let id = &got.lease().id;
            let cases = [
                ("POST /v1/acl/token", host.read("creds/ci").await.map(|_| ())),
                ("GET /v1/acl/tokens", host.renew(id, Ttl::ZERO).await.map(|_| ())),
                ("DELETE /v1/acl/token/:accessor", host.revoke(id).await),
            ];
            for (call, outcome) in cases {
                let error = outcome.unwrap_err();
                assert_eq!(error.kind, ErrorKind::Internal);
                assert_eq!(error.message, format!("nomad: {call} answered 403"));
            }
        }
        assert_eq!((host.leases().len(), nomad.tokens().len()), (1, 1));
        host.write("config/access", good).await.unwrap();
        host.revoke(&got.lease().id).await.unwrap();
        assert!(nomad.tokens().is_empty());
    })
    .await;
}

#[tokio::test]
async fn what_cant_be_revoked_keeps_its_lease() {
    on_every_transport(|host| async move {
        let nomad = start_configured_nomad(&host).await;
        let got = host.read("creds/ci").await.unwrap();
        for (mood, text) in [
            (NomadBehavior::NoLeader, "nomad: DELETE /v1/acl/token/:accessor answered 500"),
            (NomadBehavior::RateLimited, "upstream rate limited"),
        ] {
            nomad.set_behavior(mood);
            let error = host.revoke(&got.lease().id).await.unwrap_err();
            assert_eq!(error.message, text);
            host.advance_during_calls(secs(60));
            assert_eq!(host.leases().len(), 1, "{mood:?}");
        }
        nomad.set_behavior(NomadBehavior::Normal);
        host.advance(secs(1)).await;
        assert!(host.leases().is_empty() && nomad.tokens().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_rate_limit_is_passed_on_and_leaves_no_intent() {
    on_every_transport(|host| async move {
        let nomad = start_configured_nomad(&host).await;
        nomad.set_behavior(NomadBehavior::RateLimited);
        let error = host.read("creds/ci").await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Upstream);
        nomad.set_behavior(NomadBehavior::Normal);
        assert_undone(&host, &nomad, 0).await;
    })
    .await;
}

#[tokio::test]
async fn a_timed_out_issue_leaves_an_intent() {
    on_every_transport(|host| async move {
        let nomad = start_configured_nomad(&host).await;
        nomad.set_behavior(NomadBehavior::Slow(secs(12)));
        let issuing = host.read("creds/ci");
        let time = async {
            host.wait_until("it is asked", || async { nomad.tokens().len() == 1 }).await;
            host.advance_during_calls(secs(20));
        };
        let (got, ()) = tokio::join!(issuing, time);
        let message = got.unwrap_err().message;
        assert!(message.starts_with("nomad: issue token got no answer: timed out"), "{message}");
        assert_eq!((host.leases().len(), host.open_intents().len()), (0, 1));
        nomad.set_behavior(NomadBehavior::Normal);
        assert_undone(&host, &nomad, 0).await;
    })
    .await;
}

/// The first call was refused because of its lifetime, and the process dies in the second.
#[tokio::test]
async fn a_crash_in_the_second_call_is_undone_as_well() {
    on_every_transport(|host| async move {
        let nomad = start_configured_nomad(&host).await;
        host.write("role/open", json!({ "policies": "p" })).await.unwrap();
        nomad.set_behavior(NomadBehavior::LosesLeader);
        host.read("creds/open").await.unwrap_err();
        assert_eq!(nomad.requests().len(), 2);
        if host.transport() != Transport::Foreign {
            host.reopen().await;
        }
        nomad.set_behavior(NomadBehavior::Normal);
        assert_undone(&host, &nomad, 0).await;
    })
    .await;
}
