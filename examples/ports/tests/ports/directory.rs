//! A directory's accounts: rotated ones, and ones that are checked out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use data_encoding::BASE64;
use serde_json::Value;
use strongroom_example_ports::directory::blueprint;
use strongroom_fakes::serve::ReceivedRequest;
use strongroom_sdk::testing::{Harness, TestCaller, TestHost, TestResponse, Transport, json};
use strongroom_sdk::{Ttl, contract};

use crate::fake_system::{Behavior, FakeSystem, json_body, path_after, unreachable_url};

/// The passwords of a directory's accounts.
struct DirectoryState {
    passwords: BTreeMap<String, String>,
    changes: usize,
    /// Accounts that the engine's account may not change.
    protected: BTreeSet<String>,
}

const BIND_PASSWORD: &str = "password-of-the-engine";
const FIRST: &str = "known-by-the-operator";

impl DirectoryState {
    fn new() -> Self {
        let names = ["ann", "bob", "svc-1", "svc-2", "svc-3"];
        let mut passwords: BTreeMap<String, String> =
            names.iter().map(|name| ((*name).to_owned(), FIRST.to_owned())).collect();
        passwords.insert("engine".to_owned(), BIND_PASSWORD.to_owned());
        Self { passwords, changes: 0, protected: BTreeSet::new() }
    }

    /// The account that a request authenticates as.
    fn caller(&self, request: &ReceivedRequest) -> Option<String> {
        let encoded = request.header("authorization").strip_prefix("Basic ")?;
        let plain = String::from_utf8(BASE64.decode(encoded.as_bytes()).ok()?).ok()?;
        let (name, password) = plain.split_once(':')?;
        let is_right = self.passwords.get(name).is_some_and(|own| own == password);
        is_right.then(|| name.to_owned())
    }
}

fn answer(state: &mut DirectoryState, request: &ReceivedRequest) -> (u16, Value) {
    let account = path_after(request, "/accounts/").and_then(|it| it.strip_suffix("/password"));
    let Some(account) = account.filter(|_| request.method == "PUT") else {
        return (404, Value::Null);
    };
    let Some(caller) = state.caller(request) else { return (401, Value::Null) };
    let may_change = match caller.as_str() {
        "engine" => !state.protected.contains(account),
        own => own == account,
    };
    if !may_change {
        return (403, Value::Null);
    }
    let password = json_body(request)["password"].as_str().unwrap_or_default().to_owned();
    let Some(stored) = state.passwords.get_mut(account) else { return (404, Value::Null) };
    if *stored != password {
        *stored = password;
        state.changes += 1;
    }
    (204, Value::Null)
}

async fn configure(host: &TestHost, url: &str) {
    let config = json!({ "url": url, "bind_name": "engine", "bind_password": BIND_PASSWORD });
    host.write("config", config).await.unwrap();
}

async fn start_directory(host: &TestHost) -> FakeSystem<DirectoryState> {
    let directory = FakeSystem::start(DirectoryState::new(), answer).await;
    configure(host, &directory.url()).await;
    directory
}

async fn start_library(host: &TestHost) -> FakeSystem<DirectoryState> {
    let directory = start_directory(host).await;
    let set =
        json!({ "service_account_names": "svc-1,svc-2,svc-3", "ttl": "10m", "max_ttl": "1h" });
    host.write("library/ops/db", set).await.unwrap();
    directory
}

fn password(directory: &FakeSystem<DirectoryState>, account: &str) -> String {
    directory.lock().passwords[account].clone()
}

async fn check_out(host: &TestHost) -> TestResponse {
    host.write("library/ops/db/check-out", json!({})).await.unwrap()
}

async fn available(host: &TestHost) -> usize {
    let status = host.read("library/ops/db/status").await.unwrap().data_json();
    status.matches("\"available\":true").count()
}

async fn run(body: impl AsyncFn(TestHost)) {
    Harness::run(blueprint(), |host| body(host)).await;
}

const HOUR: Duration = Duration::from_secs(3600);

/// Advances the clock, and waits for the next password of an account.
async fn await_rotation(
    host: &TestHost,
    directory: &FakeSystem<DirectoryState>,
    name: &str,
    time: Duration,
) {
    let before = password(directory, name);
    host.advance(time).await;
    host.run_periodic().await.unwrap();
    let is_known = || async {
        let shown = host.read(&format!("static-cred/{name}")).await.unwrap().text("password");
        shown != before && shown == password(directory, name)
    };
    host.wait_until("the new password is set and shown", is_known).await;
}

