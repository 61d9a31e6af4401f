//! Serves one connection: HTTP/1.1 or HTTP/2 on a stream, until the client leaves or exceeds a
//! timeout.
//!
//! An idle HTTP/1.1 connection is *parked*: its buffers are freed and only the stream is kept. The
//! first byte of the next request unparks it.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use strongroom_types::chain;

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

/// Maximum size of a request's head, in bytes; also the buffer that an incomplete head can occupy.
const HEAD_BYTES: u32 = 64 << 10;
/// How long a client may take to close an idle connection that the server shuts down.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a connection must be idle before it is parked.
const PARK_AFTER: Duration = Duration::from_millis(250);
/// The connection preface of an HTTP/2 client (RFC 9113, section 3.4).
const PREFACE: [u8; 24] = *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves a connection until the client disconnects or exceeds a timeout, the server stops, or
/// `needed` is cancelled because the slot is needed for another connection.
pub(crate) async fn serve_connection<S, F, A>(
    stream: S,
    timeouts: ConnectionTimeouts,
    stop: CancellationToken,
    needed: CancellationToken,
    respond: F,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request<Incoming>) -> A + Send + Sync + 'static,
    A: Future<Output = Response<Body>> + Send + 'static,
{
    let watch = ConnectionDeadlines::new(timeouts);
    let respond = Arc::new(respond);
    let service = service_fn(|request: Request<Incoming>| {
        let timer = watch.start_request(request.version() == Version::HTTP_2);
        let respond = respond.clone();
        // Boxed: otherwise an HTTP/1.1 connection would reserve this memory between requests as
        // well. The response future is large; created inside the box it is not moved.
        Box::pin(async move {
            let response = respond(request).await;
            Ok::<_, Infallible>(response.map(|body| ChunkedBody::new(body, timer)))
        })
    });
    let mut driver = ConnectionDriver::new(&watch, stop, needed, timeouts.header);
    let mut sniffer = ProtocolSniffer::new(TimedStream::new(stream, watch.clone()));
    let ended = driver.poll_until_done(None, |cx, stopping| sniffer.poll(cx, stopping)).await;
    let DriveOutcome::Done(Some(version)) = ended else { return };
    let mut stream = sniffer.into_stream();
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
        // Between two requests this ends hyper's connection state at once but leaves the stream
        // open.
        serving.as_mut().graceful_shutdown();
        let poll_result =
            std::future::poll_fn(|cx| Poll::Ready(serving.poll_without_shutdown(cx))).await;
        // A request had already started; it is the last one on this connection.
        let is_last = poll_result.is_pending();
        if is_last {
            let poll = |cx: &mut Context<'_>, _| serving.as_mut().poll(cx);
            log_outcome(driver.poll_until_done(None, poll).await);
        }
        let mut parked = {
            let parts = Pin::into_inner(serving).into_parts();
            ParkedConnection { unread: wipe_buffer(parts.read_buf), stream: parts.io.into_inner() }
        };
        if is_last || matches!(poll_result, Poll::Ready(Err(_))) {
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

/// Copies out the unread rest of a read buffer and overwrites the whole buffer, because it held
/// tokens, key shares and values. It is not overwritten if something else still references a part
/// of it.
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
        // Asking for more than the capacity behind the read position makes the buffer reclaim the
        // bytes in front of it.
        buffer.reserve(buffer.capacity() + 1);
        overwrite(&mut buffer);
    }
    unread
}

/// Logs how serving ended. Returns whether it was the idle timeout, after which the connection is
/// closed gracefully.
fn log_outcome(ended: DriveOutcome<hyper::Result<()>>) -> bool {
    match ended {
        DriveOutcome::Done(Ok(())) | DriveOutcome::Idle => {}
        DriveOutcome::Done(Err(error)) => {
            tracing::debug!(error = %chain(&error), "a connection failed");
        }
        DriveOutcome::TimedOut(TimedOut::Idle) => return true,
        DriveOutcome::Evicted => tracing::debug!("a connection was evicted"),
        DriveOutcome::TimedOut(late) => {
            tracing::debug!(?late, "a client took too long and was cut off");
        }
    }
    false
}

/// How polling a connection ended.
enum DriveOutcome<T> {
    Done(T),
    TimedOut(TimedOut),
    /// The connection has been idle for the given time.
    Idle,
    /// The connection must close to free its slot for another one.
    Evicted,
}

/// Polls a connection's future while watching its deadlines, the server's shutdown and the eviction
/// token.
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

    /// Polls until the future ends, a deadline passes, the connection has been idle for `idle`, or
    /// it is evicted. `poll` gets `true` once, when the server stops.
    ///
    /// The connection is polled before the deadline is computed, because what it just did changes
    /// the deadline. The timer is reset only if it would fire too late, so that short requests
    /// never touch it.
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

    /// Runs the closing of a connection for at most [`CLOSE_TIMEOUT`], or until it is evicted.
    async fn close_gracefully(&self, ending: impl Future) {
        let bounded = tokio::time::timeout(CLOSE_TIMEOUT, ending);
        let _ = self.eviction.run_until_cancelled(bounded).await;
    }
}

/// Reads the first bytes of a connection to detect the HTTP version.
struct ProtocolSniffer<S> {
    stream: S,
    read: [u8; PREFACE.len()],
    filled: usize,
}

impl<S: AsyncRead + Unpin> ProtocolSniffer<S> {
    fn new(stream: S) -> Self {
        Self { stream, read: [0; PREFACE.len()], filled: 0 }
    }

    /// The version; `None` if the client disconnected or the server stops.
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

/// An idle HTTP/1.1 connection without buffers.
struct ParkedConnection<S> {
    /// Bytes of the next request that were already received.
    unread: Bytes,
    stream: RewoundStream<S>,
}

impl<S: AsyncRead + Unpin> ParkedConnection<S> {
    /// Whether more bytes arrived; `false` if the client disconnected or the server stops.
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
        // `ConnectionDeadlines` times the head. Hyper's timeout would count the idle time between
        // requests as well.
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

    /// Serves one end of a stream, lets the client act on the other and then go silent, and returns
    /// after how many seconds of silence the connection was closed.
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
        // Half an HTTP/2 preface doesn't extend it, although the version is not known yet.
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
            // The client answers pings and accepts 64 KiB, the initial window, and never enlarges
            // it.
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

    /// Waits in the paused time of these tests.
    async fn pause_for(secs: u64) {
        tokio::time::sleep_until(Instant::now() + Duration::from_secs(secs)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_parked_connection_is_served_again() {
        let patient = async |mut stream: DuplexStream| {
            for pause in [0, 2, 2, 100, 0] {
                pause_for(pause).await;
                // The head is sent in two pieces, so that its first byte unparks the connection.
                stream.write_all(&GET[..1]).await.unwrap();
                tokio::task::yield_now().await;
                stream.write_all(&GET[1..]).await.unwrap();
                read_answer(&mut stream).await;
            }
            stream
        };
        assert_eq!(silence_before_close(patient).await, 300);
    }

    /// A stream that records the size of the buffer it is read into.
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
