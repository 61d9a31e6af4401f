//! The engine `rabbitmq`, with a real RabbitMQ: linked in, as a plug-in, and under a server of others.

use serde_json::json;
use strongroom_testkit::{ApiClient, RabbitMq, ServerFolder};

use crate::peers::{PeerServer, Plugin};

const ENGINE: &str = "strongroom-engine-rabbitmq";

#[tokio::test]
async fn users_of_rabbitmq_end_with_their_leases_under_our_server() {
    let test = "users_of_rabbitmq_end_with_their_leases_under_our_server";
    let Some(rabbit) = RabbitMq::shared(test).await else { return };
    let mut site = ServerFolder::new("");
    let (server, api) = site.start_unsealed().await;
    api.write("sys/mounts/linked", json!({ "type": "rabbitmq" })).await.assert_ok();
    check_engine(&api, rabbit, "linked").await;
    assert!(server.child_processes().is_empty(), "it is linked in");
    let sha256 = site.install_plugin(&strongroom_testkit::programs::program_path(ENGINE));
    let body = json!({ "sha256": sha256, "command": ENGINE });
    api.write("sys/plugins/catalog/secret/plugged-rabbitmq", body).await.assert_ok();
    api.write("sys/mounts/plugged", json!({ "type": "plugged-rabbitmq" })).await.assert_ok();
    check_engine(&api, rabbit, "plugged").await;
    assert_eq!(server.child_processes().len(), 1, "it is a process");
    // A new server finds the password that a rotation set, and the leases.
    let left = api.read("linked/creds/linked").await.assert_ok();
    server.kill().await;
    let (server, api) = site.start_unsealed().await;
    let body = json!({ "lease_id": left.text_at("lease_id"), "sync": true });
    api.write("sys/leases/revoke", body).await.assert_ok();
    for role in ["linked", "plugged"] {
        let left = rabbit.user_names(&format!("strongroom-{role}-")).await;
        assert_eq!(left, Vec::<String>::new());
    }
    assert!(!site.read_log().contains(&left.text_at("data/password")), "the log has no password");
    assert_eq!(server.stop().await, Some(0));
}

#[tokio::test]
async fn users_of_rabbitmq_end_with_their_leases_under_a_real_peer() {
    let test = "users_of_rabbitmq_end_with_their_leases_under_a_real_peer";
    let plugin = Plugin {
        kind: "secret",
        name: "rabbitmq",
        binary: ENGINE,
        version: "v1.0.0",
        path: "peer",
    };
    let Some(peer) = PeerServer::start(test, plugin).await else { return };
    let Some(rabbit) = RabbitMq::shared(test).await else { return };
    check_engine(&peer.api, rabbit, "peer").await;
    peer.reload().await;
    peer.unmount().await;
    peer.remove(&[]).await;
}

/// Configures the engine at `mount` with a role of the same name, rotates the password of its administrator, and has a user
/// created, renewed and deleted.
async fn check_engine(api: &ApiClient, rabbit: &RabbitMq, mount: &str) {
    let connection = rabbit.create_administrator(&format!("e2e-{mount}")).await;
    let first_password = connection["password"].as_str().unwrap();
    api.write(&format!("{mount}/config/connection"), connection.clone()).await.assert_ok();
    let shown = api.read(&format!("{mount}/config/connection")).await.assert_ok();
    assert!(!shown.body.to_string().contains(first_password), "the password is not shown");
    api.write(&format!("{mount}/config/rotate-root"), json!({})).await.assert_ok();
    let (login, _) = rabbit.get_as(&format!("e2e-{mount}"), first_password, "whoami").await;
    assert_eq!(login, 401, "the password is another one");
    let role = json!({ "tags": "management", "vhosts": r#"{"/": {"read": ".*"}}"#, "ttl": "1h" });
    api.write(&format!("{mount}/roles/{mount}"), role).await.assert_ok();
    let credential = api.read(&format!("{mount}/creds/{mount}")).await.assert_ok();
    let (lease, name) = (credential.text_at("lease_id"), credential.text_at("data/username"));
    let password = credential.text_at("data/password");
    assert_eq!(credential.body["lease_duration"], 3600);
    assert_eq!(rabbit.get_as(&name, &password, "whoami").await.0, 200);
    let body = json!({ "lease_id": lease, "increment": 7200 });
    api.write("sys/leases/renew", body).await.assert_ok();
    api.write("sys/leases/revoke", json!({ "lease_id": lease, "sync": true })).await.assert_ok();
    assert_eq!(rabbit.get_as(&name, &password, "whoami").await.0, 401);
    assert_eq!(api.read(&format!("{mount}/creds/nobody")).await.status, 400);
    check_static_user(api, rabbit, mount).await;
}

/// Has the password of a user that exists already rotated.
async fn check_static_user(api: &ApiClient, rabbit: &RabbitMq, mount: &str) {
    let user = &*format!("e2e-{mount}-app");
    let known = rabbit.create_administrator(user).await["password"].as_str().unwrap().to_owned();
    let body = json!({ "username": user, "rotation_period": "1h" });
    api.write(&format!("{mount}/static-roles/app"), body).await.assert_ok();
    let read = async || {
        let read = api.read(&format!("{mount}/static-creds/app")).await.assert_ok();
        read.text_at("data/password")
    };
    let first = read().await;
    api.write(&format!("{mount}/rotate-role/app"), json!({})).await.assert_ok();
    let second = read().await;
    for (password, status) in [(&known, 401), (&first, 401), (&second, 200)] {
        assert_eq!(rabbit.get_as(user, password, "whoami").await.0, status);
    }
    api.delete(&format!("{mount}/static-roles/app")).await.assert_ok();
}
