//! The service as its callers see it: over a socket, in this process and as a program.
#![expect(clippy::unwrap_used, reason = "a test may be blunt, and so may what it is made of")]

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use strongroom_types::clock::{BoxFuture, ManualClock};
use strongroom_types::{Clock, Secret, Timestamp};
use token_service::{Config, RunningService, Service, StartError};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::sync::mpsc;

const API_KEY: &str = "the-key";

#[tokio::test]
async fn a_token_is_created_renewed_and_deleted() {
    let (running, clock) = start_service(|_| {}).await;
    let (status, made) = running
        .post("/tokens", &json!({ "name": "ci", "permissions": ["read", "write"], "ttl": 60 }))
        .await;
    assert_eq!(status, 201, "{made}");
    let (id, token) = (made["id"].as_str().unwrap(), made["token"].as_str().unwrap());
    let shown = json!({
        "id": id,
        "name": "ci",
        "permissions": ["read", "write"],
        "created_at": "2030-01-01T00:00:00Z",
        "expires_at": "2030-01-01T00:01:00Z",
    });
    let mut with_token = shown.clone();
    with_token["token"] = token.into();
    assert_eq!(made, with_token);

    assert_eq!(running.get(&format!("/tokens/{id}")).await, (200, shown.clone()));
    assert_eq!(running.get("/tokens").await, (200, json!({ "tokens": [shown] })));
    let (status, myself) = running.call("GET", "/self", Some(token), "").await;
    assert_eq!(status, 200);
    assert_eq!(
        myself,
        json!({
            "id": id,
            "name": "ci",
            "permissions": ["read", "write"],
            "expires_at": "2030-01-01T00:01:00Z",
        })
    );

    clock.advance(Duration::from_secs(30));
    let (status, renewed) =
        running.post(&format!("/tokens/{id}/renew"), &json!({ "ttl": 120 })).await;
    assert_eq!((status, &renewed["expires_at"]), (200, &json!("2030-01-01T00:02:30Z")));
    assert!(renewed.get("token").is_none());

    assert_eq!(running.delete(&format!("/tokens/{id}")).await, (204, Value::Null));
    assert_eq!(running.delete(&format!("/tokens/{id}")).await.0, 404);
    assert_eq!(running.get(&format!("/tokens/{id}")).await.0, 404);
    assert_eq!(running.post(&format!("/tokens/{id}/renew"), &json!({})).await.0, 404);
    assert_eq!(running.call("GET", "/self", Some(token), "").await.0, 401);
    assert_eq!(
        running.get("/stats").await,
        (200, json!({ "created": 1, "deleted": 1, "renewed": 1, "live": 0 }))
    );
}

#[tokio::test]
async fn tokens_differ_and_are_long() {
    let (running, _) = start_service(|_| {}).await;
    let (one, two) = (running.create_token("one").await, running.create_token("two").await);
    for field in ["token", "id"] {
        let (one, two) = (one[field].as_str().unwrap(), two[field].as_str().unwrap());
        // 32 random bytes in base64, or 16 in hex, plus the prefix "tok_".
        assert!(one.len() >= 32 && one.len() == two.len());
        let same = one.bytes().zip(two.bytes()).filter(|(a, b)| a == b).count();
        assert!(same < one.len() / 2, "{one} {two}");
    }
}

#[tokio::test]
async fn an_expired_token_is_gone() {
    let (running, clock) = start_service(|_| {}).await;
    let made = running.create_token("ci").await;
    let (id, token) = (made["id"].as_str().unwrap(), made["token"].as_str());
    // Without a ttl, it is an hour.
    clock.advance(Duration::from_secs(3599));
    assert_eq!(running.call("GET", "/self", token, "").await.0, 200);
    clock.advance(Duration::from_secs(1));
    assert_eq!(running.call("GET", "/self", token, "").await.0, 401);
    assert_eq!(running.get(&format!("/tokens/{id}")).await.0, 404);
    assert_eq!(running.post(&format!("/tokens/{id}/renew"), &json!({})).await.0, 404);
    assert_eq!(running.delete(&format!("/tokens/{id}")).await.0, 404);
    assert_eq!(running.get("/tokens").await, (200, json!({ "tokens": [] })));
    let stats = running.stats().await;
    assert_eq!((stats.created, stats.deleted, stats.renewed, stats.live), (1, 0, 0, 0));
    // The name can be used again.
    running.create_token("ci").await;
}

