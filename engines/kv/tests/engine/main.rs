//! Tests of the engine through the interface that hosts use.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may be blunt, and so may what it is made of"
)]

mod concurrent;
mod faults;
mod metadata;
mod model;
mod plain;
mod upgrade;
mod versioned;

use std::future::Future;

use strongroom_engine_kv::versioned_blueprint;
use strongroom_sdk::testing::{Harness, TestHost, Transport};

/// Runs a body with version 2 built in, as a plug-in, and on a server without atomic batches.
async fn on_every_transport<F, Fut>(body: F)
where
    F: Fn(TestHost) -> Fut,
    Fut: Future<Output = ()>,
{
    for way in [Transport::Linked, Transport::Wire, Transport::Foreign] {
        Harness::run_one(versioned_blueprint(), way, &body).await;
    }
}
