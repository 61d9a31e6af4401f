//! What an attacker finds in the memory of a sealed server: no key, key share or value. Linux only, and for
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
use strongroom_storage::embedded::{EmbeddedOptions, EmbeddedStorage};
use strongroom_testkit::programs::skip_test;
use strongroom_testkit::wait::{let_others_run, wait_until};
use strongroom_testkit::{ApiClient, ServerFolder, ServerProcess};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const ROOT_KEY_RECORD: &str = "core/root-key";
const KEY_RING_RECORD: &str = "core/key-ring";
/// Of the key ring: format, number of terms; and of each term what stands before its key.
const RING_HEADER: usize = 5;
const TERM_HEADER: usize = 20;
const KEY_BYTES: usize = 32;
/// Bytes of memory that are read at once: some pages.
const CHUNK_BYTES: usize = 64 << 10;

/// Secrets by what they are.
type NamedSecrets = BTreeMap<&'static str, Vec<u8>>;

/// What a client writes and reads.
const VALUE: &str = "correct horse battery staple 4711";
/// Seals, and after how many of them the memory in use is measured for the first time: until then
/// the allocator and the threads take what they keep.
const SEALS: usize = 50;
const WARM_UP_SEALS: usize = 10;
/// Tokens that are used before each seal, and bytes of each one's metadata.
const TOKENS: usize = 8;
const META_BYTES: usize = 64 << 10;
/// What an unsealed server knows of these tokens is gone with the seal. When it wasn't, every seal
/// left all of it behind: 20 MiB from the tenth seal to the last. Half of it would be noticed, and
/// what an allocator can't give back is far less.
const MAX_GROWTH_BYTES: usize = (SEALS - WARM_UP_SEALS) * TOKENS * META_BYTES / 2;

#[tokio::test]
async fn sr_2026_01_nothing_secret_is_in_the_memory_of_a_sealed_server() {
    let mut site = ServerFolder::new("");
    let (server, api) = site.start_unsealed().await;
    api.write("sys/mounts/kv", json!({ "type": "kv" })).await.assert_ok();
    api.write("kv/a", json!({ "value": VALUE })).await.assert_ok();
    api.read("kv/a").await.assert_ok();
    let mut secrets = read_keys(&site).await;
    let share = &secrets["key share"];
    let texts = [data_encoding::HEXLOWER.encode(share), data_encoding::BASE64.encode(share)];
    let [hex, base64] = &texts;
    secrets.insert("key share in hex", hex.clone().into_bytes());
    secrets.insert("key share in base64", base64.clone().into_bytes());
    secrets.insert("value", VALUE.into());
    let Some(unsealed) = count_in_memory(&server, &secrets) else {
        skip_test("sr_2026_01", "the memory of the server can't be read by this user");
        return;
    };
    // The controls: this is how secrets look that are there.
    for name in ["root key", "key of term 1", "value"] {
        assert!(unsealed[name] > 0, "{name}: {unsealed:?}");
    }
    for (name, text) in [("key share in hex", hex), ("key share in base64", base64)] {
        send_share_in_two_parts(&server, text, async || {
            let is_there =
                || async { (count_in_memory(&server, &secrets)?[name] > 0).then_some(()) };
            wait_until(name, Duration::from_secs(60), is_there).await;
        })
        .await;
    }
    seal_and_wait(&site, &server, &api).await;
    let sealed = count_in_memory(&server, &secrets).unwrap();
    for name in ["key share", "root key", "key of term 1"] {
        assert_eq!(sealed[name], 0, "{name}, at once: {sealed:?}");
    }
    wait_until_wiped(&server, &secrets).await;
    let mut tokens = Vec::new();
    let mut settled = 0;
    for n in 1..=SEALS {
        let text = &texts[n % 2];
        server.api_with_token("").write("sys/unseal", json!({ "key": text })).await.assert_ok();
        api.read("kv/a").await.assert_ok();
        while tokens.len() < TOKENS {
            let meta = json!({ "meta": { "text": "x".repeat(META_BYTES) } });
            let made = api.write("auth/token/create", meta).await.assert_ok();
            tokens.push(api.as_token(&made.text_at("auth/client_token")));
        }
        for token in &tokens {
            token.write("sys/capabilities-self", json!({ "paths": ["kv/a"] })).await.assert_ok();
        }
        seal_and_wait(&site, &server, &api).await;
        if n == WARM_UP_SEALS {
            settled = resident_bytes(&server);
        }
    }
    let grown = resident_bytes(&server).saturating_sub(settled);
    assert!(
        grown < MAX_GROWTH_BYTES,
        "{grown} bytes more after {SEALS} seals than after {WARM_UP_SEALS}"
    );
    wait_until_wiped(&server, &secrets).await;
}

