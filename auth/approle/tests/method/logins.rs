//! Logins: who gets in, with which terms, and how often.

use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::join_all;
use strongroom_auth_approle::blueprint;
use strongroom_sdk::engine::Operation;
use strongroom_sdk::testing::{ErrorKind, Harness, TestHost, json};
use tokio::test;

use crate::{REFUSED, assert_refused, issue, log_in, look_up, write_role};

#[test]
async fn a_login_gets_the_terms_of_the_role_and_the_metadata_of_the_secret_id() {
    Harness::run(blueprint(), |host| async move {
        let role = json!({
            "token_policies": "dev",
            "token_ttl": "1h",
            "token_max_ttl": "2h",
            "token_num_uses": 9,
        });
        let role_id = write_role(&host, "web", role).await;
        let metadata = json!({ "metadata": { "team": "a", "role_name": "admin" } });
        let issued = issue(&host, "web", metadata).await;
        let got = log_in(&host, &role_id, &issued.secret_id).await.unwrap();
        let login = got.login();
        assert_eq!(login.policies, ["dev"]);
        assert_eq!((login.ttl.as_secs(), login.max_ttl.as_secs()), (3600, 7200));
        assert_eq!(login.num_uses, 9);
        assert_eq!(login.alias.as_ref().unwrap().name, role_id);
        assert_eq!(login.metadata.get("team").unwrap(), "a");
        // Metadata of the secret id doesn't say which role it is.
        assert_eq!(login.metadata.get("role_name").unwrap(), "web");
        assert!(got.data.is_empty() && got.warnings.is_empty());
    })
    .await;
}

#[test]
async fn whatever_is_wrong_has_one_text() {
    Harness::run(blueprint(), |host| async move {
        let role_id = write_role(&host, "web", json!({})).await;
        let other_id = write_role(&host, "other", json!({})).await;
        let issued = issue(&host, "web", json!({})).await;
        for (role_id, secret_id) in [
            (role_id.as_str(), "wrong"),
            ("unknown", issued.secret_id.as_str()),
            ("unknown", "wrong"),
            ("web", issued.secret_id.as_str()),
            (&other_id, issued.secret_id.as_str()),
            // An accessor is no secret id.
            (&role_id, issued.accessor.as_str()),
            (&role_id, &"x".repeat(5000)),
        ] {
            assert_refused(&host, role_id, secret_id).await;
        }
        // Whether a role id exists can't be found out by leaving out the secret id.
        for role_id in [role_id.as_str(), "unknown"] {
            for body in
                [json!({ "role_id": role_id }), json!({ "role_id": role_id, "secret_id": " " })]
            {
                let error = host.log_in("login", body).await.unwrap_err();
                assert_eq!(
                    (error.kind, error.message.as_str()),
                    (ErrorKind::Invalid, "missing secret_id")
                );
            }
        }
        for body in [json!({}), json!({ "role_id": " ", "secret_id": "a" })] {
            let error = host.log_in("login", body).await.unwrap_err();
            assert_eq!(
                (error.kind, error.message.as_str()),
                (ErrorKind::Invalid, "missing role_id")
            );
        }
    })
    .await;
}

/// The number of storage reads tells nothing, and so does the time.
#[test]
async fn an_unknown_role_costs_as_many_reads_as_a_wrong_secret_id() {
    Harness::run(blueprint(), |host| async move {
        let role_id = write_role(&host, "web", json!({})).await;
        issue(&host, "web", json!({})).await;
        assert_refused(&host, &role_id, "wrong").await;
        let reads = async |role_id: &str| {
            let before = host.storage_reads();
            assert_refused(&host, role_id, "wrong").await;
            host.storage_reads() - before
        };
        let (wrong, unknown) = (reads(&role_id).await, reads("unknown").await);
        assert_eq!((wrong, unknown), (2, 2));
    })
    .await;
}

#[test]
async fn a_role_may_need_no_secret_id() {
    Harness::run(blueprint(), |host| async move {
        let role = json!({ "bind_secret_id": false, "secret_id_bound_cidrs": "10.0.0.0/8" });
        let role_id = write_role(&host, "web", role).await;
        let body = json!({ "role_id": role_id });
        let got = host.log_in_from(inside(), "login", &body).await.unwrap();
        let metadata: Vec<_> = got.login().metadata.clone().into_iter().collect();
        assert_eq!(metadata, [("role_name".to_owned(), "web".to_owned())]);
        // From outside, the role can't be told from one that doesn't exist.
        let unknown = json!({ "role_id": "no-such-role" });
        for body in [&body, &unknown] {
            let error = host.log_in_from(outside(), "login", body).await.unwrap_err();
            assert_eq!(error.message, "missing secret_id");
        }
    })
    .await;
}

