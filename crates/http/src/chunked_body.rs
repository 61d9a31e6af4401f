//! [`ChunkedBody`]: a response body that is passed to hyper in steps of [`WRITE_STEP_BYTES`], so
//! that a client that stops reading is detected. Otherwise HTTP/2 would take the whole body at once
//! and buffer it for as long as the client likes.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use crate::Body;
use crate::connection_deadlines::{RequestTimer, WRITE_STEP_BYTES};

pub(crate) struct ChunkedBody {
    rest: Bytes,
    timer: RequestTimer,
}

impl ChunkedBody {
    pub(crate) fn new(body: Body, mut turn: RequestTimer) -> Self {
        turn.progressed();
        Self { rest: body.into_inner().unwrap_or_default(), timer: turn }
    }
}

impl HttpBody for ChunkedBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        if self.rest.len() > WRITE_STEP_BYTES {
            self.timer.progressed();
        }
        let step = self.rest.len().min(WRITE_STEP_BYTES);
        let piece = self.rest.split_to(step);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(u64::try_from(self.rest.len()).unwrap_or(u64::MAX))
    }
}
