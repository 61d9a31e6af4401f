//! Logins: who the user is, and what the tokens may do.

use strongroom_auth_ldap::blueprint;
use strongroom_fakes::directory::FakeEntry;
use strongroom_sdk::engine::EngineAuth;
use strongroom_sdk::testing::{ErrorKind, Harness, json};

use crate::{
    PASSWORD, READER, READER_PASSWORD, alias_of, assert_refused, configure, log_in, start_directory,
};

fn group_names(login: &EngineAuth) -> Vec<&str> {
    login.group_aliases.iter().map(|group| group.name.as_str()).collect()
}

#[tokio::test]
async fn users_are_searched_for_and_get_the_policies_of_their_groups() {
    Harness::run(blueprint(), |host| async move {
        let directory = start_directory().await;
        configure(&host, &directory).await;
        host.write("groups/admins", json!({ "policies": "admin" })).await.unwrap();
        host.write("groups/STAFF", json!({ "policies": "staff" })).await.unwrap();
        host.write("groups/others", json!({ "policies": "other" })).await.unwrap();
        host.write("groups/local", json!({ "policies": "local" })).await.unwrap();
        let user = json!({ "policies": "own", "groups": "Local" });
        host.write("users/alice", user).await.unwrap();
        let got = log_in(&host, "ALICE", PASSWORD).await.unwrap();
        let login = got.login();
        assert_eq!(login.policies, ["admin", "everybody", "local", "own", "staff"]);
        assert_eq!((login.ttl.as_secs(), login.max_ttl.as_secs()), (3600, 7200));
        assert_eq!(login.alias.as_ref().unwrap().name, "Alice");
        assert_eq!(login.display_name, "alice");
        assert_eq!(login.metadata.get("username").map(String::as_str), Some("alice"));
        assert_eq!(group_names(login), ["Admins", "Staff", "local"]);
        assert!(login.renewable && got.warnings.is_empty());
        // The search was made by the account, the password was checked by a bind as the user.
        let binds = ["", READER, "uid=Alice,ou=people,dc=example", READER];
        assert_eq!(directory.binds(), binds.split_first().unwrap().1);
        let got = log_in(&host, "bob", "bob's").await.unwrap();
        assert_eq!(got.login().policies, ["everybody", "other"]);
    })
    .await;
}

#[tokio::test]
async fn users_log_in_by_their_distinguished_name() {
    Harness::run(blueprint(), |host| async move {
        let directory = start_directory().await;
        let config = json!({
            "url": directory.url(),
            "userdn": "ou=people,dc=example",
            "userattr": "uid",
            "groupdn": "ou=groups,dc=example",
        });
        host.write("config", config).await.unwrap();
        let got = log_in(&host, "Alice", PASSWORD).await.unwrap();
        assert_eq!(got.login().alias.as_ref().unwrap().name, "uid=alice,ou=people,dc=example");
        assert_eq!(group_names(got.login()), ["Admins", "Staff"]);
        assert_eq!(directory.binds(), ["uid=alice,ou=people,dc=example"]);
        assert_refused(&host, "alice", "wrong").await;
        assert_refused(&host, "nobody", PASSWORD).await;
    })
    .await;
}

#[tokio::test]
async fn users_are_discovered_anonymously() {
    Harness::run(blueprint(), |host| async move {
        let directory = start_directory().await;
        let config = json!({
            "url": directory.url(),
            "discoverdn": true,
            "userdn": "dc=example",
            "userattr": "uid",
            "username_as_alias": true,
        });
        host.write("config", config).await.unwrap();
        let got = log_in(&host, "alice", PASSWORD).await.unwrap();
        assert_eq!(got.login().alias.as_ref().unwrap().name, "alice");
        assert_eq!(got.warnings.len(), 1);
        assert!(
            got.warnings[0].contains("no LDAP groups found in groupDN \"\""),
            "{:?}",
            got.warnings
        );
        assert_eq!(directory.binds(), ["", "uid=Alice,ou=people,dc=example"]);
        directory.refuse_anonymous_searches();
        let error = log_in(&host, "alice", PASSWORD).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Internal);
    })
    .await;
}

#[tokio::test]
async fn groups_are_searched_for_anonymously_and_in_pages() {
    Harness::run(blueprint(), |host| async move {
        let directory = start_directory().await;
        configure(&host, &directory).await;
        for number in 0..25 {
            let entry = FakeEntry::new(&format!("cn=g{number},ou=groups,dc=example"))
                .value("memberUid", "alice");
            directory.put(entry);
        }
        let more = json!({ "anonymous_group_search": true, "max_page_size": 10 });
        host.write("config", more).await.unwrap();
        let got = log_in(&host, "alice", PASSWORD).await.unwrap();
        // A group without the attribute cn has the name that its distinguished name begins with.
        assert_eq!(group_names(got.login()).len(), 27);
        assert!(group_names(got.login()).contains(&"g24"));
        assert_eq!(directory.binds().last().unwrap(), "");
    })
    .await;
}

