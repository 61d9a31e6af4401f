//! `config/rotate-root`.

use std::time::Duration;

use strongroom_auth_ldap::blueprint;
use strongroom_fakes::directory::DirectoryFault;
use strongroom_sdk::testing::{ErrorKind, Harness, json};

use crate::{PASSWORD, READER, READER_PASSWORD, configure, log_in, start_directory};

#[tokio::test]
async fn the_password_of_the_account_for_searches_is_replaced() {
    Harness::run(blueprint(), |host| async move {
        for is_active_directory in [false, true] {
            let directory = start_directory().await;
            if is_active_directory {
                directory.pose_as_active_directory();
            }
            configure(&host, &directory).await;
            host.write("config/rotate-root", json!({})).await.unwrap();
            let password = directory.password_of(READER).unwrap();
            assert!(password != READER_PASSWORD && password.len() > 32, "{password}");
            log_in(&host, "alice", PASSWORD).await.unwrap();
            host.write("config/rotate-root", json!({})).await.unwrap();
            assert_ne!(directory.password_of(READER).unwrap(), password);
            log_in(&host, "alice", PASSWORD).await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn without_an_account_there_is_nothing_to_rotate() {
    Harness::run(blueprint(), |host| async move {
        let directory = start_directory().await;
        let config = json!({ "url": directory.url(), "userdn": "ou=people,dc=example" });
        host.write("config", config).await.unwrap();
        let error = host.write("config/rotate-root", json!({})).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid);
        assert!(error.message.contains("binddn"), "{}", error.message);
    })
    .await;
}

#[tokio::test]
async fn an_interrupted_rotation_is_completed() {
    Harness::run(blueprint(), |host| async move {
        let directory = start_directory().await;
        configure(&host, &directory).await;
        // The second bind succeeds, and the response to the change is lost.
        directory.set_fault(Some(DirectoryFault::Closes));
        host.write("config/rotate-root", json!({})).await.unwrap_err();
        directory.set_fault(None);
        host.crash().await;
        host.reopen().await;
        host.advance(Duration::from_secs(3600)).await;
        host.run_periodic().await.unwrap();
        host.wait_until("it is rotated", || async {
            directory.password_of(READER).unwrap() != READER_PASSWORD
        })
        .await;
        host.wait_until("logins work", || async { log_in(&host, "alice", PASSWORD).await.is_ok() })
            .await;
    })
    .await;
}
