//! Where two answers may differ, always: HashiCorp's servers say more than the reference, and ours
//! says what both do; and what the reference says of features that are its alone. This is the one
//! list of such rules, each with its reason.

struct Rule {
    /// What is asked: method and path, `*` for any rest.
    ask: &'static str,
    /// Where in the body: JSON pointers, `*` for one name.
    at: &'static [&'static str],
    #[expect(dead_code, reason = "it is read by people")]
    because: &'static str,
}

/// What our answer may have and the reference's not.
const EXTRA: &[Rule] = &[
    Rule { ask: "*", at: &["/mount_type"], because: "HashiCorp's envelope since 1.17" },
    Rule {
        ask: "GET sys/health*",
        at: &[
            "/performance_standby",
            "/enterprise",
            "/echo_duration_ms",
            "/clock_skew_ms",
            "/replication_primary_canary_age_ms",
        ],
        because: "HashiCorp's health; strict clients fail without them",
    },
    Rule { ask: "GET sys/seal-status", at: &["/build_date"], because: "HashiCorp's name of it" },
    Rule { ask: "PUT sys/unseal", at: &["/build_date"], because: "HashiCorp's name of it" },
    Rule {
        ask: "GET sys/leader",
        at: &[
            "/is_self",
            "/active_time",
            "/leader_address",
            "/leader_cluster_address",
            "/performance_standby",
            "/performance_standby_last_remote_wal",
        ],
        because: "HashiCorp's leader without high availability",
    },
];

/// What the reference's answer may have and ours not.
const MISSING: &[Rule] = &[
    Rule {
        ask: "*",
        at: &["/openapi"],
        because: "help comes without a description for machines as yet",
    },
    Rule {
        ask: "GET sys/mounts",
        at: &["/~1data~1sys~01~1config/passthrough_request_headers"],
        because: "which headers the core itself sees is its own affair",
    },
    Rule {
        ask: "GET sys/polic*",
        at: &[
            "/data/allow_slashes_in_identity_templates",
            "/data/allow_wildcards_in_identity_templates",
            "/data/cas_required",
            "/data/modified",
            "/data/version",
            "/allow_slashes_in_identity_templates",
            "/allow_wildcards_in_identity_templates",
            "/cas_required",
            "/modified",
            "/version",
        ],
        because: "settings of policies that the reference alone has",
    },
];

/// Whether our answer may have something of its own there.
pub fn extra(ask: &str, at: &str) -> bool {
    any(EXTRA, ask, at)
}

/// Whether our answer may lack what the reference has there.
pub fn missing(ask: &str, at: &str) -> bool {
    any(MISSING, ask, at)
}

fn any(rules: &[Rule], ask: &str, at: &str) -> bool {
    let asked = |rule: &&Rule| match rule.ask.strip_suffix('*') {
        Some(prefix) => ask.starts_with(prefix),
        None => ask == rule.ask,
    };
    rules.iter().filter(asked).any(|rule| rule.at.iter().any(|pattern| fits(pattern, at)))
}

fn fits(pattern: &str, at: &str) -> bool {
    let (want, have): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), at.split('/').collect());
    want.len() == have.len()
        && want.iter().zip(have).all(|(want, have)| *want == "*" || *want == have)
}
