//! Directories that misbehave.

use std::time::Duration;

use strongroom_auth_ldap::blueprint;
use strongroom_fakes::directory::DirectoryFault;
use strongroom_sdk::testing::{ErrorKind, Harness, json};

use crate::{PASSWORD, assert_refused, configure, log_in, start_directory};

#[tokio::test]
async fn a_login_ends_whatever_the_directory_answers() {
    Harness::run(blueprint(), |host| async move {
        let directory = start_directory().await;
        configure(&host, &directory).await;
        for fault in [
            DirectoryFault::Closes,
            DirectoryFault::Truncates,
            DirectoryFault::Endless,
            DirectoryFault::Garbage,
            DirectoryFault::WrongNumber,
            DirectoryFault::Code(51),
            DirectoryFault::Code(80),
        ] {
            directory.set_fault(Some(fault));
            let error = log_in(&host, "alice", PASSWORD).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Internal, "{fault:?}");
            assert!(!error.message.contains(PASSWORD), "{}", error.message);
            directory.set_fault(None);
            // Neither the connection nor a part of the response is used again.
            let got = log_in(&host, "alice", PASSWORD).await.unwrap();
            assert_eq!(got.login().display_name, "alice", "{fault:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_silent_directory_is_waited_for_as_long_as_configured() {
    Harness::run(blueprint(), |host| async move {
        let directory = start_directory().await;
        configure(&host, &directory).await;
        host.write("config", json!({ "request_timeout": "7s" })).await.unwrap();
        log_in(&host, "alice", PASSWORD).await.unwrap();
        directory.set_fault(Some(DirectoryFault::Silent));
        let asked = directory.binds().len();
        let login = log_in(&host, "alice", PASSWORD);
        let time = async {
            host.wait_until("it is asked", || async { directory.binds().len() > asked }).await;
            host.advance_during_calls(Duration::from_secs(7));
        };
        let (got, ()) = tokio::join!(login, time);
        assert_eq!(got.unwrap_err().kind, ErrorKind::Internal);
        directory.set_fault(None);
        log_in(&host, "alice", PASSWORD).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_replaced() {
    Harness::run(blueprint(), |host| async move {
        let directory = start_directory().await;
        configure(&host, &directory).await;
        log_in(&host, "alice", PASSWORD).await.unwrap();
        let url = directory.url();
        drop(directory);
        let error = log_in(&host, "alice", PASSWORD).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Internal, "{url}");
        // The next of several addresses.
        let directory = start_directory().await;
        host.write("config", json!({ "url": format!("{url},{}", directory.url()) })).await.unwrap();
        log_in(&host, "alice", PASSWORD).await.unwrap();
    })
    .await;
}

/// What a directory says about a user or a password is the client's; that it can't decide isn't.
#[tokio::test]
async fn result_codes_against_the_user_are_refusals() {
    Harness::run(blueprint(), |host| async move {
        let directory = start_directory().await;
        let config = json!({ "url": directory.url(), "userdn": "ou=people,dc=example" });
        host.write("config", config).await.unwrap();
        for code in [19, 32, 34, 48, 49, 50, 53] {
            directory.set_fault(Some(DirectoryFault::Code(code)));
            assert_refused(&host, "alice", PASSWORD).await;
        }
    })
    .await;
}