#[tokio::test]
async fn static_accounts_are_rotated_by_period_and_by_schedule() {
    run(async |host| {
        let directory = start_directory(&host).await;
        let ann = json!({ "username": "ann", "rotation_period": "1h" });
        host.write("static-role/ann", ann).await.unwrap();
        let bob = json!({ "username": "bob", "rotation_schedule": "0 3 * * *" });
        host.write("static-role/bob", bob).await.unwrap();
        for name in ["ann", "bob"] {
            let shown = host.read(&format!("static-cred/{name}")).await.unwrap();
            assert_eq!(shown.text("password"), password(&directory, name));
            assert_ne!(shown.text("password"), FIRST);
        }
        await_rotation(&host, &directory, "ann", HOUR).await;
        await_rotation(&host, &directory, "bob", 2 * HOUR).await;
    })
    .await;
}

#[tokio::test]
async fn a_self_managed_account_sets_its_own_password_after_a_lost_response_too() {
    run(async |host| {
        let directory = start_directory(&host).await;
        directory.lock().protected.insert("ann".to_owned());
        let unknown = json!({ "username": "ann", "self_managed": true, "rotation_period": "1h" });
        let created = host.write("static-role/ann", unknown).await.unwrap();
        assert!(created.warnings[0].contains("present password"), "{:?}", created.warnings);
        host.write("static-role/ann", json!({ "password": FIRST })).await.unwrap();
        host.write("rotate-role/ann", json!({})).await.unwrap();
        let shown = host.read("static-cred/ann").await.unwrap().text("password");
        assert_eq!(shown, password(&directory, "ann"));
        directory.set_behavior(Behavior::LosesResponse);
        assert!(host.write("rotate-role/ann", json!({})).await.is_err());
        let set = password(&directory, "ann");
        directory.set_behavior(Behavior::Normal);
        // The call without a response may be under way for a while.
        host.advance(Duration::from_secs(30)).await;
        host.write("rotate-role/ann", json!({})).await.unwrap();
        assert_eq!(host.read("static-cred/ann").await.unwrap().text("password"), set);
    })
    .await;
}

#[tokio::test]
async fn an_account_of_a_library_is_lent_and_rotated_at_check_in() {
    run(async |host| {
        let directory = start_library(&host).await;
        assert_eq!(host.list("library").await.unwrap(), ["ops/"]);
        let lent = check_out(&host).await;
        assert_eq!(lent.text("service_account_name"), "svc-1");
        assert_eq!(lent.text("password"), password(&directory, "svc-1"));
        assert_ne!(lent.text("password"), FIRST);
        assert_eq!(lent.lease().ttl, Ttl::from_secs(600));
        assert_eq!(available(&host).await, 2);
        host.write("library/ops/db/check-in", json!({})).await.unwrap();
        assert_ne!(lent.text("password"), password(&directory, "svc-1"));
        assert_eq!(available(&host).await, 3);
        // The lease of the check-out that has ended does nothing.
        let changes = directory.lock().changes;
        host.revoke(&lent.lease().id).await.unwrap();
        assert_eq!(directory.lock().changes, changes);
        let lent = check_out(&host).await;
        host.revoke(&lent.lease().id).await.unwrap();
        assert_ne!(lent.text("password"), password(&directory, "svc-1"));
        let longer = json!({ "ttl": "9h", "max_ttl": "9h" });
        let limited = host.write("library/ops/db/check-out", longer).await.unwrap();
        assert_eq!(limited.lease().max_ttl, Ttl::from_secs(3600));
    })
    .await;
}

#[tokio::test]
async fn forty_concurrent_check_outs_lend_each_account_once() {
    run(async |host| {
        let directory = start_library(&host).await;
        let requests = (0..40).map(|_| host.write("library/ops/db/check-out", json!({})));
        let outcomes = futures_util::future::join_all(requests).await;
        let lent: Vec<TestResponse> = outcomes.into_iter().filter_map(Result::ok).collect();
        let names: BTreeSet<String> =
            lent.iter().map(|got| got.text("service_account_name")).collect();
        assert_eq!((lent.len(), names.len(), host.leases().len()), (3, 3, 3));
        for got in &lent {
            let name = got.text("service_account_name");
            assert_eq!(got.text("password"), password(&directory, &name));
        }
    })
    .await;
}

