//! The longest mount a path lies under, and whether the path needs a token.

use std::collections::BTreeMap;
use std::sync::Arc;

use strongroom_policy::{Acl, Asked, Capabilities, Capability, PathCase, case_folded};
use strongroom_sdk::engine::CanonicalPath;
use strongroom_types::{ErrorKind, Ttl};

use super::admit::Admitted;
use crate::endpoint::{Access, Endpoint, access};
use crate::error::Error;
use crate::mounts::handle::Instance;
use crate::mounts::{Backend, Mounted};
use crate::root_paths::is_root_path;
use crate::unsealed::Unsealed;
use crate::{auth_token, sys, wrapping};

/// A request and where it goes.
pub(crate) struct Routed {
    pub(crate) request: Admitted,
    /// None if nothing is mounted there: revealed only to whom policies allow the path.
    pub(crate) mounted: Option<Arc<Mounted>>,
    /// The path below the mount.
    pub(crate) below: String,
    /// The form of the path that policies are judged on.
    pub(crate) judged: JudgedPath,
    /// The lifetime that the client asked for its wrapped answer; the request has the one it gets.
    pub(crate) asked_wrap_ttl: Option<Ttl>,
    /// Needs no token.
    pub(crate) open_to_all: bool,
    /// Needs `sudo` as well.
    pub(crate) root: bool,
    /// The request headers that the mount lets through.
    pub(crate) headers: BTreeMap<String, Vec<String>>,
}

/// What policies are judged on: the form of the path that the backend itself uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct JudgedPath {
    /// None where it is the path of the request.
    canonical: Option<String>,
    /// What the backend makes of case.
    case: PathCase,
    /// The plain spelling of a path of the server's own, where it is another. Policies must permit both.
    plain: Option<String>,
    /// The other path to what a path of the server's own reaches: what is denied there is denied here.
    twin: Option<String>,
}

impl JudgedPath {
    /// Of a path that the backend takes as it is given.
    const AS_GIVEN: Self =
        Self { canonical: None, case: PathCase::Distinct, plain: None, twin: None };
    /// Of a path whose backend cannot tell what it makes of it, or folds it in its own way.
    const MAY_FOLD: Self = Self { case: PathCase::MayFold, ..Self::AS_GIVEN };

    /// Whether the policies permit what is asked; its path and case are replaced by those that count.
    pub(crate) fn permits(&self, acl: &Acl, asked: &Asked<'_>) -> bool {
        let permits = |path| acl.permits(&Asked { path, case: self.case, ..*asked });
        permits(self.of(asked.path))
            && self.plain.as_deref().is_none_or(permits)
            && !self.twin_denies(acl)
    }

    /// What the policies grant on this path, by the same rules. `of_path` tells what one path has.
    pub(crate) fn capabilities(
        &self,
        acl: &Acl,
        path: &str,
        of_path: fn(&Acl, &str, PathCase) -> Capabilities,
    ) -> Capabilities {
        if self.twin_denies(acl) {
            return Capabilities::NONE.with(Capability::Deny);
        }
        let granted = of_path(acl, self.of(path), self.case);
        let plain = self.plain.as_deref().map(|plain| of_path(acl, plain, self.case));
        plain.map_or(granted, |plain| plain.intersection(granted))
    }

    fn of<'p>(&'p self, path: &'p str) -> &'p str {
        self.canonical.as_deref().unwrap_or(path)
    }

    fn twin_denies(&self, acl: &Acl) -> bool {
        let twin = self.twin.as_deref();
        twin.is_some_and(|twin| acl.capabilities(twin, PathCase::Distinct).denies())
    }

    fn below(mounted: &Mounted, path: &str, below: &str) -> Self {
        match &mounted.backend {
            Backend::System => Self {
                case: if sys::folds_case(path) { PathCase::MayFold } else { PathCase::Distinct },
                plain: sys::plain_spelling(path),
                twin: sys::twin(path),
                canonical: None,
            },
            Backend::Token | Backend::Cubbyhole => Self::AS_GIVEN,
            Backend::Engine(engine) => engine.instance().map_or(Self::MAY_FOLD, |instance| {
                Self::of_engine(&instance, &mounted.info.path, below)
            }),
        }
    }

