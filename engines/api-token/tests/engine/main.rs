//! The engine against the token service of `examples/token-service`, and against services that
//! misbehave, linked in and over the wire.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may be blunt, and so may what it is made of"
)]

mod failures;
mod hostile;
mod tokens;

use std::sync::Arc;
use std::time::Duration;

use strongroom_engine_api_token::blueprint;
use strongroom_sdk::testing::{Host, json};
use strongroom_sdk::{Clock, Secret, contract};
use token_service::{Config, Running, Service};

/// What opens the service.
const KEY: &str = "key-of-the-service";

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A token service that goes by the host's clock.
async fn service(host: &Host, change: impl FnOnce(&mut Config)) -> Running {
    let clock: Arc<dyn Clock> = Arc::new(host.clock());
    let mut config = Config { clock, ..Config::new(Secret::from_text(KEY)) };
    change(&mut config);
    Service::start(config).await.unwrap()
}

/// A service, and an engine that knows it and has a role.
async fn ready(host: &Host) -> Running {
    let service = service(host, |_| {}).await;
    configure(host, &service.url()).await;
    service
}

async fn configure(host: &Host, url: &str) {
    host.write("config", json!({ "api_endpoint": url, "api_key": KEY })).await.unwrap();
    let role = json!({ "permissions": "read,write", "ttl": "1m", "max_ttl": "10m" });
    host.write("roles/ci", role).await.unwrap();
}

#[tokio::test]
async fn keeps_to_the_contract() {
    let config = r#"{"api_endpoint":"http://127.0.0.1:1","api_key":"secret-key"}"#;
    let role = r#"{"permissions":["read"],"ttl":"1h"}"#;
    contract::check(blueprint(), &[("config", config), ("roles/ci", role)]).await;
}