#[tokio::test]
async fn only_the_borrower_or_an_operator_checks_in() {
    run(async |host| {
        let directory = start_library(&host).await;
        host.set_caller(TestCaller::default().with_accessor("a1").with_entity("entity-1"));
        let lent = check_out(&host).await;
        host.set_caller(TestCaller::default().with_accessor("a2").with_entity("entity-2"));
        let body = json!({ "service_account_names": "svc-1" });
        let refused = host.write("library/ops/db/check-in", body.clone()).await.unwrap_err();
        assert_eq!(refused.status, Some(403));
        assert_eq!(password(&directory, "svc-1"), lent.text("password"));
        host.write("library/manage/ops/db/check-in", body).await.unwrap();
        assert_ne!(password(&directory, "svc-1"), lent.text("password"));
        assert_eq!(available(&host).await, 3);
    })
    .await;
}

#[tokio::test]
async fn a_directory_that_refuses_or_is_not_reachable_lends_nothing() {
    run(async |host| {
        let directory = start_library(&host).await;
        directory.set_behavior(Behavior::Refuses(503));
        let refused = host.write("library/ops/db/check-out", json!({})).await.unwrap_err();
        assert!(refused.message.contains("answered 503"), "{}", refused.message);
        configure(&host, &unreachable_url()).await;
        let failed = host.write("library/ops/db/check-out", json!({})).await.unwrap_err();
        assert!(failed.message.contains("could not connect"), "{}", failed.message);
        assert!(!failed.message.contains(BIND_PASSWORD), "{}", failed.message);
        configure(&host, &directory.url()).await;
        directory.set_behavior(Behavior::Normal);
        host.settle_intents().await;
        assert_eq!(available(&host).await, 3);
        assert_eq!(check_out(&host).await.text("password"), password(&directory, "svc-1"));
    })
    .await;
}

#[tokio::test]
async fn a_lost_response_at_check_in_is_followed_by_the_same_password() {
    run(async |host| {
        let directory = start_library(&host).await;
        let lent = check_out(&host).await;
        directory.set_behavior(Behavior::LosesResponse);
        assert!(host.revoke(&lent.lease().id).await.is_err());
        let set = password(&directory, "svc-1");
        assert_ne!(set, lent.text("password"));
        directory.set_behavior(Behavior::Normal);
        host.revoke(&lent.lease().id).await.unwrap();
        assert_eq!((password(&directory, "svc-1"), available(&host).await), (set, 3));
    })
    .await;
}

#[tokio::test]
async fn a_crash_at_any_write_leaves_no_account_lent() {
    run(async |host| {
        let directory = start_library(&host).await;
        for writes in 0.. {
            host.fail_writes_after(writes);
            let lent = host.write("library/ops/db/check-out", json!({})).await;
            let ended = match &lent {
                Ok(lent) => host.revoke(&lent.lease().id).await.is_ok(),
                Err(_) => false,
            };
            host.repair_storage();
            host.crash().await;
            host.reopen().await;
            host.settle_intents().await;
            for lease in host.leases() {
                host.revoke(&lease.id).await.unwrap();
            }
            assert_eq!(available(&host).await, 3, "after {writes} writes");
            if let Ok(lent) = &lent {
                let account = lent.text("service_account_name");
                assert_ne!(lent.text("password"), password(&directory, &account));
            }
            if ended {
                assert!(writes >= 4, "intent, check-out, candidate and end are written");
                break;
            }
        }
        let index = host.stored_keys().into_iter().filter(|key| key.contains("libraryout"));
        assert_eq!(index.count(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_check_out_whose_lease_was_never_written_is_undone() {
    Harness::run_on(&[Transport::Linked, Transport::Wire], blueprint(), |host| async move {
        let directory = start_library(&host).await;
        host.crash_at_next_lease();
        host.write("library/ops/db/check-out", json!({})).await.unwrap_err();
        let shown = password(&directory, "svc-1");
        host.reopen().await;
        assert_eq!(available(&host).await, 2);
        host.settle_intents().await;
        assert_eq!(available(&host).await, 3);
        assert_ne!(password(&directory, "svc-1"), shown);
    })
    .await;
}

#[tokio::test]
async fn keeps_to_the_contract() {
    let config = r#"{"url":"http://127.0.0.1:1","bind_name":"engine","bind_password":"secret-1"}"#;
    let role = r#"{"username":"ann","rotation_period":"1h"}"#;
    let set = r#"{"service_account_names":["svc-1"],"ttl":"1h"}"#;
    let documents = [("config", config), ("static-role/ann", role), ("library/ops", set)];
    contract::check(blueprint(), &documents).await;
}
