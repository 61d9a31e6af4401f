//! The engine over all transports, against the service of `examples/token-service`.
#![expect(clippy::unwrap_used, reason = "a test may be blunt")]

use std::sync::Arc;

use strongroom_example_ported_engine::blueprint;
use strongroom_sdk::testing::{Harness, TestHost, Transport, json};
use strongroom_sdk::{Secret, contract};
use token_service::{Config, RunningService, Service};

async fn start_service(host: &TestHost) -> RunningService {
    let config = Config { clock: Arc::new(host.clock()), ..Config::new(Secret::from_text("key")) };
    let service = Service::start(config).await.unwrap();
    let access = json!({ "api_endpoint": service.url(), "api_key": "key" });
    host.write("config", access).await.unwrap();
    host.write("roles/dev", json!({ "permissions": "read,write" })).await.unwrap();
    service
}

#[tokio::test]
async fn a_token_ends_with_its_lease_or_when_it_gets_none() {
    Harness::run(blueprint(), |host| async move {
        let service = start_service(&host).await;
        let issued = host.read("creds/dev").await.unwrap();
        assert_eq!(service.stats().await.live, 1);
        host.revoke(&issued.lease().id).await.unwrap();
        assert_eq!(service.stats().await.live, 0);
        if host.transport() == Transport::Foreign {
            return; // A crash of Vault itself before it writes the lease leaves the token behind.
        }
        host.crash_at_next_lease();
        assert!(host.read("creds/dev").await.is_err());
        host.reopen().await;
        host.settle_intents().await;
        let stats = service.stats().await;
        assert_eq!((stats.created, stats.live), (2, 0));
    })
    .await;
}

#[tokio::test]
async fn keeps_to_the_contract() {
    let config = r#"{"api_endpoint":"http://127.0.0.1:1","api_key":"secret-key"}"#;
    contract::check(blueprint(), &[("config", config), ("roles/dev", r#"{"ttl":"1h"}"#)]).await;
}
