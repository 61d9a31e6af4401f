//! A case against a server.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::Value;
use strongroom_testkit::wait::let_others_run;

use crate::case::{CaseStep, GoldenCase, GoldenResponse};
use crate::redact::{self, CapturedValues};
use crate::wire::{self, RawExchange};

/// The headers that are looked at, and how they usually are. Elsewhere a case says so.
pub const HEADERS: &[(&str, Option<&str>)] = &[
    ("allow", None),
    ("cache-control", Some("no-store")),
    ("content-type", Some("application/json")),
    ("location", None),
    ("retry-after", None),
];

/// How often a step is asked until it has the status it waits for.
const MAX_ATTEMPTS: u32 = 200;
const RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// What a server answered to the steps of a case.
#[derive(Debug)]
pub struct CaseResult {
    /// An answer for each step, as far as the case came.
    pub replies: Vec<GoldenResponse>,
    /// What stopped it early.
    pub error: Option<String>,
}

/// Plays a case against the server at `http://host:port`. `root` is its root token; empty for a
/// server that has none yet.
pub async fn play_case(address: &str, root: &str, case: &GoldenCase) -> CaseResult {
    let mut known = CapturedValues::new();
    if !root.is_empty() {
        known.insert("root".to_owned(), root.to_owned());
    }
    let mut replies = Vec::new();
    let stopped = run_steps(address, case, &mut known, &mut replies).await.err();
    for step in &case.teardown {
        // What isn't there any more need not be taken away.
        let _ = send_step(address, step, &known).await;
    }
    CaseResult { replies, error: stopped }
}

async fn run_steps(
    address: &str,
    case: &GoldenCase,
    known: &mut CapturedValues,
    replies: &mut Vec<GoldenResponse>,
) -> Result<(), String> {
    for step in &case.setup {
        let answer = send_step(address, step, known).await?;
        if answer.status >= 300 {
            let body = redact::redact_text(&String::from_utf8_lossy(&answer.body), known);
            return Err(format!("the set-up {:?} answered {} {body}", step.ask, answer.status));
        }
        capture_values(step, &answer, known)?;
    }
    for step in &case.steps {
        let answer = send_step(address, step, known).await?;
        let taken = capture_values(step, &answer, known);
        replies.push(to_golden_response(step, &answer, known));
        // The answer shows why there is nothing to take.
        taken?;
    }
    Ok(())
}

async fn send_step(
    address: &str,
    step: &CaseStep,
    known: &CapturedValues,
) -> Result<RawExchange, String> {
    for _ in 0..MAX_ATTEMPTS {
        let answer = wire::send(address, build_request(step, known)?).await?;
        if step.until.is_none_or(|status| status == answer.status) {
            return Ok(answer);
        }
        let_others_run(RETRY_INTERVAL).await;
    }
    Err(format!("{:?} never had the status it waits for", step.ask))
}

fn build_request(step: &CaseStep, known: &CapturedValues) -> Result<Request<Full<Bytes>>, String> {
    let asked = fill_placeholders(&step.ask, known);
    let (method, path) = asked.split_once(' ').ok_or("a request is a method and a path")?;
    let target = if path.starts_with('/') { path.to_owned() } else { format!("/v1/{path}") };
    let mut request = Request::builder().method(method).uri(target);
    let token = step.token.as_deref().unwrap_or("{{root}}");
    let token = fill_placeholders(token, known);
    if !token.is_empty() && !token.starts_with("{{") {
        request = request.header("X-Vault-Token", token);
    }
    for (name, value) in &step.headers {
        request = request.header(name, fill_placeholders(value, known));
    }
    let body = match (&step.body, &step.body_text) {
        (Some(body), None) => fill_value_placeholders(body, known).to_string(),
        (None, Some(text)) => fill_placeholders(text, known),
        (None, None) => String::new(),
        (Some(_), Some(_)) => return Err(format!("{asked}: two bodies")),
    };
    request.body(Full::new(Bytes::from(body))).map_err(|error| format!("{asked}: {error}"))
}

fn capture_values(
    step: &CaseStep,
    answer: &RawExchange,
    known: &mut CapturedValues,
) -> Result<(), String> {
    for (name, pointer) in &step.take {
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let found = body.pointer(pointer).and_then(Value::as_str);
        let found = found.ok_or_else(|| format!("{:?} answered nothing at {pointer}", step.ask))?;
        known.insert(name.clone(), found.to_owned());
    }
    Ok(())
}

fn to_golden_response(
    step: &CaseStep,
    answer: &RawExchange,
    known: &CapturedValues,
) -> GoldenResponse {
    let mut reply = GoldenResponse { status: answer.status, ..GoldenResponse::default() };
    for (name, usual) in HEADERS {
        let value =
            answer.headers.get(*name).map(|value| String::from_utf8_lossy(value.as_bytes()));
        if value.as_deref() != *usual {
            let value = value.map(|value| redact::redact_text(&value, known));
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
        Ok(body) => {
            reply.set_body(redact::redact_body(&select_view(&body, &step.view), path, known));
        }
        Err(_) => {
            reply.text = Some(redact::redact_text(&String::from_utf8_lossy(&answer.body), known));
        }
    }
    reply
}

/// The parts that are looked at, by pointer.
fn select_view(body: &Value, view: &[String]) -> Value {
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
fn fill_placeholders(text: &str, known: &CapturedValues) -> String {
    let mut text = text.to_owned();
    for (name, value) in known {
        text = text.replace(&format!("{{{{{name}}}}}"), value);
    }
    text
}

fn fill_value_placeholders(value: &Value, known: &CapturedValues) -> Value {
    match value {
        Value::String(text) => fill_placeholders(text, known).into(),
        Value::Array(list) => list.iter().map(|it| fill_value_placeholders(it, known)).collect(),
        Value::Object(map) => Value::Object(
            map.iter()
                .map(|(name, it)| (name.clone(), fill_value_placeholders(it, known)))
                .collect(),
        ),
        other => other.clone(),
    }
}
