//! Resident memory of a server that many clients ask for something large each. Linux only.

use std::fmt::Write as _;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use strongroom_testkit::server::{resume_process, suspend_process};
use strongroom_testkit::wait::wait_until;
use strongroom_testkit::{ApiClient, ExternalTokenService, ServerFolder, ServerProcess};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::api_token_engine;

/// Rules of a large policy.
const RULES: usize = 5_000;
/// Tokens that are used before memory is looked at for the first time, and after that.
const WARM_UP_TOKENS: usize = 20;
const FURTHER_TOKENS: usize = 200;
/// Each set of policies once copied all of its rules, and was kept: with these numbers more than
/// 100 MB. A third of that would be noticed.
const MAX_GROWTH_KB: u64 = 33_000;

/// Whoever may make tokens with policies of many names makes as many sets of policies as he likes.
#[tokio::test]
async fn sr_2026_08_and_cve_2023_5954_sets_of_policies_leave_resident_memory_flat() {
    let mut site = ServerFolder::new("");
    let (server, api) = site.start_unsealed().await;
    let mut policy = String::new();
    for n in 0..RULES {
        writeln!(policy, "path \"kv/a/rule/{n}/*\" {{ capabilities = [\"read\"] }}").unwrap();
    }
    api.write("sys/policies/acl/large", json!({ "policy": policy })).await.assert_ok();
    let role = json!({ "allowed_policies": ["large"], "allowed_policies_glob": ["x*"] });
    api.write("auth/token/roles/r", role).await.assert_ok();
    use_tokens(&api, 0..WARM_UP_TOKENS).await;
    let before = resident_kb(&server);
    use_tokens(&api, WARM_UP_TOKENS..WARM_UP_TOKENS + FURTHER_TOKENS).await;
    let after = resident_kb(&server);
    assert!(after < before + MAX_GROWTH_KB, "{before} kB, then {after} kB");
    assert_eq!(server.stop().await, Some(0));
}

/// Makes tokens, each with a set of policies of its own, and uses each once.
async fn use_tokens(api: &ApiClient, numbers: std::ops::Range<usize>) {
    for n in numbers {
        let policies = json!({ "policies": ["large", format!("x{n}")] });
        let made = api.write("auth/token/create/r", policies).await.assert_ok();
        let token = api.as_token(&made.text_at("auth/client_token"));
        token.read("auth/token/lookup-self").await.assert_ok();
    }
}

/// `max_request_bytes_in_flight` of the server that is flooded.
const IN_FLIGHT_BYTES: usize = 64 << 20;
/// Requests that are sent at once, each over a connection of its own. One mount may have more.
const FLOOD_REQUESTS: usize = 500;
/// What the documentation says a field weighs beside its bytes.
const FIELD_BYTES: usize = 160;
/// Memory by which the flooded server may grow: the limit; as much again, since a request that
/// waits for a plug-in is there as a message as well; as much again for what the allocator leaves
/// free in between; and 64 KiB for each connection. Without the limit it grows by twice that.
const MAX_FLOOD_GROWTH_KB: u64 = ((3 * IN_FLIGHT_BYTES + FLOOD_REQUESTS * (64 << 10)) >> 10) as u64;
/// A quarter of the limit. Where memory grows by less, few of the requests reached the mount.
const MIN_WAITING_GROWTH_KB: u64 = (IN_FLIGHT_BYTES >> 12) as u64;
/// About half of the requests that find room.
const MIN_WAITING_REQUESTS: usize = 20;
const TIMEOUT: Duration = Duration::from_secs(60);

/// Small bodies with many fields: the fields are what takes memory.
#[tokio::test]
async fn sr_2026_05_many_fields_of_requests_that_wait_leave_resident_memory_bounded() {
    let fields: Vec<String> = (0..6000).map(|n| format!("\"f{n}\":1")).collect();
    flood_suspended_mount(&format!("{{{}}}", fields.join(",")), fields.len()).await;
}

/// Large bodies with one field.
#[tokio::test]
async fn sr_2026_05_large_bodies_of_requests_that_wait_leave_resident_memory_bounded() {
    flood_suspended_mount(&format!("{{\"f\":\"{}\"}}", "x".repeat(700_000)), 1).await;
}

