//! Headers that mounts let through to their engines and back. Never the server's token, in whichever
//! header it came (CVE-2026-4525), and never what belongs to the connection or to the server.

use std::collections::BTreeMap;

use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD};
use strongroom_types::Secret;

use crate::error::Error;
use crate::mounts::MountConfig;
use crate::pipeline::route::Routed;
use crate::unsealed::Unsealed;

/// Belong to one connection, or to how a message is carried on it.
const OF_THE_CONNECTION: [&str; 12] = [
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
/// Belong to the server's answers.
const OF_THE_SERVER: [&str; 4] =
    ["cache-control", "content-type", "strict-transport-security", "x-content-type-options"];
/// The one header of the API's family that is meant for an auth method.
const OF_AN_AUTH_METHOD: &str = "x-vault-aws-iam-server-id";
/// The one endpoint of the server's own that reads a header that isn't of the API, and that header.
const METRICS: &str = "sys/metrics";
pub(crate) const ACCEPT: &str = "accept";
/// Parts of a header's value that are looked at. A longer one isn't let through.
const MAX_PARTS: usize = 64;

/// Checks names of request headers that an operator wants let through.
pub(crate) fn check_request(names: &[String]) -> Result<(), Error> {
    check(names, is_request_header)
}

/// Checks names of answer headers that an operator wants let through.
pub(crate) fn check_response(names: &[String]) -> Result<(), Error> {
    check(names, is_response_header)
}

fn check(names: &[String], fits: fn(&str) -> bool) -> Result<(), Error> {
    for (index, name) in names.iter().enumerate() {
        let place = index + 1;
        let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(Error::invalid(format!("entry {place} is not the name of a header")));
        }
        if !fits(&plain(name)) {
            return Err(Error::invalid(format!(
                "the header of entry {place} can't be let through"
            )));
        }
    }
    Ok(())
}

