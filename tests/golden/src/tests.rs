//! All cases against a server of ours, and what finds the differences.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};
use strongroom_testkit::ServerFolder;
use strongroom_testkit::features::FeatureList;
use strongroom_testkit::programs::print_to_stderr;

use crate::case::{CaseFile, ENVELOPE, GoldenResponse, Server, load_cases};
use crate::compare::differences;
use crate::format::to_pretty_json;
use crate::play::{CaseResult, play_case};
use crate::redact;

#[tokio::test]
async fn our_answers_are_those_of_the_reference() {
    let features = FeatureList::load();
    let files = load_cases("");
    let mut site = ServerFolder::new("");
    let (server, api) = site.start_unsealed().await;
    let (mut waiting, mut wrong, mut held) = (BTreeMap::<&str, usize>::new(), String::new(), 0);
    for file in &files {
        if let Some(feature) = file.case.awaits.as_deref().filter(|name| !features.is_built(name)) {
            *waiting.entry(feature).or_default() += 1;
            continue;
        }
        let played = match file.case.server {
            Server::Open => play_case(api.address(), api.token(), &file.case).await,
            Server::New => {
                let site = ServerFolder::new("");
                let server = site.start_sealed().await;
                play_case(server.api_with_token("").address(), "", &file.case).await
            }
        };
        let problems = describe_problems(file, &played);
        held += usize::from(problems.is_empty());
        wrong.push_str(&problems);
    }
    for (feature, cases) in waiting {
        print_to_stderr(&format!("awaits {feature}: {cases} golden cases are not played"));
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert!(held > 20, "only {held} cases were played");
    assert_eq!(server.stop().await, Some(0));
}

/// What is wrong with a case's answers, a line each.
fn describe_problems(file: &CaseFile, played: &CaseResult) -> String {
    let mut found = String::new();
    let name = &file.name;
    for (index, (step, ours)) in file.case.steps.iter().zip(&played.replies).enumerate() {
        let Some(reference) = &step.reply else {
            let _ = writeln!(found, "{name} {index} {}: nothing is recorded", step.ask);
            continue;
        };
        let same = differences(&step.ask, reference, ours);
        let lines = match &step.strongroom {
            None => same,
            // A note on a difference that is gone hides the next one.
            Some(_) if same.is_empty() => vec!["the noted difference is gone".to_owned()],
            Some(noted) => differences(&step.ask, &noted.reply, ours),
        };
        for line in lines {
            let _ = writeln!(found, "{name} {index} {}: {line}", step.ask);
        }
    }
    if let Some(why) = &played.error {
        let _ = writeln!(found, "{name} stopped: {why}");
    }
    found
}

/// A reply with this body.
fn golden_response(body: Value) -> GoldenResponse {
    let mut reply = GoldenResponse { status: 200, ..GoldenResponse::default() };
    reply.set_body(body);
    reply
}

fn envelope_with_data(data: &Value) -> Value {
    let mut body: Value = serde_json::from_str(ENVELOPE).unwrap();
    body["data"] = data.clone();
    body
}

#[test]
fn every_difference_is_seen() {
    let wanted =
        golden_response(envelope_with_data(&json!({ "n": 1, "list": ["a"], "none": null })));
    assert_eq!(wanted.body, None, "an envelope is known as one");
    let seen = |ask: &str, ours: &GoldenResponse| differences(ask, &wanted, ours);
    assert!(seen("GET a", &wanted).is_empty());
    for data in [
        json!({ "n": "1", "list": ["a"], "none": null }),
        json!({ "n": 1, "list": ["a", "b"], "none": null }),
        json!({ "n": 1, "list": ["a"] }),
        json!({ "n": 1, "list": ["a"], "none": null, "more": 1 }),
        Value::Null,
    ] {
        assert_eq!(seen("GET a", &golden_response(envelope_with_data(&data))).len(), 1, "{data}");
    }
    let mut bare = envelope_with_data(&json!({ "n": 1, "list": ["a"], "none": null }));
    bare.as_object_mut().unwrap().remove("wrap_info");
    assert_eq!(seen("GET a", &golden_response(bare)), ["/wrap_info is missing, wanted null"]);
    assert_eq!(seen("GET a", &GoldenResponse { status: 201, ..wanted.clone() }).len(), 1);
    let headers = [("content-type".to_owned(), None)].into();
    assert_eq!(seen("GET a", &GoldenResponse { headers, ..wanted.clone() }).len(), 1);
    let mut more = envelope_with_data(&json!({ "n": 1, "list": ["a"], "none": null }));
    more["mount_type"] = "kv".into();
    assert!(seen("GET a", &golden_response(more)).is_empty(), "allowed by rule");
}

#[test]
fn only_volatile_text_is_redacted() {
    let known = [("token".to_owned(), "hvs.abcdefghijklmnopqrstuvwx".to_owned())].into();
    let redacted = redact::redact_body(
        &json!({
            "id": "hvs.abcdefghijklmnopqrstuvwx",
            "other": "s.abcdefghijklmnopqrstuvwx",
            "lease": "auth/token/create/abcdefghijklmnopqrstuvwx",
            "at": "2026-11-21T23:21:14.55Z",
            "zero": "0001-01-01T00:00:00Z",
            "accessor": "auth_token_1a2b3c4d",
            "ttl": 3598, "period": 3598, "creation_time": 1_795_299_674,
            "text": "a plain text of some length", "version": "v1.0.0",
        }),
        "auth/token/lookup",
        &known,
    );
    let wanted = json!({
        "id": "{{token}}",
        "other": "<service token>",
        "lease": "auth/token/create/<24 letters>",
        "at": "<time>",
        "zero": "0001-01-01T00:00:00Z",
        "accessor": "auth_token_<8 hex>",
        "ttl": 3600, "period": 3598, "creation_time": "<unix time>",
        "text": "a plain text of some length", "version": "v1.0.0",
    });
    assert_eq!(redacted, wanted);
}

#[test]
fn files_have_recorder_format() {
    for file in load_cases("") {
        let value = serde_json::to_value(&file.case).unwrap();
        let text = std::fs::read_to_string(&file.path).unwrap();
        assert_eq!(text, to_pretty_json(&value), "{}", file.name);
    }
}
