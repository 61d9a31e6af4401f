//! Combines many small writes into one.
//!
//! HTTP/2 flushes after nearly every frame, and each flush would be a TLS record and a system call.
//! A [`WriteCoalescer`] buffers the data and reports it as flushed; the task that drives the
//! connection writes it out with [`WriteCoalescer::flush_pending`] when the connection has nothing
//! more to write for now.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream whose writes are buffered until [`flush_pending`](Self::flush_pending). Clones are the
/// same stream: the connection has one, its driver the other. Both are used by the same task, so
/// the lock is never contended.
pub(super) struct WriteCoalescer<T>(Arc<Mutex<CoalescerState<T>>>);

struct CoalescerState<T> {
    stream: T,
    out: Vec<u8>,
    /// How many bytes of `out` have been written.
    written: usize,
    /// Data was written but not flushed: the TLS layer may hold some of it.
    unflushed: bool,
    /// A write returned pending because the buffer is full.
    stalled: bool,
    /// Writing failed outside of a call by the connection, which gets the error at its next read or
    /// write.
    broken: Option<io::ErrorKind>,
}

/// The maximum number of buffered bytes.
const MAX_BUFFERED_BYTES: usize = 64 << 10;
/// Writes of at least this size gain nothing from being buffered.
const LARGE_WRITE_BYTES: usize = 16 << 10;

impl<T> Clone for WriteCoalescer<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: AsyncWrite + Unpin> WriteCoalescer<T> {
    pub(super) fn new(stream: T) -> Self {
        Self(Arc::new(Mutex::new(CoalescerState {
            stream,
            out: Vec::new(),
            written: 0,
            unflushed: false,
            stalled: false,
            broken: None,
        })))
    }

    /// Writes the buffered data. To be called each time the connection was polled and is pending.
    /// Returns true if the connection must be polled again, because there is room in the buffer now
    /// or it must be notified that the stream is broken; nothing else would wake it.
    pub(super) fn flush_pending(&self, cx: &mut Context<'_>) -> bool {
        let mut buffered = self.lock();
        if buffered.broken.is_some() {
            return false;
        }
        match buffered.flush(cx) {
            Poll::Ready(Ok(())) => std::mem::take(&mut buffered.stalled),
            Poll::Ready(Err(error)) => {
                buffered.broken = Some(error.kind());
                true
            }
            Poll::Pending => false,
        }
    }
}

impl<T> WriteCoalescer<T> {
    fn lock(&self) -> MutexGuard<'_, CoalescerState<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> CoalescerState<T> {
    fn check_broken(&self) -> io::Result<()> {
        self.broken.map_or(Ok(()), |kind| Err(kind.into()))
    }
}

