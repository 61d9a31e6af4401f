//! A fake Kubernetes API server: reviews of tokens, service accounts and namespaces, each with the
//! rights that the real one asks for.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use data_encoding::BASE64URL_NOPAD;
use http_body_util::Full;
use rustls::ServerConfig;
use serde_json::{Value, json};

use crate::serve::{FakeHttpServer, ReceivedRequest, json_response, serve};

/// A running API server. It stops when it is dropped.
#[derive(Debug)]
pub struct FakeCluster {
    server: FakeHttpServer,
    state: Arc<Mutex<ClusterState>>,
}

/// What a service account may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountRights {
    /// Create token reviews, as the role `system:auth-delegator` permits.
    pub review_tokens: bool,
    /// Get namespaces.
    pub get_namespaces: bool,
    /// Get service accounts.
    pub get_accounts: bool,
}

impl AccountRights {
    /// All of them.
    pub const ALL: Self = Self { review_tokens: true, get_namespaces: true, get_accounts: true };
}

#[derive(Clone, Debug)]
struct IssuedToken {
    namespace: String,
    name: String,
    uid: String,
    audience: String,
}

#[derive(Debug, Default)]
struct ClusterState {
    /// The id and the rights of each service account, by namespace and name.
    accounts: BTreeMap<(String, String), (String, AccountRights)>,
    labels: BTreeMap<String, BTreeMap<String, String>>,
    tokens: BTreeMap<String, IssuedToken>,
    ignores_audiences: bool,
    created: usize,
    requests: Vec<String>,
}

/// The audience of tokens that are issued for no other.
const OWN_AUDIENCE: &str = "https://kubernetes.default.svc";

impl FakeCluster {
    /// Starts an API server without service accounts, with TLS if there are settings for it.
    ///
    /// # Errors
    ///
    /// The error of the operating system if no port is free.
    pub async fn start(tls: Option<ServerConfig>) -> io::Result<Self> {
        let state = Arc::new(Mutex::new(ClusterState::default()));
        let shared = state.clone();
        let answer = move |request: ReceivedRequest| {
            let (status, body) = lock(&shared).answer(&request);
            let response: http::Response<Full<bytes::Bytes>> = json_response(status, &body);
            std::future::ready(Some(response))
        };
        let server = serve(SocketAddr::from(([127, 0, 0, 1], 0)), tls, answer).await?;
        Ok(Self { server, state })
    }

    /// The base URL without TLS.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Creates a service account, anew if it exists, and returns its id.
    pub fn create_account(&self, namespace: &str, name: &str, rights: AccountRights) -> String {
        let mut state = lock(&self.state);
        state.created += 1;
        let uid = format!("00000000-0000-4000-8000-{:012}", state.created);
        let key = (namespace.to_owned(), name.to_owned());
        state.accounts.insert(key, (uid.clone(), rights));
        uid
    }

    /// Deletes a service account. Its tokens aren't accepted any more.
    pub fn delete_account(&self, namespace: &str, name: &str) {
        lock(&self.state).accounts.remove(&(namespace.to_owned(), name.to_owned()));
    }

    /// Sets the labels of a namespace.
    pub fn set_labels(&self, namespace: &str, labels: &[(&str, &str)]) {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        lock(&self.state).labels.insert(namespace.to_owned(), labels.collect());
    }

    /// Answers reviews as a server that doesn't know audiences.
    pub fn ignore_audiences(&self) {
        lock(&self.state).ignores_audiences = true;
    }

    /// Issues a token of a service account for the API server.
    pub fn issue_token(&self, namespace: &str, name: &str) -> String {
        self.issue_token_for(namespace, name, OWN_AUDIENCE)
    }

    /// Issues a token of a service account for this audience.
    pub fn issue_token_for(&self, namespace: &str, name: &str, audience: &str) -> String {
        let mut state = lock(&self.state);
        let key = (namespace.to_owned(), name.to_owned());
        let uid = state.accounts.get(&key).map(|(uid, _)| uid.clone()).unwrap_or_default();
        let claims = json!({
            "iss": "https://issuer.example",
            "aud": [audience],
            "sub": format!("system:serviceaccount:{namespace}:{name}"),
            "kubernetes.io/serviceaccount/secret.name": format!("{name}-token"),
        });
        state.created += 1;
        let parts =
            [r#"{"alg":"RS256"}"#.to_owned(), claims.to_string(), state.created.to_string()];
        let token = parts.map(|part| BASE64URL_NOPAD.encode(part.as_bytes())).join(".");
        let issued = IssuedToken {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid,
            audience: audience.to_owned(),
        };
        state.tokens.insert(token.clone(), issued);
        token
    }

    /// Method and path of the requests so far, in their order.
    pub fn requests(&self) -> Vec<String> {
        lock(&self.state).requests.clone()
    }
}

fn lock(state: &Mutex<ClusterState>) -> MutexGuard<'_, ClusterState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn status(code: u16, reason: &str) -> (u16, Value) {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code,
    });
    (code, body)
}

