//! Request headers that mounts pass to their engines, and response headers that engines may set.
//! Never passes the server's token, in whichever header it was sent (CVE-2026-4525), nor headers of
//! the connection or of the server itself.

use std::collections::BTreeMap;

use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD};
use strongroom_mounts::MountConfig;
use strongroom_types::Secret;

use crate::error::Error;
use crate::stages::RoutedRequest;
use crate::unsealed::UnsealedCore;

/// Headers of a single connection or of the message framing; never passed in either direction.
const CONNECTION_HEADERS: [&str; 12] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Response headers that only the server itself sets.
const SERVER_HEADERS: [&str; 4] =
    ["cache-control", "content-type", "strict-transport-security", "x-content-type-options"];
/// The only `X-Vault-` header that is intended for an auth method.
const AWS_SERVER_ID_HEADER: &str = "x-vault-aws-iam-server-id";
/// The maximum number of parts of a header value that are checked for tokens. A value with more
/// parts is not passed.
const MAX_TOKEN_CANDIDATES: usize = 64;

/// Checks the names in a mount's `passthrough_request_headers`; `Invalid` for a malformed name or
/// one that may not be passed.
pub fn check_request_header_names(names: &[String]) -> Result<(), Error> {
    check_header_names(names, is_passable_request_header)
}

/// Checks the names in a mount's `allowed_response_headers`; `Invalid` for a malformed name or one
/// that an engine may not set.
pub fn check_response_header_names(names: &[String]) -> Result<(), Error> {
    check_header_names(names, is_passable_response_header)
}

fn check_header_names(names: &[String], fits: fn(&str) -> bool) -> Result<(), Error> {
    for (index, name) in names.iter().enumerate() {
        let place = index + 1;
        let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(Error::invalid(format!("entry {place} is not the name of a header")));
        }
        if !fits(&normalise_header_name(name)) {
            return Err(Error::invalid(format!(
                "the header of entry {place} can't be let through"
            )));
        }
    }
    Ok(())
}

/// The name in lower case with `-` for `_`, because some proxies treat the two as equal.
fn normalise_header_name(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

fn is_passable_request_header(plain: &str) -> bool {
    let of_the_api = ["x-vault-", "x-bao-"].iter().any(|family| plain.starts_with(family));
    !CONNECTION_HEADERS.contains(&plain) && (!of_the_api || plain == AWS_SERVER_ID_HEADER)
}

fn is_passable_response_header(plain: &str) -> bool {
    let of_the_api = ["x-vault-", "x-bao-"].iter().any(|family| plain.starts_with(family));
    !CONNECTION_HEADERS.contains(&plain) && !SERVER_HEADERS.contains(&plain) && !of_the_api
}

/// The headers of an engine's response that the mount's `allowed_response_headers` permits.
pub(crate) fn allowed_response_headers(
    config: &MountConfig,
    headers: BTreeMap<String, Vec<String>>,
) -> BTreeMap<String, Vec<String>> {
    let allowed = |name: &str| {
        is_passable_response_header(&normalise_header_name(name))
            && config.allowed_response_headers.iter().any(|it| it.eq_ignore_ascii_case(name))
    };
    headers.into_iter().filter(|(name, _)| allowed(name)).collect()
}

/// Headers that the raw response of every engine may have, as on existing servers.
const RAW_RESPONSE_HEADERS: [&str; 3] = ["cache-control", "pragma", "www-authenticate"];

/// The headers of an engine's raw response that every raw response may have, or the mount's
/// `allowed_response_headers` permits.
pub(crate) fn allowed_raw_headers(
    config: &MountConfig,
    headers: BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let (mut kept, mut others) = (BTreeMap::new(), BTreeMap::new());
    for (name, value) in headers {
        match RAW_RESPONSE_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
            true => _ = kept.insert(name, value),
            false => _ = others.insert(name, vec![value]),
        }
    }
    for (name, values) in allowed_response_headers(config, others) {
        kept.extend(values.into_iter().map(|value| (name.clone(), value)));
    }
    kept
}

