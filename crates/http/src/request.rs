//! From HTTP to a core request: method, target, body, token and headers. Bounds first, then
//! parsing.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use strongroom_core::{Request, Verb};
use strongroom_sdk::engine::Connection;
use strongroom_types::{Fields, Secret};

use crate::listener::Limits;
use crate::target::{Target, form_fields, go_bool, query_fields, resolve};
use crate::{Body, answer};

/// A request that HTTP alone can refuse.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    texts: Vec<String>,
    location: Option<String>,
}

impl Refusal {
    fn silent(status: StatusCode) -> Self {
        Self { status, texts: Vec::new(), location: None }
    }

    fn saying(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, texts: vec![text.into()], location: None }
    }

    /// As an HTTP answer.
    pub fn write(self) -> Response<Body> {
        let mut response = answer::errors(self.status, &self.texts, None);
        if let Some(location) = self.location
            && let Ok(value) = header::HeaderValue::from_str(&location)
        {
            response.headers_mut().insert(header::LOCATION, value);
            *response.body_mut() = Body::default();
        }
        response
    }
}

/// Reads a request, or refuses it.
pub async fn read<B>(
    request: http::Request<B>,
    limits: &Limits,
    connection: Option<Connection>,
) -> Result<Request, Refusal>
where
    B: hyper::body::Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (head, body) = request.into_parts();
    let query = head.uri.query();
    let path = match resolve(head.uri.path(), query) {
        Target::Api(path) => path,
        Target::Redirect(location) => {
            let refusal = Refusal::silent(StatusCode::TEMPORARY_REDIRECT);
            return Err(Refusal { location: Some(location), ..refusal });
        }
        Target::Unknown => return Err(Refusal::silent(StatusCode::NOT_FOUND)),
        Target::Malformed => return Err(Refusal::silent(StatusCode::BAD_REQUEST)),
    };
    let mut query = query_fields(query.unwrap_or_default());
    let verb = verb(&head.method, &path, &mut query)?;
    let fields = match verb {
        Verb::Write | Verb::Patch => {
            if verb == Verb::Patch {
                check_patch_type(&head.headers)?;
            }
            let bytes = whole_body(body, limits).await?;
            body_fields(&bytes, &head.headers, limits)?
        }
        Verb::Read | Verb::List | Verb::Delete | Verb::Help => query,
    };
    let token = token(&head.headers);
    Ok(Request { verb, path, fields, token, headers: headers(&head.headers), connection })
}

fn verb(method: &Method, path: &str, query: &mut Fields) -> Result<Verb, Refusal> {
    let help = query.remove("help").is_some_and(|raw| raw.get() != "\"\"");
    let list = match query.text("list") {
        Some(text) => {
            query.remove("list");
            go_bool(&text).ok_or_else(|| Refusal::silent(StatusCode::BAD_REQUEST))?
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
        "OPTIONS" => Err(Refusal::saying(
            StatusCode::BAD_REQUEST,
            "cannot handle internal-only request operation",
        )),
        _ => Err(Refusal::silent(StatusCode::METHOD_NOT_ALLOWED)),
    }
}

async fn whole_body<B>(body: B, limits: &Limits) -> Result<Bytes, Refusal>
where
    B: hyper::body::Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let too_large =
        || Refusal::saying(StatusCode::PAYLOAD_TOO_LARGE, "http: request body too large");
    let limit = limits.max_request_bytes;
    if body.size_hint().lower() > u64::try_from(limit).unwrap_or(u64::MAX) {
        return Err(too_large());
    }
    let limited = Limited::new(body, limit);
    tokio::pin!(limited);
    match tokio::time::timeout(limits.body_timeout, limited.collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => {
            Err(Refusal::saying(StatusCode::BAD_REQUEST, "the request's body was cut off"))
        }
        Err(_) => {
            Err(Refusal::saying(StatusCode::REQUEST_TIMEOUT, "the request's body came too slowly"))
        }
    }
}

/// JSON, whatever the content type says; a form only if it says so and doesn't look like JSON.
fn body_fields(body: &[u8], headers: &HeaderMap, limits: &Limits) -> Result<Fields, Refusal> {
    let is_form = content_type(headers) == "application/x-www-form-urlencoded";
    let looks_like_json = matches!(body.trim_ascii_start().first(), Some(b'{' | b'['));
    if is_form && !looks_like_json {
        return Ok(form_fields(body));
    }
    Fields::parse(body, &limits.json)
        .map_err(|error| Refusal::saying(StatusCode::BAD_REQUEST, error.to_string()))
}

