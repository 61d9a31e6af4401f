//! [`PathAccess`]: how a path is authorized, and [`PolicyPath`]: the form of the path on which
//! policies are evaluated.

use strongroom_policy::{Acl, AclRequest, Capabilities, Capability, PathCase};

/// Whether a path requires a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenRequirement {
    /// The request needs a valid token whose policies allow it.
    #[default]
    Required,
    /// The path is unauthenticated, but a valid token identifies the caller. No use of it is
    /// counted, and an invalid one is ignored.
    Optional,
    /// The path is unauthenticated and a token is not looked up, as at a login path.
    Ignored,
}

/// How a path is authorized.
#[derive(Clone, Debug)]
pub struct PathAccess {
    /// Whether the path requires a token.
    pub token: TokenRequirement,
    /// Whether the path requires `sudo` in addition to the ordinary capability.
    pub requires_sudo: bool,
    /// The form of the path on which policies are evaluated.
    pub policy_path: PolicyPath,
    /// Whether the request names a wrapping token.
    pub wrapping_token: WrappingTokenUse,
}

impl PathAccess {
    /// For a path under no mount, and for a mount whose engine is not running: a token is required,
    /// and policies apply in any case of letters.
    pub const UNKNOWN: Self = Self {
        token: TokenRequirement::Required,
        requires_sudo: false,
        policy_path: PolicyPath::MAY_FOLD,
        wrapping_token: WrappingTokenUse::None,
    };
}

/// Whether a request names a wrapping token, which is checked before the caller is authenticated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WrappingTokenUse {
    /// The request names none.
    #[default]
    None,
    /// The request names one in the field `token`, or is made with it.
    Named,
    /// As `Named`, and a request made with the wrapping token itself consumes it.
    Unwraps,
}

/// The form of a path on which policies are evaluated: the one that the backend itself uses, so
/// that different spellings of a path cannot bypass a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyPath {
    /// The canonical path of an engine that folds case; `None` if it equals the request's path.
    pub canonical: Option<String>,
    /// Whether the backend may treat paths that differ only in case as the same.
    pub case: PathCase,
    /// The canonical spelling of one of the server's own paths, if the request used another.
    /// Policies must allow both.
    pub canonical_spelling: Option<String>,
    /// The other of two API paths that reach the same setting of the server. A deny on it applies
    /// here as well.
    pub aliased_path: Option<String>,
}

impl PolicyPath {
    /// For a backend that uses the path as given.
    pub const AS_GIVEN: Self = Self {
        canonical: None,
        case: PathCase::Distinct,
        canonical_spelling: None,
        aliased_path: None,
    };
    /// For a backend that does not declare how it treats case, or that folds case itself.
    pub const MAY_FOLD: Self = Self { case: PathCase::MayFold, ..Self::AS_GIVEN };

    /// Whether the policies allow the request. `asked.path` is replaced by the canonical path, and
    /// `asked.case` by that of the backend.
    pub fn permits(&self, acl: &Acl, asked: &AclRequest<'_>) -> bool {
        let permits = |path| acl.permits_request(&AclRequest { path, case: self.case, ..*asked });
        permits(self.evaluated_path(asked.path))
            && self.canonical_spelling.as_deref().is_none_or(permits)
            && !self.alias_denies(acl)
    }

    /// The capabilities that the policies grant on this path, by the same rules. `of_path` returns
    /// those of a single path.
    pub fn capabilities(
        &self,
        acl: &Acl,
        path: &str,
        of_path: fn(&Acl, &str, PathCase) -> Capabilities,
    ) -> Capabilities {
        if self.alias_denies(acl) {
            return Capabilities::NONE.with(Capability::Deny);
        }
        let granted = of_path(acl, self.evaluated_path(path), self.case);
        let plain = self.canonical_spelling.as_deref().map(|plain| of_path(acl, plain, self.case));
        plain.map_or(granted, |plain| plain.intersection(granted))
    }

    fn evaluated_path<'p>(&'p self, path: &'p str) -> &'p str {
        self.canonical.as_deref().unwrap_or(path)
    }

    fn alias_denies(&self, acl: &Acl) -> bool {
        let twin = self.aliased_path.as_deref();
        twin.is_some_and(|twin| acl.capabilities(twin, PathCase::Distinct).is_denied())
    }
}
