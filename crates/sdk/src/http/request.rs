//! [`HttpRequest`]: one request, before it is sent.

use std::fmt;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::Value;
use strongroom_types::Secret;

use super::error::{CallFailure, CallName, HttpError};
use super::exchange::PreparedCall;
use super::headers::{secret_header_value, wiped_bytes};
use super::limits::is_idempotent;
use super::response::HttpResponse;
use super::service::{BAD_HEADER, HttpService};
use super::values::ObjectWithSecret;
use crate::{Error, RevokeOutcome};

/// A request to an outside system. Nothing is sent before [`HttpRequest::send`].
///
/// ```no_run
/// use serde::Deserialize;
/// use serde_json::json;
/// use strongroom_sdk::http::HttpService;
/// use strongroom_sdk::{Error, Secret};
///
/// #[derive(Deserialize)]
/// struct CreatedKey {
///     key: Secret<String>,
/// }
///
/// async fn create_key(service: &HttpService<'_>, project: &str) -> Result<CreatedKey, Error> {
///     let request = service.post("/projects/:project/keys").path_value("project", project);
///     let response = request.json(&json!({ "scope": "read" })).send().await?;
///     Ok(response.read_json()?)
/// }
/// ```
#[must_use = "a request does nothing until it is sent"]
pub struct HttpRequest<'a> {
    service: HttpService<'a>,
    method: Method,
    path: &'static str,
    path_values: Vec<(&'static str, String)>,
    /// Escaped, with the leading `?` or `&`.
    query: String,
    headers: HeaderMap,
    body: Bytes,
    response_bytes: usize,
    handled: Vec<u16>,
    is_repeatable: bool,
    problem: Option<&'static str>,
}

