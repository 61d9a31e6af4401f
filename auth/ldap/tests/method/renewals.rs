//! Renewals ask the directory again.

use strongroom_auth_ldap::blueprint;
use strongroom_fakes::directory::FakeEntry;
use strongroom_sdk::testing::{ErrorKind, Harness, json};

use crate::{PASSWORD, alice, configure, log_in, start_directory};

#[tokio::test]
async fn cve_2026_115356_renewals_ask_the_directory_again() {
    Harness::run(blueprint(), |host| async move {
        let directory = start_directory().await;
        configure(&host, &directory).await;
        host.write("groups/admins", json!({ "policies": "admin" })).await.unwrap();
        let got = log_in(&host, "alice", PASSWORD).await.unwrap();
        host.write("config", json!({ "token_ttl": "30m" })).await.unwrap();
        let renewed = host.renew_login("login/alice", got.login()).await.unwrap();
        assert_eq!(renewed.login().ttl.as_secs(), 1800);

        // Out of the group.
        let empty = FakeEntry::new("cn=Admins,ou=groups,dc=example").value("cn", "Admins");
        directory.put(empty.clone());
        let error = host.renew_login("login/alice", got.login()).await.unwrap_err();
        assert_eq!(error.message, "policies have changed, not renewing");
        directory.put(empty.value("member", "uid=Alice,ou=people,dc=example"));
        host.renew_login("login/alice", got.login()).await.unwrap();

        // Gone.
        directory.remove("uid=Alice,ou=people,dc=example");
        let error = host.renew_login("login/alice", got.login()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid);
        assert!(error.message.contains("doesn't show the user"), "{}", error.message);

        // Another user with the name, who has another alias.
        host.write("config", json!({ "userattr": "cn", "userfilter": "(uid={{.Username}})" }))
            .await
            .unwrap();
        directory.put(FakeEntry::new("uid=alice2,ou=people,dc=example").value("uid", "alice"));
        directory.put(alice().value("uid", "other"));
        let error = host.renew_login("login/alice", got.login()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid, "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn a_directory_that_does_not_answer_renews_nothing() {
    Harness::run(blueprint(), |host| async move {
        let directory = start_directory().await;
        configure(&host, &directory).await;
        let got = log_in(&host, "alice", PASSWORD).await.unwrap();
        drop(directory);
        let error = host.renew_login("login/alice", got.login()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Internal);
    })
    .await;
}
