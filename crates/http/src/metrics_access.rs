//! What a listener does with `sys/metrics` beside answering those with a token: give it to everybody,
//! give it to nobody, or give nothing else.

use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, header};
use strongroom_core::Core;
use strongroom_types::Fields;

use crate::target::{RequestTarget, query_fields, resolve_target};
use crate::{Body, response};

/// A listener's rules for metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricsAccess {
    /// Answered without a token, also while the server is sealed.
    pub unauthenticated: bool,
    /// Not answered on this listener.
    pub disallowed: bool,
    /// Nothing else is answered on this listener.
    pub exclusive: bool,
    /// The path of metrics where nothing else is answered; none for `/v1/sys/metrics`.
    pub path: Option<String>,
}

const PATH: &str = "/v1/sys/metrics";

impl MetricsAccess {
    /// Whether a listener needs to look at all.
    pub fn has_rules(&self) -> bool {
        *self != Self::default()
    }

    /// The request that goes on, or the answer.
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
                error_response(StatusCode::FORBIDDEN, "this listener doesn't give metrics");
            return Err(Box::new(answer));
        }
        if !is_metrics {
            return if self.exclusive {
                let answer =
                    error_response(StatusCode::NOT_FOUND, "this listener gives metrics only");
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

/// However the path is spelt: what the core would take for it is it.
fn is_metrics(uri: &Uri) -> bool {
    match resolve_target(uri.path(), uri.query()) {
        RequestTarget::Api(path) => path.trim_end_matches('/') == "sys/metrics",
        _ => false,
    }
}

/// The usual path, with the query there was.
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
        return response::errors_response(StatusCode::METHOD_NOT_ALLOWED, &[], None);
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
    response::errors_response(status, &[text.to_owned()], None)
}
