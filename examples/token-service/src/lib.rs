//! A small HTTP API that issues tokens: the external system whose credentials the tutorial's engine
//! manages. It knows nothing of Strongroom. As a library, it runs in a test's own process.
//!
//! Every path but `/self` requires the API key as `Authorization: Bearer …`:
//!
//! | request | answer |
//! |---|---|
//! | `POST /tokens {name, permissions, ttl}` | 201 `{id, name, token, permissions, created_at, expires_at}`; 409 while a live token has this name; 507 if there are too many |
//! | `GET /tokens`, `GET /tokens?name=` | `{tokens: [{id, name, permissions, created_at, expires_at}]}` |
//! | `GET /tokens/{id}` | one of those |
//! | `POST /tokens/{id}/renew {ttl}` | the same; it now expires `ttl` seconds from now |
//! | `DELETE /tokens/{id}` | 204 |
//! | `GET /stats` | `{created, deleted, renewed, live}` |
//! | `GET /self`, with a token as bearer | `{id, name, permissions, expires_at}` |
//!
//! A `ttl` is in seconds; a missing or zero one means an hour. An expired token no longer exists.
//! Errors are `{"error": "why"}`: 400 for a bad request, 401 without a key or token, 404 for an
//! unknown id.
//!
//! A change is carried out even if the caller disconnects, and its response is sent only once the
//! state file (if there is one) would survive a power failure.
//!
//! It speaks plain HTTP: keep it on one machine, or put it behind a TLS proxy.
//!
//! - `tokens`: the tokens in memory, with an index for each look-up
//! - `store`: the operations on tokens, and the state file
//! - `api`: the HTTP API
#![deny(missing_docs)]

mod api;
mod store;
mod tokens;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use strongroom_types::{Clock, Secret, SystemClock, Timestamp};
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

pub use crate::store::ServiceStats;
use crate::store::{StoreError, TokenRegistry};

/// The configuration of a token service.
pub struct Config {
    /// The address to listen on; port 0 takes a free one.
    pub addr: SocketAddr,
    /// The API key that callers must send.
    pub api_key: Secret<String>,
    /// The file that keeps tokens across restarts. `None` keeps them in memory only. Two services
    /// must not share a file.
    pub state: Option<PathBuf>,
    /// The maximum number of live tokens; more are refused.
    pub max_tokens: usize,
    /// The clock for token expiry and for the delays.
    pub clock: Arc<dyn Clock>,
    /// For tests: the delay before each change of state, in which a test can kill the caller. The
    /// change happens nevertheless.
    pub delay_before: Duration,
    /// For tests: the delay between each change of state and its response, in which a test can kill
    /// a caller that owns a new token and will never receive it.
    pub delay_after: Duration,
}

impl Config {
    /// A service on a free port of this machine that keeps its state in memory.
    pub fn new(api_key: Secret<String>) -> Self {
        Self {
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            api_key,
            state: None,
            max_tokens: 10_000,
            clock: Arc::new(SystemClock),
            delay_before: Duration::ZERO,
            delay_after: Duration::ZERO,
        }
    }

    /// Reads the environment: `TOKEN_SERVICE_API_KEY`, and optionally `TOKEN_SERVICE_ADDR`
    /// (default 127.0.0.1:8090), `TOKEN_SERVICE_STATE`, and for tests
    /// `TOKEN_SERVICE_DELAY_BEFORE_MS` and `TOKEN_SERVICE_DELAY_AFTER_MS`.
    pub fn from_env(var: impl Fn(&str) -> Option<String>) -> Result<Self, StartError> {
        let var = |name| var(name).filter(|value| !value.is_empty());
        let millis = |name| {
            let millis = var(name).map_or(Ok(0), |text| text.parse());
            millis.map(Duration::from_millis).map_err(|_| StartError::Invalid(name))
        };
        let mut config = Self::new(Secret::new(var(API_KEY).ok_or(StartError::NoKey)?));
        config.addr = var(ADDR)
            .map_or(Ok(SocketAddr::from(([127, 0, 0, 1], 8090))), |text| text.parse())
            .map_err(|_| StartError::Invalid(ADDR))?;
        config.state = var("TOKEN_SERVICE_STATE").map(PathBuf::from);
        config.delay_before = millis("TOKEN_SERVICE_DELAY_BEFORE_MS")?;
        config.delay_after = millis("TOKEN_SERVICE_DELAY_AFTER_MS")?;
        Ok(config)
    }
}

