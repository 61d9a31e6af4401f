//! The settings of `listener` and of the blocks in it.

use super::SettingOrigin::{Both, OpenBao, Own, Vault};
use super::{SettingSpec, SettingTable, honoured, ignored, refused};

const OF_THE_AGENT: &str = "it only applies to the agent and the proxy";
const NO_CORS: &str = "no CORS headers are sent, so browsers block requests from other origins";
const NOT_YET: &str = "it is not supported yet, and ignoring it would weaken protection";
const NO_ACME: &str = "ACME is not supported: configure tls_cert_file and tls_key_file";
const ON_SIGHUP: &str = "certificates are reloaded only on SIGHUP";
const NO_ENDPOINT: &str = "there is no such endpoint";
const NO_SOCKET_TLS: &str = "TLS is not supported on a Unix socket";
const NO_PROXY: &str = "clients of a Unix socket have no address";

/// The settings that both types of listener share.
macro_rules! shared {
    ($($more:expr,)*) => {
        &[
            $($more,)*
            honoured(Both, "max_request_size", "max_request_size = 1048576"),
            honoured(Both, "max_request_duration", "max_request_duration = \"30s\""),
            honoured(Vault, "max_json_depth", "max_json_depth = 32"),
            honoured(OpenBao, "max_request_json_strings", "max_request_json_strings = 1000"),
            honoured(Own, "max_unauthenticated_request_size", "max_unauthenticated_request_size = 4096"),
            honoured(Own, "max_unauthenticated_request_fields", "max_unauthenticated_request_fields = 16"),
            honoured(Own, "max_connections", "max_connections = 100"),
            honoured(Own, "max_request_bytes_in_flight", "max_request_bytes_in_flight = 1048576"),
            honoured(Both, "http_read_header_timeout", "http_read_header_timeout = \"5s\""),
            honoured(Both, "http_read_timeout", "http_read_timeout = \"5s\""),
            honoured(Both, "http_write_timeout", "http_write_timeout = \"5s\""),
            honoured(Both, "http_idle_timeout", "http_idle_timeout = \"5s\""),
            honoured(Both, "telemetry", "telemetry { unauthenticated_metrics_access = true }"),
            honoured(Both, "profiling", "profiling {}"),
            honoured(Both, "inflight_requests_logging", "inflight_requests_logging {}"),
            ignored(Both, "cluster_address", "cluster_address = \"10.0.0.1:8201\"", "this server runs as a single node"),
            ignored(Both, "role", "role = \"default\"", OF_THE_AGENT),
            ignored(Both, "purpose", "purpose = [\"api\"]", OF_THE_AGENT),
            ignored(Both, "agent_api", "agent_api { enable_quit = true }", OF_THE_AGENT),
            ignored(Both, "proxy_api", "proxy_api { enable_quit = true }", OF_THE_AGENT),
            ignored(Both, "cors_enabled", "cors_enabled = true", NO_CORS),
            ignored(Both, "cors_allowed_origins", "cors_allowed_origins = [\"https://a\"]", NO_CORS),
            ignored(Both, "cors_allowed_headers", "cors_allowed_headers = [\"X-A\"]", NO_CORS),
            ignored(OpenBao, "cors_allow_credentials", "cors_allow_credentials = true", NO_CORS),
            ignored(Vault, "disable_replication_status_endpoints", "disable_replication_status_endpoints = false", NO_ENDPOINT).as_is(&["true"]),
            ignored(Vault, "disable_request_limiter", "disable_request_limiter = true", "requests are bounded by fixed limits"),
            ignored(OpenBao, "disable_unauthed_rekey_endpoints", "disable_unauthed_rekey_endpoints = false", NO_ENDPOINT).as_is(&["true"]),
            ignored(OpenBao, "disable_unauthed_generate_root_endpoints", "disable_unauthed_generate_root_endpoints = false", NO_ENDPOINT).as_is(&["true"]),
            refused(Both, "require_request_header", "require_request_header = true", NOT_YET),
            refused(OpenBao, "max_request_json_memory", "max_request_json_memory = 1000000", NOT_YET),
            refused(Vault, "max_json_string_value_length", "max_json_string_value_length = 1000", NOT_YET),
            refused(Vault, "max_json_object_entry_count", "max_json_object_entry_count = 1000", NOT_YET),
            refused(Vault, "max_json_array_element_count", "max_json_array_element_count = 1000", NOT_YET),
            refused(Vault, "max_json_token", "max_json_token = 1000", NOT_YET),
            refused(Vault, "max_token_header_size", "max_token_header_size = 1000", NOT_YET),
            honoured(Both, "custom_response_headers", "custom_response_headers { \"default\" = { \"X-A\" = [\"b\"] } }"),
            refused(Vault, "chroot_namespace", "chroot_namespace = \"team\"", NOT_YET),
            honoured(Vault, "redact_addresses", "redact_addresses = true"),
            honoured(Vault, "redact_cluster_name", "redact_cluster_name = true"),
            honoured(Vault, "redact_version", "redact_version = true"),
            refused(Both, "proxy_protocol_behavior", "proxy_protocol_behavior = \"use_always\"", NOT_YET),
            refused(Both, "proxy_protocol_authorized_addrs", "proxy_protocol_authorized_addrs = \"10.0.0.1\"", NOT_YET),
            refused(Both, "x_forwarded_for_client_cert_header", "x_forwarded_for_client_cert_header = \"X-Cert\"", NOT_YET),
            refused(Vault, "x_forwarded_for_client_cert_header_decoders", "x_forwarded_for_client_cert_header_decoders = \"URL\"", NOT_YET),
            refused(OpenBao, "x_forwarded_for_client_cert_decoders", "x_forwarded_for_client_cert_decoders = [\"URL\"]", NOT_YET),
            refused(OpenBao, "x_forwarded_for_client_cert_keep_not_forwarded", "x_forwarded_for_client_cert_keep_not_forwarded = true", NOT_YET),
            refused(OpenBao, "x_forwarded_for_client_cert_keep_unauthorized", "x_forwarded_for_client_cert_keep_unauthorized = true", NOT_YET),
            refused(OpenBao, "tls_acme_cache_path", "tls_acme_cache_path = \"/x\"", NO_ACME),
            refused(OpenBao, "tls_acme_ca_directory", "tls_acme_ca_directory = \"https://x\"", NO_ACME),
            refused(OpenBao, "tls_acme_test_ca_directory", "tls_acme_test_ca_directory = \"https://x\"", NO_ACME),
            refused(OpenBao, "tls_acme_ca_root", "tls_acme_ca_root = \"/x\"", NO_ACME),
            refused(OpenBao, "tls_acme_eab_key_id", "tls_acme_eab_key_id = \"x\"", NO_ACME),
            refused(OpenBao, "tls_acme_eab_mac_key", "tls_acme_eab_mac_key = \"x\"", NO_ACME),
            refused(OpenBao, "tls_acme_key_type", "tls_acme_key_type = \"x\"", NO_ACME),
            refused(OpenBao, "tls_acme_email", "tls_acme_email = \"a@b\"", NO_ACME),
            refused(OpenBao, "tls_acme_domains", "tls_acme_domains = [\"a\"]", NO_ACME),
            refused(OpenBao, "tls_acme_disable_http_challenge", "tls_acme_disable_http_challenge = true", NO_ACME),
            refused(OpenBao, "tls_acme_disable_alpn_challenge", "tls_acme_disable_alpn_challenge = true", NO_ACME),
        ]
    };
}

