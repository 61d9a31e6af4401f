//! An in-memory auth method that returns what a test sets.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use strongroom_engine::{
    DataResponse, Engine, EngineAuth, EngineDescription, EngineError, EngineRequest,
    EngineResponse, Existence, FoldedPaths, LeasedResponse, MountKind, Operation, SpecialPaths,
};
use strongroom_types::{Fields, RawObject, Ttl};
use tokio::sync::Notify;

/// The fake method's settings, and the requests it received.
#[derive(Clone, Debug, Default)]
pub(crate) struct FakeAuthMethod(Arc<FakeAuthState>);

#[derive(Debug, Default)]
struct FakeAuthState {
    login: Mutex<Option<EngineAuth>>,
    renewal: Mutex<Option<Result<Option<EngineAuth>, EngineError>>>,
    requests: Mutex<Vec<EngineRequest>>,
    failure: Mutex<Option<EngineError>>,
    blocks_logins: Mutex<bool>,
    unblocked: Notify,
    response_headers: Mutex<BTreeMap<String, Vec<String>>>,
    issues_leases: Mutex<bool>,
    panics_on_close: Mutex<bool>,
    /// What its periodic function does.
    periodic_behavior: Mutex<PeriodicBehavior>,
    periodic_calls: AtomicUsize,
}

/// The outcome of a periodic call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum PeriodicBehavior {
    #[default]
    Works,
    Fails,
    Hangs,
}

impl FakeAuthMethod {
    /// Accepts every login from now on, with this auth block.
    pub(crate) fn set_login(&self, auth: EngineAuth) {
        *self.0.login.lock().unwrap() = Some(auth);
    }

    /// Fails logins and revocations from now on with this error.
    pub(crate) fn fail_with(&self, error: EngineError) {
        *self.0.failure.lock().unwrap() = Some(error);
    }

    /// Ends the effect of [`fail_with`](Self::fail_with).
    pub(crate) fn stop_failing(&self) {
        *self.0.failure.lock().unwrap() = None;
    }

    /// Sets the response to renewals; `Ok(None)` returns no auth block. Until this is called, a
    /// renewal returns the auth block it was sent.
    pub(crate) fn set_renewal(&self, answer: Result<Option<EngineAuth>, EngineError>) {
        *self.0.renewal.lock().unwrap() = Some(answer);
    }

    /// Blocks logins while set.
    pub(crate) fn block_logins(&self, slow: bool) {
        *self.0.blocks_logins.lock().unwrap() = slow;
    }

    pub(crate) fn unblock(&self) {
        self.0.unblocked.notify_one();
    }

    /// Responds to logins with a leased credential from now on, which auth methods shouldn't do.
    pub(crate) fn issue_leases(&self) {
        *self.0.issues_leases.lock().unwrap() = true;
    }

    /// Panics in `close` from now on.
    pub(crate) fn panic_on_close(&self) {
        *self.0.panics_on_close.lock().unwrap() = true;
    }

    /// Sets what its periodic function does from now on.
    pub(crate) fn set_periodic(&self, does: PeriodicBehavior) {
        *self.0.periodic_behavior.lock().unwrap() = does;
    }

    /// The number of periodic calls received.
    pub(crate) fn periodic_calls(&self) -> usize {
        self.0.periodic_calls.load(Ordering::SeqCst)
    }

    /// The number of revoke requests received.
    pub(crate) fn revoke_count(&self) -> usize {
        let seen = self.0.requests.lock().unwrap();
        seen.iter().filter(|request| request.operation == Operation::Revoke).count()
    }

    /// Adds a header to its responses.
    pub(crate) fn set_response_header(&self, name: &str, value: &str) {
        self.0.response_headers.lock().unwrap().insert(name.to_owned(), vec![value.to_owned()]);
    }

    /// The operations it received, in order.
    pub(crate) fn seen_operations(&self) -> Vec<Operation> {
        self.0.requests.lock().unwrap().iter().map(|request| request.operation).collect()
    }

