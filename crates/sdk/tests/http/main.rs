//! The HTTP client against servers that misbehave. Time is that of a clock which the tests advance,
//! so a limit that doesn't hold makes a test hang instead of making it slow.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may be blunt, and so may what it is made of"
)]

mod limits;
mod misbehaving_server;
mod outside_system;
mod proxies;
mod redirects;
mod requests;
mod retries;
mod secrets;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use strongroom_sdk::http::{HttpClient, HttpError, HttpService, ProxySettings};
use strongroom_sdk::{BaseUrl, Clock, Error, Secret, Timestamp};
use strongroom_types::clock::ManualClock;

use misbehaving_server::MisbehavingServer;

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A client that takes no proxy from the environment of the tests.
fn client() -> HttpClient {
    HttpClient::new("service").with_proxies(ProxySettings::direct())
}

fn service<'a>(http: &'a HttpClient, clock: &ManualClock, url: &str) -> HttpService<'a> {
    let base = BaseUrl::parse(url).unwrap();
    let service = http.service_until(Arc::new(clock.clone()), Timestamp::FAR_FUTURE, &base);
    service.bearer_token(&Secret::from_text("hunter2"))
}

/// Runs a call while time passes: once the server has the request, and the client what the server
/// sends at once, the clock goes on by `by`.
async fn while_time_passes<T>(
    call: impl Future<Output = T>,
    clock: &ManualClock,
    server: &MisbehavingServer,
    by: Duration,
) -> T {
    let time = async {
        server.wait_for_connections(1).await;
        let_others_run().await;
        clock.advance(by);
    };
    tokio::join!(call, time).0
}

/// Lets the other tasks of this thread go on until they wait for time or for a test: bytes on the
/// loopback arrive as soon as they are sent, and the runtime looks for them after 61 polls at most.
async fn let_others_run() {
    for _ in 0..500 {
        tokio::task::yield_now().await;
    }
}

/// The part of an error's text behind the call, and whether the call may have taken effect.
fn reason(error: HttpError) -> (String, bool) {
    let effect = error.may_have_taken_effect();
    let text = Error::from(error).to_string();
    (text.split_once(": ").unwrap().1.to_owned(), effect)
}

fn now_plus(clock: &ManualClock, by: Duration) -> Timestamp {
    clock.now().plus(by)
}
