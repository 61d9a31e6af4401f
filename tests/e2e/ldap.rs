//! The auth method `ldap`, with a real OpenLDAP: built in, and as a plug-in of a server of others.

use serde_json::{Value, json};
use strongroom_fakes::tls::FakeAuthority;
use strongroom_testkit::openldap::{READER, READER_PASSWORD};
use strongroom_testkit::{ApiClient, OpenLdap, ServerFolder};

use crate::peers::{PeerServer, Plugin};

const PASSWORD: &str = "correct horse battery staple";

/// A user in a group, and a user in none.
async fn start_directory(test: &str) -> Option<OpenLdap> {
    let person = |name: &str| {
        format!(
            "dn: uid={name},ou=people,dc=example\nobjectClass: inetOrgPerson\ncn: {name}\n\
             sn: {name}\nuid: {name}\nuserPassword: {PASSWORD}\n\n"
        )
    };
    let folder =
        |name: &str| format!("dn: ou={name},dc=example\nobjectClass: organizationalUnit\n\n");
    let entries = [
        folder("people"),
        folder("groups"),
        person("Sally"),
        person("bob"),
        "dn: cn=developers,ou=groups,dc=example\nobjectClass: groupOfNames\ncn: developers\n\
         member: uid=Sally,ou=people,dc=example\n\n"
            .to_owned(),
    ];
    let certificate = FakeAuthority::new().unwrap().issue_certificate("127.0.0.1").unwrap();
    OpenLdap::start(test, &entries.concat(), &certificate.cert, &certificate.key).await
}

/// Configures the method at `mount` for the directory.
async fn configure(api: &ApiClient, mount: &str, directory: &OpenLdap) {
    let config = json!({
        "url": directory.url(), "binddn": READER, "bindpass": READER_PASSWORD,
        "userdn": "ou=people,dc=example", "userattr": "uid",
        "groupdn": "ou=groups,dc=example", "token_ttl": "1h", "max_page_size": 5,
    });
    api.write(&format!("auth/{mount}/config"), config).await.assert_ok();
    let shown = api.read(&format!("auth/{mount}/config")).await.assert_ok();
    assert!(!shown.body.to_string().contains(READER_PASSWORD), "{shown:?}");
    let policies = json!({ "policies": "dev" });
    api.write(&format!("auth/{mount}/groups/developers"), policies).await.assert_ok();
}

async fn log_in(api: &ApiClient, mount: &str, user: &str, password: &str) -> Value {
    let path = format!("auth/{mount}/login/{user}");
    let answer = api.as_token("").write(&path, json!({ "password": password })).await;
    assert!(answer.status == 200 || answer.body["auth"].is_null(), "{answer:?}");
    answer.body
}

#[tokio::test]
async fn the_groups_of_a_directory_decide_what_its_users_may_do() {
    let test = "the_groups_of_a_directory_decide_what_its_users_may_do";
    let Some(directory) = start_directory(test).await else { return };
    let mut site = ServerFolder::new("");
    let (server, api) = site.start_unsealed().await;
    api.write("sys/auth/staff", json!({ "type": "ldap" })).await.assert_ok();
    configure(&api, "staff", &directory).await;
    let rules = r#"path "secret/data/dev" { capabilities = ["create", "read"] }"#;
    api.write("sys/policies/acl/dev", json!({ "policy": rules })).await.assert_ok();
    api.write("sys/mounts/secret", json!({ "type": "kv-v2" })).await.assert_ok();
    for (user, status) in [("sally", 200), ("bob", 403)] {
        let login = log_in(&api, "staff", user, PASSWORD).await;
        let client = api.as_token(login["auth"]["client_token"].as_str().unwrap());
        let written = client.write("secret/data/dev", json!({ "data": { "by": user } })).await;
        assert_eq!(written.status, status, "{user}: {written:?}");
        assert_eq!(login["auth"]["metadata"]["username"], user);
    }
    // A rotation of the account for searches leaves everything as it was, also after a crash.
    api.write("auth/staff/config/rotate-root", json!({})).await.assert_ok();
    assert!(!directory.accepts(READER, READER_PASSWORD));
    server.kill().await;
    let (server, api) = site.start_unsealed().await;
    let login = log_in(&api, "staff", "SALLY", PASSWORD).await;
    let sally = api.as_token(login["auth"]["client_token"].as_str().unwrap());
    sally.write("auth/token/renew-self", json!({})).await.assert_ok();
    directory.change("dn: cn=developers,ou=groups,dc=example\nchangetype: delete\n\n");
    let refused = sally.write("auth/token/renew-self", json!({})).await;
    assert!(refused.status >= 400, "the user has other policies now: {refused:?}");
    let text = "ldap operation failed: failed to bind as user";
    for user in ["bob", "BOB", " bob", "Bob", "bOb"] {
        assert_eq!(log_in(&api, "staff", user, "wrong").await["errors"], json!([text]));
    }
    let locked = log_in(&api, "staff", "bob", PASSWORD).await;
    assert_eq!(locked["errors"], json!(["permission denied"]));
    let log = site.read_log();
    assert!(!log.contains(PASSWORD) && !log.contains(READER_PASSWORD), "{log}");
    assert_eq!(server.stop().await, Some(0));
}

#[tokio::test]
async fn users_of_a_directory_log_in_under_a_real_peer() {
    let test = "users_of_a_directory_log_in_under_a_real_peer";
    let plugin = Plugin {
        kind: "auth",
        name: "ldap",
        binary: "strongroom-auth-ldap",
        version: "v1.0.0",
        path: "staff",
    };
    let Some(peer) = PeerServer::start(test, plugin).await else { return };
    let Some(directory) = start_directory(test).await else { return };
    configure(&peer.api, "staff", &directory).await;
    let login = log_in(&peer.api, "staff", "sally", PASSWORD).await;
    assert_eq!(login["auth"]["policies"], json!(["default", "dev"]), "{login}");
    let token = login["auth"]["client_token"].as_str().unwrap();
    let sally = peer.api.as_token(token);
    sally.write("auth/token/renew-self", json!({})).await.assert_ok();
    peer.api.write("auth/staff/config/rotate-root", json!({})).await.assert_ok();
    assert!(!directory.accepts(READER, READER_PASSWORD));
    peer.reload().await;
    sally.write("auth/token/renew-self", json!({})).await.assert_ok();
    let again = log_in(&peer.api, "staff", "SALLY", PASSWORD).await;
    assert_eq!(again["auth"]["entity_id"], login["auth"]["entity_id"]);
    let refused = log_in(&peer.api, "staff", "sally", "wrong").await;
    assert_eq!(refused["errors"], json!(["ldap operation failed: failed to bind as user"]));
    peer.unmount().await;
    peer.remove(&[PASSWORD, READER_PASSWORD, token]).await;
}