    /// The last request it received; panics if there is none.
    pub(crate) fn last_request(&self) -> EngineRequest {
        self.0.requests.lock().unwrap().last().cloned().expect("a request")
    }

    pub(crate) fn engine(&self, kind: MountKind) -> Arc<dyn Engine> {
        let unauthenticated = vec!["login/*".to_owned()];
        let root = vec!["admin/*".to_owned()];
        let special = SpecialPaths { unauthenticated, root, ..SpecialPaths::default() };
        let version = "v1.0.0".to_owned();
        let description = EngineDescription {
            kind,
            version,
            special_paths: special,
            wants_token_hash: true,
            folded_paths: FoldedPaths::Unknown,
            exclusive: false,
        };
        Arc::new(FakeAuthEngine { auth_method: self.clone(), description })
    }
}

#[derive(Debug)]
struct FakeAuthEngine {
    auth_method: FakeAuthMethod,
    description: EngineDescription,
}

#[async_trait]
impl Engine for FakeAuthEngine {
    fn description(&self) -> &EngineDescription {
        &self.description
    }

    async fn initialize(&self) -> Result<(), EngineError> {
        Ok(())
    }

    async fn exists(&self, _: &EngineRequest) -> Result<Existence, EngineError> {
        Ok(Existence::NoCheck)
    }

    async fn handle(&self, request: EngineRequest) -> Result<EngineResponse, EngineError> {
        let state = &self.auth_method.0;
        let (operation, asked_with) = (request.operation, request.auth.clone());
        state.requests.lock().unwrap().push(request.clone());
        if operation == Operation::Renew {
            let renewal = state.renewal.lock().unwrap().clone();
            return match renewal {
                Some(Ok(Some(auth))) => Ok(EngineResponse::Auth(Box::new(auth))),
                Some(Ok(None)) => Ok(EngineResponse::Nothing),
                Some(Err(error)) => Err(error),
                None => Ok(asked_with.map_or(EngineResponse::Nothing, EngineResponse::Auth)),
            };
        }
        if operation == Operation::Revoke {
            let fails = state.failure.lock().unwrap().clone();
            return fails.map_or(Ok(EngineResponse::Nothing), Err);
        }
        if *state.issues_leases.lock().unwrap() {
            let internal = RawObject::from_json(r#"{"id":"c1"}"#).unwrap();
            return Ok(EngineResponse::Leased(LeasedResponse {
                data: DataResponse::new(RawObject::empty()),
                internal,
                ttl: Ttl::from_secs(60),
                max_ttl: Ttl::ZERO,
                renewable: false,
                intent: None,
                keep_data: false,
                seal_wrap: false,
            }));
        }
        if request.path.starts_with("login/") || request.path.starts_with("inside/") {
            let slow = *state.blocks_logins.lock().unwrap();
            if slow {
                state.unblocked.notified().await;
            }
            if let Some(error) = state.failure.lock().unwrap().clone() {
                return Err(error);
            }
            let auth = state.login.lock().unwrap().clone();
            return auth
                .map(|auth| EngineResponse::Auth(Box::new(auth)))
                .ok_or_else(|| EngineError::user("who are you?"));
        }
        let headers = state.response_headers.lock().unwrap().clone();
        Ok(EngineResponse::Data(DataResponse {
            headers,
            ..DataResponse::new(Fields::new().to_object())
        }))
    }

    async fn invalidate(&self, _: &str) {}

    async fn periodic(&self) -> Result<(), EngineError> {
        let state = &self.auth_method.0;
        state.periodic_calls.fetch_add(1, Ordering::SeqCst);
        let does = *state.periodic_behavior.lock().unwrap();
        match does {
            PeriodicBehavior::Works => Ok(()),
            PeriodicBehavior::Fails => {
                Err(EngineError::internal("the administrator's password is wrong"))
            }
            PeriodicBehavior::Hangs => std::future::pending().await,
        }
    }

    async fn close(&self) {
        let panics = *self.auth_method.0.panics_on_close.lock().unwrap();
        assert!(!panics, "a panic that a test wants");
    }
}
