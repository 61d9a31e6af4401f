//! Message bodies: [`IncomingBody`] for received and [`BodySender`] for sent ones.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

use super::deadline::{self, Deadline};
use super::error::TransportError;
use super::status;

/// A body that is being received.
pub struct IncomingBody {
    stream: RecvStream,
    /// The deadline of the call, which also applies to the end of the body.
    deadline: Option<Deadline>,
    /// Whether this is a response whose gRPC status has not been received yet.
    lacks_status: bool,
}

impl IncomingBody {
    /// The body of a request.
    pub(super) fn for_request(stream: RecvStream) -> Self {
        Self { stream, deadline: None, lacks_status: false }
    }

    /// The body of a response with the given head.
    pub(super) fn for_response(
        stream: RecvStream,
        deadline: Option<Deadline>,
        head: &HeaderMap,
    ) -> Self {
        Self { stream, deadline, lacks_status: !status::is_present(head) }
    }

    /// Fails if a response ends without a gRPC status.
    fn check_status(
        &mut self,
        frame: Option<Result<Frame<Bytes>, h2::Error>>,
    ) -> Option<Result<Frame<Bytes>, Status>> {
        let mut frame = match frame {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Some(Err(TransportError::during_response(error))),
            None => {
                return std::mem::take(&mut self.lacks_status)
                    .then(|| Err(status::missing_status()));
            }
        };
        if let Some(trailers) = frame.trailers_mut() {
            status::sanitize_headers(trailers);
            if std::mem::take(&mut self.lacks_status) && !status::is_present(trailers) {
                return Some(Err(status::missing_status()));
            }
        }
        Some(Ok(frame))
    }

    fn poll_stream(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if let Some(data) = ready!(self.stream.poll_data(cx)) {
            let data = data?;
            // This fails only if more is released than was received.
            let _ = self.stream.flow_control().release_capacity(data.len());
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        let trailers = ready!(self.stream.poll_trailers(cx))?;
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }
}

impl http_body::Body for IncomingBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Poll::Ready(frame) = self.poll_stream(cx) {
            return Poll::Ready(self.check_status(frame));
        }
        match &mut self.deadline {
            Some(deadline) => {
                ready!(deadline.as_mut().poll(cx));
                Poll::Ready(Some(Err(deadline::exceeded_status())))
            }
            None => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream() && !self.lacks_status
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

impl fmt::Debug for IncomingBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Incoming(..)")
    }
}

/// Sends a body. Completes when the body ends, or when the peer cancels it.
pub(super) struct BodySender {
    body: Body,
    stream: SendStream<Bytes>,
    /// The last part is held back until it is known whether more follows, so that it can carry the
    /// end-of-stream flag.
    held: Option<Bytes>,
    /// The body is polled for its next part only when there is flow-control capacity to send it.
    room: bool,
}

impl BodySender {
    pub(super) fn new(body: Body, stream: SendStream<Bytes>) -> Self {
        Self { body, stream, held: None, room: true }
    }

    /// An error means that the stream is closed; the caller gets the reason from the response.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        loop {
            if !self.room {
                ready!(self.poll_room(cx))?;
            }
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending => {
                    if let Some(data) = self.held.take() {
                        self.send_data(data)?;
                        continue;
                    }
                    // The body may never produce more, so watch for a reset by the peer.
                    let _reason = ready!(self.stream.poll_reset(cx))?;
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    // Peers treat empty frames as an attack.
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => {
                        if let Some(before) = self.held.replace(data) {
                            self.send_data(before)?;
                        }
                    }
                    Err(frame) => {
                        if let Some(data) = self.held.take() {
                            self.stream.send_data(data, false)?;
                        }
                        let trailers = frame.into_trailers().unwrap_or_default();
                        return Poll::Ready(self.stream.send_trailers(trailers));
                    }
                },
                Poll::Ready(Some(Err(_))) => {
                    self.stream.send_reset(Reason::INTERNAL_ERROR);
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(None) => {
                    let last = self.held.take().unwrap_or_default();
                    return Poll::Ready(self.stream.send_data(last, true));
                }
            }
        }
    }

    fn send_data(&mut self, data: Bytes) -> Result<(), h2::Error> {
        self.room = false;
        self.stream.send_data(data, false)
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        self.stream.reserve_capacity(1);
        while self.stream.capacity() == 0 {
            match ready!(self.stream.poll_capacity(cx)) {
                Some(capacity) => capacity?,
                // The stream is closed for sending.
                None => return Poll::Ready(Err(Reason::CANCEL.into())),
            };
        }
        self.room = true;
        Poll::Ready(Ok(()))
    }
}

impl Future for BodySender {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_send(cx).map(drop)
    }
}