/// Why a service doesn't start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// There is no API key, so nobody could use the service.
    #[error("set {API_KEY} to the key that callers must show")]
    NoKey,
    /// A variable has an invalid value.
    #[error(
        "{0} is not valid: an address is like 127.0.0.1:8090, a delay a number of milliseconds"
    )]
    Invalid(&'static str),
    /// The state file can't be read or written, or has another format; it is then left unchanged.
    #[error("the state file can't be used: {0}")]
    State(#[source] io::Error),
    /// The service can't listen on its address.
    #[error("can't listen: {0}")]
    Listen(#[source] io::Error),
}

/// A token service; see [`Service::start`].
pub struct Service {
    api_key: Secret<String>,
    clock: Arc<dyn Clock>,
    delay_before: Duration,
    delay_after: Duration,
    store: Arc<Mutex<TokenRegistry>>,
    tasks: TaskTracker,
}

impl Service {
    /// Starts the service; it accepts requests when this returns.
    pub async fn start(config: Config) -> Result<RunningService, StartError> {
        if config.api_key.expose_secret().is_empty() {
            return Err(StartError::NoKey);
        }
        let store =
            TokenRegistry::open(config.state, config.max_tokens).map_err(StartError::State)?;
        let listener = TcpListener::bind(config.addr).await.map_err(StartError::Listen)?;
        let addr = listener.local_addr().map_err(StartError::Listen)?;
        let service = Arc::new(Self {
            api_key: config.api_key,
            clock: config.clock,
            delay_before: config.delay_before,
            delay_after: config.delay_after,
            store: Arc::new(Mutex::new(store)),
            tasks: TaskTracker::new(),
        });
        let stop = CancellationToken::new();
        let server = axum::serve(listener, api::router(service.clone()))
            .with_graceful_shutdown(stop.clone().cancelled_owned());
        service.tasks.spawn(server.into_future());
        Ok(RunningService { addr, service, stop: stop.drop_guard() })
    }

    /// Carries out one change in a task of its own, so that the change and its delays are completed
    /// even if the caller disconnects and the request is dropped.
    async fn commit_change<T: Send + 'static>(
        self: Arc<Self>,
        change: impl FnOnce(&mut TokenRegistry, Timestamp) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let tasks = self.tasks.clone();
        let task = tasks.spawn(async move {
            self.sleep_for(self.delay_before).await;
            let mut store = self.store.clone().lock_owned().await;
            let now = self.now();
            // Writing the state file blocks.
            let done = tokio::task::spawn_blocking(move || change(&mut store, now)).await;
            self.sleep_for(self.delay_after).await;
            done
        });
        // Either error means that the change panicked, or that the runtime is shutting down.
        task.await.and_then(|done| done).map_err(io::Error::other)?
    }

    async fn sleep_for(&self, delay: Duration) {
        if !delay.is_zero() {
            self.clock.sleep_until(self.now().plus(delay)).await;
        }
    }

    async fn stats(&self) -> ServiceStats {
        self.store.lock().await.stats(self.now())
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// A running service. When it is dropped, it accepts no more requests.
pub struct RunningService {
    /// The address that the service listens on.
    pub addr: SocketAddr,
    service: Arc<Service>,
    stop: DropGuard,
}

impl RunningService {
    /// The base URL for clients.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The counters that `GET /stats` returns.
    pub async fn stats(&self) -> ServiceStats {
        self.service.stats().await
    }

    /// Accepts no more requests, and returns once those in progress are finished, or after five
    /// seconds.
    pub async fn stop(self) {
        drop(self.stop);
        self.service.tasks.close();
        // Slower requests are abandoned.
        let _ = tokio::time::timeout(Duration::from_secs(5), self.service.tasks.wait()).await;
    }
}

const API_KEY: &str = "TOKEN_SERVICE_API_KEY";
const ADDR: &str = "TOKEN_SERVICE_ADDR";
