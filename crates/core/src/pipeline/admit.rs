//! Checks that need no state: refuses paths that are not in normal form, and headers that restrict
//! or redirect a request in a way that is not implemented. Ignoring such a header would perform
//! another request than the client meant.

use strongroom_types::RequestPath;
use strongroom_types::path::InvalidPath;

use crate::error::Error;
use crate::request::{CoreRequest, Verb};
use crate::stages::AdmittedRequest;
use crate::wrapping;

/// Headers that request a feature this server does not implement, with the feature's name in the
/// error message.
pub const UNSUPPORTED_HEADERS: [(&str, &str); 6] = [
    ("x-vault-namespace", "the namespace header"),
    ("x-vault-wrap-format", "the wrapping format \"jwt\""),
    ("x-vault-mfa", "the MFA header"),
    ("x-vault-inline-auth-path", "inline authentication"),
    ("x-vault-recover-snapshot-id", "recovery from snapshots"),
    ("x-vault-recover-source-path", "recovery from snapshots"),
];

/// Checks a request's path and headers.
///
/// # Errors
///
/// `Invalid` for a path that is not in normal form, a header whose feature is not implemented, and a
/// malformed wrapping TTL.
pub fn admit(request: CoreRequest) -> Result<AdmittedRequest, Error> {
    let path = RequestPath::parse(&request.path).map_err(|error| match error {
        InvalidPath::Unprintable => Error::without_message(strongroom_types::ErrorKind::Invalid),
        other => other.into(),
    })?;
    for (header, what) in UNSUPPORTED_HEADERS {
        let given = request.headers.vault_header(header);
        if given.is_some_and(|value| is_set(header, value)) {
            return Err(Error::not_implemented(what));
        }
    }
    let path = if request.verb == Verb::List { path.as_folder() } else { path };
    let wrap_ttl = request.headers.vault_header("x-vault-wrap-ttl");
    let wrap_ttl = wrap_ttl.map_or(Ok(None), wrapping::parse_wrap_ttl)?;
    Ok(AdmittedRequest {
        span: request.span,
        verb: request.verb,
        path,
        fields: request.fields,
        raw_body: request.raw_body,
        token: request.token,
        wrap_ttl,
        headers: request.headers,
        connection: request.connection,
    })
}

/// Whether the header requests the unsupported feature. Naming the root namespace is allowed; only
/// opaque wrapping tokens are issued, so the wrap format `jwt` is refused.
fn is_set(header: &str, value: &str) -> bool {
    let value = value.trim();
    match header {
        "x-vault-namespace" => !matches!(value, "" | "/" | "root" | "root/"),
        "x-vault-wrap-format" => value.eq_ignore_ascii_case("jwt"),
        _ => !value.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use strongroom_types::entropy::SeededEntropy;
    use strongroom_types::{Fields, RequestId};

    use super::*;
    use crate::request::RequestHeaders;
    use crate::request_span::RequestSpan;

    fn request(path: &str, header: Option<(&str, &str)>) -> CoreRequest {
        let header = header.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let headers =
            RequestHeaders { vault_headers: header.into_iter().collect(), passthrough: None };
        CoreRequest {
            span: RequestSpan::new(RequestId::random(&SeededEntropy::new(1))),
            verb: Verb::Read,
            path: path.to_owned(),
            fields: Fields::new(),
            raw_body: None,
            token: None,
            headers,
            connection: None,
        }
    }

    fn admission_error(request: CoreRequest) -> Option<String> {
        admit(request).err().map(|error| error.to_string())
    }

    #[test]
    fn cve_2026_3605_only_normal_paths_reach_policy_checks() {
        for path in ["secret/../sys/seal", "secret/./x", "secret//x", "secret/.."] {
            assert!(admission_error(request(path, None)).is_some(), "{path}");
        }
        assert_eq!(
            admission_error(request("a/../b", None)).as_deref(),
            Some("relative paths not supported")
        );
        assert_eq!(admission_error(request("secret/x", None)), None);
    }

    #[test]
    fn unsupported_headers_are_rejected_not_ignored() {
        for (header, value) in [
            ("x-vault-namespace", "team"),
            ("x-vault-wrap-format", "jwt"),
            ("x-vault-mfa", "totp:123456"),
            ("x-vault-inline-auth-path", "auth/x/login"),
        ] {
            let error = admission_error(request("a", Some((header, value)))).unwrap();
            assert!(error.ends_with("is not supported by this server"), "{error}");
        }
        for (header, value) in [("x-vault-namespace", "root"), ("x-vault-wrap-format", "")] {
            assert_eq!(admission_error(request("a", Some((header, value)))), None);
        }
    }
}
