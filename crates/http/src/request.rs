//! From HTTP to a core request: method, target, headers, token and body. Limits are checked before
//! anything is parsed.

use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version, header};
use strongroom_core::request_span::RequestSpan;
use strongroom_core::{CoreRequest, Error, HeaderSource, RequestHeaders, RequestPermit, Verb};
use strongroom_engine::{ConnectionInfo, RawRequestBody};
use strongroom_types::fields::{FIELD_OVERHEAD, JsonLimits};
use strongroom_types::{Fields, RequestId, Secret, parse_bool};

use crate::body::{
    BodyBudget, BodyClaim, BodyError, BodyLimits, MemoryClass, begins_json, discard_body, read_body,
};
use crate::listener::HttpLimits;
use crate::target::{RequestTarget, form_fields, query_fields, resolve_target};
use crate::{Body, error, response};

/// Bodies larger than this are parsed on the blocking pool, so that they delay no other request.
const LARGE_BODY_BYTES: usize = 256 << 10;
/// Maximum size of the body that initializes a server, which needs no token: it may contain the
/// operators' keys.
const MAX_INIT_BYTES: usize = 64 << 10;
/// Maximum size, in bytes, and number of fields of a body at a path that is exempt from admission
/// control. It holds at most a key share.
const MAX_EXEMPT_BYTES: usize = 4 << 10;
const MAX_EXEMPT_FIELDS: usize = 16;
/// Maximum weight, in bytes, of the head of such a request.
const MAX_EXEMPT_HEAD_BYTES: usize = 16 << 10;
/// How long to keep reading the body of a request that is not admitted.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// A request that was refused before it reached the core. Converts to the HTTP response.
#[derive(Debug)]
pub struct HttpRefusal {
    status: StatusCode,
    texts: Vec<String>,
    location: Option<String>,
    retry_after_secs: Option<u32>,
}

impl HttpRefusal {
    fn without_text(status: StatusCode) -> Self {
        Self { status, texts: Vec::new(), location: None, retry_after_secs: None }
    }

    fn with_text(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, texts: vec![text.into()], location: None, retry_after_secs: None }
    }

    /// The refusal (429) of a request to an exempt path, when too many on its connection wait.
    pub(crate) fn too_many_exempt_requests() -> Self {
        let text = "too many requests of this connection wait for a response: try again later";
        let refusal = Self::with_text(StatusCode::TOO_MANY_REQUESTS, text);
        Self { retry_after_secs: Some(1), ..refusal }
    }

    /// The response: the status with the texts as JSON errors, or a redirect without a body.
    pub fn into_response(self, id: &RequestId) -> Response<Body> {
        let mut response = response::errors_response(self.status, &self.texts, None, Some(id));
        if let Some(secs) = self.retry_after_secs {
            response.headers_mut().insert(header::RETRY_AFTER, secs.into());
        }
        if let Some(location) = self.location
            && let Ok(value) = HeaderValue::from_str(&location)
        {
            response.headers_mut().insert(header::LOCATION, value);
            *response.body_mut() = Body::default();
        }
        response
    }
}

/// A request whose head was checked. Nothing of its body was read yet.
///
/// The head is boxed, because it is moved from one future of the request to the next.
pub struct ParsedHead {
    head: Box<Parts>,
    path: String,
    vault_headers: Vec<(String, String)>,
}

impl ParsedHead {
    /// Checks the path and the headers.
    ///
    /// # Errors
    ///
    /// The response to send instead: a redirect for a path that isn't normalized, 404 for one
    /// outside `/v1/`, 400 for a malformed path or header.
    pub fn new(head: Box<Parts>) -> Result<Self, HttpRefusal> {
        let path = match resolve_target(head.uri.path(), head.uri.query()) {
            RequestTarget::Api(path) => path,
            RequestTarget::Redirect(location) => {
                let refusal = HttpRefusal::without_text(StatusCode::TEMPORARY_REDIRECT);
                return Err(HttpRefusal { location: Some(location), ..refusal });
            }
            RequestTarget::Unknown => return Err(HttpRefusal::without_text(StatusCode::NOT_FOUND)),
            RequestTarget::Malformed => {
                return Err(HttpRefusal::without_text(StatusCode::BAD_REQUEST));
            }
        };
        let of_the_api = vault_headers(&head.headers)?;
        Ok(Self { head, path, vault_headers: of_the_api })
    }

    /// The path below `/v1/`, percent-decoded once.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Refuses a head that is too large for a path that is exempt from admission control.
    pub(crate) fn check_exempt_head(&self) -> Result<(), HttpRefusal> {
        if head_weight(&self.head) <= MAX_EXEMPT_HEAD_BYTES {
            return Ok(());
        }
        let text = "the headers and the query are too large for this path";
        Err(HttpRefusal::with_text(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, text))
    }

    /// The token from `X-Vault-Token` or else `Authorization: Bearer`, if one was sent. It isn't
    /// validated.
    pub fn sent_token(&self) -> Option<Secret<String>> {
        token_from_headers(&self.head.headers)
    }

    /// Reads and discards the body, for clients that send all of it before they read the response.
    /// Called before the response to a request that was not admitted.
    pub async fn drain_body<B>(&self, body: B, limits: &HttpLimits)
    where
        B: hyper::body::Body<Data = Bytes> + Send,
    {
        if client_keeps_sending(&self.head, BodyError::DeclaredTooLarge) {
            let rest = discard_body(body, limits.max_request_bytes.saturating_mul(2));
            let _ = tokio::time::timeout(limits.timeouts.body.min(DRAIN_TIMEOUT), rest).await;
        }
    }
}

