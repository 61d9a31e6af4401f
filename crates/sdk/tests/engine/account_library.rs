//! Libraries of accounts: an account is never lent twice, and never stays lent, whatever fails.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use strongroom_sdk::account_library::{AccountLibrary, LibraryFields};
use strongroom_sdk::testing::{Harness, TestCaller, TestHost, TestResponse, Transport, json};
use strongroom_sdk::{Blueprint, Document, Error, PasswordChange, SetPassword, Ttl};

/// A directory in which an administrator sets the passwords of accounts.
#[derive(Clone, Default)]
struct Directory(Arc<Mutex<DirectoryState>>);

#[derive(Default)]
struct DirectoryState {
    passwords: BTreeMap<String, String>,
    changes: usize,
    calls: usize,
    behavior: Behavior,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Behavior {
    #[default]
    Normal,
    /// Changes the password, and doesn't respond.
    LosesResponse,
    /// Says that it changes nothing.
    Refuses,
    /// Never responds.
    Hangs,
}

impl Directory {
    fn lock(&self) -> std::sync::MutexGuard<'_, DirectoryState> {
        self.0.lock().unwrap()
    }

    fn password(&self, account: &str) -> String {
        self.lock().passwords.get(account).cloned().unwrap_or_default()
    }

    fn set_behavior(&self, behavior: Behavior) {
        self.lock().behavior = behavior;
    }

    fn blueprint(&self) -> Blueprint {
        let engine = Blueprint::new("directory", "1.0.0").help("Accounts of a directory.");
        engine.account_library(DirectoryLibrary(self.clone()))
    }
}

/// Accounts that can be checked out.
#[derive(Document)]
#[document(path = "library/{name..}")]
struct AccountSet {
    /// A note.
    note: String,
    #[field(embed)]
    library: LibraryFields,
}

struct DirectoryLibrary(Directory);

impl AccountLibrary for DirectoryLibrary {
    const KIND: &'static str = "library";
    const CHECK_OUT_PATH: &'static str = "library/{name..}/check-out";
    const CHECK_IN_PATH: &'static str = "library/{name..}/check-in";
    const FORCED_CHECK_IN_PATH: &'static str = "library/manage/{name..}/check-in";
    const STATUS_PATH: &'static str = "library/{name..}/status";
    type Set = AccountSet;

    fn settings(set: &AccountSet) -> &LibraryFields {
        &set.library
    }
}

impl SetPassword for DirectoryLibrary {
    type Config = ();

    async fn set_password<R: Sync>(&self, change: &PasswordChange<'_, (), R>) -> Result<(), Error> {
        let behavior = self.0.lock().behavior;
        self.0.lock().calls += 1;
        if behavior == Behavior::Hangs {
            std::future::pending::<()>().await;
        }
        let mut state = self.0.lock();
        if behavior == Behavior::Refuses || change.account == "unknown" {
            return Err(Error::answered("directory", "PUT /password", 403));
        }
        let new = change.new.expose_secret().clone();
        if state.passwords.insert(change.account.to_owned(), new.clone()) != Some(new) {
            state.changes += 1;
        }
        match behavior {
            Behavior::LosesResponse => {
                Err(Error::unanswered("directory", "PUT /password", "connection lost"))
            }
            _ => Ok(()),
        }
    }
}

async fn run(body: impl AsyncFn(TestHost, Directory)) {
    for transport in [Transport::Linked, Transport::Wire, Transport::Foreign] {
        let directory = Directory::default();
        Harness::run_one(directory.blueprint(), transport, |host| body(host, directory)).await;
    }
}

async fn write_set(host: &TestHost, name: &str, accounts: &str) {
    let body = json!({ "service_account_names": accounts, "ttl": "10m", "max_ttl": "1h" });
    host.write(&format!("library/{name}"), body).await.unwrap();
}

async fn check_out(host: &TestHost) -> TestResponse {
    host.write("library/ops/db/check-out", json!({})).await.unwrap()
}

/// The accounts of the set that nobody has, as its status says.
async fn available_accounts(host: &TestHost) -> usize {
    let status = host.read("library/ops/db/status").await.unwrap().data_json();
    status.matches("\"available\":true").count()
}

const NONE_LEFT: &str = "no service accounts are available for check-out";

