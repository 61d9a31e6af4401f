//! What a user may do, and that it ends with its lease.

use strongroom_sdk::Ttl;
use strongroom_sdk::testing::{Transport, json};

use super::with_rabbitmq;

#[tokio::test]
async fn a_user_has_what_its_role_grants_until_its_lease_ends() {
    with_rabbitmq("a_user_has_what_its_role_grants_until_its_lease_ends", |run| async move {
        let (host, rabbit) = (&run.host, run.rabbit);
        let role = json!({
            "tags": "management,policymaker",
            "vhosts": r#"{"/": {"configure": "^jobs-", "read": ".*"}}"#,
            "vhost_topics": { "/": { "amq.topic": { "write": "^a", "read": "^b" } } },
            "limits": { "max-connections": 3, "max-channels": 7 },
            "max_ttl": "10m",
        });
        run.write_role(role).await.unwrap();
        host.write("config/lease", json!({ "ttl": "2m", "max_ttl": "5m" })).await.unwrap();
        let got = run.issue().await.unwrap();
        let (name, password, lease) = (got.text("username"), got.text("password"), got.lease());
        assert_eq!(run.users().await, [&*name]);
        let (_, user) = rabbit.get(&format!("users/{name}")).await;
        assert_eq!(user["tags"], json!(["management", "policymaker"]));
        assert_eq!(user["limits"], json!({ "max-connections": 3, "max-channels": 7 }));
        let (_, all) = rabbit.get(&format!("users/{name}/permissions")).await;
        let jobs = json!({ "configure": "^jobs-", "write": "", "read": ".*", "vhost": "/" });
        assert_eq!(without_user(all), json!([jobs]));
        let (_, all) = rabbit.get(&format!("users/{name}/topic-permissions")).await;
        let topic = json!({ "exchange": "amq.topic", "write": "^a", "read": "^b", "vhost": "/" });
        assert_eq!(without_user(all), json!([topic]));
        // It logs in with this password only, and may configure only what the pattern matches.
        assert_eq!(rabbit.get_as(&name, &password, "whoami").await.0, 200);
        assert_eq!(rabbit.get_as(&name, "another", "whoami").await.0, 401);
        for (queue, status) in [(format!("jobs-{name}"), 201), (format!("mine-{name}"), 401)] {
            let path = format!("queues/%2F/{queue}");
            assert_eq!(rabbit.put_as(&name, &password, &path, &json!({})).await, status, "{queue}");
        }
        assert_eq!((lease.ttl, lease.max_ttl), (Ttl::from_secs(120), Ttl::from_secs(600)));
        let is_stored = lease.stored_data().contains(&password);
        assert_eq!(is_stored, host.transport() == Transport::Foreign, "as Vault stores it");
        host.renew(&lease.id, Ttl::ZERO).await.unwrap();
        host.revoke(&lease.id).await.unwrap();
        assert_eq!(rabbit.get_as(&name, &password, "whoami").await.0, 401);
        assert_eq!(rabbit.get(&format!("users/{name}")).await.0, 404);
        host.revoke_credential(lease).await.unwrap();
        let error = host.renew_credential(lease).await.unwrap_err();
        assert_eq!(error.message, "the user no longer exists in RabbitMQ; revoke the lease");
    })
    .await;
}

fn without_user(mut permissions: serde_json::Value) -> serde_json::Value {
    for one in permissions.as_array_mut().unwrap() {
        one.as_object_mut().unwrap().remove("user");
    }
    permissions
}
