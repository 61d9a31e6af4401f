//! Failures of RabbitMQ or of the server: no user is left that would never be deleted.

use strongroom_sdk::testing::{ErrorKind, Transport, json};

use super::{TestRun, with_rabbitmq};

#[tokio::test]
async fn a_storage_fault_at_any_write_leaves_no_user_without_a_lease() {
    with_rabbitmq(
        "a_storage_fault_at_any_write_leaves_no_user_without_a_lease",
        |run| async move {
            let host = &run.host;
            run.write_role(json!({ "tags": "management" })).await.unwrap();
            for successful_writes in 0.. {
                host.fail_writes_after(successful_writes);
                let outcome = run.issue().await;
                host.repair_storage();
                host.reopen().await;
                host.settle_intents().await;
                assert_eq!(run.users().await.len(), host.leases().len());
                if let Ok(got) = outcome {
                    assert!(successful_writes > 0, "the first write is before the first call");
                    return host.revoke(&got.lease().id).await.unwrap();
                }
            }
        },
    )
    .await;
}

#[tokio::test]
async fn a_crash_while_a_user_is_made_or_before_its_lease_leaves_no_user() {
    with_rabbitmq(
        "a_crash_while_a_user_is_made_or_before_its_lease_leaves_no_user",
        |run| async move {
            let host = &run.host;
            // So many calls that there is time for a crash between them.
            let exchanges = (0..40).map(|number| (format!("exchange-{number}"), json!({})));
            let topics = json!({ "/": exchanges.collect::<serde_json::Map<_, _>>() });
            run.write_role(json!({ "tags": "management", "vhost_topics": topics })).await.unwrap();
            let mut issuing = Box::pin(run.issue());
            let made = || async { !run.users().await.is_empty() };
            tokio::select! {
                got = &mut issuing => panic!("answered before the crash: {got:?}"),
                () = host.wait_until("half of the user is made", made) => {}
            }
            drop(issuing);
            host.reopen().await;
            assert_eq!((run.users().await.len(), host.open_intents().len()), (1, 1));
            host.settle_intents().await;
            assert!(run.users().await.is_empty());
            // A foreign server has no intents: what happens between response and lease is up to it.
            if host.transport() != Transport::Foreign {
                host.crash_at_next_lease();
                run.issue().await.unwrap_err();
                host.reopen().await;
                assert_eq!((run.users().await.len(), host.open_intents().len()), (1, 1));
                host.settle_intents().await;
                assert!(run.users().await.is_empty());
            }
        },
    )
    .await;
}

#[tokio::test]
async fn a_user_that_rabbitmq_refuses_to_complete_is_deleted_at_once() {
    with_rabbitmq(
        "a_user_that_rabbitmq_refuses_to_complete_is_deleted_at_once",
        |run| async move {
            for (vhost, read) in [("missing", ".*"), ("/", "*[")] {
                run.write_role(json!({ "vhosts": { vhost: { "read": read } } })).await.unwrap();
                let error = run.issue().await.unwrap_err();
                let text = format!("RabbitMQ rejects the permissions in {vhost:?} of the role");
                assert!(
                    error.kind == ErrorKind::Invalid && error.message.starts_with(&text),
                    "{error}"
                );
                assert!(run.host.open_intents().is_empty() && run.users().await.is_empty());
            }
            for role in
                [json!({}), json!({ "vhosts": { "..": {} } }), json!({ "limits": { "x": 1 } })]
            {
                let error = run.write_role(role).await.unwrap_err();
                assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
            }
        },
    )
    .await;
}

#[tokio::test]
async fn an_unreachable_rabbitmq_keeps_leases_and_intents_until_it_is_back() {
    with_rabbitmq(
        "an_unreachable_rabbitmq_keeps_leases_and_intents_until_it_is_back",
        |run| async move {
            let host = &run.host;
            run.write_role(json!({ "tags": "management" })).await.unwrap();
            let got = run.issue().await.unwrap();
            let mut away = run.connection_with("connection_uri", &TestRun::unused_url());
            away["verify_connection"] = false.into();
            host.write("config/connection", away).await.unwrap();
            let error = run.issue().await.unwrap_err();
            let text = "rabbitmq: PUT /api/users/:user got no answer: could not connect";
            assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Internal, text));
            host.revoke(&got.lease().id).await.unwrap_err();
            assert_eq!((host.leases().len(), host.open_intents().len()), (1, 1));
            host.write("config/connection", run.rabbit.connection()).await.unwrap();
            host.settle_intents().await;
            host.revoke(&got.lease().id).await.unwrap();
            assert!(run.users().await.is_empty());
        },
    )
    .await;
}