fn inside() -> IpAddr {
    "10.1.2.3".parse().unwrap()
}

fn outside() -> IpAddr {
    "192.0.2.1".parse().unwrap()
}

async fn refused_from(host: &TestHost, address: IpAddr, role_id: &str, secret_id: &str) {
    let body = json!({ "role_id": role_id, "secret_id": secret_id });
    let error = host.log_in_from(address, "login", body).await.unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Invalid, REFUSED));
}

#[test]
async fn a_login_from_a_wrong_address_is_refused_and_uses_nothing_up() {
    Harness::run(blueprint(), |host| async move {
        let networks = json!("10.0.0.0/8");
        for (role, secret_id) in [
            (json!({ "secret_id_bound_cidrs": networks }), json!({})),
            (json!({ "token_bound_cidrs": networks }), json!({})),
            (json!({}), json!({ "cidr_list": networks })),
            (json!({}), json!({ "token_bound_cidrs": networks })),
        ] {
            let role_id = write_role(&host, "web", role.clone()).await;
            let mut fields = secret_id.clone();
            fields["num_uses"] = json!(1);
            let issued = issue(&host, "web", fields).await;
            refused_from(&host, outside(), &role_id, &issued.secret_id).await;
            let body = json!({ "role_id": role_id, "secret_id": issued.secret_id });
            let got = host.log_in_from(inside(), "login", body).await.unwrap();
            let is_bound = role.get("token_bound_cidrs").is_some()
                || secret_id.get("token_bound_cidrs").is_some();
            let bound = if is_bound { vec!["10.0.0.0/8".to_owned()] } else { Vec::new() };
            assert_eq!(got.login().bound_cidrs, bound, "{role} {secret_id}");
            host.delete("role/web").await.unwrap();
        }
    })
    .await;
}

/// What the role allows now counts, also for secret ids that were issued before.
#[test]
async fn networks_that_the_role_no_longer_allows_are_refused() {
    Harness::run(blueprint(), |host| async move {
        for (field, of_secret_id) in
            [("secret_id_bound_cidrs", "cidr_list"), ("token_bound_cidrs", "token_bound_cidrs")]
        {
            let role_id = write_role(&host, "web", json!({})).await;
            let issued = issue(&host, "web", json!({ of_secret_id: "10.0.0.0/8" })).await;
            let body = json!({ "role_id": role_id, "secret_id": issued.secret_id });
            host.log_in_from(inside(), "login", &body).await.unwrap();
            host.write("role/web", json!({ field: "10.1.0.0/16" })).await.unwrap();
            refused_from(&host, inside(), &role_id, &issued.secret_id).await;
            host.write("role/web", json!({ field: "10.0.0.0/8" })).await.unwrap();
            host.log_in_from(inside(), "login", &body).await.unwrap();
            host.delete("role/web").await.unwrap();
        }
    })
    .await;
}

#[test]
async fn a_secret_id_is_good_for_as_many_logins_as_it_has_uses() {
    Harness::run(blueprint(), |host| async move {
        let role_id = write_role(&host, "web", json!({ "secret_id_num_uses": 2 })).await;
        issue(&host, "web", json!({})).await;
        let before = host.stored_keys();
        let issued = issue(&host, "web", json!({ "ttl": 60 })).await;
        host.clock().advance(Duration::from_secs(3));
        log_in(&host, &role_id, &issued.secret_id).await.unwrap();
        let shown = look_up(&host, "web", &issued.secret_id).await.unwrap();
        assert_eq!(shown.field_json("secret_id_num_uses"), "1");
        assert_ne!(shown.text("creation_time"), shown.text("last_updated_time"));
        log_in(&host, &role_id, &issued.secret_id).await.unwrap();
        assert_refused(&host, &role_id, &issued.secret_id).await;
        assert_eq!(host.stored_keys(), before, "the last use removes everything");
    })
    .await;
}

#[test]
async fn of_forty_logins_at_once_one_gets_the_single_use() {
    Harness::run(blueprint(), |host| async move {
        let role_id = write_role(&host, "web", json!({})).await;
        for uses in [1, 7] {
            let issued = issue(&host, "web", json!({ "num_uses": uses })).await;
            let logins = (0..40).map(|_| log_in(&host, &role_id, &issued.secret_id));
            let outcomes = join_all(logins).await;
            let accepted = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
            assert_eq!(accepted, uses);
            for error in outcomes.into_iter().filter_map(Result::err) {
                assert_eq!(error.message, REFUSED);
            }
        }
    })
    .await;
}

