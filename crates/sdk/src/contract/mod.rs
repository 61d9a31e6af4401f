//! [`check`]: properties that every engine must have, checked with a few lines in its tests:
//!
//! ```
//! use strongroom_sdk::{Blueprint, FreeForm, contract};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let engine = Blueprint::new("notes", "1.0.0")
//!     .help("Keeps notes.")
//!     .free_form("{path..}", "A note.", FreeForm::new());
//! contract::check(engine, &[("a/b", r#"{"text":"hello"}"#)]).await;
//! # }
//! ```
//!
//! Each declared document needs a sample: a path, and a body with which it can be written. No
//! outside system is contacted. A check that fails panics with the name of the check and the path.
//!
//! Any [`EngineFactory`] can be checked. Of a [`Blueprint`] the check knows the declarations: it
//! checks their help, each declared path and each declared field. Of other factories, such as a
//! [`VersionedEngine`](crate::VersionedEngine), it knows only the samples and the names of their
//! fields.
//!
//! [`check_issuing`] checks an engine with its outside system, or with a stand-in for it.
#![expect(clippy::panic, reason = "a check fails by a panic")]

macro_rules! ensure {
    ($holds:expr, $($reason:tt)+) => {
        if !$holds {
            panic!($($reason)+);
        }
    };
}

mod declared;
mod issuing;
mod odd_input;

use std::any::Any;

use strongroom_engine::{EngineFactory, Existence, PANIC_MESSAGE};
use strongroom_types::{ErrorKind, RawObject, Ttl};

use crate::blueprint::Blueprint;
use crate::testing::{Harness, TestHost, TestLease, Transport};
use crate::{Context, Error, Response};
use declared::{
    description_is_what_was_declared, documents_exist_when_they_are_there, help_covers_every_path,
    help_is_complete, resources_exist_when_they_are_there, unknown_paths_are_unsupported,
};
pub use issuing::check_issuing;
use odd_input::{OddTarget, odd_input_is_refused_and_not_repeated};

/// Checks an engine linked in and behind the plug-in protocol. `samples` are pairs of a path and a
/// JSON body.
///
/// # Panics
///
/// If the engine violates the contract, or a document of a blueprint has no sample.
pub async fn check(engine: impl EngineFactory + Clone, samples: &[(&str, &str)]) {
    name_and_version_are_valid(&engine);
    let any: &dyn Any = &engine;
    match any.downcast_ref::<Blueprint>() {
        Some(blueprint) => check_blueprint(blueprint, samples).await,
        None => check_factory(engine, samples).await,
    }
}

async fn check_blueprint(engine: &Blueprint, samples: &[(&str, &str)]) {
    help_is_complete(engine);
    let targets = OddTarget::of_blueprint(engine, samples);
    let targets = &targets;
    // Raw bodies exist in engines that are linked in only.
    let is_linked_only = !engine.description().special_paths.binary.is_empty();
    let transports: &[Transport] = match is_linked_only {
        true => &[Transport::Linked],
        false => &[Transport::Linked, Transport::Wire],
    };
    for way in transports.iter().copied() {
        let tested = engine.clone().prepend_read(PANIC_PATH, "Panics.", panicking_action);
        Harness::run_one(tested, way, |host| async move {
            description_is_what_was_declared(&host, engine);
            help_covers_every_path(&host, engine).await;
            unknown_paths_are_unsupported(&host, engine).await;
            documents_exist_when_they_are_there(&host, engine, samples).await;
            resources_exist_when_they_are_there(&host, engine, samples).await;
            odd_input_is_refused_and_not_repeated(&host, targets).await;
            leases_of_others_are_refused(&host).await;
            a_panic_harms_nobody_else(&host).await;
        })
        .await;
    }
}

