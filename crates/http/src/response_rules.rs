//! A listener's rules for responses: custom headers, and redaction of details that unauthenticated
//! clients need not know.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue, Response, Uri, header};
use http_body_util::{BodyExt, Collected};
use strongroom_types::Fields;

use crate::Body;
use crate::target::{RequestTarget, resolve_target};

/// A listener's rules for responses. By default there are none.
#[derive(Clone, Debug, Default)]
pub struct ResponseRules {
    /// Custom headers; of several with the same name that match, the last one wins.
    pub headers: Vec<CustomHeader>,
    /// Whether the leader's addresses are empty in responses about the server's state.
    pub redact_addresses: bool,
    /// Whether the cluster's name is empty in them.
    pub redact_cluster_name: bool,
    /// Whether the version and build dates are empty in them, and the version in the OpenAPI
    /// document, also for requests with a token.
    pub redact_version: bool,
}

/// A header that a listener adds to responses with certain status codes.
#[derive(Clone, Debug)]
pub struct CustomHeader {
    /// The status codes it is added for.
    pub statuses: StatusSelector,
    /// The name of the header.
    pub name: HeaderName,
    /// The value of the header.
    pub value: HeaderValue,
}

/// Selects responses by their status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusSelector {
    /// Every response.
    All,
    /// Responses whose status code starts with this digit, as 4 for 4xx.
    Class(u16),
    /// Responses with exactly this status code.
    Exact(u16),
}

/// Unauthenticated paths that report the server's state.
const STATE_PATHS: [&str; 4] = ["sys/health", "sys/leader", "sys/seal-status", "sys/unseal"];
/// The OpenAPI document: without a token it lists no paths but contains the version.
const OPENAPI_PATH: &str = "sys/internal/specs/openapi";
const ADDRESS_FIELDS: [&str; 2] = ["leader_address", "leader_cluster_address"];
const CLUSTER_NAME_FIELDS: [&str; 1] = ["cluster_name"];
const VERSION_FIELDS: [&str; 3] = ["version", "build_date", "commit_date"];

/// A kind of response that is redacted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RedactionKind {
    /// One that reports the server's state.
    ServerState,
    /// The OpenAPI document.
    OpenApi,
}

impl ResponseRules {
    /// Which redaction applies to the response to this URI, if any.
    pub(crate) fn redaction_for(&self, uri: &Uri) -> Option<RedactionKind> {
        if !(self.redact_addresses || self.redact_cluster_name || self.redact_version) {
            return None;
        }
        // The path is resolved first, so that no spelling of it avoids redaction.
        let RequestTarget::Api(path) = resolve_target(uri.path(), uri.query()) else { return None };
        match path.trim_end_matches('/') {
            OPENAPI_PATH => self.redact_version.then_some(RedactionKind::OpenApi),
            path => STATE_PATHS.contains(&path).then_some(RedactionKind::ServerState),
        }
    }

    /// Empties the fields to redact. A response that isn't a JSON object is returned unchanged.
    pub(crate) async fn redact(
        &self,
        of: RedactionKind,
        response: Response<Body>,
    ) -> Response<Body> {
        let (head, body) = response.into_parts();
        // The body is in memory, so reading it cannot fail.
        let body = body.collect().await.map(Collected::to_bytes).unwrap_or_default();
        let Ok(mut fields) = Fields::from_trusted(&body) else {
            return Response::from_parts(head, Body::new(body));
        };
        match of {
            RedactionKind::ServerState => self.redact_state(&mut fields),
            RedactionKind::OpenApi => redact_openapi(&mut fields),
        }
        let body = if fields.is_empty() { body } else { fields.to_object().into_bytes() };
        Response::from_parts(head, Body::new(body))
    }

    fn redact_state(&self, fields: &mut Fields) {
        let rules = [
            (self.redact_addresses, &ADDRESS_FIELDS[..]),
            (self.redact_cluster_name, &CLUSTER_NAME_FIELDS[..]),
            (self.redact_version, &VERSION_FIELDS[..]),
        ];
        for name in rules.iter().filter(|(on, _)| *on).flat_map(|(_, names)| names.iter()) {
            if fields.contains(name) {
                fields.set(*name, &"");
            }
        }
    }

