//! Records and documents under internal keys, on mounts written when such keys began with an
//! unprintable character.

use strongroom_engine::{LEGACY_RECORD_PREFIX, RECORD_PREFIX};
use strongroom_sdk::records::{RecordChange, RecordKey};
use strongroom_sdk::testing::{ErrorKind, Harness, TestHost, Transport, json};
use strongroom_sdk::{Blueprint, Context, Document, Error, Input, Listing, Resource, Response};

/// Only where Strongroom hosts the engine: other hosts never accepted the old keys.
const TRANSPORTS: [Transport; 2] = [Transport::Linked, Transport::Wire];
const NOTES: usize = 150;

/// Settings for notes.
#[derive(Document)]
#[document(path = "settings", internal_key)]
struct NoteSettings {
    /// The user whose notes these are.
    #[field(default = "nobody")]
    owner: String,
}

/// A note.
#[derive(Input)]
struct NoteInput {
    /// Its name; taken from the path.
    name: String,
    /// The text to append.
    #[field(default = "")]
    text: String,
}

fn note_key(name: &str) -> RecordKey {
    RecordKey::new("note", name)
}

async fn note_exists(context: Context, name: String) -> Result<bool, Error> {
    Ok(context.records().get(&note_key(&name)).await?.is_some())
}

async fn read_note(context: Context, note: NoteInput) -> Result<Response, Error> {
    let Some(kept) = context.records().get(&note_key(&note.name)).await? else {
        return Ok(Response::not_found());
    };
    Ok(Response::keys(&[String::from_utf8_lossy(&kept).into_owned()]))
}

/// Appends text to a note, so that a lost update loses text.
async fn append_to_note(context: Context, note: NoteInput) -> Result<Response, Error> {
    let at = note_key(&note.name);
    let extend = move |seen: Option<bytes::Bytes>| {
        let (key, text) = (note_key(&note.name), note.text.clone());
        async move {
            let mut kept = seen.unwrap_or_default().to_vec();
            kept.extend_from_slice(text.as_bytes());
            Ok(RecordChange::returning(()).put(key, kept))
        }
    };
    context.records().change(at, extend).await?;
    Ok(Response::no_content())
}

async fn delete_note(context: Context, note: NoteInput) -> Result<Response, Error> {
    let (at, key) = (note_key(&note.name), note_key(&note.name));
    let remove = move |_| {
        let key = key.clone();
        async move { Ok(RecordChange::returning(()).delete(key)) }
    };
    context.records().change(at, remove).await?;
    Ok(Response::no_content())
}

async fn list_notes(context: Context, listing: Listing) -> Result<Response, Error> {
    let Listing { folder, after, limit } = listing;
    Ok(Response::keys(&context.records().list("note", &folder, after.as_deref(), limit).await?))
}

fn notes_blueprint() -> Blueprint {
    let notes = Resource::new(note_exists)
        .read(read_note)
        .write(append_to_note)
        .delete(delete_note)
        .list(list_notes);
    Blueprint::new("notes", "1.0.0").document::<NoteSettings>().resource(
        "notes/{name..}",
        "A note.",
        notes,
    )
}

fn note_names() -> Vec<String> {
    let plain = (0..NOTES).map(|n| format!("n{n:03}"));
    plain.chain((0..NOTES).map(|n| format!("deep/{n:03}/er"))).collect()
}

/// Stores the entries that an instance of an earlier version would have left.
async fn write_legacy_entries(host: &TestHost) {
    for name in note_names() {
        host.write_entry(&format!("{LEGACY_RECORD_PREFIX}note/{name}"), "old").await;
    }
    let settings = json!({ "owner": "ada" });
    host.write_entry(&format!("{LEGACY_RECORD_PREFIX}document/settings"), settings).await;
}

fn legacy_key_count(host: &TestHost) -> usize {
    host.stored_keys().iter().filter(|key| key.starts_with(LEGACY_RECORD_PREFIX)).count()
}

async fn note_text(host: &TestHost, name: &str) -> String {
    host.read(&format!("notes/{name}")).await.unwrap().field_json("keys").to_owned()
}

