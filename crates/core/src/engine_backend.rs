//! [`EngineBackend`]: makes the engine of a mount a [`Backend`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use strongroom_engine::{
    CallerInfo, CanonicalPath, EngineError, EngineRequest, EngineResponse, Existence, FieldKinds,
    MountInfo, Operation, StatusKind,
};
use strongroom_mounts::handle::MountInstance;
use strongroom_mounts::{ActiveMount, EngineHandle};
use strongroom_policy::{FieldDeclaration, FieldReadings, PathCase, case_folded};
use strongroom_telemetry::Stopwatch;
use strongroom_types::clock::{BoxFuture, with_timeout};
use strongroom_types::{Clock, ErrorKind, Fields, MountKind, Namespace, RequestId};

use crate::error::Error;
use crate::kind_readings::reading_for_kind;
use crate::logins::lockout::{FailureOutcome, LockableUser};
use crate::path_access::{PathAccess, PolicyPath, TokenRequirement, WrappingTokenUse};
use crate::refusal_log::RefusalKind;
use crate::request::Verb;
use crate::special_paths::{any_pattern_matches, longest_pattern_matches, pattern_matches};
use crate::stages::{AuthenticatedCaller, AuthorizedRequest, RoutedRequest};
use crate::unsealed::UnsealedCore;
use crate::unsealed::backend::{Backend, BackendResponse, WriteOperation};

/// The backend of every mount whose requests an engine handles, linked in or in a plug-in process.
#[derive(Debug)]
pub(crate) struct EngineBackend;

/// How long an engine may take to return its OpenAPI document.
const DOCUMENT_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest OpenAPI document accepted from an engine.
const MAX_DOCUMENT_BYTES: usize = 8 << 20;

impl Backend for EngineBackend {
    fn token_requirement(&self, mounted: &ActiveMount, relative_path: &str) -> TokenRequirement {
        // Checked again once the request has acquired the instance that handles it.
        let instance = mounted.engine_handle().and_then(EngineHandle::current_instance);
        instance.map_or(TokenRequirement::Required, |it| token_requirement(&it, relative_path))
    }

    fn takes_raw_body(&self, mounted: &ActiveMount, relative_path: &str) -> bool {
        // Checked again once the request has acquired the instance that handles it.
        let instance = mounted.engine_handle().and_then(EngineHandle::current_instance);
        instance.is_some_and(|instance| takes_raw_body(&instance, relative_path))
    }

    fn path_access(&self, mounted: &ActiveMount, _path: &str, relative_path: &str) -> PathAccess {
        let instance = mounted.engine_handle().and_then(EngineHandle::current_instance);
        instance.map_or(PathAccess::UNKNOWN, |instance| {
            path_access(&instance, &mounted.info.path, relative_path)
        })
    }

    fn field_readings(&self, mounted: &ActiveMount, relative_path: &str) -> FieldReadings {
        let instance = mounted.engine_handle().and_then(EngineHandle::current_instance);
        let kinds = instance.map(|it| it.engine.field_kinds(relative_path));
        readings_for_engine(kinds.unwrap_or_default())
    }

