//! Runs the engine against the fake Nomad, against servers that misbehave, and against a real Nomad
//! if there is one: built in, as a plug-in, and as under a foreign server.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may be blunt, and so may what it is made of"
)]

mod documents;
mod failures;
mod hostile;
mod lifetimes;
mod real;
mod tls;
mod tokens;

use std::sync::Arc;
use std::time::Duration;

use strongroom_engine_nomad::blueprint;
use strongroom_fakes::nomad::{FakeNomad, Options};
use strongroom_sdk::contract;
use strongroom_sdk::testing::{Harness, TestHost, Transport, json};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Runs a body on all three transports.
async fn on_every_transport<F, Fut>(body: F)
where
    F: Fn(TestHost) -> Fut,
    Fut: Future<Output = ()>,
{
    for way in [Transport::Linked, Transport::Wire, Transport::Foreign] {
        Harness::run_one(blueprint(), way, &body).await;
    }
}

/// A Nomad that uses the host's clock, and the engine configured for it, with a role.
async fn start_configured_nomad(host: &TestHost) -> FakeNomad {
    start_configured_nomad_with(host, |_| {}).await
}

async fn start_configured_nomad_with(
    host: &TestHost,
    change: impl FnOnce(&mut Options),
) -> FakeNomad {
    let mut options = Options { clock: Arc::new(host.clock()), ..Options::default() };
    change(&mut options);
    let nomad = FakeNomad::start(options).await.unwrap();
    configure_engine(host, &nomad.url(), &nomad.bootstrap().unwrap()).await;
    nomad
}

async fn configure_engine(host: &TestHost, address: &str, token: &str) {
    host.write("config/access", json!({ "address": address, "token": token })).await.unwrap();
    let role = json!({ "policies": "readonly,deploy", "ttl": "1m", "max_ttl": "10m" });
    host.write("role/ci", role).await.unwrap();
}

#[tokio::test]
async fn keeps_to_the_contract() {
    let access = r#"{"address":"http://127.0.0.1:1","token":"secret-token"}"#;
    let lease = r#"{"ttl":"1h","max_ttl":"2h"}"#;
    let role = r#"{"policies":["readonly"]}"#;
    let samples = [("config/access", access), ("config/lease", lease), ("role/ci", role)];
    contract::check(blueprint(), &samples).await;
}
