//! The contract checks, on the engines of these tests and on engines that violate them.

use std::process::Command;

use super::fake_system::FakeSystem;
use strongroom_sdk::engine::FoldedPaths;
use strongroom_sdk::testing::{Harness, Transport};
use strongroom_sdk::{
    Blueprint, Context, Document, Error, FreeForm, Input, KeyValues, Response, ResponseData,
    Secret, VersionedEngine, contract,
};

#[tokio::test]
async fn an_engine_with_credentials_keeps_to_the_contract() {
    let samples = [
        ("config", r#"{"password":"hunter2"}"#),
        ("usual", r#"{"ttl":"1h"}"#),
        ("roles/dev", r#"{"ttl":"1h"}"#),
    ];
    contract::check(FakeSystem::default().key_blueprint(), &samples).await;
}

/// Standard output and standard error of one of the tests below, run in a process of its own.
fn run_ignored_test(test: &str) -> (String, String) {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", &format!("contract::{test}"), "--ignored", "--nocapture"]);
    child.env_remove("RUST_BACKTRACE");
    let output = child.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr))
}

#[test]
fn a_check_that_passes_prints_nothing_and_one_that_fails_says_why() {
    let (out, err) = run_ignored_test("a_check_that_passes");
    assert!(out.contains("begins\nends\n") && out.contains("1 passed"), "{out}{err}");
    assert_eq!(err, "");
    let (out, err) = run_ignored_test("a_check_that_fails");
    assert!(out.contains("begins\n") && out.contains("1 failed"), "{out}{err}");
    assert!(err.contains("the engine has no help: see Blueprint::help"), "{err}");
}

#[tokio::test]
#[ignore = "another test runs it and looks at what it prints"]
async fn a_check_that_passes() {
    println!("begins");
    contract::check(notes_blueprint(), &[("notes/a/b", r#"{"text":"hello"}"#)]).await;
    println!("ends");
}

#[tokio::test]
#[ignore = "another test runs it and looks at what it prints"]
async fn a_check_that_fails() {
    println!("begins");
    let engine = Blueprint::new("notes", "1.0.0").free_form("{path..}", "A note.", FreeForm::new());
    contract::check(engine, &[("a/b", r#"{"text":"hello"}"#)]).await;
}

/// The person to greet.
#[derive(Input)]
struct GreetInput {
    /// A name; taken from the path.
    name: String,
    /// Titles, by language.
    titles: KeyValues,
}

#[derive(ResponseData)]
struct GreetResponse {
    greeting: String,
}

async fn greet(_: Context, who: GreetInput) -> Result<Response, Error> {
    let title = who.titles.0.get("en").cloned().unwrap_or_default();
    Ok(Response::data(&GreetResponse { greeting: format!("hello, {title} {}", who.name) }))
}

fn notes_blueprint() -> Blueprint {
    Blueprint::new("notes", "1.2.3-rc.1")
        .help("Keeps notes, and greets.")
        .exclusive()
        .read("greet/{name}", "Greets.", greet)
        .unauthenticated()
        .write("greet/{name}", "Greets too.", greet)
        .root()
        .folds_case()
        .free_form("notes/{path..}", "A note.", FreeForm::new())
}

/// Case-insensitive names reach the engine in lower case, on each transport.
#[tokio::test]
async fn cve_2026_89322_a_path_that_folds_case_reaches_the_engine_in_lower_case() {
    for way in [Transport::Linked, Transport::Wire, Transport::Foreign] {
        Harness::run_one(notes_blueprint(), way, |host| async move {
            let greeted = host.write("greet/BoB", r#"{"titles":{"en":"Dr"}}"#).await.unwrap();
            assert_eq!(greeted.text("greeting"), "hello, Dr bob");
            let folded = FoldedPaths::Declared(vec!["greet/+".to_owned()]);
            assert_eq!(host.description().folded_paths, folded);
        })
        .await;
    }
}

#[tokio::test]
async fn a_free_form_engine_keeps_to_the_contract() {
    contract::check(notes_blueprint(), &[("notes/a/b", r#"{"text":"hello"}"#)]).await;
}

/// Of these the check knows the samples only.
#[tokio::test]
async fn an_engine_of_several_versions_keeps_to_the_contract() {
    let engine = VersionedEngine::by_option("version", "1", notes_blueprint());
    contract::check(engine, &[("notes/a/b", r#"{"text":"hello"}"#)]).await;
}

#[tokio::test]
#[should_panic(expected = "the error repeats a value")]
async fn an_error_that_repeats_a_value_is_found_through_the_samples() {
    let engine = Blueprint::new("talkative", "1.0.0").help("Talks.").document::<EchoingConfig>();
    let engine = VersionedEngine::by_option("version", "1", engine);
    contract::check(engine, &[("config", r#"{"word":"","key":"k"}"#)]).await;
}

#[tokio::test]
#[should_panic(expected = "the create of config failed")]
async fn a_sample_that_cannot_be_written_is_found() {
    let engine = Blueprint::new("nervous", "1.0.0").help("Trembles.").document::<PanickingConfig>();
    let engine = VersionedEngine::by_option("version", "1", engine);
    contract::check(engine, &[("config", r#"{"word":"1"}"#)]).await;
}

/// A document whose validation error repeats a value, which the contract forbids.
#[derive(Document)]
#[document(path = "config", validate = repeats)]
struct EchoingConfig {
    /// The value that the error repeats.
    word: String,
    /// A secret, which the error doesn't repeat.
    key: Option<Secret<String>>,
}

fn repeats(talkative: &EchoingConfig) -> Result<(), String> {
    if talkative.word.len() > 50 {
        return Ok(());
    }
    if talkative.word.is_empty() { Ok(()) } else { Err(format!("{:?}?", talkative.word)) }
}

#[tokio::test]
#[should_panic(expected = "the error repeats a value")]
async fn an_error_that_repeats_a_value_is_found() {
    let engine = Blueprint::new("talkative", "1.0.0").help("Talks.").document::<EchoingConfig>();
    contract::check(engine, &[("config", "{}")]).await;
}

/// A document whose validation panics if the word is empty.
#[derive(Document)]
#[document(path = "config", validate = panics_at_nothing)]
struct PanickingConfig {
    /// A word that must not be empty.
    word: String,
}

fn panics_at_nothing(nervous: &PanickingConfig) -> Result<(), String> {
    let first = nervous.word.chars().next().unwrap();
    if first.is_alphabetic() { Ok(()) } else { Err("that is no word".to_owned()) }
}

#[tokio::test]
#[should_panic(expected = "the engine panicked")]
async fn a_panic_on_odd_input_is_found() {
    let engine = Blueprint::new("nervous", "1.0.0").help("Trembles.").document::<PanickingConfig>();
    contract::check(engine, &[("config", r#"{"word":"x"}"#)]).await;
}

#[tokio::test]
#[should_panic(expected = "there is no sample for notes/{path..}")]
async fn a_document_without_a_sample_is_found() {
    contract::check(notes_blueprint(), &[]).await;
}

#[tokio::test]
#[should_panic(expected = "has no documentation comment")]
async fn a_field_without_help_is_found() {
    #[derive(Document)]
    #[document(path = "config")]
    /// Says nothing.
    struct UndocumentedConfig {
        word: String,
    }
    let engine = Blueprint::new("silent", "1.0.0").help("Silent.").document::<UndocumentedConfig>();
    contract::check(engine, &[("config", "{}")]).await;
}