/// Which request it is, and where it comes from.
pub(crate) struct RequestSource {
    pub(crate) span: RequestSpan,
    /// The client's address and port; `None` on a Unix socket.
    pub(crate) connection: Option<ConnectionInfo>,
}

/// Reads the body of an admitted request, or refuses it. Returns the request and the memory it
/// keeps reserved. For [`MemoryClass::Authenticated`], `check_token` is awaited before anything is
/// reserved. The request's token is left empty; the caller sets it.
///
/// # Errors
///
/// The refusal of a request that is too large, malformed or too slow, for which no memory is free
/// in time, or that needs more than [`UNBUDGETED_BYTES`](crate::body::UNBUDGETED_BYTES) on a path
/// that needs a token, without a valid one.
pub(crate) async fn read_request<B, P>(
    begun: ParsedHead,
    body: B,
    form: BodyForm,
    check_token: Pin<&mut P>,
    limits: &HttpLimits,
    source: RequestSource,
) -> Result<(CoreRequest, BodyBudget), HttpRefusal>
where
    B: hyper::body::Body<Data = Bytes> + Send,
    P: Future<Output = Result<(), Error>> + Send,
{
    let BodyForm { class, raw } = form;
    let bounds = InputLimits::for_class(class, &begun.path, limits);
    let mut claim = BodyClaim::new(&limits.body_memory, class, check_token);
    let head_bytes = head_weight(&begun.head);
    let claimed = claim.grow(head_bytes).await;
    claimed.map_err(|unread| refusal_for(unread, &mut claim))?;
    let query = begun.head.uri.query().unwrap_or_default();
    let mut query = query_fields(query, bounds.form_fields).map_err(|error| bad_request(&error))?;
    let verb = parse_verb(&begun.head.method, &begun.path, &mut query)?;
    let mut raw_body = None;
    let (fields, share) = match verb {
        Verb::Write if raw => {
            let read = read_raw_body(&begun.head, body, head_bytes, claim, &bounds, limits);
            let (body, share) = Box::pin(read).await?;
            raw_body = Some(body);
            (query, share)
        }
        Verb::Write | Verb::Patch => {
            if verb == Verb::Patch {
                check_patch_type(&begun.head.headers)?;
            }
            // Boxed, because a request without a body must not reserve memory for it.
            Box::pin(read_fields(&begun.head, body, head_bytes, claim, &bounds, limits)).await?
        }
        Verb::Read | Verb::List | Verb::Delete | Verb::Help => (query, claim.finish(head_bytes)),
    };
    let ParsedHead { head, path, vault_headers } = begun;
    let passthrough: Option<Box<dyn HeaderSource>> =
        Some(Box::new(PassthroughHeaders(head.headers)));
    let headers = RequestHeaders { vault_headers, passthrough };
    let RequestSource { span, connection } = source;
    let request =
        CoreRequest { span, verb, path, fields, raw_body, token: None, headers, connection };
    Ok((request, share))
}

/// Reads the body of a write whose engine takes it unparsed, within the same limits as JSON.
async fn read_raw_body<B, P>(
    head: &Parts,
    body: B,
    head_bytes: usize,
    mut claim: BodyClaim<'_, P>,
    bounds: &InputLimits,
    limits: &HttpLimits,
) -> Result<(Box<RawRequestBody>, BodyBudget), HttpRefusal>
where
    B: hyper::body::Body<Data = Bytes> + Send,
    P: Future<Output = Result<(), Error>> + Send,
{
    let bytes = read_whole_body(head, body, false, bounds, limits, &mut claim).await?;
    let weight = head_bytes.saturating_add(bytes.len());
    let claimed = claim.grow(weight).await;
    claimed.map_err(|unread| refusal_for(unread, &mut claim))?;
    let content_type = head.headers.get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let raw_body = RawRequestBody { content_type: content_type.to_owned(), bytes };
    Ok((Box::new(raw_body), claim.finish(weight)))
}

/// Reads the body of a write and parses its fields.
async fn read_fields<B, P>(
    head: &Parts,
    body: B,
    head_bytes: usize,
    mut claim: BodyClaim<'_, P>,
    bounds: &InputLimits,
    limits: &HttpLimits,
) -> Result<(Fields, BodyBudget), HttpRefusal>
where
    B: hyper::body::Body<Data = Bytes> + Send,
    P: Future<Output = Result<(), Error>> + Send,
{
    let is_form = content_type(&head.headers) == "application/x-www-form-urlencoded";
    let bytes = read_whole_body(head, body, is_form, bounds, limits, &mut claim).await?;
    parse_body(bytes, head_bytes, claim, is_form, *bounds).await
}

/// How the body of an admitted request is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyForm {
    /// Which memory pool the request reserves from.
    pub(crate) class: MemoryClass,
    /// Whether the body of a write is passed on unparsed.
    pub(crate) raw: bool,
}

pub(crate) fn body_form(permit: &RequestPermit) -> BodyForm {
    let class = match (permit.is_exempt(), permit.needs_token()) {
        (true, _) => MemoryClass::Exempt,
        (false, false) => MemoryClass::Unauthenticated,
        (false, true) => MemoryClass::Authenticated,
    };
    BodyForm { class, raw: permit.takes_raw_body() }
}

/// The maximum size and structure of a request's fields, for its memory class.
#[derive(Clone, Copy)]
struct InputLimits {
    bytes: usize,
    form_bytes: usize,
    form_fields: usize,
    /// Top-level fields.
    fields: usize,
    json: JsonLimits,
}

