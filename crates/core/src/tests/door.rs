//! An auth method in memory that says whatever a test wants it to say.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use strongroom_sdk::engine::{
    Auth, Data, Description, Engine, EngineError, Existence, FoldedPaths, Kind, Leased, Operation,
    Request, Response, SpecialPaths,
};
use strongroom_types::{Fields, RawObject, Ttl};
use tokio::sync::Notify;

/// What stands at the door, and what was seen there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Door(Arc<State>);

#[derive(Debug, Default)]
struct State {
    login: Mutex<Option<Auth>>,
    renewal: Mutex<Option<Result<Option<Auth>, EngineError>>>,
    seen: Mutex<Vec<Request>>,
    fails: Mutex<Option<EngineError>>,
    slow: Mutex<bool>,
    go_on: Notify,
    says: Mutex<BTreeMap<String, Vec<String>>>,
    issues: Mutex<bool>,
    panics_at_its_end: Mutex<bool>,
    /// What becomes of its periodic calls.
    periodic: Mutex<Periodic>,
    periodic_calls: AtomicUsize,
}

/// What a periodic call does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Periodic {
    #[default]
    Works,
    Fails,
    Hangs,
}

impl Door {
    /// From now on everybody is let in on these terms.
    pub(crate) fn lets_in(&self, auth: Auth) {
        *self.0.login.lock().unwrap() = Some(auth);
    }

    /// From now on nobody is let in, for this reason.
    pub(crate) fn fails(&self, error: EngineError) {
        *self.0.fails.lock().unwrap() = Some(error);
    }

    /// From now on it works again.
    pub(crate) fn fails_no_more(&self) {
        *self.0.fails.lock().unwrap() = None;
    }

    /// What a renewal is answered; none for whatever was asked with.
    pub(crate) fn renews(&self, answer: Result<Option<Auth>, EngineError>) {
        *self.0.renewal.lock().unwrap() = Some(answer);
    }

    /// Logins wait until told to go on.
    pub(crate) fn is_slow(&self, slow: bool) {
        *self.0.slow.lock().unwrap() = slow;
    }

    pub(crate) fn go_on(&self) {
        self.0.go_on.notify_one();
    }

    /// From now on it answers a login with a credential, as no auth method should.
    pub(crate) fn issues(&self) {
        *self.0.issues.lock().unwrap() = true;
    }

    /// From now on it panics when it is closed.
    pub(crate) fn panics_at_its_end(&self) {
        *self.0.panics_at_its_end.lock().unwrap() = true;
    }

    /// What becomes of its periodic calls from now on.
    pub(crate) fn periodic(&self, does: Periodic) {
        *self.0.periodic.lock().unwrap() = does;
    }

    /// How often it got its periodic call.
    pub(crate) fn periodic_calls(&self) -> usize {
        self.0.periodic_calls.load(Ordering::SeqCst)
    }

    /// How often it was asked to revoke.
    pub(crate) fn revoked(&self) -> usize {
        let seen = self.0.seen.lock().unwrap();
        seen.iter().filter(|request| request.operation == Operation::Revoke).count()
    }

    /// Headers of its answers.
    pub(crate) fn says(&self, name: &str, value: &str) {
        self.0.says.lock().unwrap().insert(name.to_owned(), vec![value.to_owned()]);
    }

    /// What it was asked for, in order.
    pub(crate) fn operations(&self) -> Vec<Operation> {
        self.0.seen.lock().unwrap().iter().map(|request| request.operation).collect()
    }

    /// The last request.
    pub(crate) fn seen(&self) -> Request {
        self.0.seen.lock().unwrap().last().cloned().expect("a request")
    }

    pub(crate) fn engine(&self, kind: Kind) -> Arc<dyn Engine> {
        let unauthenticated = vec!["login/*".to_owned()];
        let root = vec!["admin/*".to_owned()];
        let special = SpecialPaths { unauthenticated, root, ..SpecialPaths::default() };
        let version = "v1.0.0".to_owned();
        let description = Description {
            kind,
            version,
            special,
            wants_token_hash: true,
            folded: FoldedPaths::Unknown,
            exclusive: false,
        };
        Arc::new(Opened { door: self.clone(), description })
    }
}

#[derive(Debug)]
struct Opened {
    door: Door,
    description: Description,
}

#[async_trait]
impl Engine for Opened {
    fn description(&self) -> &Description {
        &self.description
    }

    async fn initialize(&self) -> Result<(), EngineError> {
        Ok(())
    }

    async fn exists(&self, _: &Request) -> Result<Existence, EngineError> {
        Ok(Existence::NoCheck)
    }

    async fn handle(&self, request: Request) -> Result<Response, EngineError> {
        let state = &self.door.0;
        let (operation, asked_with) = (request.operation, request.auth.clone());
        state.seen.lock().unwrap().push(request.clone());
        if operation == Operation::Renew {
            let renewal = state.renewal.lock().unwrap().clone();
            return match renewal {
                Some(Ok(Some(auth))) => Ok(Response::Auth(Box::new(auth))),
                Some(Ok(None)) => Ok(Response::Nothing),
                Some(Err(error)) => Err(error),
                None => Ok(asked_with.map_or(Response::Nothing, Response::Auth)),
            };
        }
        if operation == Operation::Revoke {
            let fails = state.fails.lock().unwrap().clone();
            return fails.map_or(Ok(Response::Nothing), Err);
        }
        if *state.issues.lock().unwrap() {
            let internal = RawObject::from_json(r#"{"id":"c1"}"#).unwrap();
            return Ok(Response::Leased(Leased {
                data: Data::new(RawObject::empty()),
                internal,
                ttl: Ttl::from_secs(60),
                max_ttl: Ttl::ZERO,
                renewable: false,
                intent: None,
                keep_data: false,
            }));
        }
        if request.path.starts_with("login/") || request.path.starts_with("inside/") {
            let slow = *state.slow.lock().unwrap();
            if slow {
                state.go_on.notified().await;
            }
            if let Some(error) = state.fails.lock().unwrap().clone() {
                return Err(error);
            }
            let auth = state.login.lock().unwrap().clone();
            return auth
                .map(|auth| Response::Auth(Box::new(auth)))
                .ok_or_else(|| EngineError::user("who are you?"));
        }
        let headers = state.says.lock().unwrap().clone();
        Ok(Response::Data(Data { headers, ..Data::new(Fields::new().to_object()) }))
    }

    async fn invalidate(&self, _: &str) {}

    async fn periodic(&self) -> Result<(), EngineError> {
        let state = &self.door.0;
        state.periodic_calls.fetch_add(1, Ordering::SeqCst);
        let does = *state.periodic.lock().unwrap();
        match does {
            Periodic::Works => Ok(()),
            Periodic::Fails => Err(EngineError::internal("the administrator's password is wrong")),
            Periodic::Hangs => std::future::pending().await,
        }
    }

    async fn close(&self) {
        let panics = *self.door.0.panics_at_its_end.lock().unwrap();
        assert!(!panics, "a panic that a test wants");
    }
}
