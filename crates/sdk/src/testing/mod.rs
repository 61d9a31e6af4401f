//! An engine under test: the same test body against an engine that is linked in and against one
//! behind the real wire, on a clock that the test moves.
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
//! The [`TestHost`] a body gets stands for the server: it asks for existence before a write, keeps a
//! lease for each credential (in one batch with the intent it replaces), ends leases on time, and
//! can crash. What it can't stand for is in the core: tokens and policies.
//!
//! - [`Harness`] and [`Transport`]: where a body runs
//! - [`TestHost`]: what a body does
//! - [`TestResponse`], [`TestError`], [`TestLease`]: what it looks at
#![expect(clippy::panic, reason = "a test fails by a panic")]

mod host;
mod in_process_plugin;
mod instance;
mod key_encoding;
mod lease;
mod memory_entries;
mod response;

use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
pub use host::TestHost;
pub use lease::TestLease;
pub use response::{TestError, TestResponse};
pub use serde_json::json;
pub use strongroom_types::ErrorKind;
pub use strongroom_types::clock::ManualClock;

use crate::engine::EngineFactory;

/// Runs test bodies. There is nothing to make of it.
#[derive(Debug)]
pub struct Harness(());

/// Where an engine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Linked into the server.
    Linked,
    /// As a plug-in of Strongroom: over a unix socket, mutual TLS and the broker.
    Wire,
    /// As a plug-in of a server that knows neither intents nor atomic batches, such as Vault.
    Foreign,
}

impl Harness {
    /// Runs a test body twice, each time with a host, storage and clock of its own: with the engine
    /// linked in, and behind the wire. What the body needs of the outside world it makes itself.
    ///
    /// # Panics
    /// When the body does, or when the engine can't be opened.
    pub async fn run<E, F, Fut>(engine: E, body: F)
    where
        E: EngineFactory + Clone,
        F: Fn(TestHost) -> Fut,
        Fut: Future<Output = ()>,
    {
        for way in [Transport::Linked, Transport::Wire] {
            Self::run_one(engine.clone(), way, &body).await;
        }
    }

    /// As [`Harness::run`], once, where the test says.
    ///
    /// # Panics
    /// When the body does, or when the engine can't be opened.
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

/// What somebody panicked with.
fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words")
}
