//! Admission control: whether a request is worked on is decided from its head, before anything of
//! its body is read or parsed.
//!
//! Four limits count requests that are being worked on: all of them, those under one mount, those
//! that no valid token stands behind yet, and of the latter those under one path prefix. A request
//! counts as *unauthenticated* until its token was found valid; on a path that needs no token it
//! stays so to its end. Where a limit for unauthenticated requests is reached, a token that was
//! sent is looked up at once, so that only its holder gets past; meanwhile the request takes no place
//! of the mount.
//!
//! A request counts from its admission until its work ends, also if the client has gone meanwhile.
//! Paths by which an operator looks after the server ([`is_exempt`]) count nowhere: no number of
//! other requests keeps anybody from them. `http` limits them for each connection.
//!
//! Unauthenticated requests are counted by the first part of their path and not by their mount:
//! else whoever fills the limit of a path could tell from the refusals whether a mount is there.

use std::any::Any;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use metrics::Gauge;
use strongroom_sdk::engine::ConnectionInfo;
use strongroom_telemetry::names;
use strongroom_types::{ErrorKind, Secret};

use crate::core::Core;
use crate::error::Error;
use crate::mounts::ActiveMount;
use crate::pipeline::route;
use crate::unsealed::UnsealedCore;

/// Limits on the requests that are being worked on at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdmissionLimits {
    /// All requests; the last resort.
    pub requests: usize,
    /// Requests under one mount. Paths without a mount are one more mount.
    pub per_mount: usize,
    /// Requests without a valid token.
    pub unauthenticated: usize,
    /// Requests without a valid token whose paths begin alike: `kv`, `auth/ldap`.
    pub unauthenticated_per_mount: usize,
}

impl Default for AdmissionLimits {
    fn default() -> Self {
        Self {
            requests: 8192,
            per_mount: 1024,
            unauthenticated: 2048,
            unauthenticated_per_mount: 256,
        }
    }
}

/// What is known of a request before its body is read.
#[derive(Clone, Copy)]
pub struct RequestHead<'h> {
    /// The path below `/v1/`, percent-decoded.
    pub path: &'h str,
    /// The token, if one was sent.
    pub token: Option<&'h Secret<String>>,
    /// Where it comes from; none over a socket file.
    pub connection: Option<ConnectionInfo>,
}

/// When a refused client may come again.
const RETRY_AFTER_SECS: u32 = 1;
/// Locks over the counters of prefixes, so that requests rarely meet at one.
const SHARDS: usize = 16;
/// The label of everything that isn't under a mount.
const UNKNOWN_MOUNT: &str = "unknown";

/// Paths that are answered however many other requests there are: the state of the server, and
/// sealing and unsealing it.
pub fn is_exempt(path: &str) -> bool {
    const NAMES: [&str; 6] = ["health", "seal-status", "leader", "unseal", "seal", "step-down"];
    path.strip_prefix("sys/").is_some_and(|name| NAMES.contains(&name))
}

/// Requests by the hash of their prefix, which nobody outside can predict: it needs no strong one on top.
type PrefixCounts = HashMap<u64, usize, foldhash::fast::RandomState>;

/// Counts the requests that are being worked on.
pub(crate) struct AdmissionControl {
    limits: AdmissionLimits,
    requests: AtomicUsize,
    unauthenticated: AtomicUsize,
    /// How many unauthenticated requests there are of each prefix, by a keyed hash of it. A prefix
    /// without requests has no entry, so there are never more entries than requests.
    by_prefix: [Mutex<PrefixCounts>; SHARDS],
    prefix_hasher: RandomState,
    /// Requests that lie under no mount.
    unmounted_load: Arc<MountLoad>,
    in_flight: Gauge,
}

/// How many requests are being worked on under a mount.
#[derive(Debug, Default)]
pub(crate) struct MountLoad(AtomicUsize);

