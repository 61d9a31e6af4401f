//! One connection: HTTP/1.1 or HTTP/2 over a stream, for as long as the client keeps pace.
//!
//! A connection of HTTP/1.1 that has nothing to do is *parked*: its buffers are given back and only
//! the stream is kept. With the first byte of the next request it is served again.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

use crate::Body;
use crate::chunked_body::ChunkedBody;
use crate::connection_deadlines::{ConnectionDeadlines, ConnectionTimeouts, TimedOut};
use crate::stream::{RewoundStream, TimedStream};

/// Bytes of a request's head; a buffer that large is all that a half-sent head can hold.
const HEAD_BYTES: u32 = 64 << 10;
/// How long a client may take to see that an idle connection ends.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a connection has nothing to do before its buffers are given back.
const PARK_AFTER: Duration = Duration::from_millis(250);
/// What a client begins with that speaks HTTP/2 (RFC 9113, section 3.4).
const PREFACE: [u8; 24] = *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves until the client goes or is too late, the server stops, or the connection is `needed` to make
/// room for another one.
pub(crate) async fn serve_connection<S, F, A>(
    stream: S,
    timeouts: ConnectionTimeouts,
    stop: CancellationToken,
    needed: CancellationToken,
    answer: F,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request<Incoming>) -> A + Send + Sync + 'static,
    A: Future<Output = Response<Body>> + Send + 'static,
{
    let watch = ConnectionDeadlines::new(timeouts);
    let answer = Arc::new(answer);
    let service = service_fn(|request: Request<Incoming>| {
        let turn = watch.start_request(request.version() == Version::HTTP_2);
        let answer = answer.clone();
        // Boxed: a connection of HTTP/1.1 keeps room for it between two requests as well. The future
        // of the answer is large; made in here it is not moved.
        Box::pin(async move {
            let response = answer(request).await;
            Ok::<_, Infallible>(response.map(|body| ChunkedBody::new(body, turn)))
        })
    });
    let mut driver = ConnectionDriver::new(&watch, stop, needed, timeouts.header);
    let mut beginning = ProtocolSniffer::new(TimedStream::new(stream, watch.clone()));
    let ended = driver.poll_until_done(None, |cx, stopping| beginning.poll(cx, stopping)).await;
    let DriveOutcome::Done(Some(version)) = ended else { return };
    let mut stream = beginning.into_stream();
    if version == Version::HTTP_2 {
        let mut serving =
            Box::pin(http2_builder().serve_connection(TokioIo::new(stream), &service));
        let poll = |cx: &mut Context<'_>, stopping| {
            if stopping {
                serving.as_mut().graceful_shutdown();
            }
            serving.as_mut().poll(cx)
        };
        if log_outcome(driver.poll_until_done(None, poll).await) {
            serving.as_mut().graceful_shutdown();
            driver.close_gracefully(serving).await;
        }
        return;
    }
    loop {
        let mut serving =
            Box::pin(http1_builder().serve_connection(TokioIo::new(stream), &service));
        let mut poll = |cx: &mut Context<'_>, stopping| {
            if stopping {
                serving.as_mut().graceful_shutdown();
            }
            serving.as_mut().poll(cx)
        };
        let ended = driver.poll_until_done(Some(PARK_AFTER), &mut poll).await;
        if !matches!(ended, DriveOutcome::Idle) {
            if log_outcome(ended) {
                serving.as_mut().graceful_shutdown();
                driver.close_gracefully(serving.as_mut()).await;
            }
            wipe_buffer(Pin::into_inner(serving).into_parts().read_buf);
            return;
        }
        // Between two requests this ends the connection's state at once, and not its stream.
        serving.as_mut().graceful_shutdown();
        let given_up =
            std::future::poll_fn(|cx| Poll::Ready(serving.poll_without_shutdown(cx))).await;
        // It was about to begin a request, which is its last.
        let is_last = given_up.is_pending();
        if is_last {
            let poll = |cx: &mut Context<'_>, _| serving.as_mut().poll(cx);
            log_outcome(driver.poll_until_done(None, poll).await);
        }
        let mut parked = {
            let parts = Pin::into_inner(serving).into_parts();
            ParkedConnection { unread: wipe_buffer(parts.read_buf), stream: parts.io.into_inner() }
        };
        if is_last || matches!(given_up, Poll::Ready(Err(_))) {
            return;
        }
        match driver.poll_until_done(None, |cx, stopping| parked.poll(cx, stopping)).await {
            DriveOutcome::Done(true) => stream = parked.into_stream(),
            _ => {
                driver.close_gracefully(parked.stream.shutdown()).await;
                return;
            }
        }
    }
}

