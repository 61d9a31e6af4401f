//! What a client sees of the faults that [`OutsideSystem`] injects.

use std::collections::BTreeSet;

use super::{client, secs, service};
use strongroom_sdk::http::HttpError;
use strongroom_sdk::testing::{JsonValue, OutsideFault, OutsideRequest, OutsideSystem, json};
use strongroom_types::clock::ManualClock;

type Users = BTreeSet<String>;

fn respond(users: &mut Users, request: &OutsideRequest) -> (u16, JsonValue) {
    if request.bearer_token() != "hunter2" {
        return (401, json!({}));
    }
    match (request.method(), &request.segments()[..]) {
        ("POST", ["users"]) => {
            users.insert(request.json()["name"].as_str().unwrap().to_owned());
            (201, json!({ "count": users.len() }))
        }
        ("GET", ["users"]) => {
            (200, json!({ "known": users.contains(&request.query_value("name")) }))
        }
        _ => (404, json!({})),
    }
}

/// Adds a user, and returns the error.
async fn add(system: &OutsideSystem<Users>, name: &str) -> Result<(), HttpError> {
    let (http, clock) = (client(), ManualClock::default());
    let request =
        service(&http, &clock, &system.url()).post("/users").json(&json!({ "name": name }));
    let sent = async { request.send().await.map(|_| ()) };
    let time = async {
        while system.requests() == 0 {
            tokio::task::yield_now().await;
        }
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        clock.advance(secs(3600));
    };
    tokio::select! {
        biased;
        sent = sent => sent,
        () = async { time.await; std::future::pending().await } => unreachable!(),
    }
}

#[tokio::test]
async fn requests_are_carried_out_without_a_fault() {
    let system = OutsideSystem::start(Users::new(), respond).await;
    add(&system, "ann lee").await.unwrap();
    assert!(system.state().contains("ann lee"));
    let (http, clock) = (client(), ManualClock::default());
    let found = service(&http, &clock, &system.url()).get("/users").query("name", "ann lee");
    let found: JsonValue = found.send().await.unwrap().read_json().unwrap();
    assert_eq!(found, json!({ "known": true }));
    assert_eq!(system.requests(), 2);
}

#[tokio::test]
async fn each_fault_does_what_its_name_says() {
    let cases = [
        // the fault, whether the request is carried out, and whether the client can be certain
        (OutsideFault::Refuses(403), false, true),
        (OutsideFault::LosesRequest, false, false),
        (OutsideFault::LosesResponse, true, false),
        (OutsideFault::NeverResponds, true, false),
    ];
    for (fault, carried_out, certain) in cases {
        let system = OutsideSystem::start(Users::new(), respond).await;
        system.fail_once(fault);
        let error = add(&system, "ann").await.unwrap_err();
        assert_eq!(system.state().contains("ann"), carried_out, "{fault:?}");
        assert_eq!(!error.may_have_taken_effect(), certain, "{fault:?}: {error}");
        add(&system, "bob").await.unwrap();
    }
}

#[tokio::test]
async fn a_lasting_fault_ends_with_the_repair() {
    let system = OutsideSystem::start(Users::new(), respond).await;
    system.fail(OutsideFault::Refuses(500));
    add(&system, "ann").await.unwrap_err();
    add(&system, "ann").await.unwrap_err();
    system.repair();
    add(&system, "ann").await.unwrap();
    system.fail_once(OutsideFault::RespondsWithHtml);
    let (http, clock) = (client(), ManualClock::default());
    let found = service(&http, &clock, &system.url()).get("/users").query("name", "ann");
    found.send().await.unwrap().read_json::<JsonValue>().unwrap_err();
    assert!(!format!("{system:?}").contains("ann"));
}
