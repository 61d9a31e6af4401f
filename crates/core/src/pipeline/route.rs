//! Finds the mount with the longest path that is a prefix of the request's, and whether the request
//! needs a token or `sudo`.

use std::collections::BTreeMap;

use strongroom_policy::{PathCase, case_folded};
use strongroom_sdk::engine::CanonicalPath;
use strongroom_types::ErrorKind;

use crate::endpoint::{ApiEndpoint, EndpointAccess, access_for_path};
use crate::error::Error;
use crate::mounts::handle::MountInstance;
use crate::mounts::{ActiveMount, MountBackend};
use crate::policy_path::PolicyPath;
use crate::root_paths::is_root_path;
use crate::stages::{AdmittedRequest, RoutedRequest};
use crate::unsealed::UnsealedCore;
use crate::{auth_token, sys, wrapping};

impl PolicyPath {
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
            // A deny rule may be written in another case than the engine's canonical one.
            CanonicalPath::Folded(path) => Self {
                canonical: (path != below).then(|| format!("{mount}{path}")),
                ..Self::MAY_FOLD
            },
        }
    }
}

/// The form on which policies are evaluated for a path that is only asked about, as in
/// `sys/capabilities`.
pub(crate) fn policy_path_for(core: &UnsealedCore, path: &str) -> PolicyPath {
    let table = core.mounts.table();
    let found = table.longest_match(path);
    found.map_or(PolicyPath::MAY_FOLD, |(mounted, below)| {
        PolicyPath::for_mount(mounted, path, below)
    })
}

/// Routes a request. The result is boxed because it is moved from stage to stage.
pub(crate) fn route(core: &UnsealedCore, mut request: AdmittedRequest) -> Box<RoutedRequest> {
    let asked_wrap_ttl = request.wrap_ttl;
    // Capped before the policies are evaluated: their wrapping TTL bounds apply to the lifetime
    // that the token really gets.
    request.wrap_ttl = asked_wrap_ttl.map(|ttl| wrapping::cap_wrap_ttl(core, ttl));
    let table = core.mounts.table();
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

/// Whether a path of a mount requires no token, and whether it requires `sudo`.
pub(crate) fn special_access(backend: &MountBackend, below: &str) -> (bool, bool) {
    match backend {
        MountBackend::System => endpoint_special_access(sys::ENDPOINTS, "sys/", below),
        MountBackend::Token => endpoint_special_access(auth_token::ENDPOINTS, "auth/token/", below),
        MountBackend::Cubbyhole => (false, false),
        // Checked again once the request has acquired the instance that handles it.
        MountBackend::Engine(engine) => engine
            .current_instance()
            .map_or((false, false), |instance| engine_special_access(&instance, below)),
    }
}

impl RoutedRequest {
    /// The backend of the mount, if the path is below one.
    pub(crate) fn mount_backend(&self) -> Option<&MountBackend> {
        self.mounted.as_ref().map(|mounted| &mounted.backend)
    }

    /// Checks a request again after it acquired an engine instance. If the engine was replaced
    /// since routing and the new one is stricter about the path, the request is refused as
    /// `Unavailable`.
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

/// Whether a path requires `sudo`. If the engine does not declare how it treats case, a root path
/// also matches in any other case.
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

/// Whether any pattern matches; used for root paths. Stricter than servers that consider only the
/// longest matching pattern.
fn any_pattern_matches(patterns: &[String], path: &str) -> bool {
    patterns.iter().any(|pattern| pattern_matches(pattern, path))
}

/// Whether an unauthenticated path matches. Among the patterns without `+`, only the longest one
/// that is a prefix of the path counts, as in the reference server, so that no more paths are
/// unauthenticated here than there.
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

/// Matches a pattern: exactly, by prefix if it ends with `*`, and by segment where `+` stands for
/// any one segment.
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
    use std::sync::Arc;

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
        let core = bench.core.unsealed().unwrap();
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
            let storage = InstanceStorage::new(core.barrier.view("logical/x/"));
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
        let mut routed = route(&core, admitted);
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
