//! Sends a prepared call: its attempts, its redirects, and the limits on all of that.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{LOCATION, PROXY_AUTHORIZATION, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::capture_connection;
use strongroom_types::clock::BoxFuture;
use strongroom_types::{Clock, Secret, Timestamp};

use super::connector::ConnectError;
use super::error::{CallFailure, CallName, HttpError, TIMED_OUT};
use super::limits::{RedirectPolicy, RetryPolicy};
use super::redirect::redirect_target;
use super::transport::HttpTransport;

/// A call with everything that it needs.
pub(super) struct PreparedCall {
    pub(super) call: Arc<CallName>,
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// For a proxy that receives the request itself, since it is not encrypted.
    pub(super) proxy_authorization: Option<HeaderValue>,
    pub(super) transport: HttpTransport,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) deadline: Timestamp,
    pub(super) connect_time: Duration,
    pub(super) attempt_time: Duration,
    pub(super) response_bytes: usize,
    pub(super) handled: Vec<u16>,
    pub(super) is_repeatable: bool,
    pub(super) retries: RetryPolicy,
    pub(super) redirects: RedirectPolicy,
    pub(super) may_leave_origin: bool,
}

/// A response that was read.
pub(super) struct ReceivedResponse {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Secret<Vec<u8>>,
}

/// A response whose status the caller handles.
pub(super) struct HandledResponse {
    pub(super) call: Arc<CallName>,
    pub(super) received: ReceivedResponse,
    /// The secret headers of the request, which the outside system may repeat.
    pub(super) request_secrets: Vec<HeaderValue>,
}

/// How many bytes are read of a response whose status is not 2xx. What is beyond is left unread.
const MAX_ERROR_BODY_BYTES: usize = 16 << 10;

impl PreparedCall {
    pub(super) async fn send(self) -> Result<HandledResponse, HttpError> {
        let begun = self.clock.monotonic_time();
        let total = self.retries.total_time.unwrap_or(self.attempt_time);
        let total = total.min(self.deadline.since(self.clock.now()));
        let left = || total.saturating_sub(self.clock.monotonic_time().saturating_sub(begun));
        let (mut attempt, mut sent_before) = (1, false);
        loop {
            let outcome = self.attempt(left().min(self.attempt_time)).await;
            let (failure, retry_after) = match outcome {
                Ok(response) if self.is_handled(response.status) => {
                    let headers = self.headers.into_iter().map(|(_, value)| value);
                    let request_secrets = headers.filter(HeaderValue::is_sensitive).collect();
                    let (call, received) = (self.call, response);
                    return Ok(HandledResponse { call, received, request_secrets });
                }
                Ok(response) => {
                    (CallFailure::Status(response.status), retry_after(&response.headers))
                }
                Err(failure) => (failure, None),
            };
            let wait = self.retries.wait_after(attempt, retry_after);
            match wait.filter(|wait| self.is_worth_repeating(failure) && *wait < left()) {
                Some(wait) => self.clock.sleep(wait).await,
                None => return Err(HttpError::new(self.call, failure, sent_before)),
            }
            attempt += 1;
            sent_before |= failure.may_have_taken_effect();
        }
    }

    fn is_handled(&self, status: u16) -> bool {
        (200..300).contains(&status) || self.handled.contains(&status)
    }

    /// Whether another attempt is safe and may succeed.
    fn is_worth_repeating(&self, failure: CallFailure) -> bool {
        match failure {
            CallFailure::NotSent(_) => true,
            CallFailure::NoAnswer { broken, .. } => broken && self.is_repeatable,
            CallFailure::Status(status) => matches!(status, 429 | 502..=504) && self.is_repeatable,
            CallFailure::Unsendable(_) => false,
        }
    }

    /// One attempt, with the redirects that it follows.
    async fn attempt(&self, time: Duration) -> Result<ReceivedResponse, CallFailure> {
        if time.is_zero() {
            return Err(CallFailure::NotSent(TIMED_OUT));
        }
        let mut limit = self.clock.sleep(time);
        let (mut uri, mut left_origin, mut redirects) = (self.uri.clone(), false, 0);
        loop {
            let response = self.exchange(&uri, left_origin, &mut limit).await?;
            let location = response.headers.get(LOCATION).and_then(|value| value.to_str().ok());
            let next = location
                .filter(|_| redirects < self.redirects.max_redirects)
                .and_then(|to| redirect_target(&self.method, response.status, &uri, to))
                .filter(|next| next.same_origin || self.may_leave_origin);
            let Some(next) = next else { return Ok(response) };
            redirects += 1;
            left_origin |= !next.same_origin;
            uri = next.uri;
        }
    }