impl<T: AsyncWrite + Unpin> CoalescerState<T> {
    fn flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.out.get(self.written..).filter(|rest| !rest.is_empty()) {
            let count = ready!(Pin::new(&mut self.stream).poll_write(cx, rest))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += count;
            self.unflushed = true;
        }
        self.out.clear();
        self.written = 0;
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let large = data.len() >= LARGE_WRITE_BYTES;
        let no_room = large || self.out.len() + data.len() > MAX_BUFFERED_BYTES;
        if no_room && self.flush(cx)?.is_pending() {
            self.stalled = true;
            return Poll::Pending;
        }
        if large {
            self.unflushed = true;
            // If there is no room, the stream itself wakes the task. `stalled` must not be set, or
            // the connection would be polled in a loop: a plain socket always counts as flushed.
            return Pin::new(&mut self.stream).poll_write(cx, data);
        }
        self.out.extend_from_slice(data);
        Poll::Ready(Ok(data.len()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for WriteCoalescer<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut buffered = self.lock();
        // Data that the peer sent before it closed, such as the reason, must still be read.
        match Pin::new(&mut buffered.stream).poll_read(cx, buffer) {
            Poll::Pending => buffered
                .check_broken()
                .map_or_else(|error| Poll::Ready(Err(error)), |()| Poll::Pending),
            read => read,
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for WriteCoalescer<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffered = self.lock();
        buffered.check_broken()?;
        buffered.write(cx, data)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut buffered = self.lock();
        buffered.check_broken()?;
        ready!(buffered.flush(cx))?;
        Pin::new(&mut buffered.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// Accepts as many bytes as it is allowed to, and counts the calls.
    #[derive(Default)]
    struct SlowStream {
        taken: Vec<u8>,
        writes: usize,
        flushes: usize,
        allowance: usize,
        flush_blocked: bool,
        broken: bool,
    }

    impl AsyncRead for SlowStream {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for SlowStream {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            data: &[u8],
        ) -> Poll<io::Result<usize>> {
            let count = data.len().min(self.allowance);
            if self.broken {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            if count == 0 {
                return Poll::Pending;
            }
            self.allowance -= count;
            self.writes += 1;
            self.taken.extend_from_slice(&data[..count]);
            Poll::Ready(Ok(count))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            if self.flush_blocked {
                return Poll::Pending;
            }
            self.flushes += 1;
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    struct CoalescerFixture {
        coalescer: WriteCoalescer<SlowStream>,
    }

    impl CoalescerFixture {
        fn new(allowance: usize) -> Self {
            Self {
                coalescer: WriteCoalescer::new(SlowStream { allowance, ..SlowStream::default() }),
            }
        }

        fn write(&mut self, data: &[u8]) -> Poll<usize> {
            let mut cx = Context::from_waker(Waker::noop());
            Pin::new(&mut self.coalescer).poll_write(&mut cx, data).map(Result::unwrap)
        }

        fn flush_pending(&self) -> bool {
            self.coalescer.flush_pending(&mut Context::from_waker(Waker::noop()))
        }

        fn with_stream<R>(&self, look: impl FnOnce(&mut SlowStream) -> R) -> R {
            look(&mut self.coalescer.lock().stream)
        }
    }

    #[test]
    fn small_writes_leave_together() {
        let mut bench = CoalescerFixture::new(usize::MAX);
        for _ in 0..10 {
            assert_eq!(bench.write(b"abc"), Poll::Ready(3));
        }
        assert_eq!(bench.with_stream(|slow| slow.writes), 0);
        assert!(!bench.flush_pending());
        assert_eq!(bench.with_stream(|slow| (slow.writes, slow.flushes)), (1, 1));
        assert_eq!(bench.with_stream(|slow| slow.taken.len()), 30);
        assert!(!bench.flush_pending());
        assert_eq!(bench.with_stream(|slow| (slow.writes, slow.flushes)), (1, 1));
    }

    #[test]
    fn order_is_kept_around_large_writes() {
        let mut bench = CoalescerFixture::new(usize::MAX);
        let large = vec![b'L'; LARGE_WRITE_BYTES];
        assert_eq!(bench.write(b"first"), Poll::Ready(5));
        assert_eq!(bench.write(&large), Poll::Ready(LARGE_WRITE_BYTES));
        assert_eq!(bench.write(b"last"), Poll::Ready(4));
        bench.flush_pending();
        let expected = [&b"first"[..], &large, b"last"].concat();
        bench.with_stream(|slow| assert_eq!(slow.taken, expected));
    }

    #[test]
    fn what_waits_is_bounded_and_room_is_announced() {
        let mut bench = CoalescerFixture::new(0);
        let chunk = [b'x'; 4096];
        for _ in 0..MAX_BUFFERED_BYTES / chunk.len() {
            assert_eq!(bench.write(&chunk), Poll::Ready(chunk.len()));
        }
        assert_eq!(bench.write(&chunk), Poll::Pending);
        assert!(!bench.flush_pending(), "there is no room yet");
        bench.with_stream(|slow| slow.allowance = usize::MAX);
        assert!(
            bench.flush_pending(),
            "the connection must be polled again, nobody else will wake it"
        );
        assert!(!bench.flush_pending());
        assert_eq!(bench.write(&chunk), Poll::Ready(chunk.len()));
    }

    #[test]
    fn a_large_write_waits_for_the_stream_alone() {
        let mut bench = CoalescerFixture::new(LARGE_WRITE_BYTES);
        let large = vec![b'L'; LARGE_WRITE_BYTES];
        assert_eq!(bench.write(&large), Poll::Ready(LARGE_WRITE_BYTES));
        assert_eq!(bench.write(&large), Poll::Pending);
        assert!(!bench.flush_pending(), "the stream is flushed, and has no room all the same");
        bench.with_stream(|slow| slow.allowance = LARGE_WRITE_BYTES);
        assert_eq!(bench.write(&large), Poll::Ready(LARGE_WRITE_BYTES));
    }

    #[test]
    fn a_flush_that_blocks_is_tried_again() {
        let mut bench = CoalescerFixture::new(usize::MAX);
        bench.with_stream(|slow| slow.flush_blocked = true);
        assert_eq!(bench.write(b"abc"), Poll::Ready(3));
        bench.flush_pending();
        assert_eq!(bench.with_stream(|slow| (slow.writes, slow.flushes)), (1, 0));
        bench.with_stream(|slow| slow.flush_blocked = false);
        bench.flush_pending();
        assert_eq!(bench.with_stream(|slow| (slow.writes, slow.flushes)), (1, 1));
    }

    #[test]
    fn a_broken_stream_is_told_to_the_connection_once() {
        let mut bench = CoalescerFixture::new(usize::MAX);
        assert_eq!(bench.write(b"abc"), Poll::Ready(3));
        bench.with_stream(|slow| slow.broken = true);
        assert!(bench.flush_pending(), "the connection must learn of it");
        assert!(!bench.flush_pending(), "and then not be polled for ever");
        let mut cx = Context::from_waker(Waker::noop());
        let mut buffer = [0; 8];
        let read =
            Pin::new(&mut bench.coalescer).poll_read(&mut cx, &mut ReadBuf::new(&mut buffer));
        assert!(
            matches!(read, Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe)
        );
    }

    #[test]
    fn nothing_is_lost_at_the_end() {
        let mut bench = CoalescerFixture::new(2);
        assert_eq!(bench.write(b"abc"), Poll::Ready(3));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut bench.coalescer).poll_shutdown(&mut cx).is_pending());
        bench.with_stream(|slow| slow.allowance = 1);
        assert!(Pin::new(&mut bench.coalescer).poll_shutdown(&mut cx).is_ready());
        bench.with_stream(|slow| assert_eq!(slow.taken, b"abc"));
    }
}
