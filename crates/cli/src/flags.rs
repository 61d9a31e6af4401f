//! Flags shared by several commands, and the parsers of their values.

use clap::Args;
use strongroom_types::duration::parse_nanos;

/// Where the server is, and as whom and how to talk to it.
#[derive(Args, Default)]
#[command(next_help_heading = "HTTP options")]
pub(crate) struct HttpFlags {
    /// Address of the server [env: BAO_ADDR, VAULT_ADDR] [default: https://127.0.0.1:8200]
    #[arg(long, value_name = "URL")]
    pub(crate) address: Option<String>,
    /// Address of an agent to use instead of the server [env: VAULT_AGENT_ADDR]
    #[arg(long, value_name = "URL")]
    pub(crate) agent_address: Option<String>,
    /// PEM file of the CA certificates to verify the server's certificate [env: VAULT_CACERT]
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_cert: Option<String>,
    /// Folder with PEM files of CA certificates [env: VAULT_CAPATH]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) ca_path: Option<String>,
    /// PEM file of the client's certificate [env: VAULT_CLIENT_CERT]
    #[arg(long, value_name = "FILE")]
    pub(crate) client_cert: Option<String>,
    /// PEM file of the client certificate's key [env: VAULT_CLIENT_KEY]
    #[arg(long, value_name = "FILE")]
    pub(crate) client_key: Option<String>,
    /// Name that the server's certificate must have [env: VAULT_TLS_SERVER_NAME]
    #[arg(long, value_name = "NAME")]
    pub(crate) tls_server_name: Option<String>,
    /// Don't verify the server's certificate. Never use this in production [env: VAULT_SKIP_VERIFY]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    pub(crate) tls_skip_verify: Option<bool>,
    /// Follow no redirect; by default one is followed [env: VAULT_DISABLE_REDIRECTS]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    pub(crate) disable_redirects: Option<bool>,
    /// Namespace that paths are relative to [env: VAULT_NAMESPACE]
    #[arg(long, alias = "ns", value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
    /// Wrap the response in a single-use token with this lifetime [env: VAULT_WRAP_TTL]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) wrap_ttl: Option<DurationSeconds>,
    /// Credential for multi-factor authentication; repeatable [env: VAULT_MFA]
    #[arg(long, value_name = "METHOD:VALUE")]
    pub(crate) mfa: Vec<String>,
    /// Header to add to all requests; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_name_value)]
    pub(crate) header: Vec<(String, String)>,
    /// Override soft-mandatory policies, on servers that have them
    #[arg(long)]
    pub(crate) policy_override: bool,
    /// Never prompt on the terminal, and treat standard input as empty
    #[arg(long)]
    pub(crate) non_interactive: bool,
    /// Print an equivalent curl command instead of sending the request
    #[arg(long)]
    pub(crate) output_curl_string: bool,
    /// Print the policy that the request needs instead of sending it
    #[arg(long)]
    pub(crate) output_policy: bool,
}

/// How results look.
#[derive(Args, Default)]
#[command(next_help_heading = "Output options")]
pub(crate) struct FormatFlag {
    /// table, json, yaml, or for some commands raw: as received [env: BAO_FORMAT, VAULT_FORMAT]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
}

/// One field instead of all.
#[derive(Args, Default)]
#[command(next_help_heading = "Output options")]
pub(crate) struct FieldFlag {
    /// Print only this field, with a line end only on a terminal
    #[arg(long, value_name = "FIELD")]
    field: Option<String>,
}

impl FieldFlag {
    /// The name of the field to print, if one is requested.
    pub(crate) fn name(&self) -> Option<&str> {
        self.field.as_deref().filter(|name| !name.is_empty())
    }
}

/// A duration in whole seconds; negative for `system`, the server's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DurationSeconds(i64);

impl DurationSeconds {
    /// The duration for the API; `None` for zero, which means "not given".
    pub(crate) fn to_api_or_default(self) -> Option<String> {
        match self.0 {
            0 => None,
            below if below < 0 => Some("system".to_owned()),
            seconds => Some(format!("{seconds}s")),
        }
    }

    /// The duration for API fields that don't accept `system`: sent as typed, so that the server
    /// reports what is wrong with it.
    pub(crate) fn to_api_literal(self) -> Option<String> {
        (self.0 != 0).then(|| format!("{}s", self.0))
    }