#[test]
async fn a_login_without_counted_uses_writes_nothing() {
    Harness::run(blueprint(), |host| async move {
        let role_id = write_role(&host, "web", json!({})).await;
        let issued = issue(&host, "web", json!({ "ttl": "1h" })).await;
        let before = host.storage_writes();
        for _ in 0..5 {
            log_in(&host, &role_id, &issued.secret_id).await.unwrap();
        }
        assert_eq!(host.storage_writes(), before);
    })
    .await;
}

/// CVE-2026-115362: expiry is checked at use, whether anything was tidied or not.
#[test]
async fn cve_2026_115362_an_expired_secret_id_is_refused_at_once() {
    Harness::run(blueprint(), |host| async move {
        let role_id = write_role(&host, "web", json!({})).await;
        let issued = issue(&host, "web", json!({ "ttl": 60, "num_uses": 5 })).await;
        host.clock().advance(Duration::from_secs(59));
        log_in(&host, &role_id, &issued.secret_id).await.unwrap();
        host.clock().advance(Duration::from_secs(1));
        assert_refused(&host, &role_id, &issued.secret_id).await;
        assert!(look_up(&host, "web", &issued.secret_id).await.is_none());
    })
    .await;
}

#[test]
async fn secret_ids_die_with_their_role_and_belong_to_no_later_one() {
    Harness::run(blueprint(), |host| async move {
        let fixed = json!({ "role_id": "fixed" });
        write_role(&host, "web", fixed.clone()).await;
        let issued = issue(&host, "web", json!({})).await;
        host.write("role/web/custom-secret-id", json!({ "secret_id": "chosen" })).await.unwrap();
        host.delete("role/web").await.unwrap();
        assert_refused(&host, "fixed", &issued.secret_id).await;
        // A new role of the same name and with the same role id.
        write_role(&host, "web", fixed).await;
        for secret_id in [issued.secret_id.as_str(), "chosen"] {
            assert_refused(&host, "fixed", secret_id).await;
            assert!(look_up(&host, "web", secret_id).await.is_none());
        }
        assert_eq!(host.list("role/web/secret-id").await.unwrap_err().kind, ErrorKind::NotFound);
        let body = json!({ "secret_id_accessor": issued.accessor });
        let found = host.write("role/web/secret-id-accessor/lookup", body).await;
        assert_eq!(found.unwrap_err().kind, ErrorKind::NotFound);
    })
    .await;
}

#[test]
async fn renewals_ask_the_role_again() {
    Harness::run(blueprint(), |host| async move {
        let role = json!({ "token_policies": "dev", "token_ttl": 3600 });
        let role_id = write_role(&host, "web", role.clone()).await;
        let issued = issue(&host, "web", json!({ "num_uses": 1 })).await;
        let got = log_in(&host, &role_id, &issued.secret_id).await.unwrap();
        host.write("role/web/token-ttl", json!({ "token_ttl": 1800 })).await.unwrap();
        let renewed = host.renew_login("login", got.login()).await.unwrap();
        assert_eq!(renewed.login().ttl.as_secs(), 1800);
        host.write("role/web/policies", json!({ "token_policies": "other" })).await.unwrap();
        let error = host.renew_login("login", got.login()).await.unwrap_err();
        assert_eq!(error.message, "policies have changed, not renewing");
        // Neither without the role nor with another of the same name.
        for recreated in [false, true] {
            host.delete("role/web").await.unwrap();
            if recreated {
                write_role(&host, "web", role.clone()).await;
            }
            let error = host.renew_login("login", got.login()).await.unwrap_err();
            assert_eq!(error.message, "the role of this token no longer exists");
        }
    })
    .await;
}

#[test]
async fn the_role_of_a_login_is_found_by_its_role_id() {
    Harness::run(blueprint(), |host| async move {
        write_role(&host, "web", json!({ "role_id": "ours" })).await;
        for (role_id, role) in [("ours", "web"), (" ours ", "web"), ("unknown", ""), ("", "")] {
            let body = json!({ "role_id": role_id }).to_string();
            let found = host.send(Operation::ResolveRole, "login", &body).await.unwrap();
            assert_eq!(found.field_json("role"), json!(role).to_string(), "{role_id}");
        }
        host.delete("role/web").await.unwrap();
        let body = r#"{ "role_id": "ours" }"#;
        let found = host.send(Operation::ResolveRole, "login", body).await.unwrap();
        assert_eq!(found.field_json("role"), r#""""#);
    })
    .await;
}
