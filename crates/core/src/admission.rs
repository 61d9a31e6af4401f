//! Admission control: decides from a request's head whether it is processed, before its body is
//! read or parsed.
//!
//! Four limits count concurrent requests: all of them, those under one mount, those without a valid
//! token so far, and of the latter those under one path prefix. A request counts as
//! *unauthenticated* until its token was found valid; on an unauthenticated path it does so to its
//! end. When a limit for unauthenticated requests is reached, the token that was sent is looked up
//! at once, so that only requests with a valid token are admitted; during the look-up the request
//! does not count against its mount's limit.
//!
//! A request counts from its admission until its work ends, even if the client disconnects before.
//! Paths that operate the server ([`is_exempt`]) are not counted, so they stay reachable whatever
//! the load. `http` limits them for each connection.
//!
//! Unauthenticated requests are counted by the first segment of their path and not by mount.
//! Otherwise a client that fills a limit could infer from the refusals whether a mount exists.

use std::any::Any;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use metrics::Gauge;
use strongroom_mounts::ActiveMount;
use strongroom_mounts::mount_load::{MountLoad, increment_if_below};
use strongroom_telemetry::names;
use strongroom_types::{ErrorKind, Secret};

use crate::error::Error;

/// Limits on the number of requests that are processed at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdmissionLimits {
    /// All requests together, as the last resort; 8192 by default.
    pub requests: usize,
    /// Requests under one mount; 1024 by default. Paths under no mount share one count.
    pub per_mount: usize,
    /// Requests without a valid token, over all paths; 2048 by default.
    pub unauthenticated: usize,
    /// Requests without a valid token under one path prefix, such as `kv` or `auth/ldap`; 256 by
    /// default.
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

/// The parts of a request that are known before its body is read.
#[derive(Clone, Copy)]
pub struct RequestHead<'h> {
    /// The path below `/v1/`, percent-decoded; not yet checked to be in normal form.
    pub path: &'h str,
    /// The client token, if one was sent; not yet checked.
    pub token: Option<&'h Secret<String>>,
    /// The client's address; `None` on a Unix socket.
    pub address: Option<IpAddr>,
}

/// The `Retry-After` of a refusal, in seconds.
const RETRY_AFTER_SECS: u32 = 1;
/// The number of locks over the prefix counters, so that concurrent requests rarely contend for
/// one.
const SHARDS: usize = 16;
/// The `mount` label of requests under no mount.
const UNKNOWN_MOUNT: &str = "unknown";

/// Whether a path is exempt from all limits, and admitted by a sealed server too: those that show
/// the server's state, and those that seal and unseal it.
pub fn is_exempt(path: &str) -> bool {
    const NAMES: [&str; 6] = ["health", "seal-status", "leader", "unseal", "seal", "step-down"];
    path.strip_prefix("sys/").is_some_and(|name| NAMES.contains(&name))
}

/// The number of requests by the hash of their prefix. The keys are already keyed hashes, so the
/// map needs no strong hash function.
type PrefixCounts = HashMap<u64, usize, foldhash::fast::RandomState>;

/// The limits and the counters of running requests.
pub(crate) struct AdmissionControl {
    limits: AdmissionLimits,
    requests: AtomicUsize,
    unauthenticated: AtomicUsize,
    /// The number of unauthenticated requests of each prefix, by a keyed hash of the prefix. A
    /// prefix without requests has no entry, so there are never more entries than requests.
    by_prefix: [Mutex<PrefixCounts>; SHARDS],
    prefix_hasher: RandomState,
    /// The count of requests under no mount.
    unmounted_load: Arc<MountLoad>,
    in_flight: Gauge,
}

/// Permission to process a request, obtained from [`Core::admit`](crate::Core::admit). The request
/// counts against the limits until this is dropped.
pub struct RequestPermit {
    control: Arc<AdmissionControl>,
    /// The counts the request occupies; `None` for exempt paths.
    slot: Option<AdmissionSlot>,
    needs_token: bool,
    takes_raw_body: bool,
    /// A share of a resource, released with the permit; see [`RequestPermit::hold_until_done`].
    shared_resource: Option<Box<dyn Any + Send + Sync>>,
    /// Set to `true` once the request's token was found valid.
    authenticated_flag: Option<Arc<AtomicBool>>,
}

struct AdmissionSlot {
    mount: Arc<MountLoad>,
    /// Whether the request currently counts against the mount's limit.
    counts_for_mount: bool,
    /// The hash of the path's prefix while the request counts as unauthenticated; `None`
    /// afterwards.
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

