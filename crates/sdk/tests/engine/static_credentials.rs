//! Static credentials: passwords of existing accounts, rotated by period or schedule, through
//! failures, lost responses and crashes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use strongroom_sdk::static_credential::{RotationFields, StaticAccount, StaticCredential};
use strongroom_sdk::testing::{ErrorKind, Harness, TestHost, Transport, json};
use strongroom_sdk::{Blueprint, Document, Error, PasswordChange, Secret, SetPassword, Timestamp};

/// A directory with accounts that set their own passwords.
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
    /// Can't be reached, and says so.
    Refuses,
}

impl Directory {
    fn with_accounts(names: &[&str]) -> Self {
        let directory = Self::default();
        for name in names {
            directory.lock().passwords.insert((*name).to_owned(), FIRST.to_owned());
        }
        directory
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, DirectoryState> {
        self.0.lock().unwrap()
    }

    fn password(&self, account: &str) -> String {
        self.lock().passwords.get(account).cloned().unwrap_or_default()
    }

    fn set_behavior(&self, behavior: Behavior) {
        self.lock().behavior = behavior;
    }

    fn change_count(&self) -> usize {
        self.lock().changes
    }

    fn blueprint(&self) -> Blueprint {
        let engine = Blueprint::new("directory", "1.0.0").help("Accounts of a directory.");
        engine.static_credential(DirectoryAccount(self.clone()))
    }
}

const FIRST: &str = "known-by-the-operator";

/// An account whose password is rotated.
#[derive(Document)]
#[document(path = "static-roles/{name}")]
struct StaticRole {
    /// Name of the account.
    #[field(required)]
    username: String,
    /// A note.
    note: String,
    #[field(embed)]
    rotation: RotationFields,
}

impl StaticAccount for StaticRole {
    fn account(&self) -> &str {
        &self.username
    }

    fn rotation(&self) -> &RotationFields {
        &self.rotation
    }
}

struct DirectoryAccount(Directory);

impl StaticCredential for DirectoryAccount {
    type Role = StaticRole;
}

impl SetPassword for DirectoryAccount {
    type Config = ();