/// What of a buffer was not read yet, copied out of it. The whole buffer is wiped, for it held tokens,
/// key shares and values; unless something still refers to a part of it.
fn wipe_buffer(buffer: Bytes) -> Bytes {
    let unread = Bytes::copy_from_slice(&buffer);
    if let Ok(mut buffer) = buffer.try_into_mut() {
        buffer.clear();
        let overwrite = |buffer: &mut BytesMut| {
            for byte in buffer.spare_capacity_mut() {
                byte.write(0);
            }
        };
        overwrite(&mut buffer);
        // Asked for more than there is behind what was read, it takes the room before that back.
        buffer.reserve(buffer.capacity() + 1);
        overwrite(&mut buffer);
    }
    unread
}

/// Notes how serving ended. Whether it is an idle connection that is to be ended in order.
fn log_outcome(ended: DriveOutcome<hyper::Result<()>>) -> bool {
    match ended {
        DriveOutcome::Done(Ok(())) | DriveOutcome::Idle => {}
        DriveOutcome::Done(Err(error)) => tracing::debug!(%error, "a connection ended badly"),
        DriveOutcome::TimedOut(TimedOut::Idle) => return true,
        DriveOutcome::Evicted => tracing::debug!("a connection made room"),
        DriveOutcome::TimedOut(late) => {
            tracing::debug!(?late, "a client took too long and was cut off");
        }
    }
    false
}

/// How something that a connection does ended.
enum DriveOutcome<T> {
    Done(T),
    TimedOut(TimedOut),
    /// There has been nothing to do for a while.
    Idle,
    /// It makes room for another connection.
    Evicted,
}

/// Polls what a connection does, and watches the time, the end of the server and whether the connection
/// is to make room.
struct ConnectionDriver<'w> {
    deadlines: &'w ConnectionDeadlines,
    stop: CancellationToken,
    eviction: CancellationToken,
    timer: Pin<Box<Sleep>>,
}

impl<'w> ConnectionDriver<'w> {
    fn new(
        watch: &'w ConnectionDeadlines,
        stop: CancellationToken,
        needed: CancellationToken,
        first: Duration,
    ) -> Self {
        let timer = Box::pin(tokio::time::sleep_until(tokio::time::Instant::now() + first));
        Self { deadlines: watch, stop, eviction: needed, timer }
    }

    /// Polls until it ends, the client is late, there is nothing to do for as long as `idle`, or room is
    /// needed. `poll` is told once when the server stops.
    ///
    /// The connection is asked first: what it just did decides what it is waited for. The timer is
    /// moved only where it would ring too late, so that quick requests never move it.
    async fn poll_until_done<T>(
        &mut self,
        idle: Option<Duration>,
        mut poll: impl FnMut(&mut Context<'_>, bool) -> Poll<T>,
    ) -> DriveOutcome<T> {
        let Self { deadlines: watch, stop, eviction: needed, timer } = self;
        let mut stopping = pin!(stop.cancelled());
        let mut needed = pin!(needed.cancelled());
        let mut stopped = false;
        let due = || {
            let late = watch.next_deadline().map(|(due, late)| (due, DriveOutcome::TimedOut(late)));
            let idle = idle.and_then(|idle| watch.idle_since()?.checked_add(idle));
            let idle = idle.map(|due| (due, DriveOutcome::Idle));
            late.into_iter().chain(idle).min_by_key(|(due, _)| *due)
        };
        std::future::poll_fn(|cx| {
            let stops = !stopped && stopping.as_mut().poll(cx).is_ready();
            stopped |= stops;
            if let Poll::Ready(done) = poll(cx, stops) {
                return Poll::Ready(DriveOutcome::Done(done));
            }
            if needed.as_mut().poll(cx).is_ready() {
                return Poll::Ready(DriveOutcome::Evicted);
            }
            while let Some((due, ended)) = due() {
                if due < timer.deadline() {
                    timer.as_mut().reset(due);
                }
                std::task::ready!(timer.as_mut().poll(cx));
                if due <= timer.deadline() {
                    return Poll::Ready(ended);
                }
                timer.as_mut().reset(due);
            }
            Poll::Pending
        })
        .await
    }

    /// Gives the end of a connection as long as a client may take to see it, unless room is needed.
    async fn close_gracefully(&self, ending: impl Future) {
        let bounded = tokio::time::timeout(CLOSE_TIMEOUT, ending);
        let _ = self.eviction.run_until_cancelled(bounded).await;
    }
}

/// The first bytes of a connection, which tell the version of HTTP.
struct ProtocolSniffer<S> {
    stream: S,
    read: [u8; PREFACE.len()],
    filled: usize,
}

impl<S: AsyncRead + Unpin> ProtocolSniffer<S> {
    fn new(stream: S) -> Self {
        Self { stream, read: [0; PREFACE.len()], filled: 0 }
    }