#[tokio::test]
async fn names_find_tokens_and_are_used_once() {
    let (running, _) = start_service(|_| {}).await;
    let made = running.create_token("ci one").await;
    running.create_token("other").await;
    let (status, refused) =
        running.post("/tokens", &json!({ "name": "ci one", "permissions": [] })).await;
    assert_eq!((status, refused), (409, json!({ "error": "the name is in use" })));

    let (status, found) = running.get("/tokens?name=ci%20one").await;
    assert_eq!(status, 200);
    let tokens = found["tokens"].as_array().unwrap();
    assert_eq!(tokens.len(), 1);
    assert_eq!(tokens[0]["id"], made["id"]);
    assert!(!found.to_string().contains(made["token"].as_str().unwrap()));
    for none in ["/tokens?name=ci", "/tokens?name="] {
        assert_eq!(running.get(none).await, (200, json!({ "tokens": [] })), "{none}");
    }
    assert_eq!(running.get("/tokens?nmae=other").await.0, 400);
}

#[tokio::test]
async fn without_the_key_nothing_is_told_or_done() {
    let (running, _) = start_service(|_| {}).await;
    let made = running.create_token("ci").await;
    let (id, token) = (made["id"].as_str().unwrap(), made["token"].as_str().unwrap());
    let body = json!({ "name": "x", "permissions": [] }).to_string();
    for key in [None, Some("the-kez"), Some("the-key2"), Some("the-ke"), Some(""), Some(token)] {
        for (method, path) in [
            ("POST", "/tokens".to_owned()),
            ("GET", "/tokens".to_owned()),
            ("GET", format!("/tokens/{id}")),
            ("GET", "/tokens/unknown".to_owned()),
            ("DELETE", format!("/tokens/{id}")),
            ("POST", format!("/tokens/{id}/renew")),
            ("GET", "/stats".to_owned()),
        ] {
            let (status, answer) = running.call(method, &path, key, &body).await;
            assert_eq!(status, 401, "{method} {path} {key:?}");
            assert_eq!(answer, json!({ "error": "the API key is required as bearer" }));
        }
    }
    // The API key is not a token either.
    for token in [None, Some(API_KEY), Some("tok_")] {
        assert_eq!(running.call("GET", "/self", token, "").await.0, 401);
    }
    let stats = running.stats().await;
    assert_eq!((stats.created, stats.live), (1, 1));
}

#[tokio::test]
async fn bad_requests_are_refused_with_a_reason() {
    let (running, _) = start_service(|_| {}).await;
    let long = "x".repeat(257);
    let many = vec!["p"; 65];
    for (body, reason) in [
        (String::new(), "missing field `name`"),
        ("{".to_owned(), "EOF"),
        (json!(["a", [], 1]).to_string(), "expected a map"),
        (json!({ "name": "a" }).to_string(), "missing field `permissions`"),
        (json!({ "name": 1, "permissions": [] }).to_string(), "expected a string"),
        (json!({ "name": "a", "permissions": "read" }).to_string(), "expected a sequence"),
        (json!({ "name": "a", "permissions": [], "ttl": -1 }).to_string(), "expected u64"),
        (json!({ "name": "a", "permissions": [], "ttl": "1h" }).to_string(), "expected u64"),
        (json!({ "name": "a", "permissions": [], "tll": 1 }).to_string(), "unknown field `tll`"),
        (json!({ "name": "a", "permissions": [], "ttl": 315_360_001 }).to_string(), "at most"),
        (json!({ "name": "", "permissions": [] }).to_string(), "name must be"),
        (json!({ "name": "a\nb", "permissions": [] }).to_string(), "name must be"),
        (json!({ "name": long, "permissions": [] }).to_string(), "name must be"),
        (json!({ "name": "a", "permissions": [""] }).to_string(), "permissions must be"),
        (json!({ "name": "a", "permissions": [long] }).to_string(), "permissions must be"),
        (json!({ "name": "a", "permissions": many }).to_string(), "permissions must be"),
    ] {
        let (status, answer) = running.call("POST", "/tokens", Some(API_KEY), &body).await;
        assert_eq!(status, 400, "{body}");
        assert!(answer["error"].as_str().unwrap().contains(reason), "{body}: {answer}");
    }
    let kept = running.create_token("kept").await;
    let renewal = format!("/tokens/{}/renew", kept["id"].as_str().unwrap());
    for body in [json!({ "tll": 1 }), json!({ "ttl": "1h" }), json!({ "ttl": 315_360_001 })] {
        assert_eq!(running.post(&renewal, &body).await.0, 400, "{body}");
    }
    let huge = json!({ "name": "a", "permissions": [], "ttl": "9".repeat(16 * 1024) }).to_string();
    assert_eq!(running.call("POST", "/tokens", Some(API_KEY), &huge).await.0, 413);
    let (status, answer) = running.get("/nowhere").await;
    assert_eq!((status, answer), (404, json!({ "error": "no such path" })));
    let (status, answer) = running.call("PUT", "/tokens", Some(API_KEY), "").await;
    assert_eq!((status, answer), (405, json!({ "error": "no such method here" })));
    let stats = running.stats().await;
    assert_eq!((stats.created, stats.renewed), (1, 0));
}

