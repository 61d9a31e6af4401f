//! The policies and lifetimes of a token.

use strongroom_sdk::{CommaList, Document, LifetimeFields};

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
    #[field(embed)]
    pub(crate) lifetime: LifetimeFields,
}

/// Validates a role. Clients of Vault rely on these error texts.
fn validate_role(role: &Role) -> Result<(), String> {
    let wrong = match (role.token_type.as_str(), role.policies.0.is_empty()) {
        ("client", false) | ("management", true) => return Ok(()),
        ("client", true) => "policies cannot be empty when using client tokens",
        ("management", false) => "policies should be empty when using management tokens",
        _ => "type must be \"client\" or \"management\"",
    };
    Err(wrong.to_owned())
}