impl InputLimits {
    fn for_class(class: MemoryClass, path: &str, limits: &HttpLimits) -> Self {
        let (bytes, fields) = match class {
            MemoryClass::Exempt => (MAX_EXEMPT_BYTES, MAX_EXEMPT_FIELDS),
            MemoryClass::Unauthenticated => {
                (limits.max_unauthenticated_bytes, limits.max_unauthenticated_fields)
            }
            MemoryClass::Authenticated => (usize::MAX, usize::MAX),
        };
        let bytes = if path == "sys/init" { bytes.min(MAX_INIT_BYTES) } else { bytes };
        Self {
            bytes: limits.max_request_bytes.min(bytes),
            form_bytes: limits.max_form_bytes,
            form_fields: limits.max_form_fields.min(fields),
            fields,
            json: limits.json,
        }
    }
}

/// The memory of a head in bytes, including the parsed fields of its query.
fn head_weight(head: &Parts) -> usize {
    let query = head.uri.query().unwrap_or_default();
    let target = head.uri.path().len() + query.len();
    let headers = head.headers.iter();
    let headers: usize =
        headers.map(|(name, value)| name.as_str().len() + value.len() + HEADER_OVERHEAD).sum();
    target + headers + form_weight(query.as_bytes())
}

/// Estimated overhead of a header beside its bytes.
const HEADER_OVERHEAD: usize = 64;

fn form_weight(form: &[u8]) -> usize {
    if form.is_empty() {
        return 0;
    }
    let fields = form.iter().filter(|byte| **byte == b'&').count() + 1;
    form.len().saturating_add(fields.saturating_mul(FIELD_OVERHEAD))
}

fn bad_request(error: &impl std::fmt::Display) -> HttpRefusal {
    HttpRefusal::with_text(StatusCode::BAD_REQUEST, error.to_string())
}

fn parse_verb(method: &Method, path: &str, query: &mut Fields) -> Result<Verb, HttpRefusal> {
    let help = query.remove("help").is_some_and(|raw| raw.get() != "\"\"");
    let list = match query.text("list") {
        Some(text) => {
            query.remove("list");
            parse_bool(&text).ok_or_else(|| HttpRefusal::without_text(StatusCode::BAD_REQUEST))?
        }
        None => false,
    };
    match method.as_str() {
        "GET" if help => Ok(Verb::Help),
        "GET" if list => Ok(Verb::List),
        "GET" => Ok(Verb::Read),
        "HELP" => Ok(Verb::Help),
        "LIST" => Ok(Verb::List),
        "POST" | "PUT" => Ok(Verb::Write),
        "PATCH" => Ok(Verb::Patch),
        "DELETE" => Ok(Verb::Delete),
        "HEAD" if path == "sys/health" => Ok(Verb::Read),
        "OPTIONS" => Err(HttpRefusal::with_text(
            StatusCode::BAD_REQUEST,
            "cannot handle internal-only request operation",
        )),
        _ => Err(HttpRefusal::without_text(StatusCode::METHOD_NOT_ALLOWED)),
    }
}

async fn read_whole_body<B, P>(
    head: &Parts,
    body: B,
    is_form: bool,
    bounds: &InputLimits,
    limits: &HttpLimits,
    claim: &mut BodyClaim<'_, P>,
) -> Result<Bytes, HttpRefusal>
where
    B: hyper::body::Body<Data = Bytes> + Send,
    P: Future<Output = Result<(), Error>> + Send,
{
    let form_bytes = is_form.then_some(bounds.form_bytes);
    let allowed = BodyLimits { bytes: bounds.bytes, form_bytes };
    let late = tokio::time::Instant::now() + limits.timeouts.body;
    let mut body = pin!(body);
    let reading = read_body(body.as_mut(), allowed, claim);
    let unread = match tokio::time::timeout_at(late, reading).await {
        Ok(Ok(read)) => return Ok(read),
        Ok(Err(unread)) => unread,
        Err(_) => {
            let text = "the request's body came too slowly";
            return Err(HttpRefusal::with_text(StatusCode::REQUEST_TIMEOUT, text));
        }
    };
    if client_keeps_sending(head, unread) {
        let rest = discard_body(body, limits.max_request_bytes.saturating_mul(2));
        let _ = tokio::time::timeout_at(late, rest).await;
    }
    Err(refusal_for(unread, claim))
}