#[tokio::test]
async fn the_number_of_tokens_is_limited() {
    let (running, clock) = start_service(|config| config.max_tokens = 2).await;
    let first = running.create_token("one").await;
    running.create_token("two").await;
    let body = json!({ "name": "three", "permissions": [] });
    let (status, answer) = running.post("/tokens", &body).await;
    assert_eq!((status, answer), (507, json!({ "error": "no room for another token" })));
    running.delete(&format!("/tokens/{}", first["id"].as_str().unwrap())).await;
    assert_eq!(running.post("/tokens", &body).await.0, 201);
    // Expired tokens don't count.
    assert_eq!(running.post("/tokens", &json!({ "name": "4", "permissions": [] })).await.0, 507);
    clock.advance(Duration::from_secs(3600));
    assert_eq!(running.post("/tokens", &json!({ "name": "4", "permissions": [] })).await.0, 201);
}

#[tokio::test]
async fn the_state_file_survives_and_holds_no_token() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.json");
    let (running, clock) = start_service(|config| config.state = Some(file.clone())).await;
    let (kept, deleted) =
        (running.create_token("kept").await, running.create_token("deleted").await);
    running.delete(&format!("/tokens/{}", deleted["id"].as_str().unwrap())).await;
    let token = kept["token"].as_str().unwrap();
    let written = std::fs::read_to_string(&file).unwrap();
    assert!(written.contains("kept") && !written.contains(token.trim_start_matches("tok_")));
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    running.stop().await;

    // A crash may leave an incomplete temporary file behind.
    std::fs::write(folder.path().join("state.json.new"), "{").unwrap();
    let (running, _) = start_service(|config| {
        config.state = Some(file.clone());
        config.clock = Arc::new(clock.clone());
    })
    .await;
    assert_eq!(running.call("GET", "/self", Some(token), "").await.0, 200);
    assert_eq!(running.post("/tokens", &json!({ "name": "kept", "permissions": [] })).await.0, 409);
    running.create_token("after").await;
    let stats = running.stats().await;
    assert_eq!((stats.created, stats.deleted, stats.live), (3, 1, 2));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_change_that_cannot_be_saved_is_undone() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    let (running, _) = start_service(|config| config.state = Some(inner.join("state.json"))).await;
    let made = running.create_token("kept").await;
    let id = made["id"].as_str().unwrap();
    std::fs::remove_dir_all(&inner).unwrap();

    let (status, answer) =
        running.post("/tokens", &json!({ "name": "lost", "permissions": [] })).await;
    assert_eq!(status, 500);
    assert!(answer["error"].as_str().unwrap().starts_with("the state file can't be written"));
    assert_eq!(running.delete(&format!("/tokens/{id}")).await.0, 500);
    assert_eq!(running.post(&format!("/tokens/{id}/renew"), &json!({ "ttl": 9 })).await.0, 500);
    let (_, tokens) = running.get("/tokens").await;
    assert_eq!(tokens["tokens"].as_array().unwrap().len(), 1);
    assert_eq!(tokens["tokens"][0]["expires_at"], made["expires_at"]);
    let stats = running.stats().await;
    assert_eq!((stats.created, stats.deleted, stats.renewed, stats.live), (1, 0, 0, 1));
}

#[tokio::test]
async fn an_invalid_state_file_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.json");
    for content in ["", "not JSON", "{}"] {
        std::fs::write(&file, content).unwrap();
        let mut config = Config::new(Secret::from_text(API_KEY));
        config.state = Some(file.clone());
        assert!(matches!(Service::start(config).await, Err(StartError::State(_))), "{content}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), content);
    }
}

#[tokio::test]
async fn a_state_file_that_can_not_be_written_is_found_out_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::new(Secret::from_text(API_KEY));
    config.state = Some(folder.path().join("missing").join("state.json"));
    assert!(matches!(Service::start(config).await, Err(StartError::State(_))));
}

