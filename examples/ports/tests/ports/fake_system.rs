//! [`FakeSystem`]: an outside system with a state, which fails on demand.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::Value;
use strongroom_fakes::serve::{FakeHttpServer, ReceivedRequest, json_response, serve};

/// How the system responds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behavior {
    Normal,
    /// Carries nothing out, and responds with this status.
    Refuses(u16),
    /// Carries out the request, and closes the connection.
    LosesResponse,
    /// Closes the connection without carrying anything out.
    LosesRequest,
}

/// A running outside system. It stops when it is dropped.
pub(crate) struct FakeSystem<S> {
    state: Arc<Mutex<S>>,
    behavior: Arc<Mutex<Behavior>>,
    server: FakeHttpServer,
}

impl<S: Send + 'static> FakeSystem<S> {
    /// Starts a system that answers a request with a status and a body.
    pub(crate) async fn start(
        state: S,
        answer: fn(&mut S, &ReceivedRequest) -> (u16, Value),
    ) -> Self {
        let (state, behavior) =
            (Arc::new(Mutex::new(state)), Arc::new(Mutex::new(Behavior::Normal)));
        let (shared, present) = (state.clone(), behavior.clone());
        let answer = move |request: ReceivedRequest| {
            let behavior = *present.lock().unwrap();
            let response = match behavior {
                Behavior::Refuses(status) => Some((status, Value::Null)),
                Behavior::LosesRequest => None,
                Behavior::Normal | Behavior::LosesResponse => {
                    Some(answer(&mut shared.lock().unwrap(), &request))
                }
            };
            let response = response.filter(|_| behavior != Behavior::LosesResponse);
            async move { response.map(|(status, body)| json_response(status, &body)) }
        };
        let server = serve((Ipv4Addr::LOCALHOST, 0).into(), None, answer).await.unwrap();
        Self { state, behavior, server }
    }

    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, S> {
        self.state.lock().unwrap()
    }

    pub(crate) fn set_behavior(&self, behavior: Behavior) {
        *self.behavior.lock().unwrap() = behavior;
    }
}

/// The URL of an address at which nobody listens.
pub(crate) fn unreachable_url() -> String {
    let addr = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    format!("http://{addr}")
}

/// The path without its prefix, if it has it.
pub(crate) fn path_after<'r>(request: &'r ReceivedRequest, prefix: &str) -> Option<&'r str> {
    request.path.strip_prefix(prefix)
}

/// The token of a request that authenticates with one; empty if it doesn't.
pub(crate) fn bearer_token(request: &ReceivedRequest) -> &str {
    request.header("authorization").strip_prefix("Bearer ").unwrap_or_default()
}

/// The body as JSON; null if it is none.
pub(crate) fn json_body(request: &ReceivedRequest) -> Value {
    serde_json::from_slice(&request.body).unwrap_or_default()
}