/// The request headers that the mount's `passthrough_request_headers` passes to the engine, without
/// values that contain a token.
pub(crate) async fn passthrough_request_headers(
    core: &UnsealedCore,
    routed: &RoutedRequest,
) -> Result<BTreeMap<String, Vec<String>>, Error> {
    let mut passed = BTreeMap::new();
    let request = &routed.request;
    let (Some(mounted), Some(received)) = (&routed.mounted, &request.headers.passthrough) else {
        return Ok(passed);
    };
    let read =
        core.backends.backend_of(mounted).map(|it| it.request_headers(&routed.relative_path));
    for name in read.unwrap_or_default() {
        passed.insert((*name).to_owned(), received.values(name));
    }
    // Built-in mounts show a list that clients know, but read only the headers above.
    if mounted.engine_handle().is_none() {
        return Ok(passed);
    }
    for name in &mounted.entry.config.passthrough_request_headers {
        let name = name.to_ascii_lowercase();
        if !is_passable_request_header(&normalise_header_name(&name)) {
            continue;
        }
        let mut clean = Vec::new();
        for value in received.values(&name) {
            let has_token = carries_a_token(core, &name, &value, request.token.as_ref());
            if !Box::pin(has_token).await? {
                clean.push(value);
            }
        }
        if !clean.is_empty() {
            passed.insert(name, clean);
        }
    }
    Ok(passed)
}

