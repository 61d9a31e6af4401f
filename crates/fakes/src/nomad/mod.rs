//! The ACL system of HashiCorp Nomad: bootstrap, policies, tokens and their expiry, with Nomad's
//! answers, statuses and error texts (those of 2.0; checked against a server).
//!
//! | request | |
//! |---|---|
//! | `POST /v1/acl/bootstrap` | the first management token; once |
//! | `POST /v1/acl/token` | makes a token |
//! | `GET`, `DELETE /v1/acl/token/:accessor` | shows it with its secret; ends it |
//! | `GET /v1/acl/token/self` | the caller's own |
//! | `GET /v1/acl/tokens` | all, with `prefix` (of accessors), `filter`, `per_page`, `next_token` |
//! | `GET /v1/acl/policies`, `GET`, `POST`, `DELETE /v1/acl/policy/:name` | policies |
//! | `GET /v1/status/leader` | for who asks whether it is up |
//!
//! What it isn't: regions, roles, updates of a token (501), the rules inside policies (taken as they
//! come), and filters other than `Name == "x"` and `Name contains "x"`.
//!
//! - `acl`: the state and its rules
//! - `token`: a token, and what is wrong with one
//! - `api`: the HTTP side

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

/// What a fake Nomad is to be like.
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub addr: SocketAddr,
    /// Certificates, for one that speaks TLS.
    pub tls: Option<ServerConfig>,
    /// Tells which tokens have expired, and times [`NomadBehavior::Slow`].
    pub clock: Arc<dyn Clock>,
    /// Makes ids.
    pub entropy: Arc<dyn Entropy>,
    /// `acl.enabled`.
    pub acl_enabled: bool,
    /// `acl.token_min_expiration_ttl`.
    pub min_expiration: Ttl,
    /// `acl.token_max_expiration_ttl`.
    pub max_expiration: Ttl,
    /// How old it is.
    pub version: NomadVersion,
}

/// Versions that differ in what they understand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NomadVersion {
    /// As of 2.0.
    Current,
    /// Before tokens expired (1.4), and before lists could be filtered and paged: it ignores what it
    /// doesn't know.
    BeforeExpiry,
}

/// How it behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NomadBehavior {
    /// As it should.
    Normal,
    /// Without a leader nothing can be done: 500.
    NoLeader,
    /// The leader is lost over each change: it is made, and 500 answered.
    LosesLeader,
    /// Does what it is asked and hangs up without an answer.
    DropsResponse,
    /// Does what it is asked and answers after this time, by its clock.
    Slow(Duration),
    /// Too many connections: 429.
    RateLimited,
}

impl Default for Options {
    /// A server on a free port of this machine, with ACLs and Nomad's own limits.
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

/// A fake Nomad that has started. Dropped, it is down.
#[derive(Debug)]
pub struct FakeNomad {
    url: String,
    inner: Arc<FakeNomadInner>,
    _listening: FakeHttpServer,
}

/// What a test may know of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenInfo {
    /// Its accessor.
    pub accessor: String,
    /// Its name.
    pub name: String,
    /// `client` or `management`.
    pub kind: String,
    /// Names of policies.
    pub policies: Vec<String>,
    /// Whether it holds in all regions.
    pub global: bool,
    /// When it ends by itself, in RFC 3339.
    pub expires: Option<String>,
    /// After how long it was to end by itself, as it was asked for.
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
    /// Starts it; requests are answered from now on.
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

    /// The address as clients want it.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Bootstraps the ACL system and gives the secret of the first management token; nothing if that
    /// was done already.
    pub fn bootstrap(&self) -> Option<String> {
        let made = lock(&self.inner.acl).bootstrap("").ok()?;
        Some(made.secret)
    }

    /// The tokens that are there, the first management token left out; expired ones are there until
    /// somebody deletes them.
    pub fn tokens(&self) -> Vec<TokenInfo> {
        lock(&self.inner.acl).tokens().skip(1).map(token::AclToken::to_info).collect()
    }

    /// Whether a token opens anything now.
    pub fn accepts(&self, secret: &str) -> bool {
        lock(&self.inner.acl).accepts(secret)
    }

    /// Deletes a token behind everybody's back.
    pub fn delete_token(&self, accessor: &str) {
        lock(&self.inner.acl).remove_token(accessor);
    }

    /// Changes how it behaves from now on.
    pub fn set_behavior(&self, mood: NomadBehavior) {
        *lock(&self.inner.behavior) = mood;
    }

    /// What it was asked so far: method and path with query.
    pub fn requests(&self) -> Vec<String> {
        lock(&self.inner.requests).clone()
    }
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
