//! Bodies on their way in: bounded each, and all together.
//!
//! Whoever may send a body may leave it unfinished, and what it says may take far more memory than
//! its bytes. So the memory of requests in flight is shared out of [`Bodies`], in bytes: for a body
//! while it is read, and for its fields until the request is answered. A request that gets no share
//! in time is refused. A share of the memory for all is only for whoever has a valid token; paths
//! that need none have a smaller part of their own. What takes up to [`FREE`] needs no share: the
//! number of requests is limited before.

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

/// What a request may take without a share.
pub(crate) const FREE: usize = 4 << 10;
/// The part of each request that has a pool of its own, so that large ones leave room for small.
const SMALL: usize = 64 << 10;
/// How long a request waits for its share.
const PATIENCE: Duration = Duration::from_secs(2);
/// What a permit stands for: semaphores count in 32 bits.
const UNIT: usize = 1 << 10;
/// How large a buffer begins, if the length isn't declared.
const FIRST_BUFFER: usize = 4 << 10;

/// The memory that requests in flight may take together.
#[derive(Clone, Debug)]
pub struct Bodies {
    first: Arc<Semaphore>,
    rest: Arc<Semaphore>,
    unauthenticated: Arc<Semaphore>,
}

impl Bodies {
    /// A quarter of `bytes` is kept for the first 64 KiB of each request, an eighth is all that
    /// requests to paths without a token have. The rest is enough for one request of `largest`
    /// bytes at least, and the eighth for one of `largest_unauthenticated`: else they would never
    /// be taken.
    pub fn new(bytes: usize, largest: usize, largest_unauthenticated: usize) -> Self {
        let (quarter, eighth) = (bytes / 4, bytes / 8);
        let pool = |bytes: usize| {
            Arc::new(Semaphore::new(bytes.div_ceil(UNIT).min(Semaphore::MAX_PERMITS)))
        };
        Self {
            first: pool(quarter.max(SMALL)),
            rest: pool((bytes - quarter - eighth).max(largest)),
            unauthenticated: pool(eighth.max(largest_unauthenticated)),
        }
    }
}

#[cfg(test)]
impl Bodies {
    /// Bytes that nobody holds.
    pub(crate) fn available(&self) -> usize {
        let pools = [&self.first, &self.rest, &self.unauthenticated];
        pools.iter().map(|pool| pool.available_permits() * UNIT).sum()
    }
}

/// What a request takes at most whose body has so many bytes and fields: the body, its fields
/// beside it while they are built, and its head.
pub fn heaviest(body_bytes: usize, fields: usize) -> usize {
    let of_fields = fields.saturating_mul(FIELD_OVERHEAD);
    body_bytes.saturating_mul(2).saturating_add(of_fields).saturating_add(HEAVIEST_HEAD)
}

/// Bytes of a head, and what the fields of its query and its headers take beside them.
const HEAVIEST_HEAD: usize = 512 << 10;

/// Whose memory a request takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyClass {
    /// An operator's, at a path that is exempt from all limits. It is so small that it takes none;
    /// each connection has few of them.
    Exempt,
    /// At a path that needs no token.
    Unauthenticated,
    /// At a path that needs a token.
    Authenticated,
}

/// What one request holds of [`Bodies`]. Kept until the work on it ends.
#[derive(Debug, Default)]
pub struct Share {
    first: Option<OwnedSemaphorePermit>,
    rest: Option<OwnedSemaphorePermit>,
}

impl Share {
    /// Whether anything is held.
    pub(crate) fn is_some(&self) -> bool {
        self.first.is_some() || self.rest.is_some()
    }

    async fn grow(
        &mut self,
        bodies: &Bodies,
        class: BodyClass,
        bytes: usize,
    ) -> Result<(), Unread> {
        match class {
            BodyClass::Exempt => Ok(()),
            BodyClass::Unauthenticated => {
                take(&mut self.first, &bodies.unauthenticated, bytes).await
            }
            BodyClass::Authenticated => {
                take(&mut self.first, &bodies.first, bytes.min(SMALL)).await?;
                take(&mut self.rest, &bodies.rest, bytes.saturating_sub(SMALL)).await
            }
        }
    }

