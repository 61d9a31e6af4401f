//! The HTTP side: paths, methods, and how answers and refusals look.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Response};
use http_body_util::Full;
use serde::{Deserialize, Serialize};

use super::acl::{Acl, Caller, Policy, Refusal, Search};
use super::token::Wish;
use super::{Mood, Shared, lock};
use crate::serve::{Asked, Told};

/// An answer: a body, perhaps, and what the headers say of the list.
#[derive(Default)]
struct Answer {
    body: Option<Vec<u8>>,
    /// Whether something was read, and so the leader is known.
    read: bool,
    next_token: Option<String>,
}

type Outcome = Result<Answer, Refusal>;

/// Answers a request, as the mood is.
pub(super) async fn answer(shared: Arc<Shared>, asked: Asked) -> Told {
    let query = asked.query.iter().map(|(name, value)| format!("{name}={value}"));
    let query = query.collect::<Vec<_>>().join("&");
    let mark = if query.is_empty() { "" } else { "?" };
    lock(&shared.asked).push(format!("{} {}{mark}{query}", asked.method, asked.path));
    let mood = *lock(&shared.mood);
    let refusal = match mood {
        Mood::NoLeader => Some(Refusal::new(500, "No cluster leader")),
        Mood::RateLimited => Some(Refusal::new(
            429,
            "Your IP is issuing too many concurrent connections, please rate limit your calls",
        )),
        _ => None,
    };
    if let Some(refusal) = refusal {
        return Some(refused(&refusal));
    }
    let response = {
        let mut acl = lock(&shared.acl);
        let before = acl.index();
        match route(&mut acl, &asked) {
            Ok(_) if mood == Mood::LosesLeader && acl.index() != before => {
                refused(&Refusal::new(500, "leadership lost while committing log"))
            }
            Ok(answer) => answered(answer, acl.index()),
            Err(refusal) => refused(&refusal),
        }
    };
    match mood {
        Mood::Mute => None,
        Mood::Slow(time) => {
            shared.clock.sleep(time).await;
            Some(response)
        }
        _ => Some(response),
    }
}

fn route(acl: &mut Acl, asked: &Asked) -> Outcome {
    let parts: Vec<&str> = asked.path.trim_start_matches('/').split('/').collect();
    let (get, put) = (asked.method == Method::GET, is_write(&asked.method));
    match parts.as_slice() {
        ["v1", "status", "leader"] if get => json(&"127.0.0.1:4647"),
        ["v1", "acl", "bootstrap"] if put => bootstrap(acl, asked),
        ["v1", "acl", "tokens"] if get => tokens(acl, asked),
        ["v1", "acl", "token"] if put => create(acl, asked),
        ["v1", "acl", "token", "self"] if get => own(acl, asked),
        ["v1", "acl", "token", ""] => Err(Refusal::new(400, "Missing Token Accessor")),
        ["v1", "acl", "token", accessor] => token(acl, asked, accessor),
        ["v1", "acl", "policies"] if get => policies(acl, asked),
        ["v1", "acl", "policy", ""] => Err(Refusal::new(400, "Missing Policy Name")),
        ["v1", "acl", "policy", name] => policy(acl, asked, name),
        ["v1", "acl", "bootstrap" | "tokens" | "token" | "policies"] => {
            Err(Refusal::new(405, "Invalid method"))
        }
        _ => Err(Refusal::new(404, "")),
    }
}

fn is_write(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT)
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Bootstrap {
    bootstrap_secret: String,
}

fn bootstrap(acl: &mut Acl, asked: &Asked) -> Outcome {
    let wish: Bootstrap = if asked.body.is_empty() {
        Bootstrap::default()
    } else {
        serde_json::from_slice(&asked.body)
            .map_err(|error| Refusal::new(400, format!("failed to decode request body: {error}")))?
    };
    acl.enabled()?;
    let made = acl.bootstrap(&wish.bootstrap_secret)?;
    json(&made.shown())
}

fn create(acl: &mut Acl, asked: &Asked) -> Outcome {
    let wish: Wish = body(asked)?;
    management(acl, asked)?;
    let made = acl.create(wish)?;
    json(&made.shown())
}

fn token(acl: &mut Acl, asked: &Asked, accessor: &str) -> Outcome {
    match asked.method {
        Method::GET => {}
        Method::DELETE => {
            management(acl, asked)?;
            acl.delete(accessor)?;
            return Ok(Answer::default());
        }
        Method::POST | Method::PUT => {
            return Err(Refusal::new(501, "this fake changes no tokens"));
        }
        _ => return Err(Refusal::new(405, "Invalid method")),
    }
    acl.enabled()?;
    // Unlike the others this says why it knows no caller.
    let caller = acl.caller(secret_of(asked))?;
    let found = acl.find(accessor);
    match (&caller, found) {
        (Caller::Management, Some(token)) => read(&token.shown()),
        (Caller::Management, None) => Err(Refusal::new(404, "ACL token not found")),
        (Caller::Client(own), Some(token)) if own.accessor == token.accessor => {
            read(&token.shown())
        }
        _ => Err(Refusal::denied()),
    }
}

