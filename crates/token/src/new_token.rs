//! [`NewToken`]: the properties of a token that is to be created.

use std::collections::BTreeMap;

use strongroom_types::{Cidr, PolicyName, Secret, Ttl};

use crate::token::TokenKey;

/// The properties of a token to be created by [`TokenStore::create`] or
/// [`TokenStore::create_batch_token`].
///
/// The constructors take everything that decides what a token may do and when it ends; what can
/// only restrict or describe it is optional, see [`TokenOptions`].
///
/// [`TokenStore::create`]: crate::TokenStore::create
/// [`TokenStore::create_batch_token`]: crate::TokenStore::create_batch_token
pub struct NewToken {
    pub(crate) id: Option<Secret<String>>,
    pub(crate) parent: Option<TokenKey>,
    pub(crate) policies: Vec<PolicyName>,
    pub(crate) path: String,
    pub(crate) display_name: String,
    pub(crate) meta: Option<BTreeMap<String, String>>,
    pub(crate) ttl: Ttl,
    pub(crate) renewable: bool,
    pub(crate) period: Ttl,
    pub(crate) explicit_max_ttl: Ttl,
    pub(crate) num_uses: u32,
    pub(crate) role: Option<String>,
    pub(crate) bound_cidrs: Vec<Cidr>,
}

/// How long a new token lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenLifetime {
    /// The granted lifetime; zero for a token that doesn't expire.
    pub ttl: Ttl,
    /// The lifetime given by each renewal of a periodic token; zero for others.
    pub period: Ttl,
    /// The maximum age, which no renewal can extend; zero for none.
    pub explicit_max: Ttl,
    /// Whether the token can be renewed.
    pub renewable: bool,
}

/// What a new token need not have. The default is a random id and none of the rest.
#[derive(Default)]
pub struct TokenOptions {
    /// A custom id; `None` for a random one.
    pub id: Option<Secret<String>>,
    /// Metadata stored with the token.
    pub meta: Option<BTreeMap<String, String>>,
    /// Number of requests the token may make; zero for no limit.
    pub num_uses: u32,
    /// Name of the token role it is created through.
    pub role: Option<String>,
    /// Networks the token may be used from; empty for no restriction.
    pub bound_cidrs: Vec<Cidr>,
}

impl NewToken {
    /// A token that is revoked together with `parent`. `path` is the API path at which it is
    /// created, such as `auth/token/create`; `display_name` is shown by look-ups and passed to
    /// engines.
    pub fn child(
        parent: TokenKey,
        path: String,
        display_name: String,
        policies: Vec<PolicyName>,
        lifetime: TokenLifetime,
    ) -> Self {
        let orphan = Self::orphan(path, display_name, policies, lifetime);
        Self { parent: Some(parent), ..orphan }
    }

    /// A token without a parent. The parameters are those of [`NewToken::child`].
    pub fn orphan(
        path: String,
        display_name: String,
        policies: Vec<PolicyName>,
        lifetime: TokenLifetime,
    ) -> Self {
        let TokenLifetime { ttl, period, explicit_max, renewable } = lifetime;
        Self {
            id: None,
            parent: None,
            policies,
            path,
            display_name,
            meta: None,
            ttl,
            renewable,
            period,
            explicit_max_ttl: explicit_max,
            num_uses: 0,
            role: None,
            bound_cidrs: Vec::new(),
        }
    }

    /// The initial root token: an orphan with the policy `root` that never expires. `id` is a chosen
    /// id; `None` for a random one.
    pub fn root(id: Option<Secret<String>>) -> Self {
        let (path, name) = ("auth/token/root".to_owned(), "root".to_owned());
        Self::orphan(path, name, vec![PolicyName::root()], TokenLifetime::of_ttl(Ttl::ZERO))
            .with_options(TokenOptions { id, ..TokenOptions::default() })
    }

    /// A token that unwraps one response: an orphan with one use, which cannot be renewed. `path` is
    /// that of the request whose response is wrapped.
    pub fn wrapping(path: &str, display_name: &str, ttl: Ttl) -> Self {
        let lifetime = TokenLifetime { explicit_max: ttl, ..TokenLifetime::of_ttl(ttl) };
        let policies = vec![PolicyName::response_wrapping()];
        Self::orphan(path.to_owned(), display_name.to_owned(), policies, lifetime)
            .with_options(TokenOptions { num_uses: 1, ..TokenOptions::default() })
    }

    /// Replaces the options, which constructors leave at their defaults unless they say otherwise.
    #[must_use]
    pub fn with_options(self, options: TokenOptions) -> Self {
        let TokenOptions { id, meta, num_uses, role, bound_cidrs } = options;
        Self { id, meta, num_uses, role, bound_cidrs, ..self }
    }

    /// The token it is created with; `None` for an orphan.
    pub fn parent(&self) -> Option<&TokenKey> {
        self.parent.as_ref()
    }

    /// The names of its policies.
    pub fn policies(&self) -> &[PolicyName] {
        &self.policies
    }
}

impl TokenLifetime {
    /// A lifetime that can't be renewed and is limited by nothing else. Zero for a token that
    /// doesn't expire.
    pub fn of_ttl(ttl: Ttl) -> Self {
        Self { ttl, period: Ttl::ZERO, explicit_max: Ttl::ZERO, renewable: false }
    }
}
