//! The settings at the top level of the file, and those of `telemetry`.

use super::SettingOrigin::{Both, OpenBao, Own, Vault};
use super::{SettingTable, honoured, ignored, refused};

const SINGLE_NODE: &str = "this server runs as a single node";
const NO_AUDIT: &str = "audit devices are not supported yet, and the server does not start without the configured ones";
const NO_HEADER: &str = "the header isn't sent";
const NOT_DOWNLOADED: &str = "plug-ins aren't downloaded or registered from the configuration: put \
    the file into plugin_directory, and use 'strongroom plugin register'";
const NOT_CUT: &str = "log files aren't rotated by this server: rename log_file and send SIGHUP";
const NOT_PUSHED: &str = "metrics aren't pushed: scrape sys/metrics";
const NO_SUCH_METRICS: &str = "there are no such metrics";
const NO_TRACE: &str = "there are no such traces";

/// All settings that stand outside of any block, in both reference servers.
pub const TOP_LEVEL: SettingTable = SettingTable {
    title: "Top level",
    example_context: ["storage \"inmem\" {}\nlistener \"tcp\" { tls_disable = true }\n", ""],
    settings: &[
        honoured(Both, "storage", ""),
        honoured(Vault, "backend", ""),
        honoured(Both, "listener", "listener \"tcp\" { tls_disable = true }"),
        honoured(Both, "api_addr", "api_addr = \"https://vault.example.com:8200\""),
        honoured(Both, "cluster_name", "cluster_name = \"london\""),
        honoured(Both, "default_lease_ttl", "default_lease_ttl = \"1h\""),
        honoured(Both, "max_lease_ttl", "max_lease_ttl = \"900h\""),
        honoured(Both, "default_max_request_duration", "default_max_request_duration = \"30s\""),
        honoured(Both, "plugin_directory", "plugin_directory = \"/usr/lib/vault/plugins\""),
        honoured(Vault, "plugin_tmpdir", "plugin_tmpdir = \"/var/lib/vault/tmp\""),
        honoured(Own, "max_requests", "max_requests = 8192"),
        honoured(Own, "max_requests_per_mount", "max_requests_per_mount = 1024"),
        honoured(Own, "max_unauthenticated_requests", "max_unauthenticated_requests = 2048"),
        honoured(
            Own,
            "max_unauthenticated_requests_per_mount",
            "max_unauthenticated_requests_per_mount = 256",
        ),
        honoured(Own, "max_cached_entry_bytes", "max_cached_entry_bytes = 8388608"),
        honoured(Own, "max_cached_token_bytes", "max_cached_token_bytes = 8388608"),
        honoured(
            Own,
            "max_cached_document_bytes_per_mount",
            "max_cached_document_bytes_per_mount = 1048576",
        ),
        honoured(Own, "plugin_inherit_env", "plugin_inherit_env = true"),
        honoured(Own, "plugin_allow_scripts", "plugin_allow_scripts = true"),
        honoured(Own, "plugin_trust", "plugin_trust = \"/etc/strongroom/plugins.hcl\""),
        honoured(Own, "plugin_start_timeout", "plugin_start_timeout = \"30s\""),
        honoured(Both, "log_level", "log_level = \"warn\""),
        honoured(Both, "log_format", "log_format = \"json\""),
        honoured(Both, "log_file", "log_file = \"/var/log/vault.log\""),
        honoured(Both, "pid_file", "pid_file = \"/run/vault.pid\""),
        honoured(Both, "telemetry", "telemetry {}"),
        honoured(Both, "seal", "seal \"shamir\" { disabled = true }"),
        honoured(Both, "kms", "kms \"shamir\" { disabled = true }"),
        honoured(Vault, "hsm", "hsm \"shamir\" { disabled = true }"),
        honoured(Both, "user_lockout", "user_lockout \"all\" { lockout_threshold = 3 }"),
        honoured(Both, "service_registration", ""),
        refused(
            Both,
            "ha_storage",
            "ha_storage \"raft\" {}",
            "this server runs as a single node, without high availability",
        ),
        refused(
            Both,
            "ha_backend",
            "ha_backend \"consul\" {}",
            "this server runs as a single node, without high availability",
        ),
        refused(OpenBao, "audit", "audit \"file\" \"to-file\" {}", NO_AUDIT),
        refused(
            Vault,
            "entropy",
            "entropy \"seal\" { mode = \"augmentation\" }",
            "external entropy sources are not supported yet",
        ),
        refused(
            OpenBao,
            "initialize",
            "initialize \"first\" {}",
            "this server doesn't initialise itself: use 'strongroom operator init', and remove the stanza",
        ),
        ignored(
            Vault,
            "kms_library",
            "kms_library \"pkcs11\" {}",
            "no supported seal uses a library",
        ),
        ignored(Both, "ui", "ui = true", "there is no web UI yet"),
        ignored(
            Both,
            "disable_mlock",
            "disable_mlock = false",
            "memory isn't locked: disable swap, or encrypt it",
        )
        .as_is(&["true"]),
        ignored(Both, "cluster_addr", "cluster_addr = \"https://10.0.0.1:8201\"", SINGLE_NODE),
        ignored(Both, "disable_clustering", "disable_clustering = false", SINGLE_NODE)
            .as_is(&["true"]),
        ignored(
            Both,
            "cluster_cipher_suites",
            "cluster_cipher_suites = \"TLS_AES_128_GCM_SHA256\"",
            SINGLE_NODE,
        ),
        ignored(
            Vault,
            "disable_performance_standby",
            "disable_performance_standby = false",
            SINGLE_NODE,
        )
        .as_is(&["true"]),
        ignored(OpenBao, "disable_standby_reads", "disable_standby_reads = false", SINGLE_NODE)
            .as_is(&["true"]),
        ignored(
            Vault,
            "replication",
            "replication { resolver_discover_servers = true }",
            SINGLE_NODE,
        ),
        ignored(
            Both,
            "cache_size",
            "cache_size = \"131072\"",
            "it counts entries; this server limits the cache in bytes, with max_cached_entry_bytes",
        ),
        ignored(Both, "disable_cache", "disable_cache = true", "the cache can't be switched off"),
        ignored(
            Both,
            "disable_printable_check",
            "disable_printable_check = true",
            "paths with control characters are always refused",
        ),
        ignored(Vault, "disable_sealwrap", "disable_sealwrap = false", "there is no seal wrapping")
            .as_is(&["true"]),
        ignored(Both, "disable_indexing", "disable_indexing = true", "there is no such index"),
        ignored(
            Vault,
            "disable_sentinel_trace",
            "disable_sentinel_trace = false",
            "there is no Sentinel",
        )
        .as_is(&["true"]),
        ignored(
            Vault,
            "sentinel",
            "sentinel { additional_enabled_modules = [\"http\"] }",
            "there is no Sentinel",
        ),
        ignored(
            Vault,
            "enable_multiseal",
            "enable_multiseal = true",
            "the Shamir seal is the only one",
        ),
        ignored(Both, "raw_storage_endpoint", "raw_storage_endpoint = true", "there is no sys/raw"),
        ignored(Both, "enable_raw_endpoint", "enable_raw_endpoint = true", "there is no sys/raw"),
        ignored(
            Both,
            "introspection_endpoint",
            "introspection_endpoint = true",
            "there is no sys/internal/inspect",
        ),
        ignored(
            Both,
            "enable_response_header_hostname",
            "enable_response_header_hostname = true",
            NO_HEADER,
        ),
        ignored(
            Both,
            "enable_response_header_raft_node_id",
            "enable_response_header_raft_node_id = true",
            NO_HEADER,
        ),
        ignored(
            Both,
            "log_requests_level",
            "log_requests_level = \"debug\"",
            "individual requests aren't logged",
        ),
        ignored(Both, "log_rotate_bytes", "log_rotate_bytes = 1000000", NOT_CUT),
        ignored(Both, "log_rotate_duration", "log_rotate_duration = \"24h\"", NOT_CUT),
        ignored(Both, "log_rotate_max_files", "log_rotate_max_files = 7", NOT_CUT),
        ignored(
            Both,
            "detect_deadlocks",
            "detect_deadlocks = \"statelock\"",
            "there are no such locks",
        ),
        ignored(
            Both,
            "imprecise_lease_role_tracking",
            "imprecise_lease_role_tracking = true",
            "there are no lease counts by role",
        ),
        ignored(
            Vault,
            "experiments",
            "experiments = [\"events.alpha1\"]",
            "there are no experiments",
        ),
        ignored(
            Vault,
            "license_path",
            "license_path = \"/etc/vault/license\"",
            "no license is needed",
        ),
        ignored(
            Vault,
            "reporting",
            "reporting { license { enabled = true } }",
            "no usage is reported",
        ),
        ignored(
            Vault,
            "cloud",
            "cloud { resource_id = \"x\" }",
            "this server connects to no cloud service",
        ),
        ignored(Vault, "enable_post_unseal_trace", "enable_post_unseal_trace = true", NO_TRACE),
        ignored(
            Vault,
            "post_unseal_trace_directory",
            "post_unseal_trace_directory = \"/tmp\"",
            NO_TRACE,
        ),
        ignored(
            Vault,
            "enable_unauthenticated_access",
            "enable_unauthenticated_access = [\"generate-root\"]",
            "those endpoints need a token, or don't exist",
        ),
        ignored(
            Vault,
            "request_limiter",
            "request_limiter { disable = false }",
            "requests are bounded by fixed limits",
        ),
        ignored(
            Vault,
            "adaptive_overload_protection",
            "adaptive_overload_protection { disabled = true }",
            "requests are bounded by fixed limits",
        ),
        ignored(
            Both,
            "plugin_file_uid",
            "plugin_file_uid = 1000",
            "plug-ins must belong to root or to the server's user",
        ),
        ignored(
            Both,
            "plugin_file_permissions",
            "plugin_file_permissions = \"0755\"",
            "plug-ins must be writable only by their owner",
        ),
        ignored(
            OpenBao,
            "plugin",
            "plugin \"secret\" \"aws\" { command = \"aws\" }",
            NOT_DOWNLOADED,
        ),
        ignored(OpenBao, "plugin_auto_download", "plugin_auto_download = true", NOT_DOWNLOADED),
        ignored(OpenBao, "plugin_auto_register", "plugin_auto_register = true", NOT_DOWNLOADED),
        ignored(
            OpenBao,
            "plugin_download_behavior",
            "plugin_download_behavior = \"warn\"",
            NOT_DOWNLOADED,
        ),
        ignored(
            OpenBao,
            "plugin_download_max_size",
            "plugin_download_max_size = 1000",
            NOT_DOWNLOADED,
        ),
        ignored(
            OpenBao,
            "unsafe_cross_namespace_identity",
            "unsafe_cross_namespace_identity = true",
            "there are no namespaces yet",
        ),
        ignored(
            OpenBao,
            "unsafe_allow_api_audit_creation",
            "unsafe_allow_api_audit_creation = true",
            "there are no audit devices yet",
        ),
        ignored(
            OpenBao,
            "allow_audit_log_prefixing",
            "allow_audit_log_prefixing = true",
            "there are no audit devices yet",
        ),
        ignored(
            OpenBao,
            "allow_unauthenticated_workflows",
            "allow_unauthenticated_workflows = true",
            "there are no workflows",
        ),
        ignored(
            OpenBao,
            "unsafe_relative_paths",
            "unsafe_relative_paths = true",
            "paths of requests are never relative",
        ),
    ],
};