    /// One request and its response, until `limit` is over.
    async fn exchange(
        &self,
        uri: &Uri,
        left_origin: bool,
        limit: &mut BoxFuture<'static, ()>,
    ) -> Result<ReceivedResponse, CallFailure> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri.clone();
        if !left_origin {
            self.headers.clone_into(request.headers_mut());
            if let Some(value) = &self.proxy_authorization {
                request.headers_mut().insert(PROXY_AUTHORIZATION, value.clone());
            }
        }
        let captured = capture_connection(&mut request);
        let is_connected = || captured.connection_metadata().is_some();
        let not_connected = async {
            self.clock.sleep(self.connect_time).await;
            if is_connected() {
                std::future::pending::<()>().await;
            }
        };
        let response = tokio::select! {
            biased;
            response = self.transport.client.request(request) => {
                response.map_err(|error| failure_of(&error))?
            }
            () = &mut *limit => {
                return Err(if is_connected() {
                    CallFailure::NoAnswer { reason: TIMED_OUT, broken: true }
                } else {
                    CallFailure::NotSent("connecting timed out")
                });
            }
            () = not_connected => return Err(CallFailure::NotSent("connecting timed out")),
        };
        let (head, body) = response.into_parts();
        let status = head.status.as_u16();
        let is_success = head.status.is_success();
        let max = if is_success {
            self.response_bytes
        } else {
            MAX_ERROR_BODY_BYTES.min(self.response_bytes)
        };
        let mut read = BoundedBody::with_limit(max, body.size_hint().lower());
        let failure = tokio::select! {
            biased;
            outcome = read.fill(body) => outcome.err(),
            () = limit => Some(CallFailure::NoAnswer { reason: TIMED_OUT, broken: true }),
        };
        match failure {
            // The status of a failure counts even if its text can't be read.
            Some(failure) if is_success => Err(failure),
            _ => Ok(ReceivedResponse { status, headers: head.headers, body: read.bytes }),
        }
    }
}

/// The part of a body that has been read, which never exceeds a limit.
struct BoundedBody {
    bytes: Secret<Vec<u8>>,
    max: usize,
}

/// The size of a buffer for a response of unknown length; a token fits in.
const INITIAL_CAPACITY: usize = 16 << 10;
const TOO_LONG: CallFailure =
    CallFailure::NoAnswer { reason: "the answer is too long", broken: false };

impl BoundedBody {
    fn with_limit(max: usize, announced: u64) -> Self {
        let announced = usize::try_from(announced).unwrap_or(usize::MAX);
        let capacity = if announced == 0 { INITIAL_CAPACITY } else { announced };
        Self { bytes: Secret::new(Vec::with_capacity(capacity.min(max))), max }
    }

    async fn fill(&mut self, mut body: Incoming) -> Result<(), CallFailure> {
        if body.size_hint().lower() > self.max as u64 {
            return Err(TOO_LONG);
        }
        while let Some(frame) = body.frame().await {
            let broken = CallFailure::NoAnswer { reason: "the answer broke off", broken: true };
            let Ok(chunk) = frame.map_err(|_| broken)?.into_data() else { continue };
            let room = self.max - self.bytes.expose_secret().len();
            self.append(chunk.get(..room).unwrap_or(&chunk));
            if chunk.len() > room {
                return Err(TOO_LONG);
            }
        }
        Ok(())
    }

    /// Appends to the buffer. One that is too small is replaced and wiped, since growing it would
    /// leave a copy behind.
    fn append(&mut self, chunk: &[u8]) {
        let read = self.bytes.expose_secret();
        let needed = read.len() + chunk.len();
        if needed > read.capacity() {
            let mut larger = Vec::with_capacity(needed.saturating_mul(2).min(self.max));
            larger.extend_from_slice(read);
            self.bytes = Secret::new(larger);
        }
        self.bytes.expose_secret_mut().extend_from_slice(chunk);
    }
}

/// What a failure of hyper means. Its text is dropped, since it names addresses and may quote a
/// response.
fn failure_of(error: &legacy::Error) -> CallFailure {
    let source = error.source();
    if error.is_connect() {
        let own = source.and_then(|source| source.downcast_ref::<ConnectError>());
        return CallFailure::NotSent(own.map_or("could not connect", |own| own.0));
    }
    let malformed = |reason| CallFailure::NoAnswer { reason, broken: false };
    match source.and_then(|source| source.downcast_ref::<hyper::Error>()) {
        Some(error) if error.is_parse_too_large() => malformed("the answer's headers are too long"),
        Some(error) if error.is_parse() => malformed("the answer is not HTTP"),
        _ => CallFailure::NoAnswer { reason: "the connection failed", broken: true },
    }
}

/// How long the outside system asks to wait, if it gives that in seconds.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