/// What goes through HTTP is wiped once its connection has nothing to do.
async fn wait_until_wiped(server: &ServerProcess, secrets: &NamedSecrets) {
    let mut found = BTreeMap::new();
    let deadline = Duration::from_secs(30);
    let look = async {
        loop {
            found = count_in_memory(server, secrets).unwrap();
            if found.values().all(|count| *count == 0) {
                return;
            }
            let_others_run(Duration::from_millis(100)).await;
        }
    };
    let gone = tokio::time::timeout(deadline, look).await;
    assert!(gone.is_ok(), "in a sealed server: {found:?}");
}

/// Sends a key share but for the last byte of the body, does something, and sends the rest.
async fn send_share_in_two_parts(
    server: &ServerProcess,
    share: &str,
    meanwhile: impl AsyncFnOnce(),
) {
    let api = server.api_with_token("");
    let address = api.address().strip_prefix("http://").unwrap().to_owned();
    let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
    let body = json!({ "key": share }).to_string();
    let head = format!(
        "PUT /v1/sys/unseal HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    let (most, last) = body.split_at(body.len() - 1);
    stream.write_all(format!("{head}{most}").as_bytes()).await.unwrap();
    meanwhile().await;
    stream.write_all(last.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// Of the server, as the system counts them.
fn resident_bytes(server: &ServerProcess) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", server.process_id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() << 10
}

/// Seals, and waits until the keys are taken away.
async fn seal_and_wait(site: &ServerFolder, server: &ServerProcess, api: &ApiClient) {
    let sealed_before = site.read_log().matches("the server is sealed").count();
    api.write("sys/seal", json!({})).await.assert_ok();
    let is_sealed = || async {
        let sealed = site.read_log().matches("the server is sealed").count();
        (sealed > sealed_before).then_some(())
    };
    wait_until("the server is sealed", Duration::from_secs(60), is_sealed).await;
    let status = server.api_with_token("").read("sys/seal-status").await.assert_ok();
    assert_eq!(status.body["sealed"], true);
}

/// The keys of a server, read out of a copy of its store with its key share.
async fn read_keys(site: &ServerFolder) -> NamedSecrets {
    let copy = tempfile::tempdir().unwrap();
    copy_folder(&site.root_path().join("data"), copy.path());
    let store = EmbeddedStorage::open(copy.path(), EmbeddedOptions::default()).unwrap();
    let share = data_encoding::HEXLOWER.decode(site.key_share().as_bytes()).unwrap();
    // With one share, the share is the key that opens the root key.
    let root_key = decrypt_record(&store, &share, ROOT_KEY_RECORD).await;
    let ring = decrypt_record(&store, &root_key, KEY_RING_RECORD).await;
    let term = &ring[RING_HEADER + TERM_HEADER..][..KEY_BYTES];
    let keys = [("key share", share), ("root key", root_key), ("key of term 1", term.to_vec())];
    store.close().await;
    keys.into_iter().collect()
}

async fn decrypt_record(store: &EmbeddedStorage, key: &[u8], name: &str) -> Vec<u8> {
    let stored = store.get(name).await.unwrap().unwrap();
    let key = AeadKey::new(key).unwrap();
    record::decrypt(&key, name, &stored.value).unwrap().value.to_vec()
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap().flatten() {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// How often each secret is found in the writable memory of a server; none if it can't be read.
fn count_in_memory(
    server: &ServerProcess,
    secrets: &NamedSecrets,
) -> Option<BTreeMap<&'static str, usize>> {
    let memory = fs::File::open(format!("/proc/{}/mem", server.process_id())).ok()?;
    let maps = fs::read_to_string(format!("/proc/{}/maps", server.process_id())).ok()?;
    let mut found: BTreeMap<_, _> = secrets.keys().map(|name| (*name, 0)).collect();
    let mut read = 0;
    let mut begins = [false; 256];
    secrets.values().for_each(|secret| begins[usize::from(secret[0])] = true);
    for line in maps.lines().filter(|line| line.split(' ').nth(1).unwrap().starts_with("rw")) {
        let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let (from, to) =
            (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
        let mut part = vec![0; usize::try_from(to - from).unwrap()];
        // What can't be read is gone by now, and holds nothing. Piece by piece, so that it hides
        // nothing of the region it was in.
        for (piece, at) in part.chunks_mut(CHUNK_BYTES).zip((from..).step_by(CHUNK_BYTES)) {
            if memory.read_exact_at(piece, at).is_ok() {
                read += piece.len();
            }
        }
        for (at, byte) in part.iter().enumerate() {
            if begins[usize::from(*byte)] {
                for (name, _) in secrets.iter().filter(|(_, it)| part[at..].starts_with(it)) {
                    *found.entry(*name).or_default() += 1;
                }
            }
        }
    }
    assert!(read > 1 << 20, "only {read} bytes could be read");
    Some(found)
}
