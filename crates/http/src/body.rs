//! Reads request bodies, with limits for each and for all together.
//!
//! A client may leave a body unfinished, and its parsed fields may take far more memory than its
//! bytes. So requests in flight reserve memory from a shared [`BodyMemoryPool`], in bytes: for the
//! body while it is read, and for its fields until the request is answered. A request that cannot
//! reserve its memory in time is refused with 503. Reserving from the main pool needs a valid
//! token; unauthenticated paths have a smaller pool of their own. Up to [`UNBUDGETED_BYTES`] need
//! no reservation, since the number of concurrent requests is limited separately.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Body as HttpBody;
use strongroom_core::Error;
use strongroom_types::Secret;
use strongroom_types::fields::FIELD_OVERHEAD;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes that a request may use without a reservation.
pub(crate) const UNBUDGETED_BYTES: usize = 4 << 10;
/// The first bytes of each request come from a pool of their own, so that large requests leave room
/// for small ones.
const SMALL_BODY_BYTES: usize = 64 << 10;
/// How long a request waits for its reservation.
const BUDGET_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes for each semaphore permit: semaphores count permits in 32 bits.
const PERMIT_BYTES: usize = 1 << 10;
/// The initial size of the buffer for a body.
const INITIAL_BUFFER_BYTES: usize = 4 << 10;

/// The memory that requests in flight may use together. Clones share the same pool.
#[derive(Clone, Debug)]
pub struct BodyMemoryPool {
    first: Arc<Semaphore>,
    rest: Arc<Semaphore>,
    unauthenticated: Arc<Semaphore>,
}

impl BodyMemoryPool {
    /// Splits `bytes` in three: a quarter for the first 64 KiB of each authenticated request, an
    /// eighth for all requests to unauthenticated paths, and the rest for the remainder of large
    /// requests. The rest is enlarged to fit one request of `largest` bytes, and the eighth to fit
    /// one of `largest_unauthenticated`; otherwise such requests could never be served.
    pub fn new(bytes: usize, largest: usize, largest_unauthenticated: usize) -> Self {
        let (quarter, eighth) = (bytes / 4, bytes / 8);
        let pool = |bytes: usize| {
            Arc::new(Semaphore::new(bytes.div_ceil(PERMIT_BYTES).min(Semaphore::MAX_PERMITS)))
        };
        Self {
            first: pool(quarter.max(SMALL_BODY_BYTES)),
            rest: pool((bytes - quarter - eighth).max(largest)),
            unauthenticated: pool(eighth.max(largest_unauthenticated)),
        }
    }
}

#[cfg(test)]
impl BodyMemoryPool {
    /// Bytes that no request has reserved.
    pub(crate) fn available_bytes(&self) -> usize {
        let pools = [&self.first, &self.rest, &self.unauthenticated];
        pools.iter().map(|pool| pool.available_permits() * PERMIT_BYTES).sum()
    }
}

/// An upper bound, in bytes, for the memory of a request whose body has `body_bytes` bytes and
/// `fields` fields: the body, the fields that are built while it is still held, and the head.
pub fn max_request_memory(body_bytes: usize, fields: usize) -> usize {
    let of_fields = fields.saturating_mul(FIELD_OVERHEAD);
    body_bytes.saturating_mul(2).saturating_add(of_fields).saturating_add(MAX_HEAD_MEMORY)
}

/// An upper bound for a head, with the fields of its query and the overhead of its headers.
const MAX_HEAD_MEMORY: usize = 512 << 10;

/// Which pool a request reserves from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemoryClass {
    /// A request to a path that is exempt from admission control, such as unsealing. It is limited
    /// to so few bytes that it reserves nothing; each connection has few of them at once.
    Exempt,
    /// A request to an unauthenticated path.
    Unauthenticated,
    /// A request to a path that needs a token.
    Authenticated,
}

