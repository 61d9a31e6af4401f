//! Requests through the whole crate, to a core that admits none or few.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as HttpBody, Frame};
use strongroom_core::plugins::{Kept, Needed, PluginError, PluginSpec, PluginType, Plugins};
use strongroom_core::{AdmissionLimits, Core, Parts, Settings};
use strongroom_sdk::engine::{Engine, Mount};
use strongroom_storage::memory::Memory;
use strongroom_telemetry::Exporter;
use strongroom_types::clock::ManualClock;
use strongroom_types::entropy::SeededEntropy;

use crate::{Body, ConnectionContext, Limits, handle};

/// There are none.
#[derive(Debug)]
struct NoPlugins;

#[async_trait::async_trait]
impl Plugins for NoPlugins {
    fn builtin_version(&self, _: PluginType, _: &str) -> Option<String> {
        None
    }
    fn builtins(&self, _: PluginType) -> Vec<String> {
        Vec::new()
    }
    async fn open_builtin(
        &self,
        _: PluginType,
        _: &str,
        _: Mount,
    ) -> Result<Arc<dyn Engine>, PluginError> {
        Err(PluginError::Start("there are none".to_owned()))
    }
    async fn probe(&self, _: &PluginSpec) -> Result<String, PluginError> {
        Err(PluginError::Start("there are none".to_owned()))
    }
    fn renew(&self, _: PluginType, _: &str) {}
    fn keep(&self, _: &PluginSpec) -> Kept {
        Box::new(())
    }
    async fn remove_copies_but(&self, _: &Needed<'_>) {}
    async fn open(
        &self,
        _: &PluginSpec,
        _: Mount,
        _: &str,
    ) -> Result<Arc<dyn Engine>, PluginError> {
        Err(PluginError::Start("there are none".to_owned()))
    }
}

/// A sealed core, which works on as many requests as `admission` says.
fn core(admission: AdmissionLimits) -> Core {
    let parts = Parts {
        physical: Arc::new(Memory::new()),
        plugins: Arc::new(NoPlugins),
        clock: Arc::new(ManualClock::default()),
        entropy: Arc::new(SeededEntropy::new(1)),
        exporter: Exporter::detached(),
    };
    Core::new(parts, Settings { admission, ..Settings::default() })
}

/// A body that counts how often it is asked for more.
#[derive(Clone)]
struct Counted {
    asked: Arc<AtomicUsize>,
    sends: Option<Bytes>,
}

impl HttpBody for Counted {
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

/// Posts a body to initialise the server, and says how often the body was asked for more.
async fn post(
    core: &Core,
    version: http::Version,
    sends: Option<&'static str>,
) -> (Response<Body>, usize) {
    let body = Counted { asked: Arc::default(), sends: sends.map(Bytes::from) };
    let asked = body.asked.clone();
    let request = http::Request::post("/v1/sys/init").version(version).body(body).unwrap();
    let answer = handle(core, &Limits::default(), request, ConnectionContext::new(None)).await;
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
        let core = core(limits);
        // A body that is no JSON, and one that never comes.
        for sends in [Some("{bad"), None] {
            let (answer, asked) = post(&core, http::Version::HTTP_2, sends).await;
            assert_eq!((answer.status(), asked), (status, 0), "{limits:?} {sends:?}");
            assert_eq!(answer.headers()[header::RETRY_AFTER], "1");
        }
        // Over HTTP/1.1 the body is read on for a while, and thrown away.
        let (answer, _) = post(&core, http::Version::HTTP_11, Some("{bad")).await;
        assert_eq!(answer.status(), status);
    }
    let (answer, asked) = post(&core(usual), http::Version::HTTP_2, Some("{bad")).await;
    assert_eq!(answer.status(), StatusCode::REQUEST_TIMEOUT);
    assert!(asked > 0, "one that is admitted is read");
}

#[tokio::test]
async fn cve_2025_12044_a_sealed_server_reads_no_body_that_it_can_do_nothing_with() {
    let core = core(AdmissionLimits::default());
    let body = Counted { asked: Arc::default(), sends: None };
    let asked = body.asked.clone();
    let request = http::Request::post("/v1/kv/a").version(http::Version::HTTP_2);
    let request = request.body(body).unwrap();
    let answer = handle(&core, &Limits::default(), request, ConnectionContext::new(None)).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(asked.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn sr_2026_03_the_state_is_told_however_full_the_server_is() {
    let core = core(AdmissionLimits {
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
        let answer = handle(&core, &Limits::default(), request, ConnectionContext::new(None)).await;
        assert_eq!(answer.status(), status, "{path}");
    }
}

#[tokio::test]
async fn requests_at_exempt_paths_of_one_connection_wait_for_each_other() {
    let core = core(AdmissionLimits::default());
    let limits = Limits::default();
    let context = ConnectionContext::new(None);
    let unseal = |context: &ConnectionContext| {
        let body = Counted { asked: Arc::default(), sends: None };
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
    assert_eq!(reading.count(), crate::EXEMPT_AT_ONCE);
    // Another connection doesn't notice.
    let request = http::Request::get("/v1/sys/seal-status").body(Body::default()).unwrap();
    let answer = handle(&core, &limits, request, ConnectionContext::new(None)).await;
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn cve_2025_12044_what_waits_at_exempt_paths_is_bounded() {
    let core = core(AdmissionLimits::default());
    let limits = Limits::default();
    let context = ConnectionContext::new(None);
    let unseal = |header: String| {
        let body = Counted { asked: Arc::default(), sends: None };
        let request = http::Request::post("/v1/sys/unseal").header("x-filler", header);
        let request = request.version(http::Version::HTTP_2).body(body).unwrap();
        let (core, limits, context) = (core.clone(), limits.clone(), context.clone());
        Box::pin(async move { handle(&core, &limits, request, context).await })
    };
    // One that is large is refused at once, also where there is a free place.
    let large = unseal("x".repeat(60 << 10)).await;
    assert_eq!(large.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    let mut waiting: Vec<_> =
        (0..crate::EXEMPT_OR_WAITING).map(|_| unseal(String::new())).collect();
    for answer in &mut waiting {
        assert!(futures_util::poll!(answer).is_pending());
    }
    let one_more = unseal(String::new()).await;
    assert_eq!(one_more.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(one_more.headers()[header::RETRY_AFTER], "1");
    // Who gives up leaves the place.
    waiting.pop();
    assert!(futures_util::poll!(&mut unseal(String::new())).is_pending());
    // Another connection doesn't notice.
    let request =
        http::Request::get("/v1/sys/health?uninitcode=204").body(Body::default()).unwrap();
    let answer = handle(&core, &limits, request, ConnectionContext::new(None)).await;
    assert_eq!(answer.status(), 204);
}

const FORM: &str = "application/x-www-form-urlencoded";

/// Sends a body as a client would; the status and the JSON of the answer.
async fn send(
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
    let answer = handle(core, &Limits::default(), request, ConnectionContext::new(None)).await;
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

/// A form names a field several times, and the handler gets one text of all values.
#[tokio::test]
async fn vault_1_21_conditions_hold_for_the_fields_of_a_form() {
    let core = core(AdmissionLimits::default());
    let json = "application/json";
    let shares = r#"{"secret_shares":1,"secret_threshold":1}"#;
    let (_, made) = send(&core, "sys/init", "", json, shares).await;
    let key = serde_json::json!({ "key": made["keys"][0] }).to_string();
    let (_, state) = send(&core, "sys/unseal", "", json, key).await;
    assert_eq!(state["sealed"], false, "{state}");
    let root = made["root_token"].as_str().unwrap();
    let policy = r#"
        path "auth/token/create" { capabilities = ["create", "update", "sudo"]
            denied_parameters = { "policies" = ["admin"] } }
        path "auth/token/roles/*" { capabilities = ["create", "update"]
            allowed_parameters = { "allowed_policies" = ["dev", "ops"] }
            required_parameters = ["allowed_policies"] }"#;
    let policy = serde_json::json!({ "policy": policy }).to_string();
    let (status, _) = send(&core, "sys/policies/acl/some", root, json, policy).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let policies = r#"{"policies":["some"]}"#;
    let (_, made) = send(&core, "auth/token/create", root, json, policies).await;
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
            let (status, answer) = send(&core, path, token, content_type, form).await;
            let denied = status == StatusCode::FORBIDDEN;
            assert_eq!(denied, !permitted, "{path} {form}: {status} {answer}");
            assert_eq!(status.is_success(), permitted, "{path} {form}: {status} {answer}");
        }
    }
    // What is said to be a form and begins as JSON does is JSON.
    let body = r#"{"policies":["dev","admin"]}"#;
    let (status, _) = send(&core, "auth/token/create", token, FORM, body).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    // The handler gets what was judged.
    let form = "policies=dev&policies=ops";
    let (_, made) = send(&core, "auth/token/create", token, FORM, form).await;
    assert_eq!(made["auth"]["policies"], serde_json::json!(["default", "dev", "ops"]));
}
