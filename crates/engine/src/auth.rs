//! [`EngineAuth`]: the result of a successful login at an auth method.

use std::collections::BTreeMap;
use std::fmt;

use strongroom_types::{RawObject, TokenTypeSetting, Ttl};

use crate::data_response::DataResponse;
use crate::error::EngineError;

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
    /// The token type that the method asks for; `None` for the mount's default. Where the mount's
    /// `token_type` is `service` or `batch`, that is used instead; see
    /// [`TokenTypeSetting::resolve_type`].
    pub token_type: Option<TokenTypeSetting>,
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
            token_type: None,
            alias: None,
            group_aliases: Vec::new(),
        }
    }

    /// The number of [`token_type`](Self::token_type) on the plug-in wire and in stored logins,
    /// from 0 for `None` to 4.
    pub fn token_type_number(&self) -> u32 {
        match self.token_type {
            None => 0,
            Some(TokenTypeSetting::Service) => 1,
            Some(TokenTypeSetting::Batch) => 2,
            Some(TokenTypeSetting::DefaultService) => 3,
            Some(TokenTypeSetting::DefaultBatch) => 4,
        }
    }

    /// The value of [`token_type`](Self::token_type) with this number, as
    /// [`token_type_number`](Self::token_type_number) returns it.
    ///
    /// # Errors
    ///
    /// `Internal` for the numbers of types that this server can't create, and unknown ones.
    pub fn token_type_from_number(number: u32) -> Result<Option<TokenTypeSetting>, EngineError> {
        match number {
            0 => Ok(None),
            1 => Ok(Some(TokenTypeSetting::Service)),
            2 => Ok(Some(TokenTypeSetting::Batch)),
            3 => Ok(Some(TokenTypeSetting::DefaultService)),
            4 => Ok(Some(TokenTypeSetting::DefaultBatch)),
            _ => Err(EngineError::internal("the login has an invalid token_type")),
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
    fn token_types_have_the_numbers_of_the_wire() {
        let settings = [
            None,
            Some(TokenTypeSetting::Service),
            Some(TokenTypeSetting::Batch),
            Some(TokenTypeSetting::DefaultService),
            Some(TokenTypeSetting::DefaultBatch),
        ];
        for (number, token_type) in (0..).zip(settings) {
            let auth = EngineAuth { token_type, ..EngineAuth::new("bob") };
            assert_eq!(auth.token_type_number(), number);
            assert_eq!(EngineAuth::token_type_from_number(number).unwrap(), token_type);
        }
        assert!(EngineAuth::token_type_from_number(5).is_err());
    }
}