async fn assert_all_present(host: &TestHost) {
    for name in note_names() {
        assert_eq!(note_text(host, &name).await, r#"["old"]"#, "{name}");
        assert!(host.exists(&format!("notes/{name}")).await.is_ok());
    }
    assert_eq!(host.read("settings").await.unwrap().text("owner"), "ada");
    let listed = host.list("notes").await.unwrap();
    assert_eq!(listed.len(), NOTES + 1, "{listed:?}");
    assert_eq!(host.list("notes/deep").await.unwrap().len(), NOTES);
    let page = json!({ "after": "n001", "limit": 3 });
    assert_eq!(host.list_page("notes", page).await.unwrap(), ["n002", "n003", "n004"]);
}

#[tokio::test]
async fn legacy_entries_are_served_during_migration() {
    for way in TRANSPORTS {
        Harness::run_one(notes_blueprint(), way, async |host: TestHost| {
            write_legacy_entries(&host).await;
            let planted = legacy_key_count(&host);
            host.crash().await;
            host.fail_writes_after(0);
            host.reopen().await;
            // Nothing can be moved, so everything is read at the old keys.
            assert_all_present(&host).await;
            assert_eq!(legacy_key_count(&host), planted);
            // Some entries can be moved, then no more: entries are read at both keys.
            host.fail_writes_after(2);
            let failed = host.failed_writes();
            host.run_periodic().await.unwrap();
            host.wait_until("two batches moved", || async { host.failed_writes() > failed }).await;
            let left = legacy_key_count(&host);
            assert!(left > 0 && left < planted, "{left} of {planted}");
            assert_all_present(&host).await;
            host.repair_storage();
            host.run_periodic().await.unwrap();
            host.wait_until("all has moved", || async { legacy_key_count(&host) == 0 }).await;
            assert_all_present(&host).await;
            assert!(host.largest_batch() <= 128, "an entry and its old key, 64 times at most");
            assert_eq!(host.stored_keys().len(), planted);
            host.reopen().await;
            assert_all_present(&host).await;
        })
        .await;
    }
}

#[tokio::test]
async fn legacy_entries_can_be_changed_and_deleted() {
    for way in TRANSPORTS {
        Harness::run_one(notes_blueprint(), way, async |host: TestHost| {
            write_legacy_entries(&host).await;
            host.crash().await;
            // Only one write at a time succeeds, so nothing is moved in the background.
            host.fail_writes_after(0);
            host.reopen().await;
            let failed = host.failed_writes();
            assert!(host.read("notes/n000").await.is_ok());
            host.wait_until("moving failed", || async { host.failed_writes() > failed }).await;
            host.repair_storage();
            host.write("notes/n000", json!({ "text": "+new" })).await.unwrap();
            host.delete("notes/deep/000/er").await.unwrap();
            host.write("settings", json!({ "owner": "grace" })).await.unwrap();
            let check = async || {
                assert_eq!(note_text(&host, "n000").await, r#"["old+new"]"#);
                let gone = host.read("notes/deep/000/er").await.unwrap_err();
                assert_eq!(gone.kind, ErrorKind::NotFound);
                assert_eq!(host.read("settings").await.unwrap().text("owner"), "grace");
            };
            check().await;
            // After a failed attempt the next one is made by the periodic call.
            assert!(legacy_key_count(&host) > 0);
            host.run_periodic().await.unwrap();
            host.wait_until("all has moved", || async { legacy_key_count(&host) == 0 }).await;
            check().await;
            assert!(host.stored_entry(&format!("{RECORD_PREFIX}note/n001")).is_some());
        })
        .await;
    }
}

#[tokio::test]
async fn no_update_is_lost_while_entries_move() {
    for way in TRANSPORTS {
        Harness::run_one(notes_blueprint(), way, async |host: TestHost| {
            write_legacy_entries(&host).await;
            host.reopen().await;
            let writes = note_names().into_iter().map(|name| {
                let host = host.clone();
                async move {
                    let (path, text) = (format!("notes/{name}"), json!({ "text": "+" }));
                    host.write(&path, &text).await.unwrap();
                    host.write(&path, &text).await.unwrap();
                }
            });
            futures_util::future::join_all(writes).await;
            host.wait_until("all has moved", || async { legacy_key_count(&host) == 0 }).await;
            for name in note_names() {
                assert_eq!(note_text(&host, &name).await, r#"["old++"]"#, "{name}");
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_crash_in_migration_neither_loses_nor_duplicates() {
    for way in TRANSPORTS {
        Harness::run_one(notes_blueprint(), way, async |host: TestHost| {
            write_legacy_entries(&host).await;
            let planted = legacy_key_count(&host);
            let mut rounds = 0;
            while legacy_key_count(&host) > 0 {
                host.crash().await;
                let failed = host.failed_writes();
                host.fail_writes_after(rounds % 2);
                host.reopen().await;
                host.run_periodic().await.unwrap();
                let stopped =
                    || async { host.failed_writes() > failed || legacy_key_count(&host) == 0 };
                host.wait_until("it stops", stopped).await;
                assert_eq!(host.stored_keys().len(), planted, "something is lost or there twice");
                rounds += 1;
                assert!(rounds < 100, "it does not get on");
            }
            assert!(rounds > 4, "it was not killed in the middle");
            host.repair_storage();
            host.reopen().await;
            assert_all_present(&host).await;
        })
        .await;
    }
}

/// The old instance finishes requests while this one serves and moves entries, over the same store.
#[tokio::test]
async fn late_writes_of_an_old_instance_hide_nothing() {
    for way in TRANSPORTS {
        Harness::run_one(notes_blueprint(), way, async |host: TestHost| {
            write_legacy_entries(&host).await;
            host.reopen().await;
            host.run_periodic().await.unwrap();
            host.wait_until("all has moved", || async { legacy_key_count(&host) == 0 }).await;
            for name in ["n000", "n001"] {
                let more = json!({ "text": "+new" });
                host.write(&format!("notes/{name}"), more).await.unwrap();
            }
            // To the old instance the moved entries don't exist.
            let late = ["n000", "n001", "late", "deep/late"];
            for name in late {
                host.write_entry(&format!("{LEGACY_RECORD_PREFIX}note/{name}"), "late").await;
            }
            let check = async || {
                for name in ["n000", "n001"] {
                    assert_eq!(note_text(&host, name).await, r#"["old+new"]"#, "{name}");
                }
                for name in ["late", "deep/late"] {
                    assert_eq!(note_text(&host, name).await, r#"["late"]"#, "{name}");
                }
                assert_eq!(host.list("notes").await.unwrap().len(), NOTES + 2);
                assert_eq!(host.list("notes/deep").await.unwrap().len(), NOTES + 1);
            };
            check().await;
            host.run_periodic().await.unwrap();
            host.wait_until("the others moved", || async { legacy_key_count(&host) == 2 }).await;
            check().await;
            host.reopen().await;
            check().await;
            // They are removed with the next write or removal.
            host.write("notes/n000", json!({ "text": "+more" })).await.unwrap();
            host.delete("notes/n001").await.unwrap();
            assert_eq!(legacy_key_count(&host), 0);
            assert_eq!(note_text(&host, "n000").await, r#"["old+new+more"]"#);
            let gone = host.read("notes/n001").await.unwrap_err();
            assert_eq!(gone.kind, ErrorKind::NotFound);
        })
        .await;
    }
}

#[tokio::test]
async fn an_unreadable_entry_does_not_block_migration() {
    for way in TRANSPORTS {
        Harness::run_one(notes_blueprint(), way, async |host: TestHost| {
            write_legacy_entries(&host).await;
            host.crash().await;
            let damaged =
                ["n000", "deep/003/er"].map(|name| format!("{LEGACY_RECORD_PREFIX}note/{name}"));
            for key in &damaged {
                host.damage_entry(key, true);
            }
            host.reopen().await;
            host.run_periodic().await.unwrap();
            host.wait_until("the others moved", || async { legacy_key_count(&host) == 2 }).await;
            for name in note_names() {
                let read = host.read(&format!("notes/{name}")).await;
                let is_damaged = damaged.iter().any(|key| key.ends_with(&format!("note/{name}")));
                assert_eq!(read.is_err(), is_damaged, "{name}");
            }
            assert_eq!(host.list("notes").await.unwrap().len(), NOTES + 1);
            for key in &damaged {
                host.damage_entry(key, false);
            }
            assert_all_present(&host).await;
            host.run_periodic().await.unwrap();
            host.wait_until("they moved, too", || async { legacy_key_count(&host) == 0 }).await;
            assert_all_present(&host).await;
        })
        .await;
    }
}

/// Vault and OpenBao store no key with an unprintable character.
#[tokio::test]
async fn records_work_on_foreign_hosts() {
    for way in [Transport::Linked, Transport::Wire, Transport::Foreign] {
        Harness::run_one(notes_blueprint(), way, async |host: TestHost| {
            host.write("settings", json!({ "owner": "ada" })).await.unwrap();
            host.write("notes/a/b", json!({ "text": "x" })).await.unwrap();
            assert_eq!(note_text(&host, "a/b").await, r#"["x"]"#);
            assert_eq!(host.read("settings").await.unwrap().text("owner"), "ada");
            let refused = host.write("notes/a\u{a0}b", json!({ "text": "x" })).await.unwrap_err();
            assert!(refused.message.contains("non-printable"), "{refused}");
            let mut keys = host.stored_keys();
            keys.retain(|key| !key.starts_with(RECORD_PREFIX));
            assert!(keys.is_empty(), "{keys:?}");
        })
        .await;
    }
}
