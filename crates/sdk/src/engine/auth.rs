//! [`EngineAuth`]: what an auth method says of somebody who has logged in.

use std::collections::BTreeMap;
use std::fmt;

use strongroom_types::{RawObject, Ttl};

use super::response::DataResponse;

/// A login: the terms of the token the core is to make. Auth methods answer it on paths that need
/// no token, and again when such a token is renewed. The token itself is the core's business.
#[derive(Clone)]
pub struct EngineAuth {
    /// What the client gets beside the token.
    pub data: DataResponse,
    /// What the core keeps and gives back on renewal.
    pub internal: RawObject,
    /// For logs: the user's name. The core puts the mount's name in front.
    pub display_name: String,
    /// What the token may do, as the method names it.
    pub policies: Vec<String>,
    /// Leave the default policy out.
    pub no_default_policy: bool,
    /// Shown to the client, and kept with the token.
    pub metadata: BTreeMap<String, String>,
    /// The lifetime; zero for the mount's default.
    pub ttl: Ttl,
    /// The longest lifetime; zero for the mount's.
    pub max_ttl: Ttl,
    /// An age that nothing extends; zero for none.
    pub explicit_max_ttl: Ttl,
    /// For a periodic token: each renewal gives this lifetime; zero for others.
    pub period: Ttl,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// Requests the token may make; zero for any number.
    pub num_uses: u32,
    /// Addresses or CIDR blocks it may be used from; none for any.
    pub bound_cidrs: Vec<String>,
    /// The kind of token.
    pub token_type: TokenType,
    /// Who this is in the method's own world.
    pub alias: Option<IdentityAlias>,
    /// Groups of the method's own world.
    pub group_aliases: Vec<IdentityAlias>,
}

impl EngineAuth {
    /// A login on the mount's terms, without a policy of its own.
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
    /// Of metadata and what is kept nothing: methods put there what they like.
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

/// The kinds of tokens a method asks for. The mount may decide otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenType {
    /// Whatever the mount gives.
    #[default]
    Default,
    /// A stored token.
    Service,
    /// A token that is not stored.
    Batch,
    /// A stored token, unless the mount says otherwise.
    DefaultService,
    /// A token that is not stored, unless the mount says otherwise.
    DefaultBatch,
}

impl TokenType {
    /// Its number on the plug-in wire.
    pub fn to_wire_number(self) -> u32 {
        match self {
            Self::Default => 0,
            Self::Service => 1,
            Self::Batch => 2,
            Self::DefaultService => 3,
            Self::DefaultBatch => 4,
        }
    }

    /// The kind of this number; none for kinds this server can't make.
    pub fn from_wire_number(number: u32) -> Option<Self> {
        let all =
            [Self::Default, Self::Service, Self::Batch, Self::DefaultService, Self::DefaultBatch];
        all.into_iter().find(|kind| kind.to_wire_number() == number)
    }
}

/// A name in the method's own world: of a user or a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdentityAlias {
    /// The name.
    pub name: String,
    /// Whatever the method knows beside it.
    pub metadata: BTreeMap<String, String>,
    /// Kept in this cluster.
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
