//! Every metric, named once. Vault's documented names are used where Vault has the same figure, so
//! that dashboards keep working; figures of our own start with `strongroom.`. Prometheus shows dots
//! as underscores. Timers are in milliseconds, as Vault's are.
//!
//! <https://developer.hashicorp.com/vault/docs/internals/telemetry/metrics>

/// What a metric counts or measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Milliseconds, as a summary.
    Timer,
}

/// A metric: its name, kind and meaning.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// With dots.
    pub name: &'static str,
    /// What it counts or measures.
    pub kind: MetricKind,
    /// For people.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($constant:ident: $kind:ident $name:literal, $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $constant: &str = $name;
        )*
        /// All of them, for the reference page and for registration.
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
