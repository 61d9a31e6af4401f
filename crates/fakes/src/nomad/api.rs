//! The HTTP API: paths, methods, and the format of responses and errors.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Response};
use http_body_util::Full;
use serde::{Deserialize, Serialize};

use super::acl::{AclCaller, AclState, AclTokenQuery, NomadError, NomadPolicy};
use super::token::AclTokenRequest;
use super::{FakeNomadInner, NomadBehavior, lock};
use crate::serve::{MaybeResponse, ReceivedRequest};

/// A response: an optional body, and the paging headers.
#[derive(Default)]
struct AclResponse {
    body: Option<Vec<u8>>,
    /// Whether this was a read, whose response has headers about the leader.
    is_read: bool,
    next_token: Option<String>,
}

type AclResult = Result<AclResponse, NomadError>;

/// Responds to a request according to the configured behaviour.
pub(super) async fn respond(shared: Arc<FakeNomadInner>, asked: ReceivedRequest) -> MaybeResponse {
    let query = asked.query.iter().map(|(name, value)| format!("{name}={value}"));
    let query = query.collect::<Vec<_>>().join("&");
    let mark = if query.is_empty() { "" } else { "?" };
    lock(&shared.requests).push(format!("{} {}{mark}{query}", asked.method, asked.path));
    let mood = *lock(&shared.behavior);
    let refusal = match mood {
        NomadBehavior::NoLeader => Some(NomadError::new(500, "No cluster leader")),
        NomadBehavior::RateLimited => Some(NomadError::new(
            429,
            "Your IP is issuing too many concurrent connections, please rate limit your calls",
        )),
        _ => None,
    };
    if let Some(refusal) = refusal {
        return Some(error_response(&refusal));
    }
    let response = {
        let mut acl = lock(&shared.acl);
        let before = acl.index();
        match route(&mut acl, &asked) {
            Ok(_) if mood == NomadBehavior::LosesLeader && acl.index() != before => {
                error_response(&NomadError::new(500, "leadership lost while committing log"))
            }
            Ok(answer) => success_response(answer, acl.index()),
            Err(refusal) => error_response(&refusal),
        }
    };
    match mood {
        NomadBehavior::DropsResponse => None,
        NomadBehavior::Slow(time) => {
            shared.clock.sleep(time).await;
            Some(response)
        }
        _ => Some(response),
    }
}

fn route(acl: &mut AclState, asked: &ReceivedRequest) -> AclResult {
    let parts: Vec<&str> = asked.path.trim_start_matches('/').split('/').collect();
    let (get, put) = (asked.method == Method::GET, is_write(&asked.method));
    match parts.as_slice() {
        ["v1", "status", "leader"] if get => json_response(&"127.0.0.1:4647"),
        ["v1", "acl", "bootstrap"] if put => handle_bootstrap(acl, asked),
        ["v1", "acl", "tokens"] if get => list_tokens(acl, asked),
        ["v1", "acl", "token"] if put => create_token(acl, asked),
        ["v1", "acl", "token", "self"] if get => read_own_token(acl, asked),
        ["v1", "acl", "token", ""] => Err(NomadError::new(400, "Missing Token Accessor")),
        ["v1", "acl", "token", accessor] => handle_token(acl, asked, accessor),
        ["v1", "acl", "policies"] if get => list_policies(acl, asked),
        ["v1", "acl", "policy", ""] => Err(NomadError::new(400, "Missing Policy Name")),
        ["v1", "acl", "policy", name] => handle_policy(acl, asked, name),
        ["v1", "acl", "bootstrap" | "tokens" | "token" | "policies"] => {
            Err(NomadError::new(405, "Invalid method"))
        }
        _ => Err(NomadError::new(404, "")),
    }
}

fn is_write(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT)
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct BootstrapRequest {
    bootstrap_secret: String,
}

fn handle_bootstrap(acl: &mut AclState, asked: &ReceivedRequest) -> AclResult {
    let wish: BootstrapRequest = if asked.body.is_empty() {
        BootstrapRequest::default()
    } else {
        serde_json::from_slice(&asked.body).map_err(|error| {
            NomadError::new(400, format!("failed to decode request body: {error}"))
        })?
    };
    acl.require_enabled()?;
    let made = acl.bootstrap(&wish.bootstrap_secret)?;
    json_response(&made.to_response())
}

fn create_token(acl: &mut AclState, asked: &ReceivedRequest) -> AclResult {
    let wish: AclTokenRequest = parse_body(asked)?;
    require_management(acl, asked)?;
    let made = acl.create_token(wish)?;
    json_response(&made.to_response())
}

fn handle_token(acl: &mut AclState, asked: &ReceivedRequest, accessor: &str) -> AclResult {
    match asked.method {
        Method::GET => {}
        Method::DELETE => {
            require_management(acl, asked)?;
            acl.delete_token(accessor)?;
            return Ok(AclResponse::default());
        }
        Method::POST | Method::PUT => {
            return Err(NomadError::new(501, "this fake changes no tokens"));
        }
        _ => return Err(NomadError::new(405, "Invalid method")),
    }
    acl.require_enabled()?;
    // Unlike other endpoints, this one says why it can't identify the caller.
    let caller = acl.authenticate(request_secret(asked))?;
    let found = acl.token_by_accessor(accessor);
    match (&caller, found) {
        (AclCaller::Management, Some(token)) => read_response(&token.to_response()),
        (AclCaller::Management, None) => Err(NomadError::new(404, "ACL token not found")),
        (AclCaller::Client(own), Some(token)) if own.accessor == token.accessor => {
            read_response(&token.to_response())
        }
        _ => Err(NomadError::permission_denied()),
    }
}

