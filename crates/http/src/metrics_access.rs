//! A listener's rules for `sys/metrics`: serve it without a token, not at all, or serve nothing
//! else. By default it needs a token.

use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, header};
use strongroom_core::Core;
use strongroom_types::Fields;

use crate::target::{RequestTarget, query_fields, resolve_target};
use crate::{Body, response};

/// A listener's rules for metrics. The default changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricsAccess {
    /// Serve metrics without a token, also while the server is sealed.
    pub unauthenticated: bool,
    /// Refuse requests for metrics on this listener with 403.
    pub disallowed: bool,
    /// Serve only metrics on this listener; other requests get 404.
    pub exclusive: bool,
    /// The path of metrics if `exclusive` is set; `None` means `/v1/sys/metrics`. Ignored
    /// otherwise.
    pub path: Option<String>,
}

const PATH: &str = "/v1/sys/metrics";

impl MetricsAccess {
    /// Whether any rule differs from the default; if not, requests need no check.
    pub fn has_rules(&self) -> bool {
        *self != Self::default()
    }

    /// Returns the request to process further, or the final response as an error.
    pub(crate) fn apply_rules<B>(
        &self,
        core: &Core,
        mut request: Request<B>,
        max_fields: usize,
    ) -> Result<Request<B>, Box<Response<Body>>> {
        let own_path = self.path.as_deref().filter(|_| self.exclusive);
        let is_metrics = match own_path {
            Some(path) => request.uri().path() == path,
            None => is_metrics(request.uri()),
        };
        if is_metrics && self.disallowed {
            let answer =
                error_response(StatusCode::FORBIDDEN, "this listener doesn't serve metrics");
            return Err(Box::new(answer));
        }
        if !is_metrics {
            return if self.exclusive {
                let answer =
                    error_response(StatusCode::NOT_FOUND, "this listener serves only metrics");
                Err(Box::new(answer))
            } else {
                Ok(request)
            };
        }
        if self.unauthenticated {
            return Err(Box::new(serve_unauthenticated(core, &request, max_fields)));
        }
        if own_path.is_some() {
            *request.uri_mut() = usual_metrics_uri(request.uri());
        }
        Ok(request)
    }
}

/// Whether the core would resolve this URI to `sys/metrics`, however the path is spelled.
fn is_metrics(uri: &Uri) -> bool {
    match resolve_target(uri.path(), uri.query()) {
        RequestTarget::Api(path) => path.trim_end_matches('/') == "sys/metrics",
        _ => false,
    }
}

/// The usual metrics path, with the original query.
fn usual_metrics_uri(uri: &Uri) -> Uri {
    let target = match uri.query() {
        Some(query) => format!("{PATH}?{query}"),
        None => PATH.to_owned(),
    };
    target.parse().unwrap_or_else(|_| Uri::from_static(PATH))
}

fn serve_unauthenticated<B>(
    core: &Core,
    request: &Request<B>,
    max_fields: usize,
) -> Response<Body> {
    if request.method() != Method::GET {
        return response::errors_response(StatusCode::METHOD_NOT_ALLOWED, &[], None, None);
    }
    let query = query_fields(request.uri().query().unwrap_or_default(), max_fields);
    let format = match query {
        Ok(query) => requested_format(&query),
        Err(error) => return error_response(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    response::to_http(core.metrics(&format, &accept_values(request.headers())))
}

fn requested_format(query: &Fields) -> String {
    query.text("format").unwrap_or_default()
}

fn accept_values(headers: &HeaderMap) -> Vec<String> {
    let texts = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    texts.map(str::to_owned).collect()
}

fn error_response(status: StatusCode, text: &str) -> Response<Body> {
    response::errors_response(status, &[text.to_owned()], None, None)
}
