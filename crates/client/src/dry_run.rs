//! [`DryRun`]: a call that is made up to the point where it would be sent.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use percent_encoding::percent_decode_str;

use crate::client::{JSON_CONTENT_TYPE, TOKEN_HEADER};
use crate::send::ApiRequest;

/// Keeps the first call of a client that rehearses.
#[derive(Clone, Default)]
pub struct DryRun(Arc<OnceLock<DryRunRequest>>);

/// A call that wasn't sent. No `Debug`: body and headers may hold secrets.
pub struct DryRunRequest {
    /// The method.
    pub method: String,
    /// The whole URL.
    pub url: String,
    /// The path below `/v1/`, as the API has it: not encoded, without slashes at its ends.
    pub path: String,
    /// Whether it lists what is below the path.
    pub is_list: bool,
    /// Names and values, without the token. `Content-Type` is there only if it isn't JSON.
    pub headers: Vec<(String, String)>,
    /// Whether there is a token.
    pub has_token: bool,
    /// The body.
    pub body: Option<Bytes>,
}

impl DryRun {
    /// The call, if there was one.
    pub fn request(&self) -> Option<&DryRunRequest> {
        self.0.get()
    }

    pub(crate) fn record(&self, call: &ApiRequest) {
        // Of several calls the first is the one that was asked for.
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
        // The map keeps no order that means anything.
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

/// `x-vault-request` as `X-Vault-Request`.
fn header_title_case(name: &str) -> String {
    let words = name.split('-').map(|word| {
        let mut letters = word.chars();
        let first = letters.next().map(|c| c.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    });
    words.collect::<Vec<_>>().join("-")
}