fn refusal_for<P>(unread: BodyError, claim: &mut BodyClaim<'_, P>) -> HttpRefusal
where
    P: Future<Output = Result<(), Error>> + Send,
{
    match unread {
        BodyError::DeclaredTooLarge | BodyError::TooLarge => {
            HttpRefusal::with_text(StatusCode::PAYLOAD_TOO_LARGE, "http: request body too large")
        }
        BodyError::Truncated => {
            HttpRefusal::with_text(StatusCode::BAD_REQUEST, "the request's body was cut off")
        }
        BodyError::OverBudget => {
            let text = "too many large request bodies at the same time: try again later";
            let refusal = HttpRefusal::with_text(StatusCode::SERVICE_UNAVAILABLE, text);
            HttpRefusal { retry_after_secs: Some(1), ..refusal }
        }
        BodyError::TokenRefused => {
            let error = claim.take_refusal().unwrap_or_else(Error::invalid_token);
            HttpRefusal {
                status: error::status_of(&error),
                texts: error::messages_of(&error),
                location: None,
                retry_after_secs: error.retry_after_secs(),
            }
        }
    }
}

/// Whether the client sends the rest of the body before it reads the response. One that sent
/// `Expect: 100-continue` got that response as soon as anything was read. Over HTTP/2 it can read a
/// response at any time.
fn client_keeps_sending(head: &Parts, unread: BodyError) -> bool {
    head.version != Version::HTTP_2
        && match unread {
            BodyError::DeclaredTooLarge => !head.headers.contains_key(header::EXPECT),
            BodyError::TooLarge | BodyError::OverBudget | BodyError::TokenRefused => true,
            BodyError::Truncated => false,
        }
}

/// Reserves memory for the fields before they are built; afterwards the raw body is released.
async fn parse_body<P>(
    body: Bytes,
    head_bytes: usize,
    mut claim: BodyClaim<'_, P>,
    is_form: bool,
    bounds: InputLimits,
) -> Result<(Fields, BodyBudget), HttpRefusal>
where
    P: Future<Output = Result<(), Error>> + Send,
{
    let unparsed = RawBody { body, is_form, bounds };
    let (unparsed, weight) = weigh_body(unparsed, &mut claim).await?;
    let weight = head_bytes.saturating_add(weight);
    let claimed = claim.grow(unparsed.body.len() + weight).await;
    claimed.map_err(|unread| refusal_for(unread, &mut claim))?;
    if unparsed.body.len() <= LARGE_BODY_BYTES {
        return Ok((unparsed.parse_fields()?, claim.finish(weight)));
    }
    // A large body is parsed on the blocking pool, so that the runtime's threads stay free. The
    // reservation moves along: if the client disconnects, memory in use isn't released early.
    let budget = claim.finish(unparsed.body.len() + weight);
    match tokio::task::spawn_blocking(move || (unparsed.parse_fields(), budget)).await {
        Ok((fields, budget)) => Ok((fields?, budget)),
        Err(_) => Err(HttpRefusal::without_text(StatusCode::INTERNAL_SERVER_ERROR)),
    }
}

/// The memory that the fields of a body will take. A large body is scanned on the blocking pool.
async fn weigh_body<P>(
    unparsed: RawBody,
    claim: &mut BodyClaim<'_, P>,
) -> Result<(RawBody, usize), HttpRefusal>
where
    P: Future<Output = Result<(), Error>> + Send,
{
    if unparsed.body.len() <= LARGE_BODY_BYTES {
        let weight = unparsed.memory_weight()?;
        return Ok((unparsed, weight));
    }
    let budget = claim.detach_budget();
    let work = move || {
        let weight = unparsed.memory_weight();
        (unparsed, weight, budget)
    };
    let Ok((unparsed, weight, budget)) = tokio::task::spawn_blocking(work).await else {
        return Err(HttpRefusal::without_text(StatusCode::INTERNAL_SERVER_ERROR));
    };
    claim.reattach_budget(budget);
    Ok((unparsed, weight?))
}

/// A body before parsing. It is JSON whatever the content type, except if that is a form and the
/// body doesn't start like JSON.
struct RawBody {
    body: Bytes,
    is_form: bool,
    bounds: InputLimits,
}

impl RawBody {
    fn is_json(&self) -> bool {
        let first = self.body.trim_ascii_start().first();
        !self.is_form || first.is_some_and(|first| begins_json(*first))
    }

    /// The memory that its fields will take, in bytes. Bodies that exceed a limit are refused.
    fn memory_weight(&self) -> Result<usize, HttpRefusal> {
        if !self.is_json() {
            return Ok(form_weight(&self.body));
        }
        let checked = Fields::check_body(&self.body, &self.bounds.json)
            .map_err(|error| bad_request(&error))?;
        if checked.field_count() > self.bounds.fields {
            let most = self.bounds.fields;
            return Err(bad_request(&format!(
                "refused JSON input due to high complexity: exceeded maximum number of fields \
                 ({most}) of a path that needs no token"
            )));
        }
        Ok(checked.estimated_bytes())
    }

    fn parse_fields(&self) -> Result<Fields, HttpRefusal> {
        if self.is_json() {
            return Fields::parse(&self.body, &self.bounds.json)
                .map_err(|error| bad_request(&error));
        }
        form_fields(&self.body, self.bounds.form_fields).map_err(|error| bad_request(&error))
    }
}

fn check_patch_type(headers: &HeaderMap) -> Result<(), HttpRefusal> {
    const WANTED: &str = "application/merge-patch+json";
    let content_type_sent = content_type(headers);
    if content_type_sent == WANTED {
        return Ok(());
    }
    let text = format!("PATCH requires Content-Type of {WANTED}, provided {content_type_sent}");
    Err(HttpRefusal::with_text(StatusCode::UNSUPPORTED_MEDIA_TYPE, text))
}

/// The content type without its parameters, in lower case.
fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let plain = value.unwrap_or_default().split(';').next().unwrap_or_default();
    plain.trim().to_ascii_lowercase()
}

static TOKEN_HEADER: HeaderName = HeaderName::from_static("x-vault-token");

