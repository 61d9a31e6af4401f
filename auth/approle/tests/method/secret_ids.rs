//! Secret ids: how they are issued, listed, looked up and destroyed.

use strongroom_auth_approle::blueprint;
use strongroom_sdk::engine::Operation;
use strongroom_sdk::testing::{ErrorKind, Harness, json};
use tokio::test;

use crate::{assert_refused, issue, log_in, look_up, write_role};

#[test]
async fn a_secret_id_has_the_properties_it_was_issued_with() {
    Harness::run(blueprint(), |host| async move {
        write_role(&host, "web", json!({ "secret_id_num_uses": 5, "secret_id_ttl": "10m" })).await;
        let fields = json!({
            "metadata": r#"{"team": "a", "n": 7}"#,
            "num_uses": 2,
            "ttl": 300,
            "cidr_list": "10.0.0.0/8,11.0.0.1/32",
            "token_bound_cidrs": ["10.1.0.0/16", "::1"],
        });
        let got = host.write("role/web/secret-id", fields).await.unwrap();
        assert_eq!(got.field_json("secret_id_num_uses"), "2");
        assert_eq!(got.field_json("secret_id_ttl"), "300");
        let shown = look_up(&host, "web", &got.text("secret_id")).await.unwrap();
        let now = host.now();
        let ends = now.plus(std::time::Duration::from_secs(300));
        for (field, value) in [
            ("secret_id_accessor", json!(got.text("secret_id_accessor"))),
            ("secret_id_num_uses", json!(2)),
            ("secret_id_ttl", json!(300)),
            ("cidr_list", json!(["10.0.0.0/8", "11.0.0.1/32"])),
            ("token_bound_cidrs", json!(["10.1.0.0/16", "::1/128"])),
            ("metadata", json!({ "team": "a", "n": "7" })),
            ("creation_time", json!(now.to_rfc3339())),
            ("last_updated_time", json!(now.to_rfc3339())),
            ("expiration_time", json!(ends.to_rfc3339())),
        ] {
            let shown: serde_json::Value = serde_json::from_str(shown.field_json(field)).unwrap();
            assert_eq!(shown, value, "{field}");
        }
        let by_accessor = host
            .write(
                "role/web/secret-id-accessor/lookup",
                json!({ "secret_id_accessor": got.text("secret_id_accessor") }),
            )
            .await
            .unwrap();
        assert_eq!(by_accessor.data_json(), shown.data_json());
        assert!(!shown.data_json().contains(&got.text("secret_id")));
    })
    .await;
}

#[test]
async fn the_role_limits_what_a_secret_id_may_have() {
    Harness::run(blueprint(), |host| async move {
        let role = json!({
            "secret_id_num_uses": 5,
            "secret_id_ttl": "10m",
            "secret_id_bound_cidrs": "10.0.0.0/8",
            "token_bound_cidrs": "10.0.0.0/16",
        });
        write_role(&host, "web", role).await;
        let uses = "num_uses cannot be higher than the role's secret_id_num_uses";
        let ttl = "ttl cannot be longer than the role's secret_id_ttl";
        let subset = "failed to verify subset relationship between CIDR blocks on the role";
        for (fields, text) in [
            (json!({ "num_uses": 6 }), uses),
            (json!({ "num_uses": 0 }), uses),
            (json!({ "num_uses": -1 }), "num_uses cannot be negative"),
            (json!({ "ttl": "11m" }), ttl),
            (json!({ "ttl": 0 }), ttl),
            (json!({ "cidr_list": "11.0.0.0/16" }), subset),
            (json!({ "cidr_list": "10.0.0.0/16,0.0.0.0/0" }), subset),
            (json!({ "token_bound_cidrs": "10.0.0.0/8" }), subset),
            (json!({ "cidr_list": "nowhere" }), "error converting input for field \"cidr_list\""),
            (json!({ "metadata": "no pairs" }), "error converting input for field \"metadata\""),
            (json!({ "metadata": "{\"a\": [1]}" }), "error converting input"),
        ] {
            for path in ["role/web/secret-id", "role/web/custom-secret-id"] {
                let mut fields = fields.clone();
                fields["secret_id"] = json!("chosen");
                let error = host.write(path, &fields).await.unwrap_err();
                assert_eq!(error.kind, ErrorKind::Invalid);
                assert!(error.message.starts_with(text), "{}", error.message);
            }
        }
        let own = host.write("role/web/secret-id", json!({ "num_uses": null })).await.unwrap();
        assert_eq!(own.field_json("secret_id_num_uses"), "5");
        assert_eq!(own.field_json("secret_id_ttl"), "600");
        // The lifetime that the mount allows applies, too.
        host.write("role/web/secret-id-ttl", json!({ "secret_id_ttl": "1000h" })).await.unwrap();
        let long = host.write("role/web/secret-id", json!({})).await.unwrap();
        assert_eq!(long.field_json("secret_id_ttl"), (32 * 24 * 3600).to_string());
    })
    .await;
}