/// Whether a header value contains a token of this server: the request's own token, text in the
/// format of a token or, in `Authorization`, the id of an existing token. Base64-encoded parts,
/// such as basic credentials, are decoded and checked as well.
async fn carries_a_token(
    core: &UnsealedCore,
    name: &str,
    value: &str,
    token: Option<&Secret<String>>,
) -> Result<bool, Error> {
    let decoded = value.split(is_value_delimiter).filter_map(decode_base64);
    let texts: Vec<String> = std::iter::once(value.to_owned()).chain(decoded).collect();
    let mut candidates = Vec::new();
    for text in &texts {
        if looks_like_a_token(text) || token.is_some_and(|token| contains_token(text, token)) {
            return Ok(true);
        }
        candidates.extend(token_candidates(text));
        if candidates.len() > MAX_TOKEN_CANDIDATES {
            return Ok(true);
        }
    }
    if name != "authorization" {
        return Ok(false);
    }
    // Custom token ids have no recognisable format, so each part is looked up.
    for part in candidates {
        let key = core.tokens.store.key_of(part);
        if core.tokens.store.find_by_key(&key).await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_value_delimiter(c: char) -> bool {
    c.is_whitespace() || matches!(c, ',' | ';' | '"' | '\'')
}

/// The parts of a header value between delimiters, and those parts split further at `:` and `=`.
fn token_candidates(text: &str) -> impl Iterator<Item = &str> {
    let whole = text.split(is_value_delimiter);
    let cut = text.split(|c| is_value_delimiter(c) || matches!(c, ':' | '='));
    whole.chain(cut).filter(|part| !part.is_empty())
}

fn decode_base64(part: &str) -> Option<String> {
    let plain = part.trim_end_matches('=');
    let plain = plain.rsplit_once('=').map_or(plain, |(_, value)| value);
    let bytes = BASE64_NOPAD.decode(plain.as_bytes());
    let bytes = bytes.or_else(|_| BASE64URL_NOPAD.decode(plain.as_bytes())).ok()?;
    String::from_utf8(bytes).ok().filter(|text| !text.is_empty())
}

/// Whether the text contains this token. A token of fewer than 8 bytes, as development servers use,
/// must be a part of its own.
fn contains_token(text: &str, token: &Secret<String>) -> bool {
    const MIN_SUBSTRING_LEN: usize = 8;
    let id = token.expose_secret();
    (id.len() >= MIN_SUBSTRING_LEN && text.contains(id.as_str()))
        || token_candidates(text).any(|part| part == id)
}

/// Whether the text contains something in the format of a token: `hvs.…`, `hvb.…`, `hvr.…` or the
/// older short prefixes of other servers.
fn looks_like_a_token(text: &str) -> bool {
    const MIN_TOKEN_TAIL_LEN: usize = 20;
    let lower = text.to_ascii_lowercase();
    let is_tail = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    lower.match_indices('.').any(|(at, _)| {
        let Some((head, tail)) = lower.split_at_checked(at) else { return false };
        if tail.chars().skip(1).take_while(|c| is_tail(*c)).count() < MIN_TOKEN_TAIL_LEN {
            return false;
        }
        let word = head.rsplit(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        matches!(word, "hvs" | "hvb" | "hvr" | "s" | "b" | "r")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to_strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn connection_and_server_headers_cannot_be_allowed() {
        for name in [
            "Connection",
            "TRANSFER-ENCODING",
            "te",
            "Content-Length",
            "X-Vault-Token",
            "x_vault_token",
            "X-Vault-MFA",
            "X-Vault-Inline-Auth-Parameter-a",
            "a b",
            "",
            "a:b",
        ] {
            assert!(check_request_header_names(&to_strings(&[name])).is_err(), "{name}");
        }
        for name in ["Content-Type", "cache_control", "Connection", "X-Vault-Index", "a\r\nb"] {
            assert!(check_response_header_names(&to_strings(&[name])).is_err(), "{name}");
        }
        check_request_header_names(&to_strings(&[
            "Authorization",
            "X-Forwarded-For",
            "X-Vault-AWS-IAM-Server-ID",
        ]))
        .unwrap();
        check_response_header_names(&to_strings(&["WWW-Authenticate", "Location"])).unwrap();
    }

    #[test]
    fn responses_keep_only_allowed_headers() {
        let config = MountConfig {
            allowed_response_headers: to_strings(&["X-Yes", "Content-Type"]),
            ..MountConfig::default()
        };
        let given = ["x-yes", "X-No", "content-type"].map(|n| (n.to_owned(), vec!["v".to_owned()]));
        let left = allowed_response_headers(&config, given.into());
        assert_eq!(left.into_keys().collect::<Vec<_>>(), ["x-yes"]);
    }

    #[test]
    fn raw_responses_keep_only_allowed_headers() {
        let allowed_response_headers = to_strings(&["X-Yes", "Location", "Content-Length"]);
        let config = MountConfig { allowed_response_headers, ..MountConfig::default() };
        let names = [
            "Cache-Control",
            "pragma",
            "WWW-Authenticate",
            "x-yes",
            "location",
            "X-No",
            "set-cookie",
            "content-length",
            "content-type",
            "transfer-encoding",
            "x-vault-token",
        ];
        let given = names.map(|name| (name.to_owned(), "v".to_owned()));
        let left = allowed_raw_headers(&config, given.clone().into());
        let expected = ["Cache-Control", "WWW-Authenticate", "location", "pragma", "x-yes"];
        assert_eq!(left.into_keys().collect::<Vec<_>>(), expected);
        let left = allowed_raw_headers(&MountConfig::default(), given.into());
        let expected = ["Cache-Control", "WWW-Authenticate", "pragma"];
        assert_eq!(left.into_keys().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn tokens_are_detected_anywhere_in_a_header_value() {
        let token = Secret::from_text("my-chosen-token");
        let basic = BASE64_NOPAD.encode(b"user:my-chosen-token");
        for value in ["Bearer my-chosen-token", "bearer\tmy-chosen-token", "a=my-chosen-token;b"] {
            assert!(contains_token(value, &token), "{value}");
        }
        for padding in ["", "=", "=="] {
            let decoded = decode_base64(&format!("{basic}{padding}")).unwrap();
            assert!(contains_token(&decoded, &token), "{decoded}");
        }
        let short = Secret::from_text("root");
        for value in ["Bearer root", "x:root", "token=\"root\""] {
            assert!(contains_token(value, &short), "{value}");
        }
        assert!(!contains_token("/roots/of", &short));
    }

    #[test]
    fn token_shaped_text_is_recognised() {
        let tail = "abcdefghijklmnopqrstuvwx";
        for head in ["hvs.", "HVS.", "Bearer hvb.", "a=s.", "x/r."] {
            assert!(looks_like_a_token(&format!("{head}{tail}!")), "{head}");
        }
        for text in ["hvs.example.com", "s.short", &format!("vars.{tail}"), "a.b.c", ""] {
            assert!(!looks_like_a_token(text), "{text}");
        }
    }
}
