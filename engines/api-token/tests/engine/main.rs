//! Runs the engine, built in and as a plug-in, against the token service of
//! `examples/token-service` and against services that misbehave.
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
use strongroom_sdk::testing::{TestHost, json};
use strongroom_sdk::{Clock, Secret, contract};
use token_service::{Config, RunningService, Service};

/// The API key that the service accepts.
const SERVICE_API_KEY: &str = "key-of-the-service";

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A token service that uses the host's clock.
async fn start_service(host: &TestHost, change: impl FnOnce(&mut Config)) -> RunningService {
    let clock: Arc<dyn Clock> = Arc::new(host.clock());
    let mut config = Config { clock, ..Config::new(Secret::from_text(SERVICE_API_KEY)) };
    change(&mut config);
    Service::start(config).await.unwrap()
}

/// A token service, and an engine that is configured for it and has a role.
async fn start_configured_service(host: &TestHost) -> RunningService {
    let service = start_service(host, |_| {}).await;
    configure_engine(host, &service.url()).await;
    service
}

async fn configure_engine(host: &TestHost, url: &str) {
    host.write("config", json!({ "api_endpoint": url, "api_key": SERVICE_API_KEY })).await.unwrap();
    let role = json!({ "permissions": "read,write", "ttl": "1m", "max_ttl": "10m" });
    host.write("roles/ci", role).await.unwrap();
}

#[tokio::test]
async fn keeps_to_the_contract() {
    let config = r#"{"api_endpoint":"http://127.0.0.1:1","api_key":"secret-key"}"#;
    let role = r#"{"permissions":["read"],"ttl":"1h"}"#;
    contract::check(blueprint(), &[("config", config), ("roles/ci", role)]).await;
}
