//! What an attacker finds in the memory of a sealed server: none of its keys. Linux only, and for
//! whoever may read the memory of a process that forbids it, which is root.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use strongroom_barrier::record;
use strongroom_crypto::AeadKey;
use strongroom_storage::Physical;
use strongroom_storage::embedded::{Embedded, Options};
use strongroom_testkit::programs::skip;
use strongroom_testkit::wait::until;
use strongroom_testkit::{Api, ServerProcess, Site};

const ROOT_KEY_RECORD: &str = "core/root-key";
const KEY_RING_RECORD: &str = "core/key-ring";
/// Of the key ring: format, number of terms; and of each term what stands before its key.
const RING_HEADER: usize = 5;
const TERM_HEADER: usize = 20;
const KEY_BYTES: usize = 32;
/// Bytes of memory that are read at once: some pages.
const PIECE: usize = 64 << 10;

/// Key material by what it is.
type Keys = BTreeMap<&'static str, Vec<u8>>;

#[tokio::test]
async fn sr_2026_01_no_key_is_in_the_memory_of_a_sealed_server() {
    let mut site = Site::new("");
    let (server, api) = site.open().await;
    api.write("sys/mounts/kv", json!({ "type": "kv" })).await.ok();
    api.write("kv/a", json!({ "value": "hunter2" })).await.ok();
    api.read("kv/a").await.ok();
    let keys = keys_of(&site).await;
    let Some(unsealed) = occurrences(&server, &keys) else {
        skip("sr_2026_01", "the memory of the server can't be read by this user");
        return;
    };
    // The control: this is how keys look that are there.
    assert!(unsealed["root key"] > 0, "{unsealed:?}");
    assert!(unsealed["key of term 1"] > 0, "{unsealed:?}");
    for _ in 0..3 {
        seal(&site, &server, &api).await;
        let sealed = occurrences(&server, &keys).unwrap();
        assert!(sealed.values().all(|count| *count == 0), "sealed: {sealed:?}");
        site.unseal(&server).await;
        assert!(occurrences(&server, &keys).unwrap()["root key"] > 0);
    }
}

/// Seals, and waits until the keys are taken away.
async fn seal(site: &Site, server: &ServerProcess, api: &Api) {
    let sealed_before = site.log().matches("the server is sealed").count();
    api.write("sys/seal", json!({})).await.ok();
    let is_sealed = || async {
        let sealed = site.log().matches("the server is sealed").count();
        (sealed > sealed_before).then_some(())
    };
    until("the server is sealed", Duration::from_secs(60), is_sealed).await;
    let status = server.api("").read("sys/seal-status").await.ok();
    assert_eq!(status.body["sealed"], true);
}

/// The keys of a server, read out of a copy of its store with its key share.
async fn keys_of(site: &Site) -> Keys {
    let copy = tempfile::tempdir().unwrap();
    copy_folder(&site.path().join("data"), copy.path());
    let store = Embedded::open(copy.path(), Options::default()).unwrap();
    let share = data_encoding::HEXLOWER.decode(site.key_share().as_bytes()).unwrap();
    // With one share, the share is the key that opens the root key.
    let root_key = open(&store, &share, ROOT_KEY_RECORD).await;
    let ring = open(&store, &root_key, KEY_RING_RECORD).await;
    let term = &ring[RING_HEADER + TERM_HEADER..][..KEY_BYTES];
    let keys = [("key share", share), ("root key", root_key), ("key of term 1", term.to_vec())];
    store.close().await;
    keys.into_iter().collect()
}

async fn open(store: &Embedded, key: &[u8], name: &str) -> Vec<u8> {
    let stored = store.get(name).await.unwrap().unwrap();
    let key = AeadKey::new(key).unwrap();
    record::open(&key, name, &stored.value).unwrap().value.to_vec()
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap().flatten() {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// How often each key is found in the writable memory of a server; none if it can't be read.
fn occurrences(server: &ServerProcess, keys: &Keys) -> Option<BTreeMap<&'static str, usize>> {
    let memory = fs::File::open(format!("/proc/{}/mem", server.id())).ok()?;
    let maps = fs::read_to_string(format!("/proc/{}/maps", server.id())).ok()?;
    let mut found: BTreeMap<_, _> = keys.keys().map(|name| (*name, 0)).collect();
    let mut read = 0;
    let mut begins = [false; 256];
    keys.values().for_each(|key| begins[usize::from(key[0])] = true);
    for line in maps.lines().filter(|line| line.split(' ').nth(1).unwrap().starts_with("rw")) {
        let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let (from, to) =
            (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
        let mut part = vec![0; usize::try_from(to - from).unwrap()];
        // What can't be read is gone by now, and holds nothing. Piece by piece, so that it hides
        // nothing of the region it was in.
        for (piece, at) in part.chunks_mut(PIECE).zip((from..).step_by(PIECE)) {
            if memory.read_exact_at(piece, at).is_ok() {
                read += piece.len();
            }
        }
        for (at, byte) in part.iter().enumerate() {
            if begins[usize::from(*byte)] {
                for (name, _) in keys.iter().filter(|(_, key)| part[at..].starts_with(key)) {
                    *found.entry(*name).or_default() += 1;
                }
            }
        }
    }
    assert!(read > 1 << 20, "only {read} bytes could be read");
    Some(found)
}