    /// Gives back what is more than so many bytes need.
    fn shrink(&mut self, class: BodyClass, bytes: usize) {
        let first = if class == BodyClass::Unauthenticated { bytes } else { bytes.min(SMALL) };
        give_back(&mut self.first, first);
        give_back(&mut self.rest, bytes.saturating_sub(first));
    }
}

async fn take(
    held: &mut Option<OwnedSemaphorePermit>,
    pool: &Arc<Semaphore>,
    bytes: usize,
) -> Result<(), Unread> {
    let have = held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
    let more = bytes.div_ceil(UNIT).saturating_sub(have);
    if more == 0 {
        return Ok(());
    }
    let more = u32::try_from(more).map_err(|_| Unread::TooLarge)?;
    let waiting = tokio::time::timeout(PATIENCE, pool.clone().acquire_many_owned(more));
    let Ok(Ok(permit)) = waiting.await else { return Err(Unread::Crowded) };
    match held {
        Some(held) => held.merge(permit),
        None => *held = Some(permit),
    }
    Ok(())
}

fn give_back(held: &mut Option<OwnedSemaphorePermit>, bytes: usize) {
    let kept = bytes.div_ceil(UNIT);
    if kept == 0 {
        *held = None;
    } else if let Some(held) = held {
        drop(held.split(held.num_permits().saturating_sub(kept)));
    }
}

/// A request's claim on the memory for all.
pub(crate) struct Claim<'c, P> {
    bodies: &'c Bodies,
    class: BodyClass,
    /// Looks the token up; asked at most once, and only for what takes more than [`FREE`].
    check_token: Pin<&'c mut P>,
    checked: bool,
    /// What the token was refused with.
    refusal: Option<Error>,
    share: Share,
}

impl<'c, P> Claim<'c, P>
where
    P: Future<Output = Result<(), Error>> + Send,
{
    pub(crate) fn new(bodies: &'c Bodies, class: BodyClass, check_token: Pin<&'c mut P>) -> Self {
        Self { bodies, class, check_token, checked: false, refusal: None, share: Share::default() }
    }

    /// Claims so many bytes altogether.
    pub(crate) async fn grow(&mut self, bytes: usize) -> Result<(), Unread> {
        if bytes <= FREE {
            return Ok(());
        }
        if self.class == BodyClass::Authenticated && !self.checked {
            self.checked = true;
            if let Err(error) = self.check_token.as_mut().await {
                self.refusal = Some(error);
                return Err(Unread::Refused);
            }
        }
        self.share.grow(self.bodies, self.class, bytes).await
    }

    /// What the token was refused with, after [`Unread::Refused`].
    pub(crate) fn take_refusal(&mut self) -> Option<Error> {
        self.refusal.take()
    }

    /// Gives the share to work that goes on if the request is given up.
    pub(crate) fn lend(&mut self) -> Share {
        std::mem::take(&mut self.share)
    }

    /// Takes the share back.
    pub(crate) fn take_back(&mut self, share: Share) {
        self.share = share;
    }

    /// What is held from now on until the request is answered.
    pub(crate) fn settle(self, bytes: usize) -> Share {
        let mut share = self.share;
        share.shrink(self.class, if bytes <= FREE { 0 } else { bytes });
        share
    }
}

/// How long a body may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowed {
    /// Any body.
    pub(crate) bytes: usize,
    /// One that is said to be a form, and doesn't begin as JSON does.
    pub(crate) form_bytes: Option<usize>,
}

/// Why a body was not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// It says so itself; nothing of it was asked for yet.
    Announced,
    TooLarge,
    CutOff,
    /// Others hold the memory there is.
    Crowded,
    /// It is too large to be read before a valid token is there, and none is.
    Refused,
}

