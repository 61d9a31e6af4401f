//! On a real disk: the layout of the folder, and which folders are refused.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::*;

fn open_at(path: &Path) -> Result<EmbeddedStorage, Error> {
    EmbeddedStorage::open(path, small_options())
}

fn file_names(path: &Path) -> Vec<String> {
    let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
    let mut names: Vec<_> = fs::read_dir(path).unwrap().map(|entry| name(entry.unwrap())).collect();
    names.sort();
    names
}

fn file_mode(path: PathBuf) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Asserts that opening was refused with a message that contains these words.
fn assert_refused(opened: Result<EmbeddedStorage, Error>, words: &str) {
    match opened {
        Err(Error::Refused(why)) => assert!(why.contains(words), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_the_contract_on_a_real_disk() {
    let root = tempfile::tempdir().unwrap();
    let made = std::sync::atomic::AtomicUsize::new(0);
    contract::run(async || {
        let n = made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = root.path().join(n.to_string());
        Arc::new(EmbeddedStorage::open(&path, EmbeddedOptions::default()).unwrap())
            as Arc<dyn Physical>
    })
    .await;
}

#[tokio::test]
async fn the_folder_is_made_for_its_owner_alone() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("some/where");
    let store = open_at(&path).unwrap();
    assert_eq!(file_names(&path), ["lock", "log.0", "log.1", "strongroom.store", "tree.redb"]);
    assert_eq!(file_mode(path.clone()), 0o700);
    for name in file_names(&path) {
        assert_eq!(file_mode(path.join(&name)), 0o600, "{name}");
    }
    store.commit(PhysicalBatch::put("key", "value")).await.unwrap();
    drop(store);
    let again = open_at(&path).unwrap();
    assert!(again.get("key").await.unwrap().is_some());
}

#[tokio::test]
async fn a_folder_in_use_is_refused_until_it_is_closed() {
    let root = tempfile::tempdir().unwrap();
    let store = open_at(root.path()).unwrap();
    assert_refused(open_at(root.path()), "in use by another process");
    store.close().await;
    // Closing is enough; the store need not be dropped.
    let second = open_at(root.path()).unwrap();
    drop(second);
    open_at(root.path()).unwrap();
}

#[tokio::test]
async fn foreign_folders_are_refused_and_left_alone() {
    for (name, words) in [
        ("core/_master", "the file storage of another server"),
        ("sys/token/salt", "the file storage of another server"),
        ("raft/raft.db", "the raft storage of another server"),
        ("vault.db", "the raft storage of another server"),
        ("notes.txt", "\"notes.txt\""),
        (".hidden", "\".hidden\""),
        ("tree.redb", "\"tree.redb\""),
        ("log.0", "\"log.0\""),
    ] {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "data").unwrap();
        let before = file_names(root.path());
        assert_refused(open_at(root.path()), words);
        assert_eq!(file_names(root.path()), before, "{name}");
        assert_eq!(fs::read(&file).unwrap(), b"data", "{name}");
    }
}

#[tokio::test]
async fn what_is_no_folder_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    fs::write(&file, "").unwrap();
    assert_refused(open_at(&file), "can't be used");
    assert_refused(open_at(&file.join("below")), "can't be used");
}

#[tokio::test]
async fn harmless_names_do_not_make_a_folder_foreign() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("lost+found")).unwrap();
    fs::write(root.path().join("lock"), "").unwrap();
    open_at(root.path()).unwrap();
}

#[tokio::test]
async fn other_formats_are_refused() {
    for (marker, words) in [
        ("strongroom-store 2\nready\n", "a newer version"),
        ("strongroom-store 999 whatever\n", "a newer version"),
        ("strongroom-store 1\nconfused\n", "is not ours"),
        ("strongroom-store 0\nready\n", "is not ours"),
        ("something else\n", "is not ours"),
        ("", "is not ours"),
    ] {
        let root = tempfile::tempdir().unwrap();
        drop(open_at(root.path()).unwrap());
        fs::write(root.path().join("strongroom.store"), marker).unwrap();
        assert_refused(open_at(root.path()), words);
    }
}

#[tokio::test]
async fn a_store_that_lacks_a_file_is_refused() {
    for name in ["tree.redb", "log.0", "log.1"] {
        let root = tempfile::tempdir().unwrap();
        drop(open_at(root.path()).unwrap());
        fs::remove_file(root.path().join(name)).unwrap();
        assert!(matches!(open_at(root.path()), Err(Error::Corrupt(_))), "{name}");
        assert!(!root.path().join(name).exists(), "{name} is not made anew");
    }
    for (name, len) in [("tree.redb", 0), ("tree.redb", 1000), ("log.0", 0), ("log.1", 1000)] {
        let root = tempfile::tempdir().unwrap();
        drop(open_at(root.path()).unwrap());
        fs::File::options().write(true).open(root.path().join(name)).unwrap().set_len(len).unwrap();
        let opened = open_at(root.path());
        assert!(matches!(opened, Err(Error::Corrupt(_) | Error::Refused(_))), "{name} {opened:?}");
        assert_eq!(
            fs::metadata(root.path().join(name)).unwrap().len(),
            len,
            "{name} is left alone"
        );
    }
}

/// An interrupted creation is started again, since nothing was acknowledged.
#[tokio::test]
async fn an_unfinished_layout_is_finished() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("strongroom.store"), "strongroom-store 1\nunfinished\n").unwrap();
    fs::write(root.path().join("log.0"), "half").unwrap();
    fs::write(root.path().join("tree.redb"), "half").unwrap();
    let store = open_at(root.path()).unwrap();
    store.commit(PhysicalBatch::put("key", "value")).await.unwrap();
    drop(store);
    assert!(open_at(root.path()).unwrap().get("key").await.unwrap().is_some());
}
