//! Requests over HTTP to an engine that is linked into an unsealed core.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, Full};
use strongroom_barrier::SealConfig;
use strongroom_core::{Core, CoreDependencies, Settings};
use strongroom_engine::{Engine, EngineFactory, MountContext};
use strongroom_mounts::plugins::{
    NeededPlugins, PluginCopyGuard, PluginError, PluginKind, PluginLauncher, PluginSpec,
};
use strongroom_sdk::{
    Blueprint, Context, Error, Input, RawRequestBody, RawResponse, Response, ResponseData,
};
use strongroom_storage::memory::MemoryStorage;
use strongroom_telemetry::MetricsExporter;
use strongroom_types::clock::ManualClock;
use strongroom_types::entropy::SeededEntropy;

use crate::{ConnectionContext, HttpLimits, handle};

/// A launcher that knows one engine.
#[derive(Debug)]
struct OneEngine(Blueprint);

#[async_trait::async_trait]
impl PluginLauncher for OneEngine {
    fn builtin_version(&self, kind: PluginKind, name: &str) -> Option<String> {
        (kind == PluginKind::Secret && name == self.0.name()).then(|| self.0.version())
    }
    fn builtin_names(&self, _: PluginKind) -> Vec<String> {
        vec![self.0.name().to_owned()]
    }
    async fn open_builtin(
        &self,
        _: PluginKind,
        _: &str,
        mount: MountContext,
    ) -> Result<Arc<dyn Engine>, PluginError> {
        Ok(self.0.open(mount).await?)
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

/// An unsealed server with one engine, which is mounted at `custom/`.
pub(crate) struct EngineServer {
    core: Core,
    pub(crate) limits: HttpLimits,
    pub(crate) root: String,
}

/// The parts of a response.
#[derive(Debug)]
pub(crate) struct HttpAnswer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl HttpAnswer {
    /// The body as JSON; `null` if it isn't JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl EngineServer {
    pub(crate) async fn start(engine: Blueprint) -> Self {
        let engine_name = engine.name().to_owned();
        let parts = CoreDependencies {
            physical: Arc::new(MemoryStorage::new()),
            plugin_launcher: Arc::new(OneEngine(engine)),
            clock: Arc::new(ManualClock::default()),
            entropy: Arc::new(SeededEntropy::new(1)),
            exporter: MetricsExporter::detached(),
        };
        let core = Core::new(parts, strongroom_system::BUILT_INS, Settings::default());
        let mut made = core.initialise(SealConfig::new(1, 1).unwrap(), None).await.unwrap();
        core.unseal(made.shares.pop().unwrap()).await.unwrap();
        let root = made.root_token.expose_secret().clone();
        let server = Self { core, limits: HttpLimits::default(), root };
        let body = format!(r#"{{"type":"{engine_name}"}}"#);
        let mounted = server.send("POST", "sys/mounts/custom", &[], body).await;
        assert_eq!(mounted.status, StatusCode::NO_CONTENT, "{mounted:?}");
        server
    }

    /// Sends a request with the root token.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> HttpAnswer {
        let token = ("x-vault-token", self.root.as_str());
        let headers: Vec<_> = headers.iter().copied().chain([token]).collect();
        self.send_without_token(method, path, &headers, body).await
    }

    pub(crate) async fn send_without_token(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> HttpAnswer {
        let mut request = http::Request::builder().method(method).uri(format!("/v1/{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).unwrap();
        let context = ConnectionContext::new(None);
        let (head, body) = handle(&self.core, &self.limits, request, context).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        HttpAnswer { status: head.status, headers: head.headers, body }
    }
}

/// Where to redirect to.
#[derive(Input)]
struct TargetInput {
    /// A URL.
    #[field(required)]
    url: String,
}

async fn redirect(_: Context, input: TargetInput) -> Result<Response, Error> {
    Response::redirect(input.url)
}

async fn redirecting_server() -> EngineServer {
    let engine = Blueprint::new("redirecting", "1.0.0");
    let engine = engine.write("go", "", redirect).write("open", "", redirect).unauthenticated();
    EngineServer::start(engine).await
}

#[tokio::test]
async fn a_redirect_has_its_target_and_nothing_else() {
    let server = redirecting_server().await;
    let body = r#"{"url":"https://idp.example.com/authorize?state=a%20b","password":"hunter2"}"#;
    for path in ["custom/go", "custom/open"] {
        let answer = server.send("PUT", path, &[], body).await;
        assert_eq!(answer.status, StatusCode::TEMPORARY_REDIRECT);
        let target = answer.headers[header::LOCATION].to_str().unwrap();
        assert_eq!(target, "https://idp.example.com/authorize?state=a%20b");
        assert!(answer.body.is_empty(), "{answer:?}");
        assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
        let mut names: Vec<_> = answer.headers.keys().map(http::HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["cache-control", "location", "strict-transport-security"]);
        let echoes = |value: &http::HeaderValue| value.to_str().unwrap().contains(&server.root);
        assert!(!answer.headers.values().any(echoes), "{answer:?}");
    }
}

#[tokio::test]
async fn targets_with_line_breaks_or_other_schemes_split_no_response() {
    let server = redirecting_server().await;
    for url in [r"https://a/\r\nX-Injected: 1", r"https://a/\u0000", "javascript:alert(1)"] {
        let answer = server.send("PUT", "custom/go", &[], format!(r#"{{"url":"{url}"}}"#)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
        assert!(!answer.headers.contains_key(header::LOCATION), "{answer:?}");
        assert!(!answer.headers.contains_key("x-injected"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_redirect_skips_neither_tokens_nor_wrapping() {
    let server = redirecting_server().await;
    let body = r#"{"url":"https://idp.example.com/"}"#;
    let answer = server.send_without_token("PUT", "custom/go", &[], body).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{answer:?}");
    for path in ["custom/go", "custom/open"] {
        let answer = server.send("PUT", path, &[("x-vault-wrap-ttl", "60")], body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
        assert!(!answer.headers.contains_key(header::LOCATION), "{answer:?}");
        let text = answer.json()["errors"][0].as_str().unwrap().to_owned();
        assert!(text.contains("a redirect can't be wrapped"), "{text}");
    }
}

/// The input of an upload.
#[derive(Input)]
struct UploadInput {
    /// Name of the file; taken from the path.
    name: String,
    /// A parameter of the query.
    mode: String,
}

/// What the engine got.
#[derive(ResponseData)]
struct UploadResponse {
    name: String,
    mode: String,
    content_type: String,
    bytes: String,
}

async fn upload(_: Context, to: UploadInput, body: RawRequestBody) -> Result<Response, Error> {
    Ok(Response::data(&UploadResponse {
        name: to.name,
        mode: to.mode,
        content_type: body.content_type,
        bytes: format!("{} {:?}", body.bytes.len(), body.bytes.iter().take(4).collect::<Vec<_>>()),
    }))
}

/// The input of a path whose bodies are JSON.
#[derive(Input)]
struct PlainInput {
    /// A field.
    mode: String,
}

async fn plain(_: Context, input: PlainInput) -> Result<Response, Error> {
    let (name, bytes) = (String::new(), String::new());
    let mode = input.mode;
    Ok(Response::data(&UploadResponse { name, mode, content_type: String::new(), bytes }))
}

async fn uploading_server() -> EngineServer {
    let engine = Blueprint::new("uploading", "1.0.0")
        .raw_body("files/{name}", "", upload)
        .raw_body("open/{name}", "", upload)
        .unauthenticated()
        .write("plain", "", plain);
    EngineServer::start(engine).await
}

#[tokio::test]
async fn a_declared_path_gets_the_bytes_of_the_body_with_their_type() {
    let server = uploading_server().await;
    let body = Bytes::from_static(&[0, 159, 255, b'{', 7]);
    for method in ["POST", "PUT"] {
        let headers = [("content-type", "application/pkix-cert; a=b")];
        let answer = server.send(method, "custom/files/a?mode=x", &headers, body.clone()).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let data = &answer.json()["data"];
        assert_eq!((&data["name"], &data["mode"]), (&"a".into(), &"x".into()));
        assert_eq!(data["content_type"], "application/pkix-cert; a=b");
        assert_eq!(data["bytes"], "5 [0, 159, 255, 123]");
    }
    // Neither JSON nor a form is parsed, whatever the content type.
    for content_type in ["application/json", "application/x-www-form-urlencoded"] {
        let headers = [("content-type", content_type)];
        let answer = server.send("POST", "custom/files/a", &headers, r#"{"mode":"evil"}"#).await;
        let data = &answer.json()["data"];
        assert_eq!((&data["mode"], &data["bytes"]), (&"".into(), &"15 [123, 34, 109, 111]".into()));
    }
    let empty = server.send("POST", "custom/files/a", &[], "").await;
    assert_eq!(empty.json()["data"]["bytes"], "0 []");
}

#[tokio::test]
async fn a_path_without_the_declaration_never_gets_raw_bytes() {
    let server = uploading_server().await;
    let answer = server.send("POST", "custom/plain", &[], &b"\0\x9f"[..]).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
    let answer = server.send("POST", "custom/plain?mode=q", &[], r#"{"mode":"b"}"#).await;
    assert_eq!(answer.json()["data"]["mode"], "b", "{answer:?}");
    for path in ["custom/files/a/b", "custom/other"] {
        let answer = server.send("POST", path, &[], &b"\0\x9f"[..]).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn a_raw_body_is_bounded_by_the_listener_and_needs_the_token() {
    let mut server = uploading_server().await;
    server.limits.max_request_bytes = 300_000;
    server.limits.max_unauthenticated_bytes = 1000;
    let of_length = |length: usize| vec![7; length];
    let full = server.limits.body_memory.available_bytes();
    for (path, length, status) in [
        ("custom/files/a", 300_000, StatusCode::OK),
        ("custom/files/a", 300_001, StatusCode::PAYLOAD_TOO_LARGE),
        ("custom/open/a", 1000, StatusCode::OK),
        ("custom/open/a", 1001, StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        let answer = server.send("POST", path, &[], of_length(length)).await;
        assert_eq!(answer.status, status, "{path} {length}: {answer:?}");
        assert_eq!(server.limits.body_memory.available_bytes(), full, "memory is given back");
    }
    let answer = server.send_without_token("POST", "custom/files/a", &[], of_length(9000)).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{answer:?}");
}

async fn raw_with_headers(_: Context, (): ()) -> Result<Response, Error> {
    let headers = [
        ("Cache-Control", "max-age=7"),
        ("set-cookie", "a=b"),
        ("location", "https://evil.example/"),
        ("content-length", "1"),
        ("x-allowed", "yes"),
        ("x-split", "a\r\nX-Injected: 1"),
    ];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let (content_type, body) = ("text/plain".to_owned(), b"body".to_vec());
    Ok(Response::raw(RawResponse { status: 302, content_type, body, headers: headers.into() }))
}

#[tokio::test]
async fn a_raw_response_has_the_headers_that_the_mount_allows_and_no_others() {
    let engine = Blueprint::new("headers", "1.0.0").read("raw", "", raw_with_headers);
    let server = EngineServer::start(engine).await;
    let tune = r#"{"allowed_response_headers":["X-Allowed","X-Split"]}"#;
    let tuned = server.send("POST", "sys/mounts/custom/tune", &[], tune).await;
    assert_eq!(tuned.status, StatusCode::NO_CONTENT, "{tuned:?}");
    let answer = server.send("GET", "custom/raw", &[], "").await;
    assert_eq!(answer.status, StatusCode::FOUND);
    assert_eq!(answer.body, "body");
    assert_eq!(answer.headers[header::CACHE_CONTROL], "max-age=7");
    assert_eq!(answer.headers["x-allowed"], "yes");
    for name in ["set-cookie", "location", "content-length", "x-split", "x-injected"] {
        assert!(!answer.headers.contains_key(name), "{name}: {answer:?}");
    }
    // It is not rendered, whatever the engine's headers are.
    assert_eq!(answer.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
}
