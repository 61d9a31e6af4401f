//! Tests of an engine: the same test body runs against the engine linked in, against the engine
//! behind the real plug-in protocol, and under a server that has neither intents nor atomic batches,
//! with a clock that the test advances.
//!
//! ```
//! use strongroom_sdk::{Blueprint, FreeForm};
//! use strongroom_sdk::testing::{Harness, json};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let engine = Blueprint::new("notes", "1.0.0").free_form("{path..}", "A note.", FreeForm::new());
//! Harness::run(engine, |host| async move {
//!     host.write("a/b", json!({ "text": "hello" })).await.unwrap();
//!     assert_eq!(host.read("a/b").await.unwrap().text("text"), "hello");
//!     assert_eq!(host.list("a/").await.unwrap(), ["b"]);
//! })
//! .await;
//! # }
//! ```
//!
//! The [`TestHost`] passed to the body takes the place of the server: it calls the existence check
//! before a write, keeps a lease for each credential (written in one batch with the removal of its
//! intent), revokes expired leases, and can crash. It has no tokens and no policies, which are part
//! of the core.
//!
//! - [`Harness`] and [`Transport`]: how and where a test body runs
//! - [`TestHost`]: the operations available to a body
//! - [`TestCaller`]: who sends the requests
//! - [`OutsideSystem`] and [`OutsideFault`]: a stand-in for the system that the engine manages
//! - [`TestResponse`], [`TestError`], [`TestLease`]: their results
#![expect(clippy::panic, reason = "a test fails by a panic")]

mod caller;
mod calls_in_progress;
mod host;
mod in_process_plugin;
mod instance;
mod intents;
mod key_encoding;
mod lease;
mod logins;
mod memory_entries;
mod outside_system;
mod requests;
mod response;

use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

pub use caller::TestCaller;
use futures_util::FutureExt;
pub use host::TestHost;
pub use lease::TestLease;
pub use outside_system::{OutsideFault, OutsideRequest, OutsideSystem};
pub use response::{TestError, TestResponse};
pub use serde_json::{Value as JsonValue, json};
use strongroom_engine::EngineFactory;
pub use strongroom_types::ErrorKind;
pub use strongroom_types::clock::ManualClock;

/// Runs test bodies; all its functions are associated functions.
#[derive(Debug)]
pub struct Harness(());

/// How the engine is connected to the test host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Linked into the server's process.
    Linked,
    /// As a plug-in of Strongroom, over a Unix socket with mutual TLS and the broker.
    Wire,
    /// As a plug-in of a server that has neither intents nor atomic batches, such as Vault.
    Foreign,
}

impl Harness {
    /// Runs a test body once with each [`Transport`]: linked in, as a plug-in of Strongroom, and as a
    /// plug-in of a server such as Vault. Each run has its own host, storage and clock. Stand-ins for
    /// the outside system are created by the body itself.
    ///
    /// # Panics
    ///
    /// If the body panics, or the engine can't be opened.
    pub async fn run<E, F, Fut>(engine: E, body: F)
    where
        E: EngineFactory + Clone,
        F: Fn(TestHost) -> Fut,
        Fut: Future<Output = ()>,
    {
        let all = [Transport::Linked, Transport::Wire, Transport::Foreign];
        Self::run_on(&all, engine, body).await;
    }

    /// Like [`Harness::run`], but once with each of the given transports, for a test of something
    /// that only some hosts have, such as intents.
    ///
    /// # Panics
    ///
    /// If the body panics, or the engine can't be opened.
    pub async fn run_on<E, F, Fut>(transports: &[Transport], engine: E, body: F)
    where
        E: EngineFactory + Clone,
        F: Fn(TestHost) -> Fut,
        Fut: Future<Output = ()>,
    {
        for way in transports {
            Self::run_one(engine.clone(), *way, &body).await;
        }
    }

    /// Like [`Harness::run`], but once, with the given transport.
    ///
    /// # Panics
    ///
    /// If the body panics, or the engine can't be opened.
    pub async fn run_one<F, Fut>(engine: impl EngineFactory, way: Transport, body: F)
    where
        F: FnOnce(TestHost) -> Fut,
        Fut: Future<Output = ()>,
    {
        let host = TestHost::start(Arc::new(engine), way).await;
        let outcome = AssertUnwindSafe(body(host.clone())).catch_unwind().await;
        if let Err(panic) = outcome {
            panic!("{way}: {}", panic_message(&*panic));
        }
        host.stop().await;
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Linked => "linked in",
            Self::Wire => "over the wire",
            Self::Foreign => "under a foreign server",
        })
    }
}

/// The message of a panic.
fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words")
}