    async fn set_password<R: Sync>(&self, change: &PasswordChange<'_, (), R>) -> Result<(), Error> {
        let mut state = self.0.lock();
        state.calls += 1;
        if state.behavior == Behavior::Refuses {
            return Err(Error::answered("directory", "PUT /password", 500));
        }
        let (new, behavior) = (change.new.expose_secret(), state.behavior);
        let known = [change.present, change.is_repeated.then_some(change.new)];
        let Some(current) = state.passwords.get_mut(change.account) else {
            return Err(Error::answered("directory", "PUT /password", 404));
        };
        let fits = |known: &&Secret<String>| known.expose_secret() == current;
        if !known.into_iter().flatten().any(|known| fits(&known)) {
            return Err(Error::answered("directory", "PUT /password", 403));
        }
        if current != new {
            current.clone_from(new);
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
        let directory = Directory::with_accounts(&["ann", "bob"]);
        Harness::run_one(directory.blueprint(), transport, |host| body(host, directory)).await;
    }
}

/// Creates the role `name` for the account of that name, with the password that the operator knows.
async fn create_role(host: &TestHost, name: &str) {
    let body = json!({ "username": name, "rotation_period": "1h", "password": FIRST });
    host.write(&format!("static-roles/{name}"), body).await.unwrap();
}

async fn read_password(host: &TestHost, name: &str) -> String {
    host.read(&format!("static-creds/{name}")).await.unwrap().text("password")
}

/// Advances the clock, and has the engine rotate what is due by then.
async fn pass_time(host: &TestHost, time: Duration) {
    host.advance(time).await;
    host.run_periodic().await.unwrap();
}

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_password_is_rotated_at_creation_and_after_each_period() {
    run(async |host, directory| {
        create_role(&host, "ann").await;
        let first = read_password(&host, "ann").await;
        assert_ne!(first, FIRST);
        assert_eq!(first, directory.password("ann"));
        let credential = host.read("static-creds/ann").await.unwrap();
        assert_eq!(credential.text("username"), "ann");
        assert_eq!(
            (credential.field_json("ttl"), credential.field_json("rotation_period")),
            ("3600", "3600")
        );
        assert_eq!(credential.text("last_vault_rotation"), "2030-01-01T00:00:00Z");
        assert_eq!(credential.text("next_vault_rotation"), "2030-01-01T01:00:00Z");
        assert_eq!(directory.change_count(), 1);
        pass_time(&host, HOUR).await;
        host.wait_until("the password is rotated", || async { directory.change_count() == 2 })
            .await;
        let known = || async { read_password(&host, "ann").await == directory.password("ann") };
        host.wait_until("the new password is stored", known).await;
        assert_ne!(directory.password("ann"), first);
        let role = host.read("static-roles/ann").await.unwrap().data_json();
        assert!(!role.contains("password"), "{role}");
    })
    .await;
}

#[tokio::test]
async fn a_password_is_rotated_on_demand_and_its_period_begins_anew() {
    run(async |host, directory| {
        create_role(&host, "ann").await;
        host.advance(HOUR / 2).await;
        host.write("rotate-role/ann", json!({})).await.unwrap();
        assert_eq!(directory.change_count(), 2);
        let credential = host.read("static-creds/ann").await.unwrap();
        assert_eq!(credential.text("password"), directory.password("ann"));
        assert_eq!(credential.field_json("ttl"), "3600");
        let missing = host.write("rotate-role/zoe", json!({})).await.unwrap_err();
        assert_eq!(missing.message, "static-role \"zoe\" not found");
    })
    .await;
}

#[tokio::test]
async fn an_imported_password_stays_until_the_first_planned_rotation() {
    run(async |host, directory| {
        let body = json!({
            "username": "ann",
            "rotation_schedule": "0 3 * * *",
            "password": FIRST,
            "skip_import_rotation": true,
        });
        host.write("static-roles/ann", body).await.unwrap();
        assert_eq!(read_password(&host, "ann").await, FIRST);
        let credential = host.read("static-creds/ann").await.unwrap();
        assert_eq!(credential.field_json("ttl"), "10800");
        assert_eq!(credential.text("rotation_schedule"), "0 3 * * *");
        pass_time(&host, 3 * HOUR).await;
        host.wait_until("the password is rotated", || async { directory.change_count() == 1 })
            .await;
    })
    .await;
}

#[tokio::test]
async fn a_failed_rotation_is_repeated_with_growing_delays() {
    run(async |host, directory| {
        directory.set_behavior(Behavior::Refuses);
        let body = json!({ "username": "ann", "rotation_period": "1h", "password": FIRST });
        let created = host.write("static-roles/ann", body).await.unwrap();
        assert!(created.warnings[0].contains("could not be rotated yet"), "{:?}", created.warnings);
        assert_eq!(read_password(&host, "ann").await, FIRST, "the account still has it");
        let ttl =
            async || host.read("static-creds/ann").await.unwrap().field_json("ttl").to_owned();
        assert_eq!(ttl().await, "10");
        for (attempt, next) in [(2, "20"), (3, "40")] {
            host.advance(Duration::from_secs(3600)).await;
            let refused = host.write("rotate-role/ann", json!({})).await.unwrap_err();
            assert!(refused.message.contains("answered 500"), "{}", refused.message);
            assert_eq!(ttl().await, next);
            assert_eq!(directory.lock().calls, attempt);
        }
        directory.set_behavior(Behavior::Normal);
        pass_time(&host, Duration::from_secs(40)).await;
        host.wait_until("the password is rotated", || async { directory.change_count() == 1 })
            .await;
    })
    .await;
}

#[tokio::test]
async fn a_lost_response_is_followed_by_the_same_password() {
    run(async |host, directory| {
        directory.set_behavior(Behavior::LosesResponse);
        let body = json!({ "username": "ann", "rotation_period": "1h", "password": FIRST });
        host.write("static-roles/ann", body).await.unwrap();
        let set = directory.password("ann");
        assert_ne!(set, FIRST);
        let credential = host.read("static-creds/ann").await.unwrap();
        assert!(credential.warnings[0].contains("may have its next password"));
        directory.set_behavior(Behavior::Normal);
        let busy = host.write("rotate-role/ann", json!({})).await.unwrap_err();
        assert!(busy.message.contains("may be under way"), "{}", busy.message);
        host.advance(Duration::from_secs(20)).await;
        host.write("rotate-role/ann", json!({})).await.unwrap();
        assert_eq!((directory.change_count(), directory.password("ann")), (1, set.clone()));
        assert_eq!(read_password(&host, "ann").await, set);
    })
    .await;
}

#[tokio::test]
async fn a_rotation_outside_its_window_waits_for_the_next_scheduled_time() {
    run(async |host, directory| {
        let body = json!({
            "username": "ann",
            "rotation_schedule": "0 3 * * *",
            "rotation_window": "1h",
            "password": FIRST,
            "skip_import_rotation": true,
        });
        host.write("static-roles/ann", body).await.unwrap();
        // The server was down from three to five o'clock.
        pass_time(&host, 5 * HOUR).await;
        let postponed = || async {
            let credential = host.read("static-creds/ann").await.unwrap();
            credential.text("next_vault_rotation") == "2030-01-02T03:00:00Z"
        };
        host.wait_until("the rotation is postponed", postponed).await;
        assert_eq!(
            (directory.change_count(), read_password(&host, "ann").await.as_str()),
            (0, FIRST)
        );
        pass_time(&host, 22 * HOUR).await;
        host.wait_until("the password is rotated", || async { directory.change_count() == 1 })
            .await;
    })
    .await;
}

#[tokio::test]
async fn a_crash_at_any_write_loses_no_password_and_no_rotation() {
    run(async |host, directory| {
        for writes in 0.. {
            host.delete("static-roles/ann").await.unwrap();
            directory.lock().passwords.insert("ann".to_owned(), FIRST.to_owned());
            let body = json!({
                "username": "ann",
                "rotation_period": "1h",
                "password": FIRST,
                "skip_import_rotation": true,
            });
            host.write("static-roles/ann", body).await.unwrap();
            let failed_before = host.failed_writes();
            host.fail_writes_after(writes);
            let rotated = host.write("rotate-role/ann", json!({})).await;
            host.repair_storage();
            host.crash().await;
            host.reopen().await;
            pass_time(&host, 2 * HOUR).await;
            let is_known = || async {
                let credential = host.read("static-creds/ann").await.unwrap();
                credential.warnings.is_empty()
                    && credential.text("password") == directory.password("ann")
                    && credential.text("password") != FIRST
            };
            host.wait_until("the password in effect is known", is_known).await;
            if host.failed_writes() == failed_before {
                rotated.unwrap();
                assert!(writes >= 2, "the candidate and the result are written");
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_crash_while_a_role_is_created_leaves_no_account_behind() {
    run(async |host, directory| {
        for writes in 0.. {
            host.fail_writes_after(writes);
            let body = json!({ "username": "bob", "rotation_period": "1h", "password": FIRST });
            let created = host.write("static-roles/bob", body.clone()).await;
            host.repair_storage();
            host.crash().await;
            host.reopen().await;
            // The operator repeats the request.
            host.write("static-roles/bob", body).await.unwrap();
            host.advance(Duration::from_secs(20)).await;
            host.write("rotate-role/bob", json!({})).await.unwrap();
            assert_eq!(read_password(&host, "bob").await, directory.password("bob"));
            host.delete("static-roles/bob").await.unwrap();
            // Without batches, an outdated place in the queue may stay until it is due.
            let kept = if host.transport() == Transport::Foreign { "static/" } else { "static" };
            let left = host.stored_keys();
            assert!(left.iter().all(|key| !key.contains(kept)), "{left:?}");
            directory.lock().passwords.insert("bob".to_owned(), FIRST.to_owned());
            if created.is_ok_and(|created| created.warnings.is_empty()) {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_role_keeps_its_account_and_follows_its_new_period() {
    run(async |host, directory| {
        create_role(&host, "ann").await;
        let other = host.write("static-roles/ann", json!({ "username": "bob" })).await.unwrap_err();
        assert!(other.message.contains("account of a role can't be changed"), "{}", other.message);
        host.write("static-roles/ann", json!({ "rotation_period": "10m" })).await.unwrap();
        let credential = host.read("static-creds/ann").await.unwrap();
        assert_eq!((credential.field_json("ttl"), directory.change_count()), ("600", 1));
        for (body, text) in [
            (json!({ "rotation_period": "3s" }), "rotation_period must be at least 5s"),
            (
                json!({ "rotation_period": "0s" }),
                "one of rotation_period and rotation_schedule must be set",
            ),
            (json!({ "rotation_schedule": "0 3 * * *" }), "only one of rotation_period"),
            (json!({ "rotation_window": "2h" }), "rotation_window needs a rotation_schedule"),
            (json!({ "rotation_schedule": "soon" }), "five fields of a cron expression"),
        ] {
            let refused = host.write("static-roles/ann", body).await.unwrap_err();
            assert!(refused.message.contains(text), "{}", refused.message);
        }
        assert_eq!(host.list("static-roles").await.unwrap(), ["ann"]);
        let again = host.write("static-roles/ann", json!({ "password": FIRST })).await.unwrap();
        assert!(again.warnings[0].contains("password was ignored"), "{:?}", again.warnings);
        assert_eq!(read_password(&host, "ann").await, directory.password("ann"));
    })
    .await;
}

#[tokio::test]
async fn a_damaged_state_does_not_stop_the_rotations_of_others() {
    run(async |host, directory| {
        create_role(&host, "ann").await;
        create_role(&host, "bob").await;
        host.damage_entry("\u{fffc}static/static-roles/ann", true);
        pass_time(&host, HOUR).await;
        let rotated = || async { directory.lock().changes == 3 };
        host.wait_until("the other password is rotated", rotated).await;
        let reported = || async { host.help("").await.unwrap().contains("last failure") };
        host.wait_until("the help shows the failure", reported).await;
        host.damage_entry("\u{fffc}static/static-roles/ann", false);
        pass_time(&host, HOUR / 60).await;
        let rotated = || async { directory.lock().changes == 4 };
        host.wait_until("the entry is rotated once it can be read", rotated).await;
    })
    .await;
}

#[tokio::test]
async fn a_role_never_takes_over_the_password_of_another_account() {
    run(async |host, directory| {
        create_role(&host, "ann").await;
        let state = "\u{fffc}static/static-roles/ann";
        let left = host.stored_entry(state).unwrap();
        host.delete("static-roles/ann").await.unwrap();
        // As if the process had died after the document was deleted.
        host.write_entry(state, String::from_utf8_lossy(&left.value)).await;
        let body = json!({ "username": "bob", "rotation_period": "1h", "password": FIRST });
        host.write("static-roles/ann", body).await.unwrap();
        let credential = host.read("static-creds/ann").await.unwrap();
        assert_eq!(credential.text("username"), "bob");
        assert_eq!(credential.text("password"), directory.password("bob"));
    })
    .await;
}

#[tokio::test]
async fn a_password_that_is_refused_for_good_can_be_abandoned() {
    run(async |host, directory| {
        directory.set_behavior(Behavior::LosesResponse);
        let body = json!({ "username": "ann", "rotation_period": "1h", "password": FIRST });
        host.write("static-roles/ann", body).await.unwrap();
        // The operator resets the password, which the engine then can't change any more.
        directory.set_behavior(Behavior::Normal);
        directory.lock().passwords.insert("ann".to_owned(), "reset".to_owned());
        host.advance(Duration::from_secs(60)).await;
        assert!(host.write("rotate-role/ann", json!({})).await.is_err());
        let body = json!({ "password": "reset", "abandon_rotation": true });
        host.write("static-roles/ann", body).await.unwrap();
        host.advance(Duration::from_secs(60)).await;
        host.write("rotate-role/ann", json!({})).await.unwrap();
        let credential = host.read("static-creds/ann").await.unwrap();
        assert_eq!(
            (credential.text("password"), credential.warnings.len()),
            (directory.password("ann"), 0)
        );
    })
    .await;
}

#[tokio::test]
async fn states_are_stored_under_the_seal_and_go_with_their_role() {
    run(async |host, _| {
        create_role(&host, "ann").await;
        create_role(&host, "bob").await;
        let keys = host.stored_keys();
        let states: Vec<_> =
            keys.iter().filter(|key| key.contains("static/static-roles/")).collect();
        assert_eq!(states.len(), 2, "{keys:?}");
        let announced = host.description().special_paths.seal_wrap_storage;
        for key in states {
            assert!(host.stored_entry(key).unwrap().seal_wrap);
            assert!(announced.iter().any(|folder| key.starts_with(folder)), "{announced:?}");
        }
        let queue = |key: &&String| key.contains("staticdue/");
        assert_eq!(keys.iter().filter(queue).count(), 2);
        host.delete("static-roles/ann").await.unwrap();
        assert!(host.stored_keys().iter().all(|key| !key.contains("ann")));
        let gone = host.read("static-creds/ann").await.unwrap_err();
        assert_eq!(gone.message, "static-role \"ann\" not found");
        assert_eq!(host.now(), Timestamp::parse_rfc3339("2030-01-01T00:00:00Z").unwrap());
    })
    .await;
}

#[tokio::test]
async fn an_account_has_one_role_that_rotates_its_password() {
    run(async |host, _| {
        create_role(&host, "ann").await;
        let body = json!({ "username": "ann", "rotation_period": "2h" });
        let error = host.write("static-roles/twin", body.clone()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid);
        assert!(error.message.contains("by the role \"ann\" already"), "{error}");
        assert_eq!(host.list("static-roles/").await.unwrap(), ["ann"]);
        host.read("static-creds/twin").await.unwrap_err();
        host.write("static-roles/ann", body.clone()).await.unwrap();
        host.delete("static-roles/ann").await.unwrap();
        host.write("static-roles/twin", body).await.unwrap();
        assert_eq!(host.list("static-roles/").await.unwrap(), ["twin"]);
    })
    .await;
}

#[tokio::test]
async fn a_role_and_its_imported_password_are_stored_together() {
    run(async |host, _| {
        if host.transport() == Transport::Foreign {
            return; // Such a host has no batches.
        }
        let write = async || {
            let import = json!({
                "username": "ann", "rotation_period": "1h", "password": FIRST,
                "skip_import_rotation": true,
            });
            host.write("static-roles/ann", import).await
        };
        host.fail_at_each_write(write, async |_| {
            let exists = host.read("static-roles/ann").await.is_ok();
            let shown = host.read("static-creds/ann").await.map(|read| read.text("password"));
            assert_eq!(shown.ok().as_deref(), exists.then_some(FIRST));
        })
        .await;
    })
    .await;
}
