//! The token service, run in the test's own process, so that it survives processes the test kills.

use std::time::Duration;

use serde_json::Value;
use strongroom_types::Secret;
use token_service::{Config, Service};

/// A running token service, which stops when it is dropped.
pub struct ExternalTokenService {
    running: token_service::RunningService,
    http: reqwest::Client,
}

const KEY: &str = "key-of-the-token-service";

impl ExternalTokenService {
    /// Starts a service that responds without delay.
    pub async fn start() -> Self {
        Self::with_delays(Duration::ZERO, Duration::ZERO).await
    }

    /// Starts a service that waits before each change, and again before its response. Tests use the
    /// delays to interrupt a request in between.
    pub async fn with_delays(before: Duration, after: Duration) -> Self {
        let mut config = Config::new(Secret::from_text(KEY));
        config.delay_before = before;
        config.delay_after = after;
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { running: Service::start(config).await.unwrap(), http }
    }

    /// The base URL of the service.
    pub fn url(&self) -> String {
        self.running.url()
    }

    /// The API key that the service accepts.
    pub fn api_key(&self) -> &'static str {
        KEY
    }

    /// Reads one of its counters: `created`, `deleted`, `renewed` or `live`. Fails the test if the
    /// service does not respond or has no such counter.
    pub async fn read_count(&self, what: &str) -> u64 {
        let call = self.http.get(format!("{}/stats", self.url())).bearer_auth(KEY);
        let stats = call.send().await.unwrap().bytes().await.unwrap();
        let stats: Value = serde_json::from_slice(&stats).unwrap();
        stats.pointer(&format!("/{what}")).and_then(Value::as_u64).unwrap()
    }

    /// Whether the service accepts this token.
    pub async fn has_token(&self, token: &str) -> bool {
        let call = self.http.get(format!("{}/self", self.url())).bearer_auth(token);
        call.send().await.unwrap().status().is_success()
    }
}
