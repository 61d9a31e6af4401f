//! The same with a real OpenLDAP.

use std::fmt::Write;

use strongroom_auth_ldap::blueprint;
use strongroom_fakes::tls::{CertAndKey, FakeAuthority};
use strongroom_sdk::testing::{ErrorKind, Harness, TestHost, Transport, json};
use strongroom_testkit::OpenLdap;
use strongroom_testkit::openldap::{READER, READER_PASSWORD};

use crate::{PASSWORD, alias_of, assert_refused, log_in};

/// People with odd names, and groups; more groups than the account for searches gets at once.
fn entries() -> String {
    let mut text = String::new();
    for folder in ["people", "groups", "open"] {
        write!(
            text,
            "dn: ou={folder},dc=example\nobjectClass: organizationalUnit\nou: {folder}\n\n"
        )
        .unwrap();
    }
    for (dn, name) in [
        ("uid=Alice,ou=people,dc=example", "Alice"),
        ("uid=müller,ou=people,dc=example", "Müller"),
        (r"uid=a\2cb\2bc*(d)\5c,ou=people,dc=example", r"a,b+c*(d)\"),
        ("uid=carol,ou=open,dc=example", "carol"),
    ] {
        write!(
            text,
            "dn: {dn}\nobjectClass: inetOrgPerson\ncn: {name} C.\nsn: {name}\nuid: {name}\n\
             telephoneNumber: +49 30 123\nuserPassword: {PASSWORD}\n\n"
        )
        .unwrap();
    }
    for number in 0..25 {
        write!(
            text,
            "dn: cn=Group {number},ou=groups,dc=example\nobjectClass: groupOfNames\n\
             cn: Group {number}\nmember: uid=Alice,ou=people,dc=example\n\n"
        )
        .unwrap();
    }
    text
}

async fn start(test: &str) -> Option<(OpenLdap, FakeAuthority)> {
    let authority = FakeAuthority::new().unwrap();
    let CertAndKey { cert, key } = authority.issue_certificate("127.0.0.1").unwrap();
    Some((OpenLdap::start(test, &entries(), &cert, &key).await?, authority))
}

async fn configure(host: &TestHost, url: &str) {
    let config = json!({
        "url": url,
        "binddn": READER,
        "bindpass": READER_PASSWORD,
        "userdn": "ou=people,dc=example",
        "userattr": "uid",
        "groupdn": "ou=groups,dc=example",
        "max_page_size": 10,
    });
    host.write("config", config).await.unwrap();
}

#[tokio::test]
async fn users_of_openldap_log_in_with_and_without_tls() {
    let test = "users_of_openldap_log_in_with_and_without_tls";
    let Some((directory, authority)) = start(test).await else { return };
    let (directory, authority) = (&directory, &authority);
    Harness::run(blueprint(), |host| async move {
        configure(&host, &directory.url()).await;
        host.write("groups/group 24", json!({ "policies": "late" })).await.unwrap();
        let got = log_in(&host, "alice", PASSWORD).await.unwrap();
        assert_eq!(got.login().alias.as_ref().unwrap().name, "Alice");
        assert_eq!(got.login().group_aliases.len(), 25, "in pages of 10");
        assert_eq!(got.login().policies, ["late"]);
        host.renew_login("login/alice", got.login()).await.unwrap();

        let ca = authority.cert_pem();
        for (url, starttls, max) in [
            (directory.url(), true, "tls12"),
            (directory.tls_url(), false, "tls12"),
            (directory.tls_url(), false, "tls13"),
        ] {
            let tls = json!({
                "url": url, "starttls": starttls, "certificate": ca, "tls_max_version": max,
            });
            host.write("config", tls).await.unwrap();
            assert_eq!(alias_of(&host, "alice").await, "Alice", "{url}");
            // Another authority's certificates are refused, and no password is sent.
            let other = FakeAuthority::new().unwrap().cert_pem();
            host.write("config", json!({ "certificate": other })).await.unwrap();
            let error = log_in(&host, "alice", PASSWORD).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Internal, "{url}");
        }
    })
    .await;
}

#[tokio::test]
async fn too_many_groups_at_once_fail_the_login() {
    let test = "too_many_groups_at_once_fail_the_login";
    let Some((directory, _)) = start(test).await else { return };
    let directory = &directory;
    Harness::run_on(&[Transport::Linked], blueprint(), |host| async move {
        configure(&host, &directory.url()).await;
        host.write("config", json!({ "max_page_size": 0 })).await.unwrap();
        // A part of the groups would be a part of the policies, denials among them.
        let error = log_in(&host, "alice", PASSWORD).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Internal);
    })
    .await;
}

