//! The policies and lifetimes of a token.

use strongroom_sdk::{CommaList, Context, Document, DurationSecs, Error, Lifetime};

/// The lifetimes of leases for roles that set none.
#[derive(Document)]
#[document(path = "config/lease", validate = validate_lease)]
pub(crate) struct NomadLeaseConfig {
    /// Lifetime of a lease until it is renewed; 0 for the mount's default.
    ttl: DurationSecs,
    /// Lifetime beyond which a lease can't be renewed; 0 for the mount's maximum.
    max_ttl: DurationSecs,
}

/// The policies and lifetimes of a token.
#[derive(Document)]
#[document(path = "role/{name}", validate = validate_role)]
pub(crate) struct Role {
    /// Nomad policies of the token; required for a client token, empty for a management token.
    pub(crate) policies: CommaList,
    /// Whether the token is valid in all regions.
    pub(crate) global: bool,
    /// Type of the token: client or management.
    #[field(rename = "type", default = "client")]
    pub(crate) token_type: String,
    /// Lifetime of a lease until it is renewed; 0 for that of config/lease.
    ttl: DurationSecs,
    /// Lifetime beyond which a lease can't be renewed; 0 for that of config/lease.
    max_ttl: DurationSecs,
}

impl NomadLeaseConfig {
    /// The lifetimes of `config/lease`, which apply to roles that set none.
    pub(crate) async fn load_lifetime(context: &Context) -> Result<Lifetime, Error> {
        let lease = context.documents().get::<Self>(&[]).await?;
        Ok(lease.as_deref().map(Self::lifetime).unwrap_or_default())
    }

    fn lifetime(&self) -> Lifetime {
        Lifetime { ttl: self.ttl.0, max_ttl: self.max_ttl.0 }
    }
}

impl Role {
    /// The role's own lifetimes.
    pub(crate) fn lifetime(&self) -> Lifetime {
        Lifetime { ttl: self.ttl.0, max_ttl: self.max_ttl.0 }
    }
}

fn validate_lease(lease: &NomadLeaseConfig) -> Result<(), String> {
    lease.lifetime().check()
}

/// Validates a role. Clients of Vault rely on these error texts.
fn validate_role(role: &Role) -> Result<(), String> {
    let wrong = match (role.token_type.as_str(), role.policies.0.is_empty()) {
        ("client", false) | ("management", true) => return role.lifetime().check(),
        ("client", true) => "policies cannot be empty when using client tokens",
        ("management", false) => "policies should be empty when using management tokens",
        _ => "type must be \"client\" or \"management\"",
    };
    Err(wrong.to_owned())
}
