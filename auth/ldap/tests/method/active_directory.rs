//! What only Active Directory has: principal names, `tokenGroups`, disabled accounts.

use strongroom_auth_ldap::blueprint;
use strongroom_fakes::directory::{FakeDirectory, FakeEntry};
use strongroom_sdk::testing::{ErrorKind, Harness, TestHost, json};

use crate::{PASSWORD, READER, READER_PASSWORD, assert_refused, log_in};

const DOMAIN: &str = "corp.example";

/// The user of these tests.
fn carol() -> FakeEntry {
    let id = |group: u8| [1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, group, 0, 0, 0];
    FakeEntry::new("CN=Carol C.,CN=Users,DC=corp")
        .password(PASSWORD)
        .value("userPrincipalName", "Carol@Corp.Example")
        .value("sAMAccountName", "carol")
        .value("userAccountControl", "512")
        .value("tokenGroups", id(1))
        .value("tokenGroups", id(2))
        .value("tokenGroups", id(9))
}

async fn start_directory() -> FakeDirectory {
    let entries = [
        FakeEntry::new(READER).password(READER_PASSWORD),
        carol(),
        FakeEntry::new("CN=Direct,CN=Users,DC=corp").value("textSid", "S-1-5-32-1"),
        FakeEntry::new("CN=Nested,CN=Users,DC=corp").value("textSid", "S-1-5-32-2"),
    ];
    let directory = FakeDirectory::start(entries).await.unwrap();
    directory.pose_as_active_directory();
    directory.refuse_anonymous_searches();
    directory
}

async fn configure(host: &TestHost, directory: &FakeDirectory) {
    let config = json!({
        "url": directory.url(),
        "upndomain": DOMAIN,
        "userdn": "CN=Users,DC=corp",
        "userattr": "sAMAccountName",
        "use_token_groups": true,
    });
    host.write("config", config).await.unwrap();
    host.write("groups/nested", json!({ "policies": "nested" })).await.unwrap();
}

#[tokio::test]
async fn users_log_in_by_their_principal_name() {
    Harness::run(blueprint(), |host| async move {
        let directory = start_directory().await;
        configure(&host, &directory).await;
        for name in ["carol", "CAROL"] {
            let got = log_in(&host, name, PASSWORD).await.unwrap();
            let login = got.login();
            assert_eq!(login.alias.as_ref().unwrap().name, "carol@corp.example");
            assert_eq!(login.metadata.get("username").map(String::as_str), Some("carol"));
            assert_eq!(login.policies, ["nested"]);
            let groups: Vec<_> = login.group_aliases.iter().map(|it| it.name.as_str()).collect();
            assert_eq!(groups, ["Direct", "Nested"], "one of the ids has no entry");
        }
        assert_eq!(directory.binds().first().map(String::as_str), Some("carol@corp.example"));
        for name in ["carol@corp.example", "carol@other", "cn=carol,cn=users", r"corp\carol", "*"] {
            assert_refused(&host, name, PASSWORD).await;
        }
        assert_refused(&host, "carol", "wrong").await;
    })
    .await;
}

/// Active Directory also lets users bind with a name that the entry doesn't have: as another user
/// they would have another alias.
#[tokio::test]
async fn cve_2025_6013_a_principal_name_that_the_entry_does_not_have_is_refused() {
    Harness::run(blueprint(), |host| async move {
        let directory = start_directory().await;
        configure(&host, &directory).await;
        let bindable = FakeEntry::new("c.carol@corp.example").password(PASSWORD);
        directory.put(bindable);
        assert_refused(&host, "c.carol", PASSWORD).await;
    })
    .await;
}

#[tokio::test]
async fn with_an_account_for_searches_the_alias_is_the_attribute_of_users() {
    Harness::run(blueprint(), |host| async move {
        let directory = start_directory().await;
        configure(&host, &directory).await;
        let account = json!({ "binddn": READER, "bindpass": READER_PASSWORD });
        host.write("config", account).await.unwrap();
        let got = log_in(&host, "Carol", PASSWORD).await.unwrap();
        assert_eq!(got.login().alias.as_ref().unwrap().name, "carol");
        host.write("config", json!({ "username_as_alias": true })).await.unwrap();
        let got = log_in(&host, "Carol", PASSWORD).await.unwrap();
        assert_eq!(got.login().alias.as_ref().unwrap().name, "carol");
        let renewed = host.renew_login("login/Carol", got.login()).await.unwrap();
        assert_eq!(renewed.login().policies, ["nested"]);
    })
    .await;
}

/// CVE-2026-115356.
#[tokio::test]
async fn cve_2026_115356_the_token_of_a_disabled_account_is_not_renewed() {
    Harness::run(blueprint(), |host| async move {
        let directory = start_directory().await;
        configure(&host, &directory).await;
        let account = json!({ "binddn": READER, "bindpass": READER_PASSWORD });
        host.write("config", account).await.unwrap();
        let got = log_in(&host, "carol", PASSWORD).await.unwrap();
        for (attribute, value) in [
            ("userAccountControl", "514"),
            ("nsAccountLock", "TRUE"),
            ("pwdAccountLockedTime", "000001010000Z"),
        ] {
            let plain = FakeEntry::new("CN=Carol C.,CN=Users,DC=corp")
                .password(PASSWORD)
                .value("userPrincipalName", "carol@corp.example")
                .value("sAMAccountName", "carol");
            directory.put(plain.value(attribute, value));
            let error = host.renew_login("login/carol", got.login()).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Invalid, "{attribute}");
            assert!(error.message.contains("log in again"), "{}", error.message);
            assert_refused(&host, "carol", PASSWORD).await;
        }
        directory.put(carol());
        host.renew_login("login/carol", got.login()).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn without_an_account_for_searches_a_closed_directory_permits_no_renewal() {
    Harness::run(blueprint(), |host| async move {
        let directory = start_directory().await;
        configure(&host, &directory).await;
        let got = log_in(&host, "carol", PASSWORD).await.unwrap();
        let error = host.renew_login("login/carol", got.login()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid);
        assert!(error.message.contains("log in again"), "{}", error.message);
    })
    .await;
}