/// What one request has reserved from a [`BodyMemoryPool`]. Dropping it returns the memory, so it
/// is kept until the work on the request ends.
#[derive(Debug, Default)]
pub struct BodyBudget {
    first: Option<OwnedSemaphorePermit>,
    rest: Option<OwnedSemaphorePermit>,
}

impl BodyBudget {
    /// Whether anything is reserved.
    pub(crate) fn has_reserved(&self) -> bool {
        self.first.is_some() || self.rest.is_some()
    }

    async fn grow(
        &mut self,
        bodies: &BodyMemoryPool,
        class: MemoryClass,
        bytes: usize,
    ) -> Result<(), BodyError> {
        match class {
            MemoryClass::Exempt => Ok(()),
            MemoryClass::Unauthenticated => {
                acquire(&mut self.first, &bodies.unauthenticated, bytes).await
            }
            MemoryClass::Authenticated => {
                acquire(&mut self.first, &bodies.first, bytes.min(SMALL_BODY_BYTES)).await?;
                acquire(&mut self.rest, &bodies.rest, bytes.saturating_sub(SMALL_BODY_BYTES)).await
            }
        }
    }

    /// Returns what exceeds the given number of bytes.
    fn shrink(&mut self, class: MemoryClass, bytes: usize) {
        let first =
            if class == MemoryClass::Unauthenticated { bytes } else { bytes.min(SMALL_BODY_BYTES) };
        release(&mut self.first, first);
        release(&mut self.rest, bytes.saturating_sub(first));
    }
}

async fn acquire(
    held: &mut Option<OwnedSemaphorePermit>,
    pool: &Arc<Semaphore>,
    bytes: usize,
) -> Result<(), BodyError> {
    let have = held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
    let more = bytes.div_ceil(PERMIT_BYTES).saturating_sub(have);
    if more == 0 {
        return Ok(());
    }
    let more = u32::try_from(more).map_err(|_| BodyError::TooLarge)?;
    let waiting = tokio::time::timeout(BUDGET_TIMEOUT, pool.clone().acquire_many_owned(more));
    let Ok(Ok(permit)) = waiting.await else { return Err(BodyError::OverBudget) };
    match held {
        Some(held) => held.merge(permit),
        None => *held = Some(permit),
    }
    Ok(())
}

fn release(held: &mut Option<OwnedSemaphorePermit>, bytes: usize) {
    let remaining = bytes.div_ceil(PERMIT_BYTES);
    if remaining == 0 {
        *held = None;
    } else if let Some(held) = held {
        drop(held.split(held.num_permits().saturating_sub(remaining)));
    }
}

/// A request's reservation while its body is read and parsed.
pub(crate) struct BodyClaim<'c, P> {
    pool: &'c BodyMemoryPool,
    class: MemoryClass,
    /// Validates the token. Awaited at most once, and only if more than [`UNBUDGETED_BYTES`] are
    /// needed.
    check_token: Pin<&'c mut P>,
    checked: bool,
    /// The error of the token check.
    refusal: Option<Error>,
    budget: BodyBudget,
}