    /// Counts a request against the limits of its mount and of the server, or returns the limit
    /// that is exceeded.
    /// `mount` is `None` for a path under no mount.
    pub(crate) fn count_request(
        self: &Arc<Self>,
        mount: Option<&Arc<MountLoad>>,
    ) -> Result<RequestPermit, ExceededLimit> {
        let mount = mount.unwrap_or(&self.unmounted_load).clone();
        if !increment_if_below(&self.requests, self.limits.requests) {
            return Err(ExceededLimit::Server);
        }
        if !mount.begin_request(self.limits.per_mount) {
            self.requests.fetch_sub(1, Ordering::Relaxed);
            return Err(ExceededLimit::Mount);
        }
        self.in_flight.increment(1);
        let counted = AdmissionSlot { mount, counts_for_mount: true, prefix: None };
        Ok(RequestPermit::new(self, Some(counted)))
    }

    /// Counts an unauthenticated request of a prefix; returns `false` if a limit is reached.
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

/// The path segments by which unauthenticated requests are counted: the first one, or the first two
/// below `auth/`.
fn admission_prefix(path: &str) -> &str {
    let parts = if path.starts_with("auth/") { 2 } else { 1 };
    let end = path.match_indices('/').nth(parts - 1).map(|(at, _)| at);
    end.and_then(|end| path.get(..end)).unwrap_or(path)
}

impl RequestPermit {
    /// Without a slot the permit is one for an exempt path. Any other path is assumed to need a
    /// token until its route is known.
    fn new(control: &Arc<AdmissionControl>, counted: Option<AdmissionSlot>) -> Self {
        let needs_token = counted.is_some();
        Self {
            control: control.clone(),
            slot: counted,
            needs_token,
            takes_raw_body: false,
            shared_resource: None,
            authenticated_flag: None,
        }
    }

    /// The permit of an exempt path, which no limit counts.
    pub(crate) fn exempt(control: &Arc<AdmissionControl>) -> Self {
        Self::new(control, None)
    }

    /// Sets whether the path requires a token, once its route is known.
    pub(crate) fn set_needs_token(&mut self, needs_token: bool) {
        self.needs_token = needs_token;
    }

    /// Sets whether the path's backend takes the bodies of writes unparsed.
    pub(crate) fn set_takes_raw_body(&mut self, takes_raw_body: bool) {
        self.takes_raw_body = takes_raw_body;
    }

    /// Counts the request as one without a valid token, under the prefix of its path; returns
    /// `false` if a limit is reached.
    pub(crate) fn count_unauthenticated(&mut self, path: &str) -> bool {
        let prefix = self.control.prefix_hasher.hash_one(admission_prefix(path));
        let counted = self.control.count_unauthenticated(prefix);
        if let (true, Some(slot)) = (counted, &mut self.slot) {
            slot.prefix = Some(prefix);
        }
        counted
    }

    /// Whether the request is to an exempt path, which operates the server and is not counted.
    pub fn is_exempt(&self) -> bool {
        self.slot.is_none()
    }

    /// Whether the path requires a token; `false` on unauthenticated and exempt paths, and while
    /// sealed.
    pub fn needs_token(&self) -> bool {
        self.needs_token
    }

    /// Whether the body of a write isn't parsed but passed on as [`CoreRequest::raw_body`].
    ///
    /// [`CoreRequest::raw_body`]: crate::CoreRequest::raw_body
    pub fn takes_raw_body(&self) -> bool {
        self.takes_raw_body
    }

    /// Whether the request still counts as one without a valid token.
    pub fn lacks_valid_token(&self) -> bool {
        self.slot.as_ref().is_some_and(|counted| counted.prefix.is_some())
    }

    /// Keeps `share` alive until the work on the request ends, even if the client disconnects
    /// before. `http` uses it for the request's share of the memory reserved for bodies.
    pub fn hold_until_done(&mut self, share: impl Send + Sync + 'static) {
        self.shared_resource = Some(Box::new(share));
    }

    /// Sets `flag` once the request's token was found valid.
    pub fn signal_when_authenticated(&mut self, flag: Arc<AtomicBool>) {
        self.authenticated_flag = Some(flag);
    }

    /// Stops counting the request against its mount's limit.
    pub(crate) fn release_mount_slot(&mut self) {
        if let Some(counted) = &mut self.slot
            && std::mem::take(&mut counted.counts_for_mount)
        {
            counted.mount.end_request();
        }
    }

    /// Counts the request against its mount's limit again.
    pub(crate) fn acquire_mount_slot(&mut self) -> Result<(), ExceededLimit> {
        let limit = self.control.limits.per_mount;
        match &mut self.slot {
            Some(counted) if !counted.counts_for_mount => {
                counted.counts_for_mount = counted.mount.begin_request(limit);
                if counted.counts_for_mount { Ok(()) } else { Err(ExceededLimit::Mount) }
            }
            _ => Ok(()),
        }
    }

    /// Records that the request's token is valid, so it no longer counts as unauthenticated.
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
            .field("unauthenticated", &self.lacks_valid_token())
            .finish_non_exhaustive()
    }
}

/// The limit by which a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExceededLimit {
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

    /// The error of a refusal, which is also counted in the metrics. The message does not depend on
    /// the path.
    pub(crate) fn refusal_error(self, mounted: Option<&ActiveMount>) -> Error {
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
