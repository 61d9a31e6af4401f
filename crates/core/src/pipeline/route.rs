//! The longest mount a path lies under, and whether the path needs a token.

use std::collections::BTreeMap;
use std::sync::Arc;

use strongroom_policy::{Acl, AclRequest, Capabilities, Capability, PathCase, case_folded};
use strongroom_sdk::engine::CanonicalPath;
use strongroom_types::{ErrorKind, Ttl};

use super::admit::AdmittedRequest;
use crate::endpoint::{ApiEndpoint, EndpointAccess, access_for_path};
use crate::error::Error;
use crate::mounts::handle::MountInstance;
use crate::mounts::{ActiveMount, MountBackend};
use crate::root_paths::is_root_path;
use crate::unsealed::UnsealedCore;
use crate::{auth_token, sys, wrapping};

/// A request and where it goes.
pub(crate) struct RoutedRequest {
    pub(crate) request: AdmittedRequest,
    /// None if nothing is mounted there: revealed only to whom policies allow the path.
    pub(crate) mounted: Option<Arc<ActiveMount>>,
    /// The path below the mount.
    pub(crate) relative_path: String,
    /// The form of the path that policies are judged on.
    pub(crate) policy_path: PolicyPath,
    /// The lifetime that the client asked for its wrapped answer; the request has the one it gets.
    pub(crate) requested_wrap_ttl: Option<Ttl>,
    /// Needs no token.
    pub(crate) unauthenticated: bool,
    /// Needs `sudo` as well.
    pub(crate) requires_sudo: bool,
    /// The request headers that the mount lets through.
    pub(crate) headers: BTreeMap<String, Vec<String>>,
}

/// What policies are judged on: the form of the path that the backend itself uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PolicyPath {
    /// None where it is the path of the request.
    canonical: Option<String>,
    /// What the backend makes of case.
    case: PathCase,
    /// The plain spelling of a path of the server's own, where it is another. Policies must permit both.
    canonical_spelling: Option<String>,
    /// The other path to what a path of the server's own reaches: what is denied there is denied here.
    aliased_path: Option<String>,
}

impl PolicyPath {
    /// Of a path that the backend takes as it is given.
    const AS_GIVEN: Self = Self {
        canonical: None,
        case: PathCase::Distinct,
        canonical_spelling: None,
        aliased_path: None,
    };
    /// Of a path whose backend cannot tell what it makes of it, or folds it in its own way.
    const MAY_FOLD: Self = Self { case: PathCase::MayFold, ..Self::AS_GIVEN };

    /// Whether the policies permit what is asked; its path and case are replaced by those that count.
    pub(crate) fn permits(&self, acl: &Acl, asked: &AclRequest<'_>) -> bool {
        let permits = |path| acl.permits_request(&AclRequest { path, case: self.case, ..*asked });
        permits(self.evaluated_path(asked.path))
            && self.canonical_spelling.as_deref().is_none_or(permits)
            && !self.alias_denies(acl)
    }