fn read_own_token(acl: &AclState, asked: &ReceivedRequest) -> AclResult {
    let secret = request_secret(asked);
    acl.authenticate(secret)?;
    match acl.tokens().find(|token| !secret.is_empty() && token.secret == secret) {
        Some(token) => read_response(&token.to_response()),
        None => read_response(&serde_json::json!({
            "ExpirationTTL": "", "AccessorID": "anonymous", "SecretID": "",
            "Name": "Anonymous Token", "Type": "client", "Policies": ["anonymous"],
            "Roles": null, "Global": false, "Hash": null,
            "CreateTime": "0001-01-01T00:00:00Z", "ExpirationTime": null,
            "CreateIndex": 0, "ModifyIndex": 0,
        })),
    }
}

fn list_tokens(acl: &AclState, asked: &ReceivedRequest) -> AclResult {
    require_management(acl, asked)?;
    let page = acl.list_tokens(&AclTokenQuery {
        prefix: asked.query_value("prefix"),
        filter: asked.query_value("filter"),
        per_page: asked.query_value("per_page").parse().unwrap_or_default(),
        next_token: asked.query_value("next_token"),
    })?;
    let listed: Vec<_> = page.tokens.iter().map(|token| token.to_list_stub()).collect();
    Ok(AclResponse { next_token: page.next_token, ..read_response(&listed)? })
}

fn list_policies(acl: &AclState, asked: &ReceivedRequest) -> AclResult {
    require_management(acl, asked)?;
    let stub = |policy: &NomadPolicy| serde_json::json!({ "Name": policy.name, "Description": policy.description });
    let stubs: Vec<_> = acl.policies().values().map(stub).collect();
    read_response(&stubs)
}

fn handle_policy(acl: &mut AclState, asked: &ReceivedRequest, name: &str) -> AclResult {
    match asked.method {
        Method::GET => {
            require_management(acl, asked)?;
            let found = acl.policies().get(name);
            read_response(found.ok_or_else(|| NomadError::new(404, "ACL policy not found"))?)
        }
        Method::POST | Method::PUT => {
            let policy: NomadPolicy = parse_body(asked)?;
            if policy.name != name {
                let text = "ACL policy name does not match request path";
                return Err(NomadError::new(400, text));
            }
            require_management(acl, asked)?;
            acl.policies_mut().insert(name.to_owned(), policy);
            Ok(AclResponse::default())
        }
        Method::DELETE => {
            require_management(acl, asked)?;
            acl.policies_mut().remove(name);
            Ok(AclResponse::default())
        }
        _ => Err(NomadError::new(405, "Invalid method")),
    }
}

/// Requires a management token; any other caller gets the same "permission denied".
fn require_management(acl: &AclState, asked: &ReceivedRequest) -> Result<(), NomadError> {
    acl.require_enabled()?;
    match acl.authenticate(request_secret(asked)) {
        Ok(AclCaller::Management) => Ok(()),
        _ => Err(NomadError::permission_denied()),
    }
}

fn request_secret(asked: &ReceivedRequest) -> &str {
    match asked.header("x-nomad-token") {
        "" => asked.header("authorization").strip_prefix("Bearer ").unwrap_or_default(),
        secret => secret,
    }
}

fn parse_body<'a, T: Deserialize<'a>>(asked: &'a ReceivedRequest) -> Result<T, NomadError> {
    if asked.body.is_empty() {
        return Err(NomadError::new(400, "Request body is empty"));
    }
    serde_json::from_slice(&asked.body).map_err(|error| NomadError::new(400, error.to_string()))
}

fn json_response(value: &impl Serialize) -> AclResult {
    let failed = |error: serde_json::Error| NomadError::new(500, error.to_string());
    let body = serde_json::to_vec(value).map_err(failed)?;
    Ok(AclResponse { body: Some(body), ..AclResponse::default() })
}

fn read_response(value: &impl Serialize) -> AclResult {
    Ok(AclResponse { is_read: true, ..json_response(value)? })
}

fn success_response(answer: AclResponse, index: u64) -> Response<Full<Bytes>> {
    let mut headers = vec![("x-nomad-index", index.to_string())];
    if answer.is_read {
        headers.push(("x-nomad-knownleader", "true".to_owned()));
        headers.push(("x-nomad-lastcontact", "0".to_owned()));
    }
    headers.extend(answer.next_token.map(|next| ("x-nomad-nexttoken", next)));
    if answer.body.is_some() {
        headers.push(("content-type", "application/json".to_owned()));
    }
    build_response(200, headers, answer.body.unwrap_or_default())
}

fn error_response(refusal: &NomadError) -> Response<Full<Bytes>> {
    let content_type = ("content-type", "text/plain; charset=utf-8".to_owned());
    build_response(refusal.0, vec![content_type], refusal.1.clone().into_bytes())
}

fn build_response(
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}
