//! `listener`: where clients connect.
//!
//! ```
//! # use strongroom_config::Config;
//! let config = Config::parse(
//!     r#"
//!     storage "inmem" {}
//!     listener "tcp" {
//!         address       = "0.0.0.0:8200"
//!         tls_cert_file = "/etc/strongroom/tls.crt"
//!         tls_key_file  = "/etc/strongroom/tls.key"
//!     }
//!     "#,
//!     "server.hcl",
//! )?;
//! assert!(config.listeners[0].tls.is_some());
//! # Ok::<(), strongroom_config::ConfigError>(())
//! ```

use std::path::PathBuf;

use strongroom_hcl::Block;
use strongroom_types::Ttl;

use crate::reading::{ConfigError, Section};

/// Where clients connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerConfig {
    /// Address and port.
    pub address: String,
    /// Certificate and key; none only if `tls_disable` says so.
    pub tls: Option<TlsFiles>,
    /// Bytes of a request's body.
    pub max_request_size: usize,
    /// Bytes that unfinished and large bodies may take together.
    pub max_request_bytes_in_flight: usize,
    /// Open connections; none for as many as the limit of open files allows.
    pub max_connections: Option<usize>,
    /// How long a request may take.
    pub max_request_duration: Ttl,
    /// How long a client may take to send a request's head.
    pub http_read_header_timeout: Ttl,
    /// How long a client may take to send a request's body.
    pub http_read_timeout: Ttl,
    /// How long a client may take nothing of its answer.
    pub http_write_timeout: Ttl,
    /// How long an idle connection lives.
    pub http_idle_timeout: Ttl,
}

/// Files of a listener's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate and chain, PEM.
    pub cert_file: PathBuf,
    /// Private key, PEM.
    pub key_file: PathBuf,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// 1.2
    #[default]
    Tls12,
    /// 1.3
    Tls13,
}

/// Settings that restrict or redirect, and aren't built.
const REFUSED: [&str; 18] = [
    "tls_client_ca_file",
    "tls_require_and_verify_client_cert",
    "tls_cipher_suites",
    "tls_max_version",
    "tls_acme_domains",
    "tls_acme_ca_directory",
    "proxy_protocol_behavior",
    "proxy_protocol_authorized_addrs",
    "x_forwarded_for_authorized_addrs",
    "x_forwarded_for_hop_skips",
    "x_forwarded_for_reject_not_present",
    "x_forwarded_for_reject_not_authorized",
    "require_request_header",
    "custom_response_headers",
    "chroot_namespace",
    "redact_addresses",
    "redact_cluster_name",
    "redact_version",
];
/// Accepted and without effect: there is nothing to switch off, or nothing to reach.
const WITHOUT_EFFECT: [&str; 6] = [
    "cluster_address",
    "tls_disable_client_certs",
    "tls_prefer_server_cipher_suites",
    "telemetry",
    "profiling",
    "inflight_requests_logging",
];
const KNOWN: [&str; 13] = [
    "address",
    "tls_disable",
    "tls_cert_file",
    "tls_key_file",
    "tls_min_version",
    "max_request_size",
    "max_request_bytes_in_flight",
    "max_request_duration",
    "max_connections",
    "http_read_header_timeout",
    "http_read_timeout",
    "http_write_timeout",
    "http_idle_timeout",
];

impl Default for ListenerConfig {
    fn default() -> Self {
        Self {
            address: "127.0.0.1:8200".to_owned(),
            tls: None,
            max_request_size: 32 << 20,
            max_request_bytes_in_flight: 256 << 20,
            max_connections: None,
            max_request_duration: Ttl::from_secs(90),
            http_read_header_timeout: Ttl::from_secs(10),
            http_read_timeout: Ttl::from_secs(30),
            http_write_timeout: Ttl::from_secs(30),
            http_idle_timeout: Ttl::from_secs(300),
        }
    }
}

impl ListenerConfig {
    pub(crate) fn read(
        block: &Block<'_, 1>,
        file: &str,
        warnings: &mut Vec<String>,
    ) -> Result<Self, ConfigError> {
        let [label] = block.labels;
        let section = Section::new(block.body, file);
        if label.text != "tcp" {
            let text = format!("unknown listener type {:?}; there is \"tcp\"", label.text);
            return Err(ConfigError::at(&section.place(label), text));
        }
        section.refuse(&REFUSED, "this listener can't honour it yet, and won't run without it")?;
        let known: Vec<&str> = KNOWN.iter().chain(&WITHOUT_EFFECT).copied().collect();
        section.warn_unknown(&known, warnings);
        let mut listener = Self { tls: tls(&section)?, ..Self::default() };
        if listener.tls.is_none() && !tls_is_disabled(&section)? {
            let text = "a listener needs tls_cert_file and tls_key_file, or tls_disable = true";
            return Err(ConfigError::at(&section.place(label), text));
        }
        section.text("address", &mut listener.address)?;
        section.size("max_request_size", &mut listener.max_request_size)?;
        section.size("max_request_bytes_in_flight", &mut listener.max_request_bytes_in_flight)?;
        let mut connections = 0;
        section.size("max_connections", &mut connections)?;
        listener.max_connections = (connections > 0).then_some(connections);
        section.duration("max_request_duration", &mut listener.max_request_duration)?;
        section.duration("http_read_header_timeout", &mut listener.http_read_header_timeout)?;
        section.duration("http_read_timeout", &mut listener.http_read_timeout)?;
        section.duration("http_write_timeout", &mut listener.http_write_timeout)?;
        section.duration("http_idle_timeout", &mut listener.http_idle_timeout)?;
        Ok(listener)
    }
}