    /// What the policies grant on this path, by the same rules. `of_path` tells what one path has.
    pub(crate) fn capabilities(
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

    fn for_mount(mounted: &ActiveMount, path: &str, below: &str) -> Self {
        match &mounted.backend {
            MountBackend::System => Self {
                case: if sys::folds_case(path) { PathCase::MayFold } else { PathCase::Distinct },
                canonical_spelling: sys::canonical_path(path),
                aliased_path: sys::aliased_path(path),
                canonical: None,
            },
            MountBackend::Token | MountBackend::Cubbyhole => Self::AS_GIVEN,
            MountBackend::Engine(engine) => {
                engine.current_instance().map_or(Self::MAY_FOLD, |instance| {
                    Self::for_engine(&instance, &mounted.info.path, below)
                })
            }
        }
    }

    fn for_engine(instance: &MountInstance, mount: &str, below: &str) -> Self {
        match instance.engine.canonical_path(below) {
            CanonicalPath::CaseSensitive => Self::AS_GIVEN,
            CanonicalPath::Unknown => Self::MAY_FOLD,
            // A denial may have been written in another case than the engine uses.
            CanonicalPath::Folded(path) => Self {
                canonical: (path != below).then(|| format!("{mount}{path}")),
                ..Self::MAY_FOLD
            },
        }
    }
}

/// The form in which policies are judged for a path that somebody asks about.
pub(crate) fn policy_path_for(open: &UnsealedCore, path: &str) -> PolicyPath {
    let table = open.mounts.table();
    let found = table.longest_match(path);
    found.map_or(PolicyPath::MAY_FOLD, |(mounted, below)| {
        PolicyPath::for_mount(mounted, path, below)
    })
}

/// Where a request goes. It is boxed: from here on it is handed from stage to stage by value.
pub(crate) fn route(open: &UnsealedCore, mut request: AdmittedRequest) -> Box<RoutedRequest> {
    let asked_wrap_ttl = request.wrap_ttl;
    // Before policies judge it: what they bound is the lifetime that the wrapping token gets.
    request.wrap_ttl = asked_wrap_ttl.map(|ttl| wrapping::cap_wrap_ttl(open, ttl));
    let table = open.mounts.table();
    let Some((mounted, below)) = table.longest_match(request.path.as_str()) else {
        return Box::new(RoutedRequest {
            request,
            mounted: None,
            relative_path: String::new(),
            policy_path: PolicyPath::MAY_FOLD,
            requested_wrap_ttl: asked_wrap_ttl,
            unauthenticated: false,
            requires_sudo: false,
            headers: BTreeMap::new(),
        });
    };
    let (open_to_all, root) = special_access(&mounted.backend, below);
    let judged = PolicyPath::for_mount(mounted, request.path.as_str(), below);
    let (mounted, below) = (Some(mounted.clone()), below.to_owned());
    let headers = BTreeMap::new();
    Box::new(RoutedRequest {
        request,
        mounted,
        relative_path: below,
        policy_path: judged,
        requested_wrap_ttl: asked_wrap_ttl,
        unauthenticated: open_to_all,
        requires_sudo: root,
        headers,
    })
}

/// Whether a path of a mount needs no token, and whether it needs `sudo`.
pub(crate) fn special_access(backend: &MountBackend, below: &str) -> (bool, bool) {
    match backend {
        MountBackend::System => endpoint_special_access(sys::ENDPOINTS, "sys/", below),
        MountBackend::Token => endpoint_special_access(auth_token::ENDPOINTS, "auth/token/", below),
        MountBackend::Cubbyhole => (false, false),
        // Looked at again once the request is inside the engine that will answer it.
        MountBackend::Engine(engine) => engine
            .current_instance()
            .map_or((false, false), |instance| engine_special_access(&instance, below)),
    }
}

impl RoutedRequest {
    /// What answers there.
    pub(crate) fn mount_backend(&self) -> Option<&MountBackend> {
        self.mounted.as_ref().map(|mounted| &mounted.backend)
    }