fn check_patch_type(headers: &HeaderMap) -> Result<(), Refusal> {
    const WANTED: &str = "application/merge-patch+json";
    let given = content_type(headers);
    if given == WANTED {
        return Ok(());
    }
    let text = format!("PATCH requires Content-Type of {WANTED}, provided {given}");
    Err(Refusal::saying(StatusCode::UNSUPPORTED_MEDIA_TYPE, text))
}

/// Without parameters, in lower case.
fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let plain = value.unwrap_or_default().split(';').next().unwrap_or_default();
    plain.trim().to_ascii_lowercase()
}

/// `X-Vault-Token`, else a bearer.
fn token(headers: &HeaderMap) -> Option<Secret<String>> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    text("x-vault-token")
        .or_else(|| text("authorization").and_then(|value| value.strip_prefix("Bearer ")))
        .map(|token| Secret::from_text(token.trim()))
}

/// Every header but those that carry tokens.
fn headers(headers: &HeaderMap) -> BTreeMap<String, Vec<String>> {
    let mut kept: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        // Few headers mean anything to the core, and all of those start so.
        if !name.as_str().starts_with("x-vault-") || name == "x-vault-token" {
            continue;
        }
        if let Ok(text) = value.to_str() {
            kept.entry(name.as_str().to_owned()).or_default().push(text.to_owned());
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    fn block<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(future)
    }

    fn send(
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Request, Refusal> {
        let mut request = http::Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
        let limits = Limits { max_request_bytes: 64, ..Limits::default() };
        block(read(request, &limits, None))
    }

    fn refused(
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (u16, Vec<String>) {
        match send(method, target, headers, body) {
            Err(refusal) => (refusal.status.as_u16(), refusal.texts),
            Ok(_) => panic!("{method} {target} must be refused"),
        }
    }

    #[test]
    fn methods_become_verbs() {
        let verb = |method, target| send(method, target, &[], "").unwrap().verb;
        assert_eq!(verb("GET", "/v1/a"), Verb::Read);
        assert_eq!(verb("GET", "/v1/a?list=true"), Verb::List);
        assert_eq!(verb("GET", "/v1/a?list=0"), Verb::Read);
        assert_eq!(verb("LIST", "/v1/a"), Verb::List);
        assert_eq!(verb("PUT", "/v1/a"), Verb::Write);
        assert_eq!(verb("POST", "/v1/a"), Verb::Write);
        assert_eq!(verb("GET", "/v1/a?help=1"), Verb::Help);
        assert_eq!(verb("DELETE", "/v1/a"), Verb::Delete);
        assert_eq!(verb("HEAD", "/v1/sys/health"), Verb::Read);
        assert_eq!(refused("HEAD", "/v1/a", &[], ""), (405, vec![]));
        assert_eq!(refused("TRACE", "/v1/a", &[], ""), (405, vec![]));
        assert_eq!(refused("OPTIONS", "/v1/a", &[], "").0, 400);
        assert_eq!(refused("GET", "/v1/a?list=maybe", &[], ""), (400, vec![]));
        assert_eq!(refused("PATCH", "/v1/a", &[("content-type", "application/json")], "{}").0, 415);
    }

    #[test]
    fn json_is_json_whatever_the_content_type() {
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let fields = send("POST", "/v1/a?x=1", &form, r#" {"a":"b"}"#).unwrap().fields;
        assert_eq!(fields.text("a").as_deref(), Some("b"));
        assert!(!fields.contains("x"), "the query of a write doesn't count");
        let fields = send("POST", "/v1/a", &form, "a=b&c=d").unwrap().fields;
        assert_eq!(fields.text("c").as_deref(), Some("d"));
        let (status, texts) = refused("POST", "/v1/a", &[], "[1]");
        assert_eq!(status, 400);
        assert!(texts[0].starts_with("failed to decode JSON input"));
    }

    #[test]
    fn cve_2023_6337_large_bodies_are_refused_before_they_are_read() {
        let body = format!(r#"{{"a":"{}"}}"#, "x".repeat(100));
        assert_eq!(
            refused("POST", "/v1/a", &[], &body),
            (413, vec!["http: request body too large".to_owned()])
        );
    }

    #[test]
    fn tokens_come_in_two_headers_and_go_no_further() {
        let both =
            [("x-vault-token", "one"), ("authorization", "Bearer two"), ("x-vault-namespace", "n")];
        let request = send("GET", "/v1/a", &both, "").unwrap();
        assert!(request.token.unwrap().ct_eq(b"one"));
        assert_eq!(request.headers.keys().collect::<Vec<_>>(), ["x-vault-namespace"]);
        let request = send("GET", "/v1/a", &both[1..2], "").unwrap();
        assert!(request.token.unwrap().ct_eq(b"two"));
        let request = send("GET", "/v1/a", &[("authorization", "bearer two")], "").unwrap();
        assert!(request.token.is_none());
    }
}