/// Reads a body whole.
pub(crate) async fn collect<B, P>(
    body: B,
    allowed: Allowed,
    claim: &mut Claim<'_, P>,
) -> Result<Bytes, Unread>
where
    B: HttpBody<Data = Bytes> + Send,
    P: Future<Output = Result<(), Error>> + Send,
{
    let declared = usize::try_from(body.size_hint().lower()).map_err(|_| Unread::TooLarge)?;
    if declared > allowed.bytes {
        return Err(Unread::Announced);
    }
    let mut body = pin!(body);
    // Wiped also where the body is given up halfway.
    let mut whole = Secret::new(Vec::new());
    let mut limit = None;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Unread::CutOff)?.into_data() else { continue };
        let (length, capacity) = (whole.expose_secret().len(), whole.expose_secret().capacity());
        let needed = length + data.len();
        // What came before was blank, or there is a limit already.
        limit = limit.or_else(|| allowed.by_beginning(&data));
        if needed > limit.unwrap_or_else(|| allowed.smallest()) {
            return Err(Unread::TooLarge);
        }
        if length == 0 && data.len() <= SMALL && body.is_end_stream() {
            claim.grow(data.len()).await?;
            return Ok(data);
        }
        // Pieces are copied together: one of a byte pins a buffer of kilobytes.
        if needed > capacity {
            // Room that is only promised is not reserved: promises cost the client nothing.
            let expected = if declared >= needed { declared } else { allowed.bytes.max(needed) };
            let room = (2 * capacity).clamp(FIRST_BUFFER, expected.max(FIRST_BUFFER));
            let room = room.max(needed);
            claim.grow(room).await?;
            // Not grown in place: that would leave what it held behind.
            let mut larger = Vec::with_capacity(room);
            larger.extend_from_slice(whole.expose_secret());
            whole = Secret::new(larger);
        }
        whole.expose_secret_mut().extend_from_slice(&data);
    }
    Ok(wiped_when_dropped(whole))
}

/// Shared bytes that are wiped when the last one who has them drops them.
pub(crate) fn wiped_when_dropped(bytes: Secret<Vec<u8>>) -> Bytes {
    struct Wiped(Secret<Vec<u8>>);

    impl AsRef<[u8]> for Wiped {
        fn as_ref(&self) -> &[u8] {
            self.0.expose_secret()
        }
    }

    if bytes.expose_secret().is_empty() { Bytes::new() } else { Bytes::from_owner(Wiped(bytes)) }
}

/// Reads on and throws away, to the body's end or till so many bytes more were read. Most clients
/// send all they have before they listen: cut off, they would see a broken connection and never the
/// answer. Of a body that is longer for sure nothing is read: that would be in vain.
pub(crate) async fn discard<B>(body: B, bytes: usize)
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

impl Allowed {
    /// The limit, once a byte that isn't blank says what the body is.
    fn by_beginning(self, data: &[u8]) -> Option<usize> {
        let Some(form_bytes) = self.form_bytes else { return Some(self.bytes) };
        let first = data.trim_ascii_start().first()?;
        Some(if begins_json(*first) { self.bytes } else { form_bytes.min(self.bytes) })
    }

    fn smallest(self) -> usize {
        self.form_bytes.map_or(self.bytes, |bytes| bytes.min(self.bytes))
    }
}