    fn of_engine(instance: &Instance, mount: &str, below: &str) -> Self {
        match instance.engine.canonical_path(below) {
            CanonicalPath::AsGiven => Self::AS_GIVEN,
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
pub(crate) fn judged_path(open: &Unsealed, path: &str) -> JudgedPath {
    let table = open.mounts.table();
    let found = table.route(path);
    found.map_or(JudgedPath::MAY_FOLD, |(mounted, below)| JudgedPath::below(mounted, path, below))
}

/// Where a request goes. It is boxed: from here on it is handed from stage to stage by value.
pub(crate) fn route(open: &Unsealed, mut request: Admitted) -> Box<Routed> {
    let asked_wrap_ttl = request.wrap_ttl;
    // Before policies judge it: what they bound is the lifetime that the wrapping token gets.
    request.wrap_ttl = asked_wrap_ttl.map(|ttl| wrapping::capped_ttl(open, ttl));
    let table = open.mounts.table();
    let Some((mounted, below)) = table.route(request.path.as_str()) else {
        return Box::new(Routed {
            request,
            mounted: None,
            below: String::new(),
            judged: JudgedPath::MAY_FOLD,
            asked_wrap_ttl,
            open_to_all: false,
            root: false,
            headers: BTreeMap::new(),
        });
    };
    let (open_to_all, root) = special_access(&mounted.backend, below);
    let judged = JudgedPath::below(mounted, request.path.as_str(), below);
    let (mounted, below) = (Some(mounted.clone()), below.to_owned());
    let headers = BTreeMap::new();
    Box::new(Routed { request, mounted, below, judged, asked_wrap_ttl, open_to_all, root, headers })
}

/// Whether a path of a mount needs no token, and whether it needs `sudo`.
pub(crate) fn special_access(backend: &Backend, below: &str) -> (bool, bool) {
    match backend {
        Backend::System => of_endpoint(sys::ENDPOINTS, "sys/", below),
        Backend::Token => of_endpoint(auth_token::ENDPOINTS, "auth/token/", below),
        Backend::Cubbyhole => (false, false),
        // Looked at again once the request is inside the engine that will answer it.
        Backend::Engine(engine) => {
            engine.instance().map_or((false, false), |instance| of_engine(&instance, below))
        }
    }
}

impl Routed {
    /// What answers there.
    pub(crate) fn backend(&self) -> Option<&Backend> {
        self.mounted.as_ref().map(|mounted| &mounted.backend)
    }

    /// Refuses a request that was judged by the special paths of one engine and got into another,
    /// put in place meanwhile, that is stricter about it.
    pub(crate) fn confirm(&self, inside: &Instance) -> Result<(), Error> {
        let (open_to_all, root) = of_engine(inside, &self.below);
        let mount = self.mounted.as_ref().map_or("", |mounted| &mounted.info.path);
        let judged = JudgedPath::of_engine(inside, mount, &self.below);
        let stricter = judged.canonical != self.judged.canonical
            || (judged.case == PathCase::MayFold && self.judged.case == PathCase::Distinct);
        if (self.open_to_all && !open_to_all) || (root && !self.root) || stricter {
            let text = "the engine was replaced while the request waited for it; try again";
            return Err(Error::plain(ErrorKind::Unavailable, text));
        }
        Ok(())
    }
}

fn of_engine(instance: &Instance, below: &str) -> (bool, bool) {
    let special = &instance.engine.description().special;
    let open_to_all = matches_longest(&special.unauthenticated, below);
    (open_to_all, is_root_protected(instance, &special.root, below))
}

fn of_endpoint(endpoints: &[&'static [Endpoint]], folder: &str, below: &str) -> (bool, bool) {
    (access(endpoints, below) == Access::Anyone, is_root_path(folder, below))
}

/// Whether a path needs `sudo`. To an engine that can't tell what it makes of case, a root path in
/// another case may be the same path.
fn is_root_protected(instance: &Instance, patterns: &[String], below: &str) -> bool {
    if patterns.is_empty() {
        return false;
    }
    match instance.engine.canonical_path(below) {
        CanonicalPath::AsGiven => matches_any(patterns, below),
        CanonicalPath::Folded(path) => matches_any(patterns, &path) || matches_any(patterns, below),
        CanonicalPath::Unknown => {
            let folded = case_folded(below);
            let fits = |pattern: &String| matches(&case_folded(pattern), &folded);
            matches_any(patterns, below) || patterns.iter().any(fits)
        }
    }
}

/// Root paths: whichever entry matches. Stricter than servers that look at the longest only.
fn matches_any(patterns: &[String], path: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern, path))
}

/// Unauthenticated paths: of the entries without `+`, the longest that is a prefix of the path
/// alone decides, as in existing servers, so that nothing more is open here than there.
fn matches_longest(patterns: &[String], path: &str) -> bool {
    let plain = patterns.iter().filter(|pattern| !has_segment_wildcard(pattern));
    let literal = |pattern: &&String| pattern.strip_suffix('*').unwrap_or(pattern).len();
    let longest = plain
        .filter(|pattern| path.starts_with(pattern.strip_suffix('*').unwrap_or(pattern)))
        .max_by_key(literal);
    if longest.is_some_and(|pattern| matches(pattern, path)) {
        return true;
    }
    let mut with_segments = patterns.iter().filter(|pattern| has_segment_wildcard(pattern));
    with_segments.any(|pattern| matches(pattern, path))
}

fn has_segment_wildcard(pattern: &str) -> bool {
    pattern.split('/').any(|segment| segment == "+")
}

/// Exact, a prefix with `*` at the end, or segment by segment where `+` stands for one.
fn matches(pattern: &str, path: &str) -> bool {
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
        self, Description, Engine, EngineError, Existence, FoldedPaths, Kind, Response,
        SpecialPaths,
    };
    use strongroom_types::Fields;

    use super::*;
    use crate::mounts::InstanceStorage;

    fn list(patterns: &[&str]) -> Vec<String> {
        patterns.iter().map(|pattern| (*pattern).to_owned()).collect()
    }

    #[test]
    fn the_longest_unauthenticated_entry_decides() {
        let both = list(&["a*", "ab"]);
        assert!(matches_longest(&both, "ac") && matches_longest(&both, "ab"));
        assert!(!matches_longest(&both, "abc"), "the longer entry is exact");
        assert!(matches_longest(&list(&["login/*"]), "login/bob"));
        assert!(!matches_longest(&list(&["login"]), "login/bob"));
        assert!(!matches_longest(&[], "anything"));
    }

    #[test]
    fn segments_are_compared_one_by_one() {
        let pattern = list(&["role/+/login", "oidc/+/x*"]);
        assert!(matches_longest(&pattern, "role/a/login"));
        assert!(!matches_longest(&pattern, "role/a/b/login"));
        assert!(matches_longest(&pattern, "oidc/a/xy/z"));
        assert!(!matches_longest(&pattern, "oidc/a"));
    }

    #[test]
    fn any_root_entry_counts() {
        let both = list(&["a*", "ab"]);
        assert!(matches_any(&both, "abc"));
        assert!(!matches_any(&both, "b"));
    }

    #[derive(Debug)]
    struct Fixed(Description);

    #[async_trait]
    impl Engine for Fixed {
        fn description(&self) -> &Description {
            &self.0
        }
        async fn initialize(&self) -> Result<(), EngineError> {
            Ok(())
        }
        async fn exists(&self, _: &engine::Request) -> Result<Existence, EngineError> {
            Ok(Existence::NoCheck)
        }
        async fn handle(&self, _: engine::Request) -> Result<Response, EngineError> {
            Ok(Response::Nothing)
        }
        async fn invalidate(&self, _: &str) {}
        async fn periodic(&self) -> Result<(), EngineError> {
            Ok(())
        }
        async fn close(&self) {}
    }

    #[tokio::test]
    async fn a_stricter_engine_than_the_one_looked_at_does_not_answer() {
        let bench = crate::tests::Bench::new().await;
        let open = bench.core.open().unwrap();
        let inside = |unauthenticated: &[&str], root: &[&str]| {
            let (unauthenticated, root) = (list(unauthenticated), list(root));
            let special = SpecialPaths { unauthenticated, root, ..SpecialPaths::default() };
            let engine = Fixed(Description {
                kind: Kind::Secrets,
                version: String::new(),
                special,
                wants_token_hash: false,
                folded: FoldedPaths::Declared(Vec::new()),
                exclusive: false,
            });
            let storage = InstanceStorage::new(open.barrier.view("logical/x/"));
            Instance::new(Arc::new(engine), storage)
        };
        let request = crate::Request {
            verb: crate::Verb::Read,
            path: "nowhere/a".to_owned(),
            fields: Fields::new(),
            token: None,
            headers: crate::request::Headers::default(),
            connection: None,
        };
        let admitted = crate::pipeline::admit::admit(request, bench.core.request_ids()).unwrap();
        let mut routed = route(&open, admitted);
        routed.below = "a".to_owned();
        routed.confirm(&inside(&[], &[])).unwrap();
        routed.confirm(&inside(&["a"], &[])).unwrap();
        assert_eq!(
            routed.confirm(&inside(&[], &["a"])).unwrap_err().kind(),
            ErrorKind::Unavailable
        );
        routed.open_to_all = true;
        assert_eq!(routed.confirm(&inside(&[], &[])).unwrap_err().kind(), ErrorKind::Unavailable);
        routed.confirm(&inside(&["a"], &[])).unwrap();
    }
}