/// Leave to work on a request. It counts until it is dropped.
pub struct RequestPermit {
    control: Arc<AdmissionControl>,
    /// None for exempt paths.
    slot: Option<AdmissionSlot>,
    needs_token: bool,
    /// What the work takes of something that others share.
    shared_resource: Option<Box<dyn Any + Send + Sync>>,
    /// Set once a valid token stands behind the request.
    authenticated_flag: Option<Arc<AtomicBool>>,
}

struct AdmissionSlot {
    mount: Arc<MountLoad>,
    /// Whether it counts under the mount.
    counts_for_mount: bool,
    /// The hash of the path's prefix, while the request counts as unauthenticated.
    prefix: Option<u64>,
}

impl AdmissionControl {
    pub(crate) fn new(limits: AdmissionLimits) -> Self {
        Self {
            limits,
            requests: AtomicUsize::new(0),
            unauthenticated: AtomicUsize::new(0),
            by_prefix: Default::default(),
            prefix_hasher: RandomState::new(),
            unmounted_load: Arc::default(),
            in_flight: metrics::gauge!(names::IN_FLIGHT),
        }
    }

    /// Counts a request under a mount, and among all.
    fn count_request(
        self: &Arc<Self>,
        mount: Arc<MountLoad>,
    ) -> Result<RequestPermit, ExceededLimit> {
        if !increment_if_below(&self.requests, self.limits.requests) {
            return Err(ExceededLimit::Server);
        }
        if !increment_if_below(&mount.0, self.limits.per_mount) {
            self.requests.fetch_sub(1, Ordering::Relaxed);
            return Err(ExceededLimit::Mount);
        }
        self.in_flight.increment(1);
        let counted = AdmissionSlot { mount, counts_for_mount: true, prefix: None };
        Ok(RequestPermit::new(self, Some(counted)))
    }

    /// Counts one more unauthenticated request of a prefix; false if there are too many.
    fn count_unauthenticated(&self, prefix: u64) -> bool {
        if !increment_if_below(&self.unauthenticated, self.limits.unauthenticated) {
            return false;
        }
        let fits = {
            let mut counts = self.lock_shard(prefix);
            let count = counts.entry(prefix).or_default();
            let fits = *count < self.limits.unauthenticated_per_mount;
            if fits {
                *count += 1;
            }
            fits
        };
        if !fits {
            self.unauthenticated.fetch_sub(1, Ordering::Relaxed);
        }
        fits
    }

    fn uncount_unauthenticated(&self, prefix: u64) {
        let mut counts = self.lock_shard(prefix);
        if let Some(count) = counts.get_mut(&prefix) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&prefix);
            }
        }
        self.unauthenticated.fetch_sub(1, Ordering::Relaxed);
    }

    fn lock_shard(&self, prefix: u64) -> std::sync::MutexGuard<'_, PrefixCounts> {
        let [first, ..] = &self.by_prefix;
        let index = usize::try_from(prefix).unwrap_or_default() % SHARDS;
        let shard = self.by_prefix.get(index).unwrap_or(first);
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds one if that stays within the limit.
fn increment_if_below(count: &AtomicUsize, limit: usize) -> bool {
    let before = count.fetch_add(1, Ordering::Relaxed);
    if before >= limit {
        count.fetch_sub(1, Ordering::Relaxed);
    }
    before < limit
}

/// The first part of a path; of an auth method's, the first two.
fn admission_prefix(path: &str) -> &str {
    let parts = if path.starts_with("auth/") { 2 } else { 1 };
    let end = path.match_indices('/').nth(parts - 1).map(|(at, _)| at);
    end.and_then(|end| path.get(..end)).unwrap_or(path)
}

impl RequestPermit {
    /// Without a count it is one for an exempt path. Any other is taken to need a token until its
    /// route is known.
    fn new(control: &Arc<AdmissionControl>, counted: Option<AdmissionSlot>) -> Self {
        let needs_token = counted.is_some();
        Self {
            control: control.clone(),
            slot: counted,
            needs_token,
            shared_resource: None,
            authenticated_flag: None,
        }
    }