    /// The duration for settings that keep their value if not given; zero restores the default.
    pub(crate) fn to_api_setting(self) -> String {
        if self.0 < 0 { "system".to_owned() } else { format!("{}s", self.0) }
    }

    /// The seconds; `None` if negative.
    pub(crate) fn non_negative(self) -> Option<u64> {
        u64::try_from(self.0).ok()
    }

    pub(crate) fn as_duration(self) -> std::time::Duration {
        std::time::Duration::from_secs(u64::try_from(self.0).unwrap_or(0))
    }
}

/// Parses `30s`, `1h30m`, `3600`, `30d` or `system` into whole seconds. Fractions are rounded up,
/// as in the API, so that only a written zero is zero.
pub(crate) fn parse_duration(text: &str) -> Result<DurationSeconds, String> {
    if text == "system" {
        return Ok(DurationSeconds(-1));
    }
    let nanos = parse_nanos(text).map_err(|_| DURATION_EXPECTED.to_owned())?;
    // Round away from zero on both sides, since zero means "not given".
    let whole = nanos.unsigned_abs().div_ceil(NANOS_PER_SECOND.unsigned_abs());
    let whole = i64::try_from(whole).map_err(|_| DURATION_EXPECTED.to_owned())?;
    Ok(DurationSeconds(if nanos < 0 { -whole } else { whole }))
}

/// Parses `30s`, `1h30m`, `3600` or `30d`; refuses negative durations.
pub(crate) fn parse_non_negative_duration(text: &str) -> Result<DurationSeconds, String> {
    match parse_duration(text)? {
        DurationSeconds(below) if below < 0 => Err("must not be negative".to_owned()),
        seconds => Ok(seconds),
    }
}

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// The error for an invalid duration.
pub(crate) const DURATION_EXPECTED: &str = "must be a duration, such as 90s, 1h30m or 30d";

/// Parses `name=value`.
pub(crate) fn parse_name_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(NAME_VALUE_EXPECTED.to_owned()),
    }
}

/// The error for an invalid `name=value` pair.
pub(crate) const NAME_VALUE_EXPECTED: &str = "must be NAME=VALUE";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_parsed_as_vault_does() {
        for (text, api) in [
            ("90", Some("90s")),
            ("1h30m", Some("5400s")),
            ("2d", Some("172800s")),
            ("0", None),
            ("system", Some("system")),
            ("-1", Some("system")),
            ("-1ms", Some("system")),
            ("1500ms", Some("2s")),
        ] {
            assert_eq!(parse_duration(text).unwrap().to_api_or_default().as_deref(), api, "{text}");
        }
        assert_eq!(parse_duration("zz").unwrap_err(), DURATION_EXPECTED);
        assert_eq!(parse_non_negative_duration("1.5"), Ok(DurationSeconds(2)));
        for text in ["-1s", "-1ns", "system"] {
            assert_eq!(
                parse_non_negative_duration(text).unwrap_err(),
                "must not be negative",
                "{text}"
            );
        }
    }

    #[test]
    fn fractions_round_away_from_zero() {
        for text in ["500ms", "0.9s", "0.9", "1ns", "999999us", "0.0000000001s"] {
            assert_eq!(parse_duration(text), Ok(DurationSeconds(1)), "{text}");
            assert_eq!(strongroom_types::Ttl::parse(text).unwrap().as_secs(), 1, "as the API");
            assert_eq!(
                parse_duration(text).unwrap().to_api_or_default().as_deref(),
                Some("1s"),
                "{text}"
            );
        }
        for text in ["0", "0s", "0ms", "0.0"] {
            assert_eq!(parse_duration(text), Ok(DurationSeconds(0)), "{text}");
        }
    }

    #[test]
    fn zero_setting_is_sent() {
        for (text, setting) in [("0", "0s"), ("1ms", "1s"), ("-1", "system"), ("system", "system")]
        {
            assert_eq!(parse_duration(text).unwrap().to_api_setting(), setting, "{text}");
        }
    }

    #[test]
    fn name_value_errors_show_no_value() {
        assert_eq!(parse_name_value("a=b=c").unwrap(), ("a".to_owned(), "b=c".to_owned()));
        assert!(!parse_name_value("hunter2").unwrap_err().contains("hunter2"));
    }
}