impl<'c, P> BodyClaim<'c, P>
where
    P: Future<Output = Result<(), Error>> + Send,
{
    pub(crate) fn new(
        bodies: &'c BodyMemoryPool,
        class: MemoryClass,
        check_token: Pin<&'c mut P>,
    ) -> Self {
        Self {
            pool: bodies,
            class,
            check_token,
            checked: false,
            refusal: None,
            budget: BodyBudget::default(),
        }
    }

    /// Raises the reservation to a total of `bytes`.
    pub(crate) async fn grow(&mut self, bytes: usize) -> Result<(), BodyError> {
        if bytes <= UNBUDGETED_BYTES {
            return Ok(());
        }
        if self.class == MemoryClass::Authenticated && !self.checked {
            self.checked = true;
            if let Err(error) = self.check_token.as_mut().await {
                self.refusal = Some(error);
                return Err(BodyError::TokenRefused);
            }
        }
        self.budget.grow(self.pool, self.class, bytes).await
    }

    /// The error of the token check, after [`BodyError::TokenRefused`].
    pub(crate) fn take_refusal(&mut self) -> Option<Error> {
        self.refusal.take()
    }

    /// Moves the reservation to blocking work that continues even if the request is dropped.
    pub(crate) fn detach_budget(&mut self) -> BodyBudget {
        std::mem::take(&mut self.budget)
    }

    /// Takes back what [`Self::detach_budget`] returned.
    pub(crate) fn reattach_budget(&mut self, budget: BodyBudget) {
        self.budget = budget;
    }

    /// Ends reading and parsing: what stays reserved, for `bytes`, until the request is answered.
    pub(crate) fn finish(self, bytes: usize) -> BodyBudget {
        let mut budget = self.budget;
        budget.shrink(self.class, if bytes <= UNBUDGETED_BYTES { 0 } else { bytes });
        budget
    }
}

/// The maximum size of a body, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyLimits {
    /// For any body.
    pub(crate) bytes: usize,
    /// For a body whose content type is a form and that doesn't start like JSON.
    pub(crate) form_bytes: Option<usize>,
}

/// Why a body was not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// The declared length exceeds the limit; nothing of the body was read.
    DeclaredTooLarge,
    TooLarge,
    Truncated,
    /// The memory pool had no room within [`BUDGET_TIMEOUT`].
    OverBudget,
    /// The request needs more than [`UNBUDGETED_BYTES`], and its token is not valid.
    TokenRefused,
}

/// Reads a complete body into memory, reserving the memory first.
pub(crate) async fn read_body<B, P>(
    body: B,
    allowed: BodyLimits,
    claim: &mut BodyClaim<'_, P>,
) -> Result<Bytes, BodyError>
where
    B: HttpBody<Data = Bytes> + Send,
    P: Future<Output = Result<(), Error>> + Send,
{
    let declared = usize::try_from(body.size_hint().lower()).map_err(|_| BodyError::TooLarge)?;
    if declared > allowed.bytes {
        return Err(BodyError::DeclaredTooLarge);
    }
    let mut body = pin!(body);
    // Zeroized also if reading is abandoned halfway.
    let mut whole = Secret::new(Vec::new());
    let mut limit = None;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| BodyError::Truncated)?.into_data() else { continue };
        let (length, capacity) = (whole.expose_secret().len(), whole.expose_secret().capacity());
        let needed = length + data.len();
        // Until a byte that is not white space arrives, the limit is undecided.
        limit = limit.or_else(|| allowed.limit_for_content(&data));
        if needed > limit.unwrap_or_else(|| allowed.smallest_limit()) {
            return Err(BodyError::TooLarge);
        }
        if length == 0 && data.len() <= SMALL_BODY_BYTES && body.is_end_stream() {
            claim.grow(data.len()).await?;
            return Ok(data);
        }
        // Frames are copied into one buffer: keeping a one-byte frame would pin a receive buffer of
        // kilobytes.
        if needed > capacity {
            // A declared length reserves nothing: declaring one costs the client nothing.
            let expected = if declared >= needed { declared } else { allowed.bytes.max(needed) };
            let room =
                (2 * capacity).clamp(INITIAL_BUFFER_BYTES, expected.max(INITIAL_BUFFER_BYTES));
            let room = room.max(needed);
            claim.grow(room).await?;
            // Not grown in place: reallocation would leave a copy of the content in freed memory.
            let mut larger = Vec::with_capacity(room);
            larger.extend_from_slice(whole.expose_secret());
            whole = Secret::new(larger);
        }
        whole.expose_secret_mut().extend_from_slice(&data);
    }
    Ok(zeroize_on_drop(whole))
}

