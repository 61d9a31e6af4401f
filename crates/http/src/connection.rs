//! One connection: HTTP/1.1 or HTTP/2 over a stream, for as long as the client keeps pace.

use std::convert::Infallible;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use crate::Body;
use crate::paced::Paced;
use crate::stream::Watched;
use crate::watch::{Late, Timeouts, Watch};

/// Bytes of a request's head; a buffer that large is all that a half-sent head can hold.
const HEAD_BYTES: u32 = 64 << 10;
/// How long a client may take to see that an idle connection ends.
const GOODBYE: Duration = Duration::from_secs(1);

/// Serves until the client goes or is too late, or the server stops.
pub(crate) async fn serve<S, F, A>(
    stream: S,
    timeouts: Timeouts,
    stop: CancellationToken,
    answer: F,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request<Incoming>) -> A,
    A: Future<Output = Response<Body>> + Send + 'static,
{
    let watch = Watch::new(timeouts);
    let service = service_fn(|request: Request<Incoming>| {
        let turn = watch.begin(request.version() == Version::HTTP_2);
        let answering = answer(request);
        async move {
            let response = answering.await;
            Ok::<_, Infallible>(response.map(|body| Paced::new(body, turn)))
        }
    });
    let builder = protocols();
    let stream = TokioIo::new(Watched::new(stream, watch.clone()));
    let mut serving = pin!(builder.serve_connection(stream, service));
    let mut stopping = pin!(stop.cancelled());
    let mut stopped = false;
    let start = tokio::time::Instant::now() + timeouts.header;
    let mut timer = pin!(tokio::time::sleep_until(start));
    // The connection is asked first: what it just did decides what it is waited for. The timer is
    // moved only where it would ring too late, so that quick requests never move it.
    let ended = std::future::poll_fn(|cx| {
        if !stopped && stopping.as_mut().poll(cx).is_ready() {
            stopped = true;
            serving.as_mut().graceful_shutdown();
        }
        if let Poll::Ready(ended) = serving.as_mut().poll(cx) {
            return Poll::Ready(Ok(ended));
        }
        while let Some((due, late)) = watch.due() {
            if due < timer.deadline() {
                timer.as_mut().reset(due);
            }
            std::task::ready!(timer.as_mut().poll(cx));
            if due <= timer.deadline() {
                return Poll::Ready(Err(late));
            }
            timer.as_mut().reset(due);
        }
        Poll::Pending
    })
    .await;
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(error, "a connection ended badly"),
        Err(Late::Idle) => {
            serving.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(GOODBYE, serving).await;
        }
        Err(late) => tracing::debug!(?late, "a client took too long and was cut off"),
    }
}

fn protocols() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // The watch does it: this one would count the time between two requests as well.
        .header_read_timeout(None)
        .max_buf_size(HEAD_BYTES as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(256)
        .max_header_list_size(HEAD_BYTES)
        .max_send_buf_size(crate::watch::STEP)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio::time::Instant;

    use super::*;

    const TIMEOUTS: Timeouts = Timeouts {
        handshake: Duration::from_secs(1),
        header: Duration::from_secs(10),
        body: Duration::from_secs(20),
        write: Duration::from_secs(30),
        idle: Duration::from_secs(300),
        shutdown: Duration::from_secs(1),
    };
    const ANSWER: usize = 1 << 20;

    async fn answer(request: Request<Incoming>) -> Response<Body> {
        let size = if request.uri().path() == "/large" { ANSWER } else { 2 };
        Response::new(Body::new(Bytes::from(vec![b'x'; size])))
    }

    /// Serves one end, lets a client do something with the other and then nothing more, and says
    /// after how many seconds of silence the connection was ended.
    async fn silence<C>(client: impl FnOnce(DuplexStream) -> C) -> u64
    where
        C: Future,
    {
        let (ours, theirs) = tokio::io::duplex(16 << 10);
        let serving = serve(ours, TIMEOUTS, CancellationToken::new(), answer);
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
        assert_eq!(silence(|stream| async { stream }).await, 10);
        // Nor does half a preface of HTTP/2 help, for which the version is waited.
        let half = async |mut stream: DuplexStream| {
            stream.write_all(b"PRI * HT").await.unwrap();
            stream
        };
        assert_eq!(silence(half).await, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn cve_2025_12044_half_a_head_ends_at_the_header_timeout_not_the_idle_one() {
        let first = async |mut stream: DuplexStream| {
            stream.write_all(&GET[..20]).await.unwrap();
            stream
        };
        assert_eq!(silence(first).await, 10);
        let second = async |mut stream: DuplexStream| {
            stream.write_all(GET).await.unwrap();
            read_answer(&mut stream).await;
            tokio::time::advance(Duration::from_secs(100)).await;
            stream.write_all(&GET[..20]).await.unwrap();
            stream
        };
        assert_eq!(silence(second).await, 10);
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
        assert_eq!(silence(wordy).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_does_not_wait_for_the_rest_of_the_next_head() {
        let ahead = async |mut stream: DuplexStream| {
            stream.write_all(&[GET, &GET[..20]].concat()).await.unwrap();
            read_answer(&mut stream).await;
            stream
        };
        silence(ahead).await;
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
        assert_eq!(silence(polite).await, 300);
    }

    #[tokio::test(start_paused = true)]
    async fn cve_2025_12044_a_client_that_never_reads_its_answer_is_cut_off() {
        let deaf = async |mut stream: DuplexStream| {
            stream.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
            stream
        };
        assert_eq!(silence(deaf).await, 30);
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
        assert_eq!(silence(slow).await, 300);
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
        assert_eq!(silence(deaf).await, 30);
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_http_2_connection_is_not_taken_for_half_a_head() {
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
        let seconds = silence(idle).await;
        assert!((299..=301).contains(&seconds), "{seconds}");
    }
}