#[tokio::test]
async fn an_account_is_lent_once_and_its_password_is_rotated_at_check_in() {
    run(async |host, directory| {
        write_set(&host, "ops/db", "ann,bob").await;
        assert_eq!(host.list("library/ops").await.unwrap(), ["db"]);
        let first = check_out(&host).await;
        let second = check_out(&host).await;
        let accounts = [&first, &second].map(|got| got.text("service_account_name"));
        assert_eq!(accounts, ["ann", "bob"]);
        assert_eq!(first.text("password"), directory.password("ann"));
        assert_eq!(first.lease().ttl, Ttl::from_secs(600));
        let is_stored = first.lease().stored_data().contains(&first.text("password"));
        assert_eq!(is_stored, host.transport() == Transport::Foreign, "as Vault stores it");
        let third = host.write("library/ops/db/check-out", json!({})).await.unwrap_err();
        assert_eq!(third.message, NONE_LEFT);
        assert_eq!(available_accounts(&host).await, 0);
        host.revoke(&first.lease().id).await.unwrap();
        assert_ne!(directory.password("ann"), first.text("password"));
        let again = check_out(&host).await;
        assert_eq!(again.text("service_account_name"), "ann");
        assert_eq!(again.text("password"), directory.password("ann"));
    })
    .await;
}

