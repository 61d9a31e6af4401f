//! Sending one request: retries, the single redirect that is followed, and the response limit.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode, Url};
use strongroom_types::{Clock, Entropy};

use crate::config::ServerAddress;
use crate::error::{ApiError, Error};
use crate::response::SecretResponse;
use crate::unreachable::UnreachableReason;

/// The state that clones of a client share.
pub(crate) struct ClientInner {
    pub(crate) http: reqwest::Client,
    pub(crate) address: ServerAddress,
    pub(crate) timeout: Duration,
    pub(crate) max_retries: u32,
    pub(crate) follow_redirect: bool,
    pub(crate) max_response_bytes: usize,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    /// The base of request URLs: the configured address, with `tls.server_name` as its host if set.
    pub(crate) base_url: Url,
}

/// A request that can be sent more than once.
pub(crate) struct ApiRequest {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Bytes>,
    /// The media type of the body, if there is one.
    pub(crate) content_type: &'static str,
}

/// A response with its whole body, not parsed yet.
pub(crate) struct RawHttpResponse {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
    headers: HeaderMap,
}

impl RawHttpResponse {
    /// Returns the response if its status is a success or a redirect; otherwise [`Error::Api`].
    pub(crate) fn error_for_status(self, call: &ApiRequest) -> Result<Self, Error> {
        if self.status.is_success() || self.status.is_redirection() {
            return Ok(self);
        }
        Err(Error::Api(Box::new(self.to_api_error(call))))
    }

    fn to_api_error(&self, call: &ApiRequest) -> ApiError {
        #[derive(Default, serde::Deserialize)]
        struct ErrorBody {
            errors: Option<Vec<String>>,
            request_id: Option<String>,
        }
        let body = serde_json::from_slice::<ErrorBody>(&self.body).ok();
        let raw = body.is_none().then(|| String::from_utf8_lossy(&self.body).into_owned());
        let ErrorBody { errors, request_id } = body.unwrap_or_default();
        let namespace = self.headers.get("x-vault-namespace");
        let answer = SecretResponse::parse(&self.body).ok().flatten();
        ApiError {
            token_sent: call.headers.contains_key(TOKEN_HEADER),
            method: call.method.to_string(),
            url: call.url.to_string(),
            status: self.status.as_u16(),
            namespace: namespace.and_then(|value| value.to_str().ok()).map(ToOwned::to_owned),
            errors: errors.unwrap_or_default(),
            request_id: request_id.filter(|id| !id.is_empty()),
            raw,
            response: answer.filter(SecretResponse::has_content),
        }
    }
}

/// The error of one attempt, and whether a retry may succeed.
struct AttemptError {
    error: Error,
    is_retryable: bool,
}

impl ClientInner {
    /// Sends a request, retries temporary failures, and follows one redirect of a standby node.
    pub(crate) async fn send(&self, call: &mut ApiRequest) -> Result<RawHttpResponse, Error> {
        let reply = self.send_with_retries(call).await?;
        let moved = matches!(reply.status.as_u16(), 301 | 302 | 307);
        if !moved || !self.follow_redirect {
            return Ok(reply);
        }
        call.url = self.redirect_url(call, &reply)?;
        self.send_with_retries(call).await
    }

    /// The target of a redirect; an error unless it is on the same server.
    fn redirect_url(&self, call: &ApiRequest, reply: &RawHttpResponse) -> Result<Url, Error> {
        let unusable = || Error::InvalidResponse("it redirects to no usable address");
        let location = reply.headers.get(LOCATION).and_then(|value| value.to_str().ok());
        let next = location.and_then(|to| call.url.join(to).ok()).ok_or_else(unusable)?;
        if call.url.scheme() == "https" && next.scheme() != "https" {
            return Err(Error::TlsDowngrade);
        }
        // With `tls.server_name` set, the server may redirect to the address's own host instead.
        if ![&self.base_url, &self.address.base_url].iter().any(|own| own.origin() == next.origin())
        {
            return Err(Error::RedirectToOtherServer(next.origin().ascii_serialization()));
        }
        let mut url = self.base_url.clone();
        url.set_path(next.path());
        url.set_query(next.query());
        Ok(url)
    }