/// In lower case. Some proxies take an underscore for a dash.
fn plain(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

fn is_request_header(plain: &str) -> bool {
    let of_the_api = ["x-vault-", "x-bao-"].iter().any(|family| plain.starts_with(family));
    !OF_THE_CONNECTION.contains(&plain) && (!of_the_api || plain == OF_AN_AUTH_METHOD)
}

fn is_response_header(plain: &str) -> bool {
    let of_the_api = ["x-vault-", "x-bao-"].iter().any(|family| plain.starts_with(family));
    !OF_THE_CONNECTION.contains(&plain) && !OF_THE_SERVER.contains(&plain) && !of_the_api
}

/// The headers of an answer that the mount allows.
pub(crate) fn allowed(
    config: &MountConfig,
    headers: BTreeMap<String, Vec<String>>,
) -> BTreeMap<String, Vec<String>> {
    let allowed = |name: &str| {
        is_response_header(&plain(name))
            && config.allowed_response_headers.iter().any(|it| it.eq_ignore_ascii_case(name))
    };
    headers.into_iter().filter(|(name, _)| allowed(name)).collect()
}

/// The headers of a request that its mount lets through to the engine.
pub(crate) async fn passed(
    open: &Unsealed,
    routed: &Routed,
) -> Result<BTreeMap<String, Vec<String>>, Error> {
    let mut passed = BTreeMap::new();
    if routed.request.path.as_str() == METRICS
        && let Some(given) = &routed.request.headers.for_engines
    {
        passed.insert(ACCEPT.to_owned(), given.values(ACCEPT));
        return Ok(passed);
    }
    let Some(mounted) = routed.mounted.as_ref().filter(|m| m.engine().is_some()) else {
        return Ok(passed);
    };
    let request = &routed.request;
    let Some(given) = &request.headers.for_engines else { return Ok(passed) };
    for name in &mounted.entry.config.passthrough_request_headers {
        let name = name.to_ascii_lowercase();
        if !is_request_header(&plain(&name)) {
            continue;
        }
        let mut clean = Vec::new();
        for value in given.values(&name) {
            let judged = carries_a_token(open, &name, &value, request.token.as_ref());
            if !Box::pin(judged).await? {
                clean.push(value);
            }
        }
        if !clean.is_empty() {
            passed.insert(name, clean);
        }
    }
    Ok(passed)
}

/// Whether a value has a token of this server in it: the one this request came with, something that
/// looks like one or, where credentials belong, one that is known. Also under an encoding such as
/// that of a user and a password.
async fn carries_a_token(
    open: &Unsealed,
    name: &str,
    value: &str,
    token: Option<&Secret<String>>,
) -> Result<bool, Error> {
    let decoded = value.split(ends_a_part).filter_map(decoded);
    let texts: Vec<String> = std::iter::once(value.to_owned()).chain(decoded).collect();
    let mut known = Vec::new();
    for text in &texts {
        if looks_like_a_token(text) || token.is_some_and(|token| repeats(text, token)) {
            return Ok(true);
        }
        known.extend(parts(text));
        if known.len() > MAX_PARTS {
            return Ok(true);
        }
    }
    if name != "authorization" {
        return Ok(false);
    }
    // Chosen ids look like anything.
    for part in known {
        let key = open.stores.tokens.key_of(part);
        if open.stores.tokens.find(&key).await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn ends_a_part(c: char) -> bool {
    c.is_whitespace() || matches!(c, ',' | ';' | '"' | '\'')
}

/// The parts of a header's value, whole and cut where a name or a user ends.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let whole = text.split(ends_a_part);
    let cut = text.split(|c| ends_a_part(c) || matches!(c, ':' | '='));
    whole.chain(cut).filter(|part| !part.is_empty())
}

fn decoded(part: &str) -> Option<String> {
    let plain = part.trim_end_matches('=');
    let plain = plain.rsplit_once('=').map_or(plain, |(_, value)| value);
    let bytes = BASE64_NOPAD.decode(plain.as_bytes());
    let bytes = bytes.or_else(|_| BASE64URL_NOPAD.decode(plain.as_bytes())).ok()?;
    String::from_utf8(bytes).ok().filter(|text| !text.is_empty())
}

/// Whether the text has this token in it. A short one, as development servers have, must be a part
/// of its own.
fn repeats(text: &str, token: &Secret<String>) -> bool {
    const LONG: usize = 8;
    let id = token.expose_secret();
    (id.len() >= LONG && text.contains(id.as_str())) || parts(text).any(|part| part == id)
}

/// Whether anything in the text looks like `hvs.…` and its relatives, or like the shorter forms of
/// other servers.
fn looks_like_a_token(text: &str) -> bool {
    const TAIL: usize = 20;
    let lower = text.to_ascii_lowercase();
    let is_tail = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    lower.match_indices('.').any(|(at, _)| {
        let Some((head, tail)) = lower.split_at_checked(at) else { return false };
        if tail.chars().skip(1).take_while(|c| is_tail(*c)).count() < TAIL {
            return false;
        }
        let word = head.rsplit(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        matches!(word, "hvs" | "hvb" | "hvr" | "s" | "b" | "r")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_belongs_to_the_connection_or_the_server_cant_be_let_through() {
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
            assert!(check_request(&names(&[name])).is_err(), "{name}");
        }
        for name in ["Content-Type", "cache_control", "Connection", "X-Vault-Index", "a\r\nb"] {
            assert!(check_response(&names(&[name])).is_err(), "{name}");
        }
        check_request(&names(&["Authorization", "X-Forwarded-For", "X-Vault-AWS-IAM-Server-ID"]))
            .unwrap();
        check_response(&names(&["WWW-Authenticate", "Location"])).unwrap();
    }

    #[test]
    fn answers_keep_the_headers_that_are_allowed() {
        let config = MountConfig {
            allowed_response_headers: names(&["X-Yes", "Content-Type"]),
            ..MountConfig::default()
        };
        let given = ["x-yes", "X-No", "content-type"].map(|n| (n.to_owned(), vec!["v".to_owned()]));
        let left = allowed(&config, given.into());
        assert_eq!(left.into_keys().collect::<Vec<_>>(), ["x-yes"]);
    }

    #[test]
    fn a_token_is_found_wherever_it_stands() {
        let token = Secret::from_text("my-chosen-token");
        let basic = BASE64_NOPAD.encode(b"user:my-chosen-token");
        for value in ["Bearer my-chosen-token", "bearer\tmy-chosen-token", "a=my-chosen-token;b"] {
            assert!(repeats(value, &token), "{value}");
        }
        for padding in ["", "=", "=="] {
            let decoded = decoded(&format!("{basic}{padding}")).unwrap();
            assert!(repeats(&decoded, &token), "{decoded}");
        }
        let short = Secret::from_text("root");
        for value in ["Bearer root", "x:root", "token=\"root\""] {
            assert!(repeats(value, &short), "{value}");
        }
        assert!(!repeats("/roots/of", &short));
    }

    #[test]
    fn tokens_are_known_by_their_looks() {
        let tail = "abcdefghijklmnopqrstuvwx";
        for head in ["hvs.", "HVS.", "Bearer hvb.", "a=s.", "x/r."] {
            assert!(looks_like_a_token(&format!("{head}{tail}!")), "{head}");
        }
        for text in ["hvs.example.com", "s.short", &format!("vars.{tail}"), "a.b.c", ""] {
            assert!(!looks_like_a_token(text), "{text}");
        }
    }
}