    fn write_operation<'a>(
        &'a self,
        core: &'a UnsealedCore,
        routed: &'a RoutedRequest,
        caller: Option<&'a AuthenticatedCaller>,
    ) -> BoxFuture<'a, Result<WriteOperation, Error>> {
        Box::pin(async move {
            let mounted = routed.mounted.as_ref().ok_or_else(Error::unsupported_path)?;
            let handle = mounted.engine_handle().ok_or_else(Error::unsupported_path)?;
            let in_flight = handle.acquire().await?;
            recheck_access(routed, &in_flight)?;
            let mount = &mounted.info;
            let request =
                engine_request(core, routed, mount, caller, Operation::Update, &in_flight);
            let operation = match in_flight.engine.exists(&request).await {
                Ok(Existence::Absent) => Operation::Create,
                Ok(Existence::Exists | Existence::NoCheck)
                | Err(EngineError::Status(StatusKind::UnsupportedPath)) => Operation::Update,
                Err(error) => return Err(error.into()),
            };
            Ok(WriteOperation { operation, in_flight: Some(in_flight) })
        })
    }

    fn handle<'a>(
        &'a self,
        core: &'a Arc<UnsealedCore>,
        request: &'a mut AuthorizedRequest,
    ) -> BoxFuture<'a, Result<BackendResponse, Error>> {
        Box::pin(async move {
            let mounted = request.routed.mounted.clone().ok_or_else(Error::unsupported_path)?;
            let in_flight = match (request.in_flight.take(), mounted.engine_handle()) {
                (Some(in_flight), _) => in_flight,
                (None, Some(engine)) => engine.acquire().await?,
                (None, None) => return Err(Error::unsupported_path()),
            };
            recheck_access(&request.routed, &in_flight)?;
            let (caller, operation) = (request.caller.as_ref(), request.operation);
            let mut sent =
                engine_request(core, &request.routed, &mounted.info, caller, operation, &in_flight);
            sent.raw_body = request.routed.request.raw_body.take();
            // Leaves the engine the only owner of the fields, which it can then modify without a
            // copy.
            request.routed.request.fields = Fields::new();
            let attempt = match is_login_attempt(core, &request.routed, &mounted, operation) {
                true => {
                    let routed = &request.routed;
                    Box::pin(begin_login(core, routed, &mounted, &in_flight, &sent)).await?
                }
                false => None,
            };
            let watch = Stopwatch::start();
            let response = in_flight.engine.handle(sent).await;
            mounted.operation_histogram(operation).record(watch.elapsed_ms());
            if let Some(user) = attempt {
                record_login(core, &request.routed, &mounted, &user, &response)?;
            }
            Ok(BackendResponse::FromEngine { response: response?, in_flight })
        })
    }

    fn openapi<'a>(
        &'a self,
        mounted: &'a ActiveMount,
        id: &'a RequestId,
        clock: &'a dyn Clock,
    ) -> BoxFuture<'a, Option<Value>> {
        Box::pin(async move {
            let requested = request_document(mounted, id, clock);
            with_timeout(clock, DOCUMENT_TIMEOUT, requested).await.flatten()
        })
    }
}

/// Whether a request may be a login that counts for the lock of its user.
fn is_login_attempt(
    core: &UnsealedCore,
    routed: &RoutedRequest,
    mounted: &ActiveMount,
    operation: Operation,
) -> bool {
    mounted.entry.kind == MountKind::Auth
        && routed.is_unauthenticated()
        && matches!(operation, Operation::Create | Operation::Update)
        && core.lockout.applies_to(&mounted.entry.mount_type)
}

/// Asks the auth method which user a login is for, and refuses the login of a locked user. `None`
/// if the method doesn't know the user before it decides on the login.
async fn begin_login(
    core: &UnsealedCore,
    routed: &RoutedRequest,
    mounted: &ActiveMount,
    instance: &MountInstance,
    login: &EngineRequest,
) -> Result<Option<LockableUser>, Error> {
    let lookahead = EngineRequest { operation: Operation::AliasLookahead, ..login.clone() };
    let auth = match instance.engine.handle(lookahead).await {
        Ok(EngineResponse::Auth(auth)) => auth,
        // What is wrong with the request is reported by the login itself.
        Ok(_)
        | Err(
            EngineError::User { .. }
            | EngineError::Status(StatusKind::UnsupportedOperation | StatusKind::UnsupportedPath),
        ) => return Ok(None),
        // Otherwise a failing look-ahead would be a way around the lock.
        Err(error) => return Err(error.into()),
    };
    let Some(alias) = auth.alias.map(|alias| alias.name).filter(|name| !name.is_empty()) else {
        return Ok(None);
    };
    let user = LockableUser::new(&mounted.entry.accessor, &alias);
    if core.lockout.is_locked(&user) {
        return Err(refuse_locked_user(core, routed));
    }
    Ok(Some(user))
}