#[tokio::test]
async fn forty_concurrent_check_outs_never_lend_an_account_twice() {
    run(async |host, directory| {
        let names: Vec<String> = (0..25).map(|number| format!("account-{number}")).collect();
        write_set(&host, "ops/db", &names.join(",")).await;
        let requests = (0..40).map(|_| host.write("library/ops/db/check-out", json!({})));
        let outcomes = futures_util::future::join_all(requests).await;
        let (lent, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
        let lent: Vec<TestResponse> = lent.into_iter().map(Result::unwrap).collect();
        let accounts: BTreeSet<String> =
            lent.iter().map(|got| got.text("service_account_name")).collect();
        assert_eq!((lent.len(), accounts.len(), refused.len()), (25, 25, 15));
        for got in &lent {
            let account = got.text("service_account_name");
            assert_eq!(got.text("password"), directory.password(&account));
        }
        for error in refused {
            assert_eq!(error.unwrap_err().message, NONE_LEFT);
        }
        let returned = lent.iter().map(|got| host.revoke(&got.lease().id));
        for outcome in futures_util::future::join_all(returned).await {
            outcome.unwrap();
        }
        assert_eq!(available_accounts(&host).await, 25);
    })
    .await;
}

#[tokio::test]
async fn only_the_borrower_checks_in_unless_it_is_forced() {
    run(async |host, directory| {
        write_set(&host, "ops/db", "ann,bob").await;
        host.set_caller(TestCaller::default().with_accessor("accessor-1"));
        let lent = check_out(&host).await;
        let status = host.read("library/ops/db/status").await.unwrap();
        assert_eq!(
            status.field_json("ann"),
            r#"{"available":false,"borrower_accessor":"accessor-1"}"#
        );
        host.set_caller(TestCaller::default().with_accessor("accessor-2").with_entity("entity-2"));
        let ann = json!({ "service_account_names": "ann" });
        let other = host.write("library/ops/db/check-in", ann.clone()).await.unwrap_err();
        assert_eq!(other.status, Some(403));
        assert!(other.message.contains("library/manage/ops/db/check-in"), "{}", other.message);
        let nothing = host.write("library/ops/db/check-in", json!({})).await.unwrap();
        assert_eq!(nothing.field_json("check_ins"), "[]");
        assert_eq!(directory.password("ann"), lent.text("password"));
        let forced = host.write("library/manage/ops/db/check-in", ann).await.unwrap();
        assert_eq!(forced.field_json("check_ins"), r#"["ann"]"#);
        assert_ne!(directory.password("ann"), lent.text("password"));
        // The lease of the earlier check-out must not end the next one.
        check_out(&host).await;
        let changes = directory.lock().changes;
        host.revoke(&lent.lease().id).await.unwrap();
        assert_eq!((available_accounts(&host).await, directory.lock().changes), (1, changes));
        let own = host.write("library/ops/db/check-in", json!({})).await.unwrap();
        assert_eq!(own.field_json("check_ins"), r#"["ann"]"#);
        check_out(&host).await;
        check_out(&host).await;
        let both = host.write("library/ops/db/check-in", json!({})).await.unwrap_err();
        assert!(both.message.contains("several accounts"), "{}", both.message);
    })
    .await;
}

#[tokio::test]
async fn an_entity_checks_in_with_another_token_and_enforcement_can_be_disabled() {
    run(async |host, _| {
        write_set(&host, "ops/db", "ann").await;
        host.set_caller(TestCaller::default().with_accessor("a1").with_entity("entity-1"));
        check_out(&host).await;
        host.set_caller(TestCaller::default().with_accessor("a2").with_entity("entity-1"));
        let own = host.write("library/ops/db/check-in", json!({})).await.unwrap();
        assert_eq!(own.field_json("check_ins"), r#"["ann"]"#);
        let body = json!({ "disable_check_in_enforcement": true });
        host.write("library/ops/db", body).await.unwrap();
        check_out(&host).await;
        host.set_caller(TestCaller::default().with_accessor("a3"));
        let any = host.write("library/ops/db/check-in", json!({})).await.unwrap();
        assert_eq!(any.field_json("check_ins"), r#"["ann"]"#);
    })
    .await;
}

#[tokio::test]
async fn a_check_in_that_fails_keeps_the_account_until_the_password_is_rotated() {
    run(async |host, directory| {
        write_set(&host, "ops/db", "ann").await;
        for behavior in [Behavior::Refuses, Behavior::LosesResponse] {
            let lent = check_out(&host).await;
            directory.set_behavior(behavior);
            assert!(host.revoke(&lent.lease().id).await.is_err());
            assert!(host.write("library/ops/db/check-out", json!({})).await.is_err());
            let set = directory.password("ann");
            directory.set_behavior(Behavior::Normal);
            host.revoke(&lent.lease().id).await.unwrap();
            if behavior == Behavior::LosesResponse {
                assert_eq!(directory.password("ann"), set, "the same password is set once more");
            }
            assert_ne!(directory.password("ann"), lent.text("password"));
            let next = check_out(&host).await;
            assert_eq!(next.text("password"), directory.password("ann"));
            host.revoke(&next.lease().id).await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn a_check_out_completes_a_check_in_that_was_interrupted() {
    run(async |host, directory| {
        write_set(&host, "ops/db", "ann").await;
        let lent = check_out(&host).await;
        directory.set_behavior(Behavior::LosesResponse);
        assert!(host.write("library/ops/db/check-in", json!({})).await.is_err());
        directory.set_behavior(Behavior::Normal);
        let next = check_out(&host).await;
        assert_ne!(next.text("password"), lent.text("password"));
        assert_eq!(next.text("password"), directory.password("ann"));
        host.revoke(&lent.lease().id).await.unwrap();
        assert_eq!(next.text("password"), directory.password("ann"), "the next client keeps it");
    })
    .await;
}

#[tokio::test]
async fn an_account_that_the_directory_refuses_does_not_stop_the_others() {
    run(async |host, directory| {
        write_set(&host, "ops/db", "unknown,bob").await;
        let lent = check_out(&host).await;
        assert_eq!(lent.text("service_account_name"), "bob");
        let error = host.write("library/ops/db/check-out", json!({})).await.unwrap_err();
        assert_eq!(error.message, "directory: PUT /password answered 403");
        assert!(host.open_intents().is_empty());
        assert_eq!(directory.lock().passwords.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_crash_at_any_write_of_a_check_out_leaves_no_account_lent() {
    run(async |host, directory| {
        for writes in 0.. {
            write_set(&host, "ops/db", "ann").await;
            host.fail_writes_after(writes);
            let lent = host.write("library/ops/db/check-out", json!({})).await;
            host.repair_storage();
            host.crash().await;
            host.reopen().await;
            host.settle_intents().await;
            if let Ok(lent) = lent {
                assert!(writes >= 3, "intent, candidate and check-out are written");
                host.revoke(&lent.lease().id).await.unwrap();
                break;
            }
            assert_eq!(available_accounts(&host).await, 1, "after {writes} writes");
            let next = check_out(&host).await;
            assert_eq!(next.text("password"), directory.password("ann"));
            host.revoke(&next.lease().id).await.unwrap();
            host.delete("library/ops/db").await.unwrap();
        }
        assert!(host.stored_keys().iter().all(|key| !key.contains("libraryout")));
    })
    .await;
}

#[tokio::test]
async fn a_crash_at_any_write_of_a_check_in_is_repaired_by_the_lease() {
    run(async |host, directory| {
        write_set(&host, "ops/db", "ann").await;
        for writes in 0.. {
            let lent = check_out(&host).await;
            host.fail_writes_after(writes);
            let ended = host.revoke(&lent.lease().id).await;
            host.repair_storage();
            host.crash().await;
            host.reopen().await;
            if ended.is_ok() {
                assert!(writes >= 2, "the candidate and the end are written");
                break;
            }
            host.revoke(&lent.lease().id).await.unwrap();
            assert_ne!(directory.password("ann"), lent.text("password"));
            assert_eq!(available_accounts(&host).await, 1, "after {writes} writes");
        }
        assert!(host.stored_keys().iter().all(|key| !key.contains("libraryout")));
    })
    .await;
}

#[tokio::test]
async fn a_check_out_whose_lease_was_never_written_is_undone() {
    let with_intents = [Transport::Linked, Transport::Wire];
    for transport in with_intents {
        let directory = Directory::default();
        Harness::run_one(directory.blueprint(), transport, |host| async move {
            write_set(&host, "ops/db", "ann").await;
            host.crash_at_next_lease();
            host.write("library/ops/db/check-out", json!({})).await.unwrap_err();
            let shown = directory.password("ann");
            host.reopen().await;
            assert_eq!(available_accounts(&host).await, 0);
            host.settle_intents().await;
            assert_eq!(available_accounts(&host).await, 1);
            assert_ne!(directory.password("ann"), shown);
        })
        .await;
    }
}

/// As under Vault and OpenBao, if the server dies just after the engine's response.
#[tokio::test]
async fn an_account_whose_lease_is_lost_is_lent_again_after_the_longest_lease() {
    let directory = Directory::default();
    Harness::run_one(directory.blueprint(), Transport::Foreign, |host| async move {
        write_set(&host, "ops/db", "ann").await;
        host.crash_at_next_lease();
        host.write("library/ops/db/check-out", json!({})).await.unwrap_err();
        host.reopen().await;
        let shown = directory.password("ann");
        host.advance(Duration::from_secs(3500)).await;
        let early = host.write("library/ops/db/check-out", json!({})).await.unwrap_err();
        assert_eq!(early.message, NONE_LEFT);
        host.advance(Duration::from_secs(200)).await;
        let lent = check_out(&host).await;
        assert_ne!(lent.text("password"), shown);
    })
    .await;
}

#[tokio::test]
async fn a_lease_is_renewed_up_to_the_maximum_and_while_the_account_is_checked_out() {
    run(async |host, _| {
        write_set(&host, "ops/db", "ann").await;
        let asked = json!({ "ttl": "2m", "max_ttl": "3h" });
        let lent = host.write("library/ops/db/check-out", asked).await.unwrap();
        let lease = lent.lease();
        assert_eq!((lease.ttl, lease.max_ttl), (Ttl::from_secs(120), Ttl::from_secs(3600)));
        host.advance(Duration::from_secs(100)).await;
        host.renew(&lease.id, Ttl::from_secs(600)).await.unwrap();
        host.write("library/ops/db/check-in", json!({})).await.unwrap();
        let ended = host.renew(&lease.id, Ttl::ZERO).await.unwrap_err();
        assert_eq!(ended.message, "the account was checked in; revoke the lease");
    })
    .await;
}

/// Seven requests for one account, each of which would take ten seconds and waits for twenty.
#[tokio::test]
async fn nothing_is_lent_to_a_request_that_has_ended() {
    run(async |host, directory| {
        write_set(&host, "ops/db", "ann").await;
        directory.set_behavior(Behavior::Hangs);
        let requests = (0..7).map(|_| host.write("library/ops/db/check-out", json!({})));
        let time = async {
            for calls in 1..=2 {
                host.wait_until("the directory is called", || async {
                    directory.lock().calls == calls
                })
                .await;
                host.advance_during_calls(Duration::from_secs(10));
            }
        };
        let (outcomes, ()) = tokio::join!(futures_util::future::join_all(requests), time);
        assert!(outcomes.iter().all(Result::is_err), "{outcomes:?}");
        directory.set_behavior(Behavior::Normal);
        host.settle_intents().await;
        assert_eq!(directory.lock().calls, 2, "those whose turn came too late gave up");
        assert_eq!(available_accounts(&host).await, 1);
        assert_eq!(check_out(&host).await.text("password"), directory.password("ann"));
    })
    .await;
}

#[tokio::test]
async fn an_account_belongs_to_one_set_and_stays_there_while_it_is_checked_out() {
    run(async |host, _| {
        write_set(&host, "ops/db", "ann,bob").await;
        let body = json!({ "service_account_names": "ann" });
        let twice = host.write("library/other", body.clone()).await.unwrap_err();
        assert_eq!(twice.message, r#""ann" belongs to another set"#);
        let lent = check_out(&host).await;
        let removed = json!({ "service_account_names": "bob" });
        let refused = host.write("library/ops/db", removed.clone()).await.unwrap_err();
        assert_eq!(refused.message, r#""ann" is checked out; check it in first"#);
        let refused = host.delete("library/ops/db").await.unwrap_err();
        assert_eq!(refused.message, r#""ann" is checked out; check it in first"#);
        host.revoke(&lent.lease().id).await.unwrap();
        host.write("library/ops/db", removed).await.unwrap();
        host.write("library/other", body).await.unwrap();
        host.delete("library/ops/db").await.unwrap();
        host.delete("library/other").await.unwrap();
        let left = host.stored_keys();
        assert!(left.iter().all(|key| !key.contains("library")), "{left:?}");
    })
    .await;
}

#[tokio::test]
async fn sets_with_names_that_hide_something_are_refused() {
    run(async |host, _| {
        for (name, accounts, text) in [
            ("manage/ops", "ann", "has the path of library/manage/<set>/check-in"),
            ("ops", "", "missing required field \"service_account_names\""),
            ("ops", "error", "can't be the name of an account"),
            ("ops", "a/../b", "can't be the name of an account"),
            ("ops", "ann,ann", "contains a name twice"),
        ] {
            let body = match accounts {
                "" => json!({}),
                accounts => json!({ "service_account_names": accounts }),
            };
            let refused = host.write(&format!("library/{name}"), body).await.unwrap_err();
            assert!(refused.message.contains(text), "{}", refused.message);
        }
        let unknown = host.write("library/none/check-out", json!({})).await.unwrap_err();
        assert!(unknown.message.contains("not found"), "{}", unknown.message);
    })
    .await;
}

#[tokio::test]
async fn a_crash_while_a_set_is_written_leaves_no_account_claimed() {
    run(async |host, _| {
        let body = json!({ "service_account_names": "ann,bob" });
        for writes in 0.. {
            host.fail_writes_after(writes);
            let written = host.write("library/first", body.clone()).await;
            host.repair_storage();
            host.crash().await;
            host.reopen().await;
            if written.is_ok() {
                assert!(writes >= 3, "two accounts and the set are written");
                break;
            }
            host.write("library/second", body.clone()).await.unwrap();
            host.delete("library/second").await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn passwords_are_stored_under_the_seal_only() {
    run(async |host, _| {
        write_set(&host, "ops/db", "ann").await;
        let password = check_out(&host).await.text("password");
        let keys = host.stored_keys();
        let entries = keys.iter().map(|key| (key, host.stored_entry(key).unwrap()));
        let holding: Vec<_> = entries
            .filter(|(_, entry)| String::from_utf8_lossy(&entry.value).contains(&password))
            .collect();
        assert_eq!(holding.len(), 1);
        let announced = host.description().special_paths.seal_wrap_storage;
        for (key, entry) in holding {
            assert!(entry.seal_wrap, "{key}");
            assert!(announced.iter().any(|folder| key.starts_with(folder)), "{announced:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn keeps_to_the_contract() {
    let set = r#"{"service_account_names":"ann"}"#;
    let engine = Directory::default().blueprint();
    strongroom_sdk::contract::check(engine, &[("library/ops", set)]).await;
}
