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
use strongroom_storage::embedded::{Embedded, Options};
use strongroom_testkit::programs::skip;
use strongroom_testkit::wait::{let_run, until};
use strongroom_testkit::{Api, ServerProcess, Site};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const ROOT_KEY_RECORD: &str = "core/root-key";
const KEY_RING_RECORD: &str = "core/key-ring";
/// Of the key ring: format, number of terms; and of each term what stands before its key.
const RING_HEADER: usize = 5;
const TERM_HEADER: usize = 20;
const KEY_BYTES: usize = 32;
/// Bytes of memory that are read at once: some pages.
const PIECE: usize = 64 << 10;

/// Secrets by what they are.
type Secrets = BTreeMap<&'static str, Vec<u8>>;

/// What a client writes and reads.
const VALUE: &str = "correct horse battery staple 4711";
/// Seals, and after how many of them the memory in use is measured for the first time: until then
/// the allocator and the threads take what they keep.
const SEALS: usize = 50;
const SETTLED: usize = 10;
/// Tokens that are used before each seal, and bytes of each one's metadata.
const TOKENS: usize = 8;
const META_BYTES: usize = 64 << 10;
/// What an unsealed server knows of these tokens is gone with the seal. When it wasn't, every seal
/// left all of it behind: 20 MiB from the tenth seal to the last. Half of it would be noticed, and
/// what an allocator can't give back is far less.
const GROWTH: usize = (SEALS - SETTLED) * TOKENS * META_BYTES / 2;

#[tokio::test]
async fn sr_2026_01_nothing_secret_is_in_the_memory_of_a_sealed_server() {
    let mut site = Site::new("");
    let (server, api) = site.open().await;
    api.write("sys/mounts/kv", json!({ "type": "kv" })).await.ok();
    api.write("kv/a", json!({ "value": VALUE })).await.ok();
    api.read("kv/a").await.ok();
    let mut secrets = keys_of(&site).await;
    let share = &secrets["key share"];
    let texts = [data_encoding::HEXLOWER.encode(share), data_encoding::BASE64.encode(share)];
    let [hex, base64] = &texts;
    secrets.insert("key share in hex", hex.clone().into_bytes());
    secrets.insert("key share in base64", base64.clone().into_bytes());
    secrets.insert("value", VALUE.into());
    let Some(unsealed) = occurrences(&server, &secrets) else {
        skip("sr_2026_01", "the memory of the server can't be read by this user");
        return;
    };
    // The controls: this is how secrets look that are there.
    for name in ["root key", "key of term 1", "value"] {
        assert!(unsealed[name] > 0, "{name}: {unsealed:?}");
    }
    for (name, text) in [("key share in hex", hex), ("key share in base64", base64)] {
        half_sent_share(&server, text, async || {
            let is_there = || async { (occurrences(&server, &secrets)?[name] > 0).then_some(()) };
            until(name, Duration::from_secs(60), is_there).await;
        })
        .await;
    }
    seal(&site, &server, &api).await;
    let sealed = occurrences(&server, &secrets).unwrap();
    for name in ["key share", "root key", "key of term 1"] {
        assert_eq!(sealed[name], 0, "{name}, at once: {sealed:?}");
    }
    wait_until_gone(&server, &secrets).await;
    let mut tokens = Vec::new();
    let mut settled = 0;
    for n in 1..=SEALS {
        let text = &texts[n % 2];
        server.api("").write("sys/unseal", json!({ "key": text })).await.ok();
        api.read("kv/a").await.ok();
        while tokens.len() < TOKENS {
            let meta = json!({ "meta": { "text": "x".repeat(META_BYTES) } });
            let made = api.write("auth/token/create", meta).await.ok();
            tokens.push(api.as_token(&made.text("auth/client_token")));
        }
        for token in &tokens {
            token.write("sys/capabilities-self", json!({ "paths": ["kv/a"] })).await.ok();
        }
        seal(&site, &server, &api).await;
        if n == SETTLED {
            settled = bytes_in_memory(&server);
        }
    }
    let grown = bytes_in_memory(&server).saturating_sub(settled);
    assert!(grown < GROWTH, "{grown} bytes more after {SEALS} seals than after {SETTLED}");
    wait_until_gone(&server, &secrets).await;
}

/// What goes through HTTP is wiped once its connection has nothing to do.
async fn wait_until_gone(server: &ServerProcess, secrets: &Secrets) {
    let mut found = BTreeMap::new();
    let deadline = Duration::from_secs(30);
    let look = async {
        loop {
            found = occurrences(server, secrets).unwrap();
            if found.values().all(|count| *count == 0) {
                return;
            }
            let_run(Duration::from_millis(100)).await;
        }
    };
    let gone = tokio::time::timeout(deadline, look).await;
    assert!(gone.is_ok(), "in a sealed server: {found:?}");
}

/// Sends a key share but for the last byte of the body, does something, and sends the rest.
async fn half_sent_share(server: &ServerProcess, share: &str, meanwhile: impl AsyncFnOnce()) {
    let api = server.api("");
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
fn bytes_in_memory(server: &ServerProcess) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() << 10
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
async fn keys_of(site: &Site) -> Secrets {
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

/// How often each secret is found in the writable memory of a server; none if it can't be read.
fn occurrences(server: &ServerProcess, secrets: &Secrets) -> Option<BTreeMap<&'static str, usize>> {
    let memory = fs::File::open(format!("/proc/{}/mem", server.id())).ok()?;
    let maps = fs::read_to_string(format!("/proc/{}/maps", server.id())).ok()?;
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
        for (piece, at) in part.chunks_mut(PIECE).zip((from..).step_by(PIECE)) {
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