fn refuse_locked_user(core: &UnsealedCore, routed: &RoutedRequest) -> Error {
    let origin = routed.request.request_origin(None);
    core.refusal_log.log_refusal(RefusalKind::Login, &origin, "the user is locked");
    Error::invalid_token()
}

/// Counts a refused login, or resets the count after an accepted one. Refuses a login whose user
/// was locked meanwhile.
fn record_login(
    core: &UnsealedCore,
    routed: &RoutedRequest,
    mounted: &ActiveMount,
    user: &LockableUser,
    response: &Result<EngineResponse, EngineError>,
) -> Result<(), Error> {
    let outcome = match response {
        Ok(EngineResponse::Auth(_)) => {
            return match core.lockout.record_success(user) {
                true => Ok(()),
                false => Err(refuse_locked_user(core, routed)),
            };
        }
        Err(error) if refuses_login(error) => {
            core.lockout.record_failure(&mounted.entry.mount_type, user)
        }
        _ => return Ok(()),
    };
    if outcome == FailureOutcome::WasLocked {
        return Err(refuse_locked_user(core, routed));
    }
    let origin = routed.request.request_origin(None);
    let reason = "the auth method refused it";
    core.refusal_log.log_refusal(RefusalKind::Login, &origin, reason);
    if outcome == FailureOutcome::Locked {
        let (mount, alias) = (mounted.info.path.as_str(), user.shown_alias());
        tracing::warn!(mount, alias, "a user was locked after too many failed logins");
    }
    Ok(())
}

/// Whether the auth method found fault with the request. All such errors count: plug-ins of Go's SDK
/// return another one for an unknown user than for a wrong password, and a lock must not tell which.
fn refuses_login(error: &EngineError) -> bool {
    match error {
        EngineError::User { .. }
        | EngineError::InvalidCredentials { .. }
        | EngineError::Status(
            StatusKind::PermissionDenied | StatusKind::InvalidRequest | StatusKind::BadRequest,
        ) => true,
        EngineError::Coded { status, .. } => (400..500).contains(status),
        _ => false,
    }
}

/// How a path of this instance is authorized. `mount` is the whole mount path.
fn path_access(instance: &MountInstance, mount: &str, below: &str) -> PathAccess {
    let special = &instance.engine.description().special_paths;
    PathAccess {
        token: token_requirement(instance, below),
        requires_sudo: requires_sudo(instance, &special.root, below),
        policy_path: policy_path(instance, mount, below),
        wrapping_token: WrappingTokenUse::None,
    }
}

fn token_requirement(instance: &MountInstance, below: &str) -> TokenRequirement {
    let unauthenticated = &instance.engine.description().special_paths.unauthenticated;
    if longest_pattern_matches(unauthenticated, below) {
        // The token is ignored, so that a login does not consume a use of it.
        TokenRequirement::Ignored
    } else {
        TokenRequirement::Required
    }
}

fn takes_raw_body(instance: &MountInstance, below: &str) -> bool {
    longest_pattern_matches(&instance.engine.description().special_paths.binary, below)
}