    /// Whether the request was let in because it serves the operation of the server, and counts
    /// nowhere.
    pub fn is_exempt(&self) -> bool {
        self.slot.is_none()
    }

    /// Whether a token is needed at this path.
    pub fn needs_token(&self) -> bool {
        self.needs_token
    }

    /// Whether the request counts among those without a valid token.
    pub fn is_unauthenticated(&self) -> bool {
        self.slot.as_ref().is_some_and(|counted| counted.prefix.is_some())
    }

    /// Keeps something until the work on the request ends, also if the client has gone before: its
    /// share of the memory for all.
    pub fn hold_until_done(&mut self, share: impl Send + Sync + 'static) {
        self.shared_resource = Some(Box::new(share));
    }

    /// Has something set once a valid token stands behind the request.
    pub fn signal_when_authenticated(&mut self, flag: Arc<AtomicBool>) {
        self.authenticated_flag = Some(flag);
    }

    /// Gives the place under the mount back.
    fn release_mount_slot(&mut self) {
        if let Some(counted) = &mut self.slot
            && std::mem::take(&mut counted.counts_for_mount)
        {
            counted.mount.0.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Takes a place under the mount again.
    fn acquire_mount_slot(&mut self) -> Result<(), ExceededLimit> {
        let limit = self.control.limits.per_mount;
        match &mut self.slot {
            Some(counted) if !counted.counts_for_mount => {
                counted.counts_for_mount = increment_if_below(&counted.mount.0, limit);
                if counted.counts_for_mount { Ok(()) } else { Err(ExceededLimit::Mount) }
            }
            _ => Ok(()),
        }
    }

    /// A valid token stands behind the request from now on.
    pub(crate) fn mark_authenticated(&mut self) {
        if let Some(flag) = self.authenticated_flag.take() {
            flag.store(true, Ordering::Relaxed);
        }
        self.release_unauthenticated_slot();
    }

    fn release_unauthenticated_slot(&mut self) {
        let prefix = self.slot.as_mut().and_then(|counted| counted.prefix.take());
        if let Some(prefix) = prefix {
            self.control.uncount_unauthenticated(prefix);
        }
    }
}

impl Drop for RequestPermit {
    fn drop(&mut self) {
        self.release_unauthenticated_slot();
        self.release_mount_slot();
        if self.slot.is_some() {
            self.control.requests.fetch_sub(1, Ordering::Relaxed);
            self.control.in_flight.decrement(1);
        }
    }
}

impl std::fmt::Debug for RequestPermit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestPermit")
            .field("exempt", &self.is_exempt())
            .field("unauthenticated", &self.is_unauthenticated())
            .finish_non_exhaustive()
    }
}

/// The limit that a request was refused by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ExceededLimit {
    Server,
    Mount,
    Unauthenticated,
}

impl ExceededLimit {
    fn label(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Mount => "mount",
            Self::Unauthenticated => "unauthenticated",
        }
    }

    /// The refusal, counted for the mount. What the client hears is the same for every path.
    fn refusal_error(self, mounted: Option<&ActiveMount>) -> Error {
        let mount = mounted.map_or_else(|| UNKNOWN_MOUNT.to_owned(), |it| it.entry.route());
        metrics::counter!(names::REQUESTS_REFUSED, "mount" => mount, "limit" => self.label())
            .increment(1);
        let (kind, text) = match self {
            Self::Server => (
                ErrorKind::Unavailable,
                "the server is working on as many requests as it may; try again later",
            ),
            Self::Mount => (
                ErrorKind::Unavailable,
                "too many requests to this part of the server are being worked on; try again later",
            ),
            Self::Unauthenticated => (
                ErrorKind::Limited,
                "too many requests without a valid token are being worked on; try again later",
            ),
        };
        Error::with_message(kind, text).retry_after(RETRY_AFTER_SECS)
    }
}