/// Sends many requests at once to a mount whose plug-in process is suspended.
async fn flood_suspended_mount(body: &str, fields: usize) {
    let outside = ExternalTokenService::start().await;
    // No connection is closed for being slow, whatever else the machine does.
    let mut site = ServerFolder::new(&format!(
        "max_request_bytes_in_flight = {IN_FLIGHT_BYTES}\n max_request_size = 1048576\n \
         http_read_header_timeout = \"10m\"\n http_read_timeout = \"10m\"\n \
         max_request_duration = \"10m\""
    ));
    let (server, api) = site.start_unsealed().await;
    api_token_engine::enable_engine(&site, &api, &outside, "10s").await;
    api.write("sys/mounts/kv", json!({ "type": "kv" })).await.assert_ok();
    let plugin = server.child_processes()[0];
    suspend_process(plugin);
    let before = resident_kb(&server);
    // All are accepted before the first one floods: the system queues only so many.
    let mut connections = Vec::new();
    for _ in 0..FLOOD_REQUESTS {
        let mut connection = KeepAliveConnection::new(&api).await;
        assert_eq!(connection.request("GET", "sys/seal-status", "").await.status, 200);
        connections.push(connection);
    }
    let body: Arc<str> = body.into();
    let mut asked = JoinSet::new();
    for (n, mut connection) in connections.into_iter().enumerate() {
        let body = body.clone();
        asked.spawn(async move {
            connection.request("POST", &format!("custom/roles/r{n}"), &body).await
        });
    }

    // All that find no room are refused; the others wait at the mount.
    let find_room = IN_FLIGHT_BYTES / (body.len() + fields * FIELD_BYTES);
    wait_until("requests that find no room are refused", TIMEOUT, || {
        while let Some(answered) = asked.try_join_next() {
            let ParsedResponse { status, head, body } = answered.unwrap();
            assert_eq!(status, 503, "{body}");
            assert!(body.contains("too many large request bodies"), "{body}");
            assert!(head.contains("\r\nretry-after: 1\r\n"), "{head}");
        }
        let grown = peak_kb(&server) - before;
        assert!(
            grown < MAX_FLOOD_GROWTH_KB,
            "grown by {grown} kB, of {MAX_FLOOD_GROWTH_KB} kB at most"
        );
        std::future::ready((asked.len() <= find_room).then_some(()))
    })
    .await;
    let waiting = asked.len();
    assert!(waiting >= MIN_WAITING_REQUESTS, "only {waiting} requests wait");
    let grown = resident_kb(&server) - before;
    assert!(
        grown > MIN_WAITING_GROWTH_KB,
        "grown by {grown} kB only, with {waiting} requests that wait"
    );

    // Another mount has room.
    api.write("kv/a", json!({ "b": "c" })).await.assert_ok();
    assert_eq!(api.read("kv/a").await.assert_ok().text_at("data/b"), "c");

    resume_process(plugin);
    let mut done = 0;
    while let Some(answered) = asked.join_next().await {
        let ParsedResponse { status, body, .. } = answered.unwrap();
        assert!(matches!(status, 200 | 503), "{status} {body}");
        done += usize::from(status == 200);
    }
    assert!(done >= MIN_WAITING_REQUESTS, "only {done} requests waited at the mount");
    let grown = peak_kb(&server) - before;
    assert!(
        grown < MAX_FLOOD_GROWTH_KB,
        "grown by {grown} kB, of {MAX_FLOOD_GROWTH_KB} kB at most"
    );
    assert_eq!(server.stop().await, Some(0));
}

/// One connection of HTTP/1.1 that is kept alive.
struct KeepAliveConnection {
    stream: BufReader<TcpStream>,
    token: String,
}

struct ParsedResponse {
    status: u16,
    head: String,
    body: String,
}

impl KeepAliveConnection {
    async fn new(api: &ApiClient) -> Self {
        let address = api.address().strip_prefix("http://").unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        Self { stream: BufReader::new(stream), token: api.token().to_owned() }
    }

    async fn request(&mut self, method: &str, path: &str, body: &str) -> ParsedResponse {
        let Self { stream, token } = self;
        let request = format!(
            "{method} /v1/{path} HTTP/1.1\r\nHost: a\r\nX-Vault-Token: {token}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = stream.read_line(&mut head).await.unwrap();
            assert_ne!(read, 0, "the connection was closed after {head:?}");
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        stream.read_exact(&mut body).await.unwrap();
        ParsedResponse { status, head, body: String::from_utf8(body).unwrap() }
    }
}

fn resident_kb(server: &ServerProcess) -> u64 {
    memory_kb(server, "VmRSS:")
}

/// The most memory that was ever resident.
fn peak_kb(server: &ServerProcess) -> u64 {
    memory_kb(server, "VmHWM:")
}

fn memory_kb(server: &ServerProcess, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.process_id())).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
