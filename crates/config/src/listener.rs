//! `listener`: where clients connect.
//!
//! - [`endpoint`]: an address or a Unix socket
//! - [`tls`]: certificates, versions, required client certificates
//! - [`forwarding`]: trusted proxies
//! - [`metrics`]: who may read metrics
//! - [`responses`]: response headers, and redaction of status responses
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
//!
//!         max_request_size         = 1048576
//!         max_json_depth           = 32
//!         max_request_json_strings = 10000
//!         http_read_timeout        = "10s"
//!     }
//!     "#,
//!     "server.hcl",
//! )?;
//! assert!(config.listeners[0].tls.is_some());
//! # Ok::<(), strongroom_config::ConfigError>(())
//! ```

pub mod endpoint;
pub mod forwarding;
pub mod metrics;
pub mod responses;
pub mod tls;

use strongroom_hcl::HclBlock;
use strongroom_types::Ttl;
use strongroom_types::fields::JsonLimits;

pub use self::endpoint::{ListenerEndpoint, UnixSocketConfig};
pub use self::forwarding::ForwardingConfig;
pub use self::metrics::MetricsConfig;
pub use self::responses::{HeaderConfig, RedactConfig, StatusMatcher};
pub use self::tls::{ClientCertificatePolicy, ListenerTlsConfig, TlsVersion};
use crate::compatibility::{INFLIGHT_REQUESTS, PROFILING, TCP_LISTENER, UNIX_LISTENER};
use crate::reading::{ConfigError, ConfigSection};

/// The settings of one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerConfig {
    /// The address or Unix socket that the listener binds.
    pub endpoint: ListenerEndpoint,
    /// The TLS settings; `None` with `tls_disable`, and for a Unix socket.
    pub tls: Option<ListenerTlsConfig>,
    /// Proxies that may set the client's address with `X-Forwarded-For`; `None` to ignore that
    /// header.
    pub forwarding: Option<ForwardingConfig>,
    /// Whether and to whom this listener serves metrics.
    pub metrics: MetricsConfig,
    /// What is redacted in status responses, which need no token.
    pub redact: RedactConfig,
    /// Response headers, in the order in which they are set.
    pub headers: Vec<HeaderConfig>,
    /// The maximum size of a request body in bytes.
    pub max_request_size: usize,
    /// The maximum size in bytes of a request body to a path that needs no token.
    pub max_unauthenticated_request_size: usize,
    /// The maximum number of fields in such a body.
    pub max_unauthenticated_request_fields: usize,
    /// The maximum number of bytes that all requests being read or processed may take together.
    pub max_request_bytes_in_flight: usize,
    /// The deepest allowed nesting of a JSON body.
    pub max_json_depth: usize,
    /// The maximum number of strings in a JSON body, keys included.
    pub max_request_json_strings: usize,
    /// The maximum number of open connections; `None` to derive it from the limit of open files.
    pub max_connections: Option<usize>,
    /// The maximum duration of a request.
    pub max_request_duration: Ttl,
    /// How long a client may take to send the head of a request.
    pub http_read_header_timeout: Ttl,
    /// How long a client may take to send the body of a request.
    pub http_read_timeout: Ttl,
    /// How long a client may read nothing of its response before the connection is closed.
    pub http_write_timeout: Ttl,
    /// How long an idle connection is kept open.
    pub http_idle_timeout: Ttl,
}

/// Stays below 128, the nesting limit of the JSON parser that reads the body later.
const MAX_JSON_DEPTH: usize = 100;