    async fn send_with_retries(&self, call: &ApiRequest) -> Result<RawHttpResponse, Error> {
        let mut tried = 0;
        loop {
            let outcome = self.send_once(call).await;
            let (may_pass, pause) = match &outcome {
                Ok(reply) => (is_retryable_status(reply.status), retry_after(reply)),
                Err(failed) => (failed.is_retryable, None),
            };
            if !may_pass || tried >= self.max_retries {
                return outcome.map_err(|failed| failed.error);
            }
            tried += 1;
            let pause = pause.unwrap_or_else(|| self.retry_delay(tried)).min(MAX_RETRY_DELAY);
            self.clock.sleep(pause).await;
        }
    }

    async fn send_once(&self, call: &ApiRequest) -> Result<RawHttpResponse, AttemptError> {
        let mut request = self.http.request(call.method.clone(), call.url.clone());
        request = request.headers(call.headers.clone());
        if let Some((name, password)) = &self.address.login {
            request = request.basic_auth(name, Some(password.expose_secret()));
        }
        if let Some(body) = &call.body {
            let kind = HeaderValue::from_static(call.content_type);
            request = request.header(CONTENT_TYPE, kind).body(body.clone());
        }
        let lost = |error: reqwest::Error| self.connection_error(call, &error);
        let response = request.send().await.map_err(lost)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = self.read_body(call, response).await?;
        Ok(RawHttpResponse { status, body, headers })
    }

    async fn read_body(
        &self,
        call: &ApiRequest,
        mut response: Response,
    ) -> Result<Bytes, AttemptError> {
        let limit = self.max_response_bytes;
        let too_large =
            || AttemptError { error: Error::ResponseTooLarge(limit), is_retryable: false };
        let announced = response.content_length().unwrap_or(0);
        if announced > u64::try_from(limit).unwrap_or(u64::MAX) {
            return Err(too_large());
        }
        let mut body = BytesMut::new();
        while let Some(chunk) =
            response.chunk().await.map_err(|error| self.connection_error(call, &error))?
        {
            if body.len() + chunk.len() > limit {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    fn connection_error(&self, call: &ApiRequest, error: &reqwest::Error) -> AttemptError {
        let reason =
            UnreachableReason::new(error, &call.url, self.timeout, self.address.socket.as_deref());
        // A request that never reached the server can be sent again. One that may have been carried
        // out is retried only if it is a GET.
        let undone = error.is_connect() && !reason.is_tls();
        let may_pass = undone || (call.method == Method::GET && !error.is_timeout());
        let name = format!("{} {}", call.method, call.url);
        AttemptError { error: Error::Unreachable { call: name, reason }, is_retryable: may_pass }
    }

    /// The delay before a retry: 1 to 1.5 seconds, chosen at random, times `attempt`.
    fn retry_delay(&self, attempt: u32) -> Duration {
        let jitter = self.entropy.next_u64() % 500;
        Duration::from_millis(1000 + jitter) * attempt
    }
}

pub(crate) const TOKEN_HEADER: &str = "x-vault-token";
pub(crate) const JSON_CONTENT_TYPE: &str = "application/json";

/// The longest delay between attempts, whatever `Retry-After` asks for.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(60);

/// Whether a response with this status is worth retrying.
fn is_retryable_status(status: StatusCode) -> bool {
    match status.as_u16() {
        412 | 429 => true,
        501 => false,
        code => code >= 500,
    }
}

/// The delay that the server asks for with `Retry-After` in seconds, on status 429 and 503.
fn retry_after(reply: &RawHttpResponse) -> Option<Duration> {
    if !matches!(reply.status.as_u16(), 429 | 503) {
        return None;
    }
    let seconds = reply.headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
