//! The book's tutorial and other pages, as a reader types them: their commands run in order, and what
//! they show comes.
//!
//! Blocks marked `sh` are run, one after the other in one shell. A block marked `text` after one is
//! what is seen of it: each line of it comes in this order, with anything where it has `…`. Other
//! blocks are to be read only.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use strongroom_testkit::programs::{binaries_folder, repository_root};
use tokio::process::Command;

/// No build and no test of it takes longer.
const TIMEOUT: Duration = Duration::from_secs(300);
const STEP_MARKER: &str = "---- step ";
/// What the page's commands start is ended with them.
const SCRIPT_PROLOGUE: &str =
    "set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT\n";

/// A block of commands, and what is seen of it.
struct TutorialStep {
    commands: String,
    expected_output: Vec<String>,
}

#[tokio::test]
async fn the_tutorial_works_as_it_is_written() {
    let server = ("127.0.0.1:8200", free_address());
    let service = ("127.0.0.1:8090", free_address());
    let variables = [("TOKEN_SERVICE_ADDR", service.1.clone())];
    play_page("tutorial.md", &[server, service], &variables, TIMEOUT).await;
}

/// Where the long tests build crates; their dependencies are built once.
fn crate_variables() -> [(&'static str, String); 3] {
    [
        ("STRONGROOM_SOURCE", repository_root().display().to_string()),
        ("CARGO_NET_OFFLINE", "true".to_owned()),
        (
            "CARGO_BUILD_BUILD_DIR",
            binaries_folder().join("interop/plugin-new").display().to_string(),
        ),
    ]
}

/// Building all dependencies takes minutes.
const BUILD_TIMEOUT: Duration = Duration::from_secs(1800);

#[tokio::test]
#[ignore = "takes minutes: make test-long"]
async fn the_first_engine_works_as_it_is_written() {
    let server = ("127.0.0.1:8200", free_address());
    let service = ("127.0.0.1:8090", free_address());
    let mut variables = crate_variables().to_vec();
    variables.push(("TOKEN_SERVICE_ADDR", service.1.clone()));
    play_page("howto/first-engine.md", &[server, service], &variables, BUILD_TIMEOUT).await;
}

#[tokio::test]
#[ignore = "takes minutes: make test-long"]
async fn the_first_auth_method_works_as_it_is_written() {
    let server = ("127.0.0.1:8200", free_address());
    play_page("howto/first-auth-method.md", &[server], &crate_variables(), BUILD_TIMEOUT).await;
}

/// Runs the commands of a page in an empty folder, and compares what they show. `addresses` are those
/// in the page and the free ones that take their place.
async fn play_page(
    page: &str,
    addresses: &[(&str, String)],
    variables: &[(&str, String)],
    limit: Duration,
) {
    let page = fs::read_to_string(repository_root().join("docs/src").join(page)).unwrap();
    let steps = parse_steps(&page);
    assert!(steps.len() > 3, "only {} steps were found", steps.len());
    let place = tempfile::tempdir().unwrap();
    let mut script = SCRIPT_PROLOGUE.to_owned();
    for (number, step) in steps.iter().enumerate() {
        script.push_str(&format!("echo '{STEP_MARKER}{number}'\n{}\n", step.commands));
    }
    for (written, free) in addresses {
        assert!(script.contains(written), "{written} isn't in the page any more");
        script = script.replace(written, free);
    }
    let file = place.path().join("page.sh");
    fs::write(&file, script).unwrap();
    let path = format!("{}:{}", binaries_folder().display(), std::env::var("PATH").unwrap());
    let running = Command::new("bash")
        .arg(&file)
        .current_dir(place.path())
        .env("PATH", path)
        .env("HOME", place.path())
        .envs(tool_homes())
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .env_remove("VAULT_TOKEN")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(limit, running).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let log = fs::read_to_string(place.path().join("server.log")).unwrap_or_default();
    let told = format!("{said}\n{}\n{log}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}");
    let mut shown = said.split(STEP_MARKER).skip(1);
    for (number, step) in steps.iter().enumerate() {
        let mut shown = shown.next().unwrap_or_default().to_owned();
        for (written, free) in addresses {
            shown = shown.replace(free, written);
        }
        if let Err(missing) = check_order(&step.expected_output, &shown) {
            panic!("step {number} doesn't show {missing:?} but\n{shown}\nafter\n{}", step.commands);
        }
    }
}

/// The folders of Cargo and rustup, which are below the home folder unless they are set.
fn tool_homes() -> Vec<(&'static str, PathBuf)> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")]
        .map(|(name, folder)| {
            (name, std::env::var_os(name).map_or_else(|| home.join(folder), PathBuf::from))
        })
        .to_vec()
}

#[test]
fn missing_output_is_detected() {
    let line = |text: &str| vec![text.to_owned()];
    assert!(check_order(&line("Sealed … false"), "a\nSealed   false\n").is_ok());
    assert!(check_order(&line("Sealed … false"), "Sealed   true\nfalse").is_err());
    let two = vec!["a".to_owned(), "b".to_owned()];
    assert!(check_order(&two, "b\na\n").is_err());
    let page = "```sh\none\n```\n\n```text\nseen\n```\n```console\n$ no\n```\n```sh\ntwo\n```\n";
    let found = parse_steps(page);
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].commands.as_str(), found[0].expected_output.len()), ("one", 1));
    assert!(found[1].expected_output.is_empty());
}

fn parse_steps(page: &str) -> Vec<TutorialStep> {
    let mut found: Vec<TutorialStep> = Vec::new();
    for part in page.split("\n```").map(|part| part.strip_prefix("```").unwrap_or(part)) {
        if let Some(commands) = part.strip_prefix("sh\n") {
            found.push(TutorialStep { commands: commands.to_owned(), expected_output: Vec::new() });
        } else if let Some(seen) = part.strip_prefix("text\n") {
            let step = found.last_mut().unwrap();
            step.expected_output.extend(seen.lines().map(str::to_owned));
        }
    }
    found
}

/// The first line that doesn't come, if there is one.
fn check_order<'a>(seen: &'a [String], shown: &str) -> Result<(), &'a str> {
    let mut lines = shown.lines();
    for expected in seen {
        if !lines.any(|line| matches_with_ellipsis(expected, line)) {
            return Err(expected);
        }
    }
    Ok(())
}

fn matches_with_ellipsis(expected: &str, mut line: &str) -> bool {
    for part in expected.split('…').map(str::trim) {
        match line.find(part) {
            Some(at) => line = &line[at + part.len()..],
            None => return false,
        }
    }
    true
}

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}