fn tls_is_disabled(section: &Section<'_>) -> Result<bool, ConfigError> {
    let mut disabled = false;
    section.flag("tls_disable", &mut disabled)?;
    Ok(disabled)
}

fn tls(section: &Section<'_>) -> Result<Option<TlsFiles>, ConfigError> {
    if tls_is_disabled(section)? {
        return Ok(None);
    }
    let (mut cert, mut key) = (String::new(), String::new());
    section.text("tls_cert_file", &mut cert)?;
    section.text("tls_key_file", &mut key)?;
    let mut version = "tls12".to_owned();
    section.text("tls_min_version", &mut version)?;
    let min_version = match version.as_str() {
        "tls12" => TlsVersion::Tls12,
        "tls13" => TlsVersion::Tls13,
        _ => return Err(section.wrong("tls_min_version", "must be \"tls12\" or \"tls13\"")),
    };
    match (cert.is_empty(), key.is_empty()) {
        (true, true) => Ok(None),
        (false, false) => {
            Ok(Some(TlsFiles { cert_file: cert.into(), key_file: key.into(), min_version }))
        }
        (true, false) => Err(section.wrong("tls_key_file", "needs tls_cert_file as well")),
        (false, true) => Err(section.wrong("tls_cert_file", "needs tls_key_file as well")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    fn read(listener: &str) -> Result<ListenerConfig, String> {
        let text = format!("storage \"inmem\" {{}}\nlistener \"tcp\" {{\n{listener}\n}}");
        let config = Config::parse(&text, "t.hcl").map_err(|error| error.to_string())?;
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
        Ok(config.listeners[0].clone())
    }

    #[test]
    fn plain_text_must_be_asked_for() {
        assert!(read("").unwrap_err().contains("tls_disable = true"));
        assert_eq!(read("tls_disable = 1").unwrap(), ListenerConfig::default());
        assert!(read("tls_cert_file = \"c\"").unwrap_err().contains("t.hcl:3:1"));
        let tls = read("tls_cert_file = \"c\"\ntls_key_file = \"k\"\ntls_min_version = \"tls13\"");
        assert_eq!(tls.unwrap().tls.unwrap().min_version, TlsVersion::Tls13);
        assert!(
            read("tls_cert_file = \"c\"\ntls_key_file = \"k\"\ntls_min_version = \"tls10\"")
                .is_err()
        );
    }

    #[test]
    fn what_restricts_and_is_not_built_is_refused() {
        for name in REFUSED {
            let error = read(&format!("tls_disable = true\n{name} = \"x\"")).unwrap_err();
            assert!(error.contains("t.hcl:4:1") && error.contains(name), "{error}");
        }
    }

    #[test]
    fn every_setting_stands_in_the_book() {
        let page = include_str!("../../../docs/src/reference/listener.md");
        for name in KNOWN.iter().chain(&WITHOUT_EFFECT).chain(&REFUSED) {
            assert!(page.contains(&format!("`{name}`")), "{name}");
        }
    }

    #[test]
    fn limits_are_read() {
        let text = "tls_disable = true\nmax_request_size = 1024\nmax_request_duration = \"5s\"";
        let listener = read(text).unwrap();
        assert_eq!(listener.max_request_size, 1024);
        assert_eq!(listener.max_request_duration, Ttl::from_secs(5));
        assert_eq!(listener.max_connections, None);
        assert!(read("tls_disable = true\nmax_request_size = 0").is_err());
        assert!(read("tls_disable = true\nmax_connections = 0").is_err());
        let text = "tls_disable = true\nmax_connections = 7\nmax_request_bytes_in_flight = 9\n\
                    http_write_timeout = \"6s\"\nhttp_read_header_timeout = 5";
        let listener = read(text).unwrap();
        assert_eq!(listener.max_connections, Some(7));
        assert_eq!(listener.max_request_bytes_in_flight, 9);
        assert_eq!(listener.http_write_timeout, Ttl::from_secs(6));
        assert_eq!(listener.http_read_header_timeout, Ttl::from_secs(5));
        assert!(Config::parse("storage \"inmem\" {}\nlistener \"udp\" {}", "t").is_err());
    }
}