impl Core {
    /// Decides whether a request is worked on. To be asked before its body is read; the permit is
    /// then given to [`Core::handle`].
    ///
    /// # Errors
    ///
    /// `Limited` or `Unavailable` if a limit is reached, with when to try again; `Sealed` for what
    /// a sealed server doesn't do; `Denied` if a limit for requests without a valid token is
    /// reached and the token that was sent isn't valid there.
    ///
    /// # Cancel safety
    ///
    /// Nothing is counted once the future is dropped.
    pub async fn admit(&self, head: RequestHead<'_>) -> Result<RequestPermit, Error> {
        let control = self.admission_control();
        if is_exempt(head.path) {
            return Ok(RequestPermit::new(control, None));
        }
        let open = match self.unsealed() {
            Ok(open) => Some(open),
            Err(_) if head.path == "sys/init" => None,
            Err(sealed) => return Err(sealed),
        };
        let table = open.as_ref().map(|open| open.mounts.table());
        let place = table.as_ref().and_then(|table| table.longest_match(head.path));
        let mounted = place.map(|(mounted, _)| &**mounted);
        let load = mounted.map_or(&control.unmounted_load, ActiveMount::mount_load);
        let refuse = |limit: ExceededLimit| limit.refusal_error(mounted);
        let mut permit = control.count_request(load.clone()).map_err(refuse)?;
        let needs_no_token = |(mounted, below): (&Arc<ActiveMount>, &str)| {
            route::special_access(&mounted.backend, below).0
        };
        permit.needs_token = open.is_some() && !place.is_some_and(needs_no_token);
        let prefix = control.prefix_hasher.hash_one(admission_prefix(head.path));
        if control.count_unauthenticated(prefix) {
            if let Some(counted) = &mut permit.slot {
                counted.prefix = Some(prefix);
            }
            return Ok(permit);
        }
        match (open, head.token) {
            (Some(open), Some(token)) if permit.needs_token => {
                // Strangers may send as many tokens as they like. Were they looked up with a place
                // of the mount taken, none would be left for those who have a valid one.
                permit.release_mount_slot();
                // Boxed, as below: few requests get here, and all would make room for it.
                Box::pin(check_token_is_valid(&open, token, head.connection)).await?;
                permit.acquire_mount_slot().map_err(refuse)?;
                Ok(permit)
            }
            _ => Err(refuse(ExceededLimit::Unauthenticated)),
        }
    }

    /// Makes sure that a valid token stands behind a request, where one is needed: for whatever a
    /// stranger must not have, such as the memory for a large body.
    ///
    /// # Errors
    ///
    /// `Denied` without a token that is valid where the request comes from.
    pub async fn authenticate_early(
        &self,
        permit: &mut RequestPermit,
        token: Option<&Secret<String>>,
        connection: Option<ConnectionInfo>,
    ) -> Result<(), Error> {
        if !permit.needs_token || !permit.is_unauthenticated() {
            return Ok(());
        }
        let token = token.ok_or_else(Error::invalid_token)?;
        Box::pin(check_token_is_valid(&*self.unsealed()?, token, connection)).await?;
        permit.mark_authenticated();
        Ok(())
    }
}

/// Only whether the token is valid there: no use of it is counted, and nothing is allowed by it.
async fn check_token_is_valid(
    open: &UnsealedCore,
    token: &Secret<String>,
    connection: Option<ConnectionInfo>,
) -> Result<(), Error> {
    let id = token.expose_secret();
    if id.is_empty() {
        return Err(Error::invalid_token());
    }
    let found = open.stores.tokens.look_up(id, open.clock().now()).await?;
    let address = connection.map(|connection| connection.address);
    let found = found.filter(|found| found.token.may_be_used_from(address));
    found.map(|_| ()).ok_or_else(Error::invalid_token)
}