/// The token from `X-Vault-Token`, else from `Authorization: Bearer`.
fn token_from_headers(headers: &HeaderMap) -> Option<Secret<String>> {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    text(&TOKEN_HEADER)
        .or_else(|| text(&header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer ")))
        .map(|token| Secret::from_text(token.trim()))
}

/// Collects the `X-Vault-*` headers. Non-ASCII or repeated ones are rejected rather than dropped,
/// because dropping one would change the request; the same holds for `Authorization`.
fn vault_headers(headers: &HeaderMap) -> Result<Vec<(String, String)>, HttpRefusal> {
    let mut collected = Vec::new();
    for name in headers.keys() {
        // `x-vault-index` holds the replication states that a client has seen, and may be repeated,
        // once for each server; it is ignored.
        if name.as_str().starts_with("x-vault-") && name != "x-vault-index" {
            let text = single_ascii_value(headers, name)?;
            if name != TOKEN_HEADER {
                collected.push((name.to_string(), text.to_owned()));
            }
        } else if name == header::AUTHORIZATION {
            single_ascii_value(headers, name)?;
        }
    }
    Ok(collected)
}

fn single_ascii_value<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> Result<&'h str, HttpRefusal> {
    let mut values = headers.get_all(name).iter();
    let text = values.next().and_then(|value| value.to_str().ok());
    let Some(text) = text else {
        return Err(bad_request(&format!(
            "the value of the header {name} must be plain ASCII text"
        )));
    };
    if values.next().is_some() {
        return Err(bad_request(&format!("the header {name} must not be given more than once")));
    }
    Ok(text)
}

/// The original headers, for mounts that pass some through to the engine: without the header of the
/// token and those of the connection.
struct PassthroughHeaders(HeaderMap);

impl HeaderSource for PassthroughHeaders {
    fn values(&self, name: &str) -> Vec<String> {
        if is_token_header(&self.0, name) || is_connection_header(&self.0, name) {
            return Vec::new();
        }
        let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
        let values: Option<Vec<String>> = self.0.get_all(name).iter().map(text).collect();
        // A value that isn't ASCII text cannot be represented in a request to an engine.
        values.unwrap_or_default()
    }
}

/// Whether the token was taken from this header.
fn is_token_header(headers: &HeaderMap, name: &str) -> bool {
    if name == header::AUTHORIZATION.as_str() {
        let values = headers.get_all(name).iter();
        let mut texts = values.filter_map(|value| value.to_str().ok());
        return !headers.contains_key(&TOKEN_HEADER)
            && texts.any(|text| text.starts_with("Bearer "));
    }
    name == TOKEN_HEADER.as_str()
}

/// Whether this is `Connection` or a header that it lists: those apply to this connection only.
fn is_connection_header(headers: &HeaderMap, name: &str) -> bool {
    let values = headers.get_all(header::CONNECTION).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    let mut listed = texts.flat_map(|text| text.split(','));
    name == header::CONNECTION.as_str() || listed.any(|it| it.trim().eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(future)
    }

    /// Reads a request with a valid token, as after admission.
    fn request_id() -> RequestId {
        RequestId::parse("4a3f5bd6").unwrap()
    }

    async fn read_authenticated<B>(
        request: http::Request<B>,
        limits: &HttpLimits,
        connection: Option<ConnectionInfo>,
    ) -> Result<(CoreRequest, BodyBudget), HttpRefusal>
    where
        B: hyper::body::Body<Data = Bytes> + Send,
    {
        let (head, body) = request.into_parts();
        let begun = ParsedHead::new(Box::new(head))?;
        let class = match begun.path() {
            path if strongroom_core::admission::is_exempt(path) => MemoryClass::Exempt,
            "sys/init" | "auth/any/login" => MemoryClass::Unauthenticated,
            _ => MemoryClass::Authenticated,
        };
        let token = begun.sent_token();
        let valid = pin!(std::future::ready(Ok(())));
        let source = RequestSource { span: RequestSpan::new(request_id()), connection };
        let (request, share) =
            read_request(begun, body, BodyForm { class, raw: false }, valid, limits, source)
                .await?;
        Ok((CoreRequest { token, ..request }, share))
    }

    fn send_request(
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<CoreRequest, HttpRefusal> {
        let mut request = http::Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
        let limits = HttpLimits { max_request_bytes: 64, ..HttpLimits::default() };
        block_on(read_authenticated(request, &limits, None)).map(|(request, _)| request)
    }

    fn refusal_of_request(
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (u16, Vec<String>) {
        match send_request(method, target, headers, body) {
            Err(refusal) => (refusal.status.as_u16(), refusal.texts),
            Ok(_) => panic!("{method} {target} must be refused"),
        }
    }

    #[test]
    fn methods_become_verbs() {
        let verb = |method, target| send_request(method, target, &[], "").unwrap().verb;
        assert_eq!(verb("GET", "/v1/a"), Verb::Read);
        assert_eq!(verb("GET", "/v1/a?list=true"), Verb::List);
        assert_eq!(verb("GET", "/v1/a?list=0"), Verb::Read);
        assert_eq!(verb("LIST", "/v1/a"), Verb::List);
        assert_eq!(verb("PUT", "/v1/a"), Verb::Write);
        assert_eq!(verb("POST", "/v1/a"), Verb::Write);
        assert_eq!(verb("GET", "/v1/a?help=1"), Verb::Help);
        assert_eq!(verb("DELETE", "/v1/a"), Verb::Delete);
        assert_eq!(verb("HEAD", "/v1/sys/health"), Verb::Read);
        assert_eq!(refusal_of_request("HEAD", "/v1/a", &[], ""), (405, vec![]));
        assert_eq!(refusal_of_request("TRACE", "/v1/a", &[], ""), (405, vec![]));
        assert_eq!(refusal_of_request("OPTIONS", "/v1/a", &[], "").0, 400);
        assert_eq!(refusal_of_request("GET", "/v1/a?list=maybe", &[], ""), (400, vec![]));
        assert_eq!(
            refusal_of_request("PATCH", "/v1/a", &[("content-type", "application/json")], "{}").0,
            415
        );
    }

    /// No method, query or header triggers an operation that is internal to the server.
    #[test]
    fn ghsa_rh46_vc3j_w2w3_internal_operations_are_no_methods() {
        for method in
            ["RENEW", "REVOKE", "ROLLBACK", "renew", "ALIAS-LOOKAHEAD", "CREATE", "UPDATE"]
        {
            for target in ["/v1/a", "/v1/a?list=true", "/v1/a?help=1", "/v1/sys/health"] {
                assert_eq!(
                    refusal_of_request(method, target, &[], ""),
                    (405, vec![]),
                    "{method} {target}"
                );
            }
        }
        let ordinary = [Verb::Read, Verb::List, Verb::Write, Verb::Delete, Verb::Patch, Verb::Help];
        for operation in ["renew", "revoke", "rollback"] {
            for name in ["x-http-method-override", "x-http-method", "x-method-override"] {
                let sent = send_request("POST", "/v1/a", &[(name, operation)], "").unwrap();
                assert_eq!(sent.verb, Verb::Write, "{name}");
            }
            for name in ["operation", "_method", "op", "method"] {
                let target = format!("/v1/a?{name}={operation}");
                let sent = send_request("GET", &target, &[], "").unwrap();
                assert!(sent.verb == Verb::Read && ordinary.contains(&sent.verb), "{target}");
            }
        }
    }

    #[test]
    fn json_is_json_whatever_the_content_type() {
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let fields = send_request("POST", "/v1/a?x=1", &form, r#" {"a":"b"}"#).unwrap().fields;
        assert_eq!(fields.text("a").as_deref(), Some("b"));
        assert!(!fields.contains("x"), "the query of a write doesn't count");
        let fields = send_request("POST", "/v1/a", &form, "a=b&c=d").unwrap().fields;
        assert_eq!(fields.text("c").as_deref(), Some("d"));
        let (status, texts) = refusal_of_request("POST", "/v1/a", &[], "[1]");
        assert_eq!(status, 400);
        assert!(texts[0].starts_with("failed to decode JSON input"));
    }

    #[test]
    fn cve_2023_6337_large_bodies_are_refused_before_they_are_read() {
        let body = format!(r#"{{"a":"{}"}}"#, "x".repeat(100));
        assert_eq!(
            refusal_of_request("POST", "/v1/a", &[], &body),
            (413, vec!["http: request body too large".to_owned()])
        );
    }

    /// Reads a request with the default limits.
    async fn by_default(
        path: &str,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> Result<Fields, (u16, Vec<String>)> {
        let request = http::Request::post(path).header("content-type", content_type);
        let request = request.body(Full::new(body.into())).unwrap();
        let read = read_authenticated(request, &HttpLimits::default(), None).await;
        read.map(|(request, _)| request.fields)
            .map_err(|refusal| (refusal.status.as_u16(), refusal.texts))
    }

    const FORM: &str = "application/x-www-form-urlencoded";

    #[tokio::test]
    async fn cve_2025_12044_a_form_is_no_way_around_the_bounds_of_json() {
        let too_large = (413, vec!["http: request body too large".to_owned()]);
        let large = "aaaa&aaab&".repeat(200_000);
        assert_eq!(by_default("/v1/a", FORM, large).await.unwrap_err(), too_large);
        let many = by_default("/v1/a", FORM, "a&".repeat(2000)).await.unwrap_err();
        assert_eq!(many.0, 400);
        assert!(many.1[0].contains("maximum number of fields (1024)"), "{many:?}");
        let query = format!("/v1/a?{}", "a&".repeat(2000));
        assert_eq!(by_default(&query, FORM, "").await.unwrap_err().0, 400);
        // JSON sent with the content type of a form, as curl does by default, keeps the limits of
        // JSON.
        let json = format!(r#"{{"a":"{}"}}"#, "x".repeat(2 << 20));
        assert!(by_default("/v1/a", FORM, json).await.is_ok());
    }

    #[tokio::test]
    async fn cve_2023_6337_what_anybody_may_send_to_a_sealed_server_is_small() {
        let json = format!(r#"{{"key":"{}"}}"#, "x".repeat(MAX_INIT_BYTES));
        for path in ["/v1/sys/unseal", "/v1/sys/init"] {
            assert_eq!(by_default(path, "", json.clone()).await.unwrap_err().0, 413, "{path}");
        }
        assert!(by_default("/v1/sys/policy/a", "", json).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn cve_2023_6337_a_body_without_a_share_is_asked_to_come_again() {
        let limits = HttpLimits {
            body_memory: crate::BodyMemoryPool::new(0, 250 << 10, 0),
            ..HttpLimits::default()
        };
        let json = format!(r#"{{"a":"{}"}}"#, "x".repeat(150 << 10));
        let send = async || {
            let body = Full::new(Bytes::from(json.clone()));
            let read =
                read_authenticated(http::Request::post("/v1/a").body(body).unwrap(), &limits, None)
                    .await;
            read.map(|(_, share)| share).map_err(|refusal| refusal.status.as_u16())
        };
        let share = send().await.unwrap();
        assert_eq!(send().await.unwrap_err(), 503);
        drop(share);
        assert!(send().await.is_ok());
    }

    /// The status that a client reads if it sends so much of its body before it reads.
    async fn response_before_body_end(head: &str, body: usize) -> std::io::Result<String> {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};

        let (max_request_bytes, max_form_bytes) = (64 << 10, 16 << 10);
        let limits = HttpLimits { max_request_bytes, max_form_bytes, ..HttpLimits::default() };
        let timeouts = limits.timeouts;
        let answer = move |request: http::Request<hyper::body::Incoming>| {
            let limits = limits.clone();
            async move {
                match read_authenticated(request, &limits, None).await {
                    Ok(_) => Response::new(Body::default()),
                    Err(refusal) => refusal.into_response(&request_id()),
                }
            }
        };
        let (ours, mut theirs) = tokio::io::duplex(16 << 10);
        let stop = tokio_util::sync::CancellationToken::new();
        let serving =
            crate::connection::serve_connection(ours, timeouts, stop.clone(), stop, answer);
        let asking = async {
            theirs
                .write_all(format!("POST /v1/a HTTP/1.1\r\nHost: a\r\n{head}\r\n").as_bytes())
                .await?;
            theirs.write_all(&vec![b' '; body]).await?;
            let (mut heard, mut status) = (String::new(), [0; 12]);
            theirs.read_exact(&mut status).await?;
            while status == *b"HTTP/1.1 100" {
                heard += "100, ";
                let mut end = [0; 4];
                theirs.read_exact(&mut end).await?;
                while end != *b"\r\n\r\n" {
                    end.rotate_left(1);
                    theirs.read_exact(&mut end[3..]).await?;
                }
                theirs.read_exact(&mut status).await?;
            }
            drop(theirs);
            Ok(heard + &String::from_utf8_lossy(&status[9..]))
        };
        tokio::join!(serving, asking).1
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_sends_first_still_reads_413() {
        let length = |bytes: usize| format!("Content-Length: {bytes}\r\n");
        let hears = async |bytes| {
            response_before_body_end(&length(bytes), bytes).await.map_err(|error| error.kind())
        };
        assert_eq!(hears(64 << 10).await.unwrap(), "200");
        for bytes in [100 << 10, 128 << 10] {
            assert_eq!(hears(bytes).await.unwrap(), "413", "{bytes}");
        }
        // The server stops reading at some point.
        assert_eq!(hears(1 << 20).await.unwrap_err(), std::io::ErrorKind::BrokenPipe);
        // A client that stops midway gets the response, no later than the body timeout.
        assert_eq!(response_before_body_end(&length(100 << 10), 80 << 10).await.unwrap(), "413");
        // A client that sends `Expect: 100-continue` sends no body until it is told to.
        let asks = |bytes| length(bytes) + "Expect: 100-continue\r\n";
        assert_eq!(response_before_body_end(&asks(100 << 10), 0).await.unwrap(), "413");
        let form = asks(50 << 10) + "Content-Type: application/x-www-form-urlencoded\r\n";
        assert_eq!(response_before_body_end(&form, 50 << 10).await.unwrap(), "100, 413");
    }

    #[test]
    fn cve_2023_6337_large_bodies_are_parsed_away_from_the_runtime() {
        let json = |bytes| format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes));
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.max_blocking_threads(1).enable_time().build().unwrap();
        // While the only blocking thread is busy, a large body waits, and a small one doesn't.
        let (release, held) = std::sync::mpsc::channel::<()>();
        drop(runtime.spawn_blocking(move || held.recv()));
        runtime.block_on(async {
            let mut large = Box::pin(by_default("/v1/a", "", json(LARGE_BODY_BYTES)));
            let patience = Duration::from_millis(1);
            assert!(tokio::time::timeout(patience, large.as_mut()).await.is_err());
            assert!(by_default("/v1/a", "", json(1000)).await.is_ok());
            // Nor is it scanned on the runtime's thread first.
            let deep = format!("{}{}", "[".repeat(200), " ".repeat(LARGE_BODY_BYTES));
            let mut deep = Box::pin(by_default("/v1/a", "", deep));
            assert!(tokio::time::timeout(patience, deep.as_mut()).await.is_err());
            release.send(()).unwrap();
            assert_eq!(large.await.unwrap().text("a").unwrap().len(), LARGE_BODY_BYTES);
            assert_eq!(deep.await.unwrap_err().0, 400);
            let broken = format!(r#"{{"a":"{}"#, "x".repeat(LARGE_BODY_BYTES));
            assert_eq!(by_default("/v1/a", "", broken).await.unwrap_err().0, 400);
        });
    }

    #[test]
    fn a_header_that_is_no_plain_value_is_refused_not_left_out() {
        let send = |headers: &[(&str, &[u8])]| {
            let mut request = http::Request::get("/v1/a");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let request = request.body(Full::new(Bytes::new())).unwrap();
            let read = block_on(read_authenticated(request, &HttpLimits::default(), None));
            read.map_err(|refusal| (refusal.status.as_u16(), refusal.texts)).map(|_| ())
        };
        let text = "the value of the header x-vault-namespace must be plain ASCII text".to_owned();
        assert_eq!(send(&[("X-Vault-Namespace", b"t\xc3\xa9am")]), Err((400, vec![text])));
        assert_eq!(send(&[("X-Vault-Token", b"\xff")]).unwrap_err().0, 400);
        let text = "the header x-vault-namespace must not be given more than once".to_owned();
        let twice: [(&str, &[u8]); 2] = [("x-vault-namespace", b""), ("X-Vault-Namespace", b"a")];
        assert_eq!(send(&twice), Err((400, vec![text])));
        assert_eq!(send(&[("x-other", b"\xff"), ("x-other", b"b")]), Ok(()));
        assert_eq!(send(&[("x-vault-index", b"a"), ("x-vault-index", b"b")]), Ok(()));
    }

    /// The values that an engine may receive for a header.
    fn passed_values(request: &CoreRequest, name: &str) -> Vec<String> {
        request.headers.passthrough.as_ref().unwrap().values(name)
    }

    #[test]
    fn hop_by_hop_headers_are_not_passed_through() {
        let request = http::Request::get("/v1/a")
            .header("X-Mine", "a")
            .header("X-Mine", "b")
            .header("X-Broken", &b"\xff"[..])
            .header("Connection", "close, X-Hop")
            .header("X-Hop", "c");
        let request = request.body(Full::new(Bytes::new())).unwrap();
        let (request, _) =
            block_on(read_authenticated(request, &HttpLimits::default(), None)).unwrap();
        assert!(request.headers.vault_headers.is_empty());
        assert_eq!(passed_values(&request, "x-mine"), ["a", "b"]);
        for name in ["x-broken", "connection", "x-hop", "x-none"] {
            assert!(passed_values(&request, name).is_empty(), "{name}");
        }
        let twice = [("authorization", "Bearer a"), ("Authorization", "Bearer b")];
        assert_eq!(refusal_of_request("GET", "/v1/a", &twice, "").0, 400);
    }

    #[test]
    fn tokens_come_in_two_headers_and_are_not_passed_through() {
        let both =
            [("x-vault-token", "one"), ("authorization", "Bearer two"), ("x-vault-namespace", "n")];
        let request = send_request("GET", "/v1/a", &both, "").unwrap();
        assert!(request.token.as_ref().unwrap().ct_eq(b"one"));
        let namespace = ("x-vault-namespace".to_owned(), "n".to_owned());
        assert_eq!(request.headers.vault_headers, [namespace]);
        // Whether the other header may be passed through depends on the mount's settings.
        assert_eq!(passed_values(&request, "authorization"), ["Bearer two"]);
        assert!(passed_values(&request, "x-vault-token").is_empty());
        let request = send_request("GET", "/v1/a", &both[1..2], "").unwrap();
        assert!(passed_values(&request, "authorization").is_empty());
        assert!(request.token.unwrap().ct_eq(b"two"));
        let request = send_request("GET", "/v1/a", &[("authorization", "bearer two")], "").unwrap();
        assert!(request.token.is_none());
    }

    /// The memory that a request keeps reserved while it is answered.
    async fn budget_held(path: &str, body: String) -> usize {
        let limits = HttpLimits::default();
        let before = limits.body_memory.available_bytes();
        let request = http::Request::post(path).body(Full::new(Bytes::from(body))).unwrap();
        let (_, share) = read_authenticated(request, &limits, None).await.unwrap();
        let held = before - limits.body_memory.available_bytes();
        drop(share);
        assert_eq!(limits.body_memory.available_bytes(), before);
        held
    }

    #[tokio::test]
    async fn cve_2023_6337_and_sr_2026_05_fields_count_as_the_memory_they_take() {
        let fields = |count: usize| {
            let fields: Vec<String> = (0..count).map(|n| format!("\"{n}\":1")).collect();
            format!("{{{}}}", fields.join(","))
        };
        let body = fields(1999);
        assert!(body.len() < 18 << 10);
        // In one frame, it takes 17 times its bytes.
        assert!(budget_held("/v1/a", body).await >= 1999 * FIELD_OVERHEAD);
        assert_eq!(budget_held("/v1/a", fields(10)).await, 0, "what is small is counted by number");
        let query = format!("/v1/a?{}", "a=b&".repeat(1000));
        assert!(budget_held(&query, String::new()).await >= 1000 * FIELD_OVERHEAD);
    }

    #[tokio::test(start_paused = true)]
    async fn cve_2023_6337_and_sr_2026_05_bodies_in_one_frame_share_a_bounded_memory() {
        let limits = HttpLimits {
            body_memory: crate::BodyMemoryPool::new(4 << 20, 0, 0),
            ..HttpLimits::default()
        };
        let fields: Vec<String> = (0..1999).map(|n| format!("\"{n}\":1")).collect();
        let body = Bytes::from(format!("{{{}}}", fields.join(",")));
        let (mut shares, mut refused) = (Vec::new(), 0);
        for _ in 0..100 {
            let request = http::Request::post("/v1/a").body(Full::new(body.clone())).unwrap();
            match read_authenticated(request, &limits, None).await {
                Ok((_, share)) => shares.push(share),
                Err(refusal) => {
                    let response = refusal.into_response(&request_id());
                    assert_eq!(response.status(), 503);
                    assert_eq!(response.headers()[header::RETRY_AFTER], "1");
                    refused += 1;
                }
            }
        }
        // 335 KiB each of 4 MiB, an eighth of which is for unauthenticated paths.
        assert!((5..=11).contains(&shares.len()), "{}", shares.len());
        assert_eq!(shares.len() + refused, 100);
    }

    #[tokio::test]
    async fn cve_2023_6337_paths_without_a_token_take_less() {
        let login = "/v1/auth/any/login";
        let status = async |path: &str, body: String| match by_default(path, "", body).await {
            Ok(_) => 200,
            Err((status, _)) => status,
        };
        let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(256 << 10));
        assert_eq!(status(login, large.clone()).await, 413);
        assert_eq!(status("/v1/a", large).await, 200);
        let fields: Vec<String> = (0..257).map(|n| format!("\"{n}\":1")).collect();
        let many = format!("{{{}}}", fields.join(","));
        assert_eq!(status(login, many.clone()).await, 400);
        assert_eq!(status("/v1/a", many).await, 200);
        let query = format!("{login}?{}", "a&".repeat(257));
        assert_eq!(status(&query, String::new()).await, 400);
    }
}