const TCP_SETTINGS: &[SettingSpec] = shared![
    honoured(Both, "address", "address = \"127.0.0.1:1\""),
    honoured(Both, "tls_disable", "tls_disable = false"),
    honoured(Both, "tls_cert_file", "tls_cert_file = \"c\""),
    honoured(Both, "tls_key_file", "tls_key_file = \"k\""),
    honoured(Both, "tls_min_version", "tls_min_version = \"tls13\""),
    honoured(Both, "tls_max_version", "tls_max_version = \"tls12\""),
    honoured(
        Both,
        "tls_cipher_suites",
        "tls_cipher_suites = \"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\""
    ),
    honoured(
        Both,
        "tls_require_and_verify_client_cert",
        "tls_client_ca_file = \"a\"\ntls_require_and_verify_client_cert = true"
    ),
    honoured(
        Both,
        "tls_client_ca_file",
        "tls_require_and_verify_client_cert = true\ntls_client_ca_file = \"a\""
    ),
    honoured(Both, "tls_disable_client_certs", "tls_disable_client_certs = true"),
    ignored(
        Vault,
        "tls_prefer_server_cipher_suites",
        "tls_prefer_server_cipher_suites = true",
        "the order of cipher suites is fixed"
    ),
    ignored(OpenBao, "tls_auto_reload", "tls_auto_reload = true", ON_SIGHUP),
    ignored(OpenBao, "tls_auto_reload_interval", "tls_auto_reload_interval = \"1h\"", ON_SIGHUP),
    refused(
        OpenBao,
        "tls_key_exchange_preferences",
        "tls_key_exchange_preferences = [\"X25519\"]",
        NOT_YET
    ),
    honoured(
        Both,
        "x_forwarded_for_authorized_addrs",
        "x_forwarded_for_authorized_addrs = \"::1\""
    ),
    honoured(
        Both,
        "x_forwarded_for_hop_skips",
        "x_forwarded_for_authorized_addrs = \"::1\"\nx_forwarded_for_hop_skips = 1"
    ),
    honoured(
        Both,
        "x_forwarded_for_reject_not_authorized",
        "x_forwarded_for_authorized_addrs = \"::1\"\nx_forwarded_for_reject_not_authorized = false"
    ),
    honoured(
        Both,
        "x_forwarded_for_reject_not_present",
        "x_forwarded_for_authorized_addrs = \"::1\"\nx_forwarded_for_reject_not_present = false"
    ),
    refused(Both, "socket_mode", "socket_mode = \"0660\"", "only a listener \"unix\" has one"),
    refused(Both, "socket_user", "socket_user = \"vault\"", "only a listener \"unix\" has one"),
    refused(Both, "socket_group", "socket_group = \"vault\"", "only a listener \"unix\" has one"),
];