fn own(acl: &Acl, asked: &Asked) -> Outcome {
    let secret = secret_of(asked);
    acl.caller(secret)?;
    match acl.all().find(|token| !secret.is_empty() && token.secret == secret) {
        Some(token) => read(&token.shown()),
        None => read(&serde_json::json!({
            "ExpirationTTL": "", "AccessorID": "anonymous", "SecretID": "",
            "Name": "Anonymous Token", "Type": "client", "Policies": ["anonymous"],
            "Roles": null, "Global": false, "Hash": null,
            "CreateTime": "0001-01-01T00:00:00Z", "ExpirationTime": null,
            "CreateIndex": 0, "ModifyIndex": 0,
        })),
    }
}

fn tokens(acl: &Acl, asked: &Asked) -> Outcome {
    management(acl, asked)?;
    let page = acl.list(&Search {
        prefix: asked.query("prefix"),
        filter: asked.query("filter"),
        per_page: asked.query("per_page").parse().unwrap_or_default(),
        next_token: asked.query("next_token"),
    })?;
    let listed: Vec<_> = page.tokens.iter().map(|token| token.listed()).collect();
    Ok(Answer { next_token: page.next, ..read(&listed)? })
}

fn policies(acl: &Acl, asked: &Asked) -> Outcome {
    management(acl, asked)?;
    let stub = |policy: &Policy| serde_json::json!({ "Name": policy.name, "Description": policy.description });
    let stubs: Vec<_> = acl.policies().values().map(stub).collect();
    read(&stubs)
}

fn policy(acl: &mut Acl, asked: &Asked, name: &str) -> Outcome {
    match asked.method {
        Method::GET => {
            management(acl, asked)?;
            let found = acl.policies().get(name);
            read(found.ok_or_else(|| Refusal::new(404, "ACL policy not found"))?)
        }
        Method::POST | Method::PUT => {
            let policy: Policy = body(asked)?;
            if policy.name != name {
                let text = "ACL policy name does not match request path";
                return Err(Refusal::new(400, text));
            }
            management(acl, asked)?;
            acl.change_policies().insert(name.to_owned(), policy);
            Ok(Answer::default())
        }
        Method::DELETE => {
            management(acl, asked)?;
            acl.change_policies().remove(name);
            Ok(Answer::default())
        }
        _ => Err(Refusal::new(405, "Invalid method")),
    }
}

/// Only a management token goes further; whatever else is shown is denied in the same words.
fn management(acl: &Acl, asked: &Asked) -> Result<(), Refusal> {
    acl.enabled()?;
    match acl.caller(secret_of(asked)) {
        Ok(Caller::Management) => Ok(()),
        _ => Err(Refusal::denied()),
    }
}

fn secret_of(asked: &Asked) -> &str {
    match asked.header("x-nomad-token") {
        "" => asked.header("authorization").strip_prefix("Bearer ").unwrap_or_default(),
        secret => secret,
    }
}

fn body<'a, T: Deserialize<'a>>(asked: &'a Asked) -> Result<T, Refusal> {
    if asked.body.is_empty() {
        return Err(Refusal::new(400, "Request body is empty"));
    }
    serde_json::from_slice(&asked.body).map_err(|error| Refusal::new(400, error.to_string()))
}

fn json(value: &impl Serialize) -> Outcome {
    let failed = |error: serde_json::Error| Refusal::new(500, error.to_string());
    let body = serde_json::to_vec(value).map_err(failed)?;
    Ok(Answer { body: Some(body), ..Answer::default() })
}

fn read(value: &impl Serialize) -> Outcome {
    Ok(Answer { read: true, ..json(value)? })
}

fn answered(answer: Answer, index: u64) -> Response<Full<Bytes>> {
    let mut headers = vec![("x-nomad-index", index.to_string())];
    if answer.read {
        headers.push(("x-nomad-knownleader", "true".to_owned()));
        headers.push(("x-nomad-lastcontact", "0".to_owned()));
    }
    headers.extend(answer.next_token.map(|next| ("x-nomad-nexttoken", next)));
    if answer.body.is_some() {
        headers.push(("content-type", "application/json".to_owned()));
    }
    response(200, headers, answer.body.unwrap_or_default())
}

fn refused(refusal: &Refusal) -> Response<Full<Bytes>> {
    let content_type = ("content-type", "text/plain; charset=utf-8".to_owned());
    response(refusal.0, vec![content_type], refusal.1.clone().into_bytes())
}

fn response(
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
