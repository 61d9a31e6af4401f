//! The names of all metrics. Where Vault has the same metric its documented name is used, so that
//! dashboards keep working; metrics of our own start with `strongroom.`. Prometheus shows dots as
//! underscores. Timers are in milliseconds, like Vault's.
//! <https://developer.hashicorp.com/vault/docs/internals/telemetry/metrics>

/// The type of a metric, which determines how it is registered and exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// A count that only grows.
    Counter,
    /// A value that goes up and down.
    Gauge,
    /// Durations in milliseconds, exported as a summary.
    Timer,
}

/// A metric as listed in [`ALL`]: its name, type and help text.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// The name with dots, as code and the JSON form use it.
    pub name: &'static str,
    /// Whether it is a counter, a gauge or a timer.
    pub kind: MetricKind,
    /// Help text for people, printed in the reference page and by Prometheus.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($constant:ident: $kind:ident $name:literal, $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $constant: &str = $name;
        )*
        /// All metrics, for registration and for the reference page.
        pub const ALL: &[Metric] =
            &[$(Metric { name: $name, kind: MetricKind::$kind, help: $help }),*];
    };
}

metrics! {
    HANDLE_REQUEST: Timer "vault.core.handle_request", "Time to answer an API request";
    REQUESTS: Counter "strongroom.core.requests", "API requests answered, by outcome";
    REQUESTS_REFUSED: Counter "strongroom.core.requests_refused", "API requests refused by admission control, by mount and limit; `unknown` is what lies under no mount";
    IN_FLIGHT: Gauge "vault.core.in_flight_requests", "API requests being answered";
    UNSEALED: Gauge "vault.core.unsealed", "1 while unsealed, 0 while sealed";
    ROUTE: Timer "vault.route", "Time an engine took, by mount and operation";
    TASK_RUNS: Counter "strongroom.engine.task_runs", "Runs of the background tasks of linked-in engines, by mount, task and outcome";
    MOUNTS: Gauge "vault.core.mount_table.num_entries", "Mounts, by kind";
    LEASES_CREATED: Counter "strongroom.expire.created", "Leases created";
    LEASE_COUNT: Gauge "vault.expire.num_leases", "Leases, counted now and then";
    LEASES_IRREVOCABLE: Gauge "vault.expire.num_irrevocable_leases", "Leases that can't be revoked, counted now and then";
    LEASE_RENEW: Timer "vault.expire.renew", "Time to renew a lease";
    LEASE_REVOKE: Timer "vault.expire.revoke", "Time to revoke what a lease is for, attempts that fail included";
    LEASE_REVOKE_FAILED: Counter "strongroom.expire.revoke_failed", "Attempts to revoke that failed";
    TOKEN_CREATED: Counter "vault.token.creation", "Tokens created";
    TOKEN_LOOKUP: Counter "strongroom.token.lookups", "Tokens looked up, by outcome";
    TOKEN_REVOKED: Counter "strongroom.token.revoked", "Tokens revoked, children included";
    TOKEN_REVOKING: Gauge "strongroom.token.revoking", "Tokens whose revocation is under way";
    STORAGE_COMMIT: Timer "strongroom.storage.commit", "Time until a batch is on disk";
    STORAGE_GET: Timer "strongroom.storage.get", "Time to read an entry from the store";
    STORAGE_SCAN: Timer "strongroom.storage.scan", "Time to read a page of keys from the store";
    STORAGE_ERRORS: Counter "strongroom.storage.errors", "Storage operations that failed, by operation";
    PLUGIN_CALLS: Timer "strongroom.plugin.call", "Time of a call to a plug-in process, by mount type and call";
    PLUGIN_ERRORS: Counter "strongroom.plugin.errors", "Calls to a plug-in process that failed, by mount type";
    PLUGIN_STARTS: Counter "strongroom.plugin.starts", "Plug-in processes started, by plug-in";
    PLUGIN_CRASHES: Counter "strongroom.plugin.crashes", "Plug-in processes that ended by themselves, by plug-in";
    PLUGIN_PROCESSES: Gauge "strongroom.plugin.processes", "Plug-in processes running, by plug-in";
    PLUGIN_MEMORY: Gauge "strongroom.plugin.resident_bytes", "Resident memory of plug-in processes, by plug-in";
    PLUGIN_LOG_DROPPED: Counter "strongroom.plugin.log_lines_dropped", "Log lines of plug-ins beyond the rate limit, by plug-in";
}

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn the_page_of_the_book_is_current() {
        let page = include_str!("../../../docs/src/reference/metrics.md");
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
        assert_eq!(rows.len(), ALL.len());
        for (row, metric) in rows.iter().zip(ALL) {
            let kind = format!("{:?}", metric.kind).to_lowercase();
            assert_eq!(*row, format!("| `{}` | {kind} | {} |", metric.name, metric.help));
        }
    }

    #[test]
    fn names_are_unique_and_have_their_prefix() {
        for (index, metric) in ALL.iter().enumerate() {
            assert!(metric.name.starts_with("vault.") || metric.name.starts_with("strongroom."));
            assert!(
                ALL[index + 1..].iter().all(|other| other.name != metric.name),
                "{}",
                metric.name
            );
        }
    }
}
