//! [`TokenType`]: what a token is, and [`TokenTypeSetting`]: which of the two a mount, a token role
//! or an auth method asks for.

use serde::{Deserialize, Serialize};

/// The type of a token, which determines whether the server stores it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenType {
    /// A service token, which has a stored record and can be renewed and revoked.
    #[default]
    Service,
    /// A batch token, which carries its own encrypted record and is not stored.
    Batch,
}

impl TokenType {
    /// The name of the type in the API, `service` or `batch`, which logins and token look-ups
    /// return.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Batch => "batch",
        }
    }

    /// The type with this name in the API; `None` for any other text. Names are compared exactly,
    /// with case.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Service, Self::Batch].into_iter().find(|it| it.as_str() == name)
    }
}

/// The setting `token_type` of a mount or a token role, which either fixes the type of the tokens or
/// is a default; and what an auth method asks for as the type of a login's token. Serialises as its
/// name in the API, which is also its stored form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenTypeSetting {
    /// Service tokens, unless another type is requested.
    #[default]
    DefaultService,
    /// Batch tokens, unless service tokens are requested.
    DefaultBatch,
    /// Always service tokens, whatever is requested.
    Service,
    /// Always batch tokens, whatever is requested.
    Batch,
}

impl TokenTypeSetting {
    /// The value of `token_type` in the API, such as `default-service`. [`TokenTypeSetting::parse`]
    /// accepts the same names.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DefaultService => "default-service",
            Self::DefaultBatch => "default-batch",
            Self::Service => "service",
            Self::Batch => "batch",
        }
    }

    /// The setting with this name in the API. The empty name is the default, `default-service`;
    /// `None` for any other text. Names are compared exactly, with case.
    pub fn parse(name: &str) -> Option<Self> {
        let all = [Self::DefaultService, Self::DefaultBatch, Self::Service, Self::Batch];
        let named = all.into_iter().find(|it| it.as_str() == name);
        named.or_else(|| name.is_empty().then(Self::default))
    }

    /// The type of the token to create under this setting of a mount or role. `requested` is what
    /// the auth method or the request for the token asks for; `None` if it leaves the choice to the
    /// setting. A request for `default-batch` counts as one for `batch`, and one for
    /// `default-service` as `None`.
    pub fn resolve_type(self, requested: Option<Self>) -> TokenType {
        match (self, requested) {
            (Self::Service, _) => TokenType::Service,
            (Self::Batch, _) => TokenType::Batch,
            (Self::DefaultService, Some(Self::Batch | Self::DefaultBatch)) => TokenType::Batch,
            (Self::DefaultService, _) => TokenType::Service,
            (Self::DefaultBatch, Some(Self::Service)) => TokenType::Service,
            (Self::DefaultBatch, _) => TokenType::Batch,
        }
    }
}

impl From<TokenType> for TokenTypeSetting {
    /// The setting that always gives tokens of this type.
    fn from(token_type: TokenType) -> Self {
        match token_type {
            TokenType::Service => Self::Service,
            TokenType::Batch => Self::Batch,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::TokenTypeSetting::{Batch, DefaultBatch, DefaultService, Service};
    use super::*;

    #[test]
    fn names_round_trip() {
        for token_type in [TokenType::Service, TokenType::Batch] {
            assert_eq!(TokenType::parse(token_type.as_str()), Some(token_type));
        }
        for setting in [DefaultService, DefaultBatch, Service, Batch] {
            assert_eq!(TokenTypeSetting::parse(setting.as_str()), Some(setting));
            let json = serde_json::to_string(&setting).unwrap();
            assert_eq!(json, format!("\"{}\"", setting.as_str()));
            assert_eq!(serde_json::from_str::<TokenTypeSetting>(&json).unwrap(), setting);
        }
        assert_eq!(TokenTypeSetting::parse(""), Some(DefaultService));
        assert_eq!(TokenType::parse(""), None);
        for unknown in ["Service", "default", " batch"] {
            assert_eq!((TokenTypeSetting::parse(unknown), TokenType::parse(unknown)), (None, None));
        }
    }

    #[test]
    fn setting_and_request_determine_the_type() {
        let requests = [None, Some(DefaultService), Some(DefaultBatch), Some(Service), Some(Batch)];
        for (setting, expected) in [
            (DefaultService, ["service", "service", "batch", "service", "batch"]),
            (DefaultBatch, ["batch", "batch", "batch", "service", "batch"]),
            (Service, ["service"; 5]),
            (Batch, ["batch"; 5]),
        ] {
            let types = requests.map(|requested| setting.resolve_type(requested).as_str());
            assert_eq!(types, expected, "{setting:?}");
        }
    }
}