    /// Adds the listener's headers. A header that the response already has is kept, because it may
    /// protect the client; only `Strict-Transport-Security` is overridden.
    pub(crate) fn add_headers(&self, response: &mut Response<Body>) {
        if self.headers.is_empty() {
            return;
        }
        let status = response.status().as_u16();
        let own: Vec<_> = response.headers().keys().cloned().collect();
        for CustomHeader { statuses: of, name, value } in &self.headers {
            let is_free = *name == header::STRICT_TRANSPORT_SECURITY || !own.contains(name);
            if of.matches(status) && is_free {
                response.headers_mut().insert(name.clone(), value.clone());
            }
        }
    }
}

/// Empties the version. OpenAPI requires the field but no particular format.
fn redact_openapi(document: &mut Fields) {
    let Some(info) = document.get("info") else { return };
    // An `info` that isn't an object is replaced.
    let mut info = Fields::from_trusted(info.get().as_bytes()).unwrap_or_default();
    info.set("version", &"");
    let info: BTreeMap<_, _> = info.iter().collect();
    document.set("info", &info);
}

impl StatusSelector {
    fn matches(self, status: u16) -> bool {
        match self {
            Self::All => true,
            Self::Class(class) => status / 100 == class,
            Self::Exact(only) => status == only,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    const STATE: &str = r#"{"leader_address":"a","leader_cluster_address":"b","cluster_name":"c",
        "cluster_id":"d","version":"e","build_date":"f","sealed":false}"#;

    async fn redact_body(rules: ResponseRules, body: &'static str) -> Fields {
        let response =
            rules.redact(RedactionKind::ServerState, Response::new(Body::from(body))).await;
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Fields::from_trusted(&body).unwrap()
    }

    #[tokio::test]
    async fn each_redaction_applies_by_itself() {
        let usual = ResponseRules::default();
        for (rules, empty) in [
            (ResponseRules { redact_addresses: true, ..usual.clone() }, &ADDRESS_FIELDS[..]),
            (
                ResponseRules { redact_cluster_name: true, ..usual.clone() },
                &CLUSTER_NAME_FIELDS[..],
            ),
            (
                ResponseRules { redact_version: true, ..usual.clone() },
                &["version", "build_date"][..],
            ),
        ] {
            let shown = redact_body(rules, STATE).await;
            assert_eq!(shown.len(), 7, "nothing is added, and nothing goes");
            for (name, value) in shown.iter() {
                assert_eq!(value.get() == "\"\"", empty.contains(&name), "{name}");
            }
        }
    }

    #[test]
    fn only_answers_about_the_state_are_redacted_however_the_path_is_spelt() {
        let rules = ResponseRules { redact_version: true, ..ResponseRules::default() };
        let redacts = |path: &str| rules.redaction_for(&path.parse().unwrap());
        for path in ["/v1/sys/health", "/v1/sys/health?standbyok=1", "/v1/sys/seal%2Dstatus"] {
            assert_eq!(redacts(path), Some(RedactionKind::ServerState), "{path}");
        }
        for path in ["/v1/sys/internal/specs/openapi", "/v1/sys/internal/specs/%6fpenapi/?a=1"] {
            assert_eq!(redacts(path), Some(RedactionKind::OpenApi), "{path}");
        }
        assert_eq!(redacts("/v1/kv/version"), None);
        assert_eq!(
            ResponseRules::default().redaction_for(&"/v1/sys/health".parse().unwrap()),
            None
        );
    }

    #[test]
    fn custom_headers_follow_the_status_and_never_override() {
        let header = |of, name: &'static str, value: &'static str| CustomHeader {
            statuses: of,
            name: HeaderName::from_static(name),
            value: HeaderValue::from_static(value),
        };
        let rules = ResponseRules {
            headers: vec![
                header(StatusSelector::All, "x-a", "all"),
                header(StatusSelector::All, "content-security-policy", "default-src *"),
                header(StatusSelector::All, "strict-transport-security", "max-age=1"),
                header(StatusSelector::Class(4), "x-a", "class"),
                header(StatusSelector::Exact(404), "x-a", "one"),
            ],
            ..ResponseRules::default()
        };
        for (status, expected) in [(200, "all"), (403, "class"), (404, "one")] {
            let mut response = Response::new(Body::default());
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            let headers = response.headers_mut();
            headers.insert("content-security-policy", HeaderValue::from_static("sandbox"));
            headers.insert("strict-transport-security", HeaderValue::from_static("max-age=2"));
            rules.add_headers(&mut response);
            assert_eq!(response.headers()["x-a"], expected, "{status}");
            assert_eq!(response.headers()["content-security-policy"], "sandbox");
            assert_eq!(response.headers()["strict-transport-security"], "max-age=1");
        }
    }
}
