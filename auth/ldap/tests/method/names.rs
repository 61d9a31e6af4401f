//! Names that are meant to be something else.

use strongroom_auth_ldap::blueprint;
use strongroom_fakes::directory::FakeEntry;
use strongroom_sdk::engine::Operation;
use strongroom_sdk::testing::{Harness, json};

use crate::{PASSWORD, alias_of, assert_refused, configure, log_in, start_directory};

/// A name in a filter is escaped for a filter, one in a distinguished name for that.
#[tokio::test]
async fn cve_2026_55770_a_name_is_a_value_wherever_it_stands() {
    Harness::run(blueprint(), |host| async move {
        let directory = start_directory().await;
        let odd = r"a,b+c=d*(e)\f#<g>;";
        let dn = format!("uid={},ou=people,dc=example", r"a\2cb\2bc\3dd*(e)\5cf\23\3cg\3e\3b");
        directory.put(FakeEntry::new(&dn).password(PASSWORD).value("uid", odd));
        configure(&host, &directory).await;
        assert_eq!(alias_of(&host, odd).await, odd);
        for name in ["*", "a*", "alice)(uid=*", "alice,ou=people,dc=example", r"\2a"] {
            assert_refused(&host, name, PASSWORD).await;
        }
        // By its distinguished name.
        host.write("config", json!({ "binddn": "", "bindpass": "" })).await.unwrap();
        assert_eq!(alias_of(&host, odd).await, dn);
        for name in ["*", "x,uid=alice", "alice,ou=people,dc=example", "alice+uid=bob"] {
            assert_refused(&host, name, PASSWORD).await;
        }
    })
    .await;
}

/// Each spelling that the directory takes for a name leads to one alias, or to none.
#[tokio::test]
async fn cve_2025_6013_spellings_of_a_user_have_one_alias() {
    Harness::run(blueprint(), |host| async move {
        let directory = start_directory().await;
        configure(&host, &directory).await;
        for as_alias in [false, true] {
            for case_matters in [false, true] {
                let config = json!({
                    "username_as_alias": as_alias,
                    "case_sensitive_names": case_matters,
                });
                host.write("config", config).await.unwrap();
                let expected = if as_alias && !case_matters { "alice" } else { "Alice" };
                for name in ["alice", "ALICE", " alice", "alice  ", "Alice "] {
                    assert_eq!(alias_of(&host, name).await, expected, "{name:?}");
                }
            }
        }
        // A filter that finds a user by two attributes: as an alias, only one of them counts.
        let filter = "(|(uid={{.Username}})(mail={{.Username}}))";
        host.write("config", json!({ "userfilter": filter })).await.unwrap();
        assert_eq!(alias_of(&host, "alice").await, "Alice");
        assert_refused(&host, "alice@example.com", PASSWORD).await;
        host.write("config", json!({ "username_as_alias": false })).await.unwrap();
        assert_eq!(alias_of(&host, "alice@example.com").await, "Alice");
    })
    .await;
}

/// A real directory also finds users by spellings with other characters. The fake does so if the
/// attribute has them, and the name that becomes the alias has not.
#[tokio::test]
async fn cve_2025_6013_characters_that_directories_take_for_others_are_no_other_user() {
    Harness::run(blueprint(), |host| async move {
        let directory = start_directory().await;
        configure(&host, &directory).await;
        let wide = "\u{ff41}lice";
        directory.put(crate::alice().value("mail", wide));
        let filter = "(|(uid={{.Username}})(mail={{.Username}}))";
        host.write("config", json!({ "userfilter": filter })).await.unwrap();
        assert_refused(&host, wide, PASSWORD).await;
        let binds = directory.binds();
        assert!(!binds.iter().any(|dn| dn.starts_with("uid=Alice")), "{binds:?}");
        // Letters beyond ASCII are those of the entry, or the directory isn't asked.
        let entry = FakeEntry::new("uid=müller,ou=people,dc=example").password(PASSWORD);
        directory.put(entry.value("uid", "Müller"));
        assert_eq!(alias_of(&host, "MÜLLER").await, "Müller");
        host.write("config", json!({ "binddn": "" })).await.unwrap();
        assert_refused(&host, "müller", PASSWORD).await;
    })
    .await;
}

/// The server locks users by the name that the method tells it before the login.
#[tokio::test]
async fn cve_2025_6004_failed_logins_of_all_spellings_count_for_one_name() {
    Harness::run(blueprint(), |host| async move {
        for case_matters in [false, true] {
            host.write("config", json!({ "case_sensitive_names": case_matters })).await.unwrap();
            for name in ["alice b", "Alice B", " alice b", "alice  b "] {
                let path = format!("login/{name}");
                let body = json!({ "password": "wrong" });
                let got = host.send(Operation::AliasLookahead, &path, body).await.unwrap();
                assert_eq!(got.login().alias.as_ref().unwrap().name, "alice b", "{name:?}");
            }
        }
    })
    .await;
}

/// Names reach templates of policies as metadata: they are those of the directory, whatever they
/// contain, and no user gets the name of another.
#[tokio::test]
async fn ghsa_59w7_v8rr_pr4p_a_name_with_characters_of_paths_is_that_users_only() {
    Harness::run(blueprint(), |host| async move {
        let directory = start_directory().await;
        configure(&host, &directory).await;
        for name in ["*", "+", "alice/*", "a,b"] {
            let number = name.len() * 100 + usize::from(name.as_bytes()[0]);
            let entry = FakeEntry::new(&format!("cn=n{number},ou=people,dc=example"));
            directory.put(entry.password(PASSWORD).value("uid", name));
            let got = log_in(&host, name, PASSWORD).await.unwrap();
            let login = got.login();
            assert_eq!(login.alias.as_ref().unwrap().name, name);
            assert_eq!(login.metadata.get("username").map(String::as_str), Some(name));
            assert_eq!(login.policies, ["everybody"], "none of another user");
        }
        host.write("users/alice", json!({ "policies": "own" })).await.unwrap();
        let got = log_in(&host, "*", PASSWORD).await.unwrap();
        assert_eq!(got.login().policies, ["everybody"]);
    })
    .await;
}