impl ClusterState {
    /// The account that a token belongs to, if both still exist.
    fn account_of(&self, token: &str) -> Option<(&IssuedToken, AccountRights)> {
        let issued = self.tokens.get(token)?;
        let key = (issued.namespace.clone(), issued.name.clone());
        let (uid, rights) = self.accounts.get(&key)?;
        (*uid == issued.uid).then_some((issued, *rights))
    }

    fn answer(&mut self, request: &ReceivedRequest) -> (u16, Value) {
        self.requests.push(format!("{} {}", request.method, request.path));
        let bearer = request.header("authorization").strip_prefix("Bearer ").unwrap_or_default();
        let own = |issued: &IssuedToken| self.ignores_audiences || issued.audience == OWN_AUDIENCE;
        let caller = self.account_of(bearer).filter(|(issued, _)| own(issued));
        let Some((_, rights)) = caller else { return status(401, "Unauthorized") };
        let segments: Vec<&str> = request.path.split('/').skip(1).collect();
        match (request.method.as_str(), segments.as_slice()) {
            ("POST", ["apis", "authentication.k8s.io", "v1", "tokenreviews"]) => {
                if rights.review_tokens { self.review(request) } else { status(403, "Forbidden") }
            }
            ("GET", ["api", "v1", "namespaces", namespace]) => {
                if !rights.get_namespaces {
                    return status(403, "Forbidden");
                }
                match self.labels.get(*namespace) {
                    Some(labels) => {
                        (200, json!({ "kind": "Namespace", "metadata": { "labels": labels } }))
                    }
                    None => status(404, "NotFound"),
                }
            }
            ("GET", ["api", "v1", "namespaces", namespace, "serviceaccounts", name]) => {
                if !rights.get_accounts {
                    return status(403, "Forbidden");
                }
                match self.accounts.get(&((*namespace).to_owned(), (*name).to_owned())) {
                    Some((uid, _)) => {
                        (200, json!({ "kind": "ServiceAccount", "metadata": { "uid": uid } }))
                    }
                    None => status(404, "NotFound"),
                }
            }
            _ => status(404, "NotFound"),
        }
    }

    fn review(&self, request: &ReceivedRequest) -> (u16, Value) {
        let Ok(review) = serde_json::from_slice::<Value>(&request.body) else {
            return status(400, "BadRequest");
        };
        let text = |pointer| review.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        if text("/kind") != "TokenReview" || text("/apiVersion") != "authentication.k8s.io/v1" {
            return status(400, "BadRequest");
        }
        let asked = review.pointer("/spec/audiences").and_then(Value::as_array);
        let asked: Vec<&str> = match asked {
            Some(asked) => asked.iter().filter_map(Value::as_str).collect(),
            None => vec![OWN_AUDIENCE],
        };
        let fits = |issued: &IssuedToken| {
            self.ignores_audiences || asked.contains(&issued.audience.as_str())
        };
        let found = self.account_of(text("/spec/token")).filter(|(issued, _)| fits(issued));
        let Some((issued, _)) = found else {
            // It says who the token claims to be, and that it isn't so.
            let user = json!({ "username": "system:serviceaccount:ci:builder", "uid": "claimed" });
            let state = json!({ "user": user, "error": "[invalid bearer token]" });
            return (201, json!({ "kind": "TokenReview", "status": state }));
        };
        let username = format!("system:serviceaccount:{}:{}", issued.namespace, issued.name);
        let user = json!({ "username": username, "uid": issued.uid });
        let mut state = json!({ "authenticated": true, "user": user });
        if !self.ignores_audiences
            && let Some(fields) = state.as_object_mut()
        {
            fields.insert("audiences".to_owned(), json!([issued.audience]));
        }
        (
            201,
            json!({ "kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "status": state }),
        )
    }
}