/// Shared bytes that are zeroized when the last clone is dropped.
pub(crate) fn zeroize_on_drop(bytes: Secret<Vec<u8>>) -> Bytes {
    struct ZeroizedBytes(Secret<Vec<u8>>);

    impl AsRef<[u8]> for ZeroizedBytes {
        fn as_ref(&self) -> &[u8] {
            self.0.expose_secret()
        }
    }

    if bytes.expose_secret().is_empty() {
        Bytes::new()
    } else {
        Bytes::from_owner(ZeroizedBytes(bytes))
    }
}

/// Reads and discards the rest of a body, up to its end or a little over `bytes`. Most clients send
/// the whole body before they read the response: if the connection were closed at once, they would
/// see a broken connection instead of it. If the declared length exceeds `bytes`, nothing is read,
/// because the client would not finish anyway.
pub(crate) async fn discard_body<B>(body: B, bytes: usize)
where
    B: HttpBody<Data = Bytes> + Send,
{
    let (mut body, mut read) = (pin!(body), 0);
    if usize::try_from(body.size_hint().lower()).map_or(true, |left| left > bytes) {
        return;
    }
    while read <= bytes
        && let Some(Ok(frame)) = body.frame().await
    {
        read += frame.data_ref().map_or(0, Bytes::len);
    }
}

impl BodyLimits {
    /// The limit, once a byte that isn't white space shows what the body is.
    fn limit_for_content(self, data: &[u8]) -> Option<usize> {
        let Some(form_bytes) = self.form_bytes else { return Some(self.bytes) };
        let first = data.trim_ascii_start().first()?;
        Some(if begins_json(*first) { self.bytes } else { form_bytes.min(self.bytes) })
    }

    fn smallest_limit(self) -> usize {
        self.form_bytes.map_or(self.bytes, |bytes| bytes.min(self.bytes))
    }
}

