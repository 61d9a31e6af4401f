//! Headers that a listener adds to responses, and what it redacts in them.
//!
//! ```
//! # use strongroom_config::Config;
//! let config = Config::parse(
//!     r#"
//!     storage "inmem" {}
//!     listener "tcp" {
//!         tls_disable = true
//!         redact_version = true
//!         custom_response_headers {
//!             "default" = { "X-Frame-Options" = ["DENY"] }
//!             "4xx"     = { "X-Refused" = ["yes"] }
//!         }
//!     }
//!     "#,
//!     "server.hcl",
//! )?;
//! assert_eq!(config.listeners[0].headers.len(), 2);
//! # Ok::<(), strongroom_config::ConfigError>(())
//! ```

use strongroom_hcl::{HclValue, ValueKind};

use crate::reading::{ConfigError, ConfigSection};

/// What is left empty in status responses, which need no token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RedactConfig {
    /// Whether to redact the server's addresses.
    pub addresses: bool,
    /// Whether to redact the cluster's name.
    pub cluster_name: bool,
    /// Whether to redact the version and the build dates.
    pub version: bool,
}

/// A header to add to responses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderConfig {
    /// The responses to add it to, by status.
    pub statuses: StatusMatcher,
    /// The header's name, in lower case.
    pub name: String,
    /// The header's value; several configured values are joined.
    pub value: String,
}

/// Selects responses by status; the order is from the most general to the most specific.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StatusMatcher {
    /// All responses.
    All,
    /// Responses whose status has this first digit.
    Class(u16),
    /// Responses with exactly this status.
    Status(u16),
}

/// Headers that can't be configured: every response sets them itself, or they frame the body.
const RESERVED_HEADERS: [&str; 6] =
    ["connection", "content-length", "content-type", "date", "transfer-encoding", "upgrade"];
const HEADERS_SETTING: &str = "custom_response_headers";

pub(super) fn read_redaction(section: &ConfigSection<'_>) -> Result<RedactConfig, ConfigError> {
    let mut redact = RedactConfig::default();
    section.read_flag("redact_addresses", &mut redact.addresses)?;
    section.read_flag("redact_cluster_name", &mut redact.cluster_name)?;
    section.read_flag("redact_version", &mut redact.version)?;
    Ok(redact)
}

/// Reads the headers, in the order in which they are to be set.
pub(super) fn read_headers(section: &ConfigSection<'_>) -> Result<Vec<HeaderConfig>, ConfigError> {
    let mut headers = Vec::new();
    for block in section.blocks::<0>(HEADERS_SETTING)? {
        let of_statuses = section.nested(block.body);
        for item in of_statuses.items() {
            let place = of_statuses.location_of_key(&item.key);
            let wrong =
                |text: &str| ConfigError::at_location(&place, format!("{HEADERS_SETTING}: {text}"));
            let of = StatusMatcher::parse(&item.key.text)
                .ok_or_else(|| wrong("statuses are written as \"default\", \"4xx\" or \"404\""))?;
            let ValueKind::Object(body) = &item.value.kind else {
                return Err(wrong("headers are written as { \"Name\" = [\"value\"] }"));
            };
            for header in body.items() {
                let place = of_statuses.location_of_key(&header.key);
                let wrong = |text: &str| {
                    ConfigError::at_location(&place, format!("{HEADERS_SETTING}: {text}"))
                };
                let name = header.key.text.to_ascii_lowercase();
                if !is_header_name(&name) {
                    return Err(wrong("not a valid header name"));
                }
                if name.starts_with("x-vault-") || RESERVED_HEADERS.contains(&name.as_str()) {
                    return Err(wrong("the header is set by the server"));
                }
                let value = header_value(&header.value)
                    .ok_or_else(|| wrong("a value must be a list of ASCII strings"))?;
                headers.push(HeaderConfig { statuses: of, name, value });
            }
        }
    }
    // A stable sort, so that of two headers for the same status the last one wins.
    headers.sort_by_key(|header| header.statuses);
    Ok(headers)
}