#[tokio::test]
async fn names_of_groups_come_from_the_attribute_or_from_a_name_in_it() {
    Harness::run(blueprint(), |host| async move {
        let directory = start_directory().await;
        configure(&host, &directory).await;
        let alice = crate::alice()
            .value("memberOf", "CN=Night Shift,OU=x,DC=example")
            .value("memberOf", "cn=day,ou=x,dc=example")
            .value("memberOf", "plain");
        directory.put(alice);
        let config = json!({
            "groupdn": "ou=people,dc=example",
            "groupfilter": "({{.UserAttr}}={{.Username}})",
            "groupattr": "memberOf",
        });
        let error = host.write("config", config).await.unwrap_err();
        assert!(error.message.contains("invalid groupfilter"), "{}", error.message);
        let config = json!({
            "groupdn": "ou=people,dc=example",
            "groupfilter": "(&(objectClass=*)(uid={{.Username}}))",
            "groupattr": "memberOf",
        });
        host.write("config", config).await.unwrap();
        host.write("groups/night shift", json!({ "policies": "night" })).await.unwrap();
        let got = log_in(&host, "alice", PASSWORD).await.unwrap();
        assert_eq!(group_names(got.login()), ["Night Shift", "day", "plain"]);
        assert_eq!(got.login().policies, ["everybody", "night"]);
        host.write("config", json!({ "use_pre111_group_cn_behavior": true })).await.unwrap();
        let got = log_in(&host, "alice", PASSWORD).await.unwrap();
        assert_eq!(group_names(got.login()), ["Night Shift", "cn=day,ou=x,dc=example", "plain"]);
    })
    .await;
}

#[tokio::test]
async fn deny_null_bind_a_login_without_a_password_is_refused_without_asking() {
    Harness::run(blueprint(), |host| async move {
        let directory = start_directory().await;
        configure(&host, &directory).await;
        for body in [json!({}), json!({ "password": "" }), json!({ "password": null })] {
            let error = host.log_in("login/alice", body).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Invalid);
            assert!(error.message.starts_with("password cannot be of zero length"), "{error:?}");
        }
        assert!(directory.binds().is_empty());
    })
    .await;
}

/// CVE-2025-6011: text, kind and the questions to the directory are the same.
#[tokio::test]
async fn cve_2025_6011_an_unknown_user_looks_like_a_wrong_password() {
    Harness::run(blueprint(), |host| async move {
        let directory = start_directory().await;
        configure(&host, &directory).await;
        assert_refused(&host, "alice", "wrong").await;
        let of_known = directory.binds().len();
        assert_refused(&host, "nobody", "wrong").await;
        assert_refused(&host, "nobody", PASSWORD).await;
        assert_eq!(directory.binds().len(), 3 * of_known, "{:?}", directory.binds());
        let decoy = directory.binds().last().cloned().unwrap();
        assert!(decoy.starts_with("uid=nobody-") && decoy.ends_with(",ou=people,dc=example"));
    })
    .await;
}

#[tokio::test]
async fn two_entries_of_one_name_are_no_user() {
    Harness::run(blueprint(), |host| async move {
        let directory = start_directory().await;
        configure(&host, &directory).await;
        let other = FakeEntry::new("uid=alice,ou=more,ou=people,dc=example");
        directory.put(other.password(PASSWORD).value("uid", "alice"));
        assert_refused(&host, "alice", PASSWORD).await;
    })
    .await;
}

#[tokio::test]
async fn an_entry_without_exactly_one_alias_is_a_fault_of_the_configuration() {
    Harness::run(blueprint(), |host| async move {
        let directory = start_directory().await;
        configure(&host, &directory).await;
        directory.put(crate::alice().value("uid", "also-alice"));
        let error = log_in(&host, "alice", PASSWORD).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Internal);
        assert!(!error.message.contains("uid"), "{}", error.message);
        host.write("config", json!({ "username_as_alias": true })).await.unwrap();
        assert_eq!(alias_of(&host, "alice").await, "alice");
    })
    .await;
}

#[tokio::test]
async fn without_a_way_to_find_users_nobody_logs_in() {
    Harness::run(blueprint(), |host| async move {
        let directory = start_directory().await;
        let error = log_in(&host, "alice", PASSWORD).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Internal);
        host.write("config", json!({ "url": directory.url() })).await.unwrap();
        let error = log_in(&host, "alice", PASSWORD).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Internal);
        configure(&host, &directory).await;
        host.write("config", json!({ "bindpass": "wrong" })).await.unwrap();
        let error = log_in(&host, "alice", PASSWORD).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Internal);
        host.write("config", json!({ "bindpass": READER_PASSWORD })).await.unwrap();
        log_in(&host, "alice", PASSWORD).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn logins_use_one_connection_again() {
    Harness::run(blueprint(), |host| async move {
        let directory = start_directory().await;
        configure(&host, &directory).await;
        for _ in 0..5 {
            log_in(&host, "alice", PASSWORD).await.unwrap();
            assert_refused(&host, "bob", "wrong").await;
        }
        assert_eq!(directory.connections(), 1);
        // What another user did on it is forgotten.
        assert_eq!(log_in(&host, "bob", "bob's").await.unwrap().login().display_name, "bob");
        host.advance(std::time::Duration::from_secs(61)).await;
        log_in(&host, "alice", PASSWORD).await.unwrap();
        assert_eq!(directory.connections(), 2);
    })
    .await;
}