impl Default for ListenerConfig {
    fn default() -> Self {
        let json = JsonLimits::default();
        Self {
            endpoint: ListenerEndpoint::Tcp("127.0.0.1:8200".to_owned()),
            tls: None,
            forwarding: None,
            metrics: MetricsConfig::default(),
            redact: RedactConfig::default(),
            headers: Vec::new(),
            max_request_size: 32 << 20,
            max_unauthenticated_request_size: 256 << 10,
            max_unauthenticated_request_fields: 256,
            max_request_bytes_in_flight: 256 << 20,
            max_json_depth: json.depth,
            max_request_json_strings: json.strings,
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
        block: &HclBlock<'_, 1>,
        file: &str,
        warnings: &mut Vec<String>,
    ) -> Result<Self, ConfigError> {
        let [label] = block.labels;
        let section = ConfigSection::new(block.body, file);
        let mut listener = Self::default();
        match label.text.as_str() {
            "tcp" => {
                TCP_LISTENER.check_section(&section, warnings)?;
                listener.endpoint = endpoint::read_tcp_endpoint(&section)?;
                listener.tls = tls::read(&section, warnings)?;
                if listener.tls.is_none() && !tls::is_disabled(&section)? {
                    let text =
                        "a listener needs tls_cert_file and tls_key_file, or tls_disable = true";
                    return Err(ConfigError::at_location(&section.location_of_key(label), text));
                }
                listener.forwarding = forwarding::read(&section)?;
            }
            "unix" => {
                UNIX_LISTENER.check_section(&section, warnings)?;
                listener.endpoint = endpoint::read_unix_endpoint(&section)?.ok_or_else(|| {
                    let text = "a listener \"unix\" needs an address: address = \"/run/….sock\"";
                    ConfigError::at_location(&section.location_of_key(label), text)
                })?;
            }
            other => {
                let text =
                    format!("unknown listener type {other:?}; there are \"tcp\" and \"unix\"");
                return Err(ConfigError::at_location(&section.location_of_key(label), text));
            }
        }
        listener.metrics = metrics::read(&section, warnings)?;
        listener.redact = responses::read_redaction(&section)?;
        listener.headers = responses::read_headers(&section)?;
        for (name, table) in
            [("profiling", &PROFILING), ("inflight_requests_logging", &INFLIGHT_REQUESTS)]
        {
            for block in section.blocks::<0>(name)? {
                table.check_section(&section.nested(block.body), warnings)?;
            }
        }
        listener.read_limits(&section)?;
        Ok(listener)
    }

    fn read_limits(&mut self, section: &ConfigSection<'_>) -> Result<(), ConfigError> {
        section.read_size_or_default("max_request_size", &mut self.max_request_size)?;
        let (size, fields) = (
            &mut self.max_unauthenticated_request_size,
            &mut self.max_unauthenticated_request_fields,
        );
        section.read_size("max_unauthenticated_request_size", size)?;
        section.read_size("max_unauthenticated_request_fields", fields)?;
        section.read_size("max_request_bytes_in_flight", &mut self.max_request_bytes_in_flight)?;
        section.read_size_or_default("max_json_depth", &mut self.max_json_depth)?;
        if self.max_json_depth > MAX_JSON_DEPTH {
            return Err(section
                .invalid_setting("max_json_depth", format!("must be at most {MAX_JSON_DEPTH}")));
        }
        section
            .read_size_or_default("max_request_json_strings", &mut self.max_request_json_strings)?;
        let mut connections = 0;
        section.read_size("max_connections", &mut connections)?;
        self.max_connections = (connections > 0).then_some(connections);
        section.read_duration("max_request_duration", &mut self.max_request_duration)?;
        section.read_duration("http_read_header_timeout", &mut self.http_read_header_timeout)?;
        section.read_duration("http_read_timeout", &mut self.http_read_timeout)?;
        section.read_duration("http_write_timeout", &mut self.http_write_timeout)?;
        section.read_duration("http_idle_timeout", &mut self.http_idle_timeout)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::Config;
    use crate::compatibility::SettingTreatment;

    fn read_listener_of_type(kind: &str, listener: &str) -> Result<ListenerConfig, String> {
        let text = format!("storage \"inmem\" {{}}\nlistener \"{kind}\" {{\n{listener}\n}}");
        let config = Config::parse(&text, "t.hcl").map_err(|error| error.to_string())?;
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
        Ok(config.listeners[0].clone())
    }

    fn read(listener: &str) -> Result<ListenerConfig, String> {
        read_listener_of_type("tcp", listener)
    }

    #[test]
    fn tls_disable_must_be_explicit() {
        assert!(read("").unwrap_err().contains("tls_disable = true"));
        assert_eq!(read("tls_disable = 1").unwrap(), ListenerConfig::default());
        assert!(read("tls_cert_file = \"c\"").unwrap_err().contains("t.hcl:3:1"));
        let tls = read("tls_cert_file = \"c\"\ntls_key_file = \"k\"").unwrap().tls.unwrap();
        assert_eq!((tls.cert_file, tls.key_file), (PathBuf::from("c"), PathBuf::from("k")));
    }

    #[test]
    fn socket_defaults_to_owner_only() {
        let ListenerEndpoint::Unix(usual) =
            read_listener_of_type("unix", "address = \"/s\"").unwrap().endpoint
        else {
            panic!("no socket");
        };
        let expected = UnixSocketConfig { path: "/s".into(), mode: 0o600, user: None, group: None };
        assert_eq!(usual, expected);
        let all = "address = \"/s\"\nsocket_mode = 0660\nsocket_user = 7\nsocket_group = \"g\"";
        let ListenerEndpoint::Unix(all) = read_listener_of_type("unix", all).unwrap().endpoint
        else {
            panic!("none")
        };
        assert_eq!((all.mode, all.user, all.group), (0o660, Some("7".into()), Some("g".into())));
        for (text, error) in [
            ("tls_disable = true", "t.hcl:2:10: a listener \"unix\" needs an address"),
            ("address = \"api.sock\"", "t.hcl:3:1: address: must be the absolute path"),
            ("address = \"/s\"\nsocket_mode = \"rw\"", "t.hcl:4:1: socket_mode: must be octal"),
            ("address = \"/s\"\nsocket_mode = \"7777\"", "t.hcl:4:1: socket_mode: must be octal"),
            ("address = \"/s\"\ntls_cert_file = \"c\"", "t.hcl:4:1: tls_cert_file: TLS is not"),
            (
                "address = \"/s\"\nx_forwarded_for_authorized_addrs = \"::1\"",
                "t.hcl:4:1: x_forwarded_for_authorized_addrs: clients of a Unix socket",
            ),
        ] {
            let got = read_listener_of_type("unix", text).unwrap_err();
            assert!(got.starts_with(error), "{got}");
        }
        let error = read("tls_disable = true\nsocket_mode = \"0600\"").unwrap_err();
        assert!(error.contains("t.hcl:4:1: socket_mode: only a listener \"unix\""), "{error}");
    }

    #[test]
    fn every_setting_stands_in_the_book() {
        let page = include_str!("../../../docs/src/reference/listener.md");
        for setting in TCP_LISTENER.settings.iter().chain(UNIX_LISTENER.settings) {
            let is_honoured = setting.treatment == SettingTreatment::Honoured;
            let name = setting.name;
            assert!(!is_honoured || page.contains(&format!("`{name}`")), "{name}");
        }
        for name in tls::CIPHER_SUITES {
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
        // Zero means the default, as in Vault; a negative value would mean no limit.
        let usual = ListenerConfig::default();
        let zero = read("tls_disable = true\nmax_request_size = 0\nmax_json_depth = 0").unwrap();
        assert_eq!((zero.max_request_size, zero.max_json_depth), (usual.max_request_size, 64));
        assert!(
            read("tls_disable = true\nmax_request_size = -1").unwrap_err().contains("t.hcl:4:1")
        );
        assert!(read("tls_disable = true\nmax_connections = 0").is_err());
        let text = "tls_disable = true\nmax_connections = 7\nmax_request_bytes_in_flight = 9\n\
                    http_write_timeout = \"6s\"\nhttp_read_header_timeout = 5\n\
                    max_json_depth = 10\nmax_request_json_strings = 11";
        let listener = read(text).unwrap();
        assert_eq!(listener.max_connections, Some(7));
        assert_eq!(listener.max_request_bytes_in_flight, 9);
        assert_eq!(listener.http_write_timeout, Ttl::from_secs(6));
        assert_eq!(listener.http_read_header_timeout, Ttl::from_secs(5));
        assert_eq!((listener.max_json_depth, listener.max_request_json_strings), (10, 11));
        let deep = read("tls_disable = true\nmax_json_depth = 1000").unwrap_err();
        assert!(deep.contains("must be at most 100"), "{deep}");
        let unknown = Config::parse("storage \"inmem\" {}\nlistener \"udp\" {}", "t");
        assert!(unknown.unwrap_err().to_string().contains("there are \"tcp\" and \"unix\""));
    }
}