async fn check_factory(engine: impl EngineFactory + Clone, samples: &[(&str, &str)]) {
    let (kind, version) = (engine.kind(), engine.version());
    let targets = OddTarget::of_samples(samples);
    let (version, targets) = (&version, &targets);
    for way in [Transport::Linked, Transport::Wire] {
        Harness::run_one(engine.clone(), way, |host| async move {
            let said = host.description();
            ensure!(said.kind == kind, "the instance is of another kind than the factory");
            ensure!(said.version == *version, "the instance is of version {:?}", said.version);
            ensure!(!fetch_help(&host, "").await.is_empty(), "the engine has no help");
            samples_can_be_written(&host, samples).await;
            odd_input_is_refused_and_not_repeated(&host, targets).await;
            leases_of_others_are_refused(&host).await;
        })
        .await;
    }
}

/// The path that is added to a blueprint; its handler panics.
const PANIC_PATH: &str = "contract-check/panic";
/// A text that no error message may contain.
const MARKER: &str = "odd-Marker-4711";

/// Unwinds like a panic, but without calling the process's panic hook, so that a passing check
/// prints nothing.
async fn panicking_action(_: Context, (): ()) -> Result<Response, Error> {
    std::panic::resume_unwind(Box::new(MARKER))
}

fn name_and_version_are_valid(engine: &dyn EngineFactory) {
    let name = engine.name();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    ensure!(
        !name.is_empty() && name.chars().all(plain),
        "the name {name:?} isn't like `api-token`"
    );
    let version = engine.version();
    let numbers = version.trim_start_matches('v').split(['+', '-']).next().unwrap_or_default();
    let is_version =
        numbers.split('.').count() == 3 && numbers.split('.').all(|n| n.parse::<u32>().is_ok());
    ensure!(is_version, "{version:?} is no semantic version");
}

/// What can be created must exist once it was written, and not before.
async fn samples_can_be_written(host: &TestHost, samples: &[(&str, &str)]) {
    for (path, body) in samples {
        let before = host.exists(path).await;
        ensure!(
            matches!(before, Ok(Existence::Absent | Existence::NoCheck)),
            "{path} exists without being there, or can't be checked: {before:?}"
        );
        for round in ["create", "update"] {
            let written = host.write(path, body).await;
            ensure!(written.is_ok(), "the {round} of {path} failed: {:?}", written.err());
        }
        if before == Ok(Existence::Absent) {
            let after = host.exists(path).await;
            ensure!(after == Ok(Existence::Exists), "{path} was written, and isn't");
        }
    }
}

async fn fetch_help(host: &TestHost, path: &str) -> String {
    match host.help(path).await {
        Ok(help) => help,
        Err(error) => panic!("no help for {path:?}: {error}"),
    }
}

async fn assert_absent(host: &TestHost, path: &str) {
    ensure!(host.exists(path).await == Ok(Existence::Absent), "{path} exists without being there");
    let read = host.read(path).await;
    let not_found = read.as_ref().err().map(|refused| refused.kind);
    ensure!(not_found == Some(ErrorKind::NotFound), "{path} isn't there, and reads as {read:?}");
}

async fn leases_of_others_are_refused(host: &TestHost) {
    for kept in ["{}", "{\"secret_type\":1}", "{\"secret_type\":\"of-nobody\",\"role\":[]}"] {
        let lease = TestLease {
            id: "a-lease".to_owned(),
            path: "creds/an-example".to_owned(),
            ttl: Ttl::ZERO,
            max_ttl: Ttl::ZERO,
            renewable: true,
            issued: host.now(),
            expires: host.now(),
            seal_wrap: false,
            renewal_warnings: Vec::new(),
            internal: RawObject::from_own_json(kept),
            data: None,
        };
        let refused = host.revoke_credential(&lease).await.err();
        let is_so = refused.as_ref().is_some_and(|refused| refused.message != PANIC_MESSAGE);
        ensure!(is_so, "the lease {kept} is of nobody, and was revoked: {refused:?}");
    }
}

async fn a_panic_harms_nobody_else(host: &TestHost) {
    let (panicked, other) = tokio::join!(host.read(PANIC_PATH), host.help(""));
    let message = panicked.err().map(|refused| refused.message);
    ensure!(message.as_deref() == Some(PANIC_MESSAGE), "a panic in a handler became {message:?}");
    ensure!(other.is_ok(), "a panic in a handler took another request with it: {other:?}");
    fetch_help(host, "").await;
}
