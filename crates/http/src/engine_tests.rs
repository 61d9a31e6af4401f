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
use strongroom_sdk::{Blueprint, Context, Error, Input, Response};
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
