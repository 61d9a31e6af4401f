//! The ACL system of HashiCorp Nomad: bootstrap, policies, tokens and their expiry, with Nomad's
//! responses, statuses and error texts (those of version 2.0, compared with a real server).
//!
//! | request | |
//! |---|---|
//! | `POST /v1/acl/bootstrap` | creates the first management token; works once |
//! | `POST /v1/acl/token` | creates a token |
//! | `GET`, `DELETE /v1/acl/token/:accessor` | returns it with its secret; deletes it |
//! | `GET /v1/acl/token/self` | the caller's own token |
//! | `GET /v1/acl/tokens` | all, with `prefix` (of accessors), `filter`, `per_page`, `next_token` |
//! | `GET /v1/acl/policies`, `GET`, `POST`, `DELETE /v1/acl/policy/:name` | policies |
//! | `GET /v1/status/leader` | for health checks |
//!
//! Not supported: regions, roles, updates of a token (501), the rules inside policies (stored but
//! not interpreted), and filters other than `Name == "x"` and `Name contains "x"`.
//!
//! - `acl`: the state and the permission checks
//! - `token`: a token and its validation
//! - `api`: the HTTP API

mod acl;
mod api;
mod token;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use strongroom_crypto::SystemEntropy;
use strongroom_types::{Clock, Entropy, SystemClock, Ttl};

use crate::serve::{FakeHttpServer, serve};
use acl::AclState;

/// The settings of a fake Nomad.
pub struct Options {
    /// The address to listen on; port 0 takes a free one.
    pub addr: SocketAddr,
    /// The TLS settings; `None` for plain HTTP.
    pub tls: Option<ServerConfig>,
    /// The clock for token expiry and for [`NomadBehavior::Slow`].
    pub clock: Arc<dyn Clock>,
    /// The source of random ids and secrets.
    pub entropy: Arc<dyn Entropy>,
    /// Nomad's setting `acl.enabled`: whether requests need a token.
    pub acl_enabled: bool,
    /// Nomad's setting `acl.token_min_expiration_ttl`: the shortest lifetime of an expiring token.
    pub min_expiration: Ttl,
    /// Nomad's setting `acl.token_max_expiration_ttl`: the longest lifetime of an expiring token.
    pub max_expiration: Ttl,
    /// Which version of Nomad to imitate.
    pub version: NomadVersion,
}

/// Versions of Nomad that support different features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NomadVersion {
    /// Version 2.0.
    Current,
    /// Versions before tokens could expire (1.4), and before lists could be filtered and paged.
    /// They ignore the unknown parameters.
    BeforeExpiry,
}

/// How the fake responds, to simulate outages and lost responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NomadBehavior {
    /// Responds normally.
    Normal,
    /// Has no leader, so every request fails with status 500.
    NoLeader,
    /// Makes each change, then loses its leader and responds with status 500.
    LosesLeader,
    /// Carries out the request, then closes the connection without a response.
    DropsResponse,
    /// Carries out the request and responds after this time on its clock.
    Slow(Duration),
    /// Refuses each request with status 429, too many requests.
    RateLimited,
}

impl Default for Options {
    /// A server on a free port of this machine, with ACLs and Nomad's default limits.
    fn default() -> Self {
        Self {
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            tls: None,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            acl_enabled: true,
            min_expiration: Ttl::from_secs(60),
            max_expiration: Ttl::from_secs(24 * 3600),
            version: NomadVersion::Current,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("version", &self.version).finish_non_exhaustive()
    }
}

/// A running fake Nomad. It stops when it is dropped.
#[derive(Debug)]
pub struct FakeNomad {
    url: String,
    inner: Arc<FakeNomadInner>,
    _listening: FakeHttpServer,
}

/// The details of a token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenInfo {
    /// The accessor id of the token.
    pub accessor: String,
    /// The token's name, as its creator chose it.
    pub name: String,
    /// The token's type, `client` or `management`.
    pub kind: String,
    /// The names of the token's policies.
    pub policies: Vec<String>,
    /// Whether the token is valid in all regions.
    pub global: bool,
    /// When the token expires, in RFC 3339 format; `None` if it doesn't.
    pub expires: Option<String>,
    /// The lifetime that was requested for the token.
    pub expiration_ttl: Ttl,
}

struct FakeNomadInner {
    clock: Arc<dyn Clock>,
    acl: Mutex<AclState>,
    behavior: Mutex<NomadBehavior>,
    requests: Mutex<Vec<String>>,
}

impl fmt::Debug for FakeNomadInner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeNomadInner")
    }
}

impl FakeNomad {
    /// Starts the server; it accepts requests when this returns.
    pub async fn start(options: Options) -> io::Result<Self> {
        let Options { addr, tls, clock, .. } = options;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let acl = AclState::new(acl::AclConfig {
            clock: clock.clone(),
            entropy: options.entropy,
            enabled: options.acl_enabled,
            min_expiration: options.min_expiration,
            max_expiration: options.max_expiration,
            version: options.version,
        });
        let shared = Arc::new(FakeNomadInner {
            clock,
            acl: Mutex::new(acl),
            behavior: Mutex::new(NomadBehavior::Normal),
            requests: Mutex::default(),
        });
        let answering = shared.clone();
        let listening =
            serve(addr, tls, move |asked| api::respond(answering.clone(), asked)).await?;
        let url = format!("{scheme}://{}", listening.addr);
        Ok(Self { url, inner: shared, _listening: listening })
    }

    /// The base URL for clients.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Bootstraps the ACL system and returns the secret of the first management token; `None` if it
    /// was bootstrapped before.
    pub fn bootstrap(&self) -> Option<String> {
        let made = lock(&self.inner.acl).bootstrap("").ok()?;
        Some(made.secret)
    }

    /// All tokens except the first management token. Expired ones are included until they are
    /// deleted.
    pub fn tokens(&self) -> Vec<TokenInfo> {
        lock(&self.inner.acl).tokens().skip(1).map(token::AclToken::to_info).collect()
    }

    /// Whether a token with this secret exists and hasn't expired.
    pub fn accepts(&self, secret: &str) -> bool {
        lock(&self.inner.acl).accepts(secret)
    }

    /// Deletes a token directly, without a request.
    pub fn delete_token(&self, accessor: &str) {
        lock(&self.inner.acl).remove_token(accessor);
    }

    /// Changes how the fake responds from now on.
    pub fn set_behavior(&self, mood: NomadBehavior) {
        *lock(&self.inner.behavior) = mood;
    }

    /// The requests so far: method, and path with query.
    pub fn requests(&self) -> Vec<String> {
        lock(&self.inner.requests).clone()
    }
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