const UNIX_SETTINGS: &[SettingSpec] = shared![
    honoured(Both, "address", "address = \"/run/y.sock\""),
    honoured(Both, "socket_mode", "socket_mode = \"0660\""),
    honoured(Both, "socket_user", "socket_user = \"vault\""),
    honoured(Both, "socket_group", "socket_group = \"vault\""),
    honoured(Both, "tls_disable", "tls_disable = true"),
    honoured(Both, "tls_disable_client_certs", "tls_disable_client_certs = true"),
    refused(Both, "tls_cert_file", "tls_cert_file = \"c\"", NO_SOCKET_TLS),
    refused(Both, "tls_key_file", "tls_key_file = \"k\"", NO_SOCKET_TLS),
    refused(Both, "tls_min_version", "tls_min_version = \"tls13\"", NO_SOCKET_TLS),
    refused(Both, "tls_max_version", "tls_max_version = \"tls12\"", NO_SOCKET_TLS),
    refused(Both, "tls_cipher_suites", "tls_cipher_suites = \"x\"", NO_SOCKET_TLS),
    refused(
        Both,
        "tls_require_and_verify_client_cert",
        "tls_require_and_verify_client_cert = true",
        NO_SOCKET_TLS
    ),
    refused(Both, "tls_client_ca_file", "tls_client_ca_file = \"a\"", NO_SOCKET_TLS),
    refused(
        OpenBao,
        "tls_key_exchange_preferences",
        "tls_key_exchange_preferences = [\"X25519\"]",
        NO_SOCKET_TLS
    ),
    ignored(
        Vault,
        "tls_prefer_server_cipher_suites",
        "tls_prefer_server_cipher_suites = true",
        NO_SOCKET_TLS
    ),
    ignored(OpenBao, "tls_auto_reload", "tls_auto_reload = true", NO_SOCKET_TLS),
    ignored(
        OpenBao,
        "tls_auto_reload_interval",
        "tls_auto_reload_interval = \"1h\"",
        NO_SOCKET_TLS
    ),
    refused(
        Both,
        "x_forwarded_for_authorized_addrs",
        "x_forwarded_for_authorized_addrs = \"::1\"",
        NO_PROXY
    ),
    refused(Both, "x_forwarded_for_hop_skips", "x_forwarded_for_hop_skips = 1", NO_PROXY),
    refused(
        Both,
        "x_forwarded_for_reject_not_authorized",
        "x_forwarded_for_reject_not_authorized = true",
        NO_PROXY
    ),
    refused(
        Both,
        "x_forwarded_for_reject_not_present",
        "x_forwarded_for_reject_not_present = true",
        NO_PROXY
    ),
];