/// The `telemetry` block at the top level. Metrics are scraped, never pushed.
pub const TELEMETRY: SettingTable = SettingTable {
    title: "`telemetry`",
    example_context: [
        "storage \"inmem\" {}\nlistener \"tcp\" { tls_disable = true }\ntelemetry {\n",
        "\n}",
    ],
    settings: &[
        honoured(Both, "prometheus_retention_time", "prometheus_retention_time = \"24h\""),
        ignored(
            Both,
            "disable_hostname",
            "disable_hostname = false",
            "metric names never contain the host name",
        )
        .as_is(&["true"]),
        ignored(
            Both,
            "enable_hostname_label",
            "enable_hostname_label = true",
            "metrics have no host label: the scraper adds one",
        ),
        ignored(
            Both,
            "metrics_prefix",
            "metrics_prefix = \"bao\"",
            "the prefixes of metric names are always vault and strongroom",
        )
        .as_is(&["", "vault"]),
        ignored(Both, "usage_gauge_period", "usage_gauge_period = \"5m\"", NO_SUCH_METRICS)
            .as_is(&["none"]),
        ignored(
            Both,
            "maximum_gauge_cardinality",
            "maximum_gauge_cardinality = 500",
            NO_SUCH_METRICS,
        ),
        ignored(Both, "lease_metrics_epsilon", "lease_metrics_epsilon = \"1h\"", NO_SUCH_METRICS),
        ignored(
            Both,
            "num_lease_metrics_buckets",
            "num_lease_metrics_buckets = 168",
            NO_SUCH_METRICS,
        ),
        ignored(
            Both,
            "add_lease_metrics_namespace_labels",
            "add_lease_metrics_namespace_labels = true",
            NO_SUCH_METRICS,
        ),
        ignored(
            Vault,
            "add_mount_point_rollback_metrics",
            "add_mount_point_rollback_metrics = true",
            NO_SUCH_METRICS,
        ),
        ignored(
            Both,
            "filter_default",
            "filter_default = false",
            "all metrics are exported: filter them in the scraper",
        )
        .as_is(&["true"]),
        ignored(
            Both,
            "prefix_filter",
            "prefix_filter = [\"+vault.token\"]",
            "all metrics are exported: filter them in the scraper",
        ),
        ignored(Vault, "opentelemetry_disable", "opentelemetry_disable = false", NOT_PUSHED)
            .as_is(&["true"]),
        ignored(Both, "statsd_address", "statsd_address = \"127.0.0.1:8125\"", NOT_PUSHED),
        ignored(Both, "statsite_address", "statsite_address = \"127.0.0.1:8125\"", NOT_PUSHED),
        ignored(Both, "dogstatsd_addr", "dogstatsd_addr = \"127.0.0.1:8125\"", NOT_PUSHED),
        ignored(Both, "dogstatsd_tags", "dogstatsd_tags = [\"a:b\"]", NOT_PUSHED),
        ignored(Both, "circonus_api_token", "circonus_api_token = \"x\"", NOT_PUSHED),
        ignored(Both, "circonus_api_app", "circonus_api_app = \"x\"", NOT_PUSHED),
        ignored(Both, "circonus_api_url", "circonus_api_url = \"https://x\"", NOT_PUSHED),
        ignored(
            Both,
            "circonus_submission_interval",
            "circonus_submission_interval = \"10s\"",
            NOT_PUSHED,
        ),
        ignored(
            Both,
            "circonus_submission_url",
            "circonus_submission_url = \"https://x\"",
            NOT_PUSHED,
        ),
        ignored(Both, "circonus_check_id", "circonus_check_id = \"x\"", NOT_PUSHED),
        ignored(
            Both,
            "circonus_check_force_metric_activation",
            "circonus_check_force_metric_activation = \"true\"",
            NOT_PUSHED,
        ),
        ignored(
            Both,
            "circonus_check_instance_id",
            "circonus_check_instance_id = \"x\"",
            NOT_PUSHED,
        ),
        ignored(Both, "circonus_check_search_tag", "circonus_check_search_tag = \"x\"", NOT_PUSHED),
        ignored(
            Both,
            "circonus_check_display_name",
            "circonus_check_display_name = \"x\"",
            NOT_PUSHED,
        ),
        ignored(Both, "circonus_check_tags", "circonus_check_tags = \"x\"", NOT_PUSHED),
        ignored(Both, "circonus_broker_id", "circonus_broker_id = \"x\"", NOT_PUSHED),
        ignored(
            Both,
            "circonus_broker_select_tag",
            "circonus_broker_select_tag = \"x\"",
            NOT_PUSHED,
        ),
        ignored(Both, "stackdriver_project_id", "stackdriver_project_id = \"x\"", NOT_PUSHED),
        ignored(Both, "stackdriver_location", "stackdriver_location = \"x\"", NOT_PUSHED),
        ignored(Both, "stackdriver_namespace", "stackdriver_namespace = \"x\"", NOT_PUSHED),
        ignored(Both, "stackdriver_debug_logs", "stackdriver_debug_logs = true", NOT_PUSHED),
    ],
};