impl StatusMatcher {
    fn parse(text: &str) -> Option<Self> {
        if text == "default" {
            return Some(Self::All);
        }
        if let Some(class) = text.strip_suffix("xx") {
            let class = class.parse().ok().filter(|class| (1..=5).contains(class))?;
            return Some(Self::Class(class));
        }
        let status = text.parse().ok().filter(|status| (100..=599).contains(status))?;
        Some(Self::Status(status))
    }

    /// Whether a response with this status is selected. A class is compared with the first digit of
    /// the status.
    pub fn matches(self, status: u16) -> bool {
        match self {
            Self::All => true,
            Self::Class(class) => status / 100 == class,
            Self::Status(only) => status == only,
        }
    }
}

fn is_header_name(text: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_token)
}

/// The value of a header; several values are joined as Vault joins them.
fn header_value(value: &HclValue) -> Option<String> {
    let text = |value: &HclValue| match &value.kind {
        ValueKind::String(text) => Some(text.clone()),
        _ => None,
    };
    let joined = match &value.kind {
        ValueKind::List(values) => values.iter().map(text).collect::<Option<Vec<_>>>()?.join("; "),
        _ => text(value)?,
    };
    joined.bytes().all(|byte| (b' '..=b'~').contains(&byte)).then_some(joined)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, ListenerConfig};

    fn read(settings: &str) -> Result<ListenerConfig, String> {
        let text = format!(
            "storage \"inmem\" {{}}\nlistener \"tcp\" {{\ntls_disable = true\n{settings}\n}}"
        );
        let config = Config::parse(&text, "t.hcl").map_err(|error| error.to_string())?;
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
        Ok(config.listeners[0].clone())
    }

    #[test]
    fn headers_sort_by_specificity() {
        let listener = read(
            "custom_response_headers {\n \"404\" = { \"X-A\" = [\"1\", \"2\"] }\n \
             \"4xx\" = { \"X-B\" = \"3\" }\n \"default\" = { \"X-A\" = [\"0\"] }\n}",
        );
        let headers = listener.unwrap().headers;
        let shown: Vec<_> =
            headers.iter().map(|it| (it.statuses, it.name.as_str(), it.value.as_str())).collect();
        let expected = [
            (StatusMatcher::All, "x-a", "0"),
            (StatusMatcher::Class(4), "x-b", "3"),
            (StatusMatcher::Status(404), "x-a", "1; 2"),
        ];
        assert_eq!(shown, expected);
        let have = |status| expected.map(|(of, _, _)| of.matches(status));
        assert_eq!(have(404), [true, true, true]);
        assert_eq!(have(403), [true, true, false]);
        assert_eq!(have(200), [true, false, false]);
    }

    #[test]
    fn invalid_headers_are_refused() {
        for (inside, why) in [
            (r#""6xx" = { "X-A" = ["b"] }"#, "statuses are written"),
            (r#""99" = { "X-A" = ["b"] }"#, "statuses are written"),
            (r#""default" = "x""#, "headers are written"),
            (r#""default" = { "X A" = ["b"] }"#, "not a valid header name"),
            (r#""default" = { "X-Vault-Token" = ["b"] }"#, "set by the server"),
            (r#""default" = { "Content-Length" = ["0"] }"#, "set by the server"),
            (r#""default" = { "X-A" = ["b\r\nX-C: d"] }"#, "ASCII strings"),
            (r#""default" = { "X-A" = [7] }"#, "ASCII strings"),
        ] {
            let error = read(&format!("custom_response_headers {{\n{inside}\n}}")).unwrap_err();
            let at = error.starts_with("t.hcl:5:") && error.contains("custom_response_headers: ");
            assert!(at && error.contains(why), "{error}");
        }
    }

    #[test]
    fn each_part_is_redacted_by_itself() {
        let usual = RedactConfig::default();
        for (setting, expected) in [
            ("redact_addresses = true", RedactConfig { addresses: true, ..usual }),
            ("redact_cluster_name = true", RedactConfig { cluster_name: true, ..usual }),
            ("redact_version = \"true\"", RedactConfig { version: true, ..usual }),
            ("redact_version = false", usual),
        ] {
            assert_eq!(read(setting).unwrap().redact, expected);
        }
    }
}