    /// Refuses a request that was judged by the special paths of one engine and got into another,
    /// put in place meanwhile, that is stricter about it.
    pub(crate) fn recheck_special_paths(&self, inside: &MountInstance) -> Result<(), Error> {
        let (open_to_all, root) = engine_special_access(inside, &self.relative_path);
        let mount = self.mounted.as_ref().map_or("", |mounted| &mounted.info.path);
        let judged = PolicyPath::for_engine(inside, mount, &self.relative_path);
        let stricter = judged.canonical != self.policy_path.canonical
            || (judged.case == PathCase::MayFold && self.policy_path.case == PathCase::Distinct);
        if (self.unauthenticated && !open_to_all) || (root && !self.requires_sudo) || stricter {
            let text = "the engine was replaced while the request waited for it; try again";
            return Err(Error::with_message(ErrorKind::Unavailable, text));
        }
        Ok(())
    }
}

fn engine_special_access(instance: &MountInstance, below: &str) -> (bool, bool) {
    let special = &instance.engine.description().special_paths;
    let open_to_all = longest_pattern_matches(&special.unauthenticated, below);
    (open_to_all, requires_sudo(instance, &special.root, below))
}

fn endpoint_special_access(
    endpoints: &[&'static [ApiEndpoint]],
    folder: &str,
    below: &str,
) -> (bool, bool) {
    (
        access_for_path(endpoints, below) == EndpointAccess::Unauthenticated,
        is_root_path(folder, below),
    )
}

/// Whether a path needs `sudo`. To an engine that can't tell what it makes of case, a root path in
/// another case may be the same path.
fn requires_sudo(instance: &MountInstance, patterns: &[String], below: &str) -> bool {
    if patterns.is_empty() {
        return false;
    }
    match instance.engine.canonical_path(below) {
        CanonicalPath::CaseSensitive => any_pattern_matches(patterns, below),
        CanonicalPath::Folded(path) => {
            any_pattern_matches(patterns, &path) || any_pattern_matches(patterns, below)
        }
        CanonicalPath::Unknown => {
            let folded = case_folded(below);
            let fits = |pattern: &String| pattern_matches(&case_folded(pattern), &folded);
            any_pattern_matches(patterns, below) || patterns.iter().any(fits)
        }
    }
}

/// Root paths: whichever entry matches. Stricter than servers that look at the longest only.
fn any_pattern_matches(patterns: &[String], path: &str) -> bool {
    patterns.iter().any(|pattern| pattern_matches(pattern, path))
}

/// Unauthenticated paths: of the entries without `+`, the longest that is a prefix of the path
/// alone decides, as in existing servers, so that nothing more is open here than there.
fn longest_pattern_matches(patterns: &[String], path: &str) -> bool {
    let plain = patterns.iter().filter(|pattern| !has_segment_wildcard(pattern));
    let literal = |pattern: &&String| pattern.strip_suffix('*').unwrap_or(pattern).len();
    let longest = plain
        .filter(|pattern| path.starts_with(pattern.strip_suffix('*').unwrap_or(pattern)))
        .max_by_key(literal);
    if longest.is_some_and(|pattern| pattern_matches(pattern, path)) {
        return true;
    }
    let mut with_segments = patterns.iter().filter(|pattern| has_segment_wildcard(pattern));
    with_segments.any(|pattern| pattern_matches(pattern, path))
}

fn has_segment_wildcard(pattern: &str) -> bool {
    pattern.split('/').any(|segment| segment == "+")
}

/// Exact, a prefix with `*` at the end, or segment by segment where `+` stands for one.
fn pattern_matches(pattern: &str, path: &str) -> bool {
    let (body, is_prefix) = match pattern.strip_suffix('*') {
        Some(body) => (body, true),
        None => (pattern, false),
    };
    if !has_segment_wildcard(body) {
        return if is_prefix { path.starts_with(body) } else { path == body };
    }
    let mut wanted = body.split('/').peekable();
    let mut given = path.split('/');
    while let Some(want) = wanted.next() {
        let Some(have) = given.next() else { return false };
        let last = wanted.peek().is_none();
        let fits =
            if is_prefix && last { have.starts_with(want) } else { want == "+" || want == have };
        if !fits {
            return false;
        }
    }
    is_prefix || given.next().is_none()
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use strongroom_sdk::engine::{
        self, Engine, EngineDescription, EngineError, EngineResponse, Existence, FoldedPaths,
        MountKind, SpecialPaths,
    };
    use strongroom_types::Fields;

    use super::*;
    use crate::mounts::InstanceStorage;

    fn to_strings(patterns: &[&str]) -> Vec<String> {
        patterns.iter().map(|pattern| (*pattern).to_owned()).collect()
    }

    #[test]
    fn the_longest_unauthenticated_entry_decides() {
        let both = to_strings(&["a*", "ab"]);
        assert!(longest_pattern_matches(&both, "ac") && longest_pattern_matches(&both, "ab"));
        assert!(!longest_pattern_matches(&both, "abc"), "the longer entry is exact");
        assert!(longest_pattern_matches(&to_strings(&["login/*"]), "login/bob"));
        assert!(!longest_pattern_matches(&to_strings(&["login"]), "login/bob"));
        assert!(!longest_pattern_matches(&[], "anything"));
    }

    #[test]
    fn segments_are_compared_one_by_one() {
        let pattern = to_strings(&["role/+/login", "oidc/+/x*"]);
        assert!(longest_pattern_matches(&pattern, "role/a/login"));
        assert!(!longest_pattern_matches(&pattern, "role/a/b/login"));
        assert!(longest_pattern_matches(&pattern, "oidc/a/xy/z"));
        assert!(!longest_pattern_matches(&pattern, "oidc/a"));
    }

    #[test]
    fn any_matching_root_path_requires_sudo() {
        let both = to_strings(&["a*", "ab"]);
        assert!(any_pattern_matches(&both, "abc"));
        assert!(!any_pattern_matches(&both, "b"));
    }

    #[derive(Debug)]
    struct StubEngine(EngineDescription);

    #[async_trait]
    impl Engine for StubEngine {
        fn description(&self) -> &EngineDescription {
            &self.0
        }
        async fn initialize(&self) -> Result<(), EngineError> {
            Ok(())
        }
        async fn exists(&self, _: &engine::EngineRequest) -> Result<Existence, EngineError> {
            Ok(Existence::NoCheck)
        }
        async fn handle(&self, _: engine::EngineRequest) -> Result<EngineResponse, EngineError> {
            Ok(EngineResponse::Nothing)
        }
        async fn invalidate(&self, _: &str) {}
        async fn periodic(&self) -> Result<(), EngineError> {
            Ok(())
        }
        async fn close(&self) {}
    }

    #[tokio::test]
    async fn request_is_rejected_if_a_stricter_engine_replaced_the_routed_one() {
        let bench = crate::tests::TestCore::new().await;
        let open = bench.core.unsealed().unwrap();
        let inside = |unauthenticated: &[&str], root: &[&str]| {
            let (unauthenticated, root) = (to_strings(unauthenticated), to_strings(root));
            let special = SpecialPaths { unauthenticated, root, ..SpecialPaths::default() };
            let engine = StubEngine(EngineDescription {
                kind: MountKind::Secret,
                version: String::new(),
                special_paths: special,
                wants_token_hash: false,
                folded_paths: FoldedPaths::Declared(Vec::new()),
                exclusive: false,
            });
            let storage = InstanceStorage::new(open.barrier.view("logical/x/"));
            MountInstance::new(Arc::new(engine), storage)
        };
        let request = crate::CoreRequest {
            verb: crate::Verb::Read,
            path: "nowhere/a".to_owned(),
            fields: Fields::new(),
            token: None,
            headers: crate::request::RequestHeaders::default(),
            connection: None,
        };
        let admitted = crate::pipeline::admit::admit(request, bench.core.request_ids()).unwrap();
        let mut routed = route(&open, admitted);
        routed.relative_path = "a".to_owned();
        routed.recheck_special_paths(&inside(&[], &[])).unwrap();
        routed.recheck_special_paths(&inside(&["a"], &[])).unwrap();
        assert_eq!(
            routed.recheck_special_paths(&inside(&[], &["a"])).unwrap_err().kind(),
            ErrorKind::Unavailable
        );
        routed.unauthenticated = true;
        assert_eq!(
            routed.recheck_special_paths(&inside(&[], &[])).unwrap_err().kind(),
            ErrorKind::Unavailable
        );
        routed.recheck_special_paths(&inside(&["a"], &[])).unwrap();
    }
}
