//! Requests through the whole crate, to a core that is sealed or admits few requests, and over real
//! sockets.

mod engine_requests;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as HttpBody, Frame};
use strongroom_core::{AdmissionLimits, Core, CoreDependencies, Settings};
use strongroom_engine::{Engine, MountContext};
use strongroom_mounts::plugins::{
    NeededPlugins, PluginCopyGuard, PluginError, PluginKind, PluginLauncher, PluginSpec,
};
use strongroom_storage::memory::MemoryStorage;
use strongroom_storage::{Error, Physical, PhysicalBatch, PhysicalEntry, Version};
use strongroom_telemetry::MetricsExporter;
use strongroom_types::clock::ManualClock;
use strongroom_types::entropy::SeededEntropy;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{
    Body, BodyMemoryPool, ConnectionContext, HttpLimits, Listener, freed_memory_scan, handle,
};

/// A plug-in catalog without any plug-ins.
#[derive(Debug)]
struct NoPlugins;

#[async_trait::async_trait]
impl PluginLauncher for NoPlugins {
    fn builtin_version(&self, _: PluginKind, _: &str) -> Option<String> {
        None
    }
    fn builtin_names(&self, _: PluginKind) -> Vec<String> {
        Vec::new()
    }
    async fn open_builtin(
        &self,
        _: PluginKind,
        _: &str,
        _: MountContext,
    ) -> Result<Arc<dyn Engine>, PluginError> {
        Err(PluginError::Start("there are none".to_owned()))
    }
    async fn probe(&self, _: &PluginSpec) -> Result<String, PluginError> {
        Err(PluginError::Start("there are none".to_owned()))
    }
    fn start_fresh_process_next(&self, _: PluginKind, _: &str) {}
    fn keep_copy(&self, _: &PluginSpec) -> PluginCopyGuard {
        Box::new(())
    }
    async fn remove_copies_except(&self, _: &NeededPlugins<'_>) {}
    async fn open_plugin(
        &self,
        _: &PluginSpec,
        _: MountContext,
        _: &str,
    ) -> Result<Arc<dyn Engine>, PluginError> {
        Err(PluginError::Start("there are none".to_owned()))
    }
}

/// A store whose reads wait until it is released.
#[derive(Debug, Default)]
struct HangingPhysical {
    below: MemoryStorage,
    released: CancellationToken,
}

#[async_trait::async_trait]
impl Physical for HangingPhysical {
    async fn get(&self, key: &str) -> Result<Option<PhysicalEntry>, Error> {
        self.released.cancelled().await;
        self.below.get(key).await
    }

    async fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, Error> {
        self.below.scan(prefix, after, limit).await
    }

    async fn commit(&self, batch: PhysicalBatch) -> Result<Version, Error> {
        self.below.commit(batch).await
    }
}

/// A sealed core with the given admission limits.
pub(crate) fn sealed_core(admission: AdmissionLimits) -> Core {
    sealed_core_over(Arc::new(MemoryStorage::new()), admission)
}

pub(crate) fn sealed_core_over(physical: Arc<dyn Physical>, admission: AdmissionLimits) -> Core {
    let parts = CoreDependencies {
        physical,
        plugin_launcher: Arc::new(NoPlugins),
        clock: Arc::new(ManualClock::default()),
        entropy: Arc::new(SeededEntropy::new(1)),
        exporter: MetricsExporter::detached(),
    };
    Core::new(parts, strongroom_system::BUILT_INS, Settings { admission, ..Settings::default() })
}

/// A body that counts how often it is polled.
#[derive(Clone)]
struct CountingBody {
    asked: Arc<AtomicUsize>,
    sends: Option<Bytes>,
}

impl HttpBody for CountingBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;
    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match self.sends.take() {
            Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            None => Poll::Pending,
        }
    }
}