/// Whether a body that starts with this byte is treated as JSON, whatever its content type.
pub(crate) fn begins_json(first: u8) -> bool {
    matches!(first, b'{' | b'[')
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::task::{Context, Poll};

    use http_body_util::Full;
    use hyper::body::Frame;

    use super::*;
    use crate::freed_memory_scan;

    const PLAIN: BodyLimits = BodyLimits { bytes: 1 << 20, form_bytes: None };

    /// A body in frames, which either ends or stays pending for ever.
    fn chunked_body(
        pieces: Vec<&'static [u8]>,
        ends: bool,
    ) -> impl HttpBody<Data = Bytes, Error = Infallible> + Send {
        struct ChunkedTestBody(VecDeque<&'static [u8]>, bool);
        impl HttpBody for ChunkedTestBody {
            type Data = Bytes;
            type Error = Infallible;
            fn poll_frame(
                mut self: Pin<&mut Self>,
                _: &mut Context<'_>,
            ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
                match self.0.pop_front() {
                    Some(piece) => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(piece))))),
                    None if self.1 => Poll::Ready(None),
                    None => Poll::Pending,
                }
            }
        }
        ChunkedTestBody(pieces.into(), ends)
    }

    /// Reads the body of a request with a valid token, and returns it with the memory that stays
    /// reserved.
    async fn read_authenticated<B>(
        body: B,
        allowed: BodyLimits,
        bodies: &BodyMemoryPool,
    ) -> Result<(Bytes, BodyBudget), BodyError>
    where
        B: HttpBody<Data = Bytes> + Send,
    {
        let valid = pin!(std::future::ready(Ok(())));
        let mut claim = BodyClaim::new(bodies, MemoryClass::Authenticated, valid);
        let read = read_body(body, allowed, &mut claim).await?;
        let share = claim.finish(read.len());
        Ok((read, share))
    }

    fn free_permits(bodies: &BodyMemoryPool) -> (usize, usize) {
        (bodies.first.available_permits(), bodies.rest.available_permits())
    }

    #[tokio::test]
    async fn small_whole_bodies_take_no_budget_and_are_not_copied() {
        let bodies = BodyMemoryPool::new(0, 0, 0);
        let sent = Bytes::from(vec![b'x'; UNBUDGETED_BYTES]);
        let body = Full::new(sent.clone());
        let (read, share) = read_authenticated(body, PLAIN, &bodies).await.unwrap();
        assert_eq!(read.as_ptr(), sent.as_ptr());
        assert!(share.first.is_none() && share.rest.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn cve_2023_6337_unfinished_bodies_share_a_bounded_memory() {
        static LARGE: [u8; 100 << 10] = [b'x'; 100 << 10];
        let bodies = BodyMemoryPool::new(512 << 10, 128 << 10, 0);
        let before = free_permits(&bodies);
        assert_eq!(before, (128, 320));
        // Each takes 64 KiB of the first pool and 36 KiB of the second, and never ends.
        let mut waiting = Vec::new();
        for _ in 0..2 {
            let mut reading =
                Box::pin(read_authenticated(chunked_body(vec![&LARGE], false), PLAIN, &bodies));
            assert!(poll_once(reading.as_mut()).await.is_none());
            waiting.push(reading);
        }
        assert_eq!(free_permits(&bodies), (0, 320 - 2 * 36));
        let refused = read_authenticated(chunked_body(vec![&LARGE], true), PLAIN, &bodies).await;
        assert_eq!(refused.unwrap_err(), BodyError::OverBudget);
        // Small bodies in one frame are still accepted.
        assert!(
            read_authenticated(Full::new(Bytes::from_static(b"{}")), PLAIN, &bodies).await.is_ok()
        );
        drop(waiting);
        assert_eq!(free_permits(&bodies), before);
        let (read, share) =
            read_authenticated(chunked_body(vec![&LARGE, b"y"], true), PLAIN, &bodies)
                .await
                .unwrap();
        assert_eq!(read.len(), LARGE.len() + 1);
        assert_ne!(free_permits(&bodies), before, "a share is kept as long as its request");
        drop(share);
        assert_eq!(free_permits(&bodies), before);
    }

    /// The result of polling a future once; `None` if it is pending.
    async fn poll_once<T>(mut future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    #[tokio::test]
    async fn an_abandoned_body_is_zeroized() {
        const MARK: &[u8] = b"a value of a body that is given up";
        let bodies = BodyMemoryPool::new(64 << 20, 32 << 20, 0);
        let watched = freed_memory_scan::FreedMemoryScan::start(MARK);
        for ends in [false, true] {
            // When it doesn't end, the limit is large enough; when it does, the last frame exceeds
            // the limit.
            let allowed = BodyLimits { bytes: if ends { MARK.len() + 1 } else { 100 }, ..PLAIN };
            let body = chunked_body(vec![MARK, b"12"], ends);
            let mut reading = Box::pin(read_authenticated(body, allowed, &bodies));
            let read = poll_once(reading.as_mut()).await;
            assert_eq!(read.map(|read| read.unwrap_err()), ends.then_some(BodyError::TooLarge));
            drop(reading);
        }
        assert_eq!(watched.matches(), 0);
        drop(std::hint::black_box(MARK.to_vec()));
        assert_eq!(watched.matches(), 1, "the watch sees nothing");
    }

    #[tokio::test]
    async fn a_declared_length_reserves_no_memory() {
        let bodies = BodyMemoryPool::new(64 << 20, 32 << 20, 0);
        let before = free_permits(&bodies);
        let one: &'static [u8] = b"x";
        let mut reading =
            Box::pin(read_authenticated(chunked_body(vec![one; 5000], false), PLAIN, &bodies));
        assert!(poll_once(reading.as_mut()).await.is_none());
        assert_eq!(free_permits(&bodies), (before.0 - 8, before.1));
    }

    #[tokio::test]
    async fn discarding_a_body_is_bounded() {
        let left = async |ends: bool, bytes: usize| {
            let mut body = pin!(chunked_body(vec![b"0123456789"; 10], ends));
            assert!(
                poll_once(Box::pin(discard_body(body.as_mut(), bytes)).as_mut()).await.is_some()
            );
            let mut left = 0;
            while let Some(Some(Ok(_))) = poll_once(Box::pin(body.frame()).as_mut()).await {
                left += 1;
            }
            left
        };
        assert_eq!(left(true, 1000).await, 0);
        assert_eq!(left(false, 49).await, 5, "one that never ends is left");
    }

    #[tokio::test]
    async fn forms_have_a_limit_of_their_own_and_json_under_their_name_has_not() {
        let bodies = BodyMemoryPool::new(64 << 20, 32 << 20, 0);
        let allowed = BodyLimits { bytes: 100, form_bytes: Some(10) };
        let read = |parts| {
            let body = chunked_body(parts, true);
            let bodies = bodies.clone();
            async move { read_authenticated(body, allowed, &bodies).await.map(|(read, _)| read.len()) }
        };
        assert_eq!(read(vec![b"a=b&c=d".as_slice()]).await, Ok(7));
        assert_eq!(read(vec![b"a=b&c=d&e=f".as_slice()]).await, Err(BodyError::TooLarge));
        assert_eq!(read(vec![b" \n".as_slice(), b"{", b"\"a\": \"bcdef\"}"]).await, Ok(16));
        assert_eq!(read(vec![b"a".as_slice(), b"{}{}{}{}{}{}{}"]).await, Err(BodyError::TooLarge));
        assert_eq!(read(vec![b"          ".as_slice(), b" "]).await, Err(BodyError::TooLarge));
    }

    #[tokio::test]
    async fn cve_2023_6337_memory_for_large_bodies_is_only_for_valid_tokens() {
        let bodies = BodyMemoryPool::new(64 << 20, 32 << 20, 0);
        let before = free_permits(&bodies);
        for (class, valid, size, expected) in [
            (MemoryClass::Authenticated, false, UNBUDGETED_BYTES, Ok(0)),
            (MemoryClass::Authenticated, false, UNBUDGETED_BYTES + 1, Err(BodyError::TokenRefused)),
            (MemoryClass::Authenticated, true, UNBUDGETED_BYTES + 1, Ok(5)),
            (MemoryClass::Unauthenticated, false, UNBUDGETED_BYTES + 1, Ok(0)),
        ] {
            let check = std::sync::atomic::AtomicUsize::new(0);
            let token = pin!(async {
                check.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                if valid { Ok(()) } else { Err(Error::invalid_token()) }
            });
            let mut claim = BodyClaim::new(&bodies, class, token);
            let body = Full::new(Bytes::from(vec![b'x'; size]));
            let read = read_body(body, PLAIN, &mut claim).await;
            let taken = before.0 - free_permits(&bodies).0;
            assert_eq!(read.map(|_| taken), expected, "{class:?} {size}");
            let asked = class == MemoryClass::Authenticated && size > UNBUDGETED_BYTES;
            assert_eq!(check.into_inner(), usize::from(asked), "{class:?} {size}");
        }
    }

    #[tokio::test]
    async fn paths_without_a_token_take_nothing_of_the_memory_of_others() {
        let bodies = BodyMemoryPool::new(64 << 20, 32 << 20, 0);
        let before = free_permits(&bodies);
        let unused = pin!(std::future::ready(Ok(())));
        let mut claim = BodyClaim::new(&bodies, MemoryClass::Unauthenticated, unused);
        claim.grow(8 << 20).await.unwrap();
        assert_eq!(free_permits(&bodies), before);
        assert_eq!(bodies.unauthenticated.available_permits(), 0);
        let share = claim.finish(1 << 20);
        assert_eq!(bodies.unauthenticated.available_permits(), 7 << 10);
        drop(share);
        assert_eq!(bodies.unauthenticated.available_permits(), 8 << 10);
    }
}
