//! [`DryRun`]: records the request that would have been sent, instead of sending it.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use percent_encoding::percent_decode_str;

use crate::send::{ApiRequest, JSON_CONTENT_TYPE, TOKEN_HEADER};

/// Holds the first request of a client that does a dry run; clones share it.
#[derive(Clone, Default)]
pub struct DryRun(Arc<OnceLock<DryRunRequest>>);

/// A request that was recorded and not sent. No `Debug`: body and headers may hold secrets.
pub struct DryRunRequest {
    /// The HTTP method, such as `GET` or `PUT`.
    pub method: String,
    /// The whole URL, with its query, as it would have been requested.
    pub url: String,
    /// The API path below `/v1/`: decoded, without slashes at either end.
    pub path: String,
    /// Whether this is a LIST operation (`?list=true`).
    pub is_list: bool,
    /// Header names and values, sorted, without the token. `Content-Type` is only included if the
    /// body isn't JSON.
    pub headers: Vec<(String, String)>,
    /// Whether the request would have carried a token.
    pub has_token: bool,
    /// The request body, if the request has one.
    pub body: Option<Bytes>,
}

impl DryRun {
    /// The recorded request; `None` if the client has made none yet.
    pub fn request(&self) -> Option<&DryRunRequest> {
        self.0.get()
    }

    pub(crate) fn record(&self, call: &ApiRequest) {
        // Of several requests, the first is the one the user asked to see.
        let _ = self.0.set(DryRunRequest::from_request(call));
    }
}

impl DryRunRequest {
    fn from_request(call: &ApiRequest) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let others = call.headers.iter().filter(|(name, _)| *name != TOKEN_HEADER);
        let mut headers: Vec<_> = others
            .map(|(name, value)| (header_title_case(name.as_str()), text(value.as_bytes())))
            .collect();
        // The header map has no meaningful order.
        headers.sort();
        if call.body.is_some() && call.content_type != JSON_CONTENT_TYPE {
            headers.push(("Content-Type".to_owned(), call.content_type.to_owned()));
        }
        let path = percent_decode_str(call.url.path()).decode_utf8_lossy().into_owned();
        let path = path.split_once("/v1/").map_or(path.as_str(), |(_, path)| path);
        Self {
            method: call.method.to_string(),
            url: call.url.to_string(),
            path: path.trim_matches('/').to_owned(),
            is_list: call.url.query_pairs().any(|(name, value)| name == "list" && value == "true"),
            headers,
            has_token: call.headers.contains_key(TOKEN_HEADER),
            body: call.body.clone(),
        }
    }
}

/// Capitalises a header name: `x-vault-request` becomes `X-Vault-Request`.
fn header_title_case(name: &str) -> String {
    let words = name.split('-').map(|word| {
        let mut letters = word.chars();
        let first = letters.next().map(|c| c.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    });
    words.collect::<Vec<_>>().join("-")
}
