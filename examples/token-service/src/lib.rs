//! A small honest HTTP API that issues tokens: the outside system whose credentials the tutorial
//! brokers. It knows nothing of Strongroom. As a library, a test runs it in its own process.
//!
//! Every path but `/self` wants the API key as `Authorization: Bearer …`:
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
//! A `ttl` is in seconds; none, or 0, is an hour. An expired token is gone. Refusals are
//! `{"error": "why"}`: 400 for a bad request, 401 without a key or token, 404 for an unknown id.
//!
//! A change, once asked for, is carried out even if the caller hangs up, and its answer leaves only
//! when the state file (if there is one) would survive a power cut.
//!
//! It speaks plain HTTP: keep it on one machine, or put it behind something that speaks TLS.
//!
//! - `tokens`: the tokens in memory, with an index for each look-up
//! - `store`: what is done to them, and the state file
//! - `api`: the HTTP side
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

/// What a service needs to know before it starts.
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub addr: SocketAddr,
    /// What callers must show.
    pub api_key: Secret<String>,
    /// The file that carries tokens over a restart. None keeps them in memory. Two services must
    /// not share one.
    pub state: Option<PathBuf>,
    /// How many live tokens there may be.
    pub max_tokens: usize,
    /// Tells which tokens have expired, and times the delays.
    pub clock: Arc<dyn Clock>,
    /// A testing aid: waits before each change of state, so that a test can kill the caller
    /// first. The change happens all the same.
    pub delay_before: Duration,
    /// A testing aid: waits between each change of state and its answer, so that a test can kill
    /// a caller who has a token and will never hear of it.
    pub delay_after: Duration,
}

impl Config {
    /// A service on a free port of this machine that forgets everything when it stops.
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

    /// Reads the environment: `TOKEN_SERVICE_API_KEY`, and if they are set `TOKEN_SERVICE_ADDR`
    /// (127.0.0.1:8090), `TOKEN_SERVICE_STATE`, and the testing aids
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
    /// There is no API key, so nobody could use it.
    #[error("set {API_KEY} to the key that callers must show")]
    NoKey,
    /// A variable holds something else than it should.
    #[error(
        "{0} is not valid: an address is like 127.0.0.1:8090, a delay a number of milliseconds"
    )]
    Invalid(&'static str),
    /// The state file can't be read or written, or holds something else, which it then keeps.
    #[error("the state file can't be used: {0}")]
    State(#[source] io::Error),
    /// The address can't be listened at.
    #[error("can't listen: {0}")]
    Listen(#[source] io::Error),
}

/// The service.
pub struct Service {
    api_key: Secret<String>,
    clock: Arc<dyn Clock>,
    delay_before: Duration,
    delay_after: Duration,
    store: Arc<Mutex<TokenRegistry>>,
    tasks: TaskTracker,
}

impl Service {
    /// Starts it; requests are answered from now on.
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

    /// Carries out one change in a task of its own, so that it is not left undone, or done without
    /// its delays, when the caller hangs up and the request is dropped.
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
        // Either error is a panic in the change, or the runtime's end.
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

/// A service that has started. Dropped, it takes no more requests.
pub struct RunningService {
    /// Where it listens.
    pub addr: SocketAddr,
    service: Arc<Service>,
    stop: DropGuard,
}

impl RunningService {
    /// The address as clients want it.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// What `GET /stats` says.
    pub async fn stats(&self) -> ServiceStats {
        self.service.stats().await
    }

    /// Takes no more requests, and returns when those under way are answered; at the latest after
    /// five seconds.
    pub async fn stop(self) {
        drop(self.stop);
        self.service.tasks.close();
        // Whoever is slower is cut off.
        let _ = tokio::time::timeout(Duration::from_secs(5), self.service.tasks.wait()).await;
    }
}

const API_KEY: &str = "TOKEN_SERVICE_API_KEY";
const ADDR: &str = "TOKEN_SERVICE_ADDR";
