//! [`EngineAuth`]: the result of a successful login at an auth method.

use std::collections::BTreeMap;
use std::fmt;

use strongroom_types::{RawObject, Ttl};

use crate::data_response::DataResponse;

/// A successful login: the properties of the token that the core is to create. An auth method
/// returns it on its unauthenticated login paths, and again when such a token is renewed. The auth
/// method never receives the token itself.
#[derive(Clone)]
pub struct EngineAuth {
    /// Data returned to the client beside the token.
    pub data: DataResponse,
    /// Data that the core stores with the token and passes back on renewal.
    pub internal: RawObject,
    /// The user's name, for logs. The core prefixes it with the mount's name.
    pub display_name: String,
    /// Names of the policies that the auth method attaches to the token.
    pub policies: Vec<String>,
    /// Whether to leave out the `default` policy, which is otherwise added.
    pub no_default_policy: bool,
    /// Metadata shown to the client and stored with the token.
    pub metadata: BTreeMap<String, String>,
    /// The token's lifetime; zero for the mount's default.
    pub ttl: Ttl,
    /// The maximum lifetime; zero for the mount's maximum.
    pub max_ttl: Ttl,
    /// The explicit maximum age of the token, which no renewal extends; zero for none.
    pub explicit_max_ttl: Ttl,
    /// For a periodic token, the lifetime that each renewal sets; zero if the token isn't periodic.
    pub period: Ttl,
    /// Whether the token can be renewed.
    pub renewable: bool,
    /// How many requests the token may make; zero for unlimited.
    pub num_uses: u32,
    /// Addresses or CIDR blocks that the token may be used from; empty for any.
    pub bound_cidrs: Vec<String>,
    /// The token type that the method asks for.
    pub token_type: TokenType,
    /// The user's identity in the auth method, which the core maps to an entity.
    pub alias: Option<IdentityAlias>,
    /// The groups in the auth method that the user belongs to.
    pub group_aliases: Vec<IdentityAlias>,
}

impl EngineAuth {
    /// A login with the mount's lifetimes, no policies of its own, and not renewable.
    pub fn new(display_name: impl Into<String>) -> Self {
        Self {
            data: DataResponse::new(RawObject::null()),
            internal: RawObject::empty(),
            display_name: display_name.into(),
            policies: Vec::new(),
            no_default_policy: false,
            metadata: BTreeMap::new(),
            ttl: Ttl::ZERO,
            max_ttl: Ttl::ZERO,
            explicit_max_ttl: Ttl::ZERO,
            period: Ttl::ZERO,
            renewable: false,
            num_uses: 0,
            bound_cidrs: Vec::new(),
            token_type: TokenType::Default,
            alias: None,
            group_aliases: Vec::new(),
        }
    }
}

impl fmt::Debug for EngineAuth {
    /// Prints no metadata values and no internal data: auth methods may store secrets there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineAuth")
            .field("display_name", &self.display_name)
            .field("policies", &self.policies)
            .field("metadata", &self.metadata.keys())
            .field("ttl", &self.ttl)
            .field("token_type", &self.token_type)
            .finish_non_exhaustive()
    }
}

/// The token types that an auth method can ask for. The mount's configuration may override them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenType {
    /// The type that the mount is configured for.
    #[default]
    Default,
    /// A service token: stored, renewable and revocable.
    Service,
    /// A batch token: encrypted, and not stored by the server.
    Batch,
    /// A service token, unless the mount is configured for another type.
    DefaultService,
    /// A batch token, unless the mount is configured for another type.
    DefaultBatch,
}

impl TokenType {
    /// The number of this type on the plug-in wire.
    pub fn to_wire_number(self) -> u32 {
        match self {
            Self::Default => 0,
            Self::Service => 1,
            Self::Batch => 2,
            Self::DefaultService => 3,
            Self::DefaultBatch => 4,
        }
    }

    /// The type with this number on the plug-in wire; `None` for types that this server can't
    /// create.
    pub fn from_wire_number(number: u32) -> Option<Self> {
        let all =
            [Self::Default, Self::Service, Self::Batch, Self::DefaultService, Self::DefaultBatch];
        all.into_iter().find(|kind| kind.to_wire_number() == number)
    }
}

/// The name of a user or group in an auth method, which the core maps to an entity or group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdentityAlias {
    /// The name of the user in the auth method.
    pub name: String,
    /// Further metadata from the auth method.
    pub metadata: BTreeMap<String, String>,
    /// Whether the alias stays in this cluster and isn't replicated.
    pub local: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_prints_what_may_be_a_secret() {
        let auth = EngineAuth {
            internal: RawObject::from_own_json(r#"{"ticket":"hunter2"}"#),
            metadata: [("ticket".to_owned(), "hunter2".to_owned())].into(),
            ..EngineAuth::new("bob")
        };
        let printed = format!("{auth:?}");
        assert!(!printed.contains("hunter2") && printed.contains("bob"), "{printed}");
    }

    #[test]
    fn kinds_of_tokens_have_the_numbers_of_the_wire() {
        for number in 0..5 {
            assert_eq!(
                TokenType::from_wire_number(number).map(TokenType::to_wire_number),
                Some(number)
            );
        }
        assert_eq!(TokenType::from_wire_number(5), None);
    }
}
