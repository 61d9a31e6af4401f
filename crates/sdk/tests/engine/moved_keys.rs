//! Records and documents that lie apart, on mounts that were written when their keys began with a
//! character that doesn't show.

use strongroom_sdk::engine::{APART, APART_BEFORE};
use strongroom_sdk::records::{Change, Key};
use strongroom_sdk::testing::{ErrorKind, Harness, Host, Way, json};
use strongroom_sdk::{Blueprint, Context, Document, Error, Input, Listing, Reply, Resource};

/// Where Strongroom runs the engine: other hosts never took the old keys.
const WAYS: [Way; 2] = [Way::Linked, Way::Wire];
const NOTES: usize = 150;

/// How notes are kept.
#[derive(Document)]
#[document(path = "settings", apart)]
struct Settings {
    /// Whose they are.
    #[field(default = "nobody")]
    owner: String,
}

/// A note.
#[derive(Input)]
struct Note {
    /// Its name; taken from the path.
    name: String,
    /// What to put at its end.
    #[field(default = "")]
    text: String,
}

fn key(name: &str) -> Key {
    Key::new("note", name)
}

async fn exists(context: Context, name: String) -> Result<bool, Error> {
    Ok(context.records().get(&key(&name)).await?.is_some())
}

async fn read(context: Context, note: Note) -> Result<Reply, Error> {
    let Some(kept) = context.records().get(&key(&note.name)).await? else {
        return Ok(Reply::not_found());
    };
    Ok(Reply::keys(&[String::from_utf8_lossy(&kept).into_owned()]))
}

/// Puts text at the end, which loses something where an update is lost.
async fn extend(context: Context, note: Note) -> Result<Reply, Error> {
    let at = key(&note.name);
    let extend = move |seen: Option<bytes::Bytes>| {
        let (key, text) = (key(&note.name), note.text.clone());
        async move {
            let mut kept = seen.unwrap_or_default().to_vec();
            kept.extend_from_slice(text.as_bytes());
            Ok(Change::to(()).put(key, kept))
        }
    };
    context.records().change(at, extend).await?;
    Ok(Reply::no_content())
}

async fn remove(context: Context, note: Note) -> Result<Reply, Error> {
    let (at, key) = (key(&note.name), key(&note.name));
    let remove = move |_| {
        let key = key.clone();
        async move { Ok(Change::to(()).delete(key)) }
    };
    context.records().change(at, remove).await?;
    Ok(Reply::no_content())
}

async fn list(context: Context, listing: Listing) -> Result<Reply, Error> {
    let Listing { folder, after, limit } = listing;
    Ok(Reply::keys(&context.records().list("note", &folder, after.as_deref(), limit).await?))
}

fn blueprint() -> Blueprint {
    let notes = Resource::new(exists).read(read).write(extend).delete(remove).list(list);
    Blueprint::new("notes", "1.0.0").document::<Settings>().resource(
        "notes/{name..}",
        "A note.",
        notes,
    )
}

fn names() -> Vec<String> {
    let plain = (0..NOTES).map(|n| format!("n{n:03}"));
    plain.chain((0..NOTES).map(|n| format!("deep/{n:03}/er"))).collect()
}

/// Stores what an instance of an earlier version would have left.
async fn plant(host: &Host) {
    for name in names() {
        host.store(&format!("{APART_BEFORE}note/{name}"), "old").await;
    }
    let settings = json!({ "owner": "ada" });
    host.store(&format!("{APART_BEFORE}document/settings"), settings).await;
}

fn old_keys(host: &Host) -> usize {
    host.stored_keys().iter().filter(|key| key.starts_with(APART_BEFORE)).count()
}

async fn text_of(host: &Host, name: &str) -> String {
    host.read(&format!("notes/{name}")).await.unwrap().json("keys").to_owned()
}