fn policy_path(instance: &MountInstance, mount: &str, below: &str) -> PolicyPath {
    match instance.engine.canonical_path(below) {
        CanonicalPath::CaseSensitive => PolicyPath::AS_GIVEN,
        CanonicalPath::Unknown => PolicyPath::MAY_FOLD,
        // A deny rule may be written in another case than the engine's canonical one.
        CanonicalPath::Folded(path) => PolicyPath {
            canonical: (path != below).then(|| format!("{mount}{path}")),
            ..PolicyPath::MAY_FOLD
        },
    }
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

/// Checks a request again after it acquired an engine instance. If the engine was replaced since
/// routing and the new one is stricter about the path, or takes the body in another form, the request
/// is refused as `Unavailable`.
fn recheck_access(routed: &RoutedRequest, instance: &MountInstance) -> Result<(), Error> {
    let mount = routed.mounted.as_ref().map_or("", |mounted| &mounted.info.path);
    let (before, now) = (&routed.access, path_access(instance, mount, &routed.relative_path));
    let stricter = now.policy_path.canonical != before.policy_path.canonical
        || (now.policy_path.case == PathCase::MayFold
            && before.policy_path.case == PathCase::Distinct)
        || (routed.is_unauthenticated() && now.token == TokenRequirement::Required)
        || (now.requires_sudo && !before.requires_sudo);
    // The body was read as the engine before declared it.
    let reads_otherwise = routed.request.verb == Verb::Write
        && routed.request.raw_body.is_some() != takes_raw_body(instance, &routed.relative_path);
    if stricter || reads_otherwise {
        let text = "the engine was replaced while the request waited for it; try again";
        return Err(Error::with_message(ErrorKind::Unavailable, text));
    }
    Ok(())
}

/// Builds the request that is passed to the engine.
fn engine_request(
    core: &UnsealedCore,
    routed: &RoutedRequest,
    mount: &Arc<MountInfo>,
    caller: Option<&AuthenticatedCaller>,
    operation: Operation,
    instance: &MountInstance,
) -> EngineRequest {
    let request = &routed.request;
    let hash = instance.engine.description().wants_token_hash;
    let caller = match caller {
        Some(caller) => CallerInfo {
            accessor: caller.stored_token.token.accessor.to_string(),
            display_name: caller.stored_token.token.display_name.clone(),
            entity_id: String::new(),
            token_hash: hash.then(|| token_hash(&mount.accessor, caller)),
            unauthenticated: routed.is_unauthenticated(),
        },
        None => CallerInfo { unauthenticated: true, ..CallerInfo::default() },
    };
    EngineRequest {
        id: request.span.id().clone(),
        operation,
        path: routed.relative_path.clone(),
        fields: request.fields.clone(),
        raw_body: None,
        mount: mount.clone(),
        caller,
        connection: request.connection.clone(),
        headers: routed.headers.clone(),
        wrap_ttl: request.wrap_ttl,
        lease: None,
        auth: None,
        namespace: Namespace::Root,
        deadline: core.clock().now().plus(core.settings.request_timeout),
    }
}

/// A keyed hash of the token that differs between mounts; the token cannot be derived from it.
fn token_hash(accessor: &str, caller: &AuthenticatedCaller) -> String {
    let key = strongroom_crypto::MacKey::new(caller.stored_token.key.as_str().as_bytes());
    data_encoding::HEXLOWER.encode(&key.sign(accessor.as_bytes()))
}

fn readings_for_engine(kinds: FieldKinds) -> FieldReadings {
    match kinds {
        FieldKinds::Unknown => FieldReadings::unknown(),
        FieldKinds::Untyped => FieldReadings::as_sent(),
        FieldKinds::Declared(specs) => FieldReadings::from_declarations(specs.iter().map(|spec| {
            let reading = reading_for_kind(spec.kind);
            let legacy_name_of = spec.legacy_name_of();
            FieldDeclaration { name: spec.name.into(), reading, legacy_name_of }
        })),
    }
}

async fn request_document(
    mounted: &ActiveMount,
    id: &RequestId,
    clock: &dyn Clock,
) -> Option<Value> {
    let in_flight = mounted.engine_handle()?.acquire().await.ok()?;
    let mut fields = Fields::new();
    // Plug-ins built on Go's SDK use this as the prefix of their schema names.
    fields.set("requestResponsePrefix", &mounted.entry.mount_type);
    let request = EngineRequest {
        id: id.clone(),
        operation: Operation::Help,
        path: String::new(),
        fields,
        raw_body: None,
        mount: mounted.info.clone(),
        caller: CallerInfo { unauthenticated: true, ..CallerInfo::default() },
        connection: None,
        headers: BTreeMap::new(),
        wrap_ttl: None,
        lease: None,
        auth: None,
        namespace: Namespace::Root,
        deadline: clock.now().plus(DOCUMENT_TIMEOUT),
    };
    let Ok(EngineResponse::Data(data)) = in_flight.engine.handle(request).await else {
        return None;
    };
    let fields = data.object.fields();
    let text = fields.get("openapi")?.get();
    if text.len() > MAX_DOCUMENT_BYTES {
        return None;
    }
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use async_trait::async_trait;
    use strongroom_barrier::testing;
    use strongroom_engine::{
        Engine, EngineDescription, EngineError, EngineResponse, Existence, FoldedPaths, MountKind,
        SpecialPaths,
    };
    use strongroom_mounts::InstanceStorage;
    use strongroom_storage::memory::MemoryStorage;
    use strongroom_types::clock::ManualClock;
    use strongroom_types::{Fields, RequestPath};

    use super::*;
    use crate::request::RequestHeaders;
    use crate::request_span::RequestSpan;
    use crate::stages::AdmittedRequest;

    fn to_strings(patterns: &[&str]) -> Vec<String> {
        patterns.iter().map(|pattern| (*pattern).to_owned()).collect()
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
        async fn exists(&self, _: &EngineRequest) -> Result<Existence, EngineError> {
            Ok(Existence::NoCheck)
        }
        async fn handle(&self, _: EngineRequest) -> Result<EngineResponse, EngineError> {
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
        let barrier = testing::open_barrier(
            Arc::new(MemoryStorage::new()),
            Arc::new(ManualClock::default()),
            |_, _| {},
        )
        .await;
        let with_special = |special: SpecialPaths| {
            let engine = StubEngine(EngineDescription {
                kind: MountKind::Secret,
                version: String::new(),
                special_paths: special,
                wants_token_hash: false,
                folded_paths: FoldedPaths::Declared(Vec::new()),
                exclusive: false,
            });
            let storage = InstanceStorage::new(barrier.view("logical/x/"));
            MountInstance::new(Arc::new(engine), storage)
        };
        let inside = |unauthenticated: &[&str], root: &[&str]| {
            let (unauthenticated, root) = (to_strings(unauthenticated), to_strings(root));
            with_special(SpecialPaths { unauthenticated, root, ..SpecialPaths::default() })
        };
        let request = AdmittedRequest {
            span: RequestSpan::new(RequestId::from_random_bytes([1; 16])),
            verb: Verb::Read,
            path: RequestPath::parse("nowhere/a").unwrap(),
            fields: Fields::new(),
            raw_body: None,
            token: None,
            wrap_ttl: None,
            headers: RequestHeaders::default(),
            connection: None,
        };
        let mut routed = RoutedRequest {
            request,
            mounted: None,
            relative_path: "a".to_owned(),
            access: PathAccess::UNKNOWN,
            requested_wrap_ttl: None,
            headers: BTreeMap::new(),
        };
        recheck_access(&routed, &inside(&[], &[])).unwrap();
        recheck_access(&routed, &inside(&["a"], &[])).unwrap();
        assert_eq!(
            recheck_access(&routed, &inside(&[], &["a"])).unwrap_err().kind(),
            ErrorKind::Unavailable
        );
        // Its body was parsed; the new engine takes it as it is, and the other way round.
        routed.request.verb = Verb::Write;
        let binary = |patterns: &[&str]| {
            with_special(SpecialPaths { binary: to_strings(patterns), ..SpecialPaths::default() })
        };
        recheck_access(&routed, &binary(&["b"])).unwrap();
        assert!(recheck_access(&routed, &binary(&["a"])).is_err());
        routed.request.raw_body = Some(Box::default());
        recheck_access(&routed, &binary(&["a"])).unwrap();
        let error = recheck_access(&routed, &binary(&["b"])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        routed.request.raw_body = None;
        routed.access.token = TokenRequirement::Ignored;
        assert_eq!(
            recheck_access(&routed, &inside(&[], &[])).unwrap_err().kind(),
            ErrorKind::Unavailable
        );
        recheck_access(&routed, &inside(&["a"], &[])).unwrap();
    }
}