/// All settings of a `listener "tcp"` block in both reference servers.
pub const TCP_LISTENER: SettingTable = SettingTable {
    title: "`listener \"tcp\"`",
    example_context: [
        "storage \"inmem\" {}\nlistener \"tcp\" {\naddress = \"127.0.0.1:1\"\n\
         tls_cert_file = \"c\"\ntls_key_file = \"k\"\n",
        "\n}",
    ],
    settings: TCP_SETTINGS,
};

/// All settings of a `listener "unix"` block in both reference servers.
pub const UNIX_LISTENER: SettingTable = SettingTable {
    title: "`listener \"unix\"`",
    example_context: [
        "storage \"inmem\" {}\nlistener \"unix\" {\naddress = \"/run/x.sock\"\n",
        "\n}",
    ],
    settings: UNIX_SETTINGS,
};

/// All settings of the `telemetry` block inside a listener.
pub const LISTENER_TELEMETRY: SettingTable = SettingTable {
    title: "`telemetry` in a `listener`",
    example_context: [
        "storage \"inmem\" {}\nlistener \"tcp\" {\ntls_disable = true\ntelemetry {\n",
        "\n}\n}",
    ],
    settings: &[
        honoured(Both, "unauthenticated_metrics_access", "unauthenticated_metrics_access = true"),
        honoured(OpenBao, "disallow_metrics", "disallow_metrics = true"),
        honoured(OpenBao, "metrics_only", "metrics_only = true"),
        honoured(OpenBao, "metrics_path", "metrics_only = true\nmetrics_path = \"/metrics\""),
    ],
};

/// All settings of the `profiling` block inside a listener.
pub const PROFILING: SettingTable = SettingTable {
    title: "`profiling` in a `listener`",
    example_context: [
        "storage \"inmem\" {}\nlistener \"tcp\" {\ntls_disable = true\nprofiling {\n",
        "\n}\n}",
    ],
    settings: &[
        ignored(
            Both,
            "unauthenticated_pprof_access",
            "unauthenticated_pprof_access = true",
            "there is no sys/pprof",
        ),
        ignored(
            Vault,
            "unauthenticated_in_flight_request_access",
            "unauthenticated_in_flight_request_access = true",
            "there is no sys/in-flight-req",
        ),
    ],
};

/// All settings of the `inflight_requests_logging` block inside a listener.
pub const INFLIGHT_REQUESTS: SettingTable = SettingTable {
    title: "`inflight_requests_logging` in a `listener`",
    example_context: [
        "storage \"inmem\" {}\nlistener \"tcp\" {\ntls_disable = true\ninflight_requests_logging {\n",
        "\n}\n}",
    ],
    settings: &[ignored(
        Both,
        "unauthenticated_in_flight_requests_access",
        "unauthenticated_in_flight_requests_access = true",
        "there is no sys/in-flight-req",
    )],
};