/// Sends a body to `sys/init`, and returns the response and how often the body was polled.
async fn post_init(
    core: &Core,
    version: http::Version,
    sends: Option<&'static str>,
) -> (Response<Body>, usize) {
    let body = CountingBody { asked: Arc::default(), sends: sends.map(Bytes::from) };
    let asked = body.asked.clone();
    let request = http::Request::post("/v1/sys/init").version(version).body(body).unwrap();
    let answer = handle(core, &HttpLimits::default(), request, ConnectionContext::new(None)).await;
    (answer, asked.load(Ordering::Relaxed))
}

#[tokio::test(start_paused = true)]
async fn cve_2025_12044_a_request_is_admitted_before_its_body_is_asked_for() {
    let usual = AdmissionLimits::default();
    for (limits, status) in [
        (AdmissionLimits { requests: 0, ..usual }, StatusCode::SERVICE_UNAVAILABLE),
        (AdmissionLimits { per_mount: 0, ..usual }, StatusCode::SERVICE_UNAVAILABLE),
        (AdmissionLimits { unauthenticated: 0, ..usual }, StatusCode::TOO_MANY_REQUESTS),
        (AdmissionLimits { unauthenticated_per_mount: 0, ..usual }, StatusCode::TOO_MANY_REQUESTS),
    ] {
        let core = sealed_core(limits);
        // A body that is not JSON, and one that never arrives.
        for sends in [Some("{bad"), None] {
            let (answer, asked) = post_init(&core, http::Version::HTTP_2, sends).await;
            assert_eq!((answer.status(), asked), (status, 0), "{limits:?} {sends:?}");
            assert_eq!(answer.headers()[header::RETRY_AFTER], "1");
        }
        // Over HTTP/1.1 the body is read on for a while and discarded.
        let (answer, _) = post_init(&core, http::Version::HTTP_11, Some("{bad")).await;
        assert_eq!(answer.status(), status);
    }
    let (answer, asked) = post_init(&sealed_core(usual), http::Version::HTTP_2, Some("{bad")).await;
    assert_eq!(answer.status(), StatusCode::REQUEST_TIMEOUT);
    assert!(asked > 0, "one that is admitted is read");
}

