//! The upgrade of a mount from version 1 to version 2.

use std::collections::BTreeMap;

use strongroom_engine_kv::{blueprint, engine, versioned_blueprint};
use strongroom_sdk::contract;
use strongroom_sdk::engine::RECORD_PREFIX;
use strongroom_sdk::testing::{ErrorKind, Harness, TestHost, Transport, json};

const UPGRADING: &str =
    "Upgrading from non-versioned to versioned data: requests fail until the upgrade is complete";
const TRANSPORTS: [Transport; 3] = [Transport::Linked, Transport::Wire, Transport::Foreign];

/// Secrets with difficult names: version 2's own paths and record names, names that are also
/// folders, and one with large data.
fn sample_secrets() -> BTreeMap<String, String> {
    let names = [
        "a",
        "a/b",
        "a/b/c",
        "a/d",
        "b",
        "config",
        "data",
        "data/a",
        "metadata/a",
        "delete/a/1",
        "entry",
        "entry/a",
        "v1",
        "v1/a",
        "document/config",
        "intent/x",
        "x y/ü",
        "0",
        "~",
        "z.z",
    ];
    let mut secrets: BTreeMap<String, String> =
        names.iter().map(|name| ((*name).to_owned(), json!({ "of": name }).to_string())).collect();
    secrets.insert("exact".to_owned(), r#"{"d":1.10,"n":12345678901234567890}"#.to_owned());
    secrets.insert("large".to_owned(), json!({ "x": "y".repeat(300_000) }).to_string());
    for n in 0..150 {
        secrets.insert(format!("many/{n}"), json!({ "n": n }).to_string());
        secrets.insert(format!("folders/{n}/x"), json!({ "n": n }).to_string());
    }
    secrets.insert("n".repeat(4000), r#"{"long":true}"#.to_owned());
    secrets
}

async fn write_secrets(host: &TestHost, secrets: &BTreeMap<String, String>) {
    for (name, body) in secrets {
        host.write(name, body).await.unwrap();
    }
}

/// Waits until the mount serves requests again.
async fn wait_for_upgrade(host: &TestHost) {
    host.wait_until("the mount serves again", || async {
        !matches!(host.read("config").await, Err(refused) if refused.message == UPGRADING)
    })
    .await;
}

async fn assert_all_migrated_once(host: &TestHost, secrets: &BTreeMap<String, String>) {
    for (name, body) in secrets {
        let got = host.read(&format!("data/{name}")).await.unwrap();
        assert!(got.field_json("data") == body, "{name}");
        assert!(got.field_json("metadata").contains("\"version\":1"), "{name}");
    }
    let apart = |key: &&String| key.starts_with(RECORD_PREFIX);
    let keys = host.stored_keys();
    assert_eq!(keys.iter().filter(|key| !apart(key)).count(), 0, "something of version 1 is left");
    let entries =
        keys.iter().filter(|key| key.starts_with(&format!("{RECORD_PREFIX}entry/"))).count();
    assert_eq!(entries, secrets.len());
}

#[tokio::test]
async fn a_mount_of_version_1_becomes_one_of_version_2() {
    let secrets = &sample_secrets();
    for way in TRANSPORTS {
        Harness::run_one(engine(), way, async |host: TestHost| {
            write_secrets(&host, secrets).await;
            host.set_option("version", "2");
            host.reopen().await;
            wait_for_upgrade(&host).await;
            assert_all_migrated_once(&host, secrets).await;
            let names = host.list("metadata").await.unwrap();
            for name in ["a", "a/", "config", "data/", "entry", "entry/"] {
                assert!(names.iter().any(|listed| listed == name), "{name}: {names:?}");
            }
            // An upgraded entry works like any other.
            let body = r#"{"data":{"x":2},"options":{"cas":1}}"#;
            assert_eq!(host.write("data/a/b", body).await.unwrap().field_json("version"), "2");
            host.reopen().await;
            host.read("data/a/b").await.unwrap();
        })
        .await;
    }
}

#[tokio::test]
async fn a_secret_that_can_not_be_read_keeps_neither_the_others_nor_the_mount() {
    let secrets = &sample_secrets();
    for way in TRANSPORTS {
        Harness::run_one(engine(), way, async |host: TestHost| {
            write_secrets(&host, secrets).await;
            host.set_option("version", "2");
            host.crash().await;
            let damaged = ["a/b", "many/3"];
            for name in damaged {
                host.damage_entry(name, true);
            }
            host.reopen().await;
            if way == Transport::Foreign {
                // A mount of a foreign server refuses requests in the meantime, since their writes
                // might be lost.
                host.read("config").await.unwrap_err();
                let left = || async {
                    host.stored_keys().iter().filter(|key| !key.starts_with(RECORD_PREFIX)).count()
                        == 2
                };
                host.wait_until("the others moved", left).await;
                // Each call continues the upgrade that was interrupted.
                for _ in 0..50 {
                    host.run_periodic().await.unwrap();
                    assert_eq!(host.read("data/a").await.unwrap_err().message, UPGRADING);
                }
                return;
            }
            wait_for_upgrade(&host).await;
            for name in secrets.keys() {
                let read = host.read(&format!("data/{name}")).await;
                assert_eq!(read.is_err(), damaged.contains(&name.as_str()), "{name}: {read:?}");
            }
            for name in damaged {
                assert!(host.stored_entry(name).is_some(), "it stays where it is");
                host.damage_entry(name, false);
            }
            host.reopen().await;
            wait_for_upgrade(&host).await;
            assert_all_migrated_once(&host, secrets).await;
        })
        .await;
    }
}

/// A secret that can't be read now is not skipped: its name would be missing, and could be reused.
#[tokio::test]
async fn a_secret_that_can_not_be_read_for_now_is_waited_for() {
    let secrets = &sample_secrets();
    for way in TRANSPORTS {
        Harness::run_one(engine(), way, async |host: TestHost| {
            write_secrets(&host, secrets).await;
            host.set_option("version", "2");
            host.crash().await;
            // The last secret that the upgrade reaches.
            host.fail_entry("~", true);
            host.reopen().await;
            host.read("config").await.unwrap_err();
            let left = || async {
                host.stored_keys().iter().filter(|key| !key.starts_with(RECORD_PREFIX)).count() == 1
            };
            host.wait_until("the others moved", left).await;
            for _ in 0..50 {
                host.run_periodic().await.unwrap();
                assert_eq!(host.read("data/~").await.unwrap_err().message, UPGRADING);
            }
            host.fail_entry("~", false);
            let served = || async {
                // After a failure, requests alone don't start another attempt.
                host.run_periodic().await.unwrap();
                host.read("data/a").await.is_ok()
            };
            host.wait_until("a later periodic call has moved the rest", served).await;
            assert_all_migrated_once(&host, secrets).await;
        })
        .await;
    }
}

/// A name that was written again while the secret of version 1 could not be read.
#[tokio::test]
async fn a_secret_whose_entry_is_there_already_stays_where_it_is() {
    for way in [Transport::Linked, Transport::Wire] {
        Harness::run_one(engine(), way, async |host: TestHost| {
            for name in ["a", "b", "c"] {
                host.write(name, json!({ "of": name })).await.unwrap();
            }
            host.set_option("version", "2");
            host.crash().await;
            host.damage_entry("b", true);
            host.reopen().await;
            wait_for_upgrade(&host).await;
            host.write("data/b", r#"{"data":{"of":"new"}}"#).await.unwrap();
            host.damage_entry("b", false);
            host.reopen().await;
            wait_for_upgrade(&host).await;
            for (name, of) in [("a", "a"), ("b", "new"), ("c", "c")] {
                let got = host.read(&format!("data/{name}")).await.unwrap();
                assert!(got.field_json("data").contains(of), "{name}: {got:?}");
            }
            assert!(host.stored_entry("b").is_some());
        })
        .await;
    }
}

#[tokio::test]
async fn requests_are_refused_during_the_upgrade() {
    for way in TRANSPORTS {
        Harness::run_one(engine(), way, async |host: TestHost| {
            host.write("a", r#"{"x":1}"#).await.unwrap();
            host.set_option("version", "2");
            host.crash().await;
            host.fail_writes_after(0);
            host.reopen().await;
            for path in ["data/a", "metadata/a", "config", "no/such/path"] {
                for outcome in [
                    host.read(path).await.map(|_| ()),
                    host.write(path, r#"{"data":{}}"#).await.map(|_| ()),
                    host.list(path).await.map(|_| ()),
                    host.delete(path).await.map(|_| ()),
                    host.exists(path).await.map(|_| ()),
                ] {
                    let refused = outcome.unwrap_err();
                    let kind = (refused.kind, refused.message.as_str());
                    assert_eq!(kind, (ErrorKind::Invalid, UPGRADING), "{path}");
                }
            }
            host.help("data/a").await.unwrap();
            // The next periodic run tries again.
            host.repair_storage();
            host.run_periodic().await.unwrap();
            wait_for_upgrade(&host).await;
            assert_eq!(host.read("data/a").await.unwrap().field_json("data"), r#"{"x":1}"#);
        })
        .await;
    }
}

#[tokio::test]
async fn a_killed_upgrade_neither_loses_nor_duplicates_secrets() {
    let secrets = &sample_secrets();
    for way in TRANSPORTS {
        let steps = if way == Transport::Foreign { 60 } else { 2 };
        Harness::run_one(engine(), way, async |host: TestHost| {
            write_secrets(&host, secrets).await;
            host.set_option("version", "2");
            let left = || {
                let keys = host.stored_keys();
                keys.iter().filter(|key| !key.starts_with(RECORD_PREFIX)).count()
            };
            let mut rounds = 0;
            loop {
                host.crash().await;
                let failed = host.failed_writes();
                // A few writes succeed in each round.
                host.fail_writes_after(rounds % steps);
                host.reopen().await;
                let _ = host.run_periodic().await;
                host.wait_until("it stops", || async {
                    host.failed_writes() > failed || left() == 0
                })
                .await;
                let left = left();
                for (name, _) in secrets.iter().take(40) {
                    let before = host.stored_entry(name).is_some();
                    let after =
                        host.stored_entry(&format!("{RECORD_PREFIX}entry/{name}")).is_some();
                    assert!(before || after, "{name} is lost");
                    assert!(
                        !(before && after) || way == Transport::Foreign,
                        "{name} is there twice"
                    );
                }
                if left == 0 {
                    break;
                }
                rounds += 1;
                assert!(rounds < 1000, "it does not get on: {left} are left");
            }
            assert!(rounds > 1, "it was not killed in the middle");
            host.repair_storage();
            host.reopen().await;
            wait_for_upgrade(&host).await;
            assert_all_migrated_once(&host, secrets).await;
        })
        .await;
    }
}

#[tokio::test]
async fn an_empty_mount_serves_at_once() {
    for way in TRANSPORTS {
        Harness::run_one(versioned_blueprint(), way, async |host: TestHost| {
            host.read("config").await.unwrap();
            host.write("data/a", r#"{"data":{}}"#).await.unwrap();
            host.reopen().await;
            host.read("data/a").await.unwrap();
        })
        .await;
    }
}

#[tokio::test]
async fn a_mount_of_version_2_cannot_become_version_1() {
    for way in TRANSPORTS {
        Harness::run_one(engine(), way, async |host: TestHost| {
            host.set_option("version", "2");
            host.reopen().await;
            host.write("data/a", r#"{"data":{}}"#).await.unwrap();
            for (version, reason) in [
                ("1", "this mount has versioned data: set its option version to 2"),
                ("3", "invalid version provided: 3"),
            ] {
                host.set_option("version", version);
                let refused = host.try_reopen().await.unwrap_err();
                assert!(refused.contains(reason), "{refused}");
            }
            host.set_option("version", "2");
            host.reopen().await;
            host.read("data/a").await.unwrap();
        })
        .await;
    }
}

#[tokio::test]
async fn a_mount_without_the_option_is_of_version_1() {
    Harness::run(engine(), |host| async move {
        for option in [None, Some(""), Some("1")] {
            if let Some(option) = option {
                host.set_option("version", option);
            }
            host.reopen().await;
            host.write("a", r#"{"x":1}"#).await.unwrap();
            assert_eq!(host.read("a").await.unwrap().data_json(), r#"{"x":1}"#);
        }
        assert!(host.description().exclusive || !host.description().version.is_empty());
    })
    .await;
    contract::check(blueprint(), &[("a", r#"{"x":1}"#)]).await;
}
