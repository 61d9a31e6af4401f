//! [`Paced`]: an answer's body that is given away in steps, so that a client who stops reading is
//! noticed. HTTP/2 would take it whole and keep it for as long as the client likes.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use crate::Body;
use crate::watch::{STEP, Turn};

pub(crate) struct Paced {
    rest: Bytes,
    turn: Turn,
}

impl Paced {
    pub(crate) fn new(body: Body, mut turn: Turn) -> Self {
        turn.moved();
        Self { rest: body.into_inner().unwrap_or_default(), turn }
    }
}

impl HttpBody for Paced {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        if self.rest.len() > STEP {
            self.turn.moved();
        }
        let step = self.rest.len().min(STEP);
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