/// Which spellings a real directory takes for one name, and what becomes of them.
#[tokio::test]
async fn cve_2025_6013_spellings_that_openldap_accepts_are_one_user() {
    let test = "cve_2025_6013_spellings_that_openldap_accepts_are_one_user";
    let Some((directory, _)) = start(test).await else { return };
    let directory = &directory;
    Harness::run_on(&[Transport::Linked, Transport::Wire], blueprint(), |host| async move {
        configure(&host, &directory.url()).await;
        for as_alias in [false, true] {
            host.write("config", json!({ "username_as_alias": as_alias })).await.unwrap();
            let expected = if as_alias { "alice" } else { "Alice" };
            for name in ["alice", "ALICE", "  alice", "Alice  "] {
                assert_eq!(alias_of(&host, name).await, expected, "{name:?}");
            }
            // OpenLDAP takes these for the name, or doesn't know them.
            for name in ["al\u{ad}ice", "\u{ff41}lice", "alice\u{200b}", "al ice"] {
                assert_refused(&host, name, PASSWORD).await;
            }
            let expected = if as_alias { "müller" } else { "Müller" };
            assert_eq!(alias_of(&host, "MÜLLER").await, expected);
            assert_refused(&host, "mu\u{308}ller", PASSWORD).await;
        }
        // By distinguished name.
        let direct = json!({ "binddn": "", "username_as_alias": false, "groupdn": "" });
        host.write("config", direct).await.unwrap();
        for name in ["alice", "ALICE", "  alice", "Alice  "] {
            assert_eq!(alias_of(&host, name).await, "uid=alice,ou=people,dc=example", "{name:?}");
        }
        for name in ["al\u{ad}ice", "\u{ff41}lice", "müller", "mu\u{308}ller"] {
            assert_refused(&host, name, PASSWORD).await;
        }
    })
    .await;
}

#[tokio::test]
async fn cve_2026_55770_openldap_finds_names_with_characters_of_filters_and_names() {
    let test = "cve_2026_55770_openldap_finds_names_with_characters_of_filters_and_names";
    let Some((directory, _)) = start(test).await else { return };
    let directory = &directory;
    Harness::run_on(&[Transport::Linked], blueprint(), |host| async move {
        configure(&host, &directory.url()).await;
        let odd = r"a,b+c*(d)\";
        assert_eq!(alias_of(&host, odd).await, odd);
        for name in ["*", "a*", "alice)(uid=*", "Alice,ou=people,dc=example"] {
            assert_refused(&host, name, PASSWORD).await;
        }
        // Users may not see the groups.
        host.write("config", json!({ "binddn": "", "groupdn": "" })).await.unwrap();
        assert_eq!(alias_of(&host, odd).await, r"uid=a\2cb\2bc*(d)\5c,ou=people,dc=example");
        for name in ["*", "x,uid=alice", "alice+sn=x"] {
            assert_refused(&host, name, PASSWORD).await;
        }
    })
    .await;
}

#[tokio::test]
async fn users_are_discovered_anonymously_and_asked_for_again() {
    let test = "users_are_discovered_anonymously_and_asked_for_again";
    let Some((directory, _)) = start(test).await else { return };
    let directory = &directory;
    Harness::run_on(&[Transport::Linked], blueprint(), |host| async move {
        configure(&host, &directory.url()).await;
        let config = json!({
            "binddn": "", "discoverdn": true, "userdn": "ou=open,dc=example", "groupdn": "",
        });
        host.write("config", config).await.unwrap();
        let got = log_in(&host, "carol", PASSWORD).await.unwrap();
        assert!(got.warnings[0].starts_with("no LDAP groups found"), "{:?}", got.warnings);
        host.renew_login("login/carol", got.login()).await.unwrap();
        directory.change("dn: uid=carol,ou=open,dc=example\nchangetype: delete\n");
        let error = host.renew_login("login/carol", got.login()).await.unwrap_err();
        assert!(error.message.contains("log in again"), "{}", error.message);
        // Who may read nothing anonymously can't be asked for again.
        let config = json!({ "discoverdn": false, "userdn": "ou=people,dc=example" });
        host.write("config", config).await.unwrap();
        let got = log_in(&host, "alice", PASSWORD).await.unwrap();
        let error = host.renew_login("login/alice", got.login()).await.unwrap_err();
        assert!(error.message.contains("log in again"), "{}", error.message);
    })
    .await;
}

/// Telephone numbers are compared without spaces and hyphens: another spelling is no other user.
#[tokio::test]
async fn cve_2025_6013_an_attribute_with_its_own_comparison_makes_no_second_user() {
    let test = "cve_2025_6013_an_attribute_with_its_own_comparison_makes_no_second_user";
    let Some((directory, _)) = start(test).await else { return };
    let directory = &directory;
    Harness::run_on(&[Transport::Linked], blueprint(), |host| async move {
        let entry = "dn: telephoneNumber=12345,ou=people,dc=example\nchangetype: add\n\
                     objectClass: person\ncn: dora\nsn: dora\ntelephoneNumber: 12345\n\
                     userPassword: correct horse\n";
        directory.change(entry);
        configure(&host, &directory.url()).await;
        for direct in [false, true] {
            let mut config = json!({ "userattr": "telephoneNumber", "username_as_alias": true });
            if direct {
                config["binddn"] = "".into();
                config["groupdn"] = "".into();
            }
            host.write("config", config).await.unwrap();
            assert_eq!(alias_of(&host, "12345").await, "12345");
            assert_refused(&host, "1-23-45", PASSWORD).await;
        }
    })
    .await;
}

#[tokio::test]
async fn the_password_of_the_account_is_replaced_in_openldap() {
    let test = "the_password_of_the_account_is_replaced_in_openldap";
    for transport in [Transport::Linked, Transport::Foreign] {
        let Some((directory, _)) = start(test).await else { return };
        let directory = &directory;
        Harness::run_one(blueprint(), transport, |host| async move {
            configure(&host, &directory.url()).await;
            for _ in 0..2 {
                host.write("config/rotate-root", json!({})).await.unwrap();
                log_in(&host, "alice", PASSWORD).await.unwrap();
            }
            assert!(!directory.accepts(READER, READER_PASSWORD));
        })
        .await;
    }
}
