//! The built-in policies, which exist on every server.

/// Initial text of the policy `default`, which every token gets unless its creator opts out.
/// Operators may change it.
pub const DEFAULT_POLICY: &str = r#"# A token may look at itself, renew itself and give itself up.
path "auth/token/lookup-self" {
    capabilities = ["read"]
}
path "auth/token/renew-self" {
    capabilities = ["update"]
}
path "auth/token/revoke-self" {
    capabilities = ["update"]
}

# It may ask what it is allowed to do.
path "sys/capabilities-self" {
    capabilities = ["update"]
}
path "sys/internal/ui/resultant-acl" {
    capabilities = ["read"]
}

# Whoever knows a lease may look at it and renew it.
path "sys/leases/lookup" {
    capabilities = ["update"]
}
path "sys/leases/renew" {
    capabilities = ["update"]
}
path "sys/renew" {
    capabilities = ["update"]
}

# A place of its own.
path "cubbyhole/*" {
    capabilities = ["create", "read", "update", "delete", "list"]
}

# It may hand a secret on in wrapping.
path "sys/wrapping/wrap" {
    capabilities = ["update"]
}
path "sys/wrapping/lookup" {
    capabilities = ["update"]
}
path "sys/wrapping/unwrap" {
    capabilities = ["update"]
}

# Tools without state.
path "sys/tools/hash" {
    capabilities = ["update"]
}
path "sys/tools/hash/*" {
    capabilities = ["update"]
}
"#;

/// Policy of wrapping tokens: unwrap the response, by `sys/wrapping/unwrap` or as old clients do by
/// reading `cubbyhole/response`. It can't be changed or assigned to other tokens.
pub const RESPONSE_WRAPPING_POLICY: &str = r#"
path "cubbyhole/response" {
    capabilities = ["create", "read"]
}
path "sys/wrapping/unwrap" {
    capabilities = ["update"]
}
"#;

/// Policy names that can't be written or deleted, because the server defines their meaning.
pub const RESERVED_POLICIES: [&str; 3] = ["root", "response-wrapping", "control-group"];