    /// The version; none if the client went, or the server stops.
    fn poll(&mut self, cx: &mut Context<'_>, stopping: bool) -> Poll<Option<Version>> {
        if stopping {
            return Poll::Ready(None);
        }
        loop {
            let mut buffer = ReadBuf::new(&mut self.read);
            buffer.set_filled(self.filled);
            let read = Pin::new(&mut self.stream).poll_read(cx, &mut buffer);
            let filled = buffer.filled().len();
            if std::task::ready!(read).is_err() {
                return Poll::Ready(None);
            }
            let ended = filled == self.filled;
            self.filled = filled;
            if ended && filled == 0 {
                return Poll::Ready(None);
            }
            let begins = self.read.get(..filled) == PREFACE.get(..filled);
            if ended || !begins {
                return Poll::Ready(Some(Version::HTTP_11));
            }
            if filled == PREFACE.len() {
                return Poll::Ready(Some(Version::HTTP_2));
            }
        }
    }

    fn into_stream(self) -> RewoundStream<S> {
        let read = self.read.get(..self.filled).unwrap_or_default();
        RewoundStream::new(Bytes::copy_from_slice(read), self.stream)
    }
}

/// A connection without anything to do.
struct ParkedConnection<S> {
    /// What came of the next request already.
    unread: Bytes,
    stream: RewoundStream<S>,
}

impl<S: AsyncRead + Unpin> ParkedConnection<S> {
    /// Whether more came; not if the client went, or the server stops.
    fn poll(&mut self, cx: &mut Context<'_>, stopping: bool) -> Poll<bool> {
        if stopping {
            return Poll::Ready(false);
        }
        let mut some = [0; 64];
        let mut buffer = ReadBuf::new(&mut some);
        let read = std::task::ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer));
        let came = buffer.filled();
        if read.is_err() || came.is_empty() {
            return Poll::Ready(false);
        }
        self.unread = Bytes::from([&self.unread, came].concat());
        Poll::Ready(true)
    }

    fn into_stream(self) -> RewoundStream<S> {
        self.stream.preceded_by(self.unread)
    }
}

fn http1_builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // The watch does it: this one would count the time between two requests as well.
        .header_read_timeout(None)
        .max_buf_size(HEAD_BYTES as usize);
    builder
}

