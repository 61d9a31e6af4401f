//! `config`, `users/` and `groups/`.

use strongroom_auth_ldap::blueprint;
use strongroom_fakes::tls::FakeAuthority;
use strongroom_sdk::contract;
use strongroom_sdk::testing::{ErrorKind, Harness, json};

#[tokio::test]
async fn contract_of_the_sdk() {
    let config =
        r#"{"url":"ldap://127.0.0.1:1","binddn":"cn=a","bindpass":"hunter2","userdn":"dc=c"}"#;
    let samples = [
        ("config", config),
        ("users/bob", r#"{"policies":"dev","groups":"a,b"}"#),
        ("groups/admins", r#"{"policies":"dev"}"#),
    ];
    contract::check(blueprint(), &samples).await;
}

#[tokio::test]
async fn the_configuration_has_the_defaults_of_vault_and_shows_no_secret() {
    let authority = FakeAuthority::new().unwrap();
    let certified = authority.issue_certificate("client").unwrap();
    Harness::run(blueprint(), |host| {
        let (ca, cert, key) = (authority.cert_pem(), certified.cert.clone(), certified.key.clone());
        async move {
            let config = json!({
                "url": "LDAPS://Ldap.Example", "bindpass": "hunter2", "userattr": "sAMAccountName",
                "certificate": ca, "client_tls_cert": cert, "client_tls_key": key,
            });
            host.write("config", config).await.unwrap();
            let shown = host.read("config").await.unwrap();
            let text = shown.data_json();
            assert!(!text.contains("hunter2") && !text.contains("PRIVATE KEY"), "{text}");
            for (name, value) in [
                ("url", r#""ldaps://ldap.example""#),
                ("userattr", r#""samaccountname""#),
                ("groupattr", r#""cn""#),
                ("userfilter", r#""({{.UserAttr}}={{.Username}})""#),
                (
                    "groupfilter",
                    r#""(|(memberUid={{.Username}})(member={{.UserDN}})(uniqueMember={{.UserDN}}))""#,
                ),
                ("request_timeout", "90"),
                ("connection_timeout", "30"),
                ("deny_null_bind", "true"),
                ("tls_min_version", r#""tls12""#),
                ("tls_max_version", r#""tls12""#),
                ("dereference_aliases", r#""never""#),
                ("max_page_size", "0"),
                ("case_sensitive_names", "false"),
                ("token_type", r#""default""#),
            ] {
                assert_eq!(shown.field_json(name), value, "{name}");
            }
            // A write changes what it contains.
            host.write("config", json!({ "token_ttl": "5m" })).await.unwrap();
            let shown = host.read("config").await.unwrap();
            assert_eq!(shown.field_json("token_ttl"), "300");
            assert_eq!(shown.field_json("url"), r#""ldaps://ldap.example""#);
        }
    })
    .await;
}

#[tokio::test]
async fn what_the_method_does_not_do_is_refused() {
    Harness::run(blueprint(), |host| async move {
        for (fields, text) in [
            (json!({ "insecure_tls": true }), "insecure_tls can't be set"),
            (json!({ "deny_null_bind": false }), "deny_null_bind can't be false"),
            (json!({ "url": "http://a" }), "url must be one address"),
            (json!({ "url": "ldap://a/ou=people" }), "url must be one address"),
            (json!({ "tls_min_version": "tls13" }), "'tls_max_version' must be greater"),
            (json!({ "tls_min_version": "tls10", "tls_max_version": "tls11" }), "older versions"),
            (json!({ "tls_max_version": "ssl3" }), "tls_max_version"),
            (json!({ "certificate": "hunter2" }), "certificate is no certificate in PEM"),
            (json!({ "client_tls_key": "hunter2" }), "both client_tls_cert and client_tls_key"),
            (json!({ "userfilter": "(uid={{.UserDN}})" }), "invalid userfilter"),
            (json!({ "userfilter": "uid=a" }), "invalid userfilter"),
            (json!({ "groupfilter": "({{range .Groups}})" }), "invalid groupfilter"),
            (json!({ "userattr": "uid=*)(a" }), "userattr and groupattr"),
            (json!({ "request_timeout": 0 }), "at least one second"),
            (json!({ "dereference_aliases": "sometimes" }), "dereference_aliases"),
            (json!({ "token_policies": "Root" }), "root"),
        ] {
            let error = host.write("config", fields).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Invalid, "{text}");
            assert!(error.message.contains(text), "{text}: {}", error.message);
            assert!(!error.message.contains("hunter2"), "{}", error.message);
        }
        let odd = host.write("config", json!({ "userfilter": "(mail={{.Username}})" })).await;
        assert!(odd.unwrap().warnings.iter().any(|it| it.contains("colliding entity aliases")));
        host.write("config", json!({ "tls_max_version": "tls13", "tls_min_version": "tls10" }))
            .await
            .unwrap();
    })
    .await;
}

#[tokio::test]
async fn users_and_groups_are_stored_in_lower_case_unless_case_matters() {
    Harness::run(blueprint(), |host| async move {
        let user = json!({ "groups": "Ops, dev,Ops", "policies": "B,a" });
        host.write("users/Bob", user).await.unwrap();
        let shown = host.read("users/BOB").await.unwrap();
        assert_eq!(shown.field_json("groups"), r#""dev,ops""#);
        assert_eq!(shown.field_json("policies"), r#"["a","b"]"#);
        host.write("groups/Team/Admins", json!({ "policies": "admin" })).await.unwrap();
        assert_eq!(host.list("users").await.unwrap(), ["bob"]);
        assert_eq!(host.list("groups").await.unwrap(), ["team/admins"]);
        assert_eq!(host.list("groups/team").await.unwrap(), ["admins"]);
        let error = host.write("groups/admins", json!({ "policies": "ROOT" })).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid);
        host.delete("users/bOb").await.unwrap();
        assert_eq!(host.read("users/bob").await.unwrap_err().kind, ErrorKind::NotFound);

        host.write("config", json!({ "case_sensitive_names": true })).await.unwrap();
        host.write("users/Bob", json!({ "policies": "x" })).await.unwrap();
        assert_eq!(host.read("users/bob").await.unwrap_err().kind, ErrorKind::NotFound);
        assert_eq!(host.list("users").await.unwrap(), ["Bob"]);
    })
    .await;
}