#[tokio::test]
async fn a_change_is_carried_out_when_the_caller_is_gone_before() {
    let (waits, mut waiting) = mpsc::unbounded_channel();
    let clock = WatchedClock { clock: ManualClock::default(), waits };
    let (running, _) = start_service(|config| {
        config.clock = Arc::new(clock.clone());
        config.delay_before = Duration::from_secs(5);
    })
    .await;
    let caller = running.send_create("ci").await;
    within_timeout(waiting.recv()).await.unwrap();
    assert_eq!(running.stats().await.created, 0);
    drop(caller);
    // A response to another request shows that the disconnect has been noticed, too.
    assert_eq!(running.get("/tokens").await, (200, json!({ "tokens": [] })));
    clock.clock.advance(Duration::from_secs(5));
    wait_until_created(&running).await;
}

#[tokio::test]
async fn a_token_exists_before_its_caller_hears_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.json");
    let (waits, mut waiting) = mpsc::unbounded_channel();
    let clock = WatchedClock { clock: ManualClock::default(), waits };
    let (running, _) = start_service(|config| {
        config.clock = Arc::new(clock.clone());
        config.delay_after = Duration::from_secs(5);
        config.state = Some(file.clone());
    })
    .await;
    let mut caller = running.send_create("ci").await;
    within_timeout(waiting.recv()).await.unwrap();
    assert_eq!(running.stats().await.live, 1);
    assert!(std::fs::read_to_string(&file).unwrap().contains("ci"));
    let mut heard = [0];
    assert!(caller.try_read(&mut heard).is_err(), "the answer came before the delay was over");
    clock.clock.advance(Duration::from_secs(5));
    assert_eq!(read_answer(&mut caller).await.0, 201);
}

#[test]
fn the_environment_is_checked() {
    let config = |vars: &[(&str, &str)]| {
        Config::from_env(|name| {
            vars.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    };
    assert!(matches!(config(&[]), Err(StartError::NoKey)));
    assert!(matches!(config(&[("TOKEN_SERVICE_API_KEY", "")]), Err(StartError::NoKey)));
    let least = config(&[("TOKEN_SERVICE_API_KEY", API_KEY)]).ok().unwrap();
    assert_eq!(least.api_key.expose_secret(), API_KEY);
    assert_eq!(least.addr, SocketAddr::from(([127, 0, 0, 1], 8090)));
    assert!(least.state.is_none() && least.delay_before.is_zero() && least.delay_after.is_zero());
    let all = config(&[
        ("TOKEN_SERVICE_API_KEY", API_KEY),
        ("TOKEN_SERVICE_ADDR", "[::1]:80"),
        ("TOKEN_SERVICE_STATE", "a/b"),
        ("TOKEN_SERVICE_DELAY_BEFORE_MS", "7"),
        ("TOKEN_SERVICE_DELAY_AFTER_MS", "9"),
    ])
    .ok()
    .unwrap();
    assert_eq!(all.addr, "[::1]:80".parse().unwrap());
    assert_eq!(all.state.as_deref(), Some(Path::new("a/b")));
    assert_eq!(all.delay_before, Duration::from_millis(7));
    assert_eq!(all.delay_after, Duration::from_millis(9));
    for (name, value) in [
        ("TOKEN_SERVICE_ADDR", "nowhere"),
        ("TOKEN_SERVICE_DELAY_BEFORE_MS", "1s"),
        ("TOKEN_SERVICE_DELAY_AFTER_MS", "-1"),
    ] {
        let refused = config(&[("TOKEN_SERVICE_API_KEY", API_KEY), (name, value)]);
        assert!(matches!(refused, Err(StartError::Invalid(which)) if which == name));
    }
}

#[tokio::test]
async fn without_a_key_nothing_starts() {
    let started = Service::start(Config::new(Secret::from_text(""))).await;
    assert!(matches!(started, Err(StartError::NoKey)));
}

#[tokio::test]
async fn what_is_stopped_or_dropped_takes_no_more_requests() {
    let (running, _) = start_service(|_| {}).await;
    let addr = running.addr;
    running.stop().await;
    assert!(TcpStream::connect(addr).await.is_err());

    let (running, _) = start_service(|_| {}).await;
    let addr = running.addr;
    drop(running);
    within_timeout(async { while TcpStream::connect(addr).await.is_ok() {} }).await;
}

#[tokio::test]
async fn the_program_refuses_to_start_without_a_key() {
    let Output { status, stdout, stderr } =
        within_timeout(service_command().output()).await.unwrap();
    assert!(!status.success() && stdout.is_empty());
    assert_eq!(
        String::from_utf8(stderr).unwrap(),
        "token-service: set TOKEN_SERVICE_API_KEY to the key that callers must show\n"
    );
}

#[tokio::test]
async fn the_program_says_where_it_listens_stops_when_told_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = service_command();
    command
        .env("TOKEN_SERVICE_API_KEY", API_KEY)
        .env("TOKEN_SERVICE_ADDR", "127.0.0.1:0")
        .env("TOKEN_SERVICE_STATE", folder.path().join("state.json"));
    let mut token = None;
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::INT] {
        let mut program = command.spawn().unwrap();
        let mut stdout = BufReader::new(program.stdout.take().unwrap());
        let mut line = String::new();
        within_timeout(stdout.read_line(&mut line)).await.unwrap();
        let addr = line.trim_end().strip_prefix("token-service listening on http://").unwrap();
        let addr: SocketAddr = addr.parse().unwrap();
        match &token {
            None => {
                let body = r#"{"name":"ci","permissions":[]}"#;
                let (status, made) = call(addr, "POST", "/tokens", Some(API_KEY), body).await;
                assert_eq!(status, 201);
                token = Some(made["token"].as_str().unwrap().to_owned());
            }
            kept => assert_eq!(call(addr, "GET", "/self", kept.as_deref(), "").await.0, 200),
        }
        let pid = i32::try_from(program.id().unwrap()).unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal)
            .unwrap();
        assert!(within_timeout(program.wait()).await.unwrap().success(), "{signal:?}");
        let mut rest = String::new();
        within_timeout(stdout.read_to_string(&mut rest)).await.unwrap();
        assert_eq!(rest, "");
    }
}

