//! Roles: their fields, the paths of single fields, and role ids.

use strongroom_auth_approle::blueprint;
use strongroom_sdk::engine::{Existence, Operation};
use strongroom_sdk::testing::{ErrorKind, Harness, json};
use tokio::test;

use crate::{issue, log_in, write_role};

#[test]
async fn a_role_is_created_read_listed_changed_and_deleted() {
    Harness::run(blueprint(), |host| async move {
        assert_eq!(host.exists("role/web").await.unwrap(), Existence::Absent);
        let fields = json!({ "token_policies": "dev", "secret_id_ttl": "1h", "token_ttl": 60 });
        host.write("role/Web", fields).await.unwrap();
        assert_eq!(host.exists("role/WEB").await.unwrap(), Existence::Exists);
        host.write("role/web", json!({ "secret_id_num_uses": 5 })).await.unwrap();
        let shown = host.read("role/web").await.unwrap();
        for (field, value) in [
            ("bind_secret_id", "true"),
            ("local_secret_ids", "false"),
            ("secret_id_bound_cidrs", "[]"),
            ("secret_id_num_uses", "5"),
            ("secret_id_ttl", "3600"),
            ("token_policies", r#"["dev"]"#),
            ("token_ttl", "60"),
        ] {
            assert_eq!(shown.field_json(field), value, "{field}");
        }
        for hidden in ["role_id", "generation", "lookup_key", "policies", "period"] {
            assert!(!shown.data.contains(hidden), "{hidden}");
        }
        assert_eq!(host.list("role").await.unwrap(), ["web"]);
        host.delete("role/web").await.unwrap();
        assert_eq!(host.read("role/web").await.unwrap_err().kind, ErrorKind::NotFound);
        host.delete("role/web").await.unwrap();
    })
    .await;
}

#[test]
async fn legacy_names_are_shown_if_they_were_used() {
    Harness::run(blueprint(), |host| async move {
        let fields = json!({ "policies": "a,b", "period": 60, "bound_cidr_list": "10.0.0.0/8" });
        host.write("role/web", fields).await.unwrap();
        let shown = host.read("role/web").await.unwrap();
        for (field, value) in [
            ("policies", r#"["a","b"]"#),
            ("token_policies", r#"["a","b"]"#),
            ("period", "60"),
            ("token_period", "60"),
            ("secret_id_bound_cidrs", r#"["10.0.0.0/8"]"#),
        ] {
            assert_eq!(shown.field_json(field), value, "{field}");
        }
        assert!(!shown.data.contains("bound_cidr_list"));
        let own = host.read("role/web/policies").await.unwrap();
        assert_eq!(own.field_json("policies"), r#"["a","b"]"#);
        host.write("role/web/policies", json!({ "token_policies": "c" })).await.unwrap();
        let own = host.read("role/web/policies").await.unwrap();
        assert_eq!(own.field_json("token_policies"), r#"["c"]"#);
        assert!(!own.data.contains("policies"));
        let list = host.read("role/web/bound-cidr-list").await.unwrap();
        assert_eq!(list.field_json("bound_cidr_list"), r#"["10.0.0.0/8"]"#);
        assert!(list.warnings.iter().any(|it| it.contains("deprecated")), "{:?}", list.warnings);
    })
    .await;
}

#[test]
async fn each_field_can_be_read_written_and_reset_at_its_own_path() {
    Harness::run(blueprint(), |host| async move {
        write_role(&host, "web", json!({})).await;
        for (path, field, sent, shown, reset) in [
            ("policies", "token_policies", json!("x"), r#"["x"]"#, "[]"),
            ("token-ttl", "token_ttl", json!("1m"), "60", "0"),
            ("token-max-ttl", "token_max_ttl", json!(90), "90", "0"),
            ("token-num-uses", "token_num_uses", json!(3), "3", "0"),
            ("token-bound-cidrs", "token_bound_cidrs", json!("10.0.0.1"), r#"["10.0.0.1"]"#, "[]"),
            ("period", "token_period", json!(30), "30", "0"),
            ("bind-secret-id", "bind_secret_id", json!(true), "true", "true"),
            ("secret-id-num-uses", "secret_id_num_uses", json!(4), "4", "0"),
            ("secret-id-ttl", "secret_id_ttl", json!(70), "70", "0"),
            (
                "secret-id-bound-cidrs",
                "secret_id_bound_cidrs",
                json!(["10.0.0.0/8", "10.0.0.1"]),
                r#"["10.0.0.0/8","10.0.0.1/32"]"#,
                "[]",
            ),
            ("bound-cidr-list", "bound_cidr_list", json!("::1"), r#"["::1/128"]"#, "[]"),
        ] {
            let path = format!("role/web/{path}");
            let missing = host.write(&path, json!({})).await.unwrap_err();
            assert_eq!(missing.message, format!("missing {field}"));
            host.write(&path, json!({ field: sent })).await.unwrap();
            assert_eq!(host.read(&path).await.unwrap().field_json(field), shown, "{path}");
            host.delete(&path).await.unwrap();
            assert_eq!(host.read(&path).await.unwrap().field_json(field), reset, "{path}");
            // Without the role.
            let other = path.replace("/web/", "/nobody/");
            let body = json!({ field: sent });
            assert_eq!(host.read(&other).await.unwrap_err().kind, ErrorKind::NotFound, "{path}");
            let error = host.write(&other, body).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::NotFound, "{path}");
            host.delete(&other).await.unwrap();
            assert_eq!(host.exists("role/nobody").await.unwrap(), Existence::Absent, "{path}");
        }
        let local = host.read("role/web/local-secret-ids").await.unwrap();
        assert_eq!(local.field_json("local_secret_ids"), "false");
        for (operation, path) in [
            (Operation::Update, "role/web/local-secret-ids"),
            (Operation::Delete, "role/web/role-id"),
        ] {
            let error = host.send(operation, path, json!({})).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Unsupported, "{path}");
        }
    })
    .await;
}

#[test]
async fn a_field_at_its_own_path_is_checked_as_in_the_role() {
    Harness::run(blueprint(), |host| async move {
        write_role(&host, "web", json!({ "token_max_ttl": 60 })).await;
        let unbound = "at least one constraint should be enabled on the role";
        let ttls = "'token_ttl' cannot be greater than 'token_max_ttl'";
        for (path, fields, text) in [
            ("role/other", json!({ "bind_secret_id": false }), unbound),
            ("role/web/bind-secret-id", json!({ "bind_secret_id": false }), unbound),
            ("role/web/token-ttl", json!({ "token_ttl": 61 }), ttls),
            (
                "role/web",
                json!({ "secret_id_num_uses": -1 }),
                "secret_id_num_uses cannot be negative",
            ),
            (
                "role/web",
                json!({ "local_secret_ids": true }),
                "local_secret_ids can only be modified during role creation",
            ),
            ("role/web/role-id", json!({ "role_id": " " }), "missing role_id"),
        ] {
            let error = host.write(path, fields).await.unwrap_err();
            assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Invalid, text), "{path}");
        }
        for policy in ["root", "dev, Root "] {
            for path in ["role/web", "role/web/policies"] {
                for field in ["token_policies", "policies"] {
                    let error = host.write(path, json!({ field: policy })).await.unwrap_err();
                    assert_eq!(error.kind, ErrorKind::Invalid, "{path} {policy}");
                }
            }
        }
    })
    .await;
}

#[test]
async fn token_types_and_lifetimes_that_have_no_effect_are_warned_of() {
    Harness::run(blueprint(), |host| async move {
        for (given, kept) in [("default-service", "service"), ("default-batch", "batch")] {
            let got = host.write("role/web", json!({ "token_type": given })).await.unwrap();
            let text = format!("{given} has no useful meaning; adjusting to {kept}");
            assert_eq!(got.warnings, [text]);
            let shown = host.read("role/web").await.unwrap();
            assert_eq!(shown.text("token_type"), kept);
        }
        for field in ["token_max_ttl", "token_period"] {
            let fields = json!({ "token_type": "service", field: "1000h" });
            let got = host.write("role/long", fields).await.unwrap();
            assert!(got.warnings.iter().any(|it| it.contains("truncated")), "{:?}", got.warnings);
            host.delete("role/long").await.unwrap();
        }
    })
    .await;
}

#[test]
async fn a_role_id_belongs_to_one_role_and_can_be_moved() {
    Harness::run(blueprint(), |host| async move {
        let first = write_role(&host, "one", json!({ "role_id": " shared " })).await;
        assert_eq!(first, "shared");
        for path in ["role/two", "role/one-more"] {
            let error = host.write(path, json!({ "role_id": "shared" })).await.unwrap_err();
            assert_eq!(error.message, "role_id already in use", "{path}");
        }
        write_role(&host, "two", json!({})).await;
        let taken = host.write("role/two/role-id", json!({ "role_id": "shared" })).await;
        assert_eq!(taken.unwrap_err().message, "role_id already in use");
        // A role id that its role gave up, or whose role is gone, is free.
        host.write("role/one/role-id", json!({ "role_id": "own/../id \u{fc}" })).await.unwrap();
        host.write("role/two/role-id", json!({ "role_id": "shared" })).await.unwrap();
        for (role, role_id) in [("one", "own/../id \u{fc}"), ("two", "shared")] {
            let issued = issue(&host, role, json!({})).await;
            let got = log_in(&host, role_id, &issued.secret_id).await.unwrap();
            assert_eq!(got.login().metadata.get("role_name").unwrap(), role);
        }
        host.delete("role/two").await.unwrap();
        let again = write_role(&host, "three", json!({ "role_id": "shared" })).await;
        assert_eq!(again, "shared");
    })
    .await;
}
