//! Where two answers may differ, always: HashiCorp's servers say more than the reference, and ours
//! says what both do; and what the reference says of features that are its alone. This is the one
//! list of such rules, each with its reason.

struct AllowedDifference {
    /// What is asked: method and path, `*` for any rest.
    request: &'static str,
    /// Where in the body: JSON pointers, `*` for one name.
    pointers: &'static [&'static str],
    #[expect(dead_code, reason = "it is read by people")]
    because: &'static str,
}

/// What our answer may have and the reference's not.
const ALLOWED_EXTRA: &[AllowedDifference] = &[
    AllowedDifference {
        request: "*",
        pointers: &["/mount_type"],
        because: "HashiCorp's envelope since 1.17",
    },
    AllowedDifference {
        request: "*",
        pointers: &["/request_id"],
        because: "an error with a 5xx status names the request, as envelopes do",
    },
    AllowedDifference {
        request: "GET sys/health*",
        pointers: &[
            "/performance_standby",
            "/enterprise",
            "/echo_duration_ms",
            "/clock_skew_ms",
            "/replication_primary_canary_age_ms",
        ],
        because: "HashiCorp's health; strict clients fail without them",
    },
    AllowedDifference {
        request: "GET sys/seal-status",
        pointers: &["/build_date"],
        because: "HashiCorp's name of it",
    },
    AllowedDifference {
        request: "PUT sys/unseal",
        pointers: &["/build_date"],
        because: "HashiCorp's name of it",
    },
    AllowedDifference {
        request: "GET sys/leader",
        pointers: &[
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
const ALLOWED_MISSING: &[AllowedDifference] = &[
    AllowedDifference {
        request: "*",
        pointers: &["/openapi"],
        because: "help comes without a description for machines as yet",
    },
    AllowedDifference {
        request: "GET sys/mounts",
        pointers: &["/~1data~1sys~01~1config/passthrough_request_headers"],
        because: "which headers the core itself sees is its own affair",
    },
    AllowedDifference {
        request: "GET sys/polic*",
        pointers: &[
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
pub fn may_have_extra(ask: &str, at: &str) -> bool {
    any_rule_matches(ALLOWED_EXTRA, ask, at)
}

/// Whether our answer may lack what the reference has there.
pub fn may_be_missing(ask: &str, at: &str) -> bool {
    any_rule_matches(ALLOWED_MISSING, ask, at)
}

fn any_rule_matches(rules: &[AllowedDifference], ask: &str, at: &str) -> bool {
    let asked = |rule: &&AllowedDifference| match rule.request.strip_suffix('*') {
        Some(prefix) => ask.starts_with(prefix),
        None => ask == rule.request,
    };
    rules
        .iter()
        .filter(asked)
        .any(|rule| rule.pointers.iter().any(|pattern| pointer_matches(pattern, at)))
}

fn pointer_matches(pattern: &str, at: &str) -> bool {
    let (want, have): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), at.split('/').collect());
    want.len() == have.len()
        && want.iter().zip(have).all(|(want, have)| *want == "*" || *want == have)
}