#[test]
async fn a_secret_id_may_be_chosen_by_the_operator_once() {
    Harness::run(blueprint(), |host| async move {
        let role_id = write_role(&host, "web", json!({})).await;
        let path = "role/web/custom-secret-id";
        for missing in [json!({}), json!({ "secret_id": "" }), json!({ "secret_id": "  " })] {
            let error = host.write(path, missing).await.unwrap_err();
            assert_eq!(error.message, "missing secret_id");
        }
        let too_long = json!({ "secret_id": "x".repeat(4097) });
        assert_eq!(host.write(path, too_long).await.unwrap_err().kind, ErrorKind::Invalid);
        let chosen = json!({ "secret_id": " chosen ", "metadata": "a=b", "ttl": 60 });
        let got = host.write(path, &chosen).await.unwrap();
        assert_eq!(got.text("secret_id"), " chosen ");
        let again = host.write(path, &chosen).await.unwrap_err();
        assert_eq!(again.message, "SecretID is already registered");
        // White space around it doesn't count, at a login and at a look-up.
        assert!(look_up(&host, "web", "chosen ").await.is_some());
        let login = log_in(&host, &format!(" {role_id} "), "chosen").await.unwrap();
        assert_eq!(login.login().metadata.get("a").unwrap(), "b");
        // Once it has expired it is replaced, with another accessor.
        host.advance(std::time::Duration::from_secs(61)).await;
        let new = host.write(path, &chosen).await.unwrap();
        let accessors = host.list("role/web/secret-id").await.unwrap();
        assert_eq!(accessors, [new.text("secret_id_accessor")]);
        log_in(&host, &role_id, "chosen").await.unwrap();
    })
    .await;
}

#[test]
async fn roles_that_are_unknown_or_need_no_secret_id_have_none() {
    Harness::run(blueprint(), |host| async move {
        for path in [
            "role/nobody/secret-id",
            "role/nobody/custom-secret-id",
            "role/nobody/secret-id/lookup",
            "role/nobody/secret-id/destroy",
            "role/nobody/secret-id-accessor/lookup",
            "role/nobody/secret-id-accessor/destroy",
        ] {
            let body = json!({ "secret_id": "a", "secret_id_accessor": "a" });
            let error = host.write(path, body).await.unwrap_err();
            assert_eq!(error.message, "role \"nobody\" does not exist", "{path}");
        }
        let error = host.list("role/nobody/secret-id").await.unwrap_err();
        assert_eq!(error.message, "role \"nobody\" does not exist");
        let unbound = json!({ "bind_secret_id": false, "token_bound_cidrs": "127.0.0.1" });
        write_role(&host, "web", unbound).await;
        let error = host.write("role/web/secret-id", json!({})).await.unwrap_err();
        assert_eq!(error.message, "bind_secret_id is not set on the role");
    })
    .await;
}

#[test]
async fn accessors_are_listed_in_pages() {
    Harness::run(blueprint(), |host| async move {
        write_role(&host, "web", json!({})).await;
        write_role(&host, "other", json!({})).await;
        assert_eq!(host.list("role/web/secret-id").await.unwrap_err().kind, ErrorKind::NotFound);
        let mut accessors = Vec::new();
        for _ in 0..5 {
            accessors.push(issue(&host, "web", json!({})).await.accessor);
            issue(&host, "other", json!({})).await;
        }
        accessors.sort();
        assert_eq!(host.list("role/WEB/secret-id/").await.unwrap(), accessors);
        let mut pages: Vec<String> = Vec::new();
        loop {
            let after = pages.last().cloned().unwrap_or_default();
            let page = json!({ "after": after, "limit": 2 });
            let Ok(page) = host.list_page("role/web/secret-id", page).await else { break };
            assert!(page.len() <= 2);
            pages.extend(page);
        }
        assert_eq!(pages, accessors);
    })
    .await;
}