/// Characters that are not percent-encoded in a URL: the unreserved ones of RFC 3986.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl<'a> HttpService<'a> {
    /// A GET request. `path` is appended to the base URL; see [`HttpService::request`].
    pub fn get(&self, path: &'static str) -> HttpRequest<'a> {
        self.request(Method::GET, path)
    }

    /// A POST request. `path` is appended to the base URL; see [`HttpService::request`].
    pub fn post(&self, path: &'static str) -> HttpRequest<'a> {
        self.request(Method::POST, path)
    }

    /// A PUT request. `path` is appended to the base URL; see [`HttpService::request`].
    pub fn put(&self, path: &'static str) -> HttpRequest<'a> {
        self.request(Method::PUT, path)
    }

    /// A DELETE request. `path` is appended to the base URL; see [`HttpService::request`].
    pub fn delete(&self, path: &'static str) -> HttpRequest<'a> {
        self.request(Method::DELETE, path)
    }

    /// A request with any method. `path` begins with a slash and is appended to the base URL. A
    /// segment such as `:id` stands for a value, which [`HttpRequest::path_value`] sets. Errors
    /// contain the path as given here, so no value gets into them; that is why it is a literal.
    pub fn request(&self, method: Method, path: &'static str) -> HttpRequest<'a> {
        HttpRequest::new(self.clone(), method, path)
    }
}

impl<'a> HttpRequest<'a> {
    fn new(service: HttpService<'a>, method: Method, path: &'static str) -> Self {
        Self {
            headers: service.headers.clone(),
            response_bytes: service.client.limits.response_bytes,
            is_repeatable: is_idempotent(&method),
            problem: service.problem,
            service,
            method,
            path,
            path_values: Vec::new(),
            query: String::new(),
            body: Bytes::new(),
            handled: Vec::new(),
        }
    }

    /// The value for the segment `:name` of the path. It is escaped, so that it stays one segment;
    /// an empty value, `.` and `..` fail the request.
    pub fn path_value(mut self, name: &'static str, value: &str) -> Self {
        if matches!(value, "" | "." | "..") {
            self.problem = Some("a value in its path is empty or made of dots");
        }
        self.path_values.push((name, utf8_percent_encode(value, ESCAPED).to_string()));
        self
    }

    /// Adds `name=value` to the query, with both escaped. Never put a secret there: servers and
    /// proxies write URLs to their logs.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        let separator = if self.query.is_empty() { '?' } else { '&' };
        self.query.push(separator);
        self.query.extend(utf8_percent_encode(name, ESCAPED));
        self.query.push('=');
        self.query.extend(utf8_percent_encode(value, ESCAPED));
        self
    }

    /// Adds a header, or replaces the one of that name.
    ///
    /// # Panics
    ///
    /// If `name` is not a header name in lower case. It is a literal, so the first test finds that.
    pub fn header(self, name: &'static str, value: &str) -> Self {
        self.with_header(HeaderName::from_static(name), HeaderValue::from_str(value).ok())
    }

    /// Adds a header with a secret value, or replaces the one of that name.
    ///
    /// # Panics
    ///
    /// If `name` is not a header name in lower case. It is a literal, so the first test finds that.
    pub fn secret_header(self, name: &'static str, value: &Secret<String>) -> Self {
        let value = secret_header_value(&[value.expose_secret()]);
        self.with_header(HeaderName::from_static(name), value)
    }

    fn with_header(mut self, name: HeaderName, value: Option<HeaderValue>) -> Self {
        match value {
            Some(value) => drop(self.headers.insert(name, value)),
            None => self.problem = Some(BAD_HEADER),
        }
        self
    }

    /// Sets a JSON body. A secret in it is written with
    /// [`serialize_exposed`](super::serialize_exposed); the body is wiped after it is sent.
    pub fn json(self, body: &impl Serialize) -> Self {
        // Measured first, because a buffer that grows would leave copies behind.
        let mut length = ByteCount(0);
        let mut written = Secret::new(Vec::new());
        let outcome = serde_json::to_writer(&mut length, body).and_then(|()| {
            written.expose_secret_mut().reserve_exact(length.0);
            serde_json::to_writer(written.expose_secret_mut(), body)
        });
        match outcome {
            Ok(()) => self.with_body("application/json", written),
            Err(_) => Self { problem: Some("its body can't be written as JSON"), ..self },
        }
    }

    /// Sets a JSON body: the object `rest`, and a secret in the field `name`. Needs no type of its own
    /// for the body, as [`json`](Self::json) does; the body is wiped after it is sent.
    ///
    /// ```no_run
    /// # use serde_json::json;
    /// # use strongroom_sdk::http::HttpService;
    /// # use strongroom_sdk::{Error, Secret};
    /// # async fn create_user(service: HttpService<'_>, password: &Secret<String>) -> Result<(), Error> {
    /// let request = service.put("/users/jane");
    /// request.json_with_secret(&json!({ "tags": "reader" }), "password", password).send().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn json_with_secret(self, rest: &Value, name: &str, secret: &Secret<String>) -> Self {
        self.json(&ObjectWithSecret { rest, name, secret })
    }

    /// Sets a form as body (`application/x-www-form-urlencoded`), from names and values, which are
    /// escaped. A secret is passed with `expose_secret()`; the body is wiped after it is sent.
    pub fn form(self, fields: &[(&str, &str)]) -> Self {
        // An escaped byte has three.
        let capacity = fields.iter().map(|(name, value)| 3 * (name.len() + value.len()) + 2).sum();
        let mut written = Secret::new(Vec::with_capacity(capacity));
        let body = written.expose_secret_mut();
        for (name, value) in fields {
            if !body.is_empty() {
                body.push(b'&');
            }
            body.extend(utf8_percent_encode(name, ESCAPED).flat_map(str::bytes));
            body.push(b'=');
            body.extend(utf8_percent_encode(value, ESCAPED).flat_map(str::bytes));
        }
        self.with_body("application/x-www-form-urlencoded", written)
    }

    fn with_body(mut self, content_type: &'static str, body: Secret<Vec<u8>>) -> Self {
        self.body = wiped_bytes(body);
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        self
    }

    /// Sets the maximum size of the response's body in bytes, instead of
    /// [`HttpLimits::response_bytes`](super::HttpLimits::response_bytes).
    pub fn max_response_bytes(self, response_bytes: usize) -> Self {
        Self { response_bytes, ..self }
    }

    /// Names statuses that the caller handles itself: [`HttpRequest::send`] then returns a response
    /// with such a status instead of an error.
    pub fn handle_statuses(mut self, statuses: &[u16]) -> Self {
        self.handled.extend_from_slice(statuses);
        self
    }

    /// States that sending the request twice has the effect of sending it once, although its method
    /// doesn't promise that, for example because it carries an idempotency key. Without a
    /// [`RetryPolicy`](super::RetryPolicy) this changes nothing.
    pub fn repeatable(self) -> Self {
        Self { is_repeatable: true, ..self }
    }

    /// Sends the request and reads the response, which has a status of 2xx or one of
    /// [`HttpRequest::handle_statuses`].
    ///
    /// # Errors
    ///
    /// [`HttpError`] if there is no response, if it exceeds a limit, or if it has any other status.
    /// With `?` it becomes an [`Error`](crate::Error) that records whether the call may have taken
    /// effect.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection. The outside system may have carried out the call,
    /// or may still do so.
    pub async fn send(self) -> Result<HttpResponse, HttpError> {
        let prepared = self.prepare();
        let outcome = match prepared {
            Ok(call) => call.send().await.map(HttpResponse::new),
            Err(error) => Err(error),
        };
        outcome.inspect_err(|error| {
            tracing::debug!(%error, "a call to an outside system failed");
        })
    }

    /// Sends a request that revokes a credential. A status of 2xx is [`RevokeOutcome::Now`], and
    /// one of `already_gone` is [`RevokeOutcome::AlreadyGone`].
    ///
    /// Name such a status only if it comes from the outside system itself and means that this
    /// credential doesn't exist. A 404 may also come from a proxy or from a wrong base URL; if the
    /// outside system sends a text with it, use [`HttpRequest::handle_statuses`] and compare that.
    ///
    /// ```no_run
    /// # use strongroom_sdk::http::HttpService;
    /// # use strongroom_sdk::{Error, Identifier, RevokeOutcome};
    /// # async fn revoke(service: HttpService<'_>, id: &Identifier) -> Result<RevokeOutcome, Error> {
    /// let request = service.delete("/tokens/:id").path_value("id", id.as_str());
    /// Ok(request.send_revocation(&[404]).await?)
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As of [`HttpRequest::send`]: the credential may still exist.
    ///
    /// # Cancel safety
    ///
    /// As of [`HttpRequest::send`]: the credential may have been revoked.
    pub async fn send_revocation(self, already_gone: &[u16]) -> Result<RevokeOutcome, HttpError> {
        let response = self.handle_statuses(already_gone).send().await?;
        let is_gone = already_gone.contains(&response.status());
        Ok(if is_gone { RevokeOutcome::AlreadyGone } else { RevokeOutcome::Now })
    }

    /// Sends a request about an object that may not exist: `None` if the status is `status` and the
    /// body contains `text`. Give the outside system's own words for an object that is missing: a
    /// proxy, or a wrong base URL, may send the same status.
    ///
    /// ```no_run
    /// # use strongroom_sdk::http::HttpService;
    /// # use strongroom_sdk::{Error, RevokeOutcome};
    /// # async fn delete_user(service: HttpService<'_>, name: &str) -> Result<RevokeOutcome, Error> {
    /// let request = service.delete("/users/:name").path_value("name", name);
    /// let deleted = request.send_lookup(404, "no such user").await?;
    /// Ok(if deleted.is_some() { RevokeOutcome::Now } else { RevokeOutcome::AlreadyGone })
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As of [`HttpRequest::send`], also for the status with another body.
    ///
    /// # Cancel safety
    ///
    /// As of [`HttpRequest::send`].
    pub async fn send_lookup(
        self,
        status: u16,
        text: &str,
    ) -> Result<Option<HttpResponse>, HttpError> {
        let response = self.handle_statuses(&[status]).send().await?;
        match response.status() == status {
            false => Ok(Some(response)),
            true if response.contains_text(text) => Ok(None),
            true => Err(response.unexpected_status()),
        }
    }

    /// Sends a request that the outside system refuses if what the client wrote is wrong: the error is
    /// then the client's, with `text`.
    ///
    /// # Errors
    ///
    /// A user error with `text` if the status is one of `statuses`; otherwise as of
    /// [`HttpRequest::send`].
    ///
    /// # Cancel safety
    ///
    /// As of [`HttpRequest::send`].
    pub async fn send_unless_refused(
        self,
        statuses: &[u16],
        text: impl fmt::Display,
    ) -> Result<HttpResponse, Error> {
        let response = self.handle_statuses(statuses).send().await?;
        match statuses.contains(&response.status()) {
            true => Err(Error::user(text.to_string())),
            false => Ok(response),
        }
    }

    fn prepare(mut self) -> Result<PreparedCall, HttpError> {
        let uri = self.target_uri();
        let authority = match &uri {
            Ok(uri) => uri.authority().map(ToString::to_string),
            Err(_) => None,
        };
        let call = Arc::new(CallName {
            system: self.service.client.system,
            method: self.method.clone(),
            authority: authority.unwrap_or_default(),
            path: self.path,
        });
        let unsendable =
            |reason| HttpError::new(call.clone(), CallFailure::Unsendable(reason), false);
        if let Some(problem) = self.problem {
            return Err(unsendable(problem));
        }
        let uri = uri.map_err(unsendable)?;
        let transport = self.service.client.transport_for(&self.service.tls);
        let transport = transport.map_err(|error| unsendable(error.reason()))?;
        self.headers.entry(ACCEPT).or_insert(HeaderValue::from_static("application/json"));
        let client = self.service.client;
        let attempt_time = self.service.attempt_time;
        Ok(PreparedCall {
            call: call.clone(),
            method: self.method,
            proxy_authorization: client.proxies().authorization_for(&uri),
            uri,
            headers: self.headers,
            body: self.body,
            transport,
            clock: self.service.clock,
            deadline: self.service.deadline,
            connect_time: client.limits.connect_time,
            attempt_time,
            response_bytes: self.response_bytes,
            handled: self.handled,
            is_repeatable: self.is_repeatable,
            retries: client.retries,
            redirects: client.redirects,
            may_leave_origin: client.redirects.other_origins && self.service.tls.is_default(),
        })
    }

    /// The base URL with the path, its values and the query.
    fn target_uri(&self) -> Result<Uri, &'static str> {
        let mut url = self.service.base.as_str().to_owned();
        for segment in self.path.split('/').skip(1) {
            url.push('/');
            match segment.strip_prefix(':') {
                None => url.push_str(segment),
                Some(name) => {
                    let value = self.path_values.iter().find(|(known, _)| *known == name);
                    url.push_str(&value.ok_or("a value of its path is missing")?.1);
                }
            }
        }
        url.push_str(&self.query);
        url.parse().map_err(|_| "its URL is malformed")
    }
}

/// Counts the bytes that are written to it.
struct ByteCount(usize);

impl io::Write for ByteCount {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for HttpRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpRequest")
            .field("method", &self.method)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
