//! A case against a server.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::Value;
use strongroom_testkit::wait::let_run;

use crate::case::{Case, Reply, Step};
use crate::redact::{self, Known};
use crate::wire::{self, Exchange};

/// The headers that are looked at, and how they usually are. Elsewhere a case says so.
pub const HEADERS: &[(&str, Option<&str>)] = &[
    ("allow", None),
    ("cache-control", Some("no-store")),
    ("content-type", Some("application/json")),
    ("location", None),
    ("retry-after", None),
];

/// How often a step is asked until it has the status it waits for.
const TRIES: u32 = 200;
const BETWEEN: Duration = Duration::from_millis(50);

/// What a server answered to the steps of a case.
#[derive(Debug)]
pub struct Played {
    /// An answer for each step, as far as the case came.
    pub replies: Vec<Reply>,
    /// What stopped it early.
    pub stopped: Option<String>,
}

/// Plays a case against the server at `http://host:port`. `root` is its root token; empty for a
/// server that has none yet.
pub async fn play(address: &str, root: &str, case: &Case) -> Played {
    let mut known = Known::new();
    if !root.is_empty() {
        known.insert("root".to_owned(), root.to_owned());
    }
    let mut replies = Vec::new();
    let stopped = run(address, case, &mut known, &mut replies).await.err();
    for step in &case.teardown {
        // What isn't there any more need not be taken away.
        let _ = ask(address, step, &known).await;
    }
    Played { replies, stopped }
}

async fn run(
    address: &str,
    case: &Case,
    known: &mut Known,
    replies: &mut Vec<Reply>,
) -> Result<(), String> {
    for step in &case.setup {
        let answer = ask(address, step, known).await?;
        if answer.status >= 300 {
            let body = redact::text(&String::from_utf8_lossy(&answer.body), known);
            return Err(format!("the set-up {:?} answered {} {body}", step.ask, answer.status));
        }
        take(step, &answer, known)?;
    }
    for step in &case.steps {
        let answer = ask(address, step, known).await?;
        let taken = take(step, &answer, known);
        replies.push(reply(step, &answer, known));
        // The answer shows why there is nothing to take.
        taken?;
    }
    Ok(())
}

async fn ask(address: &str, step: &Step, known: &Known) -> Result<Exchange, String> {
    for _ in 0..TRIES {
        let answer = wire::send(address, request(step, known)?).await?;
        if step.until.is_none_or(|status| status == answer.status) {
            return Ok(answer);
        }
        let_run(BETWEEN).await;
    }
    Err(format!("{:?} never had the status it waits for", step.ask))
}

fn request(step: &Step, known: &Known) -> Result<Request<Full<Bytes>>, String> {
    let asked = filled(&step.ask, known);
    let (method, path) = asked.split_once(' ').ok_or("a request is a method and a path")?;
    let target = if path.starts_with('/') { path.to_owned() } else { format!("/v1/{path}") };
    let mut request = Request::builder().method(method).uri(target);
    let token = step.token.as_deref().unwrap_or("{{root}}");
    let token = filled(token, known);
    if !token.is_empty() && !token.starts_with("{{") {
        request = request.header("X-Vault-Token", token);
    }
    for (name, value) in &step.headers {
        request = request.header(name, filled(value, known));
    }
    let body = match (&step.body, &step.body_text) {
        (Some(body), None) => filled_value(body, known).to_string(),
        (None, Some(text)) => filled(text, known),
        (None, None) => String::new(),
        (Some(_), Some(_)) => return Err(format!("{asked}: two bodies")),
    };
    request.body(Full::new(Bytes::from(body))).map_err(|error| format!("{asked}: {error}"))
}

fn take(step: &Step, answer: &Exchange, known: &mut Known) -> Result<(), String> {
    for (name, pointer) in &step.take {
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let found = body.pointer(pointer).and_then(Value::as_str);
        let found = found.ok_or_else(|| format!("{:?} answered nothing at {pointer}", step.ask))?;
        known.insert(name.clone(), found.to_owned());
    }
    Ok(())
}

fn reply(step: &Step, answer: &Exchange, known: &Known) -> Reply {
    let mut reply = Reply { status: answer.status, ..Reply::default() };
    for (name, usual) in HEADERS {
        let value =
            answer.headers.get(*name).map(|value| String::from_utf8_lossy(value.as_bytes()));
        if value.as_deref() != *usual {
            let value = value.map(|value| redact::text(&value, known));
            reply.headers.insert((*name).to_owned(), value);
        }
    }
    if (300..400).contains(&answer.status) {
        // What is in it is a page for browsers that don't follow by themselves.
        reply.headers.remove("content-type");
        return reply;
    }
    if answer.body.is_empty() {
        return reply;
    }
    let path = step.ask.split_once(' ').map_or("", |(_, path)| path);
    match serde_json::from_slice::<Value>(&answer.body) {
        Ok(body) => reply.set_body(redact::body(&seen(&body, &step.view), path, known)),
        Err(_) => {
            reply.text = Some(redact::text(&String::from_utf8_lossy(&answer.body), known));
        }
    }
    reply
}

/// The parts that are looked at, by pointer.
fn seen(body: &Value, view: &[String]) -> Value {
    if view.is_empty() {
        return body.clone();
    }
    let part = |pointer: &String| {
        let value = body.pointer(pointer).cloned();
        (pointer.clone(), value.unwrap_or_else(|| "<absent>".into()))
    };
    Value::Object(view.iter().map(part).collect())
}

/// A text with the values it names.
fn filled(text: &str, known: &Known) -> String {
    let mut text = text.to_owned();
    for (name, value) in known {
        text = text.replace(&format!("{{{{{name}}}}}"), value);
    }
    text
}

fn filled_value(value: &Value, known: &Known) -> Value {
    match value {
        Value::String(text) => filled(text, known).into(),
        Value::Array(list) => list.iter().map(|it| filled_value(it, known)).collect(),
        Value::Object(map) => Value::Object(
            map.iter().map(|(name, it)| (name.clone(), filled_value(it, known))).collect(),
        ),
        other => other.clone(),
    }
}