/// A manual clock that reports when someone starts to wait on it.
#[derive(Clone, Debug)]
struct WatchedClock {
    clock: ManualClock,
    waits: mpsc::UnboundedSender<()>,
}

impl Clock for WatchedClock {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'static, ()> {
        let sleep = self.clock.sleep_until(at);
        self.waits.send(()).unwrap();
        sleep
    }
}

fn service_command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_token-service"));
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.kill_on_drop(true);
    command
}

async fn start_service(change: impl FnOnce(&mut Config)) -> (RunningService, ManualClock) {
    let clock = ManualClock::default();
    let mut config = Config::new(Secret::from_text(API_KEY));
    config.clock = Arc::new(clock.clone());
    change(&mut config);
    (Service::start(config).await.unwrap(), clock)
}

trait ServiceTestExt {
    async fn call(
        &self,
        method: &str,
        path: &str,
        bearer: Option<&str>,
        body: &str,
    ) -> (u16, Value);
    async fn get(&self, path: &str) -> (u16, Value);
    async fn delete(&self, path: &str) -> (u16, Value);
    async fn post(&self, path: &str, body: &Value) -> (u16, Value);
    async fn create_token(&self, name: &str) -> Value;
    async fn send_create(&self, name: &str) -> TcpStream;
}

impl ServiceTestExt for RunningService {
    async fn call(
        &self,
        method: &str,
        path: &str,
        bearer: Option<&str>,
        body: &str,
    ) -> (u16, Value) {
        call(self.addr, method, path, bearer, body).await
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.call("GET", path, Some(API_KEY), "").await
    }

    async fn delete(&self, path: &str) -> (u16, Value) {
        self.call("DELETE", path, Some(API_KEY), "").await
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.call("POST", path, Some(API_KEY), &body.to_string()).await
    }

    async fn create_token(&self, name: &str) -> Value {
        let (status, made) =
            self.post("/tokens", &json!({ "name": name, "permissions": [] })).await;
        assert_eq!(status, 201, "{made}");
        made
    }

    async fn send_create(&self, name: &str) -> TcpStream {
        let body = json!({ "name": name, "permissions": [] }).to_string();
        send_request(self.addr, "POST", "/tokens", Some(API_KEY), &body).await
    }
}

async fn call(
    addr: SocketAddr,
    method: &str,
    path: &str,
    bearer: Option<&str>,
    body: &str,
) -> (u16, Value) {
    read_answer(&mut send_request(addr, method, path, bearer, body).await).await
}

async fn send_request(
    addr: SocketAddr,
    method: &str,
    path: &str,
    bearer: Option<&str>,
    body: &str,
) -> TcpStream {
    let bearer = bearer.map(|key| format!("Authorization: Bearer {key}\r\n")).unwrap_or_default();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n{bearer}\
         Content-Length: {length}\r\n\r\n{body}"
    );
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

async fn read_answer(stream: &mut TcpStream) -> (u16, Value) {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body = if body.is_empty() { Value::Null } else { serde_json::from_str(body).unwrap() };
    (status, body)
}

/// Waits for the change, which runs on another thread.
async fn wait_until_created(running: &RunningService) {
    within_timeout(async {
        while running.stats().await.created == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Fails the test instead of letting it hang.
async fn within_timeout<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what).await.unwrap()
}