#[tokio::test]
async fn cve_2025_12044_a_sealed_server_reads_no_body_that_it_can_do_nothing_with() {
    let core = sealed_core(AdmissionLimits::default());
    let body = CountingBody { asked: Arc::default(), sends: None };
    let asked = body.asked.clone();
    let request = http::Request::post("/v1/kv/a").version(http::Version::HTTP_2);
    let request = request.body(body).unwrap();
    let answer = handle(&core, &HttpLimits::default(), request, ConnectionContext::new(None)).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(asked.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn sr_2026_03_the_state_is_told_however_full_the_server_is() {
    let core = sealed_core(AdmissionLimits {
        requests: 0,
        per_mount: 0,
        unauthenticated: 0,
        unauthenticated_per_mount: 0,
    });
    for (path, status) in [
        ("/v1/sys/health?uninitcode=204", 204),
        ("/v1/sys/seal-status", 200),
        ("/v1/sys/leader", 200),
    ] {
        let request = http::Request::get(path).body(Body::default()).unwrap();
        let answer =
            handle(&core, &HttpLimits::default(), request, ConnectionContext::new(None)).await;
        assert_eq!(answer.status(), status, "{path}");
    }
}

#[tokio::test]
async fn requests_at_exempt_paths_of_one_connection_wait_for_each_other() {
    let core = sealed_core(AdmissionLimits::default());
    let limits = HttpLimits::default();
    let context = ConnectionContext::new(None);
    let unseal = |context: &ConnectionContext| {
        let body = CountingBody { asked: Arc::default(), sends: None };
        let asked = body.asked.clone();
        let request = http::Request::post("/v1/sys/unseal").body(body).unwrap();
        let (core, limits, context) = (core.clone(), limits.clone(), context.clone());
        let answer = Box::pin(async move { handle(&core, &limits, request, context).await });
        (answer, asked)
    };
    let mut waiting: Vec<_> = (0..20).map(|_| unseal(&context)).collect();
    for (answer, _) in &mut waiting {
        assert!(futures_util::poll!(answer).is_pending());
    }
    let reading = waiting.iter().filter(|(_, asked)| asked.load(Ordering::Relaxed) > 0);
    assert_eq!(reading.count(), crate::MAX_EXEMPT_IN_FLIGHT);
    // Another connection is not affected.
    let request = http::Request::get("/v1/sys/seal-status").body(Body::default()).unwrap();
    let answer = handle(&core, &limits, request, ConnectionContext::new(None)).await;
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn cve_2025_12044_what_waits_at_exempt_paths_is_bounded() {
    let core = sealed_core(AdmissionLimits::default());
    let limits = HttpLimits::default();
    let context = ConnectionContext::new(None);
    let unseal = |header: String| {
        let body = CountingBody { asked: Arc::default(), sends: None };
        let request = http::Request::post("/v1/sys/unseal").header("x-filler", header);
        let request = request.version(http::Version::HTTP_2).body(body).unwrap();
        let (core, limits, context) = (core.clone(), limits.clone(), context.clone());
        Box::pin(async move { handle(&core, &limits, request, context).await })
    };
    // A large one is refused at once, also if a permit is free.
    let large = unseal("x".repeat(60 << 10)).await;
    assert_eq!(large.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    let mut waiting: Vec<_> =
        (0..crate::MAX_EXEMPT_PENDING).map(|_| unseal(String::new())).collect();
    for answer in &mut waiting {
        assert!(futures_util::poll!(answer).is_pending());
    }
    let one_more = unseal(String::new()).await;
    assert_eq!(one_more.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(one_more.headers()[header::RETRY_AFTER], "1");
    // Dropping a waiting request frees its permit.
    waiting.pop();
    assert!(futures_util::poll!(&mut unseal(String::new())).is_pending());
    // Another connection is not affected.
    let request =
        http::Request::get("/v1/sys/health?uninitcode=204").body(Body::default()).unwrap();
    let answer = handle(&core, &limits, request, ConnectionContext::new(None)).await;
    assert_eq!(answer.status(), 204);
}

const FORM: &str = "application/x-www-form-urlencoded";

/// Sends a body as a client would; returns the status and the JSON of the response.
async fn send_form(
    core: &Core,
    path: &str,
    token: &str,
    content_type: &str,
    body: impl Into<Bytes>,
) -> (StatusCode, serde_json::Value) {
    let request = http::Request::post(format!("/v1/{path}"))
        .header("x-vault-token", token)
        .header(header::CONTENT_TYPE, content_type)
        .body(Full::new(body.into()))
        .unwrap();
    let answer = handle(core, &HttpLimits::default(), request, ConnectionContext::new(None)).await;
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

/// If a form repeats a field, the policy check and the handler see the same joined value.
#[tokio::test]
async fn vault_1_21_conditions_hold_for_the_fields_of_a_form() {
    let core = sealed_core(AdmissionLimits::default());
    let json = "application/json";
    let shares = r#"{"secret_shares":1,"secret_threshold":1}"#;
    let (_, made) = send_form(&core, "sys/init", "", json, shares).await;
    let key = serde_json::json!({ "key": made["keys"][0] }).to_string();
    let (_, state) = send_form(&core, "sys/unseal", "", json, key).await;
    assert_eq!(state["sealed"], false, "{state}");
    let root = made["root_token"].as_str().unwrap();
    let policy = r#"
        path "auth/token/create" { capabilities = ["create", "update", "sudo"]
            denied_parameters = { "policies" = ["admin"] } }
        path "auth/token/roles/*" { capabilities = ["create", "update"]
            allowed_parameters = { "allowed_policies" = ["dev", "ops"] }
            required_parameters = ["allowed_policies"] }"#;
    let policy = serde_json::json!({ "policy": policy }).to_string();
    let (status, _) = send_form(&core, "sys/policies/acl/some", root, json, policy).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let policies = r#"{"policies":["some"]}"#;
    let (_, made) = send_form(&core, "auth/token/create", root, json, policies).await;
    let token = made["auth"]["client_token"].as_str().unwrap();
    for (path, form, permitted) in [
        ("auth/token/create", "policies=admin", false),
        ("auth/token/create", "policies=dev&policies=admin", false),
        ("auth/token/create", "policies=admin&policies=dev", false),
        ("auth/token/create", "policies=dev%2Cadmin", false),
        ("auth/token/create", "policies=dev&ttl=1h&policies=+ADMIN+", false),
        ("auth/token/create", "p%6flicies=adm%69n", false),
        ("auth/token/create", "policies=dev&policies=ops", true),
        ("auth/token/create", "ttl=1h", true),
        ("auth/token/roles/r", "allowed_policies=dev&allowed_policies=admin", false),
        ("auth/token/roles/r", "allowed_policies=dev&allowed_policies=ops", true),
        ("auth/token/roles/r", "allowed_policies=dev&orphan=true", false),
        ("auth/token/roles/r", "", false),
    ] {
        for content_type in [FORM, "application/x-www-form-urlencoded; charset=utf-8"] {
            let (status, answer) = send_form(&core, path, token, content_type, form).await;
            let denied = status == StatusCode::FORBIDDEN;
            assert_eq!(denied, !permitted, "{path} {form}: {status} {answer}");
            assert_eq!(status.is_success(), permitted, "{path} {form}: {status} {answer}");
        }
    }
    // A body with the content type of a form that starts like JSON is JSON.
    let body = r#"{"policies":["dev","admin"]}"#;
    let (status, _) = send_form(&core, "auth/token/create", token, FORM, body).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    // The handler gets the value that the policy was checked against.
    let form = "policies=dev&policies=ops";
    let (_, made) = send_form(&core, "auth/token/create", token, FORM, form).await;
    assert_eq!(made["auth"]["policies"], serde_json::json!(["default", "dev", "ops"]));
}

/// If a client sends a large body and disconnects, its memory stays reserved while the server
/// works.
#[tokio::test]
async fn sr_2026_05_the_share_of_a_request_is_held_until_the_work_on_it_ends() {
    let store = Arc::new(HangingPhysical::default());
    let core = sealed_core_over(store.clone(), AdmissionLimits::default());
    let limits = HttpLimits::default();
    let free = limits.body_memory.available_bytes();
    for _ in 0..10 {
        let body =
            format!(r#"{{"secret_shares":1,"secret_threshold":1,"x":"{}"}}"#, "x".repeat(40_000));
        let request = http::Request::post("/v1/sys/init").body(Body::from(body)).unwrap();
        let mut answer = Box::pin(handle(&core, &limits, request, ConnectionContext::new(None)));
        for _ in 0..10 {
            assert!(futures_util::poll!(&mut answer).is_pending());
            tokio::task::yield_now().await;
        }
    }
    // All clients have disconnected.
    let held = free - limits.body_memory.available_bytes();
    assert!(held >= 10 * 40_000, "only {held} bytes are held");
    store.released.cancel();
    while limits.body_memory.available_bytes() < free {
        tokio::task::yield_now().await;
    }
}

/// An unsealed server listening on a socket, with its root token.
struct HttpTestServer {
    address: std::net::SocketAddr,
    root: String,
    core: Core,
    body_memory: BodyMemoryPool,
    stop: CancellationToken,
}

impl HttpTestServer {
    async fn new(max_connections: usize) -> Self {
        let core = sealed_core(AdmissionLimits::default());
        let post = async |path: &str, body: String| {
            let request = http::Request::post(path).body(Body::from(body)).unwrap();
            let context = ConnectionContext::new(None);
            let answer = handle(&core, &HttpLimits::default(), request, context).await;
            let bytes = answer.into_body().collect().await.unwrap().to_bytes();
            serde_json::from_slice::<serde_json::Value>(&bytes).unwrap()
        };
        let one = r#"{"secret_shares":1,"secret_threshold":1}"#;
        let made = post("/v1/sys/init", one.to_owned()).await;
        post("/v1/sys/unseal", format!(r#"{{"key":{}}}"#, made["keys"][0])).await;
        let root = made["root_token"].as_str().unwrap().to_owned();
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let limits = HttpLimits { max_connections, ..HttpLimits::default() };
        let (bodies, stop) = (limits.body_memory.clone(), CancellationToken::new());
        let listener = Listener::new(socket, None, None, limits);
        TaskTracker::new().spawn(listener.serve(core.clone(), stop.clone()));
        Self { address, root, core, body_memory: bodies, stop }
    }

    async fn connect(&self) -> HttpTestClient {
        HttpTestClient(BufReader::new(TcpStream::connect(self.address).await.unwrap()))
    }
}

impl Drop for HttpTestServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// An HTTP/1.1 connection that is kept alive.
struct HttpTestClient(BufReader<TcpStream>);

impl HttpTestClient {
    /// Sends a request; the status of the response, or `None` if the connection was closed.
    async fn request(&mut self, method: &str, path: &str, token: &str, body: &str) -> Option<u16> {
        let request = format!(
            "{method} /v1/{path} HTTP/1.1\r\nHost: a\r\nX-Vault-Token: {token}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.0.write_all(request.as_bytes()).await.ok()?;
        self.read_status().await
    }

    async fn read_status(&mut self) -> Option<u16> {
        let (mut status, mut body_bytes) = (None, 0);
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).await.ok()?;
            match line.trim_end() {
                "" => break,
                line => {
                    let line = line.to_ascii_lowercase();
                    status = status.or_else(|| line.split(' ').nth(1)?.parse().ok());
                    if let Some(length) = line.strip_prefix("content-length: ") {
                        body_bytes = length.parse().unwrap();
                    }
                }
            }
        }
        let mut body = vec![0; body_bytes];
        self.0.read_exact(&mut body).await.ok()?;
        status
    }

    async fn seal_status(&mut self) -> Option<u16> {
        self.request("GET", "sys/seal-status", "", "").await
    }

    /// Waits until the server closes the connection.
    async fn until_closed(mut self) {
        let mut rest = Vec::new();
        // A clean close or a reset: either ends it.
        let _ = self.0.read_to_end(&mut rest).await;
    }
}

#[tokio::test]
async fn sr_2026_02_a_full_listener_makes_room_for_who_is_new() {
    let served = HttpTestServer::new(3).await;
    let mut strangers = Vec::new();
    for _ in 0..3 {
        let mut stranger = served.connect().await;
        assert_eq!(stranger.seal_status().await, Some(200));
        strangers.push(stranger);
    }
    // The first connection is now the one with the most recent request.
    assert_eq!(strangers[0].seal_status().await, Some(200));
    let mut new = served.connect().await;
    assert_eq!(new.seal_status().await, Some(200));
    strangers.remove(1).until_closed().await;
    for stranger in &mut strangers {
        assert_eq!(stranger.seal_status().await, Some(200));
    }
    // A connection with a request in progress is closed after those without one.
    let head = b"POST /v1/sys/unseal HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{";
    strangers[0].0.write_all(head).await.unwrap();
    strangers[1].seal_status().await.unwrap();
    let mut busy = strangers.remove(0);
    assert_eq!(new.seal_status().await, Some(200));
    let mut newer = served.connect().await;
    assert_eq!(newer.seal_status().await, Some(200));
    strangers.remove(0).until_closed().await;
    // If all have a request in progress, that protects none of them.
    for stranger in [&mut new, &mut newer] {
        stranger.0.write_all(head).await.unwrap();
    }
    let mut last = served.connect().await;
    assert_eq!(last.seal_status().await, Some(200));
    assert_eq!(busy.read_status().await, None);
}

/// Part of a body that is being received is in HTTP's read buffer, part was copied out of it; both
/// must be zeroized.
#[tokio::test]
async fn an_evicted_connection_zeroizes_its_body() {
    const MARK: &[u8] = b"a value of one who makes room; ";
    static PART: [u8; 5000] = {
        let mut part = [0; 5000];
        let mut at = 0;
        while at < part.len() {
            part[at] = MARK[at % MARK.len()];
            at += 1;
        }
        part
    };
    let served = HttpTestServer::new(1).await;
    let mut stranger = served.connect().await;
    let head = b"POST /v1/sys/wrapping/lookup HTTP/1.1\r\nHost: a\r\nContent-Length: 6000\r\n\
        Expect: 100-continue\r\n\r\n";
    stranger.0.write_all(head).await.unwrap();
    assert_eq!(stranger.read_status().await, Some(100), "the head is read by itself");
    let watched = freed_memory_scan::FreedMemoryScan::start(MARK);
    let free = served.body_memory.available_bytes();
    stranger.0.write_all(&PART).await.unwrap();
    while served.body_memory.available_bytes() == free {
        tokio::task::yield_now().await;
    }
    assert_eq!(served.connect().await.seal_status().await, Some(200));
    stranger.until_closed().await;
    assert_eq!(watched.matches(), 0);
}

#[tokio::test]
async fn sr_2026_02_a_connection_with_a_valid_token_keeps_its_place() {
    let served = HttpTestServer::new(2).await;
    let read_own = "auth/token/lookup-self";
    let mut operator = served.connect().await;
    assert_eq!(operator.request("GET", read_own, &served.root, "").await, Some(200));
    for _ in 0..5 {
        let mut stranger = served.connect().await;
        // An invalid token doesn't protect a connection, nor does a token sent to an
        // unauthenticated path.
        assert_eq!(stranger.request("GET", read_own, "hvs.none", "").await, Some(403));
        assert_eq!(stranger.request("GET", "sys/seal-status", &served.root, "").await, Some(200));
        let mut next = served.connect().await;
        assert_eq!(next.seal_status().await, Some(200));
        stranger.until_closed().await;
    }
    assert_eq!(operator.request("GET", read_own, &served.root, "").await, Some(200));
    // If no connection can be closed, a new one waits.
    let mut other = served.connect().await;
    assert_eq!(other.request("GET", read_own, &served.root, "").await, Some(200));
    let mut waiting = served.connect().await;
    let mut answer = Box::pin(waiting.seal_status());
    assert!(futures_util::poll!(&mut answer).is_pending());
    assert_eq!(other.request("GET", read_own, &served.root, "").await, Some(200));
    assert_eq!(operator.request("GET", read_own, &served.root, "").await, Some(200));
    drop(operator);
    assert_eq!(answer.await, Some(200));
}

/// The flood continues while the operator connects and seals the server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sr_2026_02_a_flood_over_sockets_keeps_no_seal_from_being_made() {
    let served = Arc::new(HttpTestServer::new(64).await);
    let asked = Arc::new(AtomicUsize::new(0));
    let mut flood = JoinSet::new();
    for n in 0..128 {
        let (served, asked) = (served.clone(), asked.clone());
        flood.spawn(async move {
            let body = r#"{"secret_shares":1,"secret_threshold":1}"#;
            loop {
                let mut client = served.connect().await;
                // Half of the clients send requests in a loop, the others never finish theirs.
                if n % 2 == 0 {
                    while client.request("POST", "sys/init", "", body).await.is_some() {
                        asked.fetch_add(1, Ordering::Relaxed);
                    }
                } else {
                    let half =
                        b"POST /v1/sys/init HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{";
                    let _ = client.0.write_all(half).await;
                    client.until_closed().await;
                }
            }
        });
    }
    while asked.load(Ordering::Relaxed) < 500 {
        tokio::task::yield_now().await;
    }
    // The operator's client retries if its connection breaks, as any client does.
    let mut sealed = None;
    while sealed.is_none() {
        let mut operator = served.connect().await;
        sealed = operator.request("POST", "sys/seal", &served.root, "").await;
    }
    assert_eq!(sealed, Some(204));
    assert!(served.core.is_sealed());
    flood.shutdown().await;
}