#[test]
async fn unknown_secret_ids_and_accessors_are_told_apart_by_their_status() {
    Harness::run(blueprint(), |host| async move {
        write_role(&host, "web", json!({})).await;
        assert!(look_up(&host, "web", "nothing").await.is_none());
        let lookup = "role/web/secret-id-accessor/lookup";
        let destroy = "role/web/secret-id-accessor/destroy";
        for accessor in ["nothing", "../web", "0b1c2d3e-0000-4000-8000-00000000000a"] {
            let body = json!({ "secret_id_accessor": accessor });
            let text =
                format!("failed to find accessor entry for secret_id_accessor: {accessor:?}");
            let error = host.write(lookup, &body).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::NotFound);
            assert_eq!(error.data, json!({ "error": text }).to_string());
            let error = host.write(destroy, &body).await.unwrap_err();
            assert_eq!(error.message, text);
        }
        for (path, text) in [
            ("role/web/secret-id/lookup", "missing secret_id"),
            ("role/web/secret-id/destroy", "missing secret_id"),
            (lookup, "missing secret_id_accessor"),
            (destroy, "missing secret_id_accessor"),
        ] {
            assert_eq!(host.write(path, json!({})).await.unwrap_err().message, text);
        }
        // Destroying what isn't there is no error.
        host.write("role/web/secret-id/destroy", json!({ "secret_id": "x" })).await.unwrap();
    })
    .await;
}

#[test]
async fn a_destroyed_secret_id_leaves_nothing() {
    Harness::run(blueprint(), |host| async move {
        let role_id = write_role(&host, "web", json!({})).await;
        issue(&host, "web", json!({})).await;
        let before = host.stored_keys();
        for operation in [Operation::Update, Operation::Delete] {
            for by_accessor in [false, true] {
                let issued = issue(&host, "web", json!({ "ttl": 60 })).await;
                log_in(&host, &role_id, &issued.secret_id).await.unwrap();
                let (path, body) = match by_accessor {
                    true => (
                        "role/web/secret-id-accessor/destroy",
                        json!({ "secret_id_accessor": issued.accessor }),
                    ),
                    false => {
                        ("role/web/secret-id/destroy", json!({ "secret_id": issued.secret_id }))
                    }
                };
                host.send(operation, path, body).await.unwrap();
                assert_refused(&host, &role_id, &issued.secret_id).await;
                assert_eq!(host.stored_keys(), before);
            }
        }
    })
    .await;
}

/// The accessor of another role's secret id gives nothing.
#[test]
async fn cve_2023_24999_an_accessor_is_of_its_role_only() {
    Harness::run(blueprint(), |host| async move {
        let role_id = write_role(&host, "web", json!({})).await;
        write_role(&host, "other", json!({})).await;
        let issued = issue(&host, "web", json!({})).await;
        let body = json!({ "secret_id_accessor": issued.accessor });
        let found = host.write("role/other/secret-id-accessor/lookup", &body).await;
        assert_eq!(found.unwrap_err().kind, ErrorKind::NotFound);
        let error = host.write("role/other/secret-id-accessor/destroy", &body).await.unwrap_err();
        assert!(error.message.contains("failed to find accessor entry"), "{}", error.message);
        assert!(look_up(&host, "other", &issued.secret_id).await.is_none());
        let by_secret = json!({ "secret_id": issued.secret_id });
        host.write("role/other/secret-id/destroy", by_secret).await.unwrap();
        log_in(&host, &role_id, &issued.secret_id).await.unwrap();
    })
    .await;
}

#[test]
async fn storage_contains_no_secret_id() {
    Harness::run(blueprint(), |host| async move {
        write_role(&host, "web", json!({})).await;
        let issued = issue(&host, "web", json!({ "ttl": 60 })).await;
        host.write("role/web/custom-secret-id", json!({ "secret_id": "chosen-one" }))
            .await
            .unwrap();
        for key in host.stored_keys() {
            let value = host.stored_entry(&key).unwrap().value;
            let value = String::from_utf8_lossy(&value).into_owned();
            for secret in [issued.secret_id.as_str(), "chosen-one"] {
                assert!(!key.contains(secret) && !value.contains(secret), "{key}");
            }
        }
    })
    .await;
}

#[test]
async fn local_secret_ids_are_declared_as_local() {
    Harness::run(blueprint(), |host| async move {
        let role_id = write_role(&host, "web", json!({ "local_secret_ids": true })).await;
        issue(&host, "web", json!({})).await;
        let before = host.stored_keys();
        let issued = issue(&host, "web", json!({ "ttl": 60 })).await;
        let local = host.description().special_paths.local_storage;
        let new: Vec<String> =
            host.stored_keys().into_iter().filter(|key| !before.contains(key)).collect();
        assert_eq!(new.len(), 3, "{new:?}");
        for key in &new {
            assert!(local.iter().any(|folder| key.starts_with(folder)), "{key} {local:?}");
        }
        log_in(&host, &role_id, &issued.secret_id).await.unwrap();
        assert!(host.list("role/web/secret-id").await.unwrap().contains(&issued.accessor));
    })
    .await;
}