/// Whether a body that begins so is JSON, whatever it is said to be.
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
    use crate::unwiped;

    const PLAIN: Allowed = Allowed { bytes: 1 << 20, form_bytes: None };

    /// A body in pieces that ends, or never does.
    fn pieces(
        pieces: Vec<&'static [u8]>,
        ends: bool,
    ) -> impl HttpBody<Data = Bytes, Error = Infallible> + Send {
        struct Pieces(VecDeque<&'static [u8]>, bool);
        impl HttpBody for Pieces {
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
        Pieces(pieces.into(), ends)
    }

    /// Reads the body of a request with a valid token, which then holds what its bytes need.
    async fn collect<B>(
        body: B,
        allowed: Allowed,
        bodies: &Bodies,
    ) -> Result<(Bytes, Share), Unread>
    where
        B: HttpBody<Data = Bytes> + Send,
    {
        let valid = pin!(std::future::ready(Ok(())));
        let mut claim = Claim::new(bodies, BodyClass::Authenticated, valid);
        let read = super::collect(body, allowed, &mut claim).await?;
        let share = claim.settle(read.len());
        Ok((read, share))
    }

    fn free(bodies: &Bodies) -> (usize, usize) {
        (bodies.first.available_permits(), bodies.rest.available_permits())
    }

    #[tokio::test]
    async fn what_is_small_and_whole_takes_no_share_and_is_not_copied() {
        let bodies = Bodies::new(0, 0, 0);
        let sent = Bytes::from(vec![b'x'; FREE]);
        let body = Full::new(sent.clone());
        let (read, share) = collect(body, PLAIN, &bodies).await.unwrap();
        assert_eq!(read.as_ptr(), sent.as_ptr());
        assert!(share.first.is_none() && share.rest.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn cve_2023_6337_unfinished_bodies_share_a_bounded_memory() {
        static LARGE: [u8; 100 << 10] = [b'x'; 100 << 10];
        let bodies = Bodies::new(512 << 10, 128 << 10, 0);
        let before = free(&bodies);
        assert_eq!(before, (128, 320));
        // Each takes 64 KiB of the first pool and 36 KiB of the other, and never ends.
        let mut waiting = Vec::new();
        for _ in 0..2 {
            let mut reading = Box::pin(collect(pieces(vec![&LARGE], false), PLAIN, &bodies));
            assert!(once(reading.as_mut()).await.is_none());
            waiting.push(reading);
        }
        assert_eq!(free(&bodies), (0, 320 - 2 * 36));
        let refused = collect(pieces(vec![&LARGE], true), PLAIN, &bodies).await;
        assert_eq!(refused.unwrap_err(), Unread::Crowded);
        // What is small and whole goes on.
        assert!(collect(Full::new(Bytes::from_static(b"{}")), PLAIN, &bodies).await.is_ok());
        drop(waiting);
        assert_eq!(free(&bodies), before);
        let (read, share) =
            collect(pieces(vec![&LARGE, b"y"], true), PLAIN, &bodies).await.unwrap();
        assert_eq!(read.len(), LARGE.len() + 1);
        assert_ne!(free(&bodies), before, "a share is kept as long as its request");
        drop(share);
        assert_eq!(free(&bodies), before);
    }

    /// What a future says when it is asked once.
    async fn once<T>(mut future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    #[tokio::test]
    async fn what_was_read_of_a_body_that_is_given_up_is_wiped() {
        const MARK: &[u8] = b"a value of a body that is given up";
        let bodies = Bodies::new(64 << 20, 32 << 20, 0);
        let watched = unwiped::Watch::begin(MARK);
        for ends in [false, true] {
            // Of the other one, the last piece is too much.
            let allowed = Allowed { bytes: if ends { MARK.len() + 1 } else { 100 }, ..PLAIN };
            let body = pieces(vec![MARK, b"12"], ends);
            let mut reading = Box::pin(collect(body, allowed, &bodies));
            let read = once(reading.as_mut()).await;
            assert_eq!(read.map(|read| read.unwrap_err()), ends.then_some(Unread::TooLarge));
            drop(reading);
        }
        assert_eq!(watched.found(), 0);
        drop(std::hint::black_box(MARK.to_vec()));
        assert_eq!(watched.found(), 1, "the watch sees nothing");
    }

    #[tokio::test]
    async fn a_promised_length_reserves_nothing_and_small_pieces_cost_their_bytes() {
        let bodies = Bodies::new(64 << 20, 32 << 20, 0);
        let before = free(&bodies);
        let one: &'static [u8] = b"x";
        let mut reading = Box::pin(collect(pieces(vec![one; 5000], false), PLAIN, &bodies));
        assert!(once(reading.as_mut()).await.is_none());
        assert_eq!(free(&bodies), (before.0 - 8, before.1));
    }

    #[tokio::test]
    async fn what_is_thrown_away_is_bounded() {
        let left = async |ends: bool, bytes: usize| {
            let mut body = pin!(pieces(vec![b"0123456789"; 10], ends));
            assert!(once(Box::pin(discard(body.as_mut(), bytes)).as_mut()).await.is_some());
            let mut left = 0;
            while let Some(Some(Ok(_))) = once(Box::pin(body.frame()).as_mut()).await {
                left += 1;
            }
            left
        };
        assert_eq!(left(true, 1000).await, 0);
        assert_eq!(left(false, 49).await, 5, "one that never ends is left");
    }

    #[tokio::test]
    async fn forms_have_a_limit_of_their_own_and_json_under_their_name_has_not() {
        let bodies = Bodies::new(64 << 20, 32 << 20, 0);
        let allowed = Allowed { bytes: 100, form_bytes: Some(10) };
        let read = |parts| {
            let body = pieces(parts, true);
            let bodies = bodies.clone();
            async move { collect(body, allowed, &bodies).await.map(|(read, _)| read.len()) }
        };
        assert_eq!(read(vec![b"a=b&c=d".as_slice()]).await, Ok(7));
        assert_eq!(read(vec![b"a=b&c=d&e=f".as_slice()]).await, Err(Unread::TooLarge));
        assert_eq!(read(vec![b" \n".as_slice(), b"{", b"\"a\": \"bcdef\"}"]).await, Ok(16));
        assert_eq!(read(vec![b"a".as_slice(), b"{}{}{}{}{}{}{}"]).await, Err(Unread::TooLarge));
        assert_eq!(read(vec![b"          ".as_slice(), b" "]).await, Err(Unread::TooLarge));
    }

    #[tokio::test]
    async fn cve_2023_6337_memory_for_large_bodies_is_only_for_valid_tokens() {
        let bodies = Bodies::new(64 << 20, 32 << 20, 0);
        let before = free(&bodies);
        for (class, valid, size, expected) in [
            (BodyClass::Authenticated, false, FREE, Ok(0)),
            (BodyClass::Authenticated, false, FREE + 1, Err(Unread::Refused)),
            (BodyClass::Authenticated, true, FREE + 1, Ok(5)),
            (BodyClass::Unauthenticated, false, FREE + 1, Ok(0)),
        ] {
            let check = std::sync::atomic::AtomicUsize::new(0);
            let token = pin!(async {
                check.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                if valid { Ok(()) } else { Err(Error::no_token()) }
            });
            let mut claim = Claim::new(&bodies, class, token);
            let body = Full::new(Bytes::from(vec![b'x'; size]));
            let read = super::collect(body, PLAIN, &mut claim).await;
            let taken = before.0 - free(&bodies).0;
            assert_eq!(read.map(|_| taken), expected, "{class:?} {size}");
            let asked = class == BodyClass::Authenticated && size > FREE;
            assert_eq!(check.into_inner(), usize::from(asked), "{class:?} {size}");
        }
    }

    #[tokio::test]
    async fn paths_without_a_token_take_nothing_of_the_memory_of_others() {
        let bodies = Bodies::new(64 << 20, 32 << 20, 0);
        let before = free(&bodies);
        let unused = pin!(std::future::ready(Ok(())));
        let mut claim = Claim::new(&bodies, BodyClass::Unauthenticated, unused);
        claim.grow(8 << 20).await.unwrap();
        assert_eq!(free(&bodies), before);
        assert_eq!(bodies.unauthenticated.available_permits(), 0);
        let share = claim.settle(1 << 20);
        assert_eq!(bodies.unauthenticated.available_permits(), 7 << 10);
        drop(share);
        assert_eq!(bodies.unauthenticated.available_permits(), 8 << 10);
    }
}