async fn all_are_there(host: &Host) {
    for name in names() {
        assert_eq!(text_of(host, &name).await, r#"["old"]"#, "{name}");
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
async fn entries_of_before_are_served_while_they_move_and_after() {
    for way in WAYS {
        Harness::run_one(blueprint(), way, async |host: Host| {
            plant(&host).await;
            let planted = old_keys(&host);
            host.crash().await;
            host.fail_writes_after(0);
            host.reopen().await;
            // Nothing can move: it is all read at the old keys.
            all_are_there(&host).await;
            assert_eq!(old_keys(&host), planted);
            // Some can, and then no more: it is read at both.
            host.fail_writes_after(2);
            let failed = host.failed_writes();
            host.tick().await.unwrap();
            host.until("two batches moved", || async { host.failed_writes() > failed }).await;
            let left = old_keys(&host);
            assert!(left > 0 && left < planted, "{left} of {planted}");
            all_are_there(&host).await;
            host.mend_storage();
            host.tick().await.unwrap();
            host.until("all has moved", || async { old_keys(&host) == 0 }).await;
            all_are_there(&host).await;
            assert!(host.largest_batch() <= 128, "an entry and its old key, 64 times at most");
            assert_eq!(host.stored_keys().len(), planted);
            host.reopen().await;
            all_are_there(&host).await;
        })
        .await;
    }
}

#[tokio::test]
async fn entries_of_before_are_changed_and_deleted_where_they_are() {
    for way in WAYS {
        Harness::run_one(blueprint(), way, async |host: Host| {
            plant(&host).await;
            host.crash().await;
            // One write of a client's at a time gets through, and nothing moves by itself.
            host.fail_writes_after(0);
            host.reopen().await;
            let failed = host.failed_writes();
            assert!(host.read("notes/n000").await.is_ok());
            host.until("moving failed", || async { host.failed_writes() > failed }).await;
            host.mend_storage();
            host.write("notes/n000", json!({ "text": "+new" })).await.unwrap();
            host.delete("notes/deep/000/er").await.unwrap();
            host.write("settings", json!({ "owner": "grace" })).await.unwrap();
            let check = async || {
                assert_eq!(text_of(&host, "n000").await, r#"["old+new"]"#);
                let gone = host.read("notes/deep/000/er").await.unwrap_err();
                assert_eq!(gone.kind, ErrorKind::NotFound);
                assert_eq!(host.read("settings").await.unwrap().text("owner"), "grace");
            };
            check().await;
            // After an attempt that failed the next one is the periodic call's.
            assert!(old_keys(&host) > 0);
            host.tick().await.unwrap();
            host.until("all has moved", || async { old_keys(&host) == 0 }).await;
            check().await;
            assert!(host.stored(&format!("{APART}note/n001")).is_some());
        })
        .await;
    }
}

#[tokio::test]
async fn no_update_is_lost_while_entries_move() {
    for way in WAYS {
        Harness::run_one(blueprint(), way, async |host: Host| {
            plant(&host).await;
            host.reopen().await;
            let writes = names().into_iter().map(|name| {
                let host = host.clone();
                async move {
                    let (path, text) = (format!("notes/{name}"), json!({ "text": "+" }));
                    host.write(&path, &text).await.unwrap();
                    host.write(&path, &text).await.unwrap();
                }
            });
            futures_util::future::join_all(writes).await;
            host.until("all has moved", || async { old_keys(&host) == 0 }).await;
            for name in names() {
                assert_eq!(text_of(&host, &name).await, r#"["old++"]"#, "{name}");
            }
        })
        .await;
    }
}

#[tokio::test]
async fn nothing_is_lost_or_there_twice_wherever_moving_is_killed() {
    for way in WAYS {
        Harness::run_one(blueprint(), way, async |host: Host| {
            plant(&host).await;
            let planted = old_keys(&host);
            let mut rounds = 0;
            while old_keys(&host) > 0 {
                host.crash().await;
                let failed = host.failed_writes();
                host.fail_writes_after(rounds % 2);
                host.reopen().await;
                host.tick().await.unwrap();
                let stopped = || async { host.failed_writes() > failed || old_keys(&host) == 0 };
                host.until("it stops", stopped).await;
                assert_eq!(host.stored_keys().len(), planted, "something is lost or there twice");
                rounds += 1;
                assert!(rounds < 100, "it does not get on");
            }
            assert!(rounds > 4, "it was not killed in the middle");
            host.mend_storage();
            host.reopen().await;
            all_are_there(&host).await;
        })
        .await;
    }
}

/// It finishes requests while this instance serves and moves already. Both see one store.
#[tokio::test]
async fn what_an_instance_of_before_writes_after_the_move_overwrites_and_hides_nothing() {
    for way in WAYS {
        Harness::run_one(blueprint(), way, async |host: Host| {
            plant(&host).await;
            host.reopen().await;
            host.tick().await.unwrap();
            host.until("all has moved", || async { old_keys(&host) == 0 }).await;
            for name in ["n000", "n001"] {
                let more = json!({ "text": "+new" });
                host.write(&format!("notes/{name}"), more).await.unwrap();
            }
            // To that one the entries that moved are not there.
            let late = ["n000", "n001", "late", "deep/late"];
            for name in late {
                host.store(&format!("{APART_BEFORE}note/{name}"), "late").await;
            }
            let check = async || {
                for name in ["n000", "n001"] {
                    assert_eq!(text_of(&host, name).await, r#"["old+new"]"#, "{name}");
                }
                for name in ["late", "deep/late"] {
                    assert_eq!(text_of(&host, name).await, r#"["late"]"#, "{name}");
                }
                assert_eq!(host.list("notes").await.unwrap().len(), NOTES + 2);
                assert_eq!(host.list("notes/deep").await.unwrap().len(), NOTES + 1);
            };
            check().await;
            host.tick().await.unwrap();
            host.until("the others moved", || async { old_keys(&host) == 2 }).await;
            check().await;
            host.reopen().await;
            check().await;
            // They go with the next write or removal.
            host.write("notes/n000", json!({ "text": "+more" })).await.unwrap();
            host.delete("notes/n001").await.unwrap();
            assert_eq!(old_keys(&host), 0);
            assert_eq!(text_of(&host, "n000").await, r#"["old+new+more"]"#);
            let gone = host.read("notes/n001").await.unwrap_err();
            assert_eq!(gone.kind, ErrorKind::NotFound);
        })
        .await;
    }
}

#[tokio::test]
async fn an_entry_that_can_not_be_read_keeps_neither_the_others_nor_the_mount() {
    for way in WAYS {
        Harness::run_one(blueprint(), way, async |host: Host| {
            plant(&host).await;
            host.crash().await;
            let damaged = ["n000", "deep/003/er"].map(|name| format!("{APART_BEFORE}note/{name}"));
            for key in &damaged {
                host.damage_entry(key, true);
            }
            host.reopen().await;
            host.tick().await.unwrap();
            host.until("the others moved", || async { old_keys(&host) == 2 }).await;
            for name in names() {
                let read = host.read(&format!("notes/{name}")).await;
                let is_damaged = damaged.iter().any(|key| key.ends_with(&format!("note/{name}")));
                assert_eq!(read.is_err(), is_damaged, "{name}");
            }
            assert_eq!(host.list("notes").await.unwrap().len(), NOTES + 1);
            for key in &damaged {
                host.damage_entry(key, false);
            }
            all_are_there(&host).await;
            host.tick().await.unwrap();
            host.until("they moved, too", || async { old_keys(&host) == 0 }).await;
            all_are_there(&host).await;
        })
        .await;
    }
}

/// Vault and OpenBao store no key with a character that doesn't show.
#[tokio::test]
async fn records_and_documents_apart_work_under_the_servers_of_others() {
    for way in [Way::Linked, Way::Wire, Way::Foreign] {
        Harness::run_one(blueprint(), way, async |host: Host| {
            host.write("settings", json!({ "owner": "ada" })).await.unwrap();
            host.write("notes/a/b", json!({ "text": "x" })).await.unwrap();
            assert_eq!(text_of(&host, "a/b").await, r#"["x"]"#);
            assert_eq!(host.read("settings").await.unwrap().text("owner"), "ada");
            let refused = host.write("notes/a\u{a0}b", json!({ "text": "x" })).await.unwrap_err();
            assert!(refused.message.contains("non-printable"), "{refused}");
            let mut keys = host.stored_keys();
            keys.retain(|key| !key.starts_with(APART));
            assert!(keys.is_empty(), "{keys:?}");
        })
        .await;
    }
}