fn http2_builder() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(256)
        .max_header_list_size(HEAD_BYTES)
        .max_send_buf_size(crate::connection_deadlines::WRITE_STEP_BYTES)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use bytes::Bytes;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio::time::Instant;

    use super::*;

    const TIMEOUTS: ConnectionTimeouts = ConnectionTimeouts {
        handshake: Duration::from_secs(1),
        header: Duration::from_secs(10),
        body: Duration::from_secs(20),
        write: Duration::from_secs(30),
        idle: Duration::from_secs(300),
        shutdown: Duration::from_secs(1),
    };
    const ANSWER: usize = 1 << 20;

    async fn respond(request: Request<Incoming>) -> Response<Body> {
        let size = if request.uri().path() == "/large" { ANSWER } else { 2 };
        Response::new(Body::new(Bytes::from(vec![b'x'; size])))
    }

    /// Serves one end, lets a client do something with the other and then nothing more, and says
    /// after how many seconds of silence the connection was ended.
    async fn silence_before_close<C>(client: impl FnOnce(DuplexStream) -> C) -> u64
    where
        C: Future,
    {
        let (ours, theirs) = tokio::io::duplex(16 << 10);
        let never = CancellationToken::new();
        let serving = serve_connection(ours, TIMEOUTS, never.clone(), never, respond);
        let doing = async {
            let kept = client(theirs).await;
            let silent = Instant::now();
            (kept, silent)
        };
        let both = async { tokio::join!(serving, doing) };
        let ended = tokio::time::timeout(Duration::from_secs(3600), both).await;
        let ((), (_kept, silent)) = ended.expect("a connection that is never ended");
        silent.elapsed().as_secs()
    }

    const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n";

    async fn read_answer(stream: &mut DuplexStream) {
        let mut read = Vec::new();
        while !read.ends_with(b"xx") {
            assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0, "closed too early");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn cve_2025_12044_a_silent_connection_ends_at_the_header_timeout() {
        assert_eq!(silence_before_close(|stream| async { stream }).await, 10);
        // Nor does half a preface of HTTP/2 help, for which the version is waited.
        let half = async |mut stream: DuplexStream| {
            stream.write_all(b"PRI * HT").await.unwrap();
            stream
        };
        assert_eq!(silence_before_close(half).await, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn cve_2025_12044_half_a_head_ends_at_the_header_timeout_not_the_idle_one() {
        let first = async |mut stream: DuplexStream| {
            stream.write_all(&GET[..20]).await.unwrap();
            stream
        };
        assert_eq!(silence_before_close(first).await, 10);
        let second = async |mut stream: DuplexStream| {
            stream.write_all(GET).await.unwrap();
            read_answer(&mut stream).await;
            tokio::time::advance(Duration::from_secs(100)).await;
            stream.write_all(&GET[..20]).await.unwrap();
            stream
        };
        assert_eq!(silence_before_close(second).await, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn cve_2025_12044_a_head_has_a_bound() {
        let wordy = async |mut stream: DuplexStream| {
            let mut head = b"GET /a HTTP/1.1\r\nx: ".to_vec();
            head.resize(HEAD_BYTES as usize, b'x');
            stream.write_all(&head).await.unwrap();
            let mut answer = vec![0; 12];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(answer, b"HTTP/1.1 431");
            stream
        };
        assert_eq!(silence_before_close(wordy).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_does_not_wait_for_the_rest_of_the_next_head() {
        let ahead = async |mut stream: DuplexStream| {
            stream.write_all(&[GET, &GET[..20]].concat()).await.unwrap();
            read_answer(&mut stream).await;
            stream
        };
        silence_before_close(ahead).await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_lives_for_the_idle_timeout_after_its_last_request() {
        let polite = async |mut stream: DuplexStream| {
            for _ in 0..3 {
                stream.write_all(GET).await.unwrap();
                read_answer(&mut stream).await;
                tokio::time::advance(Duration::from_secs(100)).await;
            }
            stream.write_all(GET).await.unwrap();
            read_answer(&mut stream).await;
            stream
        };
        assert_eq!(silence_before_close(polite).await, 300);
    }

    #[tokio::test(start_paused = true)]
    async fn cve_2025_12044_a_client_that_never_reads_its_answer_is_cut_off() {
        let deaf = async |mut stream: DuplexStream| {
            stream.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
            stream
        };
        assert_eq!(silence_before_close(deaf).await, 30);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_gets_all_of_its_answer() {
        let slow = async |mut stream: DuplexStream| {
            stream.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
            let (mut read, mut piece) = (0, vec![0; 16 << 10]);
            while read < ANSWER {
                tokio::time::advance(Duration::from_secs(5)).await;
                let bytes = stream.read(&mut piece).await.unwrap();
                assert_ne!(bytes, 0, "cut off after {read} bytes");
                read += bytes;
            }
            stream
        };
        assert_eq!(silence_before_close(slow).await, 300);
    }

    #[tokio::test(start_paused = true)]
    async fn cve_2025_12044_a_stream_without_a_window_ends_its_connection() {
        let deaf = async |stream: DuplexStream| {
            let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
            let tasks = tokio_util::task::TaskTracker::new();
            tasks.spawn(connection);
            let request = Request::get("http://a/large").body(()).unwrap();
            let (answer, _) = client.send_request(request, true).unwrap();
            // It answers pings and takes 64 KiB, the first window; then no more is given.
            (answer.await.unwrap(), client)
        };
        assert_eq!(silence_before_close(deaf).await, 30);
    }

    #[tokio::test(start_paused = true)]
    async fn idle_http_2_does_not_hit_the_header_timeout() {
        let idle = async |stream: DuplexStream| {
            let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
            let tasks = tokio_util::task::TaskTracker::new();
            tasks.spawn(connection);
            let request = Request::get("http://a/a").body(()).unwrap();
            let (answer, _) = client.send_request(request, true).unwrap();
            let mut body = answer.await.unwrap().into_body();
            while body.data().await.is_some() {}
            client
        };
        let seconds = silence_before_close(idle).await;
        assert!((299..=301).contains(&seconds), "{seconds}");
    }

    /// In the paused time of these tests.
    async fn pause_for(secs: u64) {
        tokio::time::sleep_until(Instant::now() + Duration::from_secs(secs)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_parked_connection_is_served_again() {
        let patient = async |mut stream: DuplexStream| {
            for pause in [0, 2, 2, 100, 0] {
                pause_for(pause).await;
                // Its head comes in two pieces, so that the first byte wakes it.
                stream.write_all(&GET[..1]).await.unwrap();
                tokio::task::yield_now().await;
                stream.write_all(&GET[1..]).await.unwrap();
                read_answer(&mut stream).await;
            }
            stream
        };
        assert_eq!(silence_before_close(patient).await, 300);
    }

    /// A stream that notes how large the buffer is that it is read into.
    struct BufferSizeProbe(DuplexStream, Arc<AtomicUsize>);

    impl AsyncRead for BufferSizeProbe {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<std::io::Result<()>> {
            self.1.store(buffer.remaining(), Ordering::Relaxed);
            Pin::new(&mut self.0).poll_read(cx, buffer)
        }
    }

    impl AsyncWrite for BufferSizeProbe {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<std::io::Result<usize>> {
            Pin::new(&mut self.0).poll_write(cx, bytes)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Pin::new(&mut self.0).poll_flush(cx)
        }

        fn poll_shutdown(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<std::io::Result<()>> {
            Pin::new(&mut self.0).poll_shutdown(cx)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_anything_to_do_waits_with_a_small_buffer() {
        let (ours, mut client) = tokio::io::duplex(16 << 10);
        let buffer_bytes = Arc::new(AtomicUsize::new(0));
        let ours = BufferSizeProbe(ours, buffer_bytes.clone());
        let never = CancellationToken::new();
        let serving = serve_connection(ours, TIMEOUTS, never.clone(), never, respond);
        let doing = async {
            for _ in 0..2 {
                client.write_all(GET).await.unwrap();
                read_answer(&mut client).await;
                pause_for(0).await;
                assert!(buffer_bytes.load(Ordering::Relaxed) > 1024, "it is parked too soon");
                pause_for(1).await;
                assert_eq!(buffer_bytes.load(Ordering::Relaxed), 64);
            }
            drop(client);
        };
        tokio::join!(serving, doing);
    }

    #[tokio::test(start_paused = true)]
    async fn cve_2025_12044_half_a_head_of_a_parked_connection_ends_at_the_header_timeout() {
        let parked = async |mut stream: DuplexStream| {
            stream.write_all(GET).await.unwrap();
            read_answer(&mut stream).await;
            pause_for(60).await;
            stream.write_all(&GET[..20]).await.unwrap();
            stream
        };
        assert_eq!(silence_before_close(parked).await, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_began_before_the_answer_was_out_survives_parking() {
        let ahead = async |mut stream: DuplexStream| {
            stream.write_all(&[GET, &GET[..20]].concat()).await.unwrap();
            read_answer(&mut stream).await;
            pause_for(5).await;
            stream.write_all(&GET[20..]).await.unwrap();
            read_answer(&mut stream).await;
            stream
        };
        assert_eq!(silence_before_close(ahead).await, 300);
    }
}
